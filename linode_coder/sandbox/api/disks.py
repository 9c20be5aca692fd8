"""Disks and configuration profiles of instances."""

from __future__ import annotations

from .envelope import Json, Problems, fail, not_found
from .event_log import entity, linode_entity
from .routing import Call, route
from .sandbox import Sandbox
from .validation import check_legacy, check_password, require, whole

_FILESYSTEMS = ("raw", "swap", "ext2", "ext3", "ext4", "initrd")
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
# An answer always has the first eight; plans with much memory take up to 64, and those that are used are shown too.
_DEVICES = tuple(f"sd{letter}" for letter in _LETTERS[:8])
_EXTENDED = tuple(f"sd{prefix}{letter}" for prefix in ("", "a", "b") for letter in _LETTERS)[:64]


def instance_of(call: Call) -> Json:
    """The record of the instance of the path, or 404."""
    record = call.sandbox.instance(call.number("linodeId"))
    if record is None:
        raise not_found()
    return record


def of_linode(sandbox: Sandbox, kind: str, linode_id: int) -> list[Json]:
    """The API's objects of one kind (``disk`` or ``config``) of an instance."""
    return [row["api"] for row in sandbox.store.table(kind).values() if row["linode_id"] == linode_id]


def add_disk(sandbox: Sandbox, record: Json, label: str, size: int, filesystem: str, status: str) -> Json:
    number, now = sandbox.store.next_id("disk"), sandbox.now()
    api: Json = {
        "id": number,
        "label": label,
        "status": status,
        "size": size,
        "filesystem": filesystem,
        "created": now,
        "updated": now,
        "disk_encryption": record["api"]["disk_encryption"],
    }
    sandbox.store.put("disk", number, {"api": api, "linode_id": record["api"]["id"]})
    return api


def add_config(sandbox: Sandbox, record: Json, label: str, devices: Json, kernel: str) -> Json:
    number, now = sandbox.store.next_id("config"), sandbox.now()
    slots = _slots(devices)
    api: Json = {
        "id": number,
        "label": label,
        "helpers": {
            "updatedb_disabled": True,
            "distro": True,
            "modules_dep": True,
            # Network Helper of the new interfaces is a setting of theirs; that null stands here then is unverified.
            "network": True if record["api"]["interface_generation"] == "legacy_config" else None,
            "devtmpfs_automount": True,
        },
        "kernel": kernel,
        "comments": "",
        "memory_limit": 0,
        "created": now,
        "updated": now,
        "root_device": "/dev/sda",
        "devices": slots,
        "initrd": None,
        "run_level": "default",
        "virt_mode": "paravirt",
        "interfaces": [],
    }
    sandbox.store.put("config", number, {"api": api, "linode_id": record["api"]["id"]})
    return api


def _slots(devices: Json) -> Json:
    """All slots that an answer shows, from those that a request names."""
    used = {name: _device(devices.get(name)) for name in _EXTENDED}
    return {name: device for name, device in used.items() if device is not None or name in _DEVICES}


def _device(wanted: Json | None) -> Json | None:
    if not isinstance(wanted, dict) or (wanted.get("disk_id") is None and wanted.get("volume_id") is None):
        return None
    return {"disk_id": wanted.get("disk_id"), "volume_id": wanted.get("volume_id")}


def add_image_disks(sandbox: Sandbox, record: Json, image: Json, swap: int, kernel: str) -> None:
    """What deploying an image leaves: its disk, a swap disk and a configuration profile that boots it."""
    total = record["api"]["specs"]["disk"]
    root = add_disk(sandbox, record, f"{image['label']} Disk"[:48], total - swap, "ext4", "not ready")
    devices: Json = {"sda": {"disk_id": root["id"]}}
    if swap:
        swap_disk = add_disk(sandbox, record, f"{swap} MB Swap Image", swap, "swap", "not ready")
        devices["sdb"] = {"disk_id": swap_disk["id"]}
    add_config(sandbox, record, f"My {image['label']} Disk Profile"[:48], devices, kernel)


