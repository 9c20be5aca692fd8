# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How people name a model: an id, a repository, its address on the Hub, with a revision or a quantisation behind it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from ..core.failure import Failure
from .catalogue import is_commit, user_file

HUB_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
_REPOSITORY = r"[\w.-]+/[\w.-]+"
# What is behind a repository's name in its address, before a revision.
_PLACES = ("tree", "blob", "resolve", "raw", "commit", "commits", "discussions")
# Files of llama.cpp, as it and others like it name them: q4_k_m, iq4_xs, Q8_0, UD-Q4_K_XL.
_GGUF = re.compile(r"(UD-)?I?Q\d(_[\w]+)*|F16|BF16-GGUF|TQ\d_\d", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Reference:
    """``variant`` is what stands behind a colon: a precision, or the last part of a repository's name."""

    name: str
    variant: str | None = None


def parse_reference(text: str) -> Reference:
    """The model that ``text`` names; Failure(usage) with the right form for what names more than a model."""
    name, revision = _from_address(text)
    if "@" in name and revision is None:
        name, _at, revision = name.partition("@")
        if not re.fullmatch(_REPOSITORY, name, re.ASCII) or not revision:
            raise _not_a_name(text)
    if revision is not None and revision not in ("main", "HEAD"):
        raise _pinned_elsewhere(text, name, revision)
    name, colon, behind = name.partition(":")
    if not colon:
        return Reference(name)
    if not name or not behind or not re.fullmatch(r"[\w.+-]+", behind, re.ASCII):
        raise _not_a_name(text)
    if _GGUF.fullmatch(behind):
        raise Failure(
            "usage",
            f"model {text!r} names a GGUF file ({behind}), which is another program's form of a model: the engine does not "
            "serve GGUF.",
            remedy="Name a repository of weights in another format; see: linode-coder models",
            field="model",
            value=text,
        )
    return Reference(name, behind)


def _not_a_name(text: str) -> Failure:
    return Failure(
        "usage",
        f"model {text!r} is not a model id.",
        remedy="Use organisation/name, as it stands on the repository's page, or one of: linode-coder models",
        field="model",
        value=text,
    )


def _pinned_elsewhere(text: str, name: str, revision: str) -> Failure:
    if is_commit(revision.lower()):
        line = f'"{name}" = "{revision.lower()}"'
        remedy = f"Pin the commit in {user_file()}: [revisions] and below it {line}. Then use --model {name}."
        return Failure(
            "usage",
            f"model {text!r} names a commit, and a session's commit has to be found again when it is healed.",
            remedy=remedy,
            field="model",
            value=text,
        )
    return Failure(
        "usage",
        f"model {text!r} names the revision {revision!r}, which can hold other files tomorrow.",
        remedy=f"Use --model {name} for its main branch, or pin a commit of 40 hexadecimal digits in {user_file()}: "
        f'[revisions] and below it "{name}" = "<commit>".',
        field="model",
        value=text,
    )


def _from_address(text: str) -> tuple[str, str | None]:
    """The name and the revision of an address on the Hub; any other text as it is."""
    bare = re.match(r"(?:www\.)?(?:huggingface\.co|hf\.co)/", text)
    if not re.match(r"[a-z][a-z0-9+.-]*://", text, re.IGNORECASE) and not bare:
        return text, None
    try:
        parts = urlsplit(f"https://{text}" if bare else text)
        host = (parts.hostname or "").lower()
        steps = [unquote(step) for step in parts.path.split("/") if step]
    except ValueError as error:
        raise _not_a_name(text) from error
    if parts.scheme.lower() == "hf":
        steps, host = [unquote(parts.netloc), *steps], HUB_HOSTS[0]
    if host not in HUB_HOSTS:
        raise Failure(
            "usage",
            f"model {text!r} is not an address of the Hugging Face Hub, which is where models are fetched from.",
            remedy="Use organisation/name of a repository there, or one of: linode-coder models",
            field="model",
            value=text,
        )
    if steps and steps[0] == "models":
        steps = steps[1:]
    if steps and steps[0] in ("datasets", "spaces", "collections", "papers", "docs", "blog"):
        raise Failure(
            "usage",
            f"model {text!r} is the address of something else on the Hub ({steps[0]}), not of a model.",
            remedy="Use the address of a model's page, or organisation/name.",
            field="model",
            value=text,
        )
    if len(steps) < 2 or not re.fullmatch(
        _REPOSITORY, "/".join(steps[:2]).partition("@")[0].partition(":")[0], re.ASCII
    ):
        raise _not_a_name(text)
    name = "/".join(steps[:2])
    if len(steps) >= 4 and steps[2] in _PLACES and steps[2] != "discussions":
        return name, steps[3]
    return name, None
