"""The endpoint of a group: one local port before all of its sessions."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.atomic_file import replace_file
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import api_key_path

from .activity import counters
from .api_key import api_key, kept_key
from .group_files import drain, read_members, undrain
from .port_owner import TunnelClient, our_port
from .tunnel import repair, start_keeper
from .tunnel_files import CLAIM_S, Target, keeper, read_state, read_target, turn

# How long a member's last requests are waited for before its engine ends, and longer than any command works on one.
DRAIN_S = 60.0
_DRAINED_S = 3600.0


def need_router() -> None:
    """Failure(config) where the router is not installed."""
    if find_spec("vllm_router") is None or find_spec("aiohttp") is None:
        raise Failure(
            "config",
            "An endpoint before several sessions needs vllm-router, which is not installed.",
            remedy="Install it: pip install 'linode-coder[router]'. Or use one of the sessions by its own name.",
        )


def group_key(group: str, views: list[dict[str, Any]]) -> str:
    """The key of the group, kept on this machine; that of a member where it is not known here yet."""
    known = kept_key(group)
    if known is not None:
        return known
    failed: Failure | None = None
    for view in views:
        if view["status"] == "running" and view["complete"]:
            try:
                key = api_key(view)
            except Failure as failure:
                failed = failure
            else:
                replace_file(api_key_path(group), key + "\n", parents=True)
                return key
    raise failed or Failure(
        "unhealthy",
        f"No session of the group {group} runs.",
        remedy=f"Verify and repair them: linode-coder up {group} --replicas {len(views)}",
    )


def open_group(group: str, views: list[dict[str, Any]]) -> int:
    """The local port of an endpoint that works: at least one of ``views``, the group's sessions, answers behind it."""
    need_router()
    group_key(group, views)
    with turn(group):
        keeper(group, CLAIM_S)
        held, state, found = our_port(group), read_state(group), read_target(group)
        try:
            if held is not None and state is not None and found is not None:
                if state["up"] and TunnelClient(group).healthy():
                    look_now(group)
                    return held[0]
                return repair(group, held)
            address = next((str(view["address"]) for view in views if view["address"]), "")
            wanted = Target(port=found["port"] if found else 0, linode_id=0, address=address, host_keys=[])
            return start_keeper(group, wanted, "group_keeper")
        except Failure as failure:
            whys = {name: one["why"] for name, one in read_members(group).items() if one["why"]}
            raise Failure(
                "unreachable",
                f"No session of the group {group} can be reached.",
                cause="; ".join(f"{name}: {why}" for name, why in whys.items()) or failure.cause,
                remedy=f"Verify and repair them: linode-coder up {group} --replicas {len(views)}",
            ) from failure


def look_now(group: str) -> None:
    """Have the group's keeper look who is there, if there is one."""
    held = our_port(group)
    if held is not None:
        with suppress(ProcessLookupError):
            os.kill(held[1], signal.SIGUSR1)


def _waits(until: float) -> Iterator[None]:
    while time.monotonic() < until:
        yield
        time.sleep(0.1)


@contextmanager
def drained(view: dict[str, Any]) -> Iterator[None]:
    """No new requests from this machine's endpoint of the group to this session while the block runs, and those that run have
    ended before, or had a minute for it. Nothing where the session has no group, or that no endpoint here."""
    group, name = view.get("group"), view["name"]
    if not group or our_port(group) is None:
        yield
        return
    try:
        drain(group, name, _DRAINED_S)
    except OSError:
        # What ends a bill or heals needs no home: the router notices who does not answer.
        yield
        return
    try:
        look_now(group)
        until = time.monotonic() + DRAIN_S
        for _each in _waits(until):
            known = read_members(group).get(name)
            if our_port(group) is None or known is None or known["use"] != "serves":
                break
        for _each in _waits(until):
            use = counters(name)
            if use is None or not use["running"] + use["waiting"]:
                break
        yield
    finally:
        undrain(group, name)
        look_now(group)