def drop_all(sandbox: Sandbox, linode_id: int) -> None:
    for kind in ("disk", "config"):
        for row in of_linode(sandbox, kind, linode_id):
            sandbox.store.drop(kind, row["id"])


@route("GET", "/linode/instances/{linodeId}/disks", "linodes:read_only", filterable=("label", "size"))
def list_disks(call: Call) -> Json:
    return call.page(of_linode(call.sandbox, "disk", instance_of(call)["api"]["id"]))


def _disk(call: Call) -> Json:
    record = instance_of(call)
    row = call.sandbox.store.table("disk").get(call.number("diskId"))
    if row is None or row["linode_id"] != record["api"]["id"]:
        raise not_found()
    return row


@route("GET", "/linode/instances/{linodeId}/disks/{diskId}", "linodes:read_only")
def view_disk(call: Call) -> Json:
    api: Json = _disk(call)["api"]
    return api


@route("POST", "/linode/instances/{linodeId}/disks", "linodes:read_write")
def create_disk(call: Call) -> Json:
    record, body, sandbox = instance_of(call), call.body, call.sandbox
    problems = Problems()
    require(problems, body, "size")
    size = whole(problems, body, "size", low=1)
    filesystem = body.get("filesystem") or "ext4"
    if filesystem not in _FILESYSTEMS:
        problems.add(f"Must be one of {', '.join(_FILESYSTEMS)}", "filesystem")
    label = body.get("label") or "Disk"
    if not isinstance(label, str) or not 1 <= len(label) <= 48:
        problems.add("Length must be 1-48 characters", "label")
    image = None
    if body.get("image") is not None:
        image = sandbox.image(str(body["image"]))
        if image is None:
            problems.add("image is not valid", "image")
        if body.get("root_pass") is not None:
            check_password(problems, body["root_pass"])
        elif not body.get("authorized_keys") and not body.get("authorized_users"):
            problems.add("Must provide valid root_pass, authorized_keys, or authorized_users")
    problems.check()
    number = record["api"]["id"]
    sandbox.lifecycle.check_free(number)
    existing = of_linode(sandbox, "disk", number)
    if len(existing) >= 50:
        raise fail("A Linode can have at most 50 disks")
    if sum(disk["size"] for disk in existing) + (size or 0) > record["api"]["specs"]["disk"]:
        raise fail("There is not enough unallocated storage to create this disk.", "size")
    if image is not None and (size or 0) < image["size"]:
        raise fail(f"The disk must be at least {image['size']} MB for this image", "size")
    disk = add_disk(sandbox, record, label, size or 0, str(filesystem), "not ready")
    if image is not None and record["api"]["image"] is None:
        record["authorized_keys"] = [str(key) for key in body.get("authorized_keys") or []]
        sandbox.touch(record, image=image["id"])
    about = entity("disk", disk["id"], disk["label"], f"/v4/linode/instances/{number}/disks/{disk['id']}")
    sandbox.events.add(
        "disk_create", linode_entity(record["api"]), secondary=about, status="scheduled", linode_id=number
    )
    sandbox.lifecycle.begin(number)
    return disk


@route("PUT", "/linode/instances/{linodeId}/disks/{diskId}", "linodes:read_write")
def update_disk(call: Call) -> Json:
    row = _disk(call)
    label = call.body.get("label")
    if label is not None:
        if not isinstance(label, str) or not 1 <= len(label) <= 48:
            raise fail("Length must be 1-48 characters", "label")
        row["api"].update(label=label, updated=call.sandbox.now())
        call.sandbox.store.put("disk", row["api"]["id"], row)
    api: Json = row["api"]
    return api


@route("DELETE", "/linode/instances/{linodeId}/disks/{diskId}", "linodes:read_write")
def delete_disk(call: Call) -> Json:
    row, record = _disk(call), instance_of(call)
    number, disk = record["api"]["id"], row["api"]
    call.sandbox.lifecycle.check_free(number)
    if record["api"]["status"] == "running" and _in_use(call.sandbox, number, disk["id"]):
        raise fail("The Linode must be powered off to delete a disk that it uses")
    disk["status"] = "deleting"
    call.sandbox.store.put("disk", disk["id"], row)
    _disk_event(call, record, "disk_delete", disk, {"disk_id": disk["id"]})
    return {}


