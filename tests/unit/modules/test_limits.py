# SPDX-License-Identifier: GPL-3.0-or-later
"""Every limit at every door where money is spent, in one table: a cell is a test, or says why the limit does not apply there."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.cost import format_time, parse_time
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.attempts import Attempt
from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.provider import Provider
from ansible_collections.linode_coder.gpu.plugins.module_utils.linode.client import LinodeApi
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import SessionTags, decode, encode
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.view import session_view
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.warm_volume import warm_tags
from ansible_collections.linode_coder.gpu.plugins.module_utils.watch.decision import decide
from ansible_collections.linode_coder.gpu.plugins.module_utils.watch.idle_clock import IdleClock
from ansible_collections.linode_coder.gpu.plugins.modules import linode_gpu_session_tags
from scripted_linode import KEY, Fault, ScriptedLinode
from typer.testing import CliRunner

from linode_coder.cli import extend, heal, switch_model, up
from linode_coder.terminal.console import Console
from tests.mid_month import set_clock

LIMITS = ("max_cost", "budget", "cap", "lease", "idle")
DOORS = ("cli", "group", "playbook", "watcher", "replacement", "extend", "two nodes", "warm volume")
ADA_S = "g2-gpu-rtx4000a1-s"  # $0.52/h
HOUR = 3600
PLAYBOOKS = Path(__file__).parents[3] / "playbooks"


def ago(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - seconds))


@dataclass
class World:
    api: ScriptedLinode
    run: Callable[..., dict[str, Any]]
    env: Callable[[str, str], None]

    def vm(
        self, name: str = "demo", age: int = 60, lease: int = 2 * HOUR, cap: int = 9 * HOUR, **more: Any
    ) -> dict[str, Any]:
        """A session's VM that is ``age`` seconds old, and so old that hours of another month never matter."""
        now = int(time.time())
        tags = {"idle_minutes": 45, "hourly_micros": 520_000, **more}
        whole = SessionTags(
            name,
            1,
            "ada",
            now + lease,
            now + cap,
            model="Qwen/Qwen2.5-Coder-7B-Instruct-AWQ",
            host_key=bytes(range(32)),
            **tags,
        )
        return self.api.add(f"lc-{name}-1", encode(whole), created=ago(age))

    def refused(self, module: str, field: str, code: int = 3, **arguments: Any) -> str:
        """The message of a module's refusal, which wrote nothing."""
        failure = self.run(module, **arguments)["failure"]
        assert (failure["exit_code"], failure["field"]) == (code, field), failure
        self.nothing_written()
        return str(failure["message"])

    def command(self, app: Any, *arguments: str) -> Failure | None:
        """The failure of a command of this process; None when it came to its end."""
        done = CliRunner().invoke(app, list(arguments))
        if isinstance(done.exception, Failure):
            return done.exception
        assert done.exit_code == 0, (done.output, done.exception)
        return None

    def refuses(self, app: Any, field: str, *arguments: str, code: int = 3) -> Failure:
        failure = self.command(app, *arguments)
        assert failure is not None and (failure.exit_code, failure.field) == (code, field), failure
        assert failure.remedy
        self.nothing_written()
        return failure

    def nothing_written(self) -> None:
        assert {call.method for call in self.api.calls} <= {"GET"}

    def provider(self, **more: Any) -> Provider:
        client = LinodeApi("t", self.api.url, None)
        clock: Any = SimpleNamespace(now=time.time, sleep=lambda _seconds: None)
        return Provider(client, clock, "demo", settle=0, **more)

    def replace(self, **more: Any) -> Any:
        """What healing is told when it wants a VM in the place of this one."""
        provider = self.provider(**more)
        return provider.take(provider.look(), Attempt("recreate_vm", "0a1b2c3d", int(time.time()), "ab12"))

    def successor(self) -> Any:
        """The tags of the VM that takes the place of the session's."""
        offer = [{"plan": ADA_S, "region": "us-sea", "hourly": 0.52}]
        more = {"generation": 2, "predecessor": "lc-demo-1", "offers": offer, "authorized_keys": [KEY], "lease": "8h"}
        self.run("linode_gpu_instance", session="demo", model="org/M", **more)
        return decode(
            next(call.body for call in self.api.calls if call.path == "linode/instances" and call.body)["tags"]
        )


