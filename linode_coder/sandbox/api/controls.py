"""/_sandbox: for the person whose sandbox this is. The server listens on loopback only, so there is no token."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from aiohttp import web

from ..errors import SandboxError
from .aging import make_older
from .envelope import ApiError, Json
from .faults import KINDS
from .host_faults import HOST_KINDS, complaint, completed
from .sandbox import Sandbox

_REQUEST_FIELDS = ("kind", "on", "count", "skip", "status", "retry_after", "delay", "where")

_OLDEST_S = 365 * 86400


def control_routes(app: web.Application, sandbox: Sandbox, stopping: asyncio.Event, facts: dict[str, Any]) -> None:
    """status, faults (GET, POST, DELETE [/id]), age, reset, stop. Refusals are 400 ``{"error": sentence}``."""

    async def status(request: web.Request) -> web.Response:
        states: dict[str, int] = {}
        for record in sandbox.instances():
            state = record["api"]["status"]
            states[state] = states.get(state, 0) + 1
        requests = {
            kind: {"answered": answered, "refused": refused}
            for kind, (answered, refused) in sandbox.limits.counts.items()
        }
        return web.json_response({**facts, "instances": states, "requests": requests, "faults": sandbox.faults.all()})

    async def faults(request: web.Request) -> web.Response:
        return web.json_response({"faults": sandbox.faults.all(), "kinds": KINDS, "host_kinds": HOST_KINDS})

    async def add_fault(request: web.Request) -> web.Response:
        try:
            spec = json.loads(await request.read())
        except json.JSONDecodeError:
            return _refuse("the request body must be JSON")
        if not isinstance(spec, dict):
            return _refuse("the request body must be a JSON object")
        try:
            if spec.get("host"):
                return web.json_response(await _guest_fault(sandbox, spec))
            fault = sandbox.faults.add({key: spec[key] for key in _REQUEST_FIELDS if key in spec})
        except ApiError as error:
            return _refuse("; ".join(f"{item.get('field')}: {item['reason']}" for item in error.errors))
        except SandboxError as error:
            return _refuse(f"{error.message} {error.remedy}")
        except ValueError as error:
            return _refuse(str(error))
        sandbox.store.flush()
        return web.json_response(fault.as_dict())

    async def clear_faults(request: web.Request) -> web.Response:
        text = request.match_info.get("id")
        if text is not None and not text.isdigit():
            return _refuse(f"{text!r} is not the number of a fault")
        cleared = sandbox.faults.clear(int(text) if text else None)
        if text and not cleared:
            return _refuse(f"there is no fault {text}")
        sandbox.store.flush()
        return web.json_response({"cleared": cleared})

    async def age(request: web.Request) -> web.Response:
        try:
            spec = json.loads(await request.read())
            name, seconds = str(spec["name"]), float(spec["seconds"])
        except (json.JSONDecodeError, KeyError, TypeError, ValueError):
            return _refuse("the request body must be a JSON object with name and seconds")
        if not 0 < seconds <= _OLDEST_S:
            return _refuse(f"{seconds:g} s is not between 0 and {_OLDEST_S} s")
        older = make_older(sandbox, name, seconds)
        if not older:
            return _refuse(f"there is no instance or firewall {name!r}")
        sandbox.store.flush()
        return web.json_response({"older": older})

    async def reset(request: web.Request) -> web.Response:
        await sandbox.reset()
        return web.json_response({})

    async def stop(request: web.Request) -> web.Response:
        stopping.set()
        return web.json_response({})

    app.router.add_get("/_sandbox/status", status)
    app.router.add_get("/_sandbox/faults", faults)
    app.router.add_post("/_sandbox/faults", add_fault)
    app.router.add_delete("/_sandbox/faults", clear_faults)
    app.router.add_delete("/_sandbox/faults/{id}", clear_faults)
    app.router.add_post("/_sandbox/age", age)
    app.router.add_post("/_sandbox/reset", reset)
    app.router.add_post("/_sandbox/stop", stop)


def _refuse(sentence: str) -> web.Response:
    return web.json_response({"error": sentence}, status=400)


async def _guest_fault(sandbox: Sandbox, spec: Json) -> Json:
    """A fault inside a host. Kinds that the API knows are narrowed to this instance, all others go to the backend."""
    wanted = str(spec["host"])
    for record in sandbox.instances():
        api = record["api"]
        if wanted in (api["label"], str(api["id"])):
            break
    else:
        raise ValueError(f"there is no instance {wanted!r}")
    if spec.get("kind") in KINDS:
        return sandbox.faults.add(
            {**{k: spec[k] for k in _REQUEST_FIELDS if k in spec}, "where": {"id": api["id"]}}
        ).as_dict()
    if not record["on_host"]:
        raise ValueError(f"instance {wanted!r} has no host to break")
    said = complaint(spec)
    if said is not None:
        raise ValueError(said)
    # The guest counts by this number how often it has struck.
    numbered = {**completed(spec), "id": sandbox.store.next_id("fault")}
    await sandbox.backend.fault(api["id"], numbered)
    sandbox.store.flush()
    return numbered