@route("POST", "/linode/instances/{linodeId}/disks/{diskId}/resize", "linodes:read_write")
def resize_disk(call: Call) -> Json:
    row, record = _disk(call), instance_of(call)
    problems = Problems()
    require(problems, call.body, "size")
    size = whole(problems, call.body, "size", low=1)
    problems.check()
    call.sandbox.lifecycle.check_free(record["api"]["id"])
    others = sum(
        disk["size"] for disk in of_linode(call.sandbox, "disk", record["api"]["id"]) if disk is not row["api"]
    )
    if others + (size or 0) > record["api"]["specs"]["disk"]:
        raise fail("There is not enough unallocated storage to resize this disk.", "size")
    _disk_event(call, record, "disk_resize", row["api"], {"disk_id": row["api"]["id"], "size": size})
    return {}


@route("POST", "/linode/instances/{linodeId}/disks/{diskId}/clone", "linodes:read_write")
def clone_disk(call: Call) -> Json:
    source, record = _disk(call)["api"], instance_of(call)
    number = record["api"]["id"]
    call.sandbox.lifecycle.check_free(number)
    used = sum(disk["size"] for disk in of_linode(call.sandbox, "disk", number))
    if used + source["size"] > record["api"]["specs"]["disk"]:
        raise fail("There is not enough unallocated storage to duplicate this disk.")
    label = f"Copy of {source['label']}"[:48]
    disk = add_disk(call.sandbox, record, label, source["size"], source["filesystem"], "not ready")
    _disk_event(call, record, "disk_duplicate", disk, {})
    return disk


@route("POST", "/linode/instances/{linodeId}/disks/{diskId}/password", "linodes:read_write")
def reset_disk_password(call: Call) -> Json:
    disk, record, problems = _disk(call)["api"], instance_of(call), Problems()
    require(problems, call.body, "password")
    if call.body.get("password") is not None:
        check_password(problems, call.body["password"], "password")
    problems.check()
    call.sandbox.lifecycle.check_free(record["api"]["id"])
    if record["api"]["status"] != "offline":
        raise fail("Linode must be powered off to reset its root password")
    _disk_event(call, record, "password_reset", disk, {})
    return {}


def _disk_event(call: Call, record: Json, action: str, disk: Json, job: Json) -> None:
    number = record["api"]["id"]
    about = entity("disk", disk["id"], disk["label"], f"/v4/linode/instances/{number}/disks/{disk['id']}")
    call.sandbox.events.add(
        action, linode_entity(record["api"]), secondary=about, status="scheduled", linode_id=number, job=job
    )
    call.sandbox.lifecycle.begin(number)


def _in_use(sandbox: Sandbox, linode_id: int, disk_id: int) -> bool:
    return any(
        device is not None and device["disk_id"] == disk_id
        for config in of_linode(sandbox, "config", linode_id)
        for device in config["devices"].values()
    )


@route("GET", "/linode/instances/{linodeId}/configs", "linodes:read_only", filterable=("label", "interfaces.label"))
def list_configs(call: Call) -> Json:
    return call.page(of_linode(call.sandbox, "config", instance_of(call)["api"]["id"]))


def config_of(call: Call) -> Json:
    """The record of the config of the path, or 404."""
    record = instance_of(call)
    row = call.sandbox.store.table("config").get(call.number("configId"))
    if row is None or row["linode_id"] != record["api"]["id"]:
        raise not_found()
    return row


