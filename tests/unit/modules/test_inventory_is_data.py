# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory of an account whose tags and labels are hostile: read by Ansible itself, nothing of them is run or rendered."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import inventory_loader
from ansible.template import Templar, is_trusted_as_template, trust_as_template
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import SessionTags, encode, escape
from scripted_linode import ScriptedLinode

from tests.hostile import CORPUS, MARKER, canary, encodable

BIN = Path(sys.executable).parent
GROUPS = {
    "keyed_groups": [{"key": "linode_model", "prefix": "m"}, {"key": "linode_region", "prefix": ""}],
    "groups": {"same": "linode_model == linode_region", "found": "linode_model in (linode_label ~ linode_owner)"},
    "compose": {"again": "linode_model ~ linode_owner", "whole": "linode_model", "first": "[linode_label] | first"},
}


@pytest.fixture
def left() -> Iterator[Path]:
    """What a canary leaves when it is run. Its path is short: a model in tags has 390 characters."""
    with tempfile.TemporaryDirectory(prefix="lc", dir="/dev/shm") as directory:
        yield Path(directory) / "x"


@pytest.fixture
def environment(api: ScriptedLinode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setenv("LINODE_TOKEN", "planted-secret-token")
    monkeypatch.setenv("LINODE_API_URL", api.url)
    monkeypatch.setenv("ANSIBLE_HOME", str(tmp_path / "ansible"))
    monkeypatch.setenv("ANSIBLE_INVENTORY_ENABLED", "linode_coder.gpu.linode_gpu,script,host_list")
    return dict(os.environ)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.linode.yml"
    path.write_text(json.dumps({"plugin": "linode_coder.gpu.linode_gpu", "strict": True, **GROUPS}))
    return path


def add(api: ScriptedLinode, number: int, text: str, **changes: Any) -> dict[str, Any]:
    """A session whose VM has ``text`` wherever somebody with access to the account, or the API, can have put it."""
    now = int(time.time())
    tags = encode(SessionTags(f"s{number}", 1, "ada", now + 3600, now + 7200, 45, 520000, "M", bytes([number]) * 32))
    tags = [tag for tag in tags if not tag.startswith(("lc:model:", "lc:owner:"))]
    model = escape(text if len(escape(text)) < 380 else MARKER)
    tags += [f"lc:model:{index}:{model[at : at + 39]}" for index, at in enumerate(range(0, len(model), 39))]
    fields: dict[str, Any] = dict.fromkeys(("status", "type", "region", "image"), text)
    return api.add(text, [*tags, f"lc:owner:{text}", text], **{**fields, **changes})


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from (*texts(key), *texts(item))
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, str):
        yield value


def hostile(left: Path) -> list[str]:
    return [*(text for text in CORPUS.values() if encodable(text)), *canary(left).values()]


def test_no_text_of_the_account_is_rendered(
    api: ScriptedLinode, environment: dict[str, str], source: Path, left: Path
) -> None:
    given = hostile(left)
    for number, text in enumerate(given):
        add(api, number, text)
    inventory = InventoryData()
    inventory_loader.get("linode_coder.gpu.linode_gpu").parse(inventory, DataLoader(), str(source))
    assert len(inventory.hosts) == len(given)
    for number, text in enumerate(given):
        found = inventory.hosts[f"s{number}"].get_vars()
        assert (found["linode_region"], found["linode_label"]) == (text, text)
        assert found["linode_model"] == (text if len(escape(text)) < 380 else MARKER)
        assert not any(is_trusted_as_template(one) for one in texts(found))
        templar = Templar(DataLoader(), variables=found)
        for name in ("linode_model", "linode_label", "linode_region", "linode_owner", "again", "first", "ansible_host"):
            if name in found:
                assert templar.template(trust_as_template(f"{{{{ {name} }}}}")) == found[name]
                assert templar.template(found[name]) == found[name]
    assert not left.exists()


def test_names_and_addresses_mean_nothing_but_their_vm(
    api: ScriptedLinode, environment: dict[str, str], source: Path, left: Path
) -> None:
    given = [
        *hostile(left),
        "localhost",
        "LocalHost",
        "all",
        "127.0.0.1",
        "::1",
        "web:2222",
        "a,b",
        "web[1:3]",
        "-oX",
        "s0",
    ]
    first = api.add("web", encode(SessionTags("s0", 9, "ada", 9 * 10**9, 9 * 10**9, 45, 1, "M", bytes(32))))
    for number, text in enumerate(given):
        tags = encode(SessionTags(f"t{number}", 1, "ada", 9 * 10**9, 9 * 10**9, 45, 1, "M", bytes(32)))
        # Without a session's name the label is that of the host; with one the address is where ssh goes.
        api.add(text, [tag for tag in tags if not tag.startswith("lc:session:")])
        api.add(f"fine-{number}", tags, ipv4=[text, *(["192.0.2.77"] if number % 2 else [])])
    inventory = InventoryData()
    inventory_loader.get("linode_coder.gpu.linode_gpu").parse(inventory, DataLoader(), str(source))
    assert len(inventory.hosts) == 1 + 2 * len(given)
    assert inventory.hosts["s0"].get_vars()["linode_id"] == first["id"]
    assert not {"localhost", "LocalHost", "all", "127.0.0.1", "::1"} & set(inventory.hosts)
    for name, host in inventory.hosts.items():
        assert name.isascii() and name.replace("-", "").replace("_", "").replace(".", "").isalnum()
        assert name[0].isalnum()
        address = host.get_vars().get("ansible_host", "192.0.2.1")
        assert address.startswith("192.0.2.") or address == "127.0.0.1"


