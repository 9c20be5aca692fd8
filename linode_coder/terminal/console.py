"""stdout is the result, stderr is progress and diagnostics. What they hold may come from anywhere: see `shown`."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from . import escapes
from .line import Line, Span, State
from .phase_lines import Row, lines
from .streams import control, paint, painted
from .table import Column, table
from .width import columns, ellipsis
from .wrap import hanging, wrap

SCHEMA = 1
HEARTBEAT_S = 8.0  # the promise is a line at least every ten seconds

# -q is -1, -v is 1 (API calls), -vv is 2 (Ansible's own output); set once, from the command line.
verbosity = 0


class Console:
    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.live = sys.stderr.isatty() and not as_json and os.environ.get("TERM") != "dumb"
        self.colour = self.live and not os.environ.get("NO_COLOR")
        self.started = time.monotonic()
        self._step = ""
        self._step_started = 0.0
        self._announced = False
        self._said = 0.0
        # Lines of a block that stand on the terminal and are drawn over; the cursor is at the end of the last one.
        self._drawn = 0
        # A long command says what phase it is in instead of each of its steps.
        self.by_phases = False

    # -- results ---------------------------------------------------------------------------------------------------

    def result(self, data: dict[str, Any]) -> None:
        """The one document of a reading command."""
        print(json.dumps({"schema": SCHEMA, **data}))

    def event(self, event: str, /, **data: Any) -> None:
        """One line of a long command's JSON."""
        if self.as_json:
            print(json.dumps({"schema": SCHEMA, "event": event, **data}), flush=True)

    def text(self, line: str = "", state: State | None = None) -> None:
        """One line of the result for people; the colour of ``state`` is that of what stands behind the line's label."""
        self.lines(laid_out(line, columns(sys.stdout), state))

    def lines(self, lines: Iterable[Line]) -> None:
        """Lines of the result that are laid out already."""
        for line in () if self.as_json or sys.stdout is None else lines:
            for span in line:
                paint(sys.stdout, escapes.one_line(span.text), span.state)
            print()

    def table(self, heads: Sequence[Column], rows: Sequence[Sequence[str | Span]], wide: bool | None = None) -> None:
        """A table as wide as the terminal; ``wide`` is whether all of it was asked for, None where that is no option."""
        made = table(heads, rows, None if wide else columns(sys.stdout))
        self.lines(made.lines)
        if made.dropped:
            self.text(f"{ellipsis()} and {', '.join(made.dropped)}: {'--json' if wide is None else '--wide'}")

    # -- progress --------------------------------------------------------------------------------------------------

    def trace(self, text: str, level: int) -> None:
        """Detail for who asked for it with -v or -vv."""
        if verbosity >= level:
            self._clear()
            print(text, file=sys.stderr, flush=True)
            self._said = time.monotonic()

    def note(self, line: str) -> None:
        if verbosity < 0:
            return
        self._clear()
        stamp = "" if self.live else time.strftime("%H:%M:%S ")
        self._err(stamp + escapes.full_line(line))
        self._said = time.monotonic()

    def step(self, name: str) -> None:
        """A new step begins; the one before is done."""
        self.step_done()
        self._step, self._step_started = name, time.monotonic()
        self._announced = False

    def _announce(self) -> None:
        if not self._announced:
            self._announced = True
            self.event("step_started", step=self._step, elapsed=round(self._step_started - self.started, 1))

    def step_skipped(self) -> None:
        """There was nothing to do: not worth a line."""
        self._step = ""

    def step_done(self, outcome: str = "ok") -> None:
        if not self._step:
            return
        took = time.monotonic() - self._step_started
        self._announce()
        self.event("step_finished", step=self._step, outcome=outcome, seconds=round(took, 1))
        if verbosity < 0 or (self.by_phases and verbosity < 1):
            pass
        elif self.live:
            self._clear()
            self._paint("✓" if outcome == "ok" else "x", "32" if outcome == "ok" else "31")
            self._err(f" {escapes.full_line(self._step)} ({took:.1f} s)", begun=1)
        else:
            self.note(f"{outcome:6} {self._step} ({took:.1f} s)")
        self._step = ""

    def tick(self, detail: str = "") -> None:
        """Call often while something is waited for."""
        if not self._step:
            return
        self._announce()
        if self.by_phases:
            return
        now = time.monotonic()
        took = f"{now - self._step_started:.0f} s"
        what = f"{self._step}: {detail}" if detail else self._step
        if self.live and verbosity >= 0:
            frame = "|/-\\"[int(now * 8) % 4]
            self._clear()
            # A line that wraps could not be drawn over.
            print(
                escapes.cut(escapes.one_line(f"{frame} {what} ({took})"), shutil.get_terminal_size().columns - 1),
                end="",
                file=sys.stderr,
                flush=True,
            )
        elif now - max(self._said, self._step_started) > HEARTBEAT_S:
            self._said = now
            self.event("waiting", step=self._step, detail=detail, seconds=round(now - self._step_started, 1))
            self.note(f"still: {what} ({took})")

    # -- phases ----------------------------------------------------------------------------------------------------

    def change(self, line: str) -> None:
        """A phase begins or is over: a line of its own where nothing is drawn in place."""
        if not self.live and not self.as_json:
            self.note(line)

    def still(self, what: str) -> None:
        """Call often while phases are waited for, where nothing is drawn in place."""
        now = time.monotonic()
        if what and now - max(self._said, self.started) > HEARTBEAT_S:
            self._said = now
            self.event("waiting", step=what, detail="", seconds=round(now - self.started, 1))
            self.note(f"still: {what}")

    def block(self, rows: Sequence[Row], total: str) -> None:
        """Draw the phases over what was drawn of them before."""
        if not self.live or verbosity < 0:
            return
        size = shutil.get_terminal_size()
        drawn = lines(rows, total, size.columns, size.lines, int(time.monotonic() * 8))
        up = f"\x1b[{self._drawn - 1}A" if self._drawn > 1 else ""
        # In one piece, so that there is no moment in which half of it is there.
        control(sys.stderr, f"\r{up}" + "\x1b[K\n".join(painted(sys.stderr, line) for line in drawn) + "\x1b[J")
        self._drawn = len(drawn)

    def end_block(self) -> None:
        """What was drawn last stays, and what follows begins below it."""
        if self._drawn:
            print(file=sys.stderr, flush=True)
        self._drawn = 0

    def _clear(self) -> None:
        """Where lines were drawn in place, what follows is written over them."""
        if self.live:
            up = f"\x1b[{self._drawn - 1}A" if self._drawn > 1 else ""
            control(sys.stderr, f"\r{up}\x1b[J" if self._drawn else "\r\x1b[2K")
            self._drawn = 0

    def _paint(self, text: str, code: str) -> None:
        """Our own word on stderr, in colour where that is wanted."""
        if self.colour:
            control(sys.stderr, f"\x1b[{code}m")
        print(text, end="", file=sys.stderr)
        if self.colour:
            control(sys.stderr, "\x1b[0m")

    # -- errors ----------------------------------------------------------------------------------------------------

    def failure(self, failure: Failure) -> None:
        self._clear()
        if self.as_json:
            print(json.dumps({"schema": SCHEMA, "event": "error", "error": failure.as_dict()}), flush=True)
        self._paint("error:", "31")
        self._err(f" {escapes.paragraph(failure.message)}", begun=len("error:"))
        if failure.cause:
            self._err(f"cause: {escapes.paragraph(failure.cause)}")
        for line in failure.billing:
            self._err(f"billing: {escapes.full_line(line)}")
        if failure.remedy:
            self._err(f"next: {escapes.paragraph(failure.remedy)}")
        self._err(f"docs: linode-coder explain {failure.anchor}, exit code {failure.exit_code}")

    @staticmethod
    def _err(text: str, begun: int = 0) -> None:
        """Lines on stderr, the first of which has ``begun`` columns already; what does not fit goes on indented."""
        room = columns(sys.stderr)
        for number, line in enumerate(text.split("\n")):
            lead = "x" * (begun if number == 0 else 0)
            first, *more = wrap(lead + line, room, 2)
            print(first[len(lead) :], *more, sep="\n", file=sys.stderr, flush=True)


def laid_out(line: str, room: int | None, state: State | None = None, label: int | None = None) -> list[Line]:
    """A line as `Console.text` shows it. ``label``: as many columns before the text, where that is not to be seen by itself."""
    shown = escapes.full_line(line)
    if label is None:
        label = hanging(shown)
        label = label if shown[:label].endswith("  ") else 0
    first, *more = wrap(shown, room, label or None)
    return [(Span(first[:label]), Span(first[label:], state)), *((Span(part, state),) for part in more)]


def money(amount: float | None) -> str:
    return "unknown" if amount is None else f"${amount:.2f}"
