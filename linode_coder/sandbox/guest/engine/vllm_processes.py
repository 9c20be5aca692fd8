"""`engine.vllm_processes MODULE ARGUMENTS...`: run a vLLM server whose own processes begin with what it has imported already.

vLLM's CPU build spawns its engine and its worker, and each imports the same thousands of modules again: nine tenths of a
start of a tiny model. Here a process that has imported them, and done nothing else yet, is put aside and forked instead.
They stay processes of their own that inherit nothing but that: no socket, no thread, no lock.
"""

from __future__ import annotations

import importlib
import os
import runpy
import socket
import sys
from collections.abc import Mapping
from multiprocessing import connection, context, forkserver, resource_tracker, spawn
from pathlib import Path
from typing import Any

# What `vllm serve` runs, without its command line's own imports.
SERVER = "vllm.entrypoints.launchers.api_server.entry"
# The type checker's description of the standard library leaves out what is used of these below.
_CONNECTION: Any = connection
_CONTEXT: Any = context


class _Forked(forkserver.ForkServer):
    """The fork server of a process and of all that it starts: forked from it, and not a new interpreter."""

    def begin(self) -> None:
        from vllm.utils.system_utils import set_process_title

        resource_tracker.ensure_running()
        self._forkserver_address = _CONNECTION.arbitrary_address("AF_UNIX")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self._forkserver_address)
            Path(self._forkserver_address).chmod(0o600)
            listener.listen()
            # It ends when nobody has the second one any more.
            alive, self._forkserver_alive_fd = os.pipe()
            if os.fork() == 0:
                os.close(self._forkserver_alive_fd)
                set_process_title("ForkServer")
                try:
                    forkserver.main(listener.detach(), alive, [], None)
                finally:
                    os._exit(0)
            os.close(alive)

    def ensure_running(self) -> None:
        """Whoever asks has it from its parent."""


def _with_environment() -> None:
    """A spawned process has the environment of the one that starts it, as it is at that moment."""
    describe, prepare = spawn.get_preparation_data, spawn.prepare

    def described(name: str) -> dict[str, Any]:
        return {**describe(name), "environment": dict(os.environ)}

    def prepared(data: Mapping[str, Any]) -> None:
        own = dict(data)
        os.environ.clear()
        os.environ.update(own.pop("environment"))
        prepare(own)

    spawn.get_preparation_data, spawn.prepare = described, prepared


def load(module: str) -> None:
    """Import what a server needs, once."""
    importlib.import_module(module)
    # It is run below as the main program, which it would be twice.
    del sys.modules[module]


def run(module: str, arguments: list[str]) -> None:
    _with_environment()
    server = forkserver._forkserver
    server.__class__ = _Forked
    assert isinstance(server, _Forked)
    _CONTEXT._concrete_contexts["spawn"] = _CONTEXT._concrete_contexts["forkserver"]
    server.begin()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def main(arguments: list[str]) -> int:
    module, *rest = arguments
    load(module)
    run(module, rest)
    return 0
