"""Looking at everything that the metrics tell: the account, this machine's watcher and history, and what open tunnels reach."""

from __future__ import annotations

import time

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.offer import budget_look
from ansible_collections.linode_coder.gpu.plugins.module_utils.session.tags import MARKER

from ..api import LinodeReader
from ..endpoint.activity import counters, on_vm
from ..endpoint.port_owner import our_port
from ..local import history
from ..local.sessions import all_sessions
from ..settings.config import only
from ..watchdog import watchers
from .families import Seen


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
        use = counters(name)
        if use:
            seen.engines[name] = use
        _clock, _watcher, gpus = on_vm(name)
        if gpus:
            seen.gpus[name] = gpus["cards"]
    return seen
