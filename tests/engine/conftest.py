"""What the tests with the real vLLM share: its environment, installed once, and a sandbox whose hosts run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import cache_dir

from linode_coder.sandbox import vllm_env
from tests.sandbox_fixture import RunningSandbox, start_sandbox

BIN = Path(sys.executable).parent
# A start takes a minute alone, and this machine may do other things meanwhile.
PATIENCE = 1800.0


@pytest.fixture(scope="session")
def vllm() -> Path:
    """The environment of the real vLLM; its place outlives the sandbox's own directory."""
    os.environ.setdefault("LINODE_CODER_CACHE", str(cache_dir()))
    return vllm_env.ensure(lambda step, detail: None)


@dataclass
class Coder:
    """Our command line against one sandbox."""

    sandbox: RunningSandbox

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run(*arguments, "--json")

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(BIN / "linode-coder"), *arguments],
            env=self.sandbox.env,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            stdin=subprocess.DEVNULL,
        )

    def done(self, *arguments: str) -> dict[str, Any]:
        done = self.run(*arguments)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return dict(json.loads(done.stdout.splitlines()[-1]))

    def refused(self, *arguments: str) -> dict[str, Any]:
        done = self.run(*arguments)
        assert done.returncode != 0, done.stdout
        error: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])["error"]
        assert error["exit_code"] == done.returncode
        return error

    def ask_vm(self, session: str, *command: str) -> subprocess.CompletedProcess[str]:
        """What a command says on a session's VM."""
        return self._run("ssh", session, "--", *command)

    def on_vm(self, session: str, *command: str) -> str:
        done = self.ask_vm(session, *command)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def processes(self, title: str) -> list[psutil.Process]:
        """Processes of that title in this sandbox's hosts."""
        found = []
        for process in psutil.Process(self.sandbox.facts["pid"]).children(recursive=True):
            try:
                if title in " ".join(process.cmdline()):
                    found.append(process)
            except psutil.NoSuchProcess:
                continue
        return found

    def host(self, instance: int) -> Path:
        """The root directory of an instance's host."""
        return self.sandbox.home / "state/sandbox/hosts" / str(instance) / "root"


@pytest.fixture(scope="module")
def coder(tmp_path_factory: pytest.TempPathFactory, vllm: Path) -> Iterator[Coder]:
    with start_sandbox(tmp_path_factory.mktemp("engine"), hosts="simulated", engine="vllm") as sandbox:
        yield Coder(sandbox)


def wait_for(what: Callable[[], Any], said: str) -> Any:
    """The first true answer; a refused or cut connection is none."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            answer = what()
        except OSError:
            answer = None
        if answer:
            return answer
        assert time.monotonic() < until, said
        time.sleep(0.5)
