# SPDX-License-Identifier: GPL-3.0-or-later
"""User-data of simulated hosts: each format is taken apart or named as left out, and none keeps a host from booting."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import example, given
from hypothesis.strategies import binary

from linode_coder.sandbox.guest.system import cloud_config
from linode_coder.sandbox.guest.system.user_data import Part, read_config, read_parts
from tests.user_data import several

ARCHIVE = b"""#cloud-config-archive
- "#!/bin/sh\\ntrue"
- {type: text/cloud-config, content: "hostname: one"}
- {content: "packages: [htop]", filename: mine}
- {type: text/x-shellscript-per-boot, content: "#!/bin/sh"}
"""


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (b"", []),
        (b"#!/bin/sh\ntrue", [Part("text/x-shellscript", "part-001", b"#!/bin/sh\ntrue")]),
        (b"\n  #Cloud-Config\na: 1", [Part("text/cloud-config", "part-001", b"\n  #Cloud-Config\na: 1")]),
        (gzip.compress(b"#cloud-config\n", mtime=0), [Part("text/cloud-config", "part-001", b"#cloud-config\n")]),
        (
            ARCHIVE,
            [
                Part("text/x-shellscript", "part-001", b"#!/bin/sh\ntrue"),
                Part("text/cloud-config", "part-002", b"hostname: one"),
                Part("text/cloud-config", "mine", b"packages: [htop]"),
                Part("text/x-shellscript-per-boot", "part-004", b"#!/bin/sh"),
            ],
        ),
        (
            several(("x-shellscript", "#cloud-config\na: 1")),
            [Part("text/cloud-config", "part-001", b"#cloud-config\na: 1")],
        ),
    ],
)
def test_parts_by_what_they_say_they_are(data: bytes, parts: list[Part]) -> None:
    assert read_parts(data) == (parts, [])


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b"echo no shebang", "text/x-not-multipart, which begins with 'echo no shebang'"),
        (b"#include https://example.com/", "text/x-include-url"),
        (b"#include-once https://example.com/", "text/x-include-once-url"),
        (b"#part-handler\n", "text/part-handler"),
        (b"#cloud-config-jsonp\n[]", "text/cloud-config-jsonp"),
        (b"## template: jinja\n#cloud-config\n", "text/jinja2"),
        (b"\x7fELF\x02\x00", "text/x-not-multipart"),
        (gzip.compress(b"#!/bin/sh", mtime=0)[:-4], "damaged"),
        (b"#cloud-config-archive\n[", "not YAML: while parsing"),
        (b"#cloud-config\n\ta: {", "part-001, whose cloud-config is not YAML: while scanning"),
        (b"#cloud-config\n- a", "part-001, whose cloud-config is not a mapping"),
        (b"#cloud-config\nwhen: 2026-13-45", "part-001, whose cloud-config is not YAML: month must be in 1..12"),
        (b"#cloud-config\na: " + b"[" * 5000, "not YAML: maximum recursion depth"),
        (b"#cloud-config\nswap: {}", "swap of the cloud-config"),
        (b"#cloud-config\nusers: [{name: dev}]", "users of the cloud-config"),
        (b"#cloud-config\ndisable_root: true", "disable_root"),
        (b"#cloud-config\nssh_pwauth: true", "ssh_pwauth"),
        (b"#cloud-config\nssh_keys: {rsa_private: x}", "host keys of rsa"),
        (b"#cloud-config\nssh_genkeytypes: [ed25519, ecdsa]", "host keys of ecdsa"),
        (b"#cloud-config\nwrite_files: [{path: /a, source: {uri: 'https://example.com'}}]", "the source of /a"),
    ],
)
def test_what_is_left_out_is_named(data: bytes, named: str) -> None:
    assert [named in said for said in left_out(data)] == [True]


def left_out(data: bytes) -> list[str]:
    parts, unknown = read_parts(data)
    config, unread = read_config(parts)
    return [*unknown, *unread, *cloud_config.left_out(config)]


def test_all_that_is_done_is_named_nowhere() -> None:
    config = (
        b"#cloud-config\nssh_keys: {ed25519_private: a, ed25519_public: b}\nusers: [default]\ndisable_root: false\n"
        b"ssh_pwauth: false\nssh_genkeytypes: [ed25519]\npackages: [htop]\nruncmd: [ls]\nwrite_files: [{path: /a}]\n"
    )
    assert left_out(config) == []


@given(binary())
@example(
    b"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=x\n\n--x\nContent-Transfer-Encoding: base64\n\n@@@\n"
)
@example(b"MIME-Version: 1.0\nContent-Type: text/plain; charset=nowhere\nContent-Transfer-Encoding: uuencode\n\n\xff")
@example(b"#cloud-config\nwrite_files: 1\nssh_keys: [a]\n? [a]\n: b\n1: 2\n")
def test_nothing_keeps_a_host_from_booting(data: bytes) -> None:
    for prefix in (b"", b"#cloud-config\n", b"#cloud-config-archive\n", b"MIME-Version: 1.0\n"):
        assert all(isinstance(said, str) for said in left_out(prefix + data))


def test_commands_of_one_script() -> None:
    commands = ["cd /srv", ["echo", "it's", 1], None]
    assert cloud_config.shell_script(commands) == "#!/bin/sh\ncd /srv\n'echo' 'it'\\''s' '1'\n"
    with pytest.raises(TypeError):
        cloud_config.shell_script([{"a": 1}])


def test_a_step_that_fails_does_not_keep_the_next_from_being_taken() -> None:
    taken = []
    steps: list[cloud_config.Step] = [
        ("runcmd", lambda: cloud_config.keep_runcmd({"runcmd": [{"a\x1b": 1}]})),
        ("next", lambda: taken.append(1)),
    ]
    assert cloud_config.run(steps) == ["runcmd failed: TypeError: a command is a text or a list, not {'a\\\\x1b': 1}"]
    assert taken == [1]
