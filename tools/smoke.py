# SPDX-License-Identifier: GPL-3.0-or-later
"""``smoke.py BIN [report]``: the main job with the `linode-coder` and the `ansible-playbook` of an environment, in its own sandbox.

BIN is the directory of the environment's programs; ``report`` says that they have the extra of that name, and one is written.
It starts in an empty directory, with an empty home, and uses the standard library only: what it needs beyond that, the
product has to have brought along.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any


class Smoke:
    def __init__(self, programs: Path, home: Path) -> None:
        self.programs = programs
        self.home = home
        kept = ("LANG", "LC_ALL", "SSL_CERT_FILE", "PYTHONPATH")
        self.environment = {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "HOME": str(home),
            "PATH": f"{programs}{os.pathsep}/usr/bin:/bin:/usr/sbin:/sbin",
        }

    def run(self, *command: str, code: int = 0) -> str:
        done = subprocess.run(
            [str(self.programs / command[0]), *command[1:]],
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=600,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode != code or "Traceback" in done.stderr:
            raise SystemExit(f"{' '.join(command)}: {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def coder(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """The last line of what a command says in JSON."""
        return dict(json.loads(self.run("linode-coder", *arguments, "--json", code=code).splitlines()[-1]))

    def answered(self) -> str:
        """What the model says, by the address and the key that `use` names."""
        said = self.coder("use", "smoke")
        key = Path(said["api_key_file"]).read_text().strip()
        body = {"model": "coder", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8}
        request = urllib.request.Request(
            f"{said['endpoint']}/chat/completions",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return str(json.load(answer)["choices"][0]["message"]["content"])

    def names(self) -> list[str]:
        return [row["name"] for row in self.coder("list")["sessions"]]

    def session(self, *, report: bool) -> None:
        """With the commands, and what they started with the playbooks of the installed collection."""
        self.coder("up", "smoke", "--yes")
        expect("the answer of the model", bool(self.answered()))
        expect("the sessions of the list", self.names() == ["smoke"])
        expect("what there is to heal", not self.coder("heal", "smoke", "--dry-run").get("step"))
        expect("what the watcher deletes", self.coder("watchdog", "--once")["deleted"] == [])
        for name, result in (
            ("list", "\nsmoke  running  "),
            ("status", "label: lc-smoke-1"),
            ("check", "(lc-smoke-1): pass"),
        ):
            said = self.run("ansible-playbook", f"linode_coder.gpu.{name}", "-e", "session=smoke")
            expect(f"what the playbook {name} prints", result in said)
        self.run("ansible-playbook", "linode_coder.gpu.watchdog")
        if report:
            self.coder("cost", "--report", "cost.html")
            expect("the pictures of the report", "<svg" in (self.home / "cost.html").read_text())
        self.coder("down", "smoke", "--yes")
        expect("the sessions after its end", self.names() == [])


def expect(what: str, right: bool) -> None:
    if not right:
        raise SystemExit(f"{what}: not as it has to be")


def main() -> None:
    programs = Path(sys.argv[1]).absolute()
    # Short: sockets lie in it.
    with tempfile.TemporaryDirectory(prefix="lc-smoke-") as directory:
        smoke = Smoke(programs, Path(directory))
        smoke.coder("sandbox", "start")
        try:
            smoke.environment.update(smoke.coder("sandbox", "env")["env"])
            smoke.session(report="report" in sys.argv[2:])
        finally:
            smoke.coder("sandbox", "stop")
    print("smoke: everything is as it has to be")


if __name__ == "__main__":
    main()
