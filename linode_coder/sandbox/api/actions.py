"""What can be done to an instance: power, rebuild, resize, rescue, clone, and what can be asked about it."""

from __future__ import annotations

import time

from . import interfaces
from .disks import add_image_disks, drop_all, of_linode
from .envelope import Json, Problems, fail, not_found, stamp
from .event_log import linode_entity
from .instances import (
    add_boot,
    check_capacity,
    check_deploy,
    check_unique,
    free_address,
    new_record,
    one,
    private_address,
    show,
)
from .routing import Call, route
from .validation import check_label, check_legacy, check_password, check_tags, check_user_data, flag, require

_RW = "linodes:read_write"


def _check_config(call: Call, record: Json) -> None:
    """A config that was named must exist; without one there must be exactly one, or one booted before."""
    configs = {config["id"] for config in of_linode(call.sandbox, "config", record["api"]["id"])}
    wanted = call.body.get("config_id")
    if wanted is not None and wanted not in configs:
        raise fail("A config by that ID was not found", "config_id")
    if wanted is None and len(configs) > 1 and not record["on_host"] and not record["foreign"]:
        raise fail("Linode has more than one config; config_id is required", "config_id")


@route("POST", "/linode/instances/{linodeId}/boot", _RW)
def boot(call: Call) -> Json:
    record = one(call)
    _check_config(call, record)
    call.sandbox.lifecycle.check_free(record["api"]["id"])
    if record["api"]["status"] == "running":
        raise fail(f"Linode {record['api']['id']} already booted.")
    if not record["foreign"] and not of_linode(call.sandbox, "disk", record["api"]["id"]):
        raise fail("Linode has no disks to boot from")
    add_boot(call.sandbox, record)
    call.sandbox.touch(record, status="booting")
    call.sandbox.lifecycle.begin(record["api"]["id"])
    return {}


@route("POST", "/linode/instances/{linodeId}/reboot", _RW)
def reboot(call: Call) -> Json:
    record = one(call)
    _check_config(call, record)
    call.sandbox.lifecycle.check_free(record["api"]["id"])
    if not record["foreign"] and not of_linode(call.sandbox, "disk", record["api"]["id"]):
        raise fail("Linode has no disks to boot from")
    add_boot(call.sandbox, record, "linode_reboot", {"was": record["api"]["status"]})
    call.sandbox.touch(record, status="rebooting")
    call.sandbox.lifecycle.begin(record["api"]["id"])
    return {}


@route("POST", "/linode/instances/{linodeId}/shutdown", _RW)
def shutdown(call: Call) -> Json:
    record = one(call)
    call.sandbox.lifecycle.check_free(record["api"]["id"])
    _job(call, record, "linode_shutdown")
    call.sandbox.touch(record, status="shutting_down")
    return {}


def _job(call: Call, record: Json, action: str, job: Json | None = None, *, boot: bool = False) -> None:
    number = record["api"]["id"]
    call.sandbox.events.add(action, linode_entity(record["api"]), status="scheduled", linode_id=number, job=job)
    if boot:
        add_boot(call.sandbox, record)
    call.sandbox.lifecycle.begin(number)


@route("POST", "/linode/instances/{linodeId}/rebuild", _RW)
def rebuild(call: Call) -> Json:
    record, body, sandbox = one(call), call.body, call.sandbox
    problems = Problems()
    require(problems, body, "image")
    image, keys = check_deploy(problems, sandbox, body)
    user_data = check_user_data(problems, body.get("metadata"))
    booted = flag(problems, body, "booted", True)
    problems.check()
    if image is None:
        raise not_found()
    sandbox.lifecycle.check_free(record["api"]["id"])
    drop_all(sandbox, record["api"]["id"])
    record["authorized_keys"] = keys
    record["user_data"] = user_data or ""
    answer = dict(show(call, record), image=image["id"], has_user_data=bool(user_data))
    sandbox.touch(record, image=image["id"], has_user_data=bool(user_data), status="rebuilding", updated=sandbox.now())
    add_image_disks(sandbox, record, image, 512, "linode/grub2")
    _job(call, record, "linode_rebuild", boot=booted)
    return answer


