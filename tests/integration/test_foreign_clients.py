"""Clients that nobody here wrote, unchanged, against one sandbox."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from linode_api4 import Instance, LinodeClient
from linode_api4.errors import ApiError
from linode_api4.polling import EventError

from tests.sandbox_fixture import RunningSandbox, start_sandbox

PASSWORD = "Correct-Horse-42-Battery"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with start_sandbox(tmp_path_factory.mktemp("sandbox"), seed_instances=120) as running:
        yield running


@pytest.fixture
def client(sandbox: RunningSandbox) -> LinodeClient:
    return LinodeClient(sandbox.env["LINODE_TOKEN"], base_url=sandbox.url + "v4", retry=False)


def cli(sandbox: RunningSandbox, *arguments: str, ok: bool = True) -> Any:
    """Run linode-cli; its JSON, or its error output when it is to fail."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "linode-cli"), *arguments, "--json", "--no-defaults"],
        env=sandbox.env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode == 0) is ok, done.stderr
    return json.loads(done.stdout or "[]") if ok else done.stderr + done.stdout


def create(client: LinodeClient, label: str, **more: Any) -> Instance:
    made = client.linode.instance_create(
        "g6-nanode-1", "us-ord", image="linode/debian12", label=label, root_pass=PASSWORD, **more
    )
    assert isinstance(made, Instance)
    return made


def wait_for(sandbox: RunningSandbox, number: int, status: str) -> None:
    deadline = time.monotonic() + 30
    while cli(sandbox, "linodes", "view", str(number))[0]["status"] != status:
        assert time.monotonic() < deadline, f"never {status}"


def test_linode_cli_lives_a_whole_life(sandbox: RunningSandbox) -> None:
    made = cli(
        sandbox, "linodes", "create", "--type", "g6-nanode-1", "--region", "us-ord", "--image", "linode/debian12",
        "--root_pass", PASSWORD, "--label", "cli-life", "--tags", "cli-tag", "--tags", "second",
    )[0]  # fmt: skip
    assert made["status"] == "provisioning"
    number = made["id"]
    wait_for(sandbox, number, "running")
    assert [row["id"] for row in cli(sandbox, "linodes", "list", "--label", "cli-life")] == [number]
    assert [row["id"] for row in cli(sandbox, "linodes", "list", "--tags", "cli-tag")] == [number]
    assert len(cli(sandbox, "linodes", "list", "--region", "us-ord", "--all-rows")) > 1
    assert "cli-tag" in [row["label"] for row in cli(sandbox, "tags", "list")]
    cli(sandbox, "linodes", "reboot", str(number))
    wait_for(sandbox, number, "running")
    events = cli(sandbox, "events", "list", "--entity.id", str(number), "--entity.type", "linode")
    assert {"linode_create", "linode_boot", "linode_reboot"} <= {event["action"] for event in events}
    assert len(cli(sandbox, "linodes", "disks-list", str(number))) == 2
    cli(sandbox, "linodes", "delete", str(number))
    deadline = time.monotonic() + 30
    while cli(sandbox, "linodes", "list", "--label", "cli-life"):
        assert time.monotonic() < deadline
    assert "Not found" in cli(sandbox, "linodes", "view", str(number), ok=False)


def test_linode_cli_firewalls(sandbox: RunningSandbox) -> None:
    rules = json.dumps([{"action": "ACCEPT", "protocol": "TCP", "ports": "22", "addresses": {"ipv4": ["0.0.0.0/0"]}}])
    made = cli(
        sandbox, "firewalls", "create", "--label", "cli-wall", "--rules.inbound_policy", "DROP",
        "--rules.outbound_policy", "ACCEPT", "--rules.inbound", rules,
    )[0]  # fmt: skip
    assert [row["label"] for row in cli(sandbox, "firewalls", "list", "--label", "cli-wall")] == ["cli-wall"]
    shown = cli(sandbox, "firewalls", "rules-list", str(made["id"]))
    assert shown[0]["inbound"][0]["ports"] == "22"
    refused = cli(
        sandbox, "firewalls", "create", "--label", "cli-wall", "--rules.inbound_policy", "DROP",
        "--rules.outbound_policy", "ACCEPT", ok=False,
    )  # fmt: skip
    assert "Label must be unique among your Cloud Firewalls" in refused
    cli(sandbox, "firewalls", "delete", str(made["id"]))
    assert cli(sandbox, "firewalls", "list", "--label", "cli-wall") == []