@pytest.fixture
def world(api: ScriptedLinode, run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    for name in ("LINODE_CODER_BUDGET", "LINODE_CODER_MAX_COST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LINODE_TOKEN", "planted-secret-token")
    monkeypatch.setenv("LINODE_API_URL", api.url)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("LINODE_CODER_PLAN", ADA_S)
    monkeypatch.setattr(linode_gpu_session_tags, "VERIFY_S", 0.01)
    monkeypatch.chdir(tmp_path)
    set_clock(monkeypatch)
    return World(api, run, monkeypatch.setenv)


def asked(playbook: str, module: str) -> list[dict[str, Any]]:
    """The arguments of every task of a playbook that uses ``module``."""

    def tasks(node: Any) -> list[dict[str, Any]]:
        if isinstance(node, list):
            return [found for item in node for found in tasks(item)]
        if not isinstance(node, dict):
            return []
        own = node.get(f"linode_coder.gpu.{module}")
        return [own if isinstance(own, dict) else {}] * (own is not None) + [
            found for key in ("tasks", "block", "rescue", "always") for found in tasks(node.get(key))
        ]

    return tasks(yaml.safe_load((PLAYBOOKS / playbook).read_text()))


def decision(row: dict[str, Any], clock: IdleClock | None = None, later: int = 0) -> tuple[str, str | None]:
    now = int(time.time()) + later
    found = decide(session_view(row, now), clock, now, 0)
    return found.action, found.cause


BUSY, IDLE = IdleClock(started=True, readable=True), IdleClock(started=True, readable=True, idle_s=9e9)


# -- max_cost --------------------------------------------------------------------------------------------------------


def max_cost_cli(world: World) -> None:
    world.env("LINODE_CODER_MAX_COST", "1")
    for mode in ("--dry-run", "--yes"):
        assert "more than max_cost $1.00" in world.refuses(up.app, "max_cost", "demo", mode).message
    assert world.command(up.app, "demo", "--dry-run", "--lease", "1h") is None


def max_cost_group(world: World) -> None:
    """Of all new sessions together."""
    world.env("LINODE_CODER_MAX_COST", "6")
    assert world.command(up.app, "demo", "--replicas", "1", "--dry-run") is None
    for mode in ("--dry-run", "--yes"):
        assert "more than max_cost" in world.refuses(up.app, "max_cost", "demo", "--replicas", "2", mode).message


def max_cost_playbook(world: World) -> None:
    assert all("max_cost" in task for task in asked("up.yml", "linode_gpu_quote"))
    world.refused("linode_gpu_quote", "max_cost", session="demo", max_cost=1.0)


def max_cost_replacement(world: World) -> None:
    """Nowhere at a higher price than somebody agreed to."""
    world.vm(hourly_micros=510_000)
    taken = world.replace()
    assert (taken.outcome, "for $0.51/h or less" in taken.message) == ("failed", True)


def max_cost_two_nodes(world: World) -> None:
    """Both come to the same VM, whose label there is once, and a longer lease is held against the limit by each."""
    world.vm()
    assert world.run("linode_gpu_quote", session="demo", max_cost=2.0)["quote"]["offers"] == []
    world.refused("linode_gpu_quote", "max_cost", session="demo", max_cost=2.0, lease="8h")


# -- budget ----------------------------------------------------------------------------------------------------------


def budget_cli(world: World) -> None:
    assert world.command(up.app, "demo", "--dry-run") is None
    assert not any("account" in call.path for call in world.api.calls)  # without one nothing more is asked
    world.env("LINODE_CODER_BUDGET", "1")
    for mode in ("--dry-run", "--yes"):
        failure = world.refuses(up.app, "budget", "demo", mode)
        assert "The budget of $1.00 a month does not allow the session demo: $0.00 are spent" in failure.message
        assert "would add $4.16" in failure.message and "at most 1 h" in str(failure.remedy)
    world.env("LINODE_CODER_BUDGET", "5")
    assert world.command(up.app, "demo", "--dry-run") is None
    row = world.vm("other", lease=30 * 60)
    assert "$0.52 are spent" in world.refuses(up.app, "budget", "demo", "--dry-run", "--lease", "9h").message
    row["tags"] = [tag.upper() for tag in row["tags"]]
    assert "$0.52 are spent" in world.refuses(up.app, "budget", "demo", "--dry-run", "--lease", "9h").message
    # Verifying what exists adds nothing; another model does not either, and is refused when all is spent.
    world.env("LINODE_CODER_BUDGET", "0.5")
    assert world.command(up.app, "other", "--dry-run") is None
    model = "Qwen/Qwen2.5-Coder-7B-Instruct-AWQ"
    assert "another model" in world.refuses(switch_model.app, "budget", "other", model, "--dry-run").message
    world.env("LINODE_CODER_BUDGET", "0.6")
    assert world.command(switch_model.app, "other", model, "--dry-run") is None


def budget_group(world: World) -> None:
    """Of all new sessions together, before the first of them is made; those that exist add nothing."""
    world.env("LINODE_CODER_BUDGET", "6")
    assert world.command(up.app, "demo", "--replicas", "1", "--dry-run") is None
    for mode in ("--dry-run", "--yes"):
        failure = world.refuses(up.app, "budget", "demo", "--replicas", "2", mode)
        assert "does not allow 2 sessions of the group demo" in failure.message and "would add $8.32" in failure.message
    world.vm("demo-1", lease=30 * 60, group="demo")
    assert world.command(up.app, "demo", "--replicas", "2", "--dry-run") is None
    assert (
        "2 sessions of the group demo"
        in world.refuses(up.app, "budget", "demo", "--replicas", "3", "--dry-run").message
    )
    world.env("LINODE_CODER_BUDGET", "0.1")
    assert world.command(up.app, "demo", "--replicas", "1", "--dry-run") is None
    # And a longer lease of all.
    world.vm("demo-2", lease=30 * 60, group="demo")
    world.env("LINODE_CODER_BUDGET", "2")
    assert world.command(extend.app, "demo-1", "1h", "--dry-run") is None
    assert "longer leases of demo" in world.refuses(extend.app, "budget", "demo", "1h").message


def budget_playbook(world: World) -> None:
    doors = (
        ("up.yml", "linode_gpu_quote"),
        ("extend.yml", "linode_gpu_session_tags"),
        ("validate.yml", "linode_gpu_preflight"),
        ("tasks/heal_take.yml", "linode_gpu_heal"),
        ("watchdog.yml", "linode_gpu_watch"),
    )
    for playbook, module in doors:
        assert any({"budget", "budget_records"} <= set(task) for task in asked(playbook, module)), playbook
    assert "budget" in asked("switch_model.yml", "linode_gpu_quote")[0]
    world.refused("linode_gpu_quote", "budget", session="demo", budget=1.0)
    for wrong in (0.0, -3.0):
        world.refused("linode_gpu_quote", "budget", code=2, session="demo", budget=wrong)
    checked = world.run("linode_gpu_preflight", budget=1.0, fail_when_refused=False)["findings"]
    assert [row["severity"] for row in checked if row["id"] == "preflight.budget"] == ["fail"]
    # What only fits in some places is offered there alone.
    plans, short = ["g2-gpu-rtx4000a1-xl", ADA_S], {"regions": ["us-ord"], "lease": "2h", "budget": 1.5}
    offers = world.run("linode_gpu_quote", session="demo", plans=plans, **short)["quote"]["offers"]
    assert {offer["plan"] for offer in offers} == {ADA_S}


def budget_watcher(world: World) -> None:
    row = world.vm(age=90 * 60, lease=6 * HOUR, cap=9 * HOUR)
    assert world.run("linode_gpu_watch")["budget"] is None
    warned = world.run("linode_gpu_watch", budget=1.5)
    assert (warned["budget"]["state"], warned["budget"]["spent"], warned["marked"]) == ("foreseen", 1.04, {})
    assert "Nothing is ended for it" in warned["warnings"][-1]
    reached = world.run("linode_gpu_watch", budget=1.0)
    assert (reached["budget"]["state"], reached["marked"]) == ("reached", {})
    # What cannot be counted ends nothing, and is said.
    world.api.faults.append(Fault("GET", "account/events", 404, "Not found"))
    blind = world.run("linode_gpu_watch", budget=1.0, budget_action="end")
    assert (list(blind["failures"]), blind["budget"], blind["marked"]) == (["budget"], None, {})
    row["created"] = ago(90 * 60 + 20 * 60)  # ten minutes before its next hour
    ended = world.run("linode_gpu_watch", budget=1.0, budget_action="end")
    assert "this month's budget does not pay its next hour" in ended["marked"]["lc-demo-1"]
    seen = {"lc-demo-1": {"clock": BUSY.as_dict()}}
    kept = world.run("linode_gpu_watch", budget=9.0, budget_action="end", observations=seen)
    assert "lc-demo-1" in kept["unmarked"]


def budget_replacement(world: World) -> None:
    world.vm(lease=3 * HOUR)
    taken = world.replace(budget=1.0)
    assert (taken.outcome, "does not allow a VM in place of lc-demo-1" in taken.message) == ("stood_down", True)
    assert not any("lc-heal" in tag for tag in world.api.instances[1001]["tags"])  # so it is no attempt
    view, told = session_view(world.api.instances[1001], int(time.time())), Console(as_json=False)
    for budget, refused in ((1.0, True), (9.0, False)):
        with pytest.raises(Failure, match="in place of lc-demo-1") if refused else nullcontext():
            heal.stand_before(told, view, budget, ())
    assert world.replace(budget=9.0).outcome == world.replace().outcome == "acted"
    # Both exist already: what was begun goes on, so that one of them can go.
    world.api.add("lc-demo-2", world.api.instances[1001]["tags"])
    heal.stand_before(told, view, 1.0, ())
    assert world.provider(budget=1.0).beyond_budget(world.provider().look(), {"tags": []}, 0.52) is None


def budget_extend(world: World) -> None:
    world.vm(lease=2 * HOUR)
    message = world.refused("linode_gpu_session_tags", "budget", session="demo", extend="4h", budget=2.0)
    assert "a longer lease of demo" in message and "would add $2.08" in message
    world.env("LINODE_CODER_BUDGET", "2")
    world.refuses(extend.app, "budget", "demo", "4h")
    world.refused("linode_gpu_quote", "budget", session="demo", lease="8h", budget=2.0)
    # Nothing longer adds nothing, whatever is spent.
    assert "failure" not in world.run("linode_gpu_session_tags", session="demo", pause="1h", budget=0.1)
    done = world.run("linode_gpu_session_tags", session="demo", extend="4h", budget=9.0)
    assert (done["changed"], done["budget"]["adds"]) == (True, 2.08)


def budget_two_nodes(world: World) -> None:
    """The VM of another control node counts from its create call on, with its whole lease; so does what was deleted."""
    ask = {"session": "mine", "plans": [ADA_S], "regions": ["us-ord"], "lease": "4h", "budget": 4.0}
    assert world.run("linode_gpu_quote", **ask)["quote"]["budget"]["left"] == pytest.approx(4.0 - 4 * 0.52)
    other = world.vm("theirs", age=1, lease=4 * HOUR)
    other["status"] = "provisioning"
    assert "promised to running sessions" in world.refused("linode_gpu_quote", "budget", **ask)
    del world.api.instances[other["id"]]
    entity = {"id": other["id"], "type": "linode", "label": "lc-theirs-1"}
    # Within the month, also on its first day: what was made before counts from its beginning on.
    for action, at in (("linode_create", 4 * HOUR), ("linode_delete", 0)):
        world.api.events.append(
            {"id": 1, "action": action, "status": "finished", "created": ago(at), "entity": entity, "message": ""}
        )
    seen = world.run("linode_gpu_quote", **{**ask, "budget": 99.0})["quote"]["budget"]
    assert seen["spent"] >= 0.52 and "lc-theirs-1" in seen["unseen"][0] and seen["committed"] == 0
    # Two that quoted in the same second, before either VM was there: the next pass of a watcher sees both.
    world.api.events.clear()
    for name in ("mine", "theirs"):
        world.vm(name, lease=4 * HOUR)
    # Their first hours are, whatever is left of the month.
    assert world.run("linode_gpu_watch", budget=1.0)["budget"]["state"] == "reached"


def budget_warm_volume(world: World) -> None:
    """What bills without a VM stands in the quote, where it is made, and in what is promised."""
    model = "Qwen/Qwen2.5-Coder-7B-Instruct-AWQ"
    ask: dict[str, Any] = {"session": "demo", "plans": [ADA_S], "regions": ["us-ord"], "lease": "1h"}
    without = world.run("linode_gpu_quote", **ask, budget=99.0)["quote"]["budget"]
    quoted = world.run("linode_gpu_quote", **ask, budget=99.0, keep_warm=True)["quote"]
    keeping = quoted["budget"]["adds"] - without["adds"]
    assert 0 < keeping <= quoted["warm"]["monthly"] and quoted["warm"]["new"]
    short = round(without["adds"] + keeping / 2, 4)
    world.refused("linode_gpu_quote", "budget", **ask, budget=short, keep_warm=True)
    world.env("LINODE_CODER_BUDGET", str(short))
    asked_for = ("demo", "--lease", "1h", "--region", "us-ord", "--dry-run")
    assert world.command(up.app, *asked_for) is None
    world.refuses(up.app, "budget", *asked_for, "--keep-warm")
    row = world.vm("other", lease=30 * 60)
    made = {"model": model, "region": "us-ord", "linode_id": row["id"], "create": True, "size_gb": 76}
    world.refused("linode_warm_volume", "budget", **made, budget=0.52 + keeping / 2)
    world.api.add_volume("lc-warm-other", warm_tags(model, "ada", 0.1, int(time.time())))
    seen = world.run("linode_gpu_quote", **{**ask, "session": "mine"}, budget=99.0)["quote"]["budget"]
    assert 0 < seen["volumes"] <= 7.6 and seen["committed"] >= seen["volumes"]


# -- cap -------------------------------------------------------------------------------------------------------------


def cap_cli(world: World) -> None:
    world.refuses(up.app, "lease", "demo", "--lease", "30h", "--dry-run", code=2)
    world.refuses(up.app, "cap", "demo", "--cap", "off", "--dry-run", code=2)


def cap_group(world: World) -> None:
    world.refuses(up.app, "lease", "demo", "--replicas", "2", "--lease", "30h", "--dry-run", code=2)
    world.vm("demo-1", lease=2 * HOUR, cap=9 * HOUR, group="demo")
    world.vm("demo-2", lease=2 * HOUR, cap=3 * HOUR, group="demo")
    world.refuses(extend.app, "extend", "demo", "4h")


def cap_playbook(world: World) -> None:
    assert all(
        "cap" in task for task in asked("up.yml", "linode_gpu_quote") + asked("up.yml", "linode_gpu_instance")[:1]
    )
    world.refused("linode_gpu_quote", "lease", code=2, session="demo", lease="30h")
    world.refused("linode_gpu_quote", "cap", code=2, session="demo", cap="0")


def cap_watcher(world: World) -> None:
    row = world.vm(age=2 * HOUR, lease=9 * HOUR, cap=-60)
    assert decision(row, BUSY) == ("mark", "cap")
    row["tags"] = [tag for tag in row["tags"] if not tag.startswith("lc:lease:")]
    assert decision(row, BUSY)[0] == "mark"


def cap_replacement(world: World) -> None:
    row = world.vm(cap=5 * HOUR)
    assert world.successor().hard_cap == decode(row["tags"]).hard_cap


def cap_extend(world: World) -> None:
    world.vm(lease=2 * HOUR, cap=3 * HOUR)
    assert "hard cap" in world.refused("linode_gpu_session_tags", "extend", session="demo", extend="4h")
    world.refuses(extend.app, "extend", "demo", "4h")


def cap_two_nodes(world: World) -> None:
    row = world.vm(lease=2 * HOUR, cap=3 * HOUR)
    found = decode([*row["tags"], f"lc:lease:{int(time.time()) + 99 * HOUR}", f"lc:cap:{int(time.time()) + 99 * HOUR}"])
    assert (found.lease_end, found.hard_cap) == (decode(row["tags"]).lease_end, decode(row["tags"]).hard_cap)


# -- lease -----------------------------------------------------------------------------------------------------------


def lease_cli(world: World) -> None:
    for wrong in ("0", "off", "5m"):
        world.refuses(up.app, "lease", "demo", "--lease", wrong, "--dry-run", code=2)


def lease_group(world: World) -> None:
    world.refuses(up.app, "lease", "demo", "--replicas", "2", "--lease", "off", "--dry-run", code=2)


def lease_playbook(world: World) -> None:
    assert all(
        "lease" in task for task in asked("up.yml", "linode_gpu_quote") + asked("up.yml", "linode_gpu_instance")[:1]
    )
    for wrong in ("0", "off", "False"):
        world.refused("linode_gpu_quote", "lease", code=2, session="demo", lease=wrong)


def lease_watcher(world: World) -> None:
    row = world.vm(age=2 * HOUR, lease=-60)
    assert decision(row, BUSY) == ("mark", "lease")
    row["tags"] = ["Linode-Coder", *(tag for tag in row["tags"] if not tag.startswith(("lc:lease:", "linode-coder")))]
    assert decision(row, BUSY)[0] == "keep"  # its cap stands


def lease_replacement(world: World) -> None:
    row = world.vm(lease=100 * 60)
    assert world.successor().lease_end == decode(row["tags"]).lease_end


def lease_extend(world: World) -> None:
    row = world.vm(lease=2 * HOUR)
    end = decode(row["tags"]).lease_end
    assert end is not None
    shorter = world.run("linode_gpu_session_tags", session="demo", extend_until=format_time(end - HOUR))
    assert shorter["changed"] is False
    longer = world.run("linode_gpu_session_tags", session="demo", extend="1h")["session"]
    assert parse_time(longer["lease_end"]) == end + HOUR


def lease_two_nodes(world: World) -> None:
    row = world.vm(lease=2 * HOUR)
    end = decode(row["tags"]).lease_end
    past = f"lc:lease:{int(time.time()) - HOUR}"
    for tags in ([past, *row["tags"]], [*row["tags"], past]):
        assert decode(tags).lease_end == end
        assert decision({**row, "tags": tags}, BUSY)[0] == "keep"


# -- idle ------------------------------------------------------------------------------------------------------------


def idle_cli(world: World) -> None:
    for wrong in ("0", "5m"):
        world.refuses(up.app, "idle", "demo", "--idle", wrong, "--dry-run", code=2)
    assert world.command(up.app, "demo", "--idle", "off", "--dry-run") is None


def idle_group(world: World) -> None:
    world.refuses(up.app, "idle", "demo", "--replicas", "2", "--idle", "5m", "--dry-run", code=2)


def idle_playbook(world: World) -> None:
    assert all(
        "idle" in task for task in asked("up.yml", "linode_gpu_quote") + asked("up.yml", "linode_gpu_instance")[:1]
    )
    world.refused("linode_gpu_quote", "idle", code=2, session="demo", idle="0")
    for off in ("off", "False"):
        assert world.run("linode_gpu_quote", session="demo", idle=off)["quote"]["idle_minutes"] is None


def idle_watcher(world: World) -> None:
    row = world.vm(age=45 * 60, lease=6 * HOUR)
    assert decision(row, IDLE) == ("mark", "idle")
    row["tags"] = ["lc:idle:0" if tag.startswith("lc:idle:") else tag for tag in row["tags"]]
    assert (decision(row, BUSY)[0], decision(row, IDLE)) == ("keep", ("mark", "idle"))
    row["tags"] = ["LC:IDLE:OFF" if tag.startswith("lc:idle:") else tag for tag in row["tags"]]
    assert decision(row, IDLE)[0] == "keep"


def idle_replacement(world: World) -> None:
    world.vm(idle_minutes=None)
    assert world.successor().idle_minutes is None


def idle_extend(world: World) -> None:
    world.vm(idle_minutes=20)
    assert world.run("linode_gpu_session_tags", session="demo", extend="1h")["session"]["idle_minutes"] == 20


CELLS: dict[tuple[str, str], Callable[[World], None] | str] = {
    ("max_cost", "cli"): max_cost_cli,
    ("max_cost", "group"): max_cost_group,
    ("max_cost", "playbook"): max_cost_playbook,
    ("max_cost", "watcher"): "It is what one session may cost to the end of its lease, and the lease ends it at that.",
    ("max_cost", "replacement"): max_cost_replacement,
    (
        "max_cost",
        "extend",
    ): "It is of a new session or of `up --lease`; who extends names the new end, and budget and cap stand.",
    ("max_cost", "two nodes"): max_cost_two_nodes,
    ("budget", "cli"): budget_cli,
    ("budget", "group"): budget_group,
    ("budget", "playbook"): budget_playbook,
    ("budget", "watcher"): budget_watcher,
    ("budget", "replacement"): budget_replacement,
    ("budget", "extend"): budget_extend,
    ("budget", "two nodes"): budget_two_nodes,
    ("budget", "warm volume"): budget_warm_volume,
    (
        "max_cost",
        "warm volume",
    ): "It is what the lease of one session may cost; a volume outlives it, and the budget of the month holds it.",
    (
        "cap",
        "warm volume",
    ): "A volume has no end of its own: it bills until somebody drops it, and is shown until then.",
    ("lease", "warm volume"): "The lease ends the VM, and the volume is what stays when it ends; cleanup proposes it.",
    ("idle", "warm volume"): "A volume is not idle or busy; one that nobody used for long is proposed by cleanup.",
    ("cap", "cli"): cap_cli,
    ("cap", "group"): cap_group,
    ("cap", "playbook"): cap_playbook,
    ("cap", "watcher"): cap_watcher,
    ("cap", "replacement"): cap_replacement,
    ("cap", "extend"): cap_extend,
    ("cap", "two nodes"): cap_two_nodes,
    ("lease", "cli"): lease_cli,
    ("lease", "group"): lease_group,
    ("lease", "playbook"): lease_playbook,
    ("lease", "watcher"): lease_watcher,
    ("lease", "replacement"): lease_replacement,
    ("lease", "extend"): lease_extend,
    ("lease", "two nodes"): lease_two_nodes,
    ("idle", "cli"): idle_cli,
    ("idle", "group"): idle_group,
    ("idle", "playbook"): idle_playbook,
    ("idle", "watcher"): idle_watcher,
    ("idle", "replacement"): idle_replacement,
    ("idle", "extend"): idle_extend,
    (
        "idle",
        "two nodes",
    ): "The clock is one file on the VM that all advance: the timelines of test_watch_decision.py have it.",
}


@pytest.mark.parametrize(("limit", "door"), [cell for cell, held in CELLS.items() if callable(held)])
def test_the_limit_holds_at_the_door(world: World, limit: str, door: str) -> None:
    held = CELLS[limit, door]
    assert callable(held)
    held(world)


def test_every_cell_is_held_or_says_why_it_is_none() -> None:
    assert set(CELLS) == {(limit, door) for limit in LIMITS for door in DOORS}
    assert all(len(held) > 40 for held in CELLS.values() if isinstance(held, str))
    assert all(
        held.__name__ == f"{limit}_{door}".replace(" ", "_") for (limit, door), held in CELLS.items() if callable(held)
    )
