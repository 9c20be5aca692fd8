# SPDX-License-Identifier: GPL-3.0-or-later
"""The API modules against the sandbox's own API: what the scripted one was told to answer, this one decides itself."""

from __future__ import annotations

import asyncio
import importlib
import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from ansible.module_utils.testing import patch_module_args

from linode_coder.sandbox.api.app import new_app, serve_api
from linode_coder.sandbox.api.sandbox import Sandbox
from linode_coder.sandbox.hosts.none import NoHosts
from linode_coder.sandbox.own_token import TOKEN

MODULES = "ansible_collections.linode_coder.gpu.plugins.modules."
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me"
CREATE = "POST /linode/instances"


class Served:
    """A sandbox without hosts, served from a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.sandbox, self._runner, self.url = self.do(self._start())

    def do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=60)

    async def _start(self) -> tuple[Sandbox, web.AppRunner, str]:
        sandbox = Sandbox(NoHosts())
        app = new_app()
        serve_api(app, sandbox)
        runner = web.AppRunner(app, shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return sandbox, runner, f"http://127.0.0.1:{runner.addresses[0][1]}/"

    def fault(self, **wanted: Any) -> None:
        async def add() -> None:
            self.sandbox.faults.add(wanted)

        self.do(add())

    def labels(self) -> list[str]:
        async def read() -> list[str]:
            return [record["api"]["label"] for record in self.sandbox.instances()]

        return list(self.do(read()))

    def stop(self) -> None:
        async def end() -> None:
            await self._runner.cleanup()
            await self.sandbox.lifecycle.stop()

        self.do(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()


@pytest.fixture
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.stop()


@pytest.fixture
def run(
    served: Served, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., dict[str, Any]]:
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path))

    def call(name: str, check: bool = False, **arguments: Any) -> dict[str, Any]:
        module = importlib.import_module(MODULES + name)
        given = {"api_token": TOKEN, "api_url": served.url, "_ansible_check_mode": check, "_ansible_diff": True}
        with patch_module_args(given | arguments), pytest.raises(SystemExit):
            module.main()
        out = capsys.readouterr().out
        assert TOKEN not in out
        assert "PRIVATE KEY" not in out
        return dict(json.loads(out))

    return call


@pytest.fixture
def up(run: Any) -> Any:
    """Quote, firewall and VM, as the playbook does it."""

    def call(check: bool = False, **wishes: Any) -> dict[str, Any]:
        quote = run("linode_gpu_quote", session="demo", lease="2h", **wishes)["quote"]
        firewall = run("linode_firewall", session="demo", check=check)["firewall"]
        offers = [{key: offer[key] for key in ("plan", "region", "hourly")} for offer in quote["offers"]]
        return dict(
            run(
                "linode_gpu_instance",
                check=check,
                session="demo",
                offers=offers,
                model=quote["model"],
                lease="2h",
                authorized_keys=[KEY],
                firewall_id=firewall["id"] if firewall else None,
            )
        )

    return call


def test_up_again_and_down(served: Served, run: Any, up: Any) -> None:
    assert up(check=True)["changed"] is True
    assert served.labels() == []
    first = up()
    assert (first["changed"], first["instance"]["status"], first["instance"]["complete"]) == (True, "running", True)
    again = up()
    assert (again["changed"], again["actions"]) == (False, [])
    assert [row["name"] for row in run("linode_gpu_instance_info")["sessions"]] == ["demo"]
    down = run("linode_gpu_instance", session="demo", state="absent", account=first["account"])
    assert (down["changed"], down["hours"]) == (True, 1)
    assert run("linode_firewall", session="demo", state="absent")["changed"] is True
    assert served.labels() == []


@pytest.mark.parametrize(
    "kind",
    [
        *("error_after_commit", "reset_after_commit", "edge_after_commit"),
        *("error", "reset", "edge", "maintenance"),
    ],
)
def test_exactly_one_vm_whatever_becomes_of_the_answer(served: Served, up: Any, kind: str) -> None:
    served.fault(kind=kind, on=CREATE)
    result = up()
    assert result["instance"]["status"] == "running"
    assert served.labels() == ["lc-demo-1"]


def test_the_third_place_is_used_and_the_first_two_are_reported(served: Served, up: Any) -> None:
    served.fault(kind="capacity", count=2)
    result = up(plans=["g2-gpu-rtx4000a1-s"], regions=["us-ord", "us-sea", "fr-par"])
    assert [(row["region"], row["outcome"]) for row in result["attempts"]] == [
        ("us-ord", "no capacity"),
        ("us-sea", "no capacity"),
        ("fr-par", "created"),
    ]
    assert result["instance"]["region"] == "fr-par"


def test_a_failed_boot_says_what_is_billing_and_the_next_up_boots_again(served: Served, up: Any) -> None:
    served.fault(kind="boot_failure")
    failed = up()
    assert failed["failure"]["kind"] == "cloud"
    assert "linode-coder down demo" in failed["failure"]["billing"][0]
    result = up()
    assert (result["instance"]["status"], result["actions"]) == ("running", ["booted lc-demo-1"])


def test_reboot_is_waited_for(served: Served, run: Any, up: Any) -> None:
    up()
    result = run("linode_gpu_instance", session="demo", state="rebooted")
    assert (result["changed"], result["instance"]["status"]) == (True, "running")


def ask(served: Served, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Another client of the same account."""
    request = urllib.request.Request(
        served.url + path,
        data=json.dumps(body).encode(),
        method=method,
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return dict(json.loads(answer.read()))


def test_somebody_elses_lock_is_respected_and_named(served: Served, run: Any, up: Any) -> None:
    number = up()["instance"]["linode_id"]
    wanted = {"entity_type": "linode", "entity_id": number, "lock_type": "cannot_delete"}
    lock = ask(served, "POST", "v4beta/locks", wanted)
    refused = run("linode_gpu_instance", session="demo", state="absent")
    assert (refused["failure"]["kind"], refused["changed"]) == ("conflict", False)
    assert "lock" in refused["failure"]["message"]
    assert served.labels() == ["lc-demo-1"]
    ask(served, "DELETE", f"v4beta/locks/{lock['id']}", {})
    assert run("linode_gpu_instance", session="demo", state="absent")["changed"] is True


@pytest.mark.parametrize("setting", ["legacy_config_only", "linode_only", "linode_default_but_legacy_config_allowed"])
def test_the_accounts_kind_of_interface_is_used(served: Served, up: Any, setting: str) -> None:
    ask(served, "PUT", "v4/account/settings", {"interfaces_for_new_linodes": setting})
    number = up()["instance"]["linode_id"]
    firewalls = ask(served, "GET", f"v4/linode/instances/{number}/firewalls", {})
    view = ask(served, "GET", f"v4/linode/instances/{number}", {})
    assert view["interface_generation"] == ("legacy_config" if setting.startswith("legacy") else "linode")
    if view["interface_generation"] == "legacy_config":
        assert [row["label"] for row in firewalls["data"]] == ["lc-demo"]
