#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: container_image
short_description: Fetch a container image in the background and hold it to its digest
version_added: 0.1.0
description:
  - Runs on the VM. A pull goes on when the connection or the control node goes away; the next run finds it.
  - Without a digest the one that the first pull brought is recorded, and later pulls are held to it.
attributes:
  check_mode:
    description: Says whether it would pull.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
options:
  name:
    description: Image with registry and tag.
    type: str
    required: true
  digest:
    description: Digest that the image must have, V(sha256:...).
    type: str
  state:
    description:
      - V(pulling) makes sure that it is there or being pulled.
      - V(present) waits for at most O(slice) seconds or until more layers are there, so that a retried task shows progress.
    type: str
    choices: [pulling, present]
    default: present
  slice:
    description: Seconds that one run waits at most.
    type: float
    default: 5.0
  state_file:
    description: File of the VM that remembers digests.
    type: path
    default: /var/lib/linode-coder/engine.json
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Begin to fetch the engine
  linode_coder.gpu.container_image:
    name: docker.io/vllm/vllm-openai:v0.33.0
    state: pulling

- name: Wait for it
  linode_coder.gpu.container_image:
    name: docker.io/vllm/vllm-openai:v0.33.0
  register: image
  until: image.present | default(false) or image.failure is defined
  retries: 600
  delay: 0
"""

RETURN = r"""
present:
  description: Whether the image is on the VM.
  returned: success
  type: bool
  sample: true
reference:
  description: Name with the digest that is held, as a Compose file names it. Without a digest when the image came from no registry.
  returned: success
  type: str
  sample: docker.io/vllm/vllm-openai:v0.33.0@sha256:4f1c...
phase:
  description: How far the pull is.
  returned: success
  type: str
  sample: 4 of 12 layers fetched, 3 unpacked
started:
  description: When the pull began, in seconds since the epoch; null when there was none since the VM booted.
  returned: success
  type: float
  sample: 1764000000.0
finished:
  description: When the image was there; null as above.
  returned: success
  type: float
  sample: 1764000120.0
"""

import hashlib
import json
import os
import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import engine_state
from ..module_utils.downloads import pull_failure, pull_phase
from ..module_utils.failure import Failure
from ..module_utils.vm_module import RUN_DIRECTORY, fail, start_in_background, start_ticks

_ATTEMPTS = 3


class Pull:
    """One pull in the background: its record and its log lie in /run, so that a reboot ends both."""

    def __init__(self, name):
        base = os.path.join(RUN_DIRECTORY, "pulls", hashlib.sha256(name.encode()).hexdigest()[:16])
        self.record, self.log = base + ".json", base + ".log"

    def load(self):
        try:
            with open(self.record, encoding="utf-8") as file:
                return json.load(file)
        except (OSError, ValueError):
            return {}

    def save(self, **facts):
        os.makedirs(os.path.dirname(self.record), mode=0o755, exist_ok=True)
        with open(self.record + ".new", "w", encoding="utf-8") as file:
            json.dump({**self.load(), **facts}, file)
        os.replace(self.record + ".new", self.record)

    def text(self):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def running(self):
        found = self.load()
        return bool(found.get("pid")) and start_ticks(found["pid"]) == found.get("ticks")

    def start(self, docker, reference):
        found = self.load()
        os.makedirs(os.path.dirname(self.record), mode=0o755, exist_ok=True)
        pid = start_in_background([docker, "pull", reference], self.log)
        self.save(
            pid=pid,
            ticks=start_ticks(pid),
            started=found.get("started") or time.time(),
            attempts=found.get("attempts", 0) + 1,
            finished=None,
        )


def digest_of(module, docker, reference):
    """Whether the image is there, and the digest under which a registry gave it."""
    code, out, _err = module.run_command([docker, "image", "inspect", reference])
    if code:
        return False, None
    digests = json.loads(out)[0].get("RepoDigests") or []
    return True, digests[0].partition("@")[2] if digests else None


def hold(state_file, name, digest):
    """Remember the digest that the first pull brought."""
    engine_state.change(state_file, lambda state: state["images"].update({name: digest}))


def main():
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "digest": {"type": "str"},
            "state": {"type": "str", "choices": ["pulling", "present"], "default": "present"},
            "slice": {"type": "float", "default": 5.0},
            "state_file": {"type": "path", "default": "/var/lib/linode-coder/engine.json"},
        },
        supports_check_mode=True,
    )
    params = module.params
    name, pull = params["name"], Pull(params["name"])
    docker = module.get_bin_path("docker", required=not module.check_mode)
    if not docker:
        module.exit_json(
            changed=True, present=False, reference=name, phase="to be fetched", started=None, finished=None
        )
    held = params["digest"] or engine_state.load(params["state_file"])["images"].get(name)
    reference = f"{name}@{held}" if held else name
    changed = False
    deadline = time.monotonic() + params["slice"]
    first_phase = None
    while True:
        present, digest = digest_of(module, docker, reference)
        record = pull.load()
        if present:
            if digest and not held:
                held, reference = digest, f"{name}@{digest}"
                if not module.check_mode:
                    hold(params["state_file"], name, digest)
            if record.get("started") and not record.get("finished") and not module.check_mode:
                # Not now: nobody may have looked for a while.
                pull.save(finished=os.path.getmtime(pull.log))
            record = pull.load()
            module.exit_json(
                changed=changed,
                present=True,
                reference=reference,
                phase="there",
                started=record.get("started"),
                finished=record.get("finished"),
            )
        if module.check_mode:
            module.exit_json(
                changed=True, present=False, reference=reference, phase="to be fetched", started=None, finished=None
            )
        if not pull.running():
            if record.get("pid"):
                failure, again = pull_failure(name, pull.text())
                if not again or record.get("attempts", 0) >= _ATTEMPTS:
                    pull.save(pid=None, started=None, attempts=0)
                    if held and failure.kind == "config" and held in (failure.cause or ""):
                        failure = Failure(
                            "config",
                            f"The registry does not have {name} with the digest {held} any more.",
                            cause=failure.cause,
                            remedy="Look at what changed before trusting another digest, then set vllm_image_digest.",
                            field="digest",
                            value=held,
                        )
                    fail(module, failure, present=False, reference=reference, phase="failed")
            pull.start(docker, reference)
            changed = True
        phase = pull_phase(pull.text())
        first_phase = first_phase or phase
        if params["state"] == "pulling" or phase != first_phase or time.monotonic() > deadline:
            record = pull.load()
            module.exit_json(
                changed=changed,
                present=False,
                reference=reference,
                phase=phase,
                started=record.get("started"),
                finished=None,
            )
        time.sleep(0.3)


if __name__ == "__main__":
    main()
