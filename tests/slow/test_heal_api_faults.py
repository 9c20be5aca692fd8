# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of the API while it reboots, power-cycles or replaces a VM, by the real client over HTTP: nothing is done twice,
nothing is left behind, and a later pass finishes what could not be done."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.linode_coder.gpu.plugins.module_utils.core import retry
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal import provider as heal_provider
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.attempts import Attempt

from tests.sandbox_fixture import RETRY_SCALE, RunningSandbox, start_sandbox
from tests.slow.test_leases import make

MODULES = "ansible_collections.linode_coder.gpu.plugins.modules."
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f me"
Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with start_sandbox(tmp_path_factory.mktemp("faults"), timing="instant", rate_limits="off") as running:
        yield running


@pytest.fixture
def run(sandbox: RunningSandbox, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("LINODE_CODER_HOME", str(sandbox.home))
    monkeypatch.setenv(retry.VARIABLE, RETRY_SCALE)
    # Long enough for a request that is carried out after its answer was given up.
    monkeypatch.setattr(heal_provider, "RECONCILE_S", 30.0)

    def call(name: str, **arguments: Any) -> dict[str, Any]:
        given = {"api_token": sandbox.env["LINODE_TOKEN"], "api_url": sandbox.url, "api_timeout": 5.0, **arguments}
        with patch_module_args(given), pytest.raises(SystemExit):
            importlib.import_module(MODULES + name).main()
        return dict(json.loads(capsys.readouterr().out))

    return call


@pytest.fixture
def session(sandbox: RunningSandbox) -> Iterator[str]:
    name = f"f{next(_numbers)}"
    make(sandbox, name)
    yield name
    sandbox.clear_faults()
    for row in rows(sandbox, name):
        sandbox.api("DELETE", f"linode/instances/{row['id']}")


_numbers = count()


def rows(sandbox: RunningSandbox, name: str) -> list[dict[str, Any]]:
    found = sandbox.api("GET", "linode/instances")["data"]
    return [row for row in found if f"lc:session:{name}" in row["tags"] and row["status"] != "deleting"]


def done(sandbox: RunningSandbox, number: int, *actions: str) -> list[str]:
    events = sandbox.api("GET", "account/events?page_size=100")["data"]
    mine = [event for event in reversed(events) if (event["entity"] or {}).get("id") == number]
    return [event["action"] for event in mine if event["action"] in actions]


def attempt(rung: str) -> dict[str, str]:
    return Attempt(rung, "1a2b3c4d", int(time.time()), "9f3c").as_dict()


# Fault, and whether the request was carried out in spite of it.
FAULTS: tuple[tuple[dict[str, Any], bool], ...] = (
    ({"kind": "rate_limited", "retry_after": 1}, True),
    ({"kind": "error", "status": 500}, False),
    ({"kind": "error", "status": 503}, False),
    ({"kind": "error", "status": 408}, False),
    ({"kind": "error_after_commit", "status": 502}, True),
    ({"kind": "error_after_commit", "status": 408}, True),
    ({"kind": "reset"}, False),
    ({"kind": "reset_after_commit"}, True),
    ({"kind": "delay", "delay": 7}, True),
)


@pytest.mark.parametrize(
    ("fault", "happens"),
    FAULTS,
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_a_reboot_is_never_asked_for_twice(
    sandbox: RunningSandbox, run: Run, session: str, fault: dict[str, Any], happens: bool
) -> None:
    (vm,) = rows(sandbox, session)
    sandbox.fault(on=f"POST /linode/instances/{vm['id']}/reboot", **fault)
    planned = attempt("reboot")
    seen = run("linode_gpu_heal", session=session)["provider"]
    taken = run("linode_gpu_heal", session=session, state="healed", attempt=planned, provider=seen, patience=0.0)
    assert taken["outcome"] == ("acted" if happens else "unclear"), taken
    assert done(sandbox, vm["id"], "linode_reboot") == ["linode_reboot"] * happens
    # A pass that goes on with the same attempt, from what it sees by now.
    again = run("linode_gpu_heal", session=session)["provider"]
    stale = run("linode_gpu_heal", session=session, state="healed", attempt=planned, provider=seen, patience=0.0)
    if happens:
        assert stale["outcome"] == "stood_down", stale
    else:
        assert stale["outcome"] == "acted", stale
    assert done(sandbox, vm["id"], "linode_reboot") == ["linode_reboot"]
    assert again["tags"] == [f"lc-heal:{planned['id']}"]


@pytest.mark.parametrize("step", ["shutdown", "boot"])
@pytest.mark.parametrize("kind", ["error", "error_after_commit", "reset_after_commit", "rate_limited"])
def test_a_power_cycle_that_breaks_off_is_finished(
    sandbox: RunningSandbox, run: Run, session: str, step: str, kind: str
) -> None:
    (vm,) = rows(sandbox, session)
    sandbox.fault(on=f"POST /linode/instances/{vm['id']}/{step}", kind=kind, retry_after=1)
    planned = attempt("power_cycle")
    before = len(done(sandbox, vm["id"], "linode_boot"))
    for _pass in range(3):
        seen = run("linode_gpu_heal", session=session)["provider"]
        taken = run("linode_gpu_heal", session=session, state="healed", attempt=planned, provider=seen, patience=0.0)
        if taken["outcome"] == "acted":
            break
        assert taken["outcome"] == "unclear", taken
    assert taken["outcome"] == "acted"
    assert rows(sandbox, session)[0]["status"] == "running"
    assert done(sandbox, vm["id"], "linode_shutdown") == ["linode_shutdown"]
    assert len(done(sandbox, vm["id"], "linode_boot")) == before + 1


CREATES = ({"kind": "capacity"}, *(fault for fault, _happens in FAULTS))


@pytest.mark.parametrize("fault", CREATES, ids=lambda fault: "-".join(map(str, fault.values())))
def test_a_replacement_is_made_once_and_the_old_vm_stays_until_then(
    sandbox: RunningSandbox, run: Run, session: str, fault: dict[str, Any]
) -> None:
    (vm,) = rows(sandbox, session)
    seen = run("linode_gpu_heal", session=session)["provider"]
    taken = run(
        "linode_gpu_heal", session=session, state="healed", attempt=attempt("recreate_vm"), provider=seen, patience=0.0
    )
    wanted = taken["replacement"]
    assert wanted["offers"] and all(place["hourly"] <= 0.52 for place in wanted["offers"])
    create = {"session": session, "model": "org/M", "authorized_keys": [KEY], "image": "linode/ubuntu24.04", **wanted}
    sandbox.fault(**({"on": "POST /linode/instances"} | fault))
    made = run("linode_gpu_instance", **create)
    if "failure" in made:
        assert rows(sandbox, session)[0]["id"] == vm["id"]
        made = run("linode_gpu_instance", **create)
    labels = [row["label"] for row in rows(sandbox, session)]
    assert labels == [f"lc-{session}-1", f"lc-{session}-2"]
    new = rows(sandbox, session)[1]
    assert "lc:gen:2" in new["tags"] and any(tag.startswith("lc-heal:recreate_vm") for tag in new["tags"])
    assert run("linode_gpu_instance", **create)["changed"] is False
    assert run("linode_gpu_heal", session=session)["provider"]["successor"] == new["label"]
    own = run("linode_gpu_heal", session=session, linode_id=new["id"])["provider"]
    assert (own["linode_id"], own["successor"]) == (new["id"], None)
    gone = run("linode_gpu_instance", session=session, generation=1, state="absent")
    assert gone["changed"] and [row["id"] for row in rows(sandbox, session)] == [new["id"]]


def test_with_no_stock_anywhere_the_old_vm_stays_and_a_person_is_told(
    sandbox: RunningSandbox, run: Run, session: str
) -> None:
    sandbox.fault(kind="capacity", count=None)
    seen = run("linode_gpu_heal", session=session)["provider"]
    given = {"session": session, "state": "healed", "attempt": attempt("recreate_vm"), "patience": 0.0}
    wanted = run("linode_gpu_heal", provider=seen, **given)["replacement"]
    made = run("linode_gpu_instance", session=session, model="org/M", authorized_keys=[KEY], **wanted)
    assert made["failure"]["kind"] == "capacity"
    assert f"lc-{session}-1 stays as it is, and bills" in made["failure"]["remedy"]
    assert [row["label"] for row in rows(sandbox, session)] == [f"lc-{session}-1"]
    # Nobody agreed to a higher price.
    dear = run("linode_gpu_heal", provider={**seen, "hourly": 0.1}, **given)
    assert dear["outcome"] == "failed" and "stays as it is" in dear["message"] and "replacement" not in dear


def test_with_the_api_down_nothing_is_done_and_a_sentence_says_so(
    sandbox: RunningSandbox, run: Run, session: str
) -> None:
    (vm,) = rows(sandbox, session)
    seen = run("linode_gpu_heal", session=session)["provider"]
    sandbox.fault(kind="error", on="* /**", status=503, count=None)
    given = {"session": session, "state": "healed", "attempt": attempt("reboot"), "patience": 0.0}
    failure = run("linode_gpu_heal", provider=seen, **given)["failure"]
    sandbox.clear_faults()
    assert failure["kind"] in ("transient", "ambiguous") and failure["message"].endswith(".")
    assert done(sandbox, vm["id"], "linode_reboot") == []
