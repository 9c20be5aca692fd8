#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: session_activity
short_description: Look at the engine's use, and advance the idle clock on the VM
version_added: 0.1.0
description:
  - Runs on the VM. Reads the engine's counters and advances the idle clock in C(activity.json), under a lock and
    atomically, so that any number of watchers share one clock.
  - Shows a notice to everybody who is logged in or logs in.
  - Counting is not a change of the VM, so only a notice is reported as one.
attributes:
  check_mode:
    description: Says how idle the engine is, without writing anything.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
options:
  port:
    description: Port of the engine on loopback.
    type: int
    default: 8000
  watcher:
    description: Who is looking. Kept with the time, so that people can see that somebody does.
    type: str
  interval:
    description: After how many seconds this watcher looks again.
    type: int
    default: 300
  notice:
    description: Text for people on the VM. An empty one takes the text back; without it nothing is said.
    type: str
  state_dir:
    description: Where C(activity.json) is.
    type: path
    default: /var/lib/linode-coder
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Look how idle it is
  linode_coder.gpu.session_activity:
    watcher: ada@laptop
  register: use
"""

RETURN = r"""
clock:
  description: The idle clock.
  returned: success
  type: dict
  sample: {"schema": 1, "started": true, "readable": true, "idle_s": 1260.5}
hung:
  description: Whether requests have been waiting for minutes without a token.
  returned: success
  type: bool
  sample: false
activity:
  description: The engine's use as it was counted.
  returned: success
  type: dict
  sample: {"readable": true, "generation_tokens": 1234, "running": 0, "waiting": 0}
watched:
  description: Who looked last, and when.
  returned: success
  type: dict
  sample: {"by": "ada@laptop", "at": 1800000000, "interval": 300}
broadcast:
  description: Whether a notice was shown to the terminals.
  returned: success
  type: bool
  sample: false
"""

import fcntl
import json
import os
import time
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url

from ..module_utils import vllm_metrics
from ..module_utils.idle_clock import IdleClock, Sample, advance
from ..module_utils.own_tokens import OwnTokens

LOCK = Path("/run/linode-coder/activity.lock")
# Shown at every login by pam_motd; gone after a reboot.
MOTD = Path("/run/motd.d/60-linode-coder")


def read_activity(port, state_dir):
    """The engine's use without the tokens of our own checks, and whether it has produced any at all."""
    with OwnTokens(state_dir) as own:
        try:
            with open_url(f"http://127.0.0.1:{port}/metrics", timeout=10, use_proxy=False) as answer:
                text = answer.read().decode(errors="replace")
        except (OSError, ValueError, HTTPException):
            text = ""
        activity = vllm_metrics.activity(text)
        used = vllm_metrics.without(activity, **own.of(activity["process_start"]))
    return {**used, "served": bool(activity["generation_tokens"])}


def sample_of(activity):
    """``activity`` with the time of this boot."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot_id = file.read().strip()
    with open("/proc/uptime", encoding="ascii") as file:
        uptime = float(file.read().split()[0])
    counters = ("prompt_tokens", "generation_tokens", "requests", "running", "waiting")
    numbers = {name: int(activity[name] or 0) for name in counters}
    start = activity["process_start"]
    return Sample(
        boot_id,
        uptime,
        int(time.time()),
        readable=activity["readable"],
        process_start=None if start is None else float(start),
        served=activity["served"],
        **numbers,
    )


@contextmanager
def locked():
    """One watcher at a time; the lock goes with the process and with the boot."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("a", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def kept(module, path):
    """The record on the VM. One that cannot be read begins anew: that can only make the VM live longer."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        return IdleClock.from_dict(record["clock"]), record.get("watched")
    except FileNotFoundError:
        return IdleClock(), None
    except (ValueError, KeyError, TypeError) as error:
        module.warn(f"{path} is not readable, so the idle clock begins anew: {error}")
        return IdleClock(), None


def write(path, record):
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(record, file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def tell(module, text):
    """Whether the terminals were told. The text stays for those who log in later, until it is taken back."""
    shown = MOTD.read_text(encoding="utf-8") if MOTD.exists() else ""
    if shown.strip() == text.strip():
        return False, False
    if module.check_mode:
        return True, False
    if not text.strip():
        MOTD.unlink(missing_ok=True)
        return True, False
    MOTD.parent.mkdir(parents=True, exist_ok=True)
    MOTD.write_text(text.strip() + "\n", encoding="utf-8")
    wall = module.get_bin_path("wall")
    if wall is None:
        return True, False
    code, _out, _err = module.run_command([wall], data=f"linode-coder: {text.strip()}\n")
    return True, code == 0


def main():
    module = AnsibleModule(
        argument_spec={
            "port": {"type": "int", "default": 8000},
            "watcher": {"type": "str"},
            "interval": {"type": "int", "default": 300},
            "notice": {"type": "str"},
            "state_dir": {"type": "path", "default": "/var/lib/linode-coder"},
        },
        supports_check_mode=True,
    )
    params = module.params
    path = Path(params["state_dir"]) / "activity.json"
    activity = read_activity(params["port"], params["state_dir"])
    if module.check_mode:
        clock, watched = kept(module, path)
        clock = advance(clock, sample_of(activity))
    else:
        with locked():
            # The time is taken under the lock, so that a later sample is never counted before an earlier one.
            clock, watched = kept(module, path)
            sample = sample_of(activity)
            clock = advance(clock, sample)
            if params["watcher"]:
                watched = {"by": params["watcher"], "at": sample.at, "interval": params["interval"]}
            write(path, {"clock": clock.as_dict(), "watched": watched})
    changed, broadcast = tell(module, params["notice"]) if params["notice"] is not None else (False, False)
    module.exit_json(
        changed=changed,
        clock=clock.as_dict(),
        hung=clock.hung,
        activity=activity,
        watched=watched,
        broadcast=broadcast,
    )


if __name__ == "__main__":
    main()
