# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of docs/healing.md, from the checks and the rungs: python -m tools.healing_page"""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.rungs import RUNGS, Cooldown, Rung, sharing
from ansible_collections.linode_coder.gpu.plugins.module_utils.health.catalogue import CHECKS

PAGE = Path(__file__).parents[1] / "collections/ansible_collections/linode_coder/gpu/docs/healing.md"

_SINCE = {
    "started": "the container was started",
    "taken": "it was taken",
    "booted": "the VM booted",
    "created": "the VM was created",
}


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in lines)


def tables() -> dict[str, str]:

    def confirmed(probes: int, seconds: int) -> str:
        return f"{probes} looks" + (f", {seconds} s" if seconds else "")

    def often(rung: Rung) -> str:
        others = [name for name in sharing(rung.budget) if name != rung.id]
        return f"{rung.budget.allowed}" + (f" together with {', '.join(others)}" if others else "")

    def waits(cooldown: Cooldown) -> str:
        return f"{cooldown.seconds // 60} min since {_SINCE[cooldown.since]}"

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
            ["rung", "what it does", "what it takes from you", "from `--max-rung`", "asks", "waits", "at most in 24 h"],
            [
                [
                    f"`{rung.id}`",
                    rung.does,
                    rung.takes,
                    rung.cap,
                    "yes" if rung.asks else "no",
                    waits(rung.cooldown),
                    often(rung),
                ]
                for rung in RUNGS
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
    PAGE.write_text(with_tables(PAGE.read_text()))
