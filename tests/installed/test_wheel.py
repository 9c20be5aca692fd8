# SPDX-License-Identifier: GPL-3.0-or-later
"""The wheel as pip installs it, in places that a checkout never is: each does the main job once, or says what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.installed.environments import environment, wheel
from tools import smoke

# So that an ordinary user can read the interpreter that root has.
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
READS = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that others may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="lc-installed-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def smoked(*command: str, **options: object) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_path_with_a_space_and_a_umask_that_shuts_everybody_out(place: Path) -> None:
    programs = environment(place / "my environments" / "coder", f"{wheel()}[sandbox]", umask=0o077)
    smoked(sys.executable, smoke.__file__, str(programs), umask=0o077)


def test_another_user_whose_environment_cannot_be_written(place: Path) -> None:
    programs = environment(place / "coder", f"{wheel()}[sandbox]")
    subprocess.run(["chmod", "-R", "a-w", str(place)], check=True)
    program = place.with_name(f"{place.name}.py")
    program.write_text(Path(smoke.__file__).read_text())
    try:
        other = [*NOBODY, *READS] if os.geteuid() == 0 else []
        smoked(*other, str(programs / "python"), str(program), str(programs))
    finally:
        program.unlink()
        subprocess.run(["chmod", "-R", "u+w", str(place)], check=True)


def test_without_the_sandbox_it_says_what_to_install(place: Path) -> None:
    programs = environment(place / "coder", str(wheel()))
    bare = smoke.Smoke(programs, place)
    error = bare.coder("sandbox", "start", code=2)["error"]
    assert "aiohttp and asyncssh" in error["message"]
    assert "linode-coder[sandbox]" in error["remedy"]
    assert bare.coder("sandbox", "stop")["stopped"] is False
