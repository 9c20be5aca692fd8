# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""As much of a text from outside as a reader looks at: the newest part, in lines that end. Patterns see nothing longer."""

from __future__ import annotations

# Longer than any line that a reader knows how to read.
LINE = 4096


def newest(text: str, budget: int) -> str:
    """The last ``budget`` characters, from the beginning of a line on where there is one."""
    if len(text) <= budget:
        return text
    tail = text[-budget:]
    _cut, found, rest = tail.partition("\n")
    return rest if found else tail


def short_lines(text: str, longest: int = LINE) -> str:
    """The text with every line cut after ``longest`` characters."""
    if len(text) <= longest:
        return text
    return "\n".join(line if len(line) <= longest else line[:longest] for line in text.split("\n"))
