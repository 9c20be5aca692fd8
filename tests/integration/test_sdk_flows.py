# SPDX-License-Identifier: GPL-3.0-or-later
"""What the integration targets of the public `linode.cloud` collection do, with the SDK that it is made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from linode_api4 import Disk, Firewall, Image, Instance, IPAddress, LinodeClient, Volume
from linode_api4.errors import ApiError

from linode_coder.sandbox.own_token import TOKEN
from tests.integration.test_modules_on_sandbox import Served

PASSWORD = "Correct-Horse-42-Battery"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4"
CLOSED = {"inbound": [], "inbound_policy": "DROP", "outbound": [], "outbound_policy": "ACCEPT"}


@pytest.fixture(scope="module")
def client() -> Iterator[LinodeClient]:
    served = Served()
    yield LinodeClient(TOKEN, base_url=served.url + "v4beta", retry=False)
    served.stop()


def refused(action: Any, *arguments: Any, **more: Any) -> tuple[int, list[str]]:
    with pytest.raises(ApiError) as caught:
        action(*arguments, **more)
    return caught.value.status, caught.value.errors


def after(client: LinodeClient, kind: str, action: str, order: Any, number: int | None = None) -> Any:
    """What ``order`` gives, once the event that it makes is finished."""
    poller = client.polling.event_poller_create(kind, action, entity_id=number)
    made = order()
    if number is None:
        poller.set_entity_id(made.id)
    assert poller.wait_for_next_event_finished(timeout=30, interval=0.1).status == "finished"
    return made


def instance(client: LinodeClient, label: str, **more: Any) -> Instance:
    given = {"image": "linode/debian12", "root_pass": PASSWORD, **more}
    action = "linode_boot" if given["image"] and more.get("booted", True) else "linode_create"

    def order() -> Any:
        return client.linode.instance_create("g6-standard-1", "us-ord", label=label, **given)

    return Instance(client, after(client, "linode", action, order).id)


@pytest.mark.parametrize(
    ("path", "field", "value"),
    [
        ("/linode/instances", "label", "listed"),
        ("/linode/instances", "tags", "LISTED-TAG"),
        ("/linode/types", "class", "gpu"),
        ("/regions", "country", "us"),
        ("/images", "vendor", "Ubuntu"),
        ("/account/events", "action", "linode_create"),
        ("/account/users", "username", "sandbox"),
        ("/profile/sshkeys", "label", "listed"),
        ("/profile/tokens", "label", "listed"),
        ("/networking/firewalls", "label", "listed"),
        ("/volumes", "label", "listed"),
    ],
)
def test_list_modules(client: LinodeClient, path: str, field: str, value: str) -> None:
    """They write each filter as an alternative within a conjunction, with an order."""
    if not client.linode.instances(Instance.label == "listed"):
        instance(client, "listed", image=None, root_pass=None, tags=["Listed-Tag"])
        client.profile.ssh_key_upload(KEY, "listed")
        client.profile.token_create("listed", scopes="linodes:read_only")
        client.networking.firewall_create("listed", CLOSED)
        client.volumes.create("listed", region="us-ord")
    wanted = {"+and": [{"+or": [{field: value}]}], "+order": "asc"}
    found = client.get(path, filters=wanted)
    assert found["data"] and found["results"] == len(found["data"])
    assert client.get(path, filters={"+and": [], "+order": "asc"})["results"] >= found["results"]
    assert client.get(path, filters={"+and": [{"+or": [{field: value + "-not"}]}], "+order": "asc"})["data"] == []


def test_an_instance_of_disks_and_a_configuration(client: LinodeClient) -> None:
    made = instance(client, "by-hand", image=None, root_pass=None)
    assert made.status == "offline"
    root = after(
        client,
        "disk",
        "disk_create",
        lambda: made.disk_create(8000, label="root", image="linode/debian12", root_pass=PASSWORD),
    )
    swap = after(client, "disk", "disk_create", lambda: made.disk_create(512, label="swap", filesystem="swap"))
    config = made.config_create("linode/grub2", "by-hand", disks=[root, swap], interfaces=[{"purpose": "public"}])
    assert [one.purpose for one in config.interfaces] == ["public"]
    after(client, "linode", "linode_boot", lambda: made.boot(config), made.id)
    config.label = "renamed"
    assert config.save()
    vlan = config.interface_create_vlan("inner", "10.0.0.1/24")
    assert [one.purpose for one in client.load(type(config), config.id, made.id).network_interfaces] == [
        "public",
        "vlan",
    ]
    config.interface_reorder([vlan.id, config.network_interfaces[0].id])
    vlan.delete()
    after(client, "linode", "linode_shutdown", made.shutdown, made.id)
    after(client, "disk", "disk_resize", lambda: root.resize(9000), root.id)
    assert client.load(Disk, root.id, made.id).size == 9000
    made.delete()


def test_a_clone(client: LinodeClient) -> None:
    source = instance(client, "source")
    copy = after(
        client,
        "linode",
        "linode_clone",
        lambda: source.clone(region="us-ord", instance_type="g6-standard-1"),
        source.id,
    )
    after(client, "linode", "linode_boot", copy.boot, copy.id)
    assert (client.load(Instance, copy.id).status, source.status) == ("running", "running")
    assert [disk.size for disk in copy.disks] == [disk.size for disk in source.disks]


def test_a_resize(client: LinodeClient) -> None:
    made = instance(client, "grows", booted=False)
    before = made.disks[0].size
    after(client, "linode", "linode_resize", lambda: made.resize("g6-standard-2"), made.id)
    again = client.load(Instance, made.id)
    assert (again.type.id, again.disks[0].size > before) == ("g6-standard-2", True)
    assert refused(again.resize, "g6-nanode-1", allow_auto_disk_resize=False)[0] == 400


def test_a_firewall_and_its_devices(client: LinodeClient) -> None:
    made = instance(client, "behind", booted=False)
    wall = client.networking.firewall_create("wall", CLOSED, tags=["abc"])
    device = wall.device_create(made.id)
    assert [one.id for one in made.firewalls()] == [wall.id]
    rule = {"action": "ACCEPT", "label": "ssh", "protocol": "TCP", "ports": "22", "addresses": {"ipv4": ["0.0.0.0/0"]}}
    wall.update_rules({**CLOSED, "inbound": [rule]})
    assert client.load(Firewall, wall.id).rules.version == 2
    assert refused(wall.device_create, made.id)[0] == 400
    device.delete()
    assert made.firewalls() == []
    client.put(f"/linode/instances/{made.id}/firewalls", data={"firewall_ids": [wall.id]})
    made.delete()
    wall.delete()


def test_the_new_interfaces(client: LinodeClient) -> None:
    wall = client.networking.firewall_create("of-interfaces", CLOSED)
    wanted = {"public": {}, "default_route": {"ipv4": True}, "firewall_id": wall.id}
    made = instance(client, "new-interfaces", interface_generation="linode", interfaces=[wanted], booted=False)
    (public,) = made.linode_interfaces
    assert [one.id for one in public.firewalls()] == [wall.id]
    assert made.interfaces_settings.network_helper is True
    assert refused(client.put, f"/linode/instances/{made.id}/firewalls", data={"firewall_ids": [wall.id]})[0] == 400
    config = made.configs[0]
    config.label = "renamed"
    assert config.save()
    assert refused(config.interface_create_public)[0] == 400
    assert refused(made.ip_allocate, public=True)[0] == 400
    made.delete()


def test_a_volume(client: LinodeClient) -> None:
    made = instance(client, "with-volume", booted=False)
    volume = client.volumes.create("disk-of-its-own", region="us-ord", size=20, tags=["abc"])
    volume.attach(made.id)
    assert [one.id for one in made.volumes()] == [volume.id]
    assert volume.resize(30) and volume.clone("copy-of-it").size == 30
    assert refused(volume.delete) == (400, ["Volume must be detached before it can be deleted."])
    volume.detach()
    assert client.load(Volume, volume.id).linode_id is None
    assert volume.delete()


def test_addresses(client: LinodeClient) -> None:
    one, two = instance(client, "address-one", booted=False), instance(client, "address-two", booted=False)
    private, public = one.ip_allocate(), one.ip_allocate(public=True)
    assert (private.public, public.public) == (False, True)
    public.rdns = "demo.example.org"
    assert public.save() and client.load(IPAddress, public.address).rdns == "demo.example.org"
    client.networking.ips_assign("us-ord", public.to(two))
    assert public.address in client.load(Instance, two.id).ipv4
    client.networking.ip_addresses_share([public.address], one.id)
    assert [row.address for row in client.load(Instance, one.id).ips.ipv4.shared] == [public.address]
    assert refused(client.networking.ip_allocate, 99999) == (400, ["Linode is not active"])


def test_tokens_and_keys(client: LinodeClient) -> None:
    made = client.profile.token_create("robot", scopes="linodes:read_only")
    robot = LinodeClient(made.token, base_url=client.base_url, retry=False)
    assert list(robot.linode.instances(Instance.label == "nobody")) == []
    assert refused(robot.account) == (401, ["Your OAuth token is not authorized to use this endpoint."])
    made.label = "renamed"
    assert made.save()
    made.delete()
    assert refused(robot.profile) == (401, ["Invalid Token"])
    mistyped = LinodeClient(TOKEN + "x", base_url=client.base_url, retry=False)
    assert refused(mistyped.regions) == (401, ["Invalid Token"])
    assert client.profile().grants is None


def test_tags(client: LinodeClient) -> None:
    made = instance(client, "tagged", booted=False, tags=["Web", "web", "db1"])
    assert made.tags == ["Web", "db1"]
    assert [one.id for one in client.linode.instances(Instance.tags == "WEB")] == [made.id]
    (tag,) = [one for one in client.tags() if one.label.lower() == "web"]
    assert [one.id for one in tag.objects] == [made.id]
    assert refused(client.tag_create, "weB")[0] == 400
    tag.delete()
    assert client.load(Instance, made.id).tags == ["db1"]


def test_an_image(client: LinodeClient) -> None:
    made = instance(client, "imaged", booted=False)
    disk = made.disks[0]
    image = after(client, "linode", "disk_imagize", lambda: client.images.create(disk, "golden"), made.id)
    assert client.load(Image, image.id).status == "available"
    assert instance(client, "of-the-image", image=image.id).status == "running"
    assert image.delete()
