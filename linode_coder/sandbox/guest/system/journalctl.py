"""journalctl of the sandbox: the kernel's lines, as text and as JSON with cursors."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from ..faults import refuses
from .kernel_buffer import BOOT_ID, boot_time, lines

_VALUED = (
    "-o",
    "--output",
    "-n",
    "--lines",
    "-u",
    "--unit",
    "-b",
    "--boot",
    "--since",
    "-S",
    "--after-cursor",
    "-c",
    "--cursor",
)


def options(arguments: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    words = list(arguments)
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if equals:
            found[name] = value
        elif word in _VALUED and words and not words[0].startswith("-"):
            found[word] = words.pop(0)
        else:
            found[word] = ""
    return found


def main(arguments: list[str]) -> int:
    refusal = refuses("journalctl")
    if refusal is not None:
        print(refusal, file=sys.stderr)
        return 1
    asked = options(arguments)
    kernel = "-k" in asked or "--dmesg" in asked
    boot = BOOT_ID.read_text().strip().replace("-", "")
    start = boot_time()
    shown = [(f"s={boot};i={number:x}", *line) for number, line in enumerate(lines(), 1)] if kernel else []
    after = asked.get("--after-cursor")
    if after is not None:
        cursors = [cursor for cursor, _when, _text in shown]
        if after not in cursors:
            print(f"Failed to seek to cursor: {after}", file=sys.stderr)
            return 1
        shown = shown[cursors.index(after) + 1 :]
    limit = asked.get("-n", asked.get("--lines", ""))
    if limit.isdigit():
        shown = shown[-int(limit) :]
    if asked.get("-o", asked.get("--output")) == "json":
        for cursor, when, text in shown:
            entry = {
                "__CURSOR": cursor,
                "__REALTIME_TIMESTAMP": str(int(when * 1e6)),
                "__MONOTONIC_TIMESTAMP": str(int((when - start) * 1e6)),
                "_BOOT_ID": boot,
                "_TRANSPORT": "kernel",
                "PRIORITY": "3" if "NVRM: Xid" in text else "6",
                "SYSLOG_IDENTIFIER": "kernel",
                "MESSAGE": text,
            }
            print(json.dumps(entry))
        return 0
    if not shown:
        print("-- No entries --")
    host = Path("/proc/sys/kernel/hostname").read_text().strip()
    for _cursor, when, text in shown:
        print(f"{time.strftime('%b %d %H:%M:%S', time.gmtime(when))} {host} kernel: {text}")
    return 0
