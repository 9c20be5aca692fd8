# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module's `diff_mode` is what it does: here that there is one, and the modules that no other test has change something.

`tests/documented_diff.py` holds the result of every module that any test runs in its process against it.
"""

from __future__ import annotations

import ast
import importlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import SessionTags, encode
from scripted_linode import ScriptedLinode

from tests.documented_diff import diff_support, wrong_diff

PLACE = "ansible_collections.linode_coder.gpu.plugins.modules"
NAMES = sorted(path.stem for path in Path(str(importlib.import_module(PLACE).__path__[0])).glob("[a-z]*.py"))
Run = Callable[..., dict[str, Any]]


@pytest.mark.parametrize("name", NAMES)
def test_only_a_module_that_has_a_diff_says_so(name: str) -> None:
    tree = ast.parse(Path(str(importlib.import_module(f"{PLACE}.{name}").__file__)).read_text())
    given = {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword)}
    named = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert diff_support(name) == ("full" if "diff" in given | named else "none")


def test_a_result_that_does_not_fit_is_noticed() -> None:
    shown = {"before": {"a": 1}, "after": {"a": 2}}
    assert wrong_diff("full", {"changed": True, "diff": shown}) is None
    assert wrong_diff("full", {"changed": True, "diff": [{}, shown]}) is None
    assert wrong_diff("full", {"changed": False, "diff": {"before": "", "after": ""}}) is None
    assert wrong_diff("full", {"changed": False}) is None
    assert wrong_diff("none", {"changed": True}) is None
    for support, result in (
        ("full", {"changed": True}),
        ("full", {"changed": True, "diff": {"before": "a", "after": "a"}}),
        ("full", {"changed": False, "diff": shown}),
        ("none", {"changed": True, "diff": shown}),
    ):
        assert wrong_diff(support, result), (support, result)


def test_an_old_firewall_without_a_vm_is_shown_before_it_goes(run: Run, api: ScriptedLinode, tags: list[str]) -> None:
    api.firewalls[7] = {
        **{"id": 7, "label": "lc-gone", "tags": ["linode-coder"], "entities": [], "rules": {}, "status": "enabled"},
        "created": "2026-01-01T00:00:00",
    }
    (dead,) = [row["label"] for row in run("linode_gpu_cleanup")["dead"]]
    for check in (True, False):
        removed = run("linode_gpu_cleanup", check=check, remove=[dead])
        assert removed["diff"] == {"before": {"dead": [dead]}, "after": {"dead": []}}
    assert run("linode_gpu_cleanup", remove=[dead])["changed"] is False


def test_a_deletion_that_is_due_is_shown_before_it_happens(run: Run, api: ScriptedLinode) -> None:
    now = int(time.time())
    over = SessionTags("demo", 1, "ada", now - 900, now + 7200, 45, 520000, "org/M", bytes(range(32)), doom=now - 600)
    api.add("lc-demo-1", encode(over), created="2026-01-01T00:00:00")
    assert run("linode_gpu_watch", check=True)["changed"] is False
    for check in (True, False):
        done = run("linode_gpu_watch", check=check, delete=["lc-demo-1"])
        assert (done["changed"], done["diff"]["after"]) == (True, {"deleted": ["lc-demo-1"]})


def test_what_healing_writes_into_tags_is_shown(run: Run, api: ScriptedLinode, tags: list[str]) -> None:
    api.add("lc-demo-1", tags)
    for check, changed in ((True, True), (False, True), (False, False)):
        assert run("linode_gpu_heal", check=check, session="demo", state="given_up")["changed"] is changed
    for check, changed in ((True, True), (False, True), (False, False)):
        told = run("linode_gpu_heal", check=check, session="demo", state="acknowledged")
        assert (told["changed"], bool(told["diff"]["before"]["attempts"])) == (changed, changed)


def test_the_notice_at_login_is_shown(call: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module, motd = importlib.import_module(f"{PLACE}.session_activity"), tmp_path / "motd"
    monkeypatch.setattr(module, "MOTD", motd)
    monkeypatch.setattr(module, "look_at_clock", lambda *_given: {})
    monkeypatch.setenv("PATH", str(tmp_path))  # nothing that would tell the terminals
    text = "It goes at noon.\n"
    assert call("session_activity", notice=text, check=True)["changed"] and not motd.exists()
    told = call("session_activity", notice=text.strip())
    assert (told["diff"]["before"], told["diff"]["after"], motd.read_text()) == ("", text, text)
    for same in ({"notice": text}, {}):
        assert call("session_activity", **same)["changed"] is False
    assert call("session_activity", notice="")["diff"]["before"] == text and not motd.exists()


def test_of_host_keys_the_public_halves_are_shown(
    call: Run, program: Callable[[str, str], None], tmp_path: Path
) -> None:
    live = tmp_path / "ssh_host_key" / "ssh_host_ed25519_key"
    live.parent.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(live)], check=True)
    old = " ".join(live.with_suffix(".pub").read_text().split()[:2])
    program("systemctl", "exit 0\n")
    place = {"directory": str(live.parent), "marker": str(tmp_path / "marker" / "replaced")}
    assert call("ssh_host_key", check=True, state="prepared", **place)["diff"]["after"] == {
        "next_host_key": "(a new one)"
    }
    new = call("ssh_host_key", state="prepared", **place)["public_key"]
    assert call("ssh_host_key", state="prepared", **place)["changed"] is False
    for check in (True, False):
        diff = call("ssh_host_key", check=check, state="active", **place)["diff"]
        assert (diff["before"]["host_key"], diff["after"]["host_key"]) == (old, new)
    assert call("ssh_host_key", state="active", **place)["changed"] is False
