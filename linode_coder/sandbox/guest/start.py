"""`start.py gpu.nvidia_smi ARGUMENTS...` runs one of the programs in this package: its `main`, which takes the arguments and
returns the exit code. The package keeps its whole name in a host, so that an import means the same there and in a checkout.
"""

from __future__ import annotations

import sys

_PACKAGE = "linode_coder.sandbox.guest"


def command(program: str) -> list[str]:
    """What runs a program with this interpreter and nothing but the standard library."""
    return [sys.executable, "-I", "-S", __file__, program]


if __name__ == "__main__":
    from importlib import import_module

    # Last: nothing that lies beside the package hides what this interpreter has.
    sys.path.append(__file__.removesuffix(f"/{_PACKAGE.replace('.', '/')}/start.py"))
    sys.exit(import_module(f"{_PACKAGE}.{sys.argv[1]}").main(sys.argv[2:]))