@route("POST", "/linode/instances/{linodeId}/resize", _RW)
def resize(call: Call) -> Json:
    record, body, sandbox = one(call), call.body, call.sandbox
    problems = Problems()
    require(problems, body, "type")
    plan = sandbox.catalogue.type.get(str(body.get("type")))
    if plan is None and body.get("type") is not None:
        problems.add("A valid plan type by that ID was not found", "type")
    if body.get("migration_type") not in (None, "cold", "warm"):
        problems.add("Must be one of warm, cold", "migration_type")
    along = flag(problems, body, "allow_auto_disk_resize", True)
    problems.check()
    if plan is None:
        raise not_found()
    sandbox.lifecycle.check_free(record["api"]["id"])
    if plan["id"] == record["api"]["type"]:
        raise fail("Linode is already on that plan", "type")
    check_capacity(plan, sandbox.catalogue.region[record["api"]["region"]])
    job = {"type": plan["id"], **_disk_for(call, record, plan["disk"], along)}
    was_running = record["api"]["status"] == "running"
    sandbox.events.add("linode_resize_create", linode_entity(record["api"]))
    _job(call, record, "linode_resize", job, boot=was_running)
    sandbox.touch(record, status="resizing")
    return {}


def _disk_for(call: Call, record: Json, room: int, along: bool) -> Json:
    """Which disk a resize to a plan with ``room`` MB takes along, and its size then: the only ext3 or ext4 one beside swap.

    Data always fits here as long as the image does. That other disks than these are left alone, and the texts, are unverified.
    """
    disks = of_linode(call.sandbox, "disk", record["api"]["id"])
    swap = [disk for disk in disks if disk["filesystem"] == "swap"]
    others = [disk for disk in disks if disk["filesystem"] != "swap"]
    if along and len(others) == 1 and len(swap) < 2 and others[0]["filesystem"] in ("ext3", "ext4"):
        image = call.sandbox.image(record["api"]["image"] or "")
        size = room - sum(disk["size"] for disk in swap)
        if size < (image["size"] if image else 1):
            raise fail("The data of the disk does not fit on the new plan")
        return {"disk_id": others[0]["id"], "size": size}
    if sum(disk["size"] for disk in disks) > room:
        raise fail("The Linode has more disk allocated than the new plan allows: delete or resize its disks first")
    return {}


@route("POST", "/linode/instances/{linodeId}/migrate", _RW)
def migrate(call: Call) -> Json:
    """To another region, powered off; without one the migration that support scheduled, of which there is never one."""
    record, body, sandbox = one(call), call.body, call.sandbox
    problems = Problems()
    if body.get("migration_type") not in (None, "cold", "warm"):
        problems.add("Must be one of warm, cold", "migration_type")
    region = sandbox.catalogue.region.get(str(body.get("region")))
    if body.get("region") is not None and region is None:
        problems.add("region is not valid", "region")
    problems.check()
    if region is None:
        raise fail("There are no pending migrations for this Linode")
    if region["id"] == record["api"]["region"]:
        raise fail("The Linode is in that region already", "region")
    if any(row["linode_id"] == record["api"]["id"] for row in sandbox.store.table("volume").values()):
        raise fail("Detach the Linode's volumes before it moves to another region")
    sandbox.lifecycle.check_free(record["api"]["id"])
    check_capacity(sandbox.catalogue.type[record["api"]["type"]], region)
    was_running = record["api"]["status"] == "running"
    sandbox.events.add("linode_migrate_datacenter_create", linode_entity(record["api"]))
    _job(call, record, "linode_migrate_datacenter", {"region": region["id"], "address": free_address(sandbox)},
         boot=was_running)  # fmt: skip
    return {}


