# SPDX-License-Identifier: GPL-3.0-or-later
"""The wizard on a terminal, with options only, and without a terminal."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.sandbox_fixture import RunningSandbox, start_sandbox

BIN = Path(sys.executable).parent
CODER = str(BIN / "linode-coder")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with start_sandbox(tmp_path_factory.mktemp("wizard")) as running:
        running.env.update(HF_HUB_OFFLINE="1", TERM="xterm")
        yield running


@pytest.fixture
def file(sandbox: RunningSandbox) -> Iterator[Path]:
    path = sandbox.home / "config" / "config.toml"
    path.parent.mkdir(exist_ok=True)
    yield path
    path.unlink(missing_ok=True)


def run(sandbox: RunningSandbox, *options: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CODER, "wizard", *options],
        env={**sandbox.env, **env},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )


def terminal(sandbox: RunningSandbox, *options: str) -> pexpect.spawn[str]:
    environment: Any = {name: value for name, value in sandbox.env.items() if name != "NO_COLOR"}
    return pexpect.spawn(
        CODER, ["wizard", *options], env=environment, cwd="/", encoding="utf-8", timeout=120, dimensions=(40, 200)
    )


def test_six_questions_and_a_file(sandbox: RunningSandbox, file: Path) -> None:
    file.write_text('# mine\nheal = "host" # careful\nlease = "2h"\n')
    child = terminal(sandbox)
    child.expect("What will you use it for .*\\[chat\\] ")
    child.sendline("nonsense")
    child.expect("is not one of completion, chat, agent")
    child.expect("\\[chat\\] ")
    child.sendline("agent")
    child.expect("In which region .*\\[any\\] ")
    child.sendline("us-nowhere")
    child.expect("us-nowhere' is not known")
    child.expect("\\[any\\] ")
    child.sendline("us-ord")
    child.expect("How long .*\\[2h 45m\\] ")
    child.sendline("4h 30m")
    child.expect("Dollars .*\\[none\\] ")
    child.sendline("6.5")
    child.expect("MODEL +PLAN")
    child.expect("Which model .*\\[1\\] ")
    child.sendline("")
    child.expect("Context .*\\[65536\\] ")
    child.sendline("")
    child.expect('\\+lease = "4h"')
    child.expect("Write it\\? \\[y/N\\] ")
    assert tomllib.loads(file.read_text())["lease"] == "2h"
    child.sendline("y")
    child.expect("Written to")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    text = file.read_text()
    written = tomllib.loads(text)
    assert text.startswith('# mine\nheal = "host" # careful\n')
    assert written["region"] == ["us-ord"] and written["context"] == 65536
    assert (written["lease"], written["idle"], written["max_cost"]) == ("4h", "30m", 6.5)
    assert written["model"] and written["plan"]
    assert file.stat().st_mode & 0o777 == 0o600
    # What it wrote is what `up` would take.
    done = subprocess.run(
        [CODER, "up", "demo", "--dry-run", "--json"],
        env=sandbox.env,
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    quote = json.loads(done.stdout.splitlines()[0])["quote"]
    assert quote["offers"][0]["plan"] == written["plan"][0] and quote["cost_to_lease_end"] <= 6.5


@pytest.mark.parametrize("how", ["no", "interrupt", "end of input"])
def test_nothing_is_written_without_a_yes(sandbox: RunningSandbox, file: Path, how: str) -> None:
    options = ("--goal", "chat", "--region", "any", "--lease", "8h", "--idle", "45m", "--max-cost", "none")
    child = terminal(sandbox, *options, "--model", "openai/gpt-oss-20b", "--context", "16k")
    child.expect("Write it\\? \\[y/N\\] ")
    if how == "no":
        child.sendline("n")
    elif how == "interrupt":
        child.sendintr()
    else:
        child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == (130 if how == "interrupt" else 3)
    assert not file.exists()


def test_with_options_only(sandbox: RunningSandbox, file: Path) -> None:
    options = ("--goal", "completion", "--lease", "2h", "--max-cost", "2", "--yes", "--json")
    first = json.loads(run(sandbox, *options).stdout)
    assert first["changed"] and first["settings"]["context"] == 16384
    assert tomllib.loads(file.read_text()) == first["settings"]
    assert json.loads(run(sandbox, *options).stdout)["changed"] is False


@pytest.mark.parametrize(
    ("options", "code", "field"),
    [
        ((), 2, "yes"),
        (("--goal", "games", "--yes"), 2, "goal"),
        (("--region", "us-nowhere", "--yes"), 2, "region"),
        (("--lease", "soon", "--yes"), 2, "lease"),
        (("--idle", "1m", "--yes"), 2, "idle"),
        (("--max-cost", "much", "--yes"), 2, "max_cost"),
        (("--max-cost", "0.1", "--yes"), 3, "max_cost"),
        (("--context", "all", "--yes"), 2, "context"),
    ],
)
def test_bad_answers_change_nothing(
    sandbox: RunningSandbox, file: Path, options: tuple[str, ...], code: int, field: str
) -> None:
    done = run(sandbox, *options, "--json")
    error = json.loads(done.stdout.splitlines()[-1])["error"]
    assert (done.returncode, error["field"]) == (code, field), done.stderr
    assert error["remedy"] and not file.exists()


def test_without_the_api_it_says_that_prices_are_unknown(sandbox: RunningSandbox, file: Path) -> None:
    environment = {name: value for name, value in sandbox.env.items() if name not in ("LINODE_TOKEN",)}
    environment |= {"HOME": str(sandbox.home), "LINODE_API_URL": "http://127.0.0.1:9/"}
    bare = RunningSandbox(environment, sandbox.url, sandbox.home, sandbox.facts)
    child = terminal(bare, "--goal", "chat", "--region", "any", "--lease", "8h", "--idle", "45m", "--max-cost", "none")
    child.expect("No prices: they are read from the API each time and not kept")
    child.expect("Which model")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert not file.exists()


def test_a_broken_file_is_left_alone(sandbox: RunningSandbox, file: Path) -> None:
    file.write_text("lease = \n")
    done = run(sandbox, "--yes", "--json")
    assert done.returncode == 2 and str(file) in done.stderr
    assert file.read_text() == "lease = \n"
    assert [path for path in file.parent.iterdir() if path != file] == []


def test_secrets_stay_out_of_what_is_shown(sandbox: RunningSandbox, file: Path) -> None:
    file.write_text('linode_token = "planted-secret"\nlease = "2h"\n')
    done = run(sandbox, "--lease", "3h", "--yes")
    assert done.returncode == 0, done.stderr
    assert "planted-secret" not in done.stdout + done.stderr
    assert "planted-secret" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
