# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the engine sends a trace of each request: the address of a collector that speaks OTLP, and what the engine needs for it."""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import urlsplit

from ..core.failure import Failure

NO_TRACES = "off"
_FLAG = "otlp-traces-endpoint"
# Where OTLP over HTTP is taken when nothing else is said. gRPC has no path.
_PATH = "/v1/traces"
_PROTOCOLS = {"grpc": "grpc", "http": "http/protobuf", "https": "http/protobuf"}
_LONGEST = 300
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", re.ASCII)
_PLACE = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,63}){0,8}/?", re.ASCII)


def _refuse(given: str, why: str) -> Failure:
    # What stands before an @ is a password more often than not.
    shown = given if "@" not in given else "..."
    return Failure(
        "usage",
        f"traces {shown[:80]!r} is not the address of a collector: {why}.",
        remedy="Such as grpc://otel.example.com:4317 or https://otel.example.com:4318/v1/traces; off for none.",
        field="traces",
        value=shown,
    )


def _host(given: str, name: str) -> str:
    if ":" in name and "%" not in name:
        try:
            return f"[{ipaddress.IPv6Address(name)}]"
        except ValueError:
            raise _refuse(given, "it names no host") from None
    if not _HOST.fullmatch(name):
        raise _refuse(given, "it names no host")
    return name


def parse_traces(given: str | None) -> str | None:
    """The address in one form; empty for ``off``, None where nothing was asked for. Failure(usage) for what is none."""
    # YAML makes false of off, and Ansible a text of that.
    if given is None or given == "":
        return None
    if given in (NO_TRACES, "False"):
        return ""
    try:
        parts = urlsplit(given) if len(given) <= _LONGEST and given.isascii() and given.isprintable() else None
        port = parts.port if parts else None
    except ValueError:
        parts = port = None
    if parts is None or parts.scheme not in _PROTOCOLS:
        raise _refuse(given, f"it begins with none of {', '.join(f'{scheme}://' for scheme in _PROTOCOLS)}")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise _refuse(given, "it holds credentials, which anybody on the VM could read")
    if parts.query or parts.fragment or not _PLACE.fullmatch(parts.path) or (parts.scheme == "grpc" and parts.path):
        raise _refuse(given, "there is more in it than a host, a port and, with http or https, a path")
    host = _host(given, parts.hostname or "")
    if not port:
        raise _refuse(given, "it names no port; 4317 is usual for gRPC, 4318 for HTTP")
    path = "" if parts.scheme == "grpc" else parts.path if parts.path not in ("", "/") else _PATH
    return f"{parts.scheme}://{host}:{port}{path}"


def traces_flags(address: str) -> dict[str, Any]:
    """The engine's flags for an address of parse_traces; none for none."""
    return {_FLAG: address} if address else {}


def traces_environment(address: str) -> dict[str, str]:
    """By which protocol, which vLLM takes from its environment alone, and under which name it is found in the collector."""
    if not address:
        return {}
    return {
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": _PROTOCOLS[urlsplit(address).scheme],
        "OTEL_SERVICE_NAME": "linode-coder",
    }
