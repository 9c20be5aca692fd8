# SPDX-License-Identifier: GPL-3.0-or-later
"""`make test-clients`: real clients of the versions in client_list.py, each with what `use --print` prints, against sessions of the
sandbox with 16K and 128K of context.

What is printed is taken as it is, but for the port: a recorder stands before the tunnel. Each client has a home, a place for
temporary files and a project of its own and reaches nothing beyond this machine; what it leaves there beyond what client_list.py
knows of is a fault. CLIENTS='claude codex' and CASES='prompt asked' choose some, ENGINE=vllm has the real engine answer instead of its stand-in: words that
mean nothing, so neither answers nor tools are compared. LAUNCH=1 starts those that `launch` knows with it instead, each in a home whose
own configuration names another provider: nothing may be asked there, and the configuration has to stay as it was.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import cache_dir

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))

from linode_coder.endpoint.agents import AGENTS  # noqa: E402
from linode_coder.endpoint.clients import CLIENTS as PRINTED  # noqa: E402
from linode_coder.endpoint.clients import KEY_VARIABLE, output_of  # noqa: E402
from tests.sandbox_fixture import RunningSandbox, start_sandbox  # noqa: E402
from tools.client_list import ALIAS, CLIENTS, OWN_CONFIGURATION, SILENCE, Package, Run  # noqa: E402
from tools.recorder import Recorder, recording  # noqa: E402

BIN = Path(sys.executable).parent
# Tokens of the real one's tiny models are bytes.
CONTEXTS = {
    "standin": {"small": 16384, "large": 131072},
    "vllm": {"small": 131072, "large": 262144},
}
# Of the stand-in's answer; clients may break its lines.
WORDS = "This is the linode_coder sandbox, not a model"
HELLO = "say hello"
# A prompt is one request, or two where a client also asks for a title; it may try again what failed.
MOST, MOST_TRIES = 3, 15
PATIENCE_S = {"standin": 300, "vllm": 900}
# A model of the sandbox's that takes the longest context.
VLLM_MODEL = "sandbox/tiny-coder-long"
FACTS = ("window", "output", "tools", "images")


@dataclass
class Outcome:
    """One run of a client. ``changed`` are names in the project, ``strewn`` files elsewhere that are not known to be its own."""

    case: str
    ended: bool
    seconds: float
    text: str
    recorder: Recorder
    changed: set[str]
    strewn: list[str]

    def wrong(self, client: Run, engine: str, launched: bool = False) -> str:
        """What is not as it should be; empty when all is. Of one that was ``launched`` the recorder is the other provider."""
        statuses = {asked.status for asked in self.recorder.asked}
        answered = WORDS in " ".join(self.text.split()) if engine == "standin" else launched or 200 in statuses
        found = [] if self.ended else ["it did not end"]
        if launched and statuses:
            found.append("the other provider was asked")
        if self.case in ("prompt", "tool", "alias", "api key"):
            found += [] if answered else ["no answer was shown"]
            found += [] if statuses <= {200} else [f"statuses {sorted(statuses)}"]
        if self.case == "wrong key":
            found += [] if statuses <= {401} else [f"statuses {sorted(statuses)} instead of 401"]
            found += ["it was answered"] if answered else []
        if self.case == "too long":
            # It is refused, or the client refuses it or makes it shorter itself.
            found += [] if statuses <= {200, 400} else [f"statuses {sorted(statuses)}"]
        # Its own counting of tokens, tool by tool, is no prompt.
        most = {"prompt": MOST, "alias": MOST, "api key": MOST, "tool": 2 * MOST, "asked": 100}.get(
            self.case, MOST_TRIES
        )
        if len(self.recorder.asked) > most:
            found.append(f"{len(self.recorder.asked)} requests")
        wanted = {"made.txt"} if self.case == "tool" else set()
        others = {name for name in self.changed if not name.startswith(client.own or "\0")}
        if others != wanted:
            found.append(f"it changed {sorted(others) or 'nothing'}")
        if self.strewn:
            found.append(f"it wrote {', '.join(self.strewn[:5])}")
        return "; ".join(found)


def install(package: Package) -> Path:
    """Its directory with the programs, made once for each version."""
    place = cache_dir() / "clients" / f"{package.name.replace('/', '-').lstrip('@')}-{package.version}"
    if (place / "done").exists():
        return place / ("node_modules/.bin" if package.registry == "npm" else "bin")
    print(f"installing {package.name} {package.version} ...", flush=True)
    if package.registry == "npm":
        place.mkdir(parents=True, exist_ok=True)
        where = ["--prefix", str(place), "--no-audit", "--no-fund", "--silent"]
        subprocess.run(["npm", "install", *where, f"{package.name}@{package.version}"], check=True)
    else:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        pip = [str(place / "bin/pip"), "install", "--quiet", f"{package.name}=={package.version}"]
        subprocess.run(pip, check=True)
    (place / "done").touch()
    return install(package)


def printed(sandbox: RunningSandbox, session: str, client: str) -> dict[str, Any]:
    command = [str(BIN / "linode-coder"), "use", session, "--print", CLIENTS[client].printed or client, "--json"]
    done = subprocess.run(command, env=sandbox.env, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def script_of(client: Run, case: str, text: str, notes: list[str], home: Path, key: Path) -> str:
    """What a person would enter who follows ``text``, which is printed, and the notes beside it; its file is written."""
    command = client.alias if case == "alias" else client.command
    if case == "asked" and client.asked[:1] != "/":
        command = client.asked
    if client.file:
        (home / client.file).parent.mkdir(parents=True)
        (home / client.file).write_text(text)
        if client.file.startswith(".continue"):
            (home / ".continue/.env").write_text(f"{KEY_VARIABLE}={key.read_text().strip()}\n")
        exports = [note.partition("environment: ")[2] for note in notes if "environment: export " in note]
        return "\n".join([*exports, command])
    if client.package.name == "aider-chat":
        return f"{command}\n{text}"
    # The first paragraph is for a shell.
    script = text.partition("\n\n")[0]
    if case == "api key":
        script += '\nexport ANTHROPIC_API_KEY="$ANTHROPIC_AUTH_TOKEN"\nunset ANTHROPIC_AUTH_TOKEN'
    return f"{script}\n{command}"


def launching(
    name: str, case: str, told: dict[str, Any], sandbox: RunningSandbox, home: Path, directory: Path, port: int
) -> str:
    """What a person would enter who starts the client with `launch`, and whose own configuration names another provider, at ``port``."""
    client, agent, programs = CLIENTS[name], AGENTS[name], install(CLIENTS[name].package)
    for file, content in OWN_CONFIGURATION[name].items():
        text = content if isinstance(content, str) else json.dumps(content)
        (home / file).parent.mkdir(parents=True, exist_ok=True)
        (home / file).write_text(text.replace("ELSEWHERE", f"http://127.0.0.1:{port}/v1"))
    # By the name of the program, so that the lines of client_list.py start it.
    ours = {key: value for key, value in sandbox.env.items() if key.startswith(("LINODE_", "XDG_"))}
    stand_in = directory / "bin" / agent.program
    stand_in.parent.mkdir()
    exports = [f"export {key}={shlex.quote(value)}" for key, value in ours.items()]
    path = "export PATH=" + shlex.quote(f"{programs}:{os.environ['PATH']}")
    start = f'exec {shlex.quote(str(BIN / "linode-coder"))} launch {name} {told["session"]["name"]} -- "$@"'
    stand_in.write_text("\n".join(["#!/bin/sh", *exports, path, start, ""]))
    stand_in.chmod(0o700)
    line = client.asked if case == "asked" and client.asked[:1] != "/" else client.command
    return f"PATH={stand_in.parent}:$PATH\n{line}" + ("\naider" if name == "aider" else "")


def files_below(*places: Path) -> dict[str, int]:
    """Files and when they were written, by their path below the parent of ``places``."""
    return {
        str(path.relative_to(place.parent)): path.stat().st_mtime_ns
        for place in places
        for path in place.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def attempt(
    name: str,
    case: str,
    prompt: str,
    told: dict[str, Any],
    directory: Path,
    patience: float,
    launch: RunningSandbox | None = None,
) -> Outcome:
    """One run of a client in a new home and a new project; with `launch` against the sandbox that is given."""
    client = CLIENTS[name]
    programs = install(client.package)
    home, project, temporary = (directory / part for part in ("home", "project", "tmp"))
    for place in (home, project, temporary):
        place.mkdir(parents=True)
    (project / "README.md").write_text("# A project\n")
    subprocess.run(["git", "init", "--quiet", str(project)], check=True)
    key = directory / "key"
    key.write_text("wrong" if case == "wrong key" else Path(told["api_key_file"]).read_text())
    port = int(told["endpoint"].rsplit(":", 1)[1].removesuffix("/v1"))
    with recording(port) as recorder:
        recorder.cut = case == "cut"
        text, *notes = (
            line.replace(f"127.0.0.1:{port}", f"127.0.0.1:{recorder.port}").replace(told["api_key_file"], str(key))
            for line in (told["configuration"], *told["notes"])
        )
        if launch:
            script = launching(name, case, told, launch, home, directory, recorder.port)
        else:
            script = script_of(client, case, text, notes, home, key)
        env = {
            **SILENCE,
            "HOME": str(home),
            "TMPDIR": str(temporary),
            "PATH": f"{programs}:{os.environ['PATH']}",
            "TERM": "xterm",
            "PROMPT": client.asked if case == "asked" and client.asked[:1] == "/" else prompt,
            "GIT_CONFIG_COUNT": "0",
            "ANTHROPIC_API_KEY": "of-somebody-else",
        }
        before = files_below(home, temporary)
        began, ended = time.monotonic(), True
        with subprocess.Popen(
            ["bash", "-e", "-c", script],
            cwd=project,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        ) as process:
            try:
                said, _ = process.communicate(timeout=patience)
            except subprocess.TimeoutExpired:
                ended = False
                os.killpg(process.pid, 9)
                said, _ = process.communicate()
        seconds = time.monotonic() - began
        end_all_of(home)
    after = files_below(home, temporary)
    known = tuple(place if place.startswith("tmp/") else f"home/{place}" for place in client.kept)
    strewn = sorted(
        path for path, written in after.items() if written != before.get(path) and not path.startswith(known or "\0")
    )
    own = OWN_CONFIGURATION[name] if launch else {}
    rewritten = [f"home/{file}" for file in own if after.get(f"home/{file}") != before.get(f"home/{file}")]
    changed = {path.name for path in project.iterdir()} - {"README.md", ".git"}
    if (project / "README.md").read_text() != "# A project\n":
        changed.add("README.md")
    strewn += [file for file in rewritten if file not in strewn]
    return Outcome(case, ended, seconds, said, recorder, changed, strewn)


def end_all_of(home: Path) -> None:
    """What a client has left running: some start a server of their own."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("HOME") == str(home):
                process.kill()


