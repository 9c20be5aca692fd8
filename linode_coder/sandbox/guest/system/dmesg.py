"""dmesg of the sandbox: the same lines as the journal's, with the time since boot, or ISO times."""

from __future__ import annotations

import sys
import time

from ..faults import refuses
from .kernel_buffer import boot_time, lines


def main(arguments: list[str]) -> int:
    refusal = refuses("dmesg")
    if refusal is not None:
        print(refusal, file=sys.stderr)
        return 1
    start = boot_time()
    for when, text in lines():
        for part in text.splitlines():
            if "--time-format=iso" in arguments:
                stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(when))
                print(f"{stamp},{int(when % 1 * 1e6):06d}+00:00 {part}")
            else:
                print(f"[{when - start:12.6f}] {part}")
    return 0
