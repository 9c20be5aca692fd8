# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The VM itself, as healing reads and changes it: the record, the lock, the engine's configuration, programs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

from ..core.atomic_file import replace_file
from ..core.failure import Failure
from ..core.file_lock import file_lock
from ..engine import state as engine_state


def process_start(pid: Any) -> str | None:
    """When the process with this number began, in ticks, to tell it from a later one; None when there is none."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


class Machine:
    """This VM, for ``heal_guest``."""

    def __init__(self, project_dir: str, state_dir: str, run_dir: str) -> None:
        self.record = os.path.join(state_dir, "attempts.jsonl")
        self.lock = os.path.join(run_dir, "heal.lock")
        self.config = os.path.join(project_dir, "vllm.yaml")
        self.engine = os.path.join(state_dir, "engine.json")

    def now(self) -> int:
        return int(time.time())

    def boot_id(self) -> str:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()

    def read_record(self) -> str:
        try:
            with open(self.record, encoding="utf-8", errors="surrogateescape") as file:
                return file.read()
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise Failure("unhealthy", f"{self.record} cannot be read.", cause=str(error)) from error

    def write_record(self, text: str, keep: int) -> None:
        os.makedirs(os.path.dirname(self.record), mode=0o755, exist_ok=True)
        with open(os.open(self.record, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.truncate(keep)
            file.seek(keep)
            file.write(text.encode("utf-8", "surrogateescape"))
            file.flush()
            os.fsync(file.fileno())

    def set_record_aside(self) -> None:
        os.replace(self.record, f"{self.record}.{self.now()}")

    def swap_lock(self, change: Callable[[str], str | None]) -> None:
        with file_lock(self.lock) as descriptor, open(descriptor, "r+", encoding="utf-8", closefd=False) as file:
            text = change(file.read())
            if text is not None:
                file.seek(0)
                file.truncate()
                file.write(text)

    def identity(self) -> dict[str, Any]:
        return {"pid": os.getpid(), "start": process_start(os.getpid())}

    def alive(self, holder: dict[str, Any]) -> bool:
        start = process_start(holder.get("pid"))
        return start is not None and start == holder.get("start")

    def read_config(self) -> str | None:
        try:
            with open(self.config, encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def write_config(self, text: str) -> None:
        replace_file(self.config, text, os.stat(self.config).st_mode & 0o777)

    def engine_state(self) -> dict[str, Any]:
        return engine_state.load(self.engine)

    def run(self, argv: Sequence[str], timeout: float) -> tuple[int, str]:
        """In a process group of its own, which is killed when time is up; a process stuck in the kernel is left behind."""
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "NO_COLOR": "1"}
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=environment,
            )
        except OSError as error:
            return 127, str(error)
        try:
            output, _nothing = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=5)
            return 124, f"no end after {timeout:.0f} s"
        return process.returncode, output.decode("utf-8", "replace")