def test_linode_cli_catalogue_and_account(sandbox: RunningSandbox) -> None:
    types = cli(sandbox, "linodes", "types", "--gpus", "1")
    assert types
    assert all(row["gpus"] == 1 for row in types)
    assert len(cli(sandbox, "regions", "list")) == 46
    assert cli(sandbox, "profile", "view")[0]["username"] == "sandbox"
    assert cli(sandbox, "account", "view")[0]["euuid"]
    assert cli(sandbox, "images", "view", "linode/ubuntu24.04")[0]["id"] == "linode/ubuntu24.04"


def test_event_pollers_of_linode_api4(client: LinodeClient) -> None:
    poller = client.polling.event_poller_create("linode", "linode_create")
    booted = client.polling.event_poller_create("linode", "linode_boot")
    made = create(client, "poller-life")
    poller.set_entity_id(made.id)
    booted.set_entity_id(made.id)
    event = poller.wait_for_next_event_finished(timeout=30, interval=1)
    assert (event.status, event.entity.id) == ("finished", made.id)
    assert booted.wait_for_next_event_finished(timeout=30, interval=1).status == "finished"
    assert Instance(client, made.id).status == "running"

    rebooted = client.polling.event_poller_create("linode", "linode_reboot", entity_id=made.id)
    made.reboot()
    client.polling.wait_for_entity_free("linode", made.id, timeout=30, interval=1)
    assert rebooted.wait_for_next_event_finished(timeout=30, interval=1).status == "finished"

    gone = client.polling.event_poller_create("linode", "linode_delete", entity_id=made.id)
    made.delete()
    assert gone.wait_for_next_event_finished(timeout=30, interval=1).status == "finished"
    with pytest.raises(ApiError) as caught:
        client.load(Instance, made.id)
    assert caught.value.status == 404


def test_a_failed_boot_reaches_the_poller(sandbox: RunningSandbox, client: LinodeClient) -> None:
    sandbox.fault(kind="boot_failure", where={"label": "poller-fails"})
    booted = client.polling.event_poller_create("linode", "linode_boot")
    made = create(client, "poller-fails")
    booted.set_entity_id(made.id)
    with pytest.raises(EventError, match="failed to boot"):
        booted.wait_for_next_event_finished(timeout=30, interval=1)
    made.delete()


def test_linode_api4_pages_filters_and_errors(sandbox: RunningSandbox, client: LinodeClient) -> None:
    client.page_size = 25
    # The SDK refuses a list that changes between two pages, and the tests before may have left something that is going.
    deadline = time.monotonic() + 60
    while any(row["status"] == "deleting" for row in sandbox.api("GET", "linode/instances?page_size=500")["data"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert len(list(client.linode.instances())) >= 120
    assert client.linode.instances(Instance.label == "other-00007").only().region.id
    busy = create(client, "api-busy")
    with pytest.raises(ApiError) as caught:
        busy.reboot()
    assert caught.value.errors == ["Linode busy."]
    sandbox.fault(kind="capacity", where={"region": "us-ord"})
    with pytest.raises(ApiError) as caught:
        create(client, "api-capacity")
    assert (caught.value.status, caught.value.errors) == (
        403,
        ["The Linode plan you chose is not currently available in the selected region"],
    )
    sandbox.fault(kind="rate_limited", on="GET /linode/instances/{id}", retry_after=7)
    with pytest.raises(ApiError) as caught:
        client.load(Instance, busy.id)
    assert caught.value.status == 429
    assert caught.value.response.headers["Retry-After"] == "7"
    busy.delete()
