"""Linodes: list, create, view, change, delete."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from . import firewalls, interfaces
from .disks import add_image_disks
from .envelope import Json, Problems, fail, not_found
from .event_log import entity, linode_entity
from .routing import Call, route
from .sandbox import Sandbox
from .validation import check_label, check_password, check_ssh_key, check_tags, check_user_data, flag, require, whole

FILTERABLE = (
    "id", "label", "group", "region", "tags", "ipv4", "image", "interface_generation", "placement_group.id",
    "placement_group.label", "placement_group.placement_group_type", "placement_group.placement_group_policy",
)  # fmt: skip
ROOT_RULE = "Must provide valid root_pass, authorized_keys, or authorized_users"
_POLICIES = ("linode/migrate", "linode/power_off_on")


def show(call: Call, record: Json) -> Json:
    """The API's object; locks are only part of it in v4beta."""
    api: Json = record["api"]
    return {**api, "locks": list(record["locks"])} if call.beta else api


def one(call: Call) -> Json:
    """The instance of the path, or 404."""
    record = call.sandbox.instance(call.number("linodeId"))
    if record is None:
        raise not_found()
    return record


def rows(call: Call, records: Iterable[Json]) -> list[Json]:
    return [show(call, record) for record in records]


@route("GET", "/linode/instances", "linodes:read_only", filterable=FILTERABLE, limit="collection")
def list_instances(call: Call) -> Json:
    return call.page(rows(call, call.sandbox.instances()))


@route("GET", "/linode/instances/{linodeId}", "linodes:read_only")
def view_instance(call: Call) -> Json:
    return show(call, one(call))


@route("POST", "/linode/instances", "linodes:read_write", limit="create")
def create_instance(call: Call) -> Json:
    sandbox, body = call.sandbox, call.body
    problems = Problems()
    require(problems, body, "type", "region")
    plan = sandbox.catalogue.type.get(str(body.get("type")))
    if plan is None and body.get("type") is not None:
        problems.add("A valid plan type by that ID was not found", "type")
    region = sandbox.catalogue.region.get(str(body.get("region")))
    if region is None and body.get("region") is not None:
        problems.add("region is not valid", "region")
    label = body.get("label")
    if label is not None:
        check_label(problems, label)
        check_unique(problems, sandbox, label)
    tags = check_tags(problems, body["tags"], sandbox.tags_in_use()) if body.get("tags") is not None else []
    image, keys = check_deploy(problems, sandbox, body)
    user_data = check_user_data(problems, body.get("metadata"))
    if user_data and image and "cloud-init" not in image["capabilities"]:
        problems.add("The chosen image does not support user data: it has no cloud-init", "metadata")
    swap = whole(problems, body, "swap_size", low=0)
    disk_encryption = body.get("disk_encryption") or "enabled"
    if disk_encryption not in ("enabled", "disabled"):
        problems.add("Must be one of enabled, disabled", "disk_encryption")
    policy = body.get("maintenance_policy") or sandbox.setting("account_settings").get(
        "maintenance_policy", _POLICIES[0]
    )
    if policy not in _POLICIES:
        problems.add("Unsupported maintenance policy slug format.", "maintenance_policy")
    if body.get("placement_group") is not None:
        problems.add("A placement group by that ID was not found", "placement_group.id")
    if body.get("backup_id") is not None:
        problems.add("A backup by that ID was not found", "backup_id")
    if body.get("kernel") is not None and body["kernel"] not in sandbox.catalogue.kernel:
        problems.add("kernel is not valid", "kernel")
    if body.get("ipv4") is not None:
        problems.add("Must provide a single valid reserved ipv4 address", "ipv4")
    booted = flag(problems, body, "booted", image is not None)
    private_ip = flag(problems, body, "private_ip", False)
    backups = flag(problems, body, "backups_enabled", False)
    generation = interfaces.generation(problems, sandbox, body)
    wanted = interfaces.check_create(problems, sandbox, body, generation)
    if private_ip and generation == "linode":
        problems.add("private_ip is only for Linodes whose interface_generation is legacy_config", "private_ip")
    problems.check()
    if plan is None or region is None:
        raise not_found()
    check_capacity(plan, region)

    number = sandbox.store.next_id("instance")
    record = new_record(
        sandbox, number, label or f"linode{number}", plan, region["id"], image["id"] if image else None, tags
    )
    api = record["api"]
    api["has_user_data"] = user_data is not None
    api["disk_encryption"] = disk_encryption
    api["maintenance_policy"] = policy
    api["interface_generation"] = generation
    if isinstance(body.get("group"), str):
        api["group"] = body["group"]
    if backups or sandbox.setting("account_settings").get("backups_enabled", False):
        api["backups"]["enabled"] = True
        api["backups"]["schedule"] = {"day": "Scheduling", "window": "Scheduling"}
    if private_ip:
        api["ipv4"].append(private_address(number))
    record["user_data"] = user_data or ""
    record["authorized_keys"] = keys
    record["root_pass"] = body.get("root_pass") is not None
    sandbox.store.put("instance", number, record)
    if image is not None:
        add_image_disks(
            sandbox, record, image, 512 if swap is None else swap, str(body.get("kernel") or "linode/grub2")
        )
    interfaces.attach(sandbox, record, wanted)
    start_life(sandbox, record, image, booted and image is not None)
    return show(call, record)


