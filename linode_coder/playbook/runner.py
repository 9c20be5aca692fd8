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
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import runs_dir
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.ssh_refusal import key_refused, unknown_key
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.told import VARIABLE, newer

from ..local import history, lock
from ..local.unrecorded import note_unwritable, recorded
from ..terminal.console import Console
from ..terminal.escapes import last_line, visible
from ..terminal.signals import Terminated
from . import launch
from .extra_vars import write
from .paths import playbook
from .phase_report import PhaseReport
from .variables import Variables

_PREFIX = "linode-coder-run-"
# How long ansible-playbook may take to end its tasks after an interrupt, before it is killed.
_GRACE_S = 10.0


@dataclass
class Outcome:
    """``data`` is what the playbook reported; ``changed`` counts its changed tasks."""

    data: dict[str, Any] = field(default_factory=dict)
    changed: int = 0
    log: Path | None = None


def _takes_files(directory: str) -> bool:
    try:
        with tempfile.TemporaryFile(dir=directory) as file:
            file.write(b"1")
            file.flush()
    except OSError:
        return False
    return True


def memory_directory() -> Path:
    for candidate in (os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm"):  # noqa: S108 - memory, not a disk
        if candidate and _takes_files(candidate):
            return Path(candidate)
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise Failure(
            "config",
            "There is no directory for temporary files.",
            cause=str(error),
            remedy="Name one that can be written, e.g.: export TMPDIR=/dev/shm",
        ) from error


def _ansible_directories(private: Path) -> dict[str, str]:
    """Where Ansible keeps its own files: in memory for this run, where its home cannot be written."""
    home = Path(os.environ.get("ANSIBLE_HOME") or "~/.ansible").expanduser()
    with suppress(OSError):
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = {"ANSIBLE_LOCAL_TEMP": str(private / "tmp")}
    if not _takes_files(str(home)):
        found["ANSIBLE_SSH_CONTROL_PATH_DIR"] = str(private / "cp")
    return found


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


def _launched(command: list[str]) -> list[str]:
    """The command as `launch` runs it: ended when this process is killed, and holding the lock of the session until then."""
    held = lock.held()
    # By env: what starts the command asks access(2) first, which knows nothing of a capability to read everything.
    launcher = ["env", sys.executable, "-I", "-S", str(Path(launch.__file__)), str(os.getpid())]
    return [*launcher, "" if held is None else str(held), *command]


def _open_log(name: str) -> TextIO | None:
    """By lines, so that a run that is killed leaves all of its log. None where it cannot be kept."""
    with recorded():
        runs_dir().mkdir(parents=True, exist_ok=True, mode=0o700)
        path = runs_dir() / f"{time.strftime('%Y%m%dT%H%M%S')}-{name}-{os.getpid()}.log"
        # A mode is needed from the beginning.
        return open(
            path, "w", buffering=1, errors="backslashreplace", opener=lambda file, flags: os.open(file, flags, 0o600)
        )
    return None


class Run:
    def __init__(
        self, variables: Variables, console: Console, expected: float | None = None, check: bool = False
    ) -> None:
        self.name = variables.playbook
        self.check = check
        self.console = console
        self.report = PhaseReport(self.name, console, expected)
        self.told_file: Path | None = None
        self.told_bytes = 0
        self.tried: set[tuple[Any, ...]] = set()
        self.variables = variables
        self.events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.pid: int | None = None
        self.signalled: int | None = None
        self.signalled_at = 0.0
        self.failure: Failure | None = None
        self.outcome = Outcome()
        self.processed = False
        self.bad_hosts = False
        self.detail = ""
        self.log: TextIO | None = None

    def execute(self) -> Outcome:
        path, environment = playbook(self.name)
        base = memory_directory()
        sweep(base)
        private = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=base))
        try:
            # Where the runner looks for variables. What it would write itself were templates.
            (private / "env").mkdir(mode=0o700)
            write(private / "env" / "extravars", self.variables.given())
        except BaseException:
            shutil.rmtree(private, ignore_errors=True)
            raise
        done: list[Any] = []

        self.told_file = private / "told"

        def work() -> None:
            try:
                # Takes a while, in which what runs is shown already.
                import ansible_runner.interface

                runner = ansible_runner.interface.init_runner(
                    private_data_dir=str(private),
                    playbook=str(path),
                    # Empty, and not the checkout's own: localhost must stay the implicit one.
                    inventory=[","],
                    cmdline="--check" if self.check else None,
                    envvars={**environment, **_ansible_directories(private), VARIABLE: str(self.told_file)},
                    project_dir=str(path.parent),
                    settings={"suppress_output_file": True, "pexpect_timeout": 0.3},
                    fact_cache_type="",
                    quiet=True,
                    event_handler=self.handle,
                    cancel_callback=self.give_up,
                )
                runner.config.command = _launched(runner.config.command)
                runner.run()
                done.append(runner)
            finally:
                self.events.put(None)

        thread = threading.Thread(target=work, daemon=True)
        try:
            self.log = _open_log(self.name)
            self.outcome.log = Path(self.log.name) if self.log else None
            with self.signals():
                thread.start()
                self.follow()
                thread.join(15)
        finally:
            self.close_log()
            shutil.rmtree(private, ignore_errors=True)
        if self.signalled is not None:
            self.report.finish("interrupted")
            raise Terminated if self.signalled == signal.SIGTERM else KeyboardInterrupt
        self.judge(done[0] if done else None)
        self.console.step_done()
        self.report.finish("ok")
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
            value
            for name, value in os.environ.items()
            if name.endswith(("TOKEN", "NOTIFY_URL", "HISTORY_URL")) and len(value) > 12
        ]
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
                    self.keep(text)
                    self.console.trace(text, 2)
                self.see(event)
            except queue.Empty:
                self.console.tick(self.detail)
                self.hear()
                self.report.tick()

    def hear(self) -> None:
        """What modules on this machine said since the last time."""
        facts, self.told_bytes = newer(self.told_file, self.told_bytes)
        for fact in facts:
            if isinstance(fact.get("attempt"), dict):
                self.attempted(fact["attempt"])
            self.report.told(fact)

    def attempted(self, attempt: dict[str, Any]) -> None:
        """A place was tried. One that refused is remembered: a run that goes on later shows it again. While capacity is waited for
        it is tried again and again, and said once."""
        self.console.event("attempt", attempt=attempt)
        place = (attempt.get("plan"), attempt.get("region"), attempt.get("outcome"))
        if attempt.get("outcome") not in ("created", "adopted") and place not in self.tried:
            self.tried.add(place)
            session = str(getattr(self.variables, "session", ""))
            history.refused(session, attempt)
            self.console.note(f"tried  {history.describe_attempt(attempt)}")

    def keep(self, text: str) -> None:
        """In the log, while its disk takes it."""
        if self.log is None:
            return
        try:
            self.log.write(text + "\n")
        except OSError as error:
            note_unwritable(error.strerror or type(error).__name__)
            self.close_log()

    def close_log(self) -> None:
        """Also one whose last words no disk takes."""
        if self.log is not None:
            with suppress(OSError):
                self.log.close()
            self.log = None

    def see(self, event: dict[str, Any]) -> None:
        kind, data = event["event"], event.get("event_data", {})
        path, action = str(data.get("task_path") or ""), str(data.get("task_action") or "")
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
                self.report.task(path, action)
                lock.note_step(name)
        elif kind == "runner_on_skipped":
            self.console.step_skipped()
            self.report.skipped()
        elif kind == "runner_retry":
            self.detail = str((data.get("res") or {}).get("phase") or "")
            self.report.result(data.get("res") or {}, action, path)
        elif kind == "runner_on_ok":
            self.outcome.changed += bool((data.get("res") or {}).get("changed"))
            self.hear()
            self.report.result(data.get("res") or {}, action, path)
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
        elif kind == "runner_on_unreachable" and key_refused(message):
            self.failure = unknown_key(getattr(self.variables, "session", None), last_line(message))
        elif kind == "runner_on_unreachable":
            host_key = re.search("host key verification failed", message, re.IGNORECASE)
            self.failure = Failure(
                "host_key" if host_key else "unreachable",
                "The VM presents another host key than the session was made with."
                if host_key
                else "The VM cannot be reached over SSH.",
                cause=last_line(message),
                remedy="It may still bill. See: linode-coder list"
                + ("" if host_key else ". Has this machine's address changed? linode-coder up NAME --ssh-from here"),
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
            self.hear()
            self.console.step_done("failed")
            self.report.finish("failed")
            if self.outcome.log is not None:
                self.failure.remedy = f"{self.failure.remedy or ''} Full log: {self.outcome.log}".strip()
            raise self.failure


def run_playbook(variables: Variables, console: Console, expected: float | None = None, check: bool = False) -> Outcome:
    """Run their playbook with live progress, beside the ``expected`` seconds, in check mode on request. Failure when it fails,
    KeyboardInterrupt when interrupted.
    """
    return Run(variables, console, expected, check).execute()
