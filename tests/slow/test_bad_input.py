# SPDX-License-Identifier: GPL-3.0-or-later
"""What people get wrong: one sentence with its remedy, the documented exit code, and nothing in the account changed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from linode_coder.settings.config import SETTINGS
from tests.sandbox_fixture import RunningSandbox, start_sandbox

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
ERRORS = (ROOT / "collections/ansible_collections/linode_coder/gpu/docs/errors.md").read_text()
ADA, ADA_2, PRO_1 = "g2-gpu-rtx4000a1-m", "g2-gpu-rtx4000a2-s", "g3-gpu-rtxpro6000-blackwell-1"
# Also in error cases no line of these may show.
UGLY = ("Traceback", "pydantic", "Input should be", "TypeError", "NoneType", "dict_keys", "object at 0x")


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    with start_sandbox(tmp_path_factory.mktemp("bad-input"), rate_limits="off") as running:
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"):
            running.env.pop(name, None)
        # The Hub is never asked, and nothing of this machine's user is found.
        running.env.update(HF_HUB_OFFLINE="1", HF_HOME=str(running.home / "no-hub"), HOME=str(running.home))
        yield running


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The working directory, in which an .env may lie."""
    return tmp_path


@dataclass(frozen=True)
class Case:
    """``message`` and ``remedy`` are what these have to hold; ``files`` are written first, `config/` into the home."""

    arguments: str
    code: int
    message: str
    remedy: str
    env: dict[str, str | None] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    fault: dict[str, Any] | None = None


