# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take secrets out of texts that leave a host: known ones by value, others by their shape or by their name."""

from __future__ import annotations

import re

HIDDEN = "***"
_NAMES = r"[A-Z0-9_]*(?:TOKEN(?!S)|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|CREDENTIALS?|AUTHORIZATION)[A-Z0-9_]*"
_RULES = (
    # Environments of docker inspect, env files, JSON and Python dictionaries; flags and headers.
    (re.compile(rf"(?i)(\b{_NAMES}=)(?!\*\*\*)[^\s\"'\\,]+"), rf"\1{HIDDEN}"),
    (
        re.compile(
            r"(?i)([\"'](?:api[_-]?key|hf[_-]?token|token|password|secret|authorization)[\"']\s*:\s*)([\"'])(?:(?!\2).)+\2"
        ),
        rf"\1\2{HIDDEN}\2",
    ),
    (re.compile(r"(--(?:api-key|hf-token|token|password)(?:[\"',\s=]+))(?!\*\*\*)[^\s\"',\]]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)(authorization[\"']?\s*[:=]\s*[\"']?)(?:bearer|basic|token)?\s*[^\s\"',]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]{8,}"), rf"\1{HIDDEN}"),
    (re.compile(r"\bhf_[A-Za-z0-9]{16,}"), HIDDEN),
    (re.compile(r"\bsk-[A-Za-z0-9_-]{16,}"), HIDDEN),
    (re.compile(r"\bgh[opsur]_[A-Za-z0-9]{20,}"), HIDDEN),
    # The provider's tokens are 64 hexadecimal digits; so are digests, which say what they are.
    (re.compile(r"(?<![0-9a-f:])[0-9a-f]{64}(?![0-9a-f])"), HIDDEN),
    (re.compile(r"(https?://)[^\s/@:]+:[^\s/@]+@"), rf"\1{HIDDEN}@"),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL), HIDDEN),
)


def scrub(text: str, known: tuple[str, ...] = ()) -> str:
    """The same text without secrets.

    :param known: secrets by value, e.g. the engine's API key.
    """
    for secret in known:
        if len(secret) >= 6:
            text = text.replace(secret, HIDDEN)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text
