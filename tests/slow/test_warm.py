# SPDX-License-Identifier: GPL-3.0-or-later
"""A warm volume from its making to its end, in one account: killed while it is made, filled, used, busy, damaged, foreign, dropped.

What the hub and the registry sent to a VM is their own count, on the VM (`fetched.json`).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.warm_volume import warm_label, warm_volume

from tests import product
from tests.killed_at_task import killed_at_task
from tests.product import BIN, error_of, result_of
from tests.sandbox_fixture import RunningSandbox, start_sandbox

MODEL, REGION = "openai/gpt-oss-20b", "us-ord"
LABEL = warm_label(MODEL, REGION)
PLACE = ("--region", REGION)
UP = ["ansible-playbook", "linode_coder.gpu.up", "-e", "session=one", "-e", "keep_warm=true", "-e", f"region={REGION}"]
SHARD = 1 << 20


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with start_sandbox(tmp_path_factory.mktemp("warm"), hosts="simulated") as running:
        running.env |= {"PATH": f"{BIN}{os.pathsep}{running.env['PATH']}", "PYTHONUNBUFFERED": "1"}
        running.env["ANSIBLE_NOCOLOR"] = "1"
        yield running


def volumes(sandbox: RunningSandbox) -> list[dict[str, Any]]:
    return list(sandbox.api("GET", "volumes")["data"])


def fetched(sandbox: RunningSandbox, name: str) -> dict[str, int]:
    """Bytes that came to the session's VM, from the hub and from the registry."""
    done = product.coder(sandbox, "ssh", name, "cat /var/lib/sandbox/fetched.json || echo {}", timeout=60)
    return dict(json.loads(done.stdout))


def up(sandbox: RunningSandbox, name: str, *options: str) -> dict[str, Any]:
    return result_of(product.coder(sandbox, "up", name, *PLACE, *options, "--yes", "--json", timeout=300))


def down(sandbox: RunningSandbox, name: str) -> dict[str, Any]:
    return result_of(product.coder(sandbox, "down", name, "--yes", "--json", timeout=120))


@pytest.mark.parametrize(("step", "after"), [("Attach the volume of this model", 0.4), ("Mount the volume", 0.0)])
def test_killed_while_it_is_made(sandbox: RunningSandbox, step: str, after: float) -> None:
    """kill -9 of the whole process group: the create call is on its way, or the volume is there and not mounted."""
    if after:
        sandbox.fault(kind="delay", on="POST /volumes", delay=1.5)
    assert killed_at_task(sandbox, UP, step, after), step


def test_the_next_up_makes_no_second_one_and_fills_it(sandbox: RunningSandbox) -> None:
    done = up(sandbox, "one", "--keep-warm")
    (row,) = volumes(sandbox)
    found = warm_volume(row)
    assert (row["label"], found.model, found.monthly, found.filled is not None) == (LABEL, MODEL, 7.6, True)
    assert (row["linode_label"], row["encryption"]) == ("lc-one-1", "enabled")
    assert done["warm"]["mounted"] and not done["warm"]["sentence"]
    assert fetched(sandbox, "one")["hub"] > 4 * SHARD
    again = result_of(product.coder(sandbox, "up", "one", "--converge", "--yes", "--json", timeout=300))
    assert again["changed"] == 0


def test_a_reboot_brings_its_mounts_back(sandbox: RunningSandbox) -> None:
    product.coder(sandbox, "ssh", "one", "reboot", timeout=60)
    deadline = time.monotonic() + 60
    said = ""
    while "/weights]" not in said and time.monotonic() < deadline:
        said = product.coder(sandbox, "ssh", "one", "mount", timeout=60).stdout
    assert "/dev/sdc on /var/lib/linode-coder/warm" in said and "/weights]" in said and "/cache]" in said


