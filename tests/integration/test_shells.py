# SPDX-License-Identifier: GPL-3.0-or-later
"""Completion in the real bash, zsh and fish, by the key that people press. Bash is everywhere; .ci/run installs the others."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import warnings
from contextlib import closing
from pathlib import Path
from typing import Any

import pexpect
import pytest

from linode_coder.completion import names
from linode_coder.local import history

BIN = Path(sys.executable).parent
# By what a shell is started with, and what it reads before.
STARTS = {
    "bash": (["--norc", "--noprofile", "-i"], "source <(linode-coder completion bash)"),
    "zsh": (["-f", "-i"], "autoload -Uz compinit; compinit -u -D; source <(linode-coder completion zsh)"),
    "fish": (["--no-config", "-i"], "linode-coder completion fish | source"),
}
SHELLS = [name for name in STARTS if shutil.which(name)]
if len(SHELLS) < len(STARTS):
    warnings.warn(f"completion is not tried in {', '.join(set(STARTS) - set(SHELLS))}: not installed", stacklevel=1)
COLOUR = re.compile(r"\x1b[\[\]()][0-9;?]*[ -/]*[A-Za-z]?|\r|\x08")


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A home that remembers a session and some regions."""
    monkeypatch.setenv("LINODE_CODER_HOME", str(tmp_path))
    with closing(history.connect()) as connection:
        connection.execute(
            "INSERT INTO sessions (name, linode_id, model, region) VALUES ('demo', 1, 'a/model', 'us-ord')"
        )
    names.regions_file().write_text("us-ord\tChicago, IL\nde-fra-2\tFrankfurt 2, DE\n$(touch owned)\tOwned\n")
    (tmp_path / "a-bundle").mkdir()
    kept = {key: value for key, value in os.environ.items() if not key.startswith("LINODE_")}
    return kept | {
        "HOME": str(tmp_path),
        "LINODE_CODER_HOME": str(tmp_path),
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "TERM": "xterm",
        "INPUTRC": "/dev/null",
    }


# What is typed, with the key, and the line that it becomes.
TYPED = [
    ("linode-coder ext\t dem\t", r"linode-coder extend +demo"),
    ("linode-coder up x --regi\t de\t", r"up x --region +de-fra-2"),
    ("linode-coder up x --region=us\t", r"--region=us-ord"),
    ("linode-coder up x --region us-ord,de\t", r"us-ord,de-fra-2"),
    ("linode-coder check --bundle ./a-b\t", r"--bundle +\./a-bundle"),
]


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if shell != "fish"])
def test_the_key_completes(shell: str, env: dict[str, str], tmp_path: Path) -> None:
    options, script = STARTS[shell]
    environment: Any = env
    child = pexpect.spawn(
        shell, options, env=environment, cwd=tmp_path, encoding="utf-8", timeout=60, dimensions=(40, 200)
    )
    # The line as it was typed does not say so itself.
    child.sendline(f"{script}; echo RE''ADY")
    child.expect("READY\r")
    for typed, line in TYPED:
        child.send("\x15")
        said = ""
        # Each press of the key is answered before the next one.
        for part in re.findall(r"[^\t]+\t", typed):
            child.send(part)
            child.expect(pexpect.TIMEOUT, timeout=1.0)
            said += COLOUR.sub("", child.before or "")
        assert re.search(line, said) or re.search(line, _screen(child)), said
    assert not (tmp_path / "owned").exists()
    child.close(force=True)


def _screen(child: Any) -> str:
    """The line once more, as the shell redraws it."""
    child.send("\x0c")
    child.expect(pexpect.TIMEOUT, timeout=1.0)
    return COLOUR.sub("", child.before or "")


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if shell == "fish"])
def test_fish_says_what_it_would_offer(shell: str, env: dict[str, str], tmp_path: Path) -> None:
    _options, script = STARTS[shell]

    def offered(line: str) -> list[str]:
        command = f"{script}; complete -C '{line}'"
        done = subprocess.run(
            [shell, "--no-config", "-c", command], env=env, cwd=tmp_path, capture_output=True, text=True
        )
        return [row.partition("\t")[0] for row in done.stdout.splitlines()]

    assert offered("linode-coder ext") == ["extend"]
    assert offered("linode-coder extend dem") == ["demo"]
    assert offered("linode-coder up x --region ") == ["de-fra-2", "us-ord"]
    assert offered("linode-coder up x --region=us") == ["--region=us-ord"]
    assert offered("linode-coder check --bundle ./a-b") == ["./a-bundle/"]
    assert not (tmp_path / "owned").exists()