def start_life(sandbox: Sandbox, record: Json, image: Json | None, booted: bool) -> None:
    """The create event and, already waiting behind it, the boot event."""
    number = record["api"]["id"]
    about = linode_entity(record["api"])
    secondary = entity("image", image["id"], image["label"], f"/v4/images/{image['id']}") if image else None
    sandbox.events.add("linode_create", about, secondary=secondary, status="scheduled", linode_id=number)
    if booted:
        add_boot(sandbox, record)
    sandbox.lifecycle.begin(number)


def add_boot(sandbox: Sandbox, record: Json, action: str = "linode_boot", job: Json | None = None) -> None:
    number = record["api"]["id"]
    configs = [row["api"] for row in sandbox.store.table("config").values() if row["linode_id"] == number]
    secondary = None
    if configs:
        url = f"/v4/linode/instances/{number}/configs/{configs[0]['id']}"
        secondary = entity("linode_config", configs[0]["id"], configs[0]["label"], url)
    sandbox.events.add(
        action, linode_entity(record["api"]), secondary=secondary, status="scheduled", linode_id=number, job=job
    )


def new_record(
    sandbox: Sandbox,
    number: int,
    label: str,
    plan: Json,
    region: str,
    image: str | None,
    tags: list[str],
    address: str | None = None,
) -> Json:
    """A record of a new instance; ``api`` has the keys of a recorded answer in their order."""
    now = sandbox.now()
    host_uuid = hashlib.sha1(f"{number} {label}".encode(), usedforsecurity=False).hexdigest()
    low = number & 0xFFFFFF
    api: Json = {
        "id": number,
        "label": label,
        "group": "",
        "status": "provisioning",
        "created": now,
        "updated": now,
        "type": plan["id"],
        "ipv4": [address or free_address(sandbox)],
        "ipv6": f"2001:db8::f03c:95ff:fe{low >> 16:02x}:{low & 0xFFFF:x}/128",
        "image": image,
        "region": region,
        "site_type": sandbox.catalogue.region[region]["site_type"],
        "specs": {
            "disk": plan["disk"],
            "memory": plan["memory"],
            "vcpus": plan["vcpus"],
            "gpus": plan["gpus"],
            "transfer": plan["transfer"],
            "accelerated_devices": plan["accelerated_devices"],
        },
        "alerts": {
            "cpu": 90 * plan["vcpus"],
            "network_in": 10,
            "network_out": 10,
            "transfer_quota": 80,
            "io": 10000,
            "system_alerts": [],
            "user_alerts": [],
        },
        "backups": {
            "enabled": False,
            "available": False,
            "schedule": {"day": None, "window": None},
            "last_successful": None,
        },
        "hypervisor": "kvm",
        "watchdog_enabled": True,
        "tags": tags,
        "host_uuid": host_uuid,
        "has_user_data": False,
        "placement_group": None,
        "disk_encryption": "enabled",
        "lke_cluster_id": None,
        "capabilities": ["Block Storage Encryption"],
        "interface_generation": "legacy_config",
        "maintenance_policy": _POLICIES[0],
    }
    return {
        "api": api,
        "locks": [],
        "user_data": "",
        "authorized_keys": [],
        "root_pass": False,
        "foreign": False,
        "host_begun": False,
        "on_host": False,
    }


def free_address(sandbox: Sandbox) -> str:
    """The backend's next address that no instance has."""
    used = {address for record in sandbox.instances() for address in record["api"]["ipv4"]}
    for _ in range(len(used) + 1):
        address = sandbox.backend.allocate_address()
        if address not in used:
            return address
    return sandbox.backend.allocate_address()


def private_address(number: int) -> str:
    return f"192.168.{128 + (number >> 8) % 128}.{number % 254 + 1}"


def check_unique(problems: Problems, sandbox: Sandbox, label: Any, but: int | None = None) -> None:
    for record in sandbox.instances():
        if record["api"]["label"] == label and record["api"]["id"] != but:
            problems.add("Label must be unique among your linodes", "label")
            return


def check_deploy(problems: Problems, sandbox: Sandbox, body: Json) -> tuple[Json | None, list[str]]:
    """Image and everything that lets somebody in: (image or None, authorized keys)."""
    image = None
    if body.get("image") is not None:
        image = sandbox.image(str(body["image"]))
        if image is None:
            problems.add("image is not valid", "image")
    keys: list[str] = []
    wanted = body.get("authorized_keys")
    if wanted is not None:
        if not isinstance(wanted, list):
            problems.add("Must be a list of strings", "authorized_keys")
        else:
            for position, key in enumerate(wanted, 1):
                if check_ssh_key(key):
                    keys.append(key.strip())
                else:
                    problems.add(f"SSH Key {position} is invalid.", "authorized_keys")
    keys += _user_keys(problems, sandbox, body.get("authorized_users"))
    if body.get("root_pass") is not None:
        check_password(problems, body["root_pass"])
    if image is not None and not (
        body.get("root_pass") is not None or body.get("authorized_keys") or body.get("authorized_users")
    ):
        problems.add(ROOT_RULE)
    return image, keys


