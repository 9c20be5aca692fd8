"""Images of the sandbox's docker: notes that say what was pulled, layer by layer."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path

from ..faults import active
from ..json_types import Json
from .containers import STATE, image_id, program, repository, seconds_of

_LAYERS = {"vllm/vllm-openai": 12}


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
    return image if wanted in ("", str(image["digest"])) else None


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
        "RepoDigests": [f"{bare}@{image['digest']}"],
        "Os": "linux",
        "Architecture": "amd64",
        "Size": int(image["layers"]) * 900_000_000,
    }


def remove(name: str) -> bool:
    path = _record(name)
    had = path.exists()
    path.unlink(missing_ok=True)
    return had


def all_images() -> list[Json]:
    found = [json.loads(path.read_text()) for path in sorted((STATE / "images").glob("*.json"))]
    return [image for image in found if image["complete"]]