def test_the_environment_is_data_and_the_source_file_is_the_users(
    api: ScriptedLinode, environment: dict[str, str], tmp_path: Path, left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(api, 0, "x")
    source = tmp_path / "b.linode.yml"
    source.write_text(json.dumps({"plugin": "linode_coder.gpu.linode_gpu"}))
    for text in canary(left).values():
        monkeypatch.setenv("LINODE_TOKEN", text.replace("\n", " "))
        inventory_loader.get("linode_coder.gpu.linode_gpu").parse(InventoryData(), DataLoader(), str(source))
    assert not left.exists()
    monkeypatch.setenv("ELSEWHERE", api.url)
    monkeypatch.setenv("LINODE_API_URL", "http://127.0.0.1:9/")
    api_url = "{{ lookup('env', 'ELSEWHERE') }}"
    source.write_text(json.dumps({"plugin": "linode_coder.gpu.linode_gpu", "api_url": api_url}))
    inventory = InventoryData()
    inventory_loader.get("linode_coder.gpu.linode_gpu").parse(inventory, DataLoader(), str(source))
    assert list(inventory.hosts) == ["s0"]


def test_what_is_listed_is_data_again_where_it_is_read(
    api: ScriptedLinode, environment: dict[str, str], source: Path, left: Path, tmp_path: Path
) -> None:
    """As AWX does it: `ansible-inventory --list` is kept, and given to a playbook by a script."""
    given = [text for text in hostile(left) if "jinja2:" in text or "{" in text or "!" in text]
    assert len(given) > 30
    for number, text in enumerate(given):
        add(api, number, text)
    done = subprocess.run(
        [str(BIN / "ansible-inventory"), "-i", str(source), "--list", "--export"],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    first = json.loads(done.stdout)["_meta"]["hostvars"]["s0"]
    # Documented: text is marked, all else is as it is.
    assert first["linode_label"] == {"__ansible_unsafe": given[0]}
    assert (first["linode_id"], first["linode_price_hourly"]) == (first["linode_id"] | 0, 0.52)
    assert (first["linode_complete"], first["linode_missing"], first["linode_doomed"]) == (True, [], None)
    (tmp_path / "listed.json").write_text(done.stdout)
    script = tmp_path / "kept"
    script.write_text(f"#!/bin/sh\ncat {tmp_path}/listed.json\n")
    script.chmod(0o700)
    play = tmp_path / "play.yml"
    play.write_text(
        json.dumps(
            [
                {
                    "hosts": "linode_coder",
                    "gather_facts": False,
                    "tasks": [
                        {"debug": {"var": "hostvars[inventory_hostname]"}},
                        {"debug": {"msg": "{{ linode_model }} {{ linode_label }} {{ again }}"}},
                        {"set_fact": {"kept": "{{ linode_label }}"}},
                        {"assert": {"that": "kept == linode_region and kept == linode_tagged"}},
                    ],
                    "vars": {"linode_tagged": "{{ linode_status }}"},
                }
            ]
        )
    )
    done = subprocess.run(
        [str(BIN / "ansible-playbook"), "-i", str(script), str(play)],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        errors="replace",
        timeout=240,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert not left.exists()


def test_a_canary_is_run_where_a_script_does_not_mark_text(
    api: ScriptedLinode, environment: dict[str, str], left: Path, tmp_path: Path
) -> None:
    """Else the test above would say nothing."""
    listed = {"all": {"hosts": ["a"]}, "_meta": {"hostvars": {"a": {"text": canary(left)["jinja header"]}}}}
    (tmp_path / "listed.json").write_text(json.dumps(listed))
    script = tmp_path / "kept"
    script.write_text(f"#!/bin/sh\ncat {tmp_path}/listed.json\n")
    script.chmod(0o700)
    command = [str(BIN / "ansible"), "-i", str(script), "a", "-m", "debug", "-a", "var=text"]
    subprocess.run(command, env=environment, cwd="/", capture_output=True, timeout=120, check=True)
    assert left.exists()