def cases(client: Run, context: int, engine: str) -> dict[str, str]:
    """Prompts, by what is tried with them; none where the client has no room."""
    if context < client.least:
        return {}
    found = {"prompt": HELLO}
    if client.tool and engine == "standin":
        found["tool"] = f"Call the tool {client.tool} with {client.arguments}"
    if client.asked:
        found["asked"] = HELLO
    if context == min(length for length in CONTEXTS[engine].values() if length >= client.least):
        found |= {"cut": HELLO, "wrong key": HELLO}
        if client.alias:
            found["alias"] = HELLO
        if client.package.name == "anthropic":
            found["api key"] = HELLO
    if context == CONTEXTS[engine]["small"]:
        # More than fits, and less than a program can be given as an argument.
        found["too long"] = "a b c " * 20000
    return found


def truth(name: str, told: dict[str, Any]) -> dict[str, Any]:
    """What the engine takes, and how long an answer may be by what was printed; None where nothing is printed for it."""
    context = told["max_model_len"]
    limited = PRINTED[CLIENTS[name].printed or name].limits and name != "cline"
    output = output_of(context) if limited else None
    return {"window": context, "output": output, "tools": told["tools"], "images": told["images"]}


def _value(text: str) -> int | bool:
    if text in ("true", "false"):
        return text == "true"
    digits = text.replace(",", "")
    if digits.endswith("k"):
        return round(float(digits[:-1]) * 1000)
    return int(digits) if digits.isdigit() else True


