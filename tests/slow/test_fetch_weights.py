# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that fetches weights, with the real huggingface_hub of the version that the role pins, against a played hub."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ROLE = ROOT / "roles" / "vllm"
PROGRAM = ROLE / "files" / "fetch_weights.py"
REQUIREMENTS = ROLE / "files" / "huggingface_hub.txt"
# What the container is told beside addresses and paths.
SETTINGS = dict(
    re.findall(r'^ +(HF_\w+): "(\w+)"$', (ROLE / "templates" / "weights.yaml.j2").read_text(), re.MULTILINE)
)
MODEL, COMMIT = "acme/Tiny-1B", "0123456789abcdef0123456789abcdef01234567"
NEWEST = "2.4.0"
MEGABYTE = 1 << 20
GOOD, BAD = "hf_good", "hf_bad"


def content(name: str, size: int) -> bytes:
    return (hashlib.sha256(name.encode()).digest() * (size // 32 + 1))[:size]


FILES = {
    "config.json": b'{"architectures": ["Qwen2ForCausalLM"]}',
    "model-00001-of-00002.safetensors": content("one", 24 * MEGABYTE),
    "model-00002-of-00002.safetensors": content("two", 3 * MEGABYTE + 17),
}
FIRST, SECOND = sorted(FILES)[1:]
# The library writes what it gets in pieces of this size.
PIECE = 10 * MEGABYTE


@dataclass
class Hub:
    """What the played hub does wrong, and what it was asked: method, path, range and token."""

    port: int = 0
    gated: bool = False
    forbidden: bool = False
    # How many requests are answered so, and with which headers when there were too many.
    down: int = 0
    limited: int = 0
    limit: dict[str, str] = field(default_factory=lambda: {"Retry-After": "1"})
    # By file: after how many bytes its connection stops, and the byte that arrives changed, once.
    cut: dict[str, int] = field(default_factory=dict)
    damage: dict[str, int] = field(default_factory=dict)
    # What stopped falls silent until this is set, and is closed then.
    close: threading.Event = field(default_factory=threading.Event)
    on_file: Callable[[], None] | None = None
    asked: list[tuple[str, str, str, str]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=lambda: FILES)
    # By file: the bytes that went out.
    sent: Counter[str] = field(default_factory=Counter)

    def ranges(self, name: str) -> list[str]:
        """Of the requests that a file's bytes came from."""
        return [
            ranged
            for method, path, ranged, _token in self.asked
            if method == "GET" and path.startswith("/cdn/") and path.endswith(name)
        ]


def information(files: dict[str, bytes]) -> bytes:
    rows: list[dict[str, Any]] = []
    for name, data in files.items():
        rows.append({"rfilename": name, "size": len(data), "blobId": hashlib.sha1(data).hexdigest()})
        if name.endswith(".safetensors"):
            rows[-1]["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return json.dumps({"id": MODEL, "sha": COMMIT, "siblings": rows, "private": False, "tags": []}).encode()


def tree(files: dict[str, bytes]) -> bytes:
    """The same as the newest version of the library asks for it."""
    rows: list[dict[str, Any]] = []
    for name, data in files.items():
        rows.append({"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()})
        if name.endswith(".safetensors"):
            rows[-1]["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return json.dumps(rows).encode()


class Handler(BaseHTTPRequestHandler):
    """The hub's API, its files, and under another name the host that it redirects to for large files."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_GET(self) -> None:
        hub, path = self.hub, self.path.partition("?")[0]
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        hub.asked.append((self.command, path, self.headers.get("Range", ""), token))
        model, _, revision = path.removeprefix("/api/models/").partition("/revision/")
        name = path.rpartition("/")[2]
        if hub.down:
            hub.down -= 1
            self.send(503, b"unavailable")
        elif hub.limited:
            hub.limited -= 1
            self.send(429, b"slow down", hub.limit)
        elif path == "/xet-auth":
            self.send(404, b"{}")
        elif hub.forbidden:
            self.send(403, b"{}")
        elif token == BAD:
            self.refuse(401, None, "Invalid credentials in Authorization header")
        elif path == f"/api/models/{MODEL}/tree/{COMMIT}":
            self.send(200, tree(hub.files), {"Content-Type": "application/json"})
        elif path.startswith("/api/") and not path.startswith("/api/models/"):
            self.send(404, b"{}")
        elif not path.startswith("/api/models/"):
            if hub.gated and token != GOOD and not path.startswith("/cdn/"):
                self.refuse(403 if token else 401, "GatedRepo", "Access is restricted")
            else:
                self.file(name, hub.files[name], path.startswith("/cdn/"))
        elif model != MODEL:
            self.refuse(404, "RepoNotFound", "Repository not found")
        elif revision not in ("main", COMMIT):
            self.refuse(404, "RevisionNotFound", "Invalid rev id")
        else:
            self.send(200, information(hub.files), {"Content-Type": "application/json"})

    do_HEAD = do_GET

    def refuse(self, status: int, code: str | None, message: str) -> None:
        self.send(status, b"{}", {"X-Error-Message": message, **({"X-Error-Code": code} if code else {})})

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None, length: int | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def file(self, name: str, data: bytes, at_cdn: bool) -> None:
        large = name.endswith(".safetensors")
        etag = f'"{hashlib.sha256(data).hexdigest() if large else hashlib.sha1(data).hexdigest()}"'
        facts = {"X-Repo-Commit": COMMIT, "ETag": etag}
        if large and not at_cdn:
            # As the hub says it of a file that Xet holds too.
            facts |= {
                "X-Linked-ETag": etag,
                "X-Linked-Size": str(len(data)),
                "X-Xet-Hash": "0" * 64,
                "Link": f'<http://127.0.0.1:{self.hub.port}/xet-auth>; rel="xet-auth"',
                "Location": f"http://localhost:{self.hub.port}/cdn{self.path}",
            }
            self.send(302, b"", facts)
            return
        start = int(self.headers.get("Range", "bytes=0-").partition("=")[2].partition("-")[0])
        if self.command == "GET" and large and self.hub.on_file is not None:
            self.hub.on_file()
        if start <= self.hub.damage.get(name, -1):
            at = self.hub.damage.pop(name)
            data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        if start:
            facts["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        # A connection that is closed at once works the next time; a silent one stays so until the test mends it.
        end = self.hub.cut.pop(name, None) if self.hub.close.is_set() else self.hub.cut.get(name)
        if self.command == "GET":
            self.hub.sent[name] += len(data[start:end])
        self.send(206 if start else 200, data[start:end], facts, len(data) - start)
        if end is not None:
            self.hub.close.wait(60)
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Nothing: what was asked is kept."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    played = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"hub": played}))
    server.daemon_threads = True
    played.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield played
    played.close.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def temporary() -> Path:
    """Where the program puts the library that it installs: kept, so that it is fetched once for a checkout."""
    path = ROOT / ".cache" / "fetch-weights" / hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    path.mkdir(parents=True, exist_ok=True)
    return path


class Fetch:
    """One model directory, and the program run on it."""

    def __init__(self, hub: Hub, home: Path, temporary: Path) -> None:
        self.hub = hub
        self.home = home
        token = home.parent / "token"
        self.token = token
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": str(home.parent),
            "TMPDIR": str(temporary),
            "HF_HOME": str(home),
            "HF_ENDPOINT": f"http://127.0.0.1:{hub.port}",
            "HF_TOKEN_PATH": str(token),
            "HUGGINGFACE_HUB_REQUIREMENTS": str(REQUIREMENTS),
            "FETCH_PAUSES": "0.1,0.1",
            "FETCH_SPARE_BYTES": "0",
            "MODEL": MODEL,
            **SETTINGS,
            **{name: value for name, value in os.environ.items() if name.startswith("PIP_")},
        }

    def start(self, *before: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*before, sys.executable, "-E", "-s", str(PROGRAM)],
            env={**self.env, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, code: int = 0, *before: str, **environment: str) -> list[dict[str, Any]]:
        process = self.start(*before, **environment)
        out, err = process.communicate(timeout=240)
        assert process.returncode == code, out + err
        return [json.loads(line) for line in out.splitlines()]

    def part(self, name: str) -> Path:
        return self.blob(name).with_suffix(".incomplete")

    def blob(self, name: str) -> Path:
        return self.folder / "blobs" / hashlib.sha256(self.hub.files[name]).hexdigest()

    @property
    def folder(self) -> Path:
        return self.home / "hub" / ("models--" + MODEL.replace("/", "--"))

    def complete(self) -> bool:
        snapshot = self.folder / "snapshots" / COMMIT
        return all((snapshot / name).read_bytes() == data for name, data in self.hub.files.items())


@pytest.fixture
def fetch(hub: Hub, tmp_path: Path, temporary: Path) -> Fetch:
    home = tmp_path / "models"
    home.mkdir()
    return Fetch(hub, home, temporary)


def kinds(events: list[dict[str, Any]], event: str) -> list[str]:
    return [entry["kind"] for entry in events if entry["event"] == event]


def test_a_model_arrives_whole_and_is_noted(hub: Hub, fetch: Fetch) -> None:
    fetch.token.write_text(GOOD)
    events = fetch.run()
    assert events[0]["event"] == "begin" and events[-1]["event"] == "done"
    assert next(event for event in events if event["event"] == "size")["total"] == sum(map(len, FILES.values()))
    assert fetch.complete()
    noted = json.loads((fetch.folder / "fetched.json").read_text())
    assert noted["sizes"] == {name: len(data) for name, data in FILES.items()}
    assert noted["revision"] == COMMIT
    # The hub gets the token, where it redirects to does not; nothing went through Xet.
    tokens = {path.startswith("/cdn/"): token for _method, path, _range, token in hub.asked}
    assert tokens == {False: GOOD, True: ""}
    assert not any("xet" in path for _method, path, _range, _token in hub.asked)
    assert GOOD not in json.dumps(events)
    # A second run asks for no file again.
    hub.asked.clear()
    assert fetch.run()[-1]["event"] == "done"
    assert not [path for method, path, _range, _token in hub.asked if method == "GET" and "/resolve/" in path]


def test_a_library_with_other_bytes_is_not_installed(fetch: Fetch, tmp_path: Path) -> None:
    fresh, other = tmp_path / "fresh", tmp_path / "requirements.txt"
    fresh.mkdir()
    name, first, digest = re.split(r"(huggingface_hub==\S+ \\\n    --hash=sha256:)", REQUIREMENTS.read_text())
    other.write_text(name + first + ("0" if digest[0] != "0" else "1") + digest[1:])
    process = fetch.start(TMPDIR=str(fresh), HUGGINGFACE_HUB_REQUIREMENTS=str(other))
    out, err = process.communicate(timeout=240)
    assert process.returncode != 0
    assert "DO NOT MATCH THE HASHES" in err
    assert not (fresh / "huggingface_hub").exists() and "done" not in out


def test_a_run_that_is_killed_goes_on_in_the_middle_of_a_file(hub: Hub, fetch: Fetch) -> None:
    hub.cut[FIRST] = PIECE + MEGABYTE
    process = fetch.start()
    deadline = time.monotonic() + 240
    while not (fetch.part(FIRST).exists() and fetch.part(FIRST).stat().st_size >= PIECE):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    had = fetch.part(FIRST).stat().st_size
    hub.cut.clear()
    hub.close.set()
    hub.asked.clear()
    events = fetch.run()
    sizes = [event["done"] for event in events if event["event"] == "size"]
    assert sizes[0] >= had
    ranges = hub.ranges(FIRST)
    assert ranges and set(ranges) == {f"bytes={had}-"}
    assert fetch.complete()


def newest_library() -> Path:
    """As `temporary`, with the newest version instead of the one that the role pins."""
    path = ROOT / ".cache" / "fetch-weights" / NEWEST
    target = path / "huggingface_hub"
    if not (target / "huggingface_hub").exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--only-binary=:all:", "--target", str(target)]
        subprocess.run([*pip, f"huggingface_hub=={NEWEST}"], check=True)
    return path


@pytest.mark.parametrize("library", ["pinned", "newest"])
def test_the_library_that_goes_on_is_the_one_that_is_pinned(
    hub: Hub, fetch: Fetch, temporary: Path, library: str
) -> None:
    """A run that is killed in the middle of 200 MB: what is fetched of the file in all. When the newest version goes on too, it is
    the one to pin."""
    large = content("large", 200 * 10**6)
    hub.files = {"config.json": FILES["config.json"], FIRST: large}
    hub.cut[FIRST] = 150 * 10**6
    folder = str(temporary if library == "pinned" else newest_library())
    process = fetch.start(TMPDIR=folder)
    deadline = time.monotonic() + 240
    while max((part.stat().st_size for part in fetch.folder.glob("blobs/*.incomplete")), default=0) < 14 * PIECE:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    hub.cut.clear()
    hub.close.set()
    assert fetch.run(TMPDIR=folder)[-1]["event"] == "done"
    assert fetch.complete()
    assert (hub.sent[FIRST] <= 1.05 * len(large)) == (library == "pinned"), hub.sent


@pytest.mark.parametrize("library", ["pinned", "newest"])
def test_either_library_goes_on_after_a_cut_of_the_connection(
    hub: Hub, fetch: Fetch, temporary: Path, library: str
) -> None:
    hub.files = {"config.json": FILES["config.json"], FIRST: content("large", 200 * 10**6)}
    hub.cut[FIRST] = 150 * 10**6
    hub.close.set()
    folder = str(temporary if library == "pinned" else newest_library())
    assert fetch.run(TMPDIR=folder)[-1]["event"] == "done"
    assert fetch.complete()
    assert hub.sent[FIRST] <= 1.05 * 200 * 10**6, hub.sent


def test_a_connection_that_is_cut_is_taken_up_again(hub: Hub, fetch: Fetch) -> None:
    hub.cut[FIRST] = PIECE + MEGABYTE
    hub.close.set()
    events = fetch.run()
    assert f"bytes={PIECE}-" in hub.ranges(FIRST)
    assert events[-1]["event"] == "done" and fetch.complete()


def test_a_part_that_is_longer_than_its_file_is_dropped(hub: Hub, fetch: Fetch) -> None:
    """The library would ask for a range that there is not, again and again."""
    fetch.part(FIRST).parent.mkdir(parents=True)
    fetch.part(FIRST).write_bytes(bytes(25 * MEGABYTE))
    events = fetch.run()
    assert [event["file"] for event in events if event["event"] == "damaged"] == [FIRST]
    assert fetch.complete()


@pytest.mark.parametrize("where", ["on the way", "in a part of an earlier run"])
def test_other_bytes_than_the_hub_has_are_fetched_anew(hub: Hub, fetch: Fetch, where: str) -> None:
    if where == "on the way":
        hub.damage[SECOND] = MEGABYTE
    else:
        fetch.part(SECOND).parent.mkdir(parents=True)
        fetch.part(SECOND).write_bytes(bytes(MEGABYTE))
    events = fetch.run()
    assert [event["file"] for event in events if event["event"] == "damaged"] == [SECOND]
    assert kinds(events, "retry") == ["damaged"]
    assert fetch.complete()


def test_a_file_that_was_truncated_is_fetched_anew(hub: Hub, fetch: Fetch) -> None:
    fetch.run()
    os.truncate(fetch.blob(FIRST), 1000)
    hub.asked.clear()
    events = fetch.run()
    assert [event["size"] for event in events if event["event"] == "damaged"] == [1000]
    assert fetch.complete()
    assert not [path for method, path, _range, _token in hub.asked if method == "GET" and path.endswith(SECOND)]


@pytest.mark.parametrize(
    ("token", "model", "revision", "gated", "kind"),
    [
        (None, MODEL, "main", True, "gated"),
        ("hf_other", MODEL, "main", True, "gated"),
        (BAD, MODEL, "main", False, "unauthorized"),
        (None, "acme/Nothing-1B", "main", False, "not_found"),
        (None, MODEL, "v9", False, "revision"),
    ],
)
def test_what_waiting_cannot_mend_ends_it_at_once(
    hub: Hub, fetch: Fetch, token: str | None, model: str, revision: str, gated: bool, kind: str
) -> None:
    hub.gated = gated
    if token:
        fetch.token.write_text(token)
    events = fetch.run(1, MODEL=model, REVISION=revision)
    assert (kinds(events, "failed"), kinds(events, "retry")) == ([kind], [])
    assert token is None or token not in json.dumps(events)


def test_a_gated_model_comes_with_the_right_token(hub: Hub, fetch: Fetch) -> None:
    hub.gated = True
    fetch.token.write_text(GOOD + "\n")
    assert fetch.run()[-1]["event"] == "done"
    assert fetch.complete()


@pytest.mark.parametrize("headers", [{"Retry-After": "2"}, {"RateLimit": '"api";r=0;t=2'}])
def test_after_too_many_requests_the_hub_says_how_long_to_wait(hub: Hub, fetch: Fetch, headers: dict[str, str]) -> None:
    hub.limited, hub.limit = 1, headers
    events = fetch.run()
    assert [(event["kind"], event["seconds"]) for event in events if event["event"] == "retry"] == [("rate_limited", 2)]
    assert fetch.complete()


def test_a_file_that_is_asked_for_too_often_is_waited_for(hub: Hub, fetch: Fetch) -> None:
    def limit() -> None:
        hub.on_file, hub.limited = None, 1

    hub.cut[FIRST], hub.on_file, hub.limit = PIECE + MEGABYTE, limit, {"RateLimit": '"resolvers";r=0;t=1'}
    hub.close.set()
    assert fetch.run()[-1]["event"] == "done"
    assert hub.limited == 0 and fetch.complete()
    assert hub.sent[FIRST] <= PIECE + MEGABYTE + len(FILES[FIRST]) - PIECE


def test_a_hub_that_stays_down_is_the_network(hub: Hub, fetch: Fetch) -> None:
    hub.down = 1000
    events = fetch.run(1)
    assert (kinds(events, "failed"), kinds(events, "retry")) == (["network"], ["network", "network"])
    assert "503" in events[-1]["message"]


def test_forbidden_is_not_gated(hub: Hub, fetch: Fetch) -> None:
    hub.forbidden = True
    events = fetch.run(1)
    assert (kinds(events, "failed"), kinds(events, "retry")) == (["forbidden"], [])


@pytest.mark.parametrize("library", ["pinned", "newest"])
def test_with_xet_nothing_comes_while_xet_is_away(hub: Hub, fetch: Fetch, temporary: Path, library: str) -> None:
    """Neither version takes the way over HTTP then, which works. When one does, decide again about HF_HUB_DISABLE_XET."""
    folder = str(temporary if library == "pinned" else newest_library())
    events = fetch.run(1, TMPDIR=folder, HF_HUB_DISABLE_XET="0", FETCH_PAUSES="0.1")
    assert events[-1]["event"] == "failed"
    assert any(path == "/xet-auth" for _method, path, _range, _token in hub.asked)
    assert (hub.sent[FIRST], hub.sent[SECOND]) == (0, 0)


@pytest.mark.parametrize("wrong", ["down", "limited"])
def test_what_passes_by_itself_is_waited_for(hub: Hub, fetch: Fetch, wrong: str) -> None:
    setattr(hub, wrong, 1)
    events = fetch.run(FETCH_PAUSES="0.1,0.1,0.1,0.1")
    assert events[-1]["event"] == "done" and fetch.complete()


def test_no_hub_at_all_is_the_network(fetch: Fetch) -> None:
    events = fetch.run(1, HF_ENDPOINT="http://127.0.0.1:9")
    assert (kinds(events, "failed"), kinds(events, "retry")) == (["network"], ["network", "network"])


def test_what_is_wrong_with_the_own_disk_is_not_the_network(fetch: Fetch) -> None:
    (fetch.home / "hub").write_text("not a directory")
    events = fetch.run(1)
    assert (kinds(events, "failed"), kinds(events, "retry")) == (["local"], [])


def test_a_disk_that_is_too_small_is_said_before_anything_is_fetched(hub: Hub, fetch: Fetch) -> None:
    events = fetch.run(1, FETCH_SPARE_BYTES=str(10**18))
    assert kinds(events, "failed") == ["disk_too_small"]
    assert not [path for method, path, _range, _token in hub.asked if "/resolve/" in path]


def test_a_disk_that_fills_up_meanwhile_ends_it(hub: Hub, fetch: Fetch) -> None:
    script = 'mount -t tmpfs -o size=30m tmpfs "$HF_HOME" && exec "$@"'
    process = fetch.start("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh")

    def fill() -> None:
        junk = Path(f"/proc/{process.pid}/root{fetch.home}/junk")
        if not junk.exists():
            junk.write_bytes(bytes(10 * MEGABYTE))

    hub.on_file = fill
    out, err = process.communicate(timeout=240)
    events = [json.loads(line) for line in out.splitlines()]
    assert (kinds(events, "failed"), kinds(events, "retry")) == (["disk_full"], []), out + err