def _check_config(call: Call, *, create: bool) -> None:
    body, problems = call.body, Problems()
    if create:
        require(problems, body, "label", "devices")
    label = body.get("label")
    if label is not None and (not isinstance(label, str) or not 1 <= len(label) <= 48):
        problems.add("Length must be 1-48 characters", "label")
    devices = body.get("devices")
    if devices is not None and not isinstance(devices, dict):
        problems.add("Must be an object", "devices")
    elif isinstance(devices, dict):
        own = {disk["id"] for disk in of_linode(call.sandbox, "disk", call.number("linodeId"))}
        volumes = call.sandbox.store.table("volume")
        allowed = _EXTENDED[: max(8, min(64, instance_of(call)["api"]["specs"]["memory"] // 1024))]
        for name, device in devices.items():
            if name not in allowed:
                problems.add(f"Must be one of {', '.join(allowed)}", f"devices.{name}")
            elif isinstance(device, dict) and device.get("disk_id") is not None and device["disk_id"] not in own:
                problems.add("A disk by that ID was not found", f"devices.{name}.disk_id")
            elif isinstance(device, dict) and device.get("volume_id") not in {None, *volumes}:
                problems.add("A volume by that ID was not found", f"devices.{name}.volume_id")
    if body.get("kernel") is not None and body["kernel"] not in call.sandbox.catalogue.kernel:
        problems.add("kernel is not valid", "kernel")
    problems.check()
    if body.get("interfaces"):
        check_legacy(instance_of(call), "interfaces", "interfaces")
    if isinstance(body.get("helpers"), dict) and body["helpers"].get("network") is not None:
        check_legacy(instance_of(call), "helpers.network", "helpers.network")


@route("POST", "/linode/instances/{linodeId}/configs", "linodes:read_write")
def create_config(call: Call) -> Json:
    record = instance_of(call)
    _check_config(call, create=True)
    kernel = call.body.get("kernel") or "linode/latest-64bit"
    api = add_config(call.sandbox, record, call.body["label"], call.body["devices"], kernel)
    _apply_config(call, api)
    _config_event(call, record, "linode_config_create", api)
    return api


@route("GET", "/linode/instances/{linodeId}/configs/{configId}", "linodes:read_only")
def view_config(call: Call) -> Json:
    api: Json = config_of(call)["api"]
    return api


@route("PUT", "/linode/instances/{linodeId}/configs/{configId}", "linodes:read_write")
def update_config(call: Call) -> Json:
    row = config_of(call)
    _check_config(call, create=False)
    api: Json = row["api"]
    for field in ("label", "kernel"):
        if call.body.get(field) is not None:
            api[field] = call.body[field]
    if isinstance(call.body.get("devices"), dict):
        api["devices"] = _slots(call.body["devices"])
    _apply_config(call, api)
    api["updated"] = call.sandbox.now()
    call.sandbox.store.put("config", api["id"], row)
    _config_event(call, instance_of(call), "linode_config_update", api)
    return api


def _apply_config(call: Call, api: Json) -> None:
    body = call.body
    for field in ("comments", "memory_limit", "root_device", "run_level", "virt_mode"):
        if body.get(field) is not None:
            api[field] = body[field]
    if isinstance(body.get("helpers"), dict):
        api["helpers"].update({key: value for key, value in body["helpers"].items() if key in api["helpers"]})
    if isinstance(body.get("interfaces"), list):
        from .interfaces import legacy_interface

        items = [item for item in body["interfaces"] if isinstance(item, dict) and item.get("purpose")]
        api["interfaces"] = [legacy_interface(call.sandbox, item) for item in items]


@route("DELETE", "/linode/instances/{linodeId}/configs/{configId}", "linodes:read_write")
def delete_config(call: Call) -> Json:
    row, record = config_of(call), instance_of(call)
    call.sandbox.store.drop("config", row["api"]["id"])
    _config_event(call, record, "linode_config_delete", row["api"])
    return {}


def _config_event(call: Call, record: Json, action: str, config: Json) -> None:
    number = record["api"]["id"]
    about = entity(
        "linode_config", config["id"], config["label"], f"/v4/linode/instances/{number}/configs/{config['id']}"
    )
    call.sandbox.events.add(action, linode_entity(record["api"]), secondary=about)