def understood(client: Run, asked: Outcome | None, prompt: Outcome) -> dict[str, int | bool | None]:
    """What the client said of itself, else what its requests say; None where neither does."""
    text = asked.text if asked else ""
    found: dict[str, int | bool | None] = {}
    for fact in FACTS:
        pattern = client.tells.get(fact)
        match = re.search(pattern, text) if pattern else None
        # Of what a client can do, some list only what there is.
        absent = False if pattern and fact in ("tools", "images") else None
        found[fact] = _value(match[1]) if match else absent
    limits = {one.limit for one in prompt.recorder.asked if one.limit is not None}
    if limits:
        found["output"] = max(limits)
    if found["tools"] is None and any(one.tools for one in prompt.recorder.asked):
        found["tools"] = True
    return found


def misunderstood(client: Run, believes: dict[str, int | bool | None], true: dict[str, Any]) -> str:
    """Where a client believes something else than is true; what is said in thousands may be rounded."""
    found = []
    for fact in FACTS:
        said, is_so = believes[fact], true[fact]
        if said is None and fact in client.tells:
            found.append(f"{fact} was not said")
        if said is None or is_so is None:
            continue
        expected = is_so * client.share if fact == "window" else is_so
        if abs(said - expected) > (expected / 200 if fact == "window" else 0):
            found.append(f"{fact} {said} instead of {is_so}")
    return "; ".join(found)


