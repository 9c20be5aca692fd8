# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import shlex
import subprocess

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.host_key import from_openssh, to_openssh
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.ssh import connection_vars, ssh_options
from hypothesis import given
from hypothesis import strategies as st

KEYS = st.binary(min_size=32, max_size=32)


@given(KEYS)
def test_keys_survive(key: bytes) -> None:
    assert from_openssh(to_openssh(key) + " a comment") == key


@pytest.mark.parametrize("line", ["", "ssh-ed25519", "ssh-rsa AAAA", "ssh-ed25519 AAAA", "ssh-ed25519 !!!!"])
def test_other_lines_are_refused(line: str) -> None:
    with pytest.raises(ValueError):
        from_openssh(line)


def test_openssh_understands_the_pin() -> None:
    """ssh itself parses the options; the command it would run prints one line for each key."""
    keys = [bytes(range(32)), bytes(32)]
    options = ssh_options(keys)
    parsed = subprocess.run(["ssh", "-G", *options, "host"], check=True, capture_output=True, text=True, timeout=30)
    shown = dict(line.split(" ", 1) for line in parsed.stdout.splitlines() if " " in line)
    assert (shown["stricthostkeychecking"], shown["userknownhostsfile"]) == ("true", "/dev/null")
    command = shown["knownhostscommand"].replace("%H", "[127.0.0.1]:22").replace("%%", "%")
    printed = subprocess.run(shlex.split(command), check=True, capture_output=True, text=True, timeout=30).stdout
    assert printed.splitlines() == [f"[127.0.0.1]:22 {to_openssh(key)}" for key in keys]


def test_ansible_splits_the_arguments_as_meant() -> None:
    keys = [bytes(range(32))]
    assert shlex.split(connection_vars("192.0.2.1", keys)["ansible_ssh_common_args"]) == ssh_options(keys)