@route("POST", "/linode/instances/{linodeId}/mutate", _RW)
def mutate(call: Call) -> Json:
    one(call)
    raise fail("Linode cannot be upgraded: its plan is of the newest generation")


@route("POST", "/linode/instances/{linodeId}/password", _RW)
def password(call: Call) -> Json:
    record = one(call)
    problems = Problems()
    require(problems, call.body, "root_pass")
    if call.body.get("root_pass") is not None:
        check_password(problems, call.body["root_pass"])
    problems.check()
    call.sandbox.lifecycle.check_free(record["api"]["id"])
    if record["api"]["status"] != "offline":
        raise fail("Linode must be powered off to reset its root password")
    _job(call, record, "password_reset")
    return {}


@route("POST", "/linode/instances/{linodeId}/rescue", _RW)
def rescue(call: Call) -> Json:
    record = one(call)
    devices = call.body.get("devices")
    if not isinstance(devices, dict) or not any(devices.values()):
        raise fail("Must include at least one disk or volume!", "devices")
    own = {disk["id"] for disk in of_linode(call.sandbox, "disk", record["api"]["id"])}
    for name, device in devices.items():
        if isinstance(device, dict) and device.get("disk_id") is not None and device["disk_id"] not in own:
            raise fail("A disk by that ID was not found", f"devices.{name}.disk_id")
    call.sandbox.lifecycle.check_free(record["api"]["id"])
    add_boot(call.sandbox, record, "linode_reboot", {"was": record["api"]["status"]})
    call.sandbox.touch(record, status="rebooting")
    call.sandbox.lifecycle.begin(record["api"]["id"])
    return {}


@route("POST", "/linode/instances/{linodeId}/clone", _RW, limit="create")
def clone(call: Call) -> Json:
    """A new instance from this one's image and settings; its disks are deployed afresh. Both are busy meanwhile, and the event is
    one of the source."""
    source, body, sandbox = one(call), call.body, call.sandbox
    problems = Problems()
    plan = sandbox.catalogue.type.get(str(body.get("type") or source["api"]["type"]))
    if plan is None:
        problems.add("A valid plan type by that ID was not found", "type")
    region = sandbox.catalogue.region.get(str(body.get("region") or source["api"]["region"]))
    if region is None:
        problems.add("region is not valid", "region")
    if body.get("label") is not None:
        check_label(problems, body["label"])
        check_unique(problems, sandbox, body["label"])
    tags = (
        check_tags(problems, body["tags"], sandbox.tags_in_use())
        if body.get("tags") is not None
        else list(source["api"]["tags"])
    )
    user_data = check_user_data(problems, body.get("metadata")) or source["user_data"]
    private_ip = flag(problems, body, "private_ip", False)
    if private_ip:
        check_legacy(source, "private_ip", "private_ip")
    problems.check()
    if plan is None or region is None:
        raise not_found()
    sandbox.lifecycle.check_free(source["api"]["id"])
    check_capacity(plan, region)
    number = sandbox.store.next_id("instance")
    image = sandbox.image(source["api"]["image"] or "")
    label = body.get("label") or f"linode{number}"
    record = new_record(sandbox, number, label, plan, region["id"], image["id"] if image else None, tags)
    record["user_data"] = user_data
    record["authorized_keys"] = list(source["authorized_keys"])
    if private_ip:
        record["api"]["ipv4"].append(private_address(number))
    record["api"].update(
        status="offline",
        has_user_data=bool(user_data),
        interface_generation=source["api"]["interface_generation"],
        disk_encryption=source["api"]["disk_encryption"],
    )
    sandbox.store.put("instance", number, record)
    if image is not None:
        add_image_disks(sandbox, record, image, 512, "linode/grub2")
    interfaces.attach(sandbox, record, [{"body": {"public": {}}, "firewall_id": None}]
                      if record["api"]["interface_generation"] == "linode" else [])  # fmt: skip
    answer = dict(show(call, record))
    sandbox.events.add(
        "linode_clone", linode_entity(source["api"]), secondary=linode_entity(record["api"]), status="scheduled",
        linode_id=source["api"]["id"], job={"clone": number},
    )  # fmt: skip
    sandbox.lifecycle.begin(source["api"]["id"])
    return answer