CASES = {
    # -- models
    "unknown model": Case("up m --model qwen3.6-35 --yes", 2, "'qwen3.6-35' is not known", "qwen3.6-35b-a3b"),
    "unknown repository": Case("up m --model openai/ --yes", 2, "'openai/' is not known", "openai/gpt-oss-20b"),
    "no model id": Case("up m --model two!words? --yes", 2, "'two!words?' is not known", "linode-coder models"),
    "models of nothing": Case("models gpt-os-20b", 2, "'gpt-os-20b'", "gpt-oss-20b"),
    "switch to nothing": Case("switch-model m gpt-os-20b", 2, "'gpt-os-20b'", "gpt-oss-20b"),
    "gated without a token": Case(
        "up m --model meta-llama/Llama-3.3-70B-Instruct --yes", 2, "is gated", "export HF_TOKEN"
    ),
    "too large": Case(
        f"up m --model gpt-oss-120b --plan {ADA} --yes",
        3,
        "does not fit on",
        "fits on g3-gpu-rtxpro6000-blackwell-1 at $3.00/h",
    ),
    "too large for every plan": Case(
        "up m --model meta-llama/Llama-3.3-70B-Instruct --plan g2-gpu-rtx4000a1-m --yes", 3, "does not fit", "at $"
    ),
    "card too old": Case("up m --model gpt-oss-20b --plan g1-gpu-rtx6000-1 --yes", 3, "does not fit", "/h"),
    "context beyond the model": Case("up m --model gpt-oss-20b --context 256K --yes", 2, "131072", "--context 131072"),
    "context beyond the plan": Case(
        f"up m --model devstral-small-2-24b --plan {ADA_2} --context 200K --yes", 3, "does not fit", "Here a context of"
    ),
    "context of words": Case("up m --context lots --yes", 2, "'lots' is not a number of tokens", "64K"),
    "context of nothing": Case(f"up m --model qwen3-14b --plan {ADA} --context 0 --yes", 2, "'0'", "64K"),
    "plans for a context of words": Case("plans --context tiny", 2, "'tiny'", "64K"),
    "heads not divided": Case(
        "up m --model qwen3-14b --tensor-parallel 3 --yes", 2, "does not divide the 40", "leave it out"
    ),
    "more GPUs than there are": Case(
        f"up m --model qwen3-14b --plan {ADA} --tensor-parallel 2 --yes", 2, "over 2 GPUs", ""
    ),
    "no GPU at all": Case("up m --tensor-parallel 0 --yes", 2, "less than one GPU", "1, 2 or 4"),
    "half a GPU": Case(
        "up m --tensor-parallel 1.5 --yes", 2, "--tensor-parallel '1.5' is not a whole number", "up --help"
    ),
    "no such variant": Case("up m --model qwen2.5-coder-7b --variant nvfp4 --yes", 2, "not a variant", "int4-awq"),
    "variant contradicts": Case("up m --model Qwen/Qwen3-14B-AWQ --variant fp8 --yes", 2, "contradicts", "qwen3-14b"),
    "variant is a model": Case("up m --variant qwen3-14b --yes", 2, "several variants", "--model qwen3-14b"),
    "code of a branch": Case("up m --model laguna-xs-2.1 --yes", 3, "no commit of it is pinned", "[revisions]"),
    # -- places, clocks, money
    "unknown plan": Case("up m --plan g2-gpu-rtx4000a1-q --yes", 2, "'g2-gpu-rtx4000a1-q'", ADA[:-1]),
    "plan without a GPU": Case("up m --plan g6-nanode-1 --yes", 2, "has no GPU", "gpu"),
    "models on no plan": Case("models --plan g2-gpu-rtx4000a1-q", 2, "'g2-gpu-rtx4000a1-q'", ADA[:-1]),
    "unknown region": Case("up m --region us-rod --yes", 2, "'us-rod' is not known", "us-ord"),
    "region without GPUs": Case("up m --region us-west --yes", 2, "has no GPU Linodes", "us-ord"),
    "prices of no region": Case("plans --region nowhere", 2, "'nowhere'", "us-ord"),
    "out of stock": Case(
        f"up m --plan {ADA} --region us-ord --yes",
        7,
        "no capacity in any region that was tried",
        "keep trying: linode-coder up --wait-for-capacity",
        fault={"kind": "capacity", "on": "POST /linode/instances"},
    ),
    "lease of words": Case("up m --lease soon --yes", 2, "'soon' is not a duration", "90m"),
    "lease of nothing": Case("up m --lease 0h --yes", 2, "lease", ""),
    "lease beyond the cap": Case("up m --lease 4h --cap 1h --yes", 2, "longer than the hard cap", "--cap"),
    "idle too short": Case("up m --idle 1m --yes", 2, "too short", "10 min"),
    "money of words": Case("up m --max-cost much --yes", 2, "--max-cost 'much' is not a number", "--help"),
    "less than no money": Case("up m --max-cost -3 --yes", 2, "max_cost -3", "leave it out"),
    "no number of money": Case("up m --max-cost nan --yes", 2, "max_cost nan", "leave it out"),
    "too little money": Case("up m --max-cost 0.1 --yes", 3, "one hour", "$0.67"),
    "money for less time": Case(f"up m --plan {ADA} --max-cost 2 --lease 8h --yes", 3, "more than max_cost", "2 h"),
    # -- names and sessions
    "name with capitals": Case("up Demo_1 --yes", 2, "'Demo_1'", "a-z"),
    "name too long": Case(f"up {'a' * 40} --yes", 2, "a" * 40, "24 characters"),
    "no name": Case("up --yes", 2, "NAME", "--help"),
    **{
        f"no such session: {command}": Case(f"{command}", 9, "There is no session 'nosuch'", "linode-coder list")
        for command in (
            "down nosuch --yes",
            "status nosuch",
            "check nosuch",
            "collect nosuch",
            "switch-model nosuch qwen3-14b",
            "use nosuch",
            "logs nosuch",
            "ssh nosuch",
            "tunnel nosuch",
            "extend nosuch 2h",
            "validate nosuch",
            "validate-perf nosuch",
            "heal nosuch",
        )
    },
    # -- the command line itself
    "no such command": Case("upp demo", 2, "'upp'", "up"),
    "no such option": Case("up m --modell x", 2, "--modell", "--help"),
    "option without its value": Case("up m --lease", 2, "--lease", "up --help"),
    "one word too many": Case("list all of them", 2, "extra argument", "list --help"),
    "no terminal to ask on": Case("up m", 2, "no terminal", "--yes"),
    "wizard without a terminal": Case("wizard", 2, "no terminal", "--yes"),
    "options of two kinds": Case("validate m --lease 2h", 2, "say nothing of one that is served", "leave the name out"),
    "streams of nothing": Case("validate-perf m --concurrency 0", 2, "concurrency 0", "1,4,16"),
    "streams of words": Case("validate-perf m --concurrency few", 2, "'few'", "1,4,16"),
    "too few tokens": Case("validate-perf m --tokens 1", 2, "tokens 1", "128"),
    "no such client": Case("use m --print emacs", 2, "'emacs'", "aider"),
    "interval of words": Case("watchdog --interval often", 2, "'often'", "90m"),
    "no such subcommand": Case("config shw", 2, "'shw'", "Did you mean 'show'?"),
    "sandbox without a command": Case("sandbox", 2, "Missing command", "sandbox --help"),
    # -- the token and the account
    "no token": Case("up m --yes", 4, "LINODE_TOKEN is not set", "Cloud Manager", {"LINODE_TOKEN": None}),
    "wrong token": Case("up m --yes", 4, "not valid", "LINODE_TOKEN", {"LINODE_TOKEN": "{revoked}"}),
    "expired token": Case("list", 4, "expired", "LINODE_TOKEN", {"LINODE_TOKEN": "{expired}"}),
    "token without scopes": Case("up m --yes", 4, "lacks the scope", "create a new one", {"LINODE_TOKEN": "{narrow}"}),
    "token that may only read": Case(
        "up m --yes", 4, "lacks the scope", "create a new one", {"LINODE_TOKEN": "{reading}"}
    ),
    "no address": Case("list", 2, "LINODE_API_URL", "", {"LINODE_API_URL": "not an address"}),
    "nobody there": Case("list", 5, "could not be read", "network", {"LINODE_API_URL": "http://127.0.0.1:9/"}),
    # -- files
    "dotenv without =": Case("up m --yes", 2, ".env:2", "#", files={".env": "LINODE_CODER_LEASE=2h\nnonsense here\n"}),
    "dotenv with an open quote": Case("up m --yes", 2, ".env:1", "quote", files={".env": 'LINODE_CODER_MODEL="a/b\n'}),
    "dotenv with a misspelt name": Case(
        "up m --yes", 2, ".env:1", "LINODE_CODER_LEASE", files={".env": "LINODE_CODER_LEESE=2h\n"}
    ),
    "dotenv sends the token away": Case(
        "list", 2, ".env:1", "LINODE_TOKEN", {"LINODE_API_URL": None}, {".env": "LINODE_API_URL=http://127.0.0.1:9/\n"}
    ),
    "malformed TOML": Case(
        "up m --yes", 2, "config.toml:2", "name = value", files={"config/config.toml": '\nlease = "2h\n'}
    ),
    "TOML with a misspelt key": Case(
        "up m --yes", 2, "config.toml:1", "lease", files={"config/config.toml": 'leese = "2h"\n'}
    ),
    "variable of the wrong type": Case("up m --yes", 2, "LINODE_CODER_CONTEXT", "", {"LINODE_CODER_CONTEXT": "lots"}),
    "budget below the limit": Case(
        "up m --yes", 2, "monthly budget", "Lower max_cost", files={"config/config.toml": "budget = 5\nmax_cost = 6\n"}
    ),
    "models.toml that is no TOML": Case("models", 2, "models.toml", "", files={"config/models.toml": "[[models]\n"}),
    "models.toml with a branch": Case(
        "up m --yes",
        2,
        "revisions.org/name",
        "40 hexadecimal",
        files={"config/models.toml": '[revisions]\n"org/name" = "main"\n'},
    ),
    "no public key": Case("up m --authorized-key /etc/hostname --yes", 2, "not a public key", ".pub"),
    "address of the Hub": Case(
        "up m --model org/name --yes", 2, "HF_ENDPOINT", "", {"HF_ENDPOINT": "nowhere", "HF_HUB_OFFLINE": ""}
    ),
}


