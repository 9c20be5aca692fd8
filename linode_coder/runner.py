"""ansible-runner as this project needs it: nothing left on disk, no orphans, failures as Failures.

The runner writes the whole environment, the token with it, into its private directory: that lies in memory, is readable by
its owner only and goes with the run. So do the variables, which no argument of a process shows. What a killed process left is
swept by the next one.
"""

from __future__ import annotations

import os
import queue
import re
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.paths import runs_dir

from .console import Console
from .content import playbook
from .extra_vars import write
from .shown import last_line, visible
from .signals import Terminated

_PREFIX = "linode-coder-run-"
# How long ansible-playbook may take to end its tasks after an interrupt, before it is killed.
_GRACE_S = 10.0


@dataclass
class Outcome:
    """``data`` is what the playbook reported; ``changed`` counts its changed tasks."""

    data: dict[str, Any] = field(default_factory=dict)
    changed: int = 0
    log: Path | None = None


def memory_directory() -> Path:
    for candidate in (os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm"):  # noqa: S108 - memory, not a disk
        if candidate and os.access(candidate, os.W_OK):
            return Path(candidate)
    return Path(tempfile.gettempdir())


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def sweep(base: Path) -> None:
    """Remove what runs of processes that are gone left behind."""
    for path in base.glob(f"{_PREFIX}*"):
        pid = path.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and path.lstat().st_uid == os.getuid() and not _alive(int(pid)):
            shutil.rmtree(path, ignore_errors=True)


def _redacted(text: str, secrets: list[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, "********")
    return text


class Run:
    def __init__(self, name: str, extra_vars: dict[str, Any], console: Console, arguments: str = "") -> None:
        self.name = name
        self.console = console
        self.extra_vars = extra_vars
        self.arguments = arguments
        self.events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.pid: int | None = None
        self.signalled: int | None = None
        self.signalled_at = 0.0
        self.failure: Failure | None = None
        self.outcome = Outcome()
        self.processed = False
        self.bad_hosts = False
        self.detail = ""

    def execute(self) -> Outcome:
        import ansible_runner

        path, environment = playbook(self.name)
        base = memory_directory()
        sweep(base)
        private = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=base))
        try:
            # Where the runner looks for variables. What it would write itself were templates.
            (private / "env").mkdir(mode=0o700)
            write(private / "env" / "extravars", self.extra_vars)
        except BaseException:
            shutil.rmtree(private, ignore_errors=True)
            raise
        runs_dir().mkdir(parents=True, exist_ok=True, mode=0o700)
        self.outcome.log = runs_dir() / f"{time.strftime('%Y%m%dT%H%M%S')}-{self.name}-{os.getpid()}.log"
        done: list[Any] = []

        def work() -> None:
            try:
                done.append(
                    ansible_runner.run(
                        private_data_dir=str(private),
                        playbook=str(path),
                        # Empty, and not the checkout's own: localhost must stay the implicit one.
                        inventory=[","],
                        envvars=environment,
                        project_dir=str(path.parent),
                        cmdline=self.arguments or None,
                        settings={"suppress_output_file": True, "pexpect_timeout": 0.3},
                        fact_cache_type="",
                        quiet=True,
                        event_handler=self.handle,
                        cancel_callback=self.give_up,
                    )
                )
            finally:
                self.events.put(None)

        thread = threading.Thread(target=work, daemon=True)
        try:
            with self.signals():
                thread.start()
                self.follow()
                thread.join(15)
        finally:
            shutil.rmtree(private, ignore_errors=True)
        if self.signalled is not None:
            raise Terminated if self.signalled == signal.SIGTERM else KeyboardInterrupt
        self.judge(done[0] if done else None)
        self.console.step_done()
        return self.outcome

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM are noted here and passed on as SIGINT: ansible-playbook then ends without orphans."""
        before = {number: signal.signal(number, self._signalled) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _signalled(self, number: int, _frame: object) -> None:
        first = self.signalled is None
        self.signalled = number
        if first:
            self.signalled_at = time.monotonic()
        if self.pid:
            try:
                os.kill(self.pid, signal.SIGINT)
            except ProcessLookupError:
                self.pid = None

    def give_up(self) -> bool:
        """Asked by the runner: kill what did not end by itself, or what has not even started."""
        if self.signalled is None:
            return False
        return self.pid is None or time.monotonic() - self.signalled_at > _GRACE_S

    def handle(self, event: dict[str, Any]) -> bool:
        """In the runner's thread: pass on, keep nothing on disk."""
        self.events.put(event)
        return False

    def follow(self) -> None:
        secrets = [
            value for name, value in os.environ.items() if name.endswith(("TOKEN", "NOTIFY_URL")) and len(value) > 12
        ]
        assert self.outcome.log is not None
        with self.outcome.log.open("w") as log:
            self.outcome.log.chmod(0o600)
            noted = False
            while True:
                if self.signalled is not None and not noted:
                    noted = True
                    self.console.note("Stopping ...")
                try:
                    event = self.events.get(timeout=0.2)
                    if event is None:
                        return
                    if event.get("stdout"):
                        # The log is read at a terminal as well.
                        text = visible(_redacted(event["stdout"], secrets))
                        log.write(text + "\n")
                        self.console.trace(text, 2)
                    self.see(event)
                except queue.Empty:
                    self.console.tick(self.detail)

    def see(self, event: dict[str, Any]) -> None:
        kind, data = event["event"], event.get("event_data", {})
        if kind == "playbook_on_start":
            self.pid = event.get("pid") or data.get("pid")
        elif kind == "playbook_on_task_start":
            self.pid = event.get("pid") or self.pid
            self.detail = ""
            name = str(data.get("task", "")).strip()
            # Neither is a step of the work: a role's arguments, and a decision of the playbook on how to go on.
            if (
                not name.startswith("Validating arguments against")
                and data.get("task_action") != "ansible.builtin.meta"
            ):
                self.console.step(name)
        elif kind == "runner_on_skipped":
            self.console.step_skipped()
        elif kind == "runner_retry":
            self.detail = str((data.get("res") or {}).get("phase") or "")
        elif kind == "runner_on_ok" and (data.get("res") or {}).get("changed"):
            self.outcome.changed += 1
        elif kind in ("runner_on_failed", "runner_on_unreachable") and not data.get("ignore_errors"):
            self.failed(kind, data)
        elif kind == "playbook_on_stats":
            self.processed = bool(data.get("processed"))
            self.bad_hosts = bool(data.get("failures") or data.get("dark"))
            self.outcome.data = (data.get("artifact_data") or {}).get("linode_coder") or {}

    def failed(self, kind: str, data: dict[str, Any]) -> None:
        self.console.step_done("failed")
        result = data.get("res") or {}
        message = str(result.get("msg") or "no reason given").strip()
        if isinstance(result.get("failure"), dict):
            self.failure = Failure.from_dict(result["failure"])
        elif kind == "runner_on_unreachable":
            host_key = re.search("host key verification failed", message, re.IGNORECASE)
            self.failure = Failure(
                "host_key" if host_key else "unreachable",
                "The VM presents another host key than the session was made with."
                if host_key
                else "The VM cannot be reached over SSH.",
                cause=last_line(message),
                remedy="It may still bill. See: linode-coder list",
            )
        else:
            self.failure = Failure("internal", f"The step {data.get('task')!r} failed.", cause=message)

    def judge(self, result: Any) -> None:
        """By what happened to the hosts, not by the runner's word. What a playbook took care of is no failure."""
        reported = self.outcome.data.get("failure")
        if self.processed and not self.bad_hosts and result is not None and result.rc == 0:
            self.failure = None
        elif reported:
            # The playbook's own last word, after it put right what it could.
            self.failure = Failure.from_dict(reported)
        elif self.failure is None:
            self.failure = Failure("internal", f"The playbook {self.name} ended early.")
        if self.failure is not None:
            self.console.step_done("failed")
            self.failure.remedy = f"{self.failure.remedy or ''} Full log: {self.outcome.log}".strip()
            raise self.failure


def run_playbook(name: str, extra_vars: dict[str, Any], console: Console, arguments: str = "") -> Outcome:
    """Run a playbook with live progress. Failure when it fails, KeyboardInterrupt when interrupted."""
    clean = {key: value for key, value in extra_vars.items() if value is not None}
    return Run(name, clean, console, arguments).execute()
