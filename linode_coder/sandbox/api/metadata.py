"""The metadata service as one instance sees it at 169.254.169.254, path prefix /v1."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Awaitable, Callable

from aiohttp import web

from .envelope import Json
from .sandbox import Sandbox

_LONGEST = 86_400
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def metadata_app(sandbox: Sandbox, instance_id: int) -> web.Application:
    """An application for the host of `instance_id`. Tokens live in memory: a reboot of the server ends them."""
    tokens: dict[str, float] = {}

    def record() -> Json:
        found = sandbox.instance(instance_id)
        if found is None:
            raise web.HTTPNotFound(text="Not found\n")
        return found

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        if sandbox.faults.strike_instance("metadata_unavailable", record()["api"]) is not None:
            # Not 503: as long as that is the answer cloud-init asks again, and SSH never answers.
            raise web.HTTPInternalServerError(text="Internal Server Error\n")
        if request.path != "/v1/token":
            expiry = tokens.get(request.headers.get("Metadata-Token", ""), 0.0)
            if expiry < time.monotonic():
                raise web.HTTPUnauthorized(text="Unauthorized\n")
        return await handler(request)

    async def token(request: web.Request) -> web.Response:
        text = request.headers.get("Metadata-Token-Expiry-Seconds", "3600")
        if not text.isdigit() or not 1 <= int(text) <= _LONGEST:
            return web.Response(status=400, text=f"Metadata-Token-Expiry-Seconds must be 1-{_LONGEST}\n")
        value = secrets.token_hex(32)
        tokens[value] = time.monotonic() + int(text)
        if "application/json" in request.headers.get("Accept", ""):
            return web.json_response([value])
        return web.Response(text=value)

    async def instance(request: web.Request) -> web.Response:
        return _answer(request, _instance(sandbox, record()))

    async def network(request: web.Request) -> web.Response:
        return _answer(request, _network(sandbox, record()))

    async def ssh_keys(request: web.Request) -> web.Response:
        return _answer(request, {"users": {"root": record()["authorized_keys"]}})

    async def user_data(request: web.Request) -> web.Response:
        """Base64, as it was given to the API; empty when there was none."""
        return web.Response(text=record()["user_data"])

    app = web.Application(middlewares=[guard])
    app.router.add_put("/v1/token", token)
    app.router.add_get("/v1/instance", instance)
    app.router.add_get("/v1/network", network)
    app.router.add_get("/v1/ssh-keys", ssh_keys)
    app.router.add_get("/v1/user-data", user_data)
    return app


def _instance(sandbox: Sandbox, record: Json) -> Json:
    api = record["api"]
    image = sandbox.image(api["image"] or "")
    return {
        "id": api["id"],
        "host_uuid": api["host_uuid"],
        "label": api["label"],
        "region": api["region"],
        "type": api["type"],
        "tags": api["tags"],
        "specs": {key: api["specs"][key] for key in ("vcpus", "memory", "disk", "transfer", "gpus")},
        "backups": {"enabled": api["backups"]["enabled"], "status": None},
        "account_euuid": sandbox.setting("account")["euuid"],
        "image": {"id": image["id"], "label": image["label"]} if image else None,
    }


def _network(sandbox: Sandbox, record: Json) -> Json:
    api = record["api"]
    slaac = api["ipv6"].split("/")[0]
    interfaces = [
        {"label": entry["label"], "purpose": entry["purpose"], "ipam_address": entry["ipam_address"]}
        for config in sandbox.store.table("config").values()
        if config["linode_id"] == api["id"]
        for entry in config["api"]["interfaces"]
    ]
    return {
        "interfaces": interfaces,
        "ipv4": {
            "public": [f"{address}/32" for address in api["ipv4"] if not address.startswith("192.168.")],
            "private": [f"{address}/17" for address in api["ipv4"] if address.startswith("192.168.")],
            "shared": [],
        },
        "ipv6": {
            "slaac": f"{slaac}/128",
            "link_local": "fe80::" + slaac.removeprefix("2001:db8::") + "/128",
            "ranges": [],
            "shared_ranges": [],
        },
    }


def _answer(request: web.Request, value: Json) -> web.Response:
    """JSON on request, else lines of ``dotted.key: value``."""
    if "application/json" in request.headers.get("Accept", ""):
        return web.json_response(value)
    lines: list[str] = []
    _flatten(value, "", lines)
    return web.Response(text="".join(f"{line}\n" for line in lines))


def _flatten(value: object, prefix: str, lines: list[str]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            _flatten(inner, f"{prefix}.{key}" if prefix else str(key), lines)
    elif isinstance(value, list):
        lines.extend(f"{prefix}: {item}" for item in value)
    else:
        lines.append(f"{prefix}: {value if isinstance(value, str) else json.dumps(value)}")
