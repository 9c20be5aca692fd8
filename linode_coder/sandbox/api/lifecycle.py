"""What happens to an instance over time: jobs behind events, one at a time per instance, resumed after a restart."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from collections.abc import Awaitable, Callable

from ..errors import SandboxError
from ..hosts.base import HostSpec
from .envelope import Json, fail
from .state import State

_log = logging.getLogger(__name__)
_HOST_ERRORS = (SandboxError, OSError, TimeoutError, RuntimeError, ValueError)

Job = Callable[[Json, Json], Awaitable[None]]


class Lifecycle:
    """Runs the open events of each instance in order. Jobs change the instance's status as the API shows it."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._chains: dict[int, asyncio.Task[None]] = {}
        self._side: set[asyncio.Task[None]] = set()
        self._jobs: dict[str, tuple[str, Job]] = {
            "linode_create": ("create", self._create),
            "linode_clone": ("clone", self._clone),
            "linode_boot": ("boot", self._boot),
            "linode_reboot": ("reboot", self._reboot),
            "linode_shutdown": ("shutdown", self._shutdown),
            "linode_rebuild": ("rebuild", self._rebuild),
            "linode_resize": ("resize", self._resize),
            "linode_delete": ("delete", self._delete),
            "disk_create": ("disk", self._disk_create),
            "disk_delete": ("disk", self._disk_delete),
            "disk_duplicate": ("disk", self._disk_create),
            "disk_imagize": ("disk", self._imagize),
            "disk_resize": ("disk", self._disk_resize),
            "linode_migrate_datacenter": ("migrate", self._migrate),
            "password_reset": ("disk", self._nothing),
        }

    # -- what handlers call

    def check_free(self, linode_id: int) -> None:
        """Raise the API's 400 when a job of the instance is not done yet."""
        if self._state.events.busy(linode_id):
            raise fail("Linode busy.")

    def begin(self, linode_id: int) -> None:
        """Run the open events of the instance, unless they run already."""
        running = self._chains.get(linode_id)
        if running is None or running.done():
            self._spawn(linode_id, None)

    def interrupt(self, linode_id: int, reason: str) -> None:
        """Drop what runs, close its events as failed, then run whatever was added since."""
        before = self._chains.pop(linode_id, None)
        if before is not None:
            before.cancel()
        for record in self._state.events.open_for(linode_id):
            if record["api"]["action"] != "linode_delete":
                self._state.events.finish(record, failed=reason)
        self._spawn(linode_id, before)

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Run `action` after a while, for things without an event that keeps an instance busy."""

        async def wait() -> None:
            await asyncio.sleep(seconds)
            action()
            self._state.store.flush()

        task = asyncio.get_running_loop().create_task(wait())
        self._side.add(task)
        task.add_done_callback(self._side.discard)

    def volumes_changed(self, *linode_ids: int | None, damaged: int | None = None, gone: int | None = None) -> None:
        """The hosts of these instances see which volumes they have; ``damaged`` and ``gone`` are ids of volumes."""

        async def tell() -> None:
            if damaged is not None:
                await self._state.backend.damage_volume(damaged)
            if gone is not None:
                await self._state.backend.drop_volume(gone)
            for linode_id in linode_ids:
                if linode_id is not None:
                    await self._set_volumes(linode_id)

        task = asyncio.get_running_loop().create_task(tell())
        self._side.add(task)
        task.add_done_callback(self._side.discard)

    async def _set_volumes(self, linode_id: int) -> None:
        record = self._state.instance(linode_id)
        if record is None or not record["on_host"]:
            return
        rows = self._state.store.table("volume").values()
        have = [row for row in rows if row["linode_id"] == linode_id and row["status"] == "active"]
        wanted = [{"id": row["id"], "label": row["label"], "size": row["size"]} for row in have]
        await self._state.backend.set_volumes(linode_id, wanted)

    async def resume(self) -> None:
        """After a start: hand the kept hosts back to the backend, then continue every open job."""
        records = [record for record in self._state.instances() if record["on_host"]]
        running = {record["api"]["id"] for record in records if record["api"]["status"] == "running"}
        await self._state.backend.restore([self.spec(record) for record in records], running)
        for volume in self._state.store.table("volume").values():
            if volume["status"] == "creating":
                volume["status"] = "active"
        for record in records:
            await self._set_volumes(record["api"]["id"])
        for linode_id in {record["linode_id"] for record in self._state.events.open()}:
            if linode_id is not None:
                self.begin(linode_id)

    async def stop(self) -> None:
        """Stop every job where it is; events stay open and `resume` continues them."""
        tasks = [task for task in (*self._chains.values(), *self._side) if not task.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._chains.clear()

    def spec(self, record: Json) -> HostSpec:
        """The instance as its host sees it."""
        api = record["api"]
        plan = self._state.catalogue.type[api["type"]]
        return HostSpec(
            instance_id=api["id"],
            label=api["label"],
            address=api["ipv4"][0],
            plan=plan,
            gpus=plan["gpus"],
            region=api["region"],
            image=api["image"],
            authorized_keys=tuple(record["authorized_keys"]),
            user_data=base64.b64decode(record["user_data"]) if record["user_data"] else None,
            tags=tuple(api["tags"]),
            host_uuid=api["host_uuid"],
        )

    # -- running them

    def _spawn(self, linode_id: int, before: asyncio.Task[None] | None) -> None:
        task = asyncio.get_running_loop().create_task(self._run(linode_id, before))
        self._chains[linode_id] = task
        task.add_done_callback(lambda done: self._ended(linode_id, done))

    def _ended(self, linode_id: int, task: asyncio.Task[None]) -> None:
        if self._chains.get(linode_id) is task:
            del self._chains[linode_id]
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            _log.error("a job of instance %d broke", linode_id, exc_info=error)
            self._fail_open(linode_id, f"The sandbox broke: {error}")

    async def _run(self, linode_id: int, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.gather(before, return_exceptions=True)
        while waiting := self._state.events.open_for(linode_id):
            event = waiting[0]
            seconds, job = self._jobs[event["api"]["action"]]
            record = self._state.instance(linode_id)
            if record is None:
                self._state.events.finish(event)
                self._state.store.flush()
                continue
            expected = self._state.timing[seconds]
            self._state.events.start(event, expected)
            self._show(record, event)
            self._state.store.flush()
            began = time.monotonic()
            try:
                await self._paced(job(record, event), began, expected)
            except _HOST_ERRORS as error:
                _log.warning("%s of instance %d failed: %s", event["api"]["action"], linode_id, error)
                self._fail_open(linode_id, str(error))
                return
            self._done(record, event)
            self._state.events.finish(event)
            self._state.store.flush()

    async def _paced(self, work: Awaitable[None], began: float, seconds: float) -> None:
        """The job takes at least `seconds`, longer when the work itself does."""
        await work
        await asyncio.sleep(max(0.0, seconds - (time.monotonic() - began)))

    def _fail_open(self, linode_id: int, reason: str) -> None:
        record, waiting = self._state.instance(linode_id), self._state.events.open_for(linode_id)
        cloned = all(event["api"]["action"] == "linode_clone" for event in waiting)
        if record is not None and record["api"]["status"] != "deleting" and not cloned:
            self._state.touch(record, status="offline")
        for event in waiting:
            self._state.events.finish(event, failed=reason)
        self._state.store.flush()

    _DURING = {  # noqa: RUF012 (a constant)
        "linode_create": "provisioning",
        "linode_boot": "booting",
        "linode_reboot": "rebooting",
        "linode_shutdown": "shutting_down",
        "linode_rebuild": "rebuilding",
        "linode_resize": "resizing",
        "linode_migrate_datacenter": "offline",  # as recorded; `migrating` is for moves within a region
        "linode_delete": "deleting",
    }
    _AFTER = {  # noqa: RUF012 (a constant)
        "linode_boot": "running",
        "linode_reboot": "running",
        "linode_shutdown": "offline",
    }

    def _show(self, record: Json, event: Json) -> None:
        status = self._DURING.get(event["api"]["action"])
        if status is not None:
            self._state.touch(record, status=status)

    def _done(self, record: Json, event: Json) -> None:
        action = event["api"]["action"]
        status = self._AFTER.get(action)
        if action in ("linode_create", "linode_rebuild", "linode_resize", "linode_migrate_datacenter"):
            pending = [other for other in self._state.events.open_for(record["api"]["id"]) if other is not event]
            status = "booting" if any(other["api"]["action"] == "linode_boot" for other in pending) else "offline"
        if action == "linode_delete":
            self._forget(record)
        elif status is not None:
            self._state.touch(record, status=status)

    # -- the jobs

    async def _nothing(self, record: Json, event: Json) -> None:
        """Only takes its time."""

    async def _create(self, record: Json, event: Json) -> None:
        if record["api"]["image"] is not None and not record["foreign"]:
            await self._make_host(record)
        self._disks_ready(record)

    async def _clone(self, record: Json, event: Json) -> None:
        """The source only waits: what is made is the other instance."""
        copy = self._state.instance(event["job"]["clone"])
        if copy is not None:
            await self._create(copy, event)

    async def _make_host(self, record: Json) -> None:
        await self._drop_half_made(record)
        record["host_begun"] = True
        self._state.touch(record)
        self._state.store.flush()
        await self._state.backend.create(self.spec(record))
        record["on_host"] = True
        self._state.touch(record)

    async def _drop_half_made(self, record: Json) -> None:
        """A create that was cut short may have left something; a backend that knows nothing of it says so."""
        if record["host_begun"] and not record["on_host"]:
            try:
                await self._state.backend.delete(record["api"]["id"])
            except SandboxError as error:
                _log.info("nothing to clear for instance %d: %s", record["api"]["id"], error)
            record["host_begun"] = False

    async def _boot(self, record: Json, event: Json) -> None:
        await self._boot_faults(record)
        if record["foreign"]:
            return
        if not record["on_host"]:
            await self._make_host(record)
        await self._set_volumes(record["api"]["id"])
        await self._state.backend.boot(record["api"]["id"])

    async def _boot_faults(self, record: Json) -> None:
        slow = self._state.faults.strike_instance("slow_boot", record["api"])
        if slow is not None:
            await asyncio.sleep(slow.delay)
        if self._state.faults.strike_instance("boot_failure", record["api"]) is not None:
            if record["on_host"]:
                await self._state.backend.shutdown(record["api"]["id"])
            raise SandboxError("The Linode failed to boot.", "boot it again")

    async def _reboot(self, record: Json, event: Json) -> None:
        if event["job"].get("was") != "running":
            await self._boot(record, event)
            return
        await self._boot_faults(record)
        if record["on_host"]:
            await self._state.backend.reboot(record["api"]["id"])

    async def _shutdown(self, record: Json, event: Json) -> None:
        if record["on_host"]:
            await self._state.backend.shutdown(record["api"]["id"])

    async def _rebuild(self, record: Json, event: Json) -> None:
        await self._drop_host(record)
        await self._create(record, event)

    async def _resize(self, record: Json, event: Json) -> None:
        if record["on_host"]:
            await self._state.backend.shutdown(record["api"]["id"])
        plan = self._state.catalogue.type[event["job"]["type"]]
        specs = {**record["api"]["specs"], **{key: plan[key] for key in record["api"]["specs"]}}
        self._state.touch(record, type=plan["id"], specs=specs)
        if event["job"].get("disk_id") is not None:
            self._set_size(event["job"]["disk_id"], event["job"]["size"])

    async def _delete(self, record: Json, event: Json) -> None:
        await self._drop_half_made(record)
        await self._drop_host(record)

    async def _drop_host(self, record: Json) -> None:
        if record["on_host"]:
            await self._state.backend.delete(record["api"]["id"])
            record["on_host"] = record["host_begun"] = False
            self._state.touch(record)

    def _disks_ready(self, record: Json) -> None:
        for disk in self._state.store.table("disk").values():
            if disk["linode_id"] == record["api"]["id"] and disk["api"]["status"] == "not ready":
                disk["api"]["status"] = "ready"
                self._state.store.put("disk", disk["api"]["id"], disk)

    async def _disk_create(self, record: Json, event: Json) -> None:
        self._disks_ready(record)

    async def _disk_resize(self, record: Json, event: Json) -> None:
        self._set_size(event["job"]["disk_id"], event["job"]["size"])

    def _set_size(self, number: int, size: int) -> None:
        disk = self._state.store.table("disk").get(number)
        if disk is not None:
            disk["api"].update(size=size, status="ready", updated=self._state.now())
            self._state.store.put("disk", number, disk)

    async def _imagize(self, record: Json, event: Json) -> None:
        image = self._state.store.table("image").get(event["job"]["image_id"])
        if image is not None:
            image.update(status="available", updated=self._state.now())
            self._state.store.put("image", event["job"]["image_id"], image)

    async def _migrate(self, record: Json, event: Json) -> None:
        """To another region: another machine, another address."""
        await self._drop_host(record)
        region = self._state.catalogue.region[event["job"]["region"]]
        self._state.touch(record, region=region["id"], site_type=region["site_type"], ipv4=[event["job"]["address"]])

    async def _disk_delete(self, record: Json, event: Json) -> None:
        self._state.store.drop("disk", event["job"]["disk_id"])

    def _forget(self, record: Json) -> None:
        """The instance is gone, and with it its disks, configs, interfaces and firewall devices; volumes stay."""
        store, linode_id = self._state.store, record["api"]["id"]
        for kind in ("disk", "config", "interface", "firewall_device", "lock"):
            for key, row in list(store.table(kind).items()):
                if row["linode_id"] == linode_id:
                    store.drop(kind, key)
        for key, volume in list(store.table("volume").items()):
            if volume["linode_id"] == linode_id:
                volume.update(linode_id=None, linode_label=None, updated=self._state.now())
                store.put("volume", key, volume)
        store.drop("instance", linode_id)