def _user_keys(problems: Problems, sandbox: Sandbox, users: Any) -> list[str]:
    if users is None:
        return []
    if not isinstance(users, list):
        problems.add("Must be a list of strings", "authorized_users")
        return []
    own = [row["ssh_key"] for row in sandbox.store.table("sshkey").values()]
    keys: list[str] = []
    for user in users:
        if user != sandbox.events.username:
            problems.add(f"User {user} does not exist or is not accessible", "authorized_users")
        elif not own:
            problems.add(f"User {user} has no SSH keys", "authorized_users")
        else:
            keys += own
    return keys


def check_capacity(plan: Json, region: Json) -> None:
    """Plans with cards are sold where the region says so, everywhere else the plan is out."""
    if plan["gpus"] and "GPU Linodes" not in region["capabilities"]:
        raise fail("The Linode plan you chose is not currently available in the selected region", status=403)


@route("PUT", "/linode/instances/{linodeId}", "linodes:read_write")
def update_instance(call: Call) -> Json:
    record, body, sandbox = one(call), call.body, call.sandbox
    problems = Problems()
    changes: Json = {}
    if body.get("label") is not None:
        check_label(problems, body["label"])
        check_unique(problems, sandbox, body["label"], record["api"]["id"])
        changes["label"] = body["label"]
    if body.get("tags") is not None:
        changes["tags"] = check_tags(problems, body["tags"], sandbox.tags_in_use())
    if isinstance(body.get("group"), str):
        changes["group"] = body["group"]
    if body.get("watchdog_enabled") is not None:
        changes["watchdog_enabled"] = flag(problems, body, "watchdog_enabled", True)
    if body.get("maintenance_policy") is not None:
        if body["maintenance_policy"] not in _POLICIES:
            problems.add("Unsupported maintenance policy slug format.", "maintenance_policy")
        changes["maintenance_policy"] = body["maintenance_policy"]
    if isinstance(body.get("alerts"), dict):
        known = record["api"]["alerts"]
        changes["alerts"] = {**known, **{key: value for key, value in body["alerts"].items() if key in known}}
    schedule = body["backups"].get("schedule") if isinstance(body.get("backups"), dict) else None
    if isinstance(schedule, dict):
        changes["backups"] = {**record["api"]["backups"], "schedule": {
            "day": schedule.get("day"), "window": schedule.get("window")}}  # fmt: skip
    problems.check()
    before = {key: record["api"][key] for key in changes}
    if changes and before != changes:
        sandbox.touch(record, **changes, updated=sandbox.now())
        sandbox.events.add("linode_update", linode_entity(record["api"]))
    return show(call, record)


@route("DELETE", "/linode/instances/{linodeId}", "linodes:read_write")
def delete_instance(call: Call) -> Json:
    record, sandbox = one(call), call.sandbox
    number = record["api"]["id"]
    if record["locks"]:
        raise fail(
            f"Cannot delete Linode {number}: it is protected by a {record['locks'][0]} lock. Remove the lock first."
        )
    waiting = [event["api"]["action"] for event in sandbox.events.busy(number)]
    if "linode_delete" in waiting:
        sandbox.lifecycle.begin(number)
        return {}
    if "linode_clone" in waiting:
        raise fail("Linode busy.")
    sandbox.lifecycle.interrupt(number, "The Linode was deleted.")
    if record["api"]["status"] == "running":
        # That it takes no time of its own is unverified.
        sandbox.events.add("linode_shutdown", linode_entity(record["api"]), status="finished")
    sandbox.touch(record, status="deleting")
    sandbox.events.add("linode_delete", linode_entity(record["api"]), status="scheduled", linode_id=number)
    sandbox.note_usage(record)
    firewalls.forget_linode(sandbox, number)
    return {}


def seed(sandbox: Sandbox, count: int) -> None:
    """Make `count` running instances of other people: no host, none of our tags, stable addresses of 198.18.0.0/15."""
    plans = [plan for plan in sandbox.catalogue.types if not plan["gpus"]]
    regions = [region["id"] for region in sandbox.catalogue.regions if region["site_type"] == "core"]
    have = sum(1 for record in sandbox.instances() if record["foreign"])
    for position in range(have, count):
        number = sandbox.store.next_id("instance")
        address = f"198.{18 + position // 65536}.{position // 256 % 256}.{position % 256}"
        plan, region = plans[position % len(plans)], regions[position % len(regions)]
        tags = [f"team-{position % 7}", "production" if position % 3 else "staging"]
        record = new_record(
            sandbox, number, f"other-{position + 1:05d}", plan, region, "linode/debian12", tags, address
        )
        record["foreign"] = True
        record["api"]["status"] = "running"
        sandbox.store.put("instance", number, record)
    sandbox.store.flush()
