# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks the Hugging Face Hub about repositories that the catalogue does not list, and remembers its answers.

A Hub that cannot be asked stops nobody: then the last answer counts, or nothing is known, and that is said.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from ..core.atomic_file import replace_file
from ..core.did_you_mean import did_you_mean
from ..core.failure import Failure
from ..core.paths import state_dir
from .catalogue import Model, catalogue, near_names
from .hub_model import model_from_hub
from .hub_token import hub_token
from .request import unlisted

DEFAULT_ENDPOINT = "https://huggingface.co"
# Two commands in a row, and the playbook behind a command, ask once.
_FRESH_S = 3600
_TIMEOUT_S = 5.0
_LARGEST_ANSWER = 16 * 2**20


class HubUnavailable(Exception):
    """The Hub did not answer the question: no network, too many requests, a server's error."""


class HubRefused(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message or f"HTTP status {status}")
        self.status, self.code = status, code


def endpoint() -> str:
    text = (os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")
    if urlsplit(text).scheme not in ("http", "https") or not urlsplit(text).hostname:
        raise Failure(
            "config",
            f"HF_ENDPOINT {text!r} is not an http or https address.",
            remedy="Unset it to use the Hub.",
            field="HF_ENDPOINT",
            value=text,
        )
    return text


def _get(path: str, token: str | None, timeout: float) -> Any:
    """The JSON at ``path``. The token goes to the Hub only, never along with a redirect to another host."""
    import urllib.error
    import urllib.request
    from http.client import HTTPException

    class Redirects(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any) -> Any:
            following = super().redirect_request(req, fp, code, msg, headers, newurl)
            if token and following is not None and urlsplit(newurl)[:2] == urlsplit(endpoint())[:2]:
                following.add_unredirected_header("Authorization", f"Bearer {token}")
            return following

    request = urllib.request.Request(f"{endpoint()}/{path}", headers={"User-Agent": "linode_coder"})  # noqa: S310
    if token:
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.build_opener(Redirects).open(request, timeout=timeout) as answer:
            return json.loads(answer.read(_LARGEST_ANSWER))
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 429 or error.code >= 500:
                raise HubUnavailable(f"HTTP status {error.code}") from error
            code, text = error.headers.get("X-Error-Code", ""), error.headers.get("X-Error-Message", "")
            if not code and error.headers.get_content_type() == "text/html":
                raise HubUnavailable(
                    f"what answered is not the Hub: HTTP status {error.code}, a page for people"
                ) from error
            raise HubRefused(error.code, code, text) from error
    except (OSError, HTTPException) as error:
        raise HubUnavailable(str(getattr(error, "reason", None) or error)) from error
    except ValueError as error:
        raise HubUnavailable("its answer is not JSON") from error


def _describes_a_model(info: Any) -> bool:
    """Whether the parts that are read of a repository's description have their shapes."""
    if not isinstance(info, dict) or not isinstance(info.get("id"), str):
        return False
    files = info.get("siblings") or []
    objects = all(isinstance(info.get(part) or {}, dict) for part in ("safetensors", "cardData"))
    return objects and isinstance(files, list) and all(isinstance(file, dict) for file in files)


def _read(name: str, token: str | None, timeout: float) -> dict[str, Any]:
    """What the Hub says of a repository: ``info``, and ``config`` when it may be read."""
    if os.environ.get("HF_HUB_OFFLINE", "").strip().lower() in ("1", "true", "yes", "on"):
        raise HubUnavailable("HF_HUB_OFFLINE is set")
    quoted = quote(name)
    try:
        info = _get(f"api/models/{quoted}?blobs=true", token, timeout)
    except HubRefused as refused:
        raise _no_access(name, refused, token) from refused
    if not _describes_a_model(info):
        raise HubUnavailable("what answered is not the Hub: its JSON is no description of a model")
    if info.get("gated") and not token:
        return {"info": info, "config": None}
    try:
        config = _get(f"{quoted}/resolve/main/config.json", token, timeout)
    except HubRefused as refused:
        if refused.status != 404:
            raise _no_access(name, refused, token) from refused
        config = None
    if isinstance(config, dict) and not (
        isinstance(config.get("architectures") or [], list)
        and isinstance(config.get("quantization_config") or {}, dict)
    ):
        raise HubUnavailable("what answered is not the Hub: its JSON is no configuration of a model")
    return {"info": info, "config": config if isinstance(config, dict) else None}


def _no_access(name: str, refused: HubRefused, token: str | None) -> Failure:
    if refused.status == 403 or refused.code == "GatedRepo":
        return Failure(
            "config",
            f"{name} is gated, and its licence is not accepted by the token's account.",
            cause=str(refused),
            remedy=f"Accept it at {DEFAULT_ENDPOINT}/{name} with that account.",
            field="hf_token",
        )
    if refused.status == 401 and token and refused.code != "RepoNotFound":
        return Failure(
            "config",
            "The Hub does not accept the Hugging Face token.",
            cause=str(refused),
            remedy="Create a new one at https://huggingface.co/settings/tokens and export it as HF_TOKEN.",
            field="hf_token",
        )
    near = near_names(catalogue(), name)
    hints = [did_you_mean(near)] if near else []
    hints += [] if token else ["For a private one export HF_TOKEN."]
    hints += [] if hints else ["See what there is: linode-coder models"]
    return Failure(
        "usage",
        f"model {name!r} does not exist on the Hub, or is private.",
        cause=str(refused),
        remedy=" ".join(hints),
        field="model",
        value=name,
    )


def _remembered(name: str) -> Path:
    return state_dir() / "hub" / f"{name.replace('/', '--')}.json"


def _recall(name: str) -> dict[str, Any] | None:
    try:
        answer = json.loads(_remembered(name).read_text())
    except (OSError, ValueError):  # never asked, or not ours to read
        return None
    return answer if isinstance(answer, dict) and {"read", "endpoint", "info", "config"} <= set(answer) else None


def _remember(name: str, answer: dict[str, Any]) -> None:
    text = json.dumps({"read": time.time(), "endpoint": endpoint(), **answer})
    replace_file(_remembered(name), text, parents=True)


def hub_lookup(name: str, timeout: float = _TIMEOUT_S) -> Model:
    """The model that the repository ``name`` holds; Failure when the Hub says that it cannot be had."""
    token = hub_token()
    known = _recall(name)
    if known and known["endpoint"] != endpoint():
        known = None
    readable = known is not None and (known["config"] is not None or not token)
    if known and readable and 0 <= time.time() - known["read"] < _FRESH_S:
        return model_from_hub(name, known["info"], known["config"])
    try:
        answer = _read(name, token, timeout)
    except HubUnavailable as reason:
        if known:
            when = time.strftime("%Y-%m-%d", time.gmtime(known["read"]))
            model = model_from_hub(name, known["info"], known["config"])
            said = f"The Hub cannot be asked ({reason}); this is what it said on {when}."
        else:
            model = unlisted(name)
            said = f"The Hub cannot be asked ({reason}), so nothing is known of {name}, not even whether it exists."
        return replace(model, notes=(*model.notes, said))
    with contextlib.suppress(OSError):  # it saves the next question, no more
        _remember(name, answer)
    return model_from_hub(name, answer["info"], answer["config"])
