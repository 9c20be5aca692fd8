# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How vllm-router is run before several engines that serve one model. Tried with vllm-router 0.1.17.

Two things it does not do by a flag. It passes the client's key on for /v1/chat/completions, /v1/completions and /v1/models, and
drops every header for all other paths, /v1/messages and /v1/responses among them, where it sends its own key (its setting
``api_key``) and asks the client for none. And whoever reaches its port may add and remove workers (/add_worker, /remove_worker,
/list_workers, /workers). So the key is handed over beside these flags, never in arguments, and what stands before the router checks
the clients' keys and lets through only what serves.
"""

from __future__ import annotations

from collections.abc import Sequence

# Requests that share a beginning go where it is cached, unless that engine has so many more running than another: the router's
# own 64 would never be reached by a few people.
_POLICY = "cache_aware"
_BALANCE_REQUESTS, _BALANCE_FACTOR = 2, 1.2
# A beginning that is shared by less than this part of a prompt is no reason to prefer an engine.
_SHARED_PART = 0.5
# A dead engine is out within three seconds by its health; its first failed request opens its circuit at once, since a retry goes
# to the same engine otherwise.
_HEALTH_INTERVAL_S, _HEALTH_TIMEOUT_S = 1, 2
_CIRCUIT_OPEN_S, _CIRCUIT_WINDOW_S = 2, 10
# Pauses of 0.1 to 4 seconds, longer in all than a circuit is open.
_RETRIES, _FIRST_PAUSE_MS, _LONGEST_PAUSE_MS, _FACTOR = 7, 100, 4000, 2
# A long answer with much thinking.
_REQUEST_S = 3600
# How long a worker that is added, or the first one at the start, may take to become healthy, and how often it is looked at.
STARTUP_S, STARTUP_INTERVAL_S = 600, 1


def router_flags(workers: Sequence[str], port: int, metrics_port: int, host: str = "127.0.0.1") -> list[str]:
    """The arguments of ``vllm-router``. ``workers`` are URLs such as http://127.0.0.1:8000, at least one.

    ``metrics_port`` is for Prometheus, on loopback; unsaid it is 29000, and a second router does not start.
    """
    if not workers:
        raise ValueError("a router needs at least one worker")
    settings: dict[str, object] = {
        "host": host,
        "port": port,
        "prometheus-host": "127.0.0.1",
        "prometheus-port": metrics_port,
        "policy": _POLICY,
        "cache-threshold": _SHARED_PART,
        "balance-abs-threshold": _BALANCE_REQUESTS,
        "balance-rel-threshold": _BALANCE_FACTOR,
        "worker-startup-timeout-secs": STARTUP_S,
        "worker-startup-check-interval": STARTUP_INTERVAL_S,
        "health-check-endpoint": "/health",
        "health-check-interval-secs": _HEALTH_INTERVAL_S,
        "health-check-timeout-secs": _HEALTH_TIMEOUT_S,
        "health-failure-threshold": 1,
        "health-success-threshold": 1,
        "cb-failure-threshold": 1,
        "cb-success-threshold": 1,
        "cb-timeout-duration-secs": _CIRCUIT_OPEN_S,
        "cb-window-duration-secs": _CIRCUIT_WINDOW_S,
        "retry-max-retries": _RETRIES,
        "retry-initial-backoff-ms": _FIRST_PAUSE_MS,
        "retry-max-backoff-ms": _LONGEST_PAUSE_MS,
        "retry-backoff-multiplier": _FACTOR,
        "request-timeout-secs": _REQUEST_S,
        "log-level": "warning",
    }
    flags = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
    return [*flags, "--worker-urls", *workers]
