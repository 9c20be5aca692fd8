#!/usr/bin/python
# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: watchdog_notice
short_description: Tell people what a pass of the watchdog did
version_added: 0.1.0
description:
  - Runs on the control node. Posts what is worth a message in the report of a pass to a webhook, and shows it on the
    desktop where there is one.
  - Remembers what was told in C(told.json) in the state directory, so that what lasts is told once and not in every pass.
    An event that could not be sent is sent with a later pass, for a day.
  - Never fails because people could not be reached. RV(webhook) and RV(desktop) say whether they were.
attributes:
  check_mode:
    description: Says what would be told, and tells nobody.
    support: full
  diff_mode:
    description: Shows what people are told, by each way.
    support: full
options:
  decided:
    description: What M(linode_coder.gpu.linode_gpu_watch) decided. Empty when the account could not be looked at.
    type: dict
    default: {}
  deleted:
    description: What it answered when it deleted what was due. Empty when nothing was.
    type: dict
    default: {}
  observations:
    description: What was last seen on the VMs, by label, as M(linode_coder.gpu.linode_gpu_watch) takes it.
    type: dict
    default: {}
  healing:
    description: What came of healing, by label.
    type: dict
    default: {}
  failures:
    description: Failures beside those of O(decided) and O(deleted), each with C(kind) and C(message).
    type: dict
    default: {}
  waited:
    description: Tell what came of waiting for capacity, and nothing of a pass.
    type: dict
    suboptions:
      session:
        description: Name of the session.
        type: str
        required: true
      since:
        description: When the wait began, in Unix seconds.
        type: int
        required: true
      vm:
        description: The VM that came of it, as M(linode_coder.gpu.linode_gpu_instance) describes it.
        type: dict
      why:
        description: Why there is none.
        type: str
  url:
    description:
      - Address of the webhook, which gets a JSON document with the keys C(text), C(content), C(source) and C(notices).
      - The environment variable E(LINODE_CODER_NOTIFY_URL) is used when this is not set.
    type: str
  desktop:
    description: Whether to show it on this machine's desktop, with C(notify-send), when there is one.
    type: bool
    default: true
  timeout:
    description: Seconds after which the webhook counts as not answering.
    type: int
    default: 15
author:
  - linode_coder contributors (@linode-coder)
"""

EXAMPLES = r"""
- name: Tell people
  linode_coder.gpu.watchdog_notice:
    decided: "{{ pass }}"
    observations: "{{ observed }}"
"""

RETURN = r"""
report:
  description: The report of the pass, with what came of RV(webhook) and RV(desktop) under C(told).
  returned: success
  type: dict
  sample: {"sessions": [], "told": {"webhook": {"configured": true, "sent": 1, "waiting": 0, "why": null}}}
notices:
  description: What this pass has to say, whether or not it was said before.
  returned: success
  type: list
  elements: dict
  sample: [{"key": "blocked:lc-demo-1", "kind": "blocked", "label": "lc-demo-1", "text": "...", "lasting": true}]
webhook:
  description: How many notices were sent, how many wait for a later pass, and why they could not be sent.
  returned: success
  type: dict
  sample: {"configured": true, "sent": 1, "waiting": 0, "why": null}
desktop:
  description: The same for the desktop.
  returned: success
  type: dict
  sample: {"configured": false, "sent": 0, "waiting": 0, "why": null}
"""

import http.client
import json
import os
import shutil
import subprocess
import threading
import time
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import env_fallback

from ..module_utils.core.atomic_file import replace_file
from ..module_utils.core.file_lock import file_lock
from ..module_utils.core.local_module import Call, LocalModule
from ..module_utils.core.paths import state_dir
from ..module_utils.watch.next_steps import report_of
from ..module_utils.watch.notices import Notice, Told, body_of, notices_of, of_waiting


def post(url: str, notices: list[Notice], timeout: int) -> str | None:
    """None, or why the webhook did not take it. The address is a secret and appears in no answer."""
    if not url.startswith(("http://", "https://")):
        return "its address is not an http or https one"
    from ansible.module_utils.urls import open_url  # takes longer to import than a pass with nothing to say takes

    try:
        with open_url(
            url,
            data=json.dumps(body_of(notices)).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
            timeout=timeout,
            follow_redirects="none",
            http_agent="linode-coder",
        ):
            return None
    except urllib.error.HTTPError as error:
        return f"it answered {error.code}"
    except TimeoutError:
        return f"it did not answer within {timeout} s"
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        return getattr(reason, "strerror", None) or type(reason).__name__


def send(url: str, notices: list[Notice], timeout: int) -> str | None:
    """As `post`, but never longer than ``timeout``, also when the answer drips."""
    said: list[str | None] = [f"it did not answer within {timeout} s"]

    def work() -> None:
        said[0] = post(url, notices, timeout)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(timeout + 1)
    return said[0]


def desktop_address() -> str | None:
    """Where this user's desktop listens, also for a cron job, which has no environment. None without a desktop."""
    given = os.environ.get("DBUS_SESSION_BUS_ADDRESS")
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    socket = Path(runtime) / "bus"
    return given or (f"unix:path={socket}" if socket.exists() else None)


