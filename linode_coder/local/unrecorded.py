"""What could not be written on this machine: said in one sentence, and no reason to stop."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.paths import state_dir

_noted: set[str] = set()


def note_once(text: str) -> None:
    if text not in _noted:
        _noted.add(text)
        print(f"note: {text}", file=sys.stderr)


def note_unwritable(why: str) -> None:
    """One sentence for all that belongs there."""
    if "home" not in _noted:
        _noted.add("home")
        note_once(
            f"{state_dir()} cannot be written ({why}): not all that this command does is recorded on this machine."
        )


@contextmanager
def recorded() -> Iterator[None]:
    """Around what is written for later only: where it cannot be, the work goes on."""
    try:
        yield
    except OSError as error:
        note_unwritable(error.strerror or type(error).__name__)
