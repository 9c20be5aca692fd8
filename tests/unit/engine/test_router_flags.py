# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flags that vllm-router is given, as the real one reads them."""

from __future__ import annotations

import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.router_flags import router_flags
from vllm_router.launch_router import parse_router_args

WORKERS = ["http://127.0.0.1:18001", "http://127.0.0.1:18002"]


def test_the_router_reads_them_as_they_are_meant() -> None:
    args = parse_router_args(router_flags(WORKERS, 18500, 18501))
    assert args.worker_urls == WORKERS
    assert (args.host, args.port) == ("127.0.0.1", 18500)
    # Its default is one port for all routers of a machine, and every interface in older ones.
    assert (args.prometheus_host, args.prometheus_port) == ("127.0.0.1", 18501)
    assert args.policy == "cache_aware"
    assert args.api_key is None


def test_a_dead_engine_is_left_out_at_once() -> None:
    args = parse_router_args(router_flags(WORKERS, 18500, 18501))
    assert args.health_failure_threshold == args.cb_failure_threshold == 1
    assert args.health_check_interval_secs + args.health_check_timeout_secs <= 5
    # A retry outlasts the time for which a circuit stays open: who asks meanwhile is answered by the other.
    pauses = [
        min(args.retry_initial_backoff_ms * args.retry_backoff_multiplier**turn, args.retry_max_backoff_ms)
        for turn in range(args.retry_max_retries - 1)
    ]
    assert sum(pauses) / 1000 * (1 - args.retry_jitter_factor) > args.cb_timeout_duration_secs


def test_a_few_requests_are_shared_out() -> None:
    args = parse_router_args(router_flags(WORKERS, 18500, 18501))
    assert args.balance_abs_threshold <= 4


def test_no_worker_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one worker"):
        router_flags([], 18500, 18501)