def show(program: str, address: str, notices: list[Notice]) -> str | None:
    """None, or why the desktop did not show it."""
    text = "\n".join(one.text for one in notices)
    command = [program, "--app-name=linode-coder", "--", "linode-coder", text]
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "DBUS_SESSION_BUS_ADDRESS": address}
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False
        )
    except subprocess.TimeoutExpired:
        return "notify-send did not end within 10 s"
    except OSError as error:
        return error.strerror
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return None if done.returncode == 0 else (said or [f"notify-send ended with {done.returncode}"])[-1]


@contextmanager
def locked(module: Call, directory: Path) -> Iterator[None]:
    """One pass of this machine at a time; where no lock can be made, what is told matters more than that it is told once."""
    with ExitStack() as stack:
        try:
            stack.enter_context(file_lock(directory / "told.lock"))
        except OSError as error:
            module.warn(f"{directory} cannot be written, so two passes may tell the same: {error.strerror}")
        yield


def remembered(module: Call, path: Path) -> dict[str, Told]:
    """What each way was used for. A record that cannot be read begins anew: then something is told twice."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {name: Told.from_dict(data[name]) for name in ("webhook", "desktop")}
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (ValueError, KeyError, TypeError) as error:
        module.warn(f"{path} is not readable, so what was told is not known: {error}")
    return {"webhook": Told(), "desktop": Told()}


def tell(module: Call, notices: list[Notice]) -> tuple[dict[str, dict[str, Any]], dict[str, list[str]]]:
    """Use every way there is; what came of each, and the texts that went there or, in check mode, would go."""
    url = module.params["url"]
    program, address = shutil.which("notify-send"), desktop_address()
    ways: dict[str, Callable[[list[Notice]], str | None] | None] = {
        "webhook": (lambda due: send(url, due, module.params["timeout"])) if url else None,
        "desktop": (lambda due: show(program, address, due))
        if module.params["desktop"] and program and address
        else None,
    }
    path = state_dir() / "told.json"
    outcome, texts = {}, {}
    with locked(module, path.parent):
        told = remembered(module, path)
        now = int(time.time())
        for name, way in ways.items():
            due = told[name].due(notices) if way else []
            why = way(due) if way and due and not module.check_mode else None
            said = bool(way) and not module.check_mode and why is None
            if way and not module.check_mode:
                told[name] = told[name].after(notices, said, now)
            if due and (said or module.check_mode):
                texts[name] = [one.text for one in due]
            outcome[name] = {
                "configured": bool(way),
                "sent": len(due) if said else 0,
                "waiting": len(told[name].waiting),
                "why": why,
            }
        if not module.check_mode:
            try:
                replace_file(path, json.dumps({name: one.as_dict() for name, one in told.items()}))
            except OSError as error:
                module.warn(f"{path} cannot be written, so the next pass may tell the same again: {error.strerror}")
    return outcome, texts


def work(module: Call, result: dict[str, Any]) -> None:
    given = module.params
    if given["waited"]:
        waited = given["waited"]
        notice = of_waiting(waited["session"], waited["since"], waited["vm"], waited["why"])
        outcome, texts = tell(module, [notice])
        result["changed"] = bool(texts)
        result["diff"] = {"before": {}, "after": texts}
        result.update(report={"told": outcome}, notices=[notice.as_dict()], **outcome)
        return
    report = report_of(given["decided"], given["deleted"], given["observations"], given["healing"], given["failures"])
    notices = notices_of(report)
    outcome, texts = tell(module, notices)
    result["changed"] = bool(texts)
    result["diff"] = {"before": {}, "after": texts}
    result.update(report={**report, "told": outcome}, notices=[one.as_dict() for one in notices], **outcome)


MODULE = LocalModule(
    {
        "decided": {"type": "dict", "default": {}},
        "deleted": {"type": "dict", "default": {}},
        "observations": {"type": "dict", "default": {}},
        "healing": {"type": "dict", "default": {}},
        "failures": {"type": "dict", "default": {}},
        "waited": {
            "type": "dict",
            "options": {
                "session": {"type": "str", "required": True},
                "since": {"type": "int", "required": True},
                "vm": {"type": "dict"},
                "why": {"type": "str"},
            },
        },
        "url": {"type": "str", "no_log": True, "fallback": (env_fallback, ["LINODE_CODER_NOTIFY_URL"])},
        "desktop": {"type": "bool", "default": True},
        "timeout": {"type": "int", "default": 15},
    },
    work,
)


def main() -> None:
    MODULE.main()


if __name__ == "__main__":
    main()
