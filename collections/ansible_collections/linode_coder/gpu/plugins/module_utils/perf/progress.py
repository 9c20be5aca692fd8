# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that can be taken before its end: a file has it while it lasts, and a run whose file is taken away ends."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..core.atomic_file import replace_file
from ..core.failure import Failure
from ..core.vm_module import RUN_DIRECTORY
from .sampler import Sampler

_LOOK_S = 1.0


def path_of(run: dict[str, Any]) -> str:
    return f"{RUN_DIRECTORY}/perf-{run['id']}.json"


def check_path(path: str | None) -> None:
    """Failure(usage) for a file that may be somebody else's."""
    if path is not None and (os.path.dirname(path) != RUN_DIRECTORY or not os.path.basename(path).startswith("perf-")):
        raise Failure(
            "usage",
            f"progress {path!r} is no file that a measurement may write and remove.",
            remedy=f"Such as {RUN_DIRECTORY}/perf-mine.json",
            field="progress",
            value=path,
        )


def _write(path: Path, run: dict[str, Any]) -> None:
    document = {**run, "gpu_samples": list(run["gpu_samples"])}
    replace_file(path, json.dumps(document), parents=True)


@contextmanager
def kept(run: dict[str, Any], path: str | None) -> Iterator[Callable[[str], None]]:
    """What is entered is the ``tell`` of a measurement: before each level the file gets all levels until then. Without a path, or
    where it cannot be written, nothing is kept. Inside, a run whose file is gone gets the KeyboardInterrupt of Ctrl-C.
    """
    file = None if path is None else Path(path)
    written = threading.Event()

    def tell(_line: str) -> None:
        if file is not None and not (written.is_set() and not file.exists()):
            with suppress(OSError):
                _write(file, run)
                written.set()

    def look() -> None:
        if file is not None and written.is_set() and not file.exists():
            written.clear()
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    # Whoever starts a program in the background lets it ignore this signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Sampler(look, _LOOK_S):
            yield tell
    except KeyboardInterrupt:
        if file is None or file.exists():
            raise
    finally:
        signal.signal(signal.SIGINT, before)
        if file is not None:
            with suppress(OSError):
                file.unlink()
