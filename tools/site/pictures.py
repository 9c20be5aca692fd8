# SPDX-License-Identifier: GPL-3.0-or-later
"""`make pictures`: the pictures of README.md and of the site, of real commands in the sandbox, as a terminal shows them.

tmux is the terminal. A command is typed into a shell and its screen is read until the prompt comes back: nothing is drawn by hand,
and only pauses are shortened.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tools.site.look import BROWSERS
from tools.site.source import PICTURES, ROOT
from tools.site.svg import film, still

BIN = Path(sys.executable).parent
COLUMNS, ROWS = 100, 30
PROMPT = "$ "
# Of a film: a frame stays for at most so long, the last one longer, and there are at most so many.
_PAUSE_S, _LAST_S, _FRAMES = 0.7, 6.0, 140
_LIMIT_S = 400.0
_WATCHED_S = 40.0
# What changes while nothing happens: counters and the sign that turns.
_TURNING = re.compile(r"\d+(\.\d+)?|[|/\\⠁-⣿◐-◓-]")


class Terminal:
    """A shell in a terminal of its own, without the settings and secrets of whoever makes the pictures.

    The shell notes the exit code of each command in a file before it shows the prompt again: so the end of one is known, whatever
    the screen says.
    """

    def __init__(self, environment: dict[str, str], rows: int = ROWS, columns: int = COLUMNS) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="linode-coder-terminal-")
        self._ends = Path(self._folder.name) / "ends"
        self._socket = Path(self._folder.name).name
        self._before = 0
        kept = {name: os.environ[name] for name in ("HOME", "LINODE_CODER_CACHE") if name in os.environ}
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        told = {"PS1": PROMPT, "PROMPT_COMMAND": f"echo $? >> {shlex.quote(str(self._ends))}"}
        self._environment = {**kept, **told, "PATH": path, "LANG": "C.UTF-8", "USER": "dev", **environment}
        self._size = ("-x", str(columns), "-y", str(rows))

    def __enter__(self) -> Self:
        given = [f"{name}={value}" for name, value in self._environment.items()]
        shell = shlex.join(["env", "-i", "TERM=tmux-256color", *given, "bash", "--norc", "--noprofile"])
        self._tmux("-f", "/dev/null", "-u", "new-session", "-d", *self._size, "-c", str(ROOT), shell)
        self._tmux("set", "-g", "status", "off")
        self.wait()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._tmux("kill-server")
        self._folder.cleanup()

    def _tmux(self, *arguments: str) -> str:
        # Not inside of ours, where there is one, and not as a part of this make.
        mine = {name: value for name, value in os.environ.items() if name not in ("TMUX", "MAKEFLAGS", "MAKELEVEL")}
        command = ["tmux", "-L", self._socket, *arguments]
        return subprocess.run(command, env=mine, capture_output=True, text=True, check=True).stdout

    def screen(self) -> list[str]:
        return self._tmux("capture-pane", "-e", "-p").split("\n")

    def said(self) -> str:
        return self._tmux("capture-pane", "-p").rstrip()

    def _codes(self) -> list[str]:
        return self._ends.read_text().split() if self._ends.exists() else []

    def type(self, line: str) -> None:
        self._before = len(self._codes())
        self._tmux("send-keys", "-l", line)
        self._tmux("send-keys", "Enter")

    def press(self, key: str) -> None:
        self._tmux("send-keys", key)

    def wait(self, until: Callable[[], bool] | None = None, look: Callable[[], None] | None = None) -> None:
        """For the prompt, or for something else. SystemExit with the screen when it does not come to that."""
        end = time.monotonic() + _LIMIT_S
        while not (until() if until else len(self._codes()) > self._before):
            if time.monotonic() > end:
                raise SystemExit(f"the terminal was waited for in vain:\n{self.said()}")
            if look:
                look()
            time.sleep(0.1)
        time.sleep(0.3)  # until the prompt is drawn

    def run(self, line: str, look: Callable[[], None] | None = None) -> list[str]:
        """The screen after a command, which has to succeed."""
        self.type(line)
        self.wait(look=look)
        return self.ended(line)

    def ended(self, line: str) -> list[str]:
        code = self._codes()[-1]
        if code != "0":
            raise SystemExit(f"{line} ended with exit code {code}:\n{self.said()}")
        screen = self.screen()
        while screen and screen[-1].strip() in ("", PROMPT.strip()):
            screen.pop()
        return screen


def recorded(terminal: Terminal, line: str) -> list[tuple[float, list[str]]]:
    """A command from its first letter to the prompt, as frames with the seconds for which each stays."""
    frames: list[tuple[float, list[str]]] = []

    def look() -> None:
        frames.append((time.monotonic(), terminal.screen()))

    look()
    terminal.run(line, look)
    look()
    return _cut(frames)


def _cut(frames: Sequence[tuple[float, list[str]]]) -> list[tuple[float, list[str]]]:
    """Without frames in which only something turned, and with short pauses."""
    kept: list[tuple[float, list[str]]] = []
    before = ""
    for when, screen in frames:
        sign = _TURNING.sub("", "\n".join(screen))
        if sign != before:
            kept.append((when, screen))
        before = sign
    last = frames[-1]
    step = len(kept) / _FRAMES
    if step > 1:
        kept = [kept[int(place * step)] for place in range(_FRAMES)]
    kept = [*(each for each in kept if each[1] != last[1]), last]
    ends = [*(when for when, _screen in kept[1:]), last[0] + _LAST_S]
    lasting = [min(end - when, _PAUSE_S) for (when, _screen), end in zip(kept, ends, strict=True)]
    return [
        (max(seconds, 0.05), screen) for seconds, (_when, screen) in zip([*lasting[:-1], _LAST_S], kept, strict=True)
    ]


def _write(name: str, picture: str) -> None:
    PICTURES.mkdir(exist_ok=True)
    (PICTURES / f"{name}.svg").write_text(picture)
    size = len(picture.encode())
    print(f"{name}.svg: {size / 1000:.0f} kB", flush=True)
    if size > 150_000:
        raise SystemExit(f"{name}.svg is larger than 150 kB: nobody waits for a README's picture")


def demo() -> None:
    with Terminal({}) as terminal:
        frames = recorded(terminal, "make demo")
    if not any("nothing is left running" in line for line in frames[-1][1]):
        raise SystemExit("make demo did not come to its end:\n" + "\n".join(frames[-1][1]))
    _write("demo", film("make demo, recorded in the sandbox", frames, COLUMNS, ROWS))


def screens() -> None:
    home = tempfile.TemporaryDirectory(prefix="linode-coder-pictures-")
    with home, Terminal({"LINODE_CODER_HOME": home.name}, rows=44) as terminal:
        terminal.run("linode-coder sandbox start")
        try:
            terminal.run('eval "$(linode-coder sandbox env)"; clear')
            _screens(terminal, home.name)
        finally:
            terminal.press("C-c")
            terminal.run("linode-coder sandbox stop")


def _screens(terminal: Terminal, home: str) -> None:
    line = "linode-coder up demo --lease 2h"
    terminal.type(line)
    terminal.wait(lambda: "[y/N]" in terminal.said())
    terminal.press("y")
    terminal.press("Enter")
    terminal.wait()
    _write("up", still(line, terminal.ended(line), COLUMNS))
    # Somebody uses it, so that there is something to see.
    asks = "linode-coder ask 'Write a function that reverses a string.' > /dev/null"
    terminal.run(f"{asks}; clear")
    line = "linode-coder list"
    _write("list", still(line, terminal.run(line), COLUMNS))
    terminal.run(f"set +m; (for _ in $(seq 90); do {asks}; sleep 0.1; done) 2> /dev/null & clear")
    line = "linode-coder status demo --watch --every 2"
    terminal.type(line)
    terminal.wait(lambda: "demo" in terminal.said() and line not in terminal.said())
    # The lines of time need some to be lines; of what then comes the busiest moment says most.
    best: list[str] = []
    end = time.monotonic() + _WATCHED_S + 20
    while time.monotonic() < end:
        time.sleep(0.5)
        screen = terminal.screen()
        if time.monotonic() > end - 20 and _speed(screen) >= _speed(best):
            best = screen
    terminal.press("C-c")
    terminal.wait()
    _write("status", still(line, best, COLUMNS))
    terminal.run("kill $! 2> /dev/null; clear")
    page = Path(home) / "performance.html"
    terminal.run(f"linode-coder validate-perf demo --report {page} > /dev/null; clear")
    _photograph(page, PICTURES / "performance.png")
    terminal.run("linode-coder down demo --yes")


def _photograph(page: Path, picture: Path) -> None:
    """The first screen of a report, in light."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit("The picture of a report needs Chromium: apt install chromium-headless-shell")
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1000,1130")
    subprocess.run([browser, *options, f"--screenshot={picture}", page.as_uri()], check=True, capture_output=True)
    print(f"{picture.name}: {picture.stat().st_size / 1000:.0f} kB", flush=True)


def _speed(screen: list[str]) -> float:
    found = re.search(r"([\d.]+) (?:tokens/s|tok/s)", "\n".join(screen))
    return float(found[1]) if found else 0.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("which", nargs="*", metavar="demo|screens", help="both otherwise")
    made = {"demo": demo, "screens": screens}
    for name in parser.parse_args().which or made:
        made[name]()


if __name__ == "__main__":
    main()
