# SPDX-License-Identifier: GPL-3.0-or-later
"""0, off and unset for lease and idle limit, as options, in the configuration and as variables of the playbook."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests import product
from tests.product import BIN
from tests.sandbox_fixture import RunningSandbox, start_sandbox

coder = partial(product.coder, timeout=240)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    directory = tmp_path_factory.mktemp("settings")
    with start_sandbox(directory, timing="instant") as running:
        running.env.update(ANSIBLE_HOME=str(directory / "ansible"), PATH=f"{BIN}{os.pathsep}{running.env['PATH']}")
        yield running


# Idle limit in minutes, or what is refused.
OFF, REFUSED, DEFAULT = None, "refused", 45


@pytest.mark.parametrize(
    ("given", "means"),
    [
        ([], DEFAULT),
        (["--idle", "off"], OFF),
        (["--idle", "0"], REFUSED),
        (["--idle", "50m"], 50),
        (["--lease", "0"], REFUSED),
        (["--lease", "off"], REFUSED),
    ],
)
def test_as_options(sandbox: RunningSandbox, given: list[str], means: Any) -> None:
    done = coder(sandbox, "up", "asked", *given, "--dry-run", "--json")
    last = json.loads(done.stdout.splitlines()[0])
    if means == REFUSED:
        assert done.returncode == 2, done.stdout
        assert last["error"]["field"] == given[0].removeprefix("--")
    else:
        assert done.returncode == 0, done.stderr
        assert last["quote"]["idle_minutes"] == means


@pytest.mark.parametrize(
    ("setting", "means"), [("idle = false", OFF), ('idle = "off"', OFF), ("idle = 0", REFUSED), ("lease = 0", REFUSED)]
)
def test_in_the_configuration(sandbox: RunningSandbox, setting: str, means: Any) -> None:
    path = sandbox.home / "config" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(setting + "\n")
    done = coder(sandbox, "up", "asked", "--dry-run", "--json")
    path.unlink()
    assert (done.returncode == 2) is (means == REFUSED), done.stdout + done.stderr
    if means != REFUSED:
        assert json.loads(done.stdout.splitlines()[0])["quote"]["idle_minutes"] is means


@pytest.mark.parametrize(
    ("variables", "means"),
    [
        ({"idle": ""}, DEFAULT),
        ({"idle": False}, OFF),  # off, as YAML reads it
        ({"idle": 0}, REFUSED),
        ({"lease": 0}, REFUSED),
        ({"max_cost": 0}, REFUSED),
    ],
)
def test_as_variables(sandbox: RunningSandbox, variables: dict[str, Any], means: Any) -> None:
    given = json.dumps({"session": "asked", **variables})
    done = subprocess.run(
        ["ansible-playbook", "linode_coder.gpu.up", "--check", "-v", "-e", given],
        cwd="/",
        env=sandbox.env,
        capture_output=True,
        text=True,
        timeout=240,
    )
    if means == REFUSED:
        assert done.returncode != 0 and f"field: {next(iter(variables))}\n" in done.stdout, done.stdout
    else:
        assert done.returncode == 0, done.stdout
        shown = "null" if means is OFF else means
        assert f"    idle_minutes: {shown}\n" in done.stdout
