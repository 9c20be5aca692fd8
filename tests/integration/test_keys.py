# SPDX-License-Identifier: GPL-3.0-or-later
"""Two control nodes with keys of their own and one token: what each can do with a session that one of them made."""

from __future__ import annotations

import json
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.api_key import SECRETS_FILE
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.client_keys import parse_key

from tests import product
from tests.product import error_of, result_of
from tests.ready_session import ready_session
from tests.sandbox_fixture import RunningSandbox

coder = partial(product.coder, timeout=270)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with ready_session(tmp_path_factory, tmp_path_factory.mktemp("keys")) as running:
        yield running


@pytest.fixture(scope="module")
def other() -> Iterator[dict[str, str]]:
    """The environment of the second control node, which has the token and nothing else of the first."""
    with tempfile.TemporaryDirectory(prefix="lc-b-") as home:
        # Without these it would go through connections that the first one keeps open.
        yield {"LINODE_CODER_HOME": home, "XDG_RUNTIME_DIR": home, "ANSIBLE_HOME": f"{home}/a"}


def _did(sandbox: RunningSandbox) -> list[tuple[Any, ...]]:
    """What happened to VMs but for changes of tags, which the watchdog may write."""
    events = sandbox.api("GET", "account/events")["data"]
    return [(event["id"], event["action"]) for event in events if event["action"] != "linode_update"]


def test_who_is_let_in_and_what_a_stranger_leaves_alone(sandbox: RunningSandbox, other: dict[str, str]) -> None:
    here, there = partial(coder, sandbox), partial(coder, sandbox, **other)
    # The token shows the session; its VM opens to the key alone. The first try makes the key.
    assert json.loads(there("list", "--json").stdout)["sessions"][0]["name"] == "main"
    for words in (("keys", "list", "main"), ("use", "main"), ("logs", "main", "--tail", "1")):
        refused = error_of(there(*words, "--json"), 4)
        assert refused["kind"] == "auth" and "linode-coder keys add FILE main" in refused["remedy"], words
    before = _did(sandbox)
    checked = json.loads(there("check", "main", "--json").stdout.splitlines()[-1])
    assert ("vm.ssh", "unknown", "unknown_key") in [
        (found["id"], found["severity"], found["cause"]) for found in checked["sessions"][0]["findings"]
    ]
    # Who waits for nothing would have taken a VM that is out of reach for broken.
    told = json.loads(there("heal", "main", "--patience", "0", "--now", "--yes", "--json").stdout.splitlines()[-1])[
        "error"
    ]
    assert "blind" in told["message"] and "keys add" in told["remedy"]
    for _pass in range(2):
        seen = result_of(there("watchdog", "--once", "--json"))
        assert all(report["stop"]["reason"] == "blind" for report in seen["healing"].values())
        assert "lc-main-1" in seen["unobserved"] and seen["healthy"] == [] and seen["marked"] == {}
    assert _did(sandbox) == before
    # What needs the API only.
    assert result_of(there("extend", "main", "1h", "--json"))["changed"]
    assert result_of(there("pause", "main", "--json"))["changed"]
    assert result_of(there("pause", "main", "--off", "--json"))["changed"]

    public = Path(other["LINODE_CODER_HOME"]) / "state/ssh/id_ed25519.pub"
    key = parse_key(public.read_text())
    assert result_of(here("keys", "add", str(public), "main", "--dry-run", "--json"))["added"] == [key.fingerprint]
    assert there("ssh", "main", "--", "true").returncode == 4
    assert result_of(here("keys", "add", str(public), "main", "--json"))["added"] == [key.fingerprint]
    assert result_of(here("keys", "add", str(public), "main", "--json"))["added"] == []
    assert there("ssh", "main", "--", "echo in").stdout == "in\n"
    assert result_of(there("watchdog", "--once", "--json"))["unobserved"] == {}

    # Both have the same comment, which then names neither.
    ambiguous = error_of(here("keys", "remove", key.comment, "main", "--yes", "--json"), 2)
    assert key.fingerprint in ambiguous["remedy"]
    own = parse_key((sandbox.home / "state/ssh/id_ed25519.pub").read_text()).fingerprint
    assert error_of(here("keys", "remove", own, "main", "--yes", "--json"), 3)["kind"] == "refused"
    gone = result_of(here("keys", "remove", key.fingerprint, "main", "--yes", "--json"))
    assert gone["removed"] == [key.fingerprint] and [one["fingerprint"] for one in gone["keys"]] == [own]
    assert error_of(there("logs", "main", "--json"), 4)["kind"] == "auth"


def test_the_api_key_that_somebody_may_have_copied_opens_nothing_more(sandbox: RunningSandbox) -> None:
    """By the steps that the page names."""
    old = (sandbox.home / "state/sessions/main/api_key").read_text().strip()
    assert coder(sandbox, "ssh", "main", "--", f"rm {SECRETS_FILE}").returncode == 0
    up = result_of(coder(sandbox, "up", "main", "--converge", "--json"))
    new = Path(up["api_key_file"]).read_text().strip()

    def models(key: str) -> int:
        request = urllib.request.Request(up["endpoint"] + "/models", headers={"Authorization": f"Bearer {key}"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    assert (models(new), models(old)) == (200, 401)
