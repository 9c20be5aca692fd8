"""The page as text, in a file for node_exporter, and served on this machine's loopback."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from prometheus_client import CollectorRegistry, Metric, generate_latest, start_http_server, write_to_textfile
from prometheus_client.registry import Collector

from .families import Seen, Sessions, families


def _registry(collector: Collector) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(collector)
    return registry


def text(seen: Seen) -> str:
    """In Prometheus' text format."""
    return generate_latest(_registry(Sessions(seen))).decode()


def write(path: Path, seen: Seen) -> None:
    """Into a file that node_exporter finds whole, the old page or the new one. Failure(usage) where it cannot be written."""
    if path.suffix != ".prom":
        raise Failure(
            "usage",
            f"textfile {str(path)!r} does not end with .prom, and node_exporter reads no other files.",
            remedy="Name it for example linode_coder.prom, in the directory of --collector.textfile.directory.",
            field="textfile",
            value=str(path),
        )
    try:
        write_to_textfile(str(path), _registry(Sessions(seen)))
        # node_exporter runs as another user, and nothing in it is secret.
        path.chmod(0o644)
    except OSError as error:
        raise Failure(
            "usage",
            f"The metrics could not be written to {path}.",
            cause=os.strerror(error.errno) if error.errno else str(error),
            remedy="Name a file in a directory that this user can write.",
            field="textfile",
            value=str(path),
        ) from error


class Fresh(Collector):
    """Looks when somebody asks, and at most every ``every`` seconds: scrapes must not use up the API's rate limit.

    :param look: makes a new `Seen` of the one before.
    :param warn: is told, in a sentence, why a look failed; the page then tells what was known before.
    """

    def __init__(self, look: Callable[[Seen | None], Seen], every: float, warn: Callable[[str], None]) -> None:
        self._look, self._every, self._warn = look, every, warn
        self._seen = look(None)
        self._at = time.monotonic()
        self._lock = threading.Lock()

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            if time.monotonic() - self._at >= self._every:
                try:
                    self._seen = self._look(self._seen)
                except Failure as failure:
                    self._seen.answers = False
                    self._warn(failure.message)
                self._at = time.monotonic()
            seen = self._seen
        yield from families(seen)


@contextmanager
def served(fresh: Fresh, port: int) -> Iterator[int]:
    """Served on the loopback while the block runs, at the port that comes back. Failure(conflict) when that is taken."""
    try:
        server, thread = start_http_server(port, addr="127.0.0.1", registry=_registry(fresh))
    except OSError as error:
        raise Failure(
            "conflict",
            f"Port {port} of this machine cannot be listened on.",
            cause=os.strerror(error.errno) if error.errno else str(error),
            remedy="Choose another one: linode-coder metrics --listen PORT",
            field="listen",
            value=port,
        ) from error
    try:
        yield int(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
