"""Lines as vLLM writes them, and what its processes call themselves."""

from __future__ import annotations

import ctypes
import os
import time

_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15


class Speaker:
    """The process that writes: `(EngineCore pid=41) INFO 11-23 21:02:25 [core.py:133] ...`."""

    name = "APIServer"


def say(text: str, *, error: bool = False) -> None:
    """One write for each text, so that lines of several processes do not mix."""
    os.write(2 if error else 1, (text + "\n").encode())


def log(level: str, source: str, text: str) -> None:
    """Every line of the text gets the prefix, as vLLM does it."""
    head = f"({Speaker.name} pid={os.getpid()}) {level} {time.strftime('%m-%d %H:%M:%S')} [{source}] "
    say("\n".join(head + line for line in text.split("\n")))


def traceback_text(where: str, error: str) -> str:
    """A short traceback that ends as the real one does."""
    return f'Traceback (most recent call last):\n  File "{where}", in the sandbox\'s stand-in\n{error}'


def become(name: str, title: str) -> None:
    """Log as `name`, and be found by the title that vLLM gives its processes (`pgrep -f VLLM::EngineCore`)."""
    Speaker.name = name
    ctypes.CDLL(None).prctl(_PR_SET_NAME, title.encode()[:15], 0, 0, 0)
    with open("/proc/self/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    first, last = int(fields[45]), int(fields[46])  # where the command line lies in memory
    ctypes.memmove(first, title.encode()[: last - first - 1].ljust(last - first, b"\0"), last - first)


def die_with_parent(signal_number: int) -> None:
    """A stopped process too: only the kernel can end it when its parent is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
