# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts start their programs by name, in strings and units that no type checker reads: each name is one that start.py can run."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
from pathlib import Path

from linode_coder import sandbox
from linode_coder.sandbox.guest.start import command

SANDBOX = Path(str(sandbox.__file__)).parent
ROOMS = "docker|engine|gpu|system"
NAMED = re.compile(rf"""(?:["']|start\.py )((?:{ROOMS})\.[a-z_]+)(?=[ "'{{])""")


def test_every_program_that_is_named_has_a_main() -> None:
    texts = [path.read_text() for path in SANDBOX.rglob("*") if path.suffix in (".py", ".sh", ".service")]
    named = {name for text in texts for name in NAMED.findall(text)} - {"docker.io"}  # a package
    assert {"docker.docker", "engine.main", "gpu.modprobe", "system.cloud_init", "system.host_tools"} < named
    assert len(named) > 15
    for name in sorted(named):
        main = importlib.import_module(f"linode_coder.sandbox.guest.{name}").main
        assert list(inspect.signature(main).parameters) in (["arguments"], ["_arguments"]), name


def test_start_runs_a_program_with_its_arguments_and_ends_with_its_code() -> None:
    done = subprocess.run([*command("system.cloud_init"), "what"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (2, "the sandbox's cloud-init knows `status`\n")
