"""Entry point: every error leaves as a sentence and an exit code."""

from __future__ import annotations

import sys


def main() -> None:
    from .terminal.streams import outlive

    outlive()
    from .cli.app import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
