# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take secrets out of texts that leave a host: known ones by value, others by their shape or by their name."""

from __future__ import annotations

import re
from typing import Any

HIDDEN = "***"
_NAMES = r"TOKEN(?!S)|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIALS?|AUTHORIZATION"
# Each begins where a word does and goes over it once, so that no text makes them begin again and again.
_RULES = (
    # Environments of docker inspect, env files, JSON and Python dictionaries; flags and headers.
    (
        re.compile(rf"(?i)((?<![A-Z0-9_])(?=[A-Z0-9_]*(?:{_NAMES}))[A-Z0-9_]+=)(?!\*\*\*)[^\s\"'\\,]+"),
        rf"\1{HIDDEN}",
    ),
    (
        re.compile(
            r"(?i)([\"'](?:api[_-]?key|hf[_-]?token|token|password|secret|authorization)[\"']\s*:\s*)([\"'])(?:(?!\2).)+\2"
        ),
        rf"\1\2{HIDDEN}\2",
    ),
    (re.compile(r"(--(?:api-key|hf-token|token|password)(?:[\"',\s=]+))(?!\*\*\*)[^\s\"',\]]+"), rf"\1{HIDDEN}"),
    (
        re.compile(
            r"(?i)(authorization[\"']?\s*[:=]\s*(?:[\"']\s*)?)(?:(?:bearer|basic|token)\s+)?(?!\*\*\*)[^\s\"',]+"
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]{8,}"), rf"\1{HIDDEN}"),
    (re.compile(r"\bhf_[A-Za-z0-9]{16,}"), HIDDEN),
    (re.compile(r"\bsk-[A-Za-z0-9_-]{16,}"), HIDDEN),
    (re.compile(r"\bgh[opsur]_[A-Za-z0-9]{20,}"), HIDDEN),
    # The provider's tokens are 64 hexadecimal digits; so are digests, which say what they are.
    (re.compile(r"(?<![0-9a-f:])[0-9a-f]{64}(?![0-9a-f])"), HIDDEN),
    (re.compile(r"(https?://)[^\s/@:]+:[^\s/@]+@"), rf"\1{HIDDEN}@"),
)
_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----")
_KEY_ENDS = re.compile(r"-----END [A-Z ]{0,30}PRIVATE KEY-----")
# What is left of a key whose end is cut off; its lines may be written as they are or escaped.
_KEY_REST = re.compile(r"[A-Za-z0-9+/=\s\\]*")


def _without_keys(text: str) -> str:
    kept, place = [], 0
    ends = True
    while begins := _KEY_BEGINS.search(text, place):
        end = _KEY_ENDS.search(text, begins.end()) if ends else None
        ends = end is not None
        rest = end or _KEY_REST.match(text, begins.end())
        kept += [text[place : begins.start()], HIDDEN]
        place = rest.end() if rest else begins.end()
    return "".join([*kept, text[place:]])


def scrub(text: str, known: tuple[str, ...] = ()) -> str:
    """The same text without secrets.

    :param known: secrets by value, e.g. the engine's API key.
    """
    for secret in known:
        if len(secret) >= 6:
            text = text.replace(secret, HIDDEN)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return _without_keys(text)


def scrub_data(data: Any, known: tuple[str, ...] = ()) -> Any:
    """The same plain data without secrets in its texts: what is in one text never reaches into the next."""
    if isinstance(data, str):
        return scrub(data, known)
    if isinstance(data, dict):
        return {scrub_data(key, known): scrub_data(value, known) for key, value in data.items()}
    return [scrub_data(value, known) for value in data] if isinstance(data, (list, tuple)) else data
