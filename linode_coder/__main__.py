"""Entry point: every error leaves as a sentence and an exit code."""

from __future__ import annotations

import sys


def main() -> None:
    # At every press of a key: nothing else is imported.
    if sys.argv[1:2] == ["__complete"]:
        from .completion.answer import main as complete

        sys.exit(complete(sys.argv[2:]))
    from .terminal.streams import outlive

    outlive()
    from .cli.app import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
