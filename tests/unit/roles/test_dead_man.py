# SPDX-License-Identifier: GPL-3.0-or-later
"""What the timer on a VM decides by the VM's tags alone: the program is not part of the collection's code, its words are."""

from __future__ import annotations

import importlib.util
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import (
    SessionTags,
    decode,
    encode,
    with_doom,
)
from hypothesis import given
from hypothesis import strategies as st

_SPEC = importlib.util.spec_from_file_location(
    "dead_man", Path(__file__).parents[3] / "roles" / "dead_man" / "files" / "dead_man.py"
)
assert _SPEC is not None and _SPEC.loader is not None
dead_man = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(dead_man)

NOW = 1_800_000_000
times = st.integers(min_value=1, max_value=4_000_000_000)


def tags(lease_end: int, hard_cap: int = NOW + 999999) -> list[str]:
    return encode(SessionTags("demo", 1, "ada", lease_end, hard_cap, 45, 520_000, "org/M", bytes(32)))


def without(written: list[str], prefix: str) -> list[str]:
    return [tag for tag in written if not tag.startswith(prefix)]


ENDS = [f"lc:{name}:{end}" for name in ("lease", "cap") for end in (0, NOW, NOW + 60, NOW + 99, 10**12, "soon")]


@given(st.lists(st.sampled_from(ENDS)))
def test_it_reads_what_people_made_of_the_tags_as_a_watcher_does(ends: list[str]) -> None:
    found = decode(["Linode-Coder", *ends])
    both = [end for end in (found.lease_end, found.hard_cap) if end is not None]
    assert dead_man.end_of(["Linode-Coder", *ends]) == min(both, default=None)


@given(times, times, times)
def test_it_reads_what_is_written(lease_end: int, hard_cap: int, doom: int) -> None:
    written = with_doom(["theirs", *tags(lease_end, hard_cap)], doom)
    found = decode(written)
    assert found.lease_end is not None and found.hard_cap is not None
    assert dead_man.end_of(written) == min(found.lease_end, found.hard_cap)
    assert dead_man.end_of([tag.title() for tag in written]) == dead_man.end_of(written)


@given(
    st.lists(st.text(max_size=50)),
    st.sampled_from([["linode-coder"], ["linode-coder", "lc:lease:0"], ["lc:lease:1", "lc:cap:1"]]),
)
def test_what_is_not_ours_or_names_no_end_is_never_deleted(others: list[str], some: list[str]) -> None:
    instance = {"tags": [*(tag for tag in others if not tag.lower().startswith(("lc:", "linode-coder"))), *some]}
    assert dead_man.decide(instance, 4e9)[0] == "keep"


@pytest.mark.parametrize(
    ("instance", "action"),
    [
        ({"tags": tags(NOW + 1)}, "keep"),
        ({"tags": tags(NOW)}, "warn"),
        ({"tags": tags(NOW - 1799)}, "warn"),
        ({"tags": tags(NOW - 1800)}, "delete"),
        ({"tags": tags(NOW + 3600, NOW - 1800)}, "delete"),
        ({"tags": without(tags(NOW - 9999), "lc:lease:")}, "keep"),
        ({"tags": without(tags(NOW - 9999, NOW - 9999), "lc:lease:")}, "delete"),
        ({"tags": without(tags(NOW - 9999), "lc:cap:")}, "delete"),
        ({"tags": [*tags(NOW + 3600), f"lc:lease:{NOW - 9999}"]}, "keep"),
        ({"tags": [f"lc:lease:{NOW - 9999}", *tags(NOW + 3600)]}, "keep"),
        ({"tags": tags(NOW - 9999), "locks": ["cannot_delete"]}, "blocked"),
        ({"tags": tags(NOW + 60), "locks": ["cannot_delete"]}, "keep"),
        ({"tags": [], "locks": []}, "keep"),
    ],
)
def test_decisions(instance: dict[str, Any], action: str) -> None:
    assert dead_man.decide(instance, NOW)[0] == action


@pytest.mark.parametrize(
    "body",
    [
        b"<html>sign in first</html>",
        b"[]",
        b'"yes"',
        b"{}",
        b"null",
        json.dumps({"id": 8, "tags": tags(NOW - 9999)}).encode(),
        json.dumps({"id": 7, "tags": "linode-coder lc:lease:1 lc:cap:1"}).encode(),
        json.dumps({"id": 7, "tags": [1, None]}).encode(),
        json.dumps({"id": 7, "tags": tags(NOW - 9999), "locks": {"a": 1}}).encode(),
    ],
)
def test_what_is_not_the_api_deletes_nothing(body: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    heard: list[str] = []

    class Portal(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.command)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_DELETE = do_GET

        def log_message(self, *_arguments: object) -> None:
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Portal)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    (tmp_path / "config.json").write_text(
        json.dumps({"api_url": f"http://127.0.0.1:{server.server_address[1]}", "linode_id": 7})
    )
    (tmp_path / "token").write_text("secret")
    assert dead_man.main(tmp_path) == 1
    server.shutdown()
    server.server_close()
    assert heard == ["GET"] and "asks again" in capsys.readouterr().out