@pytest.fixture(scope="module")
def tokens(sandbox: RunningSandbox) -> dict[str, str]:
    """Tokens that open less than everything."""

    def made(label: str, scopes: str, **more: str) -> dict[str, Any]:
        return sandbox.api("POST", "profile/tokens", {"label": label, "scopes": scopes, **more})

    end = int(time.time()) + 5
    expired = made("expired", "*", expiry=time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(end)))
    revoked = made("revoked", "*")
    sandbox.api("DELETE", f"profile/tokens/{revoked['id']}")
    time.sleep(max(0.0, end + 1 - time.time()))
    return {
        "revoked": revoked["token"],
        "expired": expired["token"],
        "narrow": made("narrow", "images:read_only")["token"],
        "reading": made("reading", "linodes:read_only account:read_only events:read_only")["token"],
    }


def account(sandbox: RunningSandbox) -> dict[str, list[int]]:
    """All that a command could have created or changed."""
    kinds = ("linode/instances", "networking/firewalls", "volumes", "images")
    return {kind: [row["id"] for row in sandbox.api("GET", kind)["data"]] for kind in kinds}


def run(
    sandbox: RunningSandbox, project: Path, arguments: list[str], env: dict[str, str | None]
) -> subprocess.CompletedProcess[str]:
    environment = {**sandbox.env, **{name: value for name, value in env.items() if value is not None}}
    for name, value in env.items():
        if value is None:
            environment.pop(name, None)
    return subprocess.run(
        [str(BIN / "linode-coder"), *arguments],
        env=environment,
        cwd=project,
        capture_output=True,
        text=True,
        timeout=240,
        stdin=subprocess.DEVNULL,
    )


