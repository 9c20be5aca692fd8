# SPDX-License-Identifier: GPL-3.0-or-later
"""Which public keys come in, and what becomes of the lines of authorized_keys."""

from __future__ import annotations

import base64
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.client_keys import (
    parse_key,
    plain_keys,
    with_keys,
    without_keys,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.hostile import CORPUS

Call = Callable[..., dict[str, Any]]


def line(fill: bytes, comment: str) -> str:
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + fill * 32
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} {comment}".strip()


ADA, BOB = line(b"a", "ada"), line(b"b", "bob")
GATEWAY = f'restrict,permitopen="127.0.0.1:8000",command="/bin/false" {line(b"g", "linode-coder-team")}'


def rsa(bits: int) -> str:
    modulus = b"\0" + b"\xff" * (bits // 8)
    fields = (b"ssh-rsa", b"\1\0\1", modulus)
    blob = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    return f"ssh-rsa {base64.b64encode(blob).decode()}"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----\n", "private key"),
        (GATEWAY, "options"),
        (f"{ADA}\n{BOB}\n", "not one public key"),
        ("", "not one public key"),
        ("hello", "not a public key"),
        ("ssh-ed25519 AAAA", "not a public key"),
        (rsa(2048), "3072 bits"),
        (ADA.replace("ssh-ed25519", "ecdsa-sha2-nistp256"), "damaged"),
        (ADA[:-30], "damaged"),
    ],
)
def test_what_may_not_come_in_is_refused_in_a_sentence(text: str, why: str) -> None:
    with pytest.raises(Failure) as caught:
        parse_key(text)
    assert why in caught.value.message and caught.value.remedy
    assert "b3BlbnNz" not in caught.value.message + str(caught.value.remedy)


def test_the_fingerprint_is_what_ssh_says(tmp_path: Path) -> None:
    for text in (ADA, rsa(3072)):
        (tmp_path / "key.pub").write_text(text + "\n")
        said = subprocess.run(
            ["ssh-keygen", "-l", "-f", str(tmp_path / "key.pub")], capture_output=True, text=True, check=True
        ).stdout
        assert said.split()[1] == parse_key(text).fingerprint


@pytest.mark.parametrize("name", sorted(CORPUS))
def test_no_hostile_comment_is_more_than_a_comment(name: str) -> None:
    text = f"{ADA} {CORPUS[name]}"
    try:
        key = parse_key(text)
    except Failure:
        return
    assert key.line.isprintable() and plain_keys(with_keys("", [key])) == [key]


@given(st.text())
def test_other_lines_stay_as_they_are(text: str) -> None:
    before = text if not text or text.endswith("\n") else text + "\n"
    added = with_keys(before, [parse_key(ADA)])
    assert without_keys(added, [parse_key(ADA)]) == before
    assert with_keys(added, [parse_key(ADA)]) == added


def test_keys_come_and_go_and_the_last_and_ones_own_stay(call: Call, tmp_path: Path) -> None:
    path = tmp_path / "authorized_keys"
    foreign = f"# of ada\n{GATEWAY}\n{ADA}"
    path.write_text(foreign)

    def keys(check: bool = False, **options: Any) -> dict[str, Any]:
        return call("session_keys", check=check, path=str(path), **({"own": ADA} | options))

    assert keys()["changed"] is False and [key["comment"] for key in keys()["known"]] == ["ada"]
    planned = keys(check=True, present=[BOB])
    assert (planned["changed"], path.read_text()) == (True, foreign)
    assert planned["diff"]["after"] == f"{ADA}\n{BOB}\n" and planned["added"] == [parse_key(BOB).fingerprint]
    assert keys(present=[BOB, BOB])["changed"] and path.read_text() == f"{foreign}\n{BOB}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert keys(present=[line(b"b", "again")])["changed"] is False
    assert keys(absent=["ada"])["failure"]["kind"] == "refused"
    assert keys(absent=["nobody"])["changed"] is False
    gone = keys(absent=[parse_key(BOB).fingerprint])
    assert (gone["removed"], path.read_text()) == ([parse_key(BOB).fingerprint], f"{foreign}\n")
    assert "last key" in keys(absent=["ada"], lock_out=True)["failure"]["message"]
    assert keys(present=[BOB], absent=["ada"], lock_out=True)["changed"] and GATEWAY in path.read_text()
    assert keys(present=[line(b"c", "bob")])["changed"]
    assert "2 keys" in keys(absent=["bob"])["failure"]["message"]
