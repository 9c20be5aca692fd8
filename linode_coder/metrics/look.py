"""Looking at everything that the metrics tell: the account, this machine's watcher and history, and what open tunnels reach."""

from __future__ import annotations

import time
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.vllm_metrics import activity, gauges
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer import budget_look
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import MARKER

from ..api import LinodeReader
from ..endpoint.activity import on_vm
from ..endpoint.api_key import kept_key
from ..endpoint.port_owner import TunnelClient, our_port
from ..local import history
from ..local.sessions import all_sessions
from ..settings.config import only
from ..watchdog import watchers
from .families import Seen


def engine(name: str) -> dict[str, Any] | None:
    """Counters and gauges of a session's engine, through its tunnel; None when the engine does not say."""
    key = kept_key(name)
    if key is None:
        return None
    text = TunnelClient(name, key).metrics()
    use = activity(text)
    return {**use, **gauges(text)} if use["readable"] else None


def _account(seen: Seen, now: int) -> None:
    """What the API tells, into ``seen``."""
    reader = LinodeReader()
    instances = reader.list("linode/instances", {"tags": MARKER})
    seen.views = all_sessions(reader, instances)
    seen.at, seen.answers = now, True
    seen.month = budget_look.look(reader, now, instances, history.this_month()).as_dict()


def look(before: Seen | None = None) -> Seen:
    """What there is to tell now.

    An API that does not answer leaves what is known of the account as it was ``before``, with ``answers`` false. Failure when it
    refuses, and when it does not answer and nothing was known.
    """
    now = int(time.time())
    seen = Seen(budget=only("budget").budget)
    try:
        _account(seen, now)
    except Failure as failure:
        if before is None or failure.exit_code != 5:
            raise
        seen.answers = False
        seen.at, seen.views, seen.month = before.at, before.views, before.month
    seen.watcher = watchers.last_pass()
    seen.idle, idle_at = watchers.idle_seen(now)
    seen.idle_at = idle_at or None
    seen.health = watchers.health_seen()
    seen.heals = history.heals()
    for view in seen.views:
        name = view["name"]
        if not name or view["status"] != "running" or our_port(name) is None:
            continue
        use = engine(name)
        if use:
            seen.engines[name] = use
        _clock, _watcher, gpus = on_vm(name)
        if gpus:
            seen.gpus[name] = gpus["cards"]
    return seen