def test_down_detaches_it_and_says_that_it_bills(sandbox: RunningSandbox) -> None:
    in_use = error_of(product.coder(sandbox, "warm", "drop", LABEL, "--yes", "--json", timeout=60))
    assert "lc-one-1" in in_use["message"]
    gone = down(sandbox, "one")
    assert [volume["name"] for volume in gone["warm"]] == [LABEL]
    (row,) = volumes(sandbox)
    assert row["linode_id"] is None
    listed = result_of(product.coder(sandbox, "list", "--json", timeout=60))
    assert (listed["sessions"], listed["volumes"][0]["monthly"]) == ([], 7.6)
    assert "what is kept warm bills" in product.coder(sandbox, "list", timeout=60).stdout
    cost = result_of(product.coder(sandbox, "cost", "--json", timeout=60))
    assert 0 < cost["volumes"][0]["cost"] < 7.6


def test_warm_fetches_not_one_byte(sandbox: RunningSandbox) -> None:
    """Anywhere, at the same price: the region that has it comes first."""
    done = result_of(product.coder(sandbox, "up", "two", "--yes", "--json", timeout=300))
    assert done["session"]["region"] == REGION
    assert done["warm"] == {**done["warm"], "mounted": True, "sentence": ""}
    assert fetched(sandbox, "two") == {}
    answer = product.coder(sandbox, "ask", "--session", "two", "--max-tokens", "400", "Hello", timeout=60)
    assert answer.returncode == 0 and answer.stdout


def test_a_second_session_goes_cold_and_says_so(sandbox: RunningSandbox) -> None:
    done = up(sandbox, "three")
    assert done["warm"]["mounted"] is False and "in use by lc-two-1" in done["warm"]["sentence"]
    assert fetched(sandbox, "three")["hub"] > 4 * SHARD
    assert len(volumes(sandbox)) == 1
    for name in ("two", "three"):
        down(sandbox, name)
    assert len(volumes(sandbox)) == 1


def test_a_damaged_one_is_filled_again(sandbox: RunningSandbox) -> None:
    sandbox.fault(kind="volume_damaged", where={"label": LABEL})
    before = warm_volume(volumes(sandbox)[0]).digest
    done = up(sandbox, "four")
    assert "was damaged" in done["warm"]["sentence"] and done["warm"]["mounted"]
    assert fetched(sandbox, "four") == {"hub": SHARD}
    assert warm_volume(volumes(sandbox)[0]).digest != before
    # What somebody puts in the place of the list counts for nothing.
    product.coder(sandbox, "ssh", "four", "echo {} > /var/lib/linode-coder/warm/holds.json", timeout=60)
    down(sandbox, "four")


def test_without_its_list_it_is_filled_anew(sandbox: RunningSandbox) -> None:
    done = up(sandbox, "five")
    assert "filled anew" in done["warm"]["sentence"]
    assert fetched(sandbox, "five")["hub"] > 4 * SHARD
    down(sandbox, "five")


def test_a_foreign_one_is_left_alone_and_a_missing_one_is_cold(sandbox: RunningSandbox) -> None:
    label = warm_label(MODEL, "us-sea")
    foreign = sandbox.api("POST", "volumes", {"label": label, "size": 20, "region": "us-sea", "tags": ["of-a-person"]})
    dry = ("up", "six", "--region", "us-sea", "--dry-run")
    said = product.coder(sandbox, *dry, "--keep-warm", timeout=60).stdout
    assert "is not ours; it is left alone" in said
    assert error_of(product.coder(sandbox, "warm", "drop", label, "--yes", "--json", timeout=60), 9)
    sandbox.api("DELETE", f"volumes/{foreign['id']}")
    assert "warm " not in product.coder(sandbox, *dry, timeout=60).stdout
    assert "$7.60 a month" in product.coder(sandbox, *dry, "--keep-warm", timeout=60).stdout


def test_drop_asks_and_deletes_for_good(sandbox: RunningSandbox) -> None:
    unasked = product.coder(sandbox, "warm", "drop", LABEL, timeout=60)
    assert unasked.returncode != 0 and len(volumes(sandbox)) == 1
    assert "would delete" in product.coder(sandbox, "warm", "drop", LABEL, "--dry-run", timeout=60).stdout
    assert result_of(product.coder(sandbox, "warm", "drop", LABEL, "--yes", "--json", timeout=120))["changed"] == 1
    assert volumes(sandbox) == []
    assert result_of(product.coder(sandbox, "warm", "list", "--json", timeout=60))["volumes"] == []
