# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The address of a history on a PostgreSQL server. A password in it is in no text that anybody reads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

VARIABLE = "LINODE_CODER_HISTORY_URL"
FORM = (
    "an address such as postgresql://coder@db.example.com/history, in which special characters of a name or a password are"
    " written as %40"
)
# Stricter than libpq, which takes a password with an @ for a part of the host's name and quotes it.
_PART = r"(?:[^\s@/?#:%&=]|%[0-9A-Fa-f]{2})*"
_HOST = rf"(?:\[[0-9A-Fa-f:.]+\]|{_PART})(?::\d{{1,5}})?"
_PAIR = r"[a-z_]+=(?:[^\s@?#&=%]|%[0-9A-Fa-f]{2})*"
_URL = re.compile(
    rf"postgres(?:ql)?://(?:(?P<user>{_PART})(?::(?P<password>{_PART}))?@)?(?P<hosts>{_HOST}(?:,{_HOST})*)?"
    rf"(?:/(?P<database>{_PART}))?(?:\?(?P<options>{_PAIR}(?:&{_PAIR})*))?"
)
_SECRET = ("password", "sslpassword")


@dataclass(frozen=True)
class Address:
    """``place``: the server and the database, for people. ``secrets`` are in no text either."""

    url: str
    place: str
    secrets: tuple[str, ...] = ()

    def quoted(self, text: str) -> str | None:
        """What a server or its library said; None where a secret may be in it."""
        return None if any(secret in text for secret in self.secrets) else text


def read_address(text: str) -> Address:
    """ValueError, which never quotes it, for what is none."""
    found = _URL.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"not {FORM}")
    options = dict(pair.split("=", 1) for pair in (found["options"] or "").split("&") if pair)
    written = [value for value in (found["password"], *(options.get(name) for name in _SECRET)) if value]
    secrets = dict.fromkeys(each for value in written for each in (value, unquote(value)))
    hosts = unquote(found["hosts"] or options.get("host") or options.get("service") or "")
    database = unquote(found["database"] or options.get("dbname") or "")
    return Address(text.strip(), "/".join(part for part in (hosts, database) if part) or "the server", tuple(secrets))
