"""ansible-runner as this project needs it: nothing left on disk, no orphans, failures as Failures.

The runner writes the whole environment, the token with it, into its private directory: that lies in memory, is readable by
its owner only and goes with the run. What a killed process left is swept by the next one.
"""

from __future__ import annotations

import json
import os
import queue
import re
import shutil
import signal
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.paths import runs_dir

from .console import Console
from .content import playbook

_PREFIX = "linode-coder-run-"


@dataclass
class Outcome:
    """``data`` is what the playbook reported with set_stats; ``changed`` counts its changed tasks."""

    data: dict[str, Any] = field(default_factory=dict)
    changed: int = 0
    log: Path | None = None


def memory_directory() -> Path:
    for candidate in (os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm"):  # noqa: S108 - memory, not a disk
        if candidate and os.access(candidate, os.W_OK):
            return Path(candidate)
    return Path(tempfile.gettempdir())


def sweep(base: Path) -> None:
    """Remove what runs of processes that are gone left behind."""
    for path in base.glob(f"{_PREFIX}*"):
        pid = path.name.removeprefix(_PREFIX).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists() and path.owner() == Path(base / path.name).owner():
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
        self.interrupted = False
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
        runs_dir().mkdir(parents=True, exist_ok=True, mode=0o700)
        self.outcome.log = runs_dir() / f"{time.strftime('%Y%m%dT%H%M%S')}-{self.name}-{os.getpid()}.log"
        done: list[Any] = []

        def work() -> None:
            try:
                done.append(
                    ansible_runner.run(
                        private_data_dir=str(private),
                        playbook=str(path),
                        inventory=[],
                        extravars=self.extra_vars,
                        envvars=environment,
                        project_dir=str(path.parent),
                        cmdline=self.arguments or None,
                        settings={"suppress_output_file": True, "pexpect_timeout": 0.3},
                        fact_cache_type="",
                        quiet=True,
                        event_handler=self.handle,
                        cancel_callback=lambda: False,
                    )
                )
            finally:
                self.events.put(None)

        thread = threading.Thread(target=work, daemon=True)
        previous = signal.signal(signal.SIGTERM, self._terminated)
        try:
            thread.start()
            self.follow()
            thread.join(15)
        finally:
            signal.signal(signal.SIGTERM, previous)
            shutil.rmtree(private, ignore_errors=True)
        if self.interrupted:
            raise KeyboardInterrupt
        self.judge(done[0] if done else None)
        self.console.step_done()
        return self.outcome

    def _terminated(self, _number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    def handle(self, event: dict[str, Any]) -> bool:
        """In the runner's thread: pass on, keep nothing on disk."""
        self.events.put(event)
        return False

    def follow(self) -> None:
        secrets = [value for name, value in os.environ.items() if name.endswith("TOKEN") and len(value) > 12]
        assert self.outcome.log is not None  # noqa: S101 - set by execute
        with self.outcome.log.open("w") as log:
            self.outcome.log.chmod(0o600)
            while True:
                try:
                    event = self.events.get(timeout=0.2)
                    if event is None:
                        return
                    if event.get("stdout"):
                        log.write(_redacted(event["stdout"], secrets) + "\n")
                    self.see(event)
                except queue.Empty:
                    self.console.tick(self.detail)
                except KeyboardInterrupt:
                    self.interrupted = True
                    if self.pid:
                        os.kill(self.pid, signal.SIGINT)
                    self.console.note("Stopping ...")

    def see(self, event: dict[str, Any]) -> None:
        kind, data = event["event"], event.get("event_data", {})
        if kind == "playbook_on_start":
            self.pid = event.get("pid") or data.get("pid")
        elif kind == "playbook_on_task_start":
            self.pid = event.get("pid") or self.pid
            self.detail = ""
            name = str(data.get("task", "")).strip()
            if not name.startswith("Validating arguments against"):
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
        result = data.get("res") or {}
        message = str(result.get("msg") or "no reason given").strip()
        self.console.step_done("failed")
        if isinstance(result.get("failure"), dict):
            self.failure = Failure.from_dict(result["failure"])
        elif kind == "runner_on_unreachable":
            host_key = re.search("host key verification failed", message, re.IGNORECASE)
            self.failure = Failure(
                "host_key" if host_key else "unreachable",
                "The VM presents another host key than the session was made with." if host_key else "The VM cannot be reached over SSH.",
                cause=message.splitlines()[-1],
                remedy="It may still bill. See: linode-coder list",
            )
        else:
            self.failure = Failure("internal", f"The step {data.get('task')!r} failed.", cause=message)

    def judge(self, result: Any) -> None:
        """By what happened to the hosts, not by the runner's word."""
        if self.failure is None and (not self.processed or self.bad_hosts or result is None or result.rc != 0):
            self.failure = Failure("internal", f"The playbook {self.name} ended early.")
        if self.failure is not None:
            self.failure.remedy = f"{self.failure.remedy or ''} Full log: {self.outcome.log}".strip()
            raise self.failure


def run_playbook(name: str, extra_vars: dict[str, Any], console: Console, arguments: str = "") -> Outcome:
    """Run a playbook with live progress. Failure when it fails, KeyboardInterrupt when interrupted."""
    clean = {key: value for key, value in extra_vars.items() if value is not None}
    json.dumps(clean)  # a value that is not plain data is a bug here, not in Ansible
    return Run(name, clean, console, arguments).execute()
