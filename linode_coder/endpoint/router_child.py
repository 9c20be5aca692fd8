"""Runs vllm-router with a key that stands in no argument and no environment: python -m linode_coder.endpoint.router_child FLAGS.

The key is the first line of standard input. The router ends with the process that started it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(flags: list[str]) -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    key = sys.stdin.readline().strip()
    # It may have gone before the lines above.
    if not key or os.getppid() == 1:
        sys.exit("What started this is gone.")
    from vllm_router.launch_router import launch_router, parse_router_args  # type: ignore[import-untyped]

    args = parse_router_args(flags)
    # What it sends to engines for requests of which it drops the client's headers.
    args.api_key = key
    launch_router(args)


if __name__ == "__main__":
    main(sys.argv[1:])
