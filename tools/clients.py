# SPDX-License-Identifier: GPL-3.0-or-later
"""`make test-clients`: real clients of the versions in client_list.py, each with what `use --print` prints, against sessions of the
sandbox with 16K and 128K of context.

What is printed is taken as it is, but for the port: a recorder stands before the tunnel. Each client has a home and a project of its
own and reaches nothing beyond this machine. CLIENTS='claude codex' chooses some.
"""

from __future__ import annotations

import json
import os
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

from tests.sandbox_fixture import RunningSandbox, start_sandbox  # noqa: E402
from tools.client_list import CLIENTS, SILENCE, Package, Run  # noqa: E402
from tools.recorder import Recorder, recording  # noqa: E402

BIN = Path(sys.executable).parent
CONTEXTS = {"small": 16384, "large": 131072}
# Of the stand-in's answer; clients may break its lines.
WORDS = "This is the linode_coder sandbox, not a model"
HELLO = "say hello"
# A prompt is one request, or two where a client also asks for a title; it may try again what failed.
MOST, MOST_TRIES = 3, 15
PATIENCE_S = 180


@dataclass
class Outcome:
    case: str
    ended: bool
    seconds: float
    text: str
    recorder: Recorder
    changed: set[str]

    def wrong(self, client: Run, context: int) -> str:
        """What is not as it should be; empty when all is."""
        statuses = {asked.status for asked in self.recorder.asked}
        answered = WORDS in " ".join(self.text.split())
        found = [] if self.ended else ["it did not end"]
        if self.case == "window" and f"/ {context / 1000:.1f}k" not in self.text:
            found.append(f"it does not say {context / 1000:.1f}k")
        if self.case in ("prompt", "tool"):
            found += [] if answered else ["no answer was shown"]
            found += [] if statuses <= {200} else [f"statuses {sorted(statuses)}"]
            most = MOST if self.case == "prompt" else 2 * MOST
        else:
            # Its own counting of tokens, tool by tool, is none of these.
            most = 100 if self.case == "window" else MOST_TRIES
        if self.case == "wrong key":
            found += [] if statuses <= {401} else [f"statuses {sorted(statuses)} instead of 401"]
            found += ["it was answered"] if answered else []
        if self.case == "too long":
            # It is refused, or the client refuses it or makes it shorter itself.
            found += [] if statuses <= {200, 400} else [f"statuses {sorted(statuses)}"]
        if len(self.recorder.asked) > most:
            found.append(f"{len(self.recorder.asked)} requests")
        wanted = {"made.txt"} if self.case == "tool" else set()
        others = {name for name in self.changed if not name.startswith(client.own or "\0")}
        if others != wanted:
            found.append(f"it changed {sorted(others) or 'nothing'}")
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
    command = [str(BIN / "linode-coder"), "use", session, "--print", client, "--json"]
    done = subprocess.run(command, env=sandbox.env, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def attempt(name: str, case: str, prompt: str, told: dict[str, Any], directory: Path) -> Outcome:
    """One run of a client in a new home and a new project."""
    client = CLIENTS[name]
    programs = install(client.package)
    home, project = directory / "home", directory / "project"
    project.mkdir(parents=True)
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
        # As the notes say, which a person would follow.
        exports = [note.partition("environment: ")[2] for note in notes if "environment: export " in note]
        if client.file:
            (home / client.file).parent.mkdir(parents=True)
            (home / client.file).write_text(text)
            script = "\n".join([*exports, client.command])
            if name == "continue":
                (home / ".continue/.env").write_text(f"VLLM_API_KEY={key.read_text().strip()}\n")
        elif name == "aider":
            script = f"{client.command}\n{text}"
        else:
            # The first paragraph is for a shell.
            script = f"{text.partition(chr(10) * 2)[0]}\n{client.command}"
        env = {
            **SILENCE,
            "HOME": str(home),
            "PATH": f"{programs}:{os.environ['PATH']}",
            "TERM": "xterm",
            "PROMPT": prompt,
            "GIT_CONFIG_COUNT": "0",
            "ANTHROPIC_API_KEY": "of-somebody-else",
        }
        home.mkdir(exist_ok=True)
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
                said, _ = process.communicate(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                ended = False
                os.killpg(process.pid, 9)
                said, _ = process.communicate()
        seconds = time.monotonic() - began
        end_all_of(home)
    changed = {path.name for path in project.iterdir()} - {"README.md", ".git"}
    if (project / "README.md").read_text() != "# A project\n":
        changed.add("README.md")
    return Outcome(case, ended, seconds, said, recorder, changed)


def end_all_of(home: Path) -> None:
    """What a client has left running: some start a server of their own."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("HOME") == str(home):
                process.kill()


def cases(client: Run, context: int) -> dict[str, str]:
    """Prompts, by what is tried with them; none where the client has no room."""
    if context < client.least:
        return {}
    found = {"prompt": HELLO}
    if client.tool:
        found["tool"] = f"Call the tool {client.tool} with {client.arguments}"
    if client.window:
        found["window"] = client.window
    if context == min(length for length in CONTEXTS.values() if length >= client.least):
        found |= {"cut": HELLO, "wrong key": HELLO}
    if context == CONTEXTS["small"]:
        # More than fits, and less than a program can be given as an argument.
        found["too long"] = "a b c " * 20000
    return found


def main() -> int:
    chosen = os.environ.get("CLIENTS", "").split() or list(CLIENTS)
    for name in chosen:
        install(CLIENTS[name].package)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="linode-coder-clients-") as temporary:
        directory = Path(temporary)
        with start_sandbox(directory / "sandbox", hosts="simulated") as sandbox:
            for session, context in CONTEXTS.items():
                up = [str(BIN / "linode-coder"), "up", session, "--context", str(context), "--yes"]
                subprocess.run(up, env=sandbox.env, check=True, stdout=subprocess.DEVNULL)
            print(f"{'client':10} {'session':8} {'case':10} {'requests':>8} {'limit sent':>10} {'s':>5}  ", flush=True)
            for name in chosen:
                for session, context in CONTEXTS.items():
                    told = printed(sandbox, session, name)
                    for case, prompt in cases(CLIENTS[name], context).items():
                        place = directory / f"{name}-{session}-{case.replace(' ', '-')}"
                        outcome = attempt(name, case, prompt, told, place)
                        wrong = outcome.wrong(CLIENTS[name], context)
                        failed += bool(wrong)
                        limits = {asked.limit for asked in outcome.recorder.asked if asked.limit is not None}
                        print(
                            f"{name:10} {session:8} {case:10} {len(outcome.recorder.asked):8} "
                            f"{','.join(map(str, sorted(limits))) or '-':>10} {outcome.seconds:5.1f}  {wrong or 'ok'}",
                            flush=True,
                        )
                        if wrong:
                            tools = next((asked.tools for asked in outcome.recorder.asked if asked.tools), [])
                            print(f"    tools: {', '.join(tools)[:300]}\n    {outcome.text[-1500:]}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
