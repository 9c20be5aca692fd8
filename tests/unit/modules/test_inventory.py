# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory plugin, in this process and through ansible-inventory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import inventory_loader
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import SessionTags, encode
from scripted_linode import Fault, ScriptedLinode

ROOT = Path(__file__).resolve().parents[3]


def session_tags(name: str, generation: int = 1, owner: str = "ada") -> list[str]:
    now = int(time.time())
    key = bytes([generation]) * 32
    return encode(SessionTags(name, generation, owner, now + 3600, now + 7200, 45, 520000, "org/Model", key))


@pytest.fixture
def parse(api: ScriptedLinode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Parse a source file with ``options`` beside the plugin's name."""
    monkeypatch.setenv("LINODE_TOKEN", "planted-secret-token")
    monkeypatch.setenv("LINODE_API_URL", api.url)

    def call(name: str = "linode_coder.gpu.linode_gpu", **options: Any) -> InventoryData:
        source = tmp_path / "a.linode.yml"
        source.write_text(json.dumps({"plugin": name} | options))
        plugin, inventory = inventory_loader.get("linode_coder.gpu.linode_gpu"), InventoryData()
        assert plugin.verify_file(str(source))
        plugin.parse(inventory, DataLoader(), str(source))
        if options.get("cache"):
            plugin.update_cache_if_changed()
        return inventory

    return call


@pytest.mark.parametrize("name", ["linode_gpu", "linode_coder.gpu.linode_gpu"])
def test_one_request_whatever_else_the_account_has(api: ScriptedLinode, parse: Any, name: str) -> None:
    for number in range(3):
        api.add(f"lc-s{number}x-1", session_tags(f"s{number}x"))
    for number in range(50):
        api.add(f"web{number}", ["web"])
    inventory = parse(name)
    assert sorted(inventory.groups["linode_coder"].get_hosts(), key=str)[0].name == "s0x"
    assert len(inventory.hosts) == 3
    assert [(call.path, call.x_filter, call.query["page_size"]) for call in api.calls] == [
        ("linode/instances", {"tags": "linode-coder"}, ["500"])
    ]


def test_501_sessions_take_two_requests(api: ScriptedLinode, parse: Any) -> None:
    for number in range(501):
        api.add(f"lc-s{number}-1", session_tags(f"s{number}"))
    assert len(parse().hosts) == 501
    assert len(api.calls) == 2


def test_host_variables_pin_the_key(api: ScriptedLinode, parse: Any) -> None:
    row = api.add("lc-demo-1", session_tags("demo"))
    found = parse().hosts["demo"].get_vars()
    assert (found["linode_session"], found["linode_id"], found["linode_owner"]) == ("demo", row["id"], "ada")
    assert (found["linode_price_hourly"], found["linode_model"]) == (0.52, "org/Model")
    assert {"linode_plan", "linode_region", "linode_lease_end", "linode_status"} <= set(found)
    assert found["ansible_host"] == row["ipv4"][0]
    assert found["linode_host_keys"][0] in found["ansible_ssh_common_args"]
    assert "StrictHostKeyChecking=yes" in found["ansible_ssh_common_args"]


def test_incomplete_tags_mean_no_connection(api: ScriptedLinode, parse: Any) -> None:
    api.add("lc-half-1", session_tags("half")[:-2])
    inventory = parse()
    assert [host.name for host in inventory.groups["linode_coder_incomplete"].get_hosts()] == ["half"]
    assert "half" in [host.name for host in inventory.groups["linode_coder"].get_hosts()]
    found = inventory.hosts["half"].get_vars()
    assert not [name for name in found if name.startswith("ansible_")]
    assert found["linode_missing"] == ["host_key"]


def test_the_newest_generation_has_the_name_of_the_session(api: ScriptedLinode, parse: Any) -> None:
    api.add("lc-demo-1", session_tags("demo", 1))
    api.add("lc-demo-2", session_tags("demo", 2))
    hosts = parse().hosts
    assert hosts["demo"].get_vars()["linode_generation"] == 2
    assert hosts["lc-demo-1"].get_vars()["linode_generation"] == 1


def test_a_group_of_sessions_is_one_of_hosts(api: ScriptedLinode, parse: Any) -> None:
    for name, group in (("a-b-1", "a-b"), ("a-b-2", "A-B"), ("other", "{{ 7 * 6 }}")):
        api.add(f"lc-{name}-1", [*session_tags(name), f"lc:group:{group}"])
    api.add("lc-a-b-3-1", ["linode-coder", "lc:session:a-b-3", "lc:group:a-b"])  # its tags are incomplete
    inventory = parse()
    assert {host.name for host in inventory.groups["linode_coder_group_a_b"].get_hosts()} == {"a-b-1", "a-b-2"}
    assert [name for name in inventory.groups if name.startswith("linode_coder_group")] == ["linode_coder_group_a_b"]
    assert inventory.hosts["a-b-2"].get_vars()["linode_group"] == "a-b"
    assert inventory.hosts["other"].get_vars()["linode_group"] is None


def test_constructed_groups_and_variables(api: ScriptedLinode, parse: Any) -> None:
    api.add("lc-demo-1", session_tags("demo", owner="grace"))
    inventory = parse(
        strict=True,
        hostvars_prefix="gpu_",
        compose={"where": "gpu_region ~ '/' ~ gpu_plan"},
        groups={"mine": "gpu_owner == 'grace' and where is defined"},
        keyed_groups=[{"key": "gpu_region", "prefix": "region"}],
    )
    assert inventory.hosts["demo"].get_vars()["where"] == "us-ord/g2-gpu-rtx4000a1-s"
    assert [host.name for host in inventory.groups["mine"].get_hosts()] == ["demo"]
    assert "region_us_ord" in inventory.groups


def test_cache_saves_the_request(api: ScriptedLinode, parse: Any, tmp_path: Path) -> None:
    api.add("lc-demo-1", session_tags("demo"))
    cached = {"cache": True, "cache_plugin": "jsonfile", "cache_connection": str(tmp_path / "cache")}
    assert list(parse(**cached).hosts) == list(parse(**cached).hosts) == ["demo"]
    assert len(api.calls) == 1


def test_errors_say_what_to_do(api: ScriptedLinode, parse: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    api.faults.append(Fault("GET", ".*", 401, "Invalid Token", headers={"X-OAuth-Scopes": "unknown"}))
    with pytest.raises(AnsibleParserError, match=r"not valid.*LINODE_TOKEN"):
        parse()
    monkeypatch.setenv("LINODE_TOKEN", "")
    with pytest.raises(AnsibleParserError, match="LINODE_TOKEN is not set"):
        parse()
    monkeypatch.setenv("LINODE_TOKEN", "x")
    monkeypatch.setenv("LINODE_API_URL", "nonsense")
    with pytest.raises(AnsibleParserError, match="not an http or https address"):
        parse()


@pytest.mark.parametrize(
    ("name", "ours"), [("a.linode.yml", True), ("gpu.linode.yaml", True), ("a.yml", False), ("linode.json", False)]
)
def test_files_are_recognised_by_name_alone(api: ScriptedLinode, tmp_path: Path, name: str, ours: bool) -> None:
    (tmp_path / name).write_text("plugin: linode_gpu\n")
    assert inventory_loader.get("linode_coder.gpu.linode_gpu").verify_file(str(tmp_path / name)) is ours
    assert api.calls == []


def test_ansible_inventory_lists_all_types_as_they_are(api: ScriptedLinode, tmp_path: Path) -> None:
    """Texts are marked as unsafe, as docs/awx.md says."""
    row = api.add("lc-demo-1", session_tags("demo"))
    command = [str(Path(sys.executable).with_name("ansible-inventory")), "--list"]
    environment = os.environ | {"LINODE_TOKEN": "x", "LINODE_API_URL": api.url, "ANSIBLE_HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=True)
    listed = json.loads(done.stdout)
    assert (listed["linode_coder"]["hosts"], done.stderr) == (["demo"], "")
    found = listed["_meta"]["hostvars"]["demo"]
    assert (found["linode_id"], found["linode_price_hourly"], found["linode_complete"]) == (row["id"], 0.52, True)
    assert (found["linode_missing"], found["linode_doomed"], found["ansible_port"]) == ([], None, 22)
    assert found["linode_session"] == {"__ansible_unsafe": "demo"}
    assert found["ansible_host"] == {"__ansible_unsafe": row["ipv4"][0]}
