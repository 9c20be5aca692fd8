# SPDX-License-Identifier: GPL-3.0-or-later
"""Every answer has the fields and types of the published description of the API.

``data/shapes.json`` says them in short: an object is its fields, a list its one element, a scalar ``type|null:choices``; a field
that begins with ``?`` may be missing, and ``~`` in an object means that null may stand in its place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from api_client import CREATE, Api, with_api

SHAPES: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "shapes.json").read_text())
TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "boolean": (bool,),
}
# Where recorded answers of the API are otherwise than its description, or the description joins several forms into one.
RECORDED = {
    "fields of other kinds of events and entities": r"/account/events.* (data\[\]\.)?(details|entity)\.\w+: missing",
    "a second entity of an event has the id of its kind, and often there is none": r".*secondary_entity",
    "a tag is its own id": r".*entity\.id: 'mine' is not integer",
    "seconds, not a text": r".*time_remaining: 0 is not string",
    "null where there is nothing yet": r".*(longview_subscription|image_sharing|last_successful|authorized_keys): (null|None is no list)",
    "no snapshots": r".*snapshot\.(current|in_progress): None is no object",
    "one backup's fields beside the two lists": r"/linode/instances/\{\}/backups \w+: missing",
    "a boolean, not a text": r".*(is_shared|reserved): False is not string",
    "rules that were left out are null": r".*rules\.?(inbound|outbound)?.*: None is no list|.*(inbound|outbound): None is no list",
    "lists of entities, described as one": r".*(entities|interfaces): \[.* is no object",
    "no default firewall": r".*default_firewall_ids\.\w+: null",
    "metered plans have no monthly price, and GPU plans no backups": r".*price(s\[\])?\.(monthly|hourly): null",
    "templates": r"/networking/firewalls/templates.*(slug|description|ports): .*",
    "the history is a list of versions": r"/networking/firewalls/\{\}/history.*",
    "devices that are not there": r".*devices\.sd[c-h]: None is no object",
    "fields of configurations since the beginning": r".*/configs.*(created|updated|initrd): unknown field",
    "alert definitions of the new monitoring": r".*alerts\.(system|user)_alerts: unknown field",
    "no VPC": r".*(vpc|vpc_nat_1_1): (None is no object|unknown field)",
    "fields of IPv4 addresses only": r"/networking/ips data\[\]\.(interface_id|reserved|vpc_nat_1_1): missing",
    "newer than the description": r".*(ips.*\.?(tags|assigned_entity)|default_route\.ipv6): unknown field",
    "an interface's device": r".*'linode_interface' is none|.*entity\.(label|parent_entity.*): (null|None is no object)",
    "public images are everywhere": r"/images.* (data\[\]\.)?regions: None is no list",
    "a user's type": r"/profile user_type: unknown field",
    "dollars and cents": r".*referrals\.credit: 0\.0 is not integer",
}
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"


def complaints(shape: Any, value: Any, at: str) -> Iterator[str]:
    """Where ``value`` is not of ``shape``."""
    if shape == "any":
        return
    if isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{at}: {value!r} is no list"
            return
        for one in value:
            yield from complaints(shape[0], one, f"{at}[]")
    elif isinstance(shape, dict):
        if value is None and "~" in shape:
            return
        if not isinstance(value, dict):
            yield f"{at}: {value!r} is no object"
            return
        known = {name.lstrip("?"): each for name, each in shape.items() if name != "~"}
        for name in sorted(set(value) - set(known)):
            yield f"{at}.{name}: unknown field"
        for name in sorted(shape):
            if name not in value and name[0] not in "?~":
                yield f"{at}.{name}: missing"
        for name, each in value.items():
            if name in known:
                yield from complaints(known[name], each, f"{at}.{name}")
    else:
        kind, _, choices = shape.partition(":")
        kind, _, null = kind.partition("|")
        if value is None:
            if not null:
                yield f"{at}: null"
        elif not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean"):
            yield f"{at}: {value!r} is not {kind}"
        elif choices and str(value) not in choices.split(","):
            yield f"{at}: {value!r} is none of {choices[:80]}"


async def furnish(api: Api) -> dict[str, str]:
    """An account with one of everything; the paths of what can be read singly, by their form."""

    async def made(path: str, body: Any, method: str = "POST") -> Any:
        status, answer = await api(method, path, body, version="v4beta")
        assert status == 200, (path, answer)
        return answer

    wall = await made(
        "/networking/firewalls", {"label": "lc-demo", "rules": {"inbound_policy": "DROP", "outbound_policy": "ACCEPT"}}
    )
    old = {
        **CREATE,
        "interface_generation": "legacy_config",
        "firewall_id": wall["id"],
        "metadata": {"user_data": "I2Nsb3Vk"},
    }
    vm = await made("/linode/instances", old)
    new = {**CREATE, "label": "lc-new-1", "interface_generation": "linode"}
    new["interfaces"] = [{"public": {}, "default_route": {"ipv4": True, "ipv6": True}, "firewall_id": wall["id"]}]
    other = await made("/linode/instances", new)
    for number in (vm["id"], other["id"]):
        assert await api.settled(number) == "running"
    volume = await made("/volumes", {"label": "data", "size": 20, "linode_id": vm["id"]})
    key = await made("/profile/sshkeys", {"label": "laptop", "ssh_key": KEY})
    token = await made("/profile/tokens", {"label": "ci", "scopes": "linodes:read_only"})
    await made("/tags", {"label": "mine"})
    lock = await made("/locks", {"entity_type": "linode", "entity_id": vm["id"], "lock_type": "cannot_delete"})
    disks = (await api("GET", f"/linode/instances/{vm['id']}/disks"))[1]["data"]
    image = await made("/images", {"disk_id": disks[0]["id"], "label": "golden"})
    configs = (await api("GET", f"/linode/instances/{vm['id']}/configs"))[1]["data"]
    interfaces = (await api("GET", f"/linode/instances/{other['id']}/interfaces"))[1]["interfaces"]
    devices = (await api("GET", f"/networking/firewalls/{wall['id']}/devices"))[1]["data"]
    events = (await api("GET", "/account/events"))[1]["data"]
    users = (await api("GET", "/account/users"))[1]["data"]
    one, two = f"/linode/instances/{vm['id']}", f"/linode/instances/{other['id']}"
    return {
        "/linode/instances/{}": one,
        "/linode/instances/{}/disks/{}": f"{one}/disks/{disks[0]['id']}",
        "/linode/instances/{}/configs/{}": f"{one}/configs/{configs[0]['id']}",
        "/linode/instances/{}/ips/{}": f"{one}/ips/{vm['ipv4'][0]}",
        "/linode/instances/{}/interfaces": f"{two}/interfaces",
        "/linode/instances/{}/interfaces/settings": f"{two}/interfaces/settings",
        "/linode/instances/{}/interfaces/{}": f"{two}/interfaces/{interfaces[0]['id']}",
        "/linode/instances/{}/interfaces/{}/firewalls": f"{two}/interfaces/{interfaces[0]['id']}/firewalls",
        "/linode/types/{}": f"/linode/types/{CREATE['type']}",
        "/regions/{}": "/regions/us-ord",
        "/regions/{}/availability": "/regions/us-ord/availability",
        "/account/availability/{}": "/account/availability/us-ord",
        "/account/events/{}": f"/account/events/{events[-1]['id']}",
        "/account/users/{}": f"/account/users/{users[0]['username']}",
        "/images/{}": f"/images/{image['id']}",
        "/locks/{}": f"/locks/{lock['id']}",
        "/networking/firewalls/{}": f"/networking/firewalls/{wall['id']}",
        "/networking/firewalls/{}/devices/{}": f"/networking/firewalls/{wall['id']}/devices/{devices[0]['id']}",
        "/networking/firewalls/{}/history/rules/{}": f"/networking/firewalls/{wall['id']}/history/rules/1",
        "/networking/firewalls/templates/{}": "/networking/firewalls/templates/public",
        "/networking/ips/{}": f"/networking/ips/{vm['ipv4'][0]}",
        "/profile/sshkeys/{}": f"/profile/sshkeys/{key['id']}",
        "/profile/tokens/{}": f"/profile/tokens/{token['id']}",
        "/tags/{}": "/tags/mine",
        "/volumes/{}": f"/volumes/{volume['id']}",
        **{
            form: one + form.removeprefix("/linode/instances/{}")
            for form in SHAPES
            if re.fullmatch(
                r"/linode/instances/\{\}/(backups|configs|disks|firewalls|ips|nodebalancers|transfer|volumes)", form
            )
        },
        **{
            form: form.replace("{}", str(wall["id"]))
            for form in SHAPES
            if re.fullmatch(r"/networking/firewalls/\{\}/\w+", form)
        },
    }


def test_every_answer_is_of_the_published_shape() -> None:
    found: list[str] = []
    read: set[str] = set()

    async def check(api: Api) -> None:
        places = await furnish(api)
        for form, shape in SHAPES.items():
            path = form if "{}" not in form else places.get(form)
            if path is None or form == "/profile/grants":  # a user without restrictions has none: 204
                continue
            status, answer = await api("GET", path, version="v4beta")
            if status != 200:
                found.append(f"{path}: {status} {answer}")
                continue
            read.add(form)
            found.extend(f"{form} {line.partition('.')[2] or line}" for line in complaints(shape, answer, ""))

    with_api(check)
    used = {
        reason for reason, pattern in RECORDED.items() if any(re.fullmatch(f"(?:{pattern}).*", line) for line in found)
    }
    odd = [line for line in found if not any(re.fullmatch(f"(?:{pattern}).*", line) for pattern in RECORDED.values())]
    assert not odd, "\n".join(sorted(set(odd)))
    assert used == set(RECORDED), "no longer needed: " + "; ".join(set(RECORDED) - used)
    assert len(read) > 55


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"id": 1, "tags": ["a"], "state": "on"}, []),
        ({"id": "1", "tags": "a", "state": "of"}, ["id", "tags", "state"]),
        ({"tags": [1], "state": None, "more": 1}, ["more", "id", "tags[]"]),
        ({"id": True, "tags": []}, ["state", "id"]),
    ],
)
def test_the_comparison_can_fail(value: Any, said: list[str]) -> None:
    shape = {"id": "integer", "tags": ["string"], "state": "string|null:on,off", "?old": "any"}
    assert [line.split(":")[0].lstrip(".") for line in complaints(shape, value, "")] == said