def is_one_sentence(text: str) -> bool:
    """One line that ends in a full stop, with no other sentence before it. What stands in quotes does not count."""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "x", text)
    return text == text.strip() and bare.endswith((".", "?")) and not re.search(r"[.?!] +[A-Z]", bare)


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_one_sentence_and_changes_nothing(
    sandbox: RunningSandbox, tokens: dict[str, str], project: Path, name: str
) -> None:
    case = CASES[name]
    written = []
    for path, text in case.files.items():
        target = sandbox.home / path if path.startswith("config/") else project / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        written.append(target)
    env = {key: value.format(**tokens) if value else value for key, value in case.env.items()}
    before = account(sandbox)
    if case.fault:
        sandbox.fault(**case.fault)
    try:
        done = run(sandbox, project, case.arguments.split(), env)
    finally:
        sandbox.clear_faults()
        for target in written:
            target.unlink()
    said = done.stderr.splitlines()
    errors = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
    remedies = [line.removeprefix("next: ") for line in said if line.startswith("next: ")]
    assert done.returncode == case.code, done.stderr
    assert len(errors) == len(remedies) == 1, done.stderr
    assert is_one_sentence(errors[0]), errors[0]
    assert case.message in errors[0] and case.remedy in remedies[0], done.stderr
    assert not any(ugly in done.stderr + done.stdout for ugly in UGLY), done.stderr
    anchor, code = re.fullmatch(r"docs: linode-coder explain (\S+), exit code (\d+)", said[-1]).groups()  # type: ignore[union-attr]
    assert int(code) == case.code and f'<a id="{anchor}"></a>' in ERRORS
    assert account(sandbox) == before


WRONG = {
    "plan": "{x = 1}",
    "region": "[1, 2]",
    "authorized_keys": '["/nowhere/key.pub"]',
    "max_cost": "-1",
    "budget": '"plenty"',
    "context": "true",
    "heal": '"everything"',
    "idle": '"1m"',
    "api_url": '"ftp://example.invalid"',
    "notify_url": "7",
    "gateway_port": "65536",
    "gateway_wakes": "-1",
}


def test_every_setting_of_the_wrong_type_is_named_with_its_line(sandbox: RunningSandbox, project: Path) -> None:
    """Whatever a setting is, `config validate` says in one sentence where it stands and what it ought to be."""
    keys = [setting.key for setting in SETTINGS]
    path = sandbox.home / "config" / "config.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{key} = {WRONG.get(key, '7')}\n" for key in keys))
    path.chmod(0o600)
    try:
        done = run(sandbox, project, ["config", "validate", "--json"], {})
    finally:
        path.unlink()
    assert done.returncode == 2, done.stderr
    problems = {problem["key"]: problem for problem in json.loads(done.stdout)["problems"]}
    for number, key in enumerate(keys, 1):
        problem = problems[key]
        assert problem["where"] == f"{path}:{number}", problem
        assert problem["message"].startswith(f"{key}: ") and is_one_sentence(problem["message"]), problem
        assert problem["remedy"] and not any(ugly in problem["message"] for ugly in UGLY)


PLAYS = (
    ("up", {}, "session name '' cannot be used"),
    ("up", {"session": "m", "tensor_parallel": "two"}, "'tensor_parallel' is of type str"),
    ("up", {"session": "m", "model": "gpt-os-20b"}, "Did you mean gpt-oss-20b"),
    ("up", {"session": "m", "max_cost": "-1"}, "not a number of dollars above 0"),
    ("switch_model", {"session": "nosuch", "model": "qwen3-14b"}, "There is no session 'nosuch'"),
    ("extend", {"session": "nosuch", "by": "2h"}, "nosuch"),
    ("validate", {"session": "nosuch"}, "nosuch"),
    ("validate_perf", {}, "session name '' cannot be used"),
)


@pytest.mark.parametrize(("name", "extra", "words"), PLAYS, ids=[f"{row[0]} {' '.join(row[1])}" for row in PLAYS])
def test_a_playbook_says_it_in_one_task(
    sandbox: RunningSandbox, name: str, extra: dict[str, str], words: str, tmp_path: Path
) -> None:
    """Without the command line: one task fails, with the same sentence, before anything is created."""
    before = account(sandbox)
    given = [part for key, value in extra.items() for part in ("-e", f"{key}={value}")]
    environment = {
        **sandbox.env,
        "ANSIBLE_HOME": str(tmp_path / "ansible"),
        "ANSIBLE_NOCOLOR": "1",
        "PATH": f"{BIN}{os.pathsep}{sandbox.env['PATH']}",
    }
    environment.pop("ANSIBLE_CONFIG", None)
    done = subprocess.run(
        ["ansible-playbook", f"linode_coder.gpu.{name}", *given],
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout.count("fatal: ") == 1, done.stdout
    said = " ".join(done.stdout.split())
    assert words in said, done.stdout
    assert not any(ugly in said for ugly in ("Traceback", "undefined", "NoneType")), done.stdout
    assert account(sandbox) == before
