"""Images of the sandbox's docker: notes that say what was pulled, layer by layer."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile
import time
from pathlib import Path

from ..faults import active
from ..fetched import note
from ..json_types import Json
from .containers import STATE, image_id, program, repository, seconds_of

_LAYERS = {"vllm/vllm-openai": 12}
_LAYER_BYTES = 900_000_000
# Of the time of a pull: what is loaded from a file is unpacked, and not fetched.
_LOAD_SHARE = 0.45


def _record(name: str) -> Path:
    return STATE / "images" / (hashlib.sha256(name.partition("@")[0].encode()).hexdigest()[:16] + ".json")


def digest(name: str) -> str:
    """The same for a tag every time, so that a pin holds; a made-up one, as everything here."""
    return "sha256:" + hashlib.sha256(f"sandbox {name.partition('@')[0]}".encode()).hexdigest()


def find(name: str) -> Json | None:
    path = _record(name)
    image = json.loads(path.read_text()) if path.exists() else None
    if image is None or not image["complete"]:
        return None
    wanted = name.partition("@")[2]
    return image if wanted == "" or (wanted == str(image["digest"]) and not image.get("loaded")) else None


def exists_anywhere(name: str) -> bool:
    return program(name, [], ["python"]) is not None


def pull(name: str, quiet: bool = False) -> int:
    """Layer by layer; what was pulled before an interruption is kept."""
    if not exists_anywhere(name):
        print(
            f"Error response from daemon: pull access denied for {repository(name)}, repository does not exist or may "
            "require 'docker login': denied: requested access to the resource is denied",
            file=sys.stderr,
        )
        return 1
    plain = name.partition("@")[0]
    wanted = name.partition("@")[2]
    if wanted and wanted != digest(name):
        print(f"Error response from daemon: manifest for {plain}@{wanted} not found: manifest unknown", file=sys.stderr)
        return 1
    path = _record(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    image: Json = {"name": plain, "layers": 0, "complete": False}
    if path.exists():
        image = json.loads(path.read_text())
    layers = _LAYERS.get(repository(name), 3)
    said = print if not quiet else lambda *_a, **_k: None
    said(f"{plain.rpartition(':')[2]}: Pulling from {repository(name)}", flush=True)
    ids = [image_id(f"{plain}/{number}")[:12] for number in range(layers)]
    if not image["complete"]:
        for layer in ids:
            said(f"{layer}: Pulling fs layer", flush=True)
        seconds = seconds_of("image", 0.6) if layers > 3 else min(0.3, seconds_of("image", 0.3))
        for number in range(image["layers"], layers):
            time.sleep(seconds / layers)
            fault = active("image_pull_fails")
            if fault and number >= int(str(fault.get("after", 0))):
                print(
                    'Error response from daemon: Get "https://registry-1.docker.io/v2/": net/http: request canceled '
                    f"while pulling {name}",
                    file=sys.stderr,
                )
                return 1
            if active("image_disk_full"):
                print(
                    "failed to register layer: write /usr/lib/libcudnn.so.9: no space left on device", file=sys.stderr
                )
                return 1
            said(f"{ids[number]}: Download complete\n{ids[number]}: Pull complete", flush=True)
            image["layers"] = number + 1
            path.write_text(json.dumps(image))
            note("registry", _LAYER_BYTES)
        image.update(complete=True, digest=digest(name))
        path.write_text(json.dumps(image))
    said(f"Digest: {image['digest']}\nStatus: Downloaded newer image for {name}\n{name}", flush=True)
    return 0


def inspect(name: str) -> Json | None:
    image = find(name)
    if image is None:
        return None
    plain = str(image["name"])
    short = plain.removeprefix("docker.io/").removeprefix("library/")
    head, _, tail = short.rpartition("/")
    bare = f"{head}/{tail.partition(':')[0]}" if head else tail.partition(":")[0]
    return {
        "Id": "sha256:" + image_id(plain),
        "RepoTags": [short],
        # As with Docker's classic image store: what was loaded from a file has no digest of a registry.
        "RepoDigests": [] if image.get("loaded") else [f"{bare}@{image['digest']}"],
        "Os": "linux",
        "Architecture": "amd64",
        "Size": int(image["layers"]) * _LAYER_BYTES,
    }


def remove(name: str) -> bool:
    path = _record(name)
    had = path.exists()
    path.unlink(missing_ok=True)
    return had


def save(arguments: list[str]) -> int:
    """``save IMAGE...``: a tar with a note of each image on standard output, or in the file of --output."""
    target, names, rest = None, [], list(arguments)
    while rest:
        word = rest.pop(0)
        if word in ("-o", "--output"):
            target = rest.pop(0)
        else:
            names.append(word)
    found = [find(name) for name in names]
    for name, image in zip(names, found, strict=True):
        if image is None:
            print(f"Error response from daemon: reference does not exist: {name}", file=sys.stderr)
            return 1
    content = json.dumps([{**image, "loaded": True} for image in found if image is not None]).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        info = tarfile.TarInfo("manifest.json")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    if target is None:
        sys.stdout.buffer.write(packed.getvalue())
    else:
        Path(target).write_bytes(packed.getvalue())
    return 0


def load(arguments: list[str]) -> int:
    """``load``: from standard input, or from the file of --input."""
    source = arguments[arguments.index("--input") + 1] if "--input" in arguments else None
    data = sys.stdin.buffer.read() if source is None else Path(source).read_bytes()
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            content = tar.extractfile("manifest.json")
            loaded: list[Json] = json.loads(b"" if content is None else content.read())
    except (tarfile.TarError, KeyError, ValueError):
        print("open /var/lib/docker/tmp/docker-import/manifest.json: no such file or directory", file=sys.stderr)
        return 1
    for image in loaded:
        name = str(image["name"])
        time.sleep(_LOAD_SHARE * seconds_of("image", 0.6) if repository(name) in _LAYERS else 0)
        path = _record(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if find(name) is None:
            path.write_text(json.dumps(image))
        print(f"Loaded image: {name.removeprefix('docker.io/').removeprefix('library/')}", flush=True)
    return 0


def all_images() -> list[Json]:
    found = [json.loads(path.read_text()) for path in sorted((STATE / "images").glob("*.json"))]
    return [image for image in found if image["complete"]]
