# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A text as it may be shown on a terminal: what would steer it, hide or turn its letters around is the escape it is."""

from __future__ import annotations

import re

# Everything of Unicode that a terminal obeys or that takes no place: C0 but line break and tab, DEL, C1, soft hyphen, joiners,
# bidirectional marks, line separators, lone surrogates, fillers, variation selectors and tags.
_UNSEEN = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5"
    r"\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"
    r"\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_BREAKS = str.maketrans({"\n": r"\n", "\t": r"\t"})


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def visible(text: str) -> str:
    """The text with every character that would not be seen as an escape; line breaks and tabs stay."""
    return text if text.isprintable() and text.isascii() else _UNSEEN.sub(_escape, text)


def one_line(text: str) -> str:
    """The same, and line breaks and tabs as escapes, too."""
    return visible(text).translate(_BREAKS)
