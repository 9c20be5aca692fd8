"""Keeps the endpoint of one group: python -m linode_coder.endpoint.group_keeper GROUP.

It holds the group's local port for as long as it lives, has a tunnel to every member, each with a keeper of its own, and runs
vllm-router over them. Members that come, go, get another VM or are drained are added to the running router and taken from it by its
admin API. Files, log and signals are those of a tunnel's keeper, with group.json besides.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import time
from typing import IO, Any

from aiohttp import ClientError, ClientSession, ClientTimeout, web
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.client import EngineSilent
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.router_flags import STARTUP_S, router_flags
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.group import members

from .api_key import kept_key
from .group_files import Member, drained, forget_members, write_members
from .group_front import Front
from .keeper import Ended, Log, claim, environment, hear_signals, keep, pauses, stop_program, work_until_one_ends
from .port_owner import TunnelClient
from .tunnel import open_tunnel
from .tunnel_files import State, Target, keeper_file, state_file, target_file, write

TICK_S = 1.0
# The account is asked so often which members there are; a command that changes them says so besides.
LOOK_S = 20.0
_START_S = 60.0
# What takes longer, like a VM that does not answer, goes on beside the next look.
_PATIENCE_S = 15.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def views_of(group: str) -> list[dict[str, Any]] | None:
    """The members as the account has them; None where it does not say."""
    from ..api import LinodeReader
    from ..local.sessions import all_sessions

    try:
        return [dict(view) for view in members(all_sessions(LinodeReader()), group)]
    except (Failure, OSError):
        return None


def reached(view: dict[str, Any], key: str) -> Member:
    """The member behind its tunnel, which is opened; why it cannot serve where it cannot."""
    name = view["name"]
    if view["status"] != "running" or not view["complete"]:
        return Member(url=None, use="away", why=f"it is {view['status']}")
    try:
        port = open_tunnel(view)
    except Failure as failure:
        return Member(url=None, use="away", why=failure.cause or failure.message)
    try:
        status, _body = TunnelClient(name, key).ask("GET", "/v1/models")
    except EngineSilent:
        status = 0  # it starts, or is ill: the router looks at its health
    if status == 401:
        why = f"its engine has another key than the group: linode-coder up {name} --converge"
        return Member(url=None, use="away", why=why)
    return Member(url=f"http://127.0.0.1:{port}", use="joins", why=None)


class GroupKeeper:
    """``lock`` is the file that makes it the only one."""

    def __init__(self, group: str, key: str, target: Target, lock: IO[str], log: Log) -> None:
        self.group, self.key, self.target, self.lock, self.log = group, key, target, lock, log
        self.members: dict[str, Member] = {}
        self.state = State(
            up=False, since=time.time(), why=None, down_s=None, host_key=False, looks=0, ssh=None, linode_id=0
        )
        self.look, self.changed = asyncio.Event(), asyncio.Event()
        self.router: asyncio.subprocess.Process | None = None
        self.where: str | None = None
        self.adding: dict[str, asyncio.Task[None]] = {}
        self.seeing: dict[str, asyncio.Task[None]] = {}
        self.client: ClientSession

    # -- what it says ----------------------------------------------------------------------------------------------

    def say(self, why: str | None = None) -> None:
        """Write how it is; since when changes only when that does."""
        up = self.where is not None
        if up != self.state["up"]:
            now = time.time()
            if up:
                self.state["down_s"] = now - self.state["since"] if self.state["why"] else None
            self.state["since"], self.state["up"] = now, up
        if not up:
            self.state["why"] = why or self.state["why"]
        write(state_file(self.group), self.state)
        write_members(self.group, self.members)

    def wanted(self) -> dict[str, str]:
        """By URL, the members that requests may go to."""
        out = drained(self.group)
        return {one["url"]: name for name, one in self.members.items() if one["url"] is not None and name not in out}

    # -- members ---------------------------------------------------------------------------------------------------

    async def keep_members(self) -> None:
        """Look who is there, now and then and when asked."""
        while True:
            self.look.clear()
            await self.see_members()
            self.state["looks"] += 1
            self.say()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self.look.wait()

    async def see_members(self) -> None:
        views = await asyncio.to_thread(views_of, self.group)
        if views is None:
            await self.reconcile()  # who is drained may have changed all the same
            return
        if not views:
            raise Ended("the group has no session any more")
        names = {view["name"] for view in views}
        self.members = {name: one for name, one in self.members.items() if name in names}
        await self.reconcile()
        self.seeing = {name: task for name, task in self.seeing.items() if not task.done()}
        for view in views:
            if view["name"] not in self.seeing:
                self.seeing[view["name"]] = asyncio.create_task(self.see(view))
        if self.seeing:
            await asyncio.wait(list(self.seeing.values()), timeout=_PATIENCE_S)

    async def see(self, view: dict[str, Any]) -> None:
        found, name = await asyncio.to_thread(reached, view, self.key), view["name"]
        known = self.members.get(name)
        if found["url"] is not None and known is not None and known["url"] == found["url"]:
            found = Member(url=found["url"], use=known["use"], why=None)
        if known is None or (known["url"], known["why"]) != (found["url"], found["why"]):
            self.log(f"{name}: {found['url'] or found['why']}")
        self.members[name] = found
        await self.reconcile()

    async def reconcile(self) -> None:
        """Tell the router who is there now; a router that does not run yet is started with them."""
        wanted = self.wanted()
        self.changed.set()
        if self.where is not None:
            there = await self.listed(self.where)
            for url in there - set(wanted):
                await self.ask(self.where, "remove_worker", url, 10.0)
            for url in wanted.keys() - there:
                if url not in self.adding or self.adding[url].done():
                    self.adding[url] = asyncio.create_task(self.add(self.where, url))
            for url in self.adding.keys() - wanted.keys():
                self.adding.pop(url).cancel()
            there = await self.listed(self.where)
            out = drained(self.group)
            for name, one in self.members.items():
                if one["url"] is not None:
                    one["use"] = "serves" if one["url"] in there else "drained" if name in out else "joins"
        self.say()

    async def listed(self, where: str) -> set[str]:
        try:
            async with self.client.get(f"{where}/list_workers", timeout=ClientTimeout(total=5)) as found:
                return {str(url) for url in (await found.json(content_type=None))["urls"]}
        except (ClientError, TimeoutError, ValueError, LookupError, TypeError):
            return set()

    async def ask(self, where: str, what: str, url: str, seconds: float) -> bool:
        timeout = ClientTimeout(total=seconds)
        try:
            async with self.client.post(f"{where}/{what}", params={"url": url}, timeout=timeout) as found:
                said = (await found.text())[:200]
        except (ClientError, TimeoutError) as error:
            said = str(error) or type(error).__name__
        else:
            if found.status == 200:
                self.log(f"{what} {url}")
                return True
        self.log(f"{what} {url}: {said!r}")
        return False

    async def add(self, where: str, url: str) -> None:
        """The router answers once the engine is healthy."""
        if await self.ask(where, "add_worker", url, STARTUP_S + 10) and url in self.wanted():
            await self.reconcile()

    # -- the router ------------------------------------------------------------------------------------------------

    async def keep_router(self) -> None:
        """Run it while there is a member; start it again when it ends."""
        pause = pauses()
        while True:
            while not self.wanted():
                self.changed.clear()
                await self.changed.wait()
            began = time.monotonic()
            why = await self.run_router()
            self.where = None
            self.log(f"the router ended: {why}")
            self.say(f"the router ended: {why}")
            await asyncio.sleep(pause(time.monotonic() - began))

    async def run_router(self) -> str:
        """From its start to its end; why it ended."""
        port, metrics = free_port(), free_port()
        self.router = router = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "linode_coder.endpoint.router_child"),
            *router_flags(list(self.wanted()), port, metrics),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment(),
        )
        assert router.stdin is not None
        router.stdin.write(f"{self.key}\n".encode())
        router.stdin.close()
        ended = asyncio.ensure_future(router.wait())
        where = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + STARTUP_S + _START_S
        while not ended.done() and not await self.listed(where):
            if not self.wanted() or time.monotonic() > deadline:
                await self.stop_router()
            await asyncio.sleep(0.1)
        if not ended.done():
            self.where = where
            self.log(f"the router listens on {port}, its metrics on {metrics}")
            await self.reconcile()
        return f"status {await ended}"

    async def stop_router(self) -> None:
        await stop_program(self.router, 5)

    # -- clocks ----------------------------------------------------------------------------------------------------

    async def watch_files(self) -> None:
        """End when nothing is wanted any more; give members back whose command was killed while it drained them."""
        out = drained(self.group)
        while True:
            await asyncio.sleep(TICK_S)
            if not claim(self.group, self.lock) or not target_file(self.group).exists():
                raise Ended("the group's files are gone")
            if drained(self.group) != out:
                out = drained(self.group)
                await self.reconcile()


async def run(keeper: GroupKeeper, listener: socket.socket) -> str:
    """Keep until the end; why it came."""
    stopped = hear_signals(keeper.look)
    timeout = ClientTimeout(total=None, sock_connect=5)
    async with ClientSession(timeout=timeout, auto_decompress=False) as client:
        keeper.client = client
        front = Front(keeper.group, keeper.key, lambda: keeper.where, client)
        # Who hangs up is answered no further: the engine hears of it and stops.
        runner = web.AppRunner(front.app(), handler_cancellation=True, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        works = (keeper.keep_members(), keeper.keep_router(), keeper.watch_files(), stopped.wait())
        failed = await work_until_one_ends(*works)
        for task in [*keeper.adding.values(), *keeper.seeing.values()]:
            task.cancel()
        await runner.cleanup()
        await keeper.stop_router()
    if failed and not isinstance(failed, Ended):
        raise failed
    keeper.where = None
    if failed and keeper_file(keeper.group).exists():
        keeper.say(str(failed))
    return str(failed) if failed else "closed"


def main(group: str) -> int:
    def make(target: Target, lock: IO[str], log: Log) -> GroupKeeper | None:
        key = kept_key(group)
        if key is None:
            return None
        forget_members(group)
        return GroupKeeper(group, key, target, lock, log)

    return keep(group, lambda _target: f"the group {group}", make, run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
