#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: model_weights
short_description: Fetch a model's weights in a container of their own
version_added: 0.1.0
description:
  - Runs on the VM. The download goes on when the connection goes away, and goes on where it stopped after an interruption.
  - A model whose files are all there with their sizes is not asked for again, so an unreachable hub does not matter then.
  - A model that is an absolute path is a directory of the VM and is never fetched.
attributes:
  check_mode:
    description: Says whether it would fetch.
    support: full
  diff_mode:
    description: Shows what was asked for before and is now, and that its download is begun.
    support: full
options:
  model:
    description: Id of the model on the Hugging Face Hub.
    type: str
    required: true
  revision:
    description: Branch, tag or commit.
    type: str
    default: main
  project_dir:
    description: Directory of the download's Compose project.
    type: path
    default: /opt/linode-coder/weights
  models_dir:
    description: Cache of the hub's files on the VM.
    type: path
    default: /var/lib/linode-coder/models
  state:
    description:
      - V(fetching) makes sure that they are there or being fetched.
      - V(present) waits for at most O(slice) seconds, so that a retried task shows progress.
    type: str
    choices: [fetching, present]
    default: present
  slice:
    description: Seconds that one run waits at most.
    type: float
    default: 8.0
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Wait for the weights
  linode_coder.gpu.model_weights:
    model: Qwen/Qwen2.5-Coder-7B-Instruct-AWQ
  register: weights
  until: weights.present | default(false) or weights.failure is defined
  retries: 2000
  delay: 0
"""

RETURN = r"""
present:
  description: Whether all files are there.
  returned: success
  type: bool
  sample: true
phase:
  description: How far the download is.
  returned: success
  type: str
  sample: 3.1 of 5.6 GB fetched (55 %)
progress:
  description: The same as data, C(rate) in bytes per second. Null when nothing is known yet.
  returned: when it is waited for
  type: dict
  sample: {"done": 3100000000, "total": 5600000000, "unit": "bytes", "rate": 112000000}
started:
  description: When the download began, in seconds since the epoch; null when none is known.
  returned: success
  type: float
  sample: 1764000000.0
finished:
  description: When it was complete; null as above.
  returned: success
  type: float
  sample: 1764000090.0
"""

import os
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.core.atomic_file import replace_file
from ..module_utils.core.docker_compose import compose_command, compose_services
from ..module_utils.core.failure import Failure
from ..module_utils.core.module_fail import fail
from ..module_utils.core.vm_module import RUN_DIRECTORY
from ..module_utils.engine.diagnosis import known_refusal
from ..module_utils.engine.downloads import weights_failure, weights_phase, weights_progress
from ..module_utils.engine.downloads_look import SERVICE, weights_events
from ..module_utils.engine.env_file import env_line
from ..module_utils.model.kept_weights import complete

_STARTS = 4


def asked_before(path: str) -> str:
    """The request that is there; empty for none."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


class Download:
    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.project = module.params["project_dir"]
        docker = module.get_bin_path("docker", required=True)
        self.compose = compose_command(self.project, docker=docker)

    def events(self) -> list[dict[str, Any]]:
        return weights_events(self.compose)

    def running(self) -> bool:
        row = compose_services(self.module, self.project).get(SERVICE)
        return row is not None and row["State"] in ("running", "restarting")

    def count(self, first: bool) -> int:
        """How often this request was begun since it was made or the VM booted."""
        path = os.path.join(RUN_DIRECTORY, "weights-starts")
        try:
            with open(path, encoding="utf-8") as file:
                number = 0 if first else int(file.read())
        except (OSError, ValueError):
            number = 0
        os.makedirs(RUN_DIRECTORY, mode=0o755, exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(str(number + 1))
        return number + 1

    def start(self, first: bool) -> None:
        """Begin, or go on; Failure when it ended too often without saying why."""
        if self.count(first) > _STARTS:
            failure = Failure(
                "unhealthy",
                f"The download of {self.module.params['model']} ended {_STARTS} times without saying why.",
                remedy=f"Look at it on the VM: docker compose --project-directory {self.project} logs",
            )
            fail(self.module, failure, present=False, phase="failed")
        code, out, err = self.module.run_command([*self.compose, "up", "--detach", SERVICE])
        if code:
            said = (err or out).strip()
            known = known_refusal(said)
            failure = Failure(
                "unhealthy",
                "The download's container did not start." + (f" {known.sentence}" if known else ""),
                cause=said[-300:],
                remedy=known.remedy
                if known
                else f"Look at it on the VM: docker compose --project-directory {self.project} ps --all",
            )
            fail(self.module, failure, present=False, phase="failed")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "model": {"type": "str", "required": True},
            "revision": {"type": "str", "default": "main"},
            "project_dir": {"type": "path", "default": "/opt/linode-coder/weights"},
            "models_dir": {"type": "path", "default": "/var/lib/linode-coder/models"},
            "state": {"type": "str", "choices": ["fetching", "present"], "default": "present"},
            "slice": {"type": "float", "default": 8.0},
        },
        supports_check_mode=True,
    )
    params = module.params
    model, revision = params["model"], params["revision"]
    if complete(params["models_dir"], model, revision):
        started = finished = None
        if not model.startswith("/"):
            events = Download(module).events() if os.path.exists(params["project_dir"] + "/compose.yaml") else []
            if events and events[0].get("model") == model and events[-1]["event"] == "done":
                started, finished = events[0]["time"], events[-1]["time"]
        module.exit_json(changed=False, present=True, phase="there", started=started, finished=finished)
    if model.startswith("/"):
        failure = Failure(
            "config",
            f"The VM has no model in the directory {model}.",
            remedy="Put config.json and the weights there, or name a model of the Hugging Face Hub.",
            field="model",
            value=model,
        )
        fail(module, failure, present=False, phase="failed")
    request = os.path.join(params["project_dir"], "weights.env")
    try:
        before, wanted = asked_before(request), env_line("MODEL", model) + env_line("REVISION", revision)
    except Failure as failure:
        fail(module, failure, present=False, phase="failed")
    begun = {
        "before": {"request": before.splitlines(), "download": "not begun"},
        "after": {"request": wanted.splitlines(), "download": "begun"},
    }
    if module.check_mode:
        module.exit_json(changed=True, present=False, phase="to be fetched", started=None, finished=None, diff=begun)
    download = Download(module)
    changed = before != wanted
    if changed:
        replace_file(request, wanted, 0o644)  # the Compose file reads it
    if changed or (params["state"] == "fetching" and not download.running()):
        download.start(first=True)
        changed = True
    if params["state"] == "fetching":
        module.exit_json(
            changed=changed,
            present=False,
            phase="begun",
            started=None,
            finished=None,
            diff=begun if changed else {},
        )
    deadline = time.monotonic() + params["slice"]
    while True:
        running = download.running()
        events = download.events()
        if complete(params["models_dir"], model, revision):
            times = (events[0]["time"], events[-1]["time"]) if events else (None, None)
            module.exit_json(
                changed=changed,
                present=True,
                phase="fetched",
                started=times[0],
                finished=times[1],
                diff=begun if changed else {},
            )
        if not running:
            ended = weights_failure(model, events)
            if ended:
                fail(module, ended, present=False, phase="failed")
            # Cut by a reboot, or killed: it goes on.
            download.start(first=False)
            changed = True
        if time.monotonic() > deadline:
            module.exit_json(
                changed=changed,
                present=False,
                phase=weights_phase(events),
                progress=weights_progress(events),
                started=events[0]["time"] if events else None,
                finished=None,
                diff=begun if changed else {},
            )
        time.sleep(0.3)


if __name__ == "__main__":
    main()
