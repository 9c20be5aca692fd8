#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: container_image
short_description: Fetch container images in the background and hold them to their digests
version_added: 0.1.0
description:
  - Runs on the VM. Pulls go on when the connection or the control node goes away; the next run finds them.
  - Without a digest the one that the first pull brought is recorded, and later pulls are held to it.
attributes:
  check_mode:
    description: Says whether it would pull.
    support: full
  diff_mode:
    description: Shows the references of images whose pull is begun.
    support: full
options:
  images:
    description: The images. Their pulls begin in this order and go on side by side.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Image with registry and tag.
        type: str
        required: true
      digest:
        description: Digest that the image must have, V(sha256:...). None when empty.
        type: str
  state:
    description:
      - V(pulling) makes sure that they are there or being pulled.
      - V(present) waits for at most O(slice) seconds, half of them where more layers are there, so that a retried task shows progress.
    type: str
    choices: [pulling, present]
    default: present
  slice:
    description: Seconds that one run waits at most.
    type: float
    default: 8.0
  state_file:
    description: File of the VM that remembers digests.
    type: path
    default: /var/lib/linode-coder/engine.json
  weights_dir:
    description: Directory of the Compose project that downloads the weights.
    type: path
    default: /opt/linode-coder/weights
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Begin to fetch the engine
  linode_coder.gpu.container_image:
    images: [{name: "docker.io/vllm/vllm-openai:v0.33.0"}]
    state: pulling

- name: Wait for it
  linode_coder.gpu.container_image:
    images: [{name: "docker.io/vllm/vllm-openai:v0.33.0"}]
  register: image
  until: image.present | default(false) or image.failure is defined
  retries: 600
  delay: 0
"""

RETURN = r"""
present:
  description: Whether all of the images are on the VM.
  returned: success
  type: bool
  sample: true
phase:
  description: How far the first pull is that has not ended.
  returned: success
  type: str
  sample: 4 of 12 layers fetched, 3 unpacked
progress:
  description: The same as data, in layers. Null when nothing is known yet, or all is there.
  returned: success
  type: dict
  sample: {"done": 4, "total": 12, "unit": "layers", "rate": null}
downloads:
  description: What else is being fetched on the VM, its C(phase) and C(progress) by its name. Null when nothing is known of it.
  returned: when an image is waited for
  type: dict
  sample: {"weights": {"phase": "3.1 GB of 5.6 GB fetched (55 %)", "progress": {"done": 3100000000, "total": 5600000000, "unit": "bytes", "rate": null}}}
images:
  description: Each image by its name.
  returned: always
  type: dict
  contains:
    present:
      description: Whether it is on the VM.
      type: bool
      sample: true
    reference:
      description: Name with the digest that is held, as a Compose file names it. Without a digest when the image came from no registry.
      type: str
      sample: docker.io/vllm/vllm-openai:v0.33.0@sha256:4f1c...
    phase:
      description: How far the pull is.
      type: str
      sample: there
    started:
      description: When the pull began, in seconds since the epoch; null when there was none since the VM booted.
      type: float
      sample: 1764000000.0
    finished:
      description: When the image was there; null as above.
      type: float
      sample: 1764000120.0
