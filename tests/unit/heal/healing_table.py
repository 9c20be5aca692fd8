# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of docs/healing.md, from the catalogue. `python -m tests.unit.heal.healing_table` writes them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "collections/ansible_collections/linode_coder/gpu/docs/healing.md"


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines)


def tables() -> dict[str, str]:
    from ansible_collections.linode_coder.gpu.plugins.module_utils.heal.ladder import BUDGETS, EFFECTS
    from ansible_collections.linode_coder.gpu.plugins.module_utils.health.catalogue import CHECKS

    def confirmed(probes: int, seconds: int) -> str:
        return f"{probes} looks" + (f", {seconds} s" if seconds else "")

    budget = {rung: (rungs, allowed) for rungs, allowed in BUDGETS for rung in rungs}
    return {
        "findings": table(
            ["finding", "fails when", "seen", "rungs, in this order"],
            [
                [f"`{check.id}`", check.said(check.fails), confirmed(*check.confirm), ", ".join(check.ladder) or "none"]
                for check in CHECKS.values()
                if check.ladder
            ],
        ),
        "rungs": table(
            ["rung", "what it takes from you", "at most in 24 h"],
            [
                [
                    f"`{rung}`",
                    effect,
                    f"{budget[rung][1]}"
                    + (
                        ""
                        if len(budget[rung][0]) == 1
                        else f" together with {', '.join(r for r in budget[rung][0] if r != rung)}"
                    ),
                ]
                for rung, effect in EFFECTS.items()
            ],
        ),
    }


def with_tables(page: str) -> str:
    for name, text in tables().items():
        page = re.sub(
            rf"(<!-- {name} -->\n).*?(<!-- end -->)",
            lambda match, text=text: match[1] + text + "\n" + match[2],
            page,
            flags=re.DOTALL,
        )
    return page


if __name__ == "__main__":
    sys.path.append(str(ROOT))
    import tests.conftest  # noqa: F401 - makes the collection importable

    PAGE.write_text(with_tables(PAGE.read_text()))
