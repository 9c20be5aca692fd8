# SPDX-License-Identifier: GPL-3.0-or-later
"""`use` from another network: this machine is let in again where that can be what is wrong, and only there."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.ssh_access import WORLD, SshAccess, rules_for

from linode_coder.cli import reach
from linode_coder.endpoint import api_key, tunnel
from linode_coder.playbook import runner
from linode_coder.terminal.console import Console

VIEW = {"name": "demo", "linode_id": 7, "address": "127.0.0.1", "host_keys": []}
AWAY = Failure("unreachable", "No tunnel.")


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> list[str]:
    """What happens, in order, where the first try for a tunnel fails."""
    happened: list[str] = []
    failures = [AWAY]

    def open_tunnel(_view: dict[str, Any]) -> int:
        happened.append("tunnel")
        if failures:
            raise failures.pop()
        return 18000

    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path))
    monkeypatch.setattr(reach, "open_tunnel", open_tunnel)
    monkeypatch.setattr(
        runner, "run_playbook", lambda variables, _console: happened.append(f"{variables.playbook} {variables.given()}")
    )
    return happened


def walls(monkeypatch: pytest.MonkeyPatch, *accesses: SshAccess) -> None:
    rows = [{"label": "lc-demo", "tags": ["Linode-Coder"], "rules": rules_for(access)} for access in accesses]

    class Reader:
        def list(self, _path: str, _filter: dict[str, Any]) -> list[dict[str, Any]]:
            return rows

    monkeypatch.setattr(reach, "LinodeReader", Reader)


def test_it_is_let_in_with_one_sentence(
    away: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    walls(monkeypatch, SshAccess(seen=("203.0.113.7/32",)))
    assert reach.tunnel(Console(False), VIEW) == 18000
    assert away == ["tunnel", "let_in {'session': 'demo'}", "tunnel"]
    assert capsys.readouterr().err.count("may have changed") == 1


@pytest.mark.parametrize("access", [(), (SshAccess(WORLD),), (SshAccess(named=("198.51.100.0/24",)),)])
def test_what_people_named_is_left_as_it_is(
    away: list[str], monkeypatch: pytest.MonkeyPatch, access: tuple[SshAccess, ...]
) -> None:
    walls(monkeypatch, *access)
    with pytest.raises(Failure) as caught:
        reach.tunnel(Console(False), VIEW)
    assert caught.value is AWAY and away == ["tunnel"]


def test_a_vm_that_never_answers_ends_in_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path))
    monkeypatch.setattr(tunnel, "_SSH_S", 0.1)
    monkeypatch.setattr(api_key, "ssh_command", lambda _view, *_options: ["sh", "-c", "exec sleep 60"])
    with pytest.raises(Failure) as caught:
        api_key.api_key_file(VIEW)
    assert (caught.value.kind, caught.value.cause) == ("unreachable", "no answer in 0.1 s") and caught.value.remedy