@route("GET", "/linode/instances/{linodeId}/stats", "linodes:read_only", limit="stats")
def stats(call: Call) -> Json:
    """Five-minute figures of an idle machine; none while there was no time to collect any."""
    record = one(call)
    if record["api"]["status"] != "running":
        raise fail("Stats are unavailable at this time.")
    last = int(time.time() // 300 * 300)
    moments = [(last - 300 * step) * 1000 for step in range(12, 0, -1)]

    def series(value: float) -> list[list[float]]:
        return [[moment, value] for moment in moments]

    nets = {name: series(0.0) for name in ("in", "out", "private_in", "private_out")}
    data = {"cpu": series(0.5), "io": {"io": series(0.0), "swap": series(0.0)}, "netv4": nets, "netv6": dict(nets)}
    day = stamp(time.time())[:10]
    return {
        "title": f"linode.com - {record['api']['label']} ({record['api']['id']}) - day (5 min avg) {day}",
        "data": data,
    }


@route("GET", "/linode/instances/{linodeId}/stats/{year}/{month}", "linodes:read_only", limit="stats")
def stats_month(call: Call) -> Json:
    if not 1 <= call.number("month") <= 12:
        raise fail("Must be 1-12", "month")
    call.number("year")
    answer: Json = stats(call)
    return answer


@route("GET", "/linode/instances/{linodeId}/transfer", "linodes:read_only")
def transfer(call: Call) -> Json:
    record = one(call)
    return {"used": 0, "quota": record["api"]["specs"]["transfer"], "billable": 0}


@route("GET", "/linode/instances/{linodeId}/transfer/{year}/{month}", "linodes:read_only")
def transfer_month(call: Call) -> Json:
    one(call)
    if not 1 <= call.number("month") <= 12:
        raise fail("Must be 1-12", "month")
    call.number("year")
    return {"bytes_in": 0, "bytes_out": 0, "bytes_total": 0}


@route("GET", "/linode/instances/{linodeId}/volumes", "linodes:read_only", filterable=("id", "label", "tags"))
def volumes(call: Call) -> Json:
    number = one(call)["api"]["id"]
    return call.page([row for row in call.sandbox.store.table("volume").values() if row["linode_id"] == number])


@route("GET", "/linode/instances/{linodeId}/nodebalancers", "linodes:read_only")
def nodebalancers(call: Call) -> Json:
    one(call)
    return call.page([])


@route("GET", "/linode/instances/{linodeId}/backups", "linodes:read_only")
def backups(call: Call) -> Json:
    one(call)
    return {"automatic": [], "snapshot": {"current": None, "in_progress": None}}


@route("POST", "/linode/instances/{linodeId}/backups/enable", _RW)
def enable_backups(call: Call) -> Json:
    record = one(call)
    schedule = {"day": "Scheduling", "window": "Scheduling"}
    call.sandbox.touch(record, backups={**record["api"]["backups"], "enabled": True, "schedule": schedule})
    call.sandbox.events.add("backups_enable", linode_entity(record["api"]))
    return {}


@route("POST", "/linode/instances/{linodeId}/backups/cancel", _RW)
def cancel_backups(call: Call) -> Json:
    record = one(call)
    empty = {"day": None, "window": None}
    call.sandbox.touch(record, backups={**record["api"]["backups"], "enabled": False, "schedule": empty})
    call.sandbox.events.add("backups_cancel", linode_entity(record["api"]))
    return {}
