"""A container registry with the images that the hosts' engine asks for, made from two layers of ours.

It answers what a pull by tag or digest needs (OCI distribution, reading only). All images share one Debian root; their
own part is the guest's programs and the configuration that the real image has.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from .image import GUEST, GUEST_PACKAGE, guest_argv, guest_command
from .models import listed_models

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_IMAGES: dict[str, dict[str, Any]] = {
    "vllm/vllm-openai": {
        "Entrypoint": ["vllm", "serve"],
        "Env": [_PATH, "VLLM_USAGE_SOURCE=production-docker-image", f"PYTHONPATH={GUEST_PACKAGE}/hub"],
        "WorkingDir": "/vllm-workspace",
    },
    "library/python": {"Cmd": ["python3"], "Env": [_PATH, f"PYTHONPATH={GUEST_PACKAGE}/hub"]},
    "open-webui/open-webui": {"Entrypoint": guest_argv("docker.open_webui"), "Env": [_PATH]},
    "library/nginx": {"Cmd": ["nginx", "-g", "daemon off;"], "Env": [_PATH], "StopSignal": "SIGQUIT"},
}


@dataclass(frozen=True)
class Layer:
    """A compressed layer: its file (or bytes) and both digests."""

    content: Path | bytes
    digest: str
    diff_id: str
    size: int


class Registry:
    """`routes` serves the images made of `base`; `engine` is the hosts' engine.json, `models` a directory of tiny models."""

    def __init__(self, base: Layer, engine: dict[str, Any], models: Path | None = None) -> None:
        own = _programs(engine, models)
        self._blobs: dict[str, Path | bytes] = {layer.digest: layer.content for layer in (base, own)}
        self._manifests: dict[str, bytes] = {}
        for name, config in _IMAGES.items():
            self._manifests[name] = self._manifest(config, [base, own])

    def _manifest(self, settings: dict[str, Any], layers: list[Layer]) -> bytes:
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "created": "2026-01-01T00:00:00Z",
                "config": settings,
                "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            },
            sort_keys=True,
        ).encode()
        digest = _digest(config)
        self._blobs[digest] = config
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "size": len(config), "digest": digest},
            "layers": [{"mediaType": _LAYER, "size": layer.size, "digest": layer.digest} for layer in layers],
        }
        return json.dumps(manifest, sort_keys=True).encode()

    def routes(self, app: web.Application) -> None:
        """Add the endpoints."""
        app.router.add_get("/v2/", self._version)
        app.router.add_get("/v2/{name:.+}/manifests/{reference}", self._get_manifest)
        app.router.add_get("/v2/{name:.+}/blobs/{digest}", self._get_blob)

    async def _version(self, request: web.Request) -> web.Response:
        return web.json_response({}, headers={"Docker-Distribution-Api-Version": "registry/2.0"})

    async def _get_manifest(self, request: web.Request) -> web.Response:
        manifest = self._manifests.get(request.match_info["name"])
        if manifest is None:
            return _refuse(404, "NAME_UNKNOWN", "repository name not known to registry")
        digest, reference = _digest(manifest), request.match_info["reference"]
        if reference.startswith("sha256:") and reference != digest:
            return _refuse(404, "MANIFEST_UNKNOWN", "manifest unknown")
        headers = {"Content-Type": _MANIFEST, "Docker-Content-Digest": digest}
        return web.Response(body=manifest, headers=headers)

    async def _get_blob(self, request: web.Request) -> web.StreamResponse:
        blob = self._blobs.get(request.match_info["digest"])
        if blob is None:
            return _refuse(404, "BLOB_UNKNOWN", "blob unknown to registry")
        if isinstance(blob, Path):
            return web.FileResponse(blob)
        return web.Response(body=blob, content_type="application/octet-stream")


def _refuse(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"errors": [{"code": code, "message": message}]}, status=status)


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _programs(engine: dict[str, Any], models: Path | None) -> Layer:
    """The guest's programs, `vllm` as a command and what the played hub has; the same bytes every time."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for path in sorted(GUEST.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                _add(tar, f"{GUEST_PACKAGE[1:]}/{path.relative_to(GUEST)}", path.read_bytes(), 0o644)
        _add(tar, "usr/local/bin/vllm", guest_command("engine.command").encode(), 0o755)
        _add(tar, "usr/local/bin/python", b'#!/bin/sh\nexec /usr/bin/python3 "$@"\n', 0o755)
        for name, known in {"models": listed_models(), "engine": engine}.items():
            _add(tar, f"etc/sandbox/{name}.json", json.dumps(known).encode(), 0o644)
        if models is not None:
            for path in sorted(models.glob("*/*")):
                _add(tar, f"{str(engine['models'])[1:]}/{path.relative_to(models)}", path.read_bytes(), 0o644)
    plain = raw.getvalue()
    packed = gzip.compress(plain, 1, mtime=0)
    return Layer(packed, _digest(packed), _digest(plain), len(packed))


def _add(tar: tarfile.TarFile, name: str, data: bytes, mode: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), mode
    tar.addfile(info, io.BytesIO(data))