"""

import os
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.core.failure import Failure
from ..module_utils.core.module_fail import fail
from ..module_utils.engine import state as engine_state
from ..module_utils.engine.downloads import pull_failure, pull_phase, pull_progress
from ..module_utils.engine.downloads_look import weights_now
from ..module_utils.engine.held_image import held_digest, look
from ..module_utils.engine.pull_record import Pull

_ATTEMPTS = 3


class Image:
    """One of the images: what is there of it, and its pull."""

    def __init__(self, module: AnsibleModule, docker: str, name: str, digest: str | None) -> None:
        self.module, self.docker, self.name = module, docker, name
        self.held = held_digest(module.params["state_file"], name, digest)
        self.pull = Pull(name)
        self.present, self.reference, self.phase = False, name, "to be fetched"
        self.started_now = False

    def look(self) -> bool:
        """Whether it is there; remembers the digest that the first pull brought."""
        found = look(self.module, self.docker, self.name, self.held, self.module.params["state_file"])
        self.present, self.reference = found.present, found.reference
        if not found.present:
            return False
        self.phase = "there"
        if found.found and not self.held:
            self.held, self.reference = found.found, f"{self.name}@{found.found}"
            if not self.module.check_mode:
                engine_state.change(
                    self.module.params["state_file"], lambda state: state["images"].update({self.name: self.held})
                )
        record = self.pull.load()
        if record.get("started") and not record.get("finished") and not self.module.check_mode:
            # Not now: nobody may have looked for a while.
            self.pull.save(finished=os.path.getmtime(self.pull.log))
        return True

    def go_on(self) -> None:
        """See that it is being pulled. Failure when that cannot help."""
        # Its pull may have ended since it was looked for.
        if not self.pull.running() and not self.look():
            record = self.pull.load()
            if record.get("pid"):
                self._ended(record)
            self.pull.start(self.docker, self.reference)
            self.started_now = True
        if not self.present:
            self.phase = pull_phase(self.pull.text())

    def _ended(self, record: dict[str, Any]) -> None:
        failure, again = pull_failure(self.name, self.pull.text())
        if again and record.get("attempts", 0) < _ATTEMPTS:
            return
        self.pull.save(pid=None, started=None, attempts=0)
        self.phase = "failed"
        if self.held and failure.kind == "config" and self.held in (failure.cause or ""):
            raise Failure(
                "config",
                f"The registry does not have {self.name} with the digest {self.held} any more.",
                cause=failure.cause,
                remedy="Look at what changed before trusting another digest, then set vllm_image_digest.",
                field="digest",
                value=self.held,
            )
        raise failure

    def view(self) -> dict[str, Any]:
        record = {} if self.module.check_mode and not self.present else self.pull.load()
        return {
            "present": self.present,
            "reference": self.reference,
            "phase": self.phase,
            "started": record.get("started"),
            "finished": record.get("finished") if self.present else None,
        }


def result(images: list[Image], changed: bool) -> dict[str, Any]:
    """``changed``: whether check mode says that what is missing would be pulled."""
    missing = [image for image in images if not image.present]
    begun = [image for image in images if image.started_now or (changed and not image.present)]
    return {
        "changed": bool(begun),
        "present": not missing,
        "phase": missing[0].phase if missing else "there",
        "progress": pull_progress(missing[0].pull.text()) if missing else None,
        "images": {image.name: image.view() for image in images},
        "diff": {
            "before": {image.name: "absent" for image in begun},
            "after": {image.name: f"pulling {image.reference}" for image in begun},
        },
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "images": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {"name": {"type": "str", "required": True}, "digest": {"type": "str"}},
            },
            "state": {"type": "str", "choices": ["pulling", "present"], "default": "present"},
            "slice": {"type": "float", "default": 8.0},
            "state_file": {"type": "path", "default": "/var/lib/linode-coder/engine.json"},
            "weights_dir": {"type": "path", "default": "/opt/linode-coder/weights"},
        },
        supports_check_mode=True,
    )
    params = module.params
    docker: str = module.get_bin_path("docker", required=not module.check_mode) or ""
    images = [Image(module, docker, row["name"], row["digest"]) for row in params["images"]]
    if not docker:
        module.exit_json(**result(images, changed=True))
    deadline = time.monotonic() + params["slice"]
    first_phases = None
    while True:
        missing = [image for image in images if not image.look()]
        if not missing or module.check_mode:
            module.exit_json(**result(images, changed=bool(missing)))
        try:
            for image in missing:
                image.go_on()
        except Failure as failure:
            fail(module, failure, **{**result(images, changed=False), "present": False, "phase": "failed"})
        phases = [image.phase for image in images]
        first_phases = first_phases or phases
        # Each run costs the control node more than it shows: layers come faster than anybody wants to hear of them.
        left = deadline - time.monotonic()
        if params["state"] == "pulling" or left < 0 or (phases != first_phases and left < params["slice"] / 2):
            # Whoever waits for an image wants to see that the weights come meanwhile.
            found = {} if params["state"] == "pulling" else {"weights": weights_now(params["weights_dir"])}
            module.exit_json(**result(images, changed=False), downloads=found)
        time.sleep(0.3)


if __name__ == "__main__":
    main()
