"""Questions to the person at the terminal, asked on stderr."""

from __future__ import annotations

import select
import sys

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure

from . import escapes
from .width import columns
from .wrap import wrap

_CHECK_SIGNALS_S = 0.5


def can_ask() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def typed_line() -> str:
    """What the person typed, with its line end; empty at the end of input. For a terminal only.

    A Ctrl-C that comes just before a read blocks would wait for the next key: it is heard while nothing is there to be read.
    """
    while not select.select([sys.stdin], [], [], _CHECK_SIGNALS_S)[0]:
        pass
    return sys.stdin.readline()


def confirm(question: str, command: str) -> None:
    """Return on yes. Failure(usage) without a terminal, Failure(refused) on anything else."""
    if not can_ask():
        raise Failure(
            "usage",
            f"There is no terminal to ask on: {question}",
            remedy=f"Say yes beforehand: {command} --yes",
            field="yes",
        )
    asked = wrap(f"{escapes.full_line(question)} [y/N]", columns(sys.stderr), 2)
    print(*asked, sep="\n", end=" ", file=sys.stderr, flush=True)
    if typed_line().strip().lower() not in ("y", "yes"):
        raise Failure(
            "refused", "Not confirmed, so nothing was changed.", remedy=f"Answer y, or give --yes: {command} --yes"
        )