# Client, what it believes, what is so, and requests by case.
Row = tuple[str, dict[str, Any], dict[str, Any], dict[str, int]]


def _shown(value: int | bool | None) -> str:
    return "-" if value is None else str(value) if not isinstance(value, bool) else "yes" if value else "no"


def table(rows: list[Row]) -> list[str]:
    """What each client understood beside the truth, and how many requests a prompt was; a table of Markdown."""
    lines = [
        "| client | context | window | output | tools | images | requests: prompt | tool call | prompt too long |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, believes, true, requests in rows:
        version = CLIENTS[name].package.version
        cells = [f"{_shown(believes[fact])} of {_shown(true[fact])}" for fact in FACTS]
        counts = [_shown(requests.get(case)) for case in ("prompt", "tool", "too long")]
        lines.append(f"| {name} {version} | {true['window'] // 1024}K | {' | '.join([*cells, *counts])} |")
    return lines


def shown(name: str, session: str, outcome: Outcome, wrong: str) -> None:
    """A line for one run, and what was said where that was wrong."""
    limits = {asked.limit for asked in outcome.recorder.asked if asked.limit is not None}
    print(
        f"{name:10} {session:8} {outcome.case:10} {len(outcome.recorder.asked):8} "
        f"{','.join(map(str, sorted(limits))) or '-':>10} {outcome.seconds:5.1f}  {wrong or 'ok'}",
        flush=True,
    )
    if wrong:
        tools = next((asked.tools for asked in outcome.recorder.asked if asked.tools), [])
        print(f"    tools: {', '.join(tools)[:300]}\n    {outcome.text[-1500:]}", flush=True)


def tried(
    name: str, session: str, told: dict[str, Any], engine: str, only: list[str], directory: Path
) -> tuple[int, Row | None]:
    """All of one client on one session: how much was wrong, and its row of the table."""
    client, failed = CLIENTS[name], 0
    outcomes: dict[str, Outcome] = {}
    for case, prompt in cases(client, told["max_model_len"], engine).items():
        if only and case.replace(" ", "-") not in only:
            continue
        place = directory / f"{name}-{session}-{case.replace(' ', '-')}"
        outcomes[case] = attempt(name, case, prompt, told, place, PATIENCE_S[engine])
        wrong = outcomes[case].wrong(client, engine)
        failed += bool(wrong)
        shown(name, session, outcomes[case], wrong)
    if "prompt" not in outcomes:
        return failed, None
    believes, true = understood(client, outcomes.get("asked"), outcomes["prompt"]), truth(name, told)
    wrong = misunderstood(client, believes, true)
    print(f"{name:10} {session:8} understood {wrong or 'ok'}", flush=True)
    requests = {case: len(outcome.recorder.asked) for case, outcome in outcomes.items()}
    return failed + bool(wrong), (name, believes, true, requests)


# What `launch` is tried with: the rest is a matter of the engine, or of what is printed.
LAUNCHED = ("prompt", "tool")


def try_launch(sandbox: RunningSandbox, engine: str, chosen: list[str], only: list[str], directory: Path) -> int:
    """Each agent by `launch`, on the session with the longest context; how much was wrong."""
    print(f"{'client':10} {'session':8} {'case':10} {'requests':>8} {'limit sent':>10} {'s':>5}  ", flush=True)
    failed, session = 0, list(CONTEXTS[engine])[-1]
    for name in (name for name in chosen if name in AGENTS):
        client, told = CLIENTS[name], printed(sandbox, session, name)
        for case, prompt in cases(client, told["max_model_len"], engine).items():
            if case not in LAUNCHED or (only and case not in only):
                continue
            place = directory / f"{name}-{session}-{case}"
            outcome = attempt(name, case, prompt, told, place, PATIENCE_S[engine], launch=sandbox)
            wrong = outcome.wrong(client, engine, launched=True)
            failed += bool(wrong)
            shown(name, session, outcome, wrong)
    return failed


def try_all(sandbox: RunningSandbox, engine: str, chosen: list[str], only: list[str], directory: Path) -> int:
    """Each client on each session, and the table; how much was wrong."""
    print(f"{'client':10} {'session':8} {'case':10} {'requests':>8} {'limit sent':>10} {'s':>5}  ", flush=True)
    failed, rows = 0, []
    for name in chosen:
        for session in CONTEXTS[engine]:
            wrong, row = tried(name, session, printed(sandbox, session, name), engine, only, directory)
            failed += wrong
            rows += [row] if row else []
    print("\nWhat each understood, of what is so:\n")
    print(*table(rows), sep="\n")
    return failed


def main() -> int:
    engine = os.environ.get("ENGINE") or "standin"
    chosen = os.environ.get("CLIENTS", "").split() or list(CLIENTS)
    # One for all, and not the sandbox's own.
    os.environ["LINODE_CODER_CACHE"] = str(cache_dir())
    for name in chosen:
        install(CLIENTS[name].package)
    with tempfile.TemporaryDirectory(prefix="linode-coder-clients-") as temporary:
        directory = Path(temporary)
        with start_sandbox(directory / "sandbox", hosts="simulated", engine=engine) as sandbox:
            for session, context in CONTEXTS[engine].items():
                up = [str(BIN / "linode-coder"), "up", session, "--context", str(context), "--alias", ALIAS, "--yes"]
                up += ["--model", VLLM_MODEL] if engine == "vllm" else []
                subprocess.run(up, env=sandbox.env, check=True, stdout=subprocess.DEVNULL)
            trying = try_launch if os.environ.get("LAUNCH") else try_all
            failed = trying(sandbox, engine, chosen, os.environ.get("CASES", "").split(), directory)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
