"""The engine of a session, asked through its tunnel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.client import EngineClient, EngineSilent

from .api_key import api_key
from .port_owner import TunnelClient
from .tunnel import open_tunnel

T = TypeVar("T")


@dataclass(frozen=True)
class Abilities:
    """What the engine takes with the flags that it runs with."""

    tools: bool
    images: bool


def client(view: dict[str, Any], timeout: float = 120) -> TunnelClient:
    """With the session's API key; the tunnel is opened first."""
    open_tunnel(view)
    return TunnelClient(view["name"], api_key(view), timeout)


def served_models(view: dict[str, Any]) -> list[dict[str, Any]]:
    """The model by each of its names, its own first, as the engine describes it, through the tunnel that is open."""
    return _said(view, EngineClient.served)


def served_abilities(view: dict[str, Any], model: str) -> Abilities:
    """What the engine takes, by the name of its model, through the tunnel that is open."""
    return _said(view, lambda client: abilities(client, model))


def _said(view: dict[str, Any], question: Callable[[EngineClient], T]) -> T:
    """The engine's answer; Failure(unhealthy) when it is silent."""
    name = view["name"]
    try:
        return question(TunnelClient(name, api_key(view), timeout=15))
    except EngineSilent as silent:
        raise Failure(
            "unhealthy",
            f"The engine of session {name!r} does not say what it serves.",
            cause=silent.reason,
            remedy=f"Look at it: linode-coder logs {name}. Verify it: linode-coder up {name}",
        ) from silent


_QUESTION = "What is this?"
_TOOL = {"name": "look", "input_schema": {"type": "object", "properties": {}}}
# A black square of 64 pixels: some models take none that is smaller than a patch.
_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAAAAACPAi4CAAAAG0lEQVR42u3BgQAAAADDoPlT3+AEVQEAAAB8AxBAAAG9PLePAAAAAElFTkSuQmCC"
)
_IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _PNG}}


def abilities(client: EngineClient, model: str) -> Abilities:
    """Asked by having prompts counted, for which it prepares them as for an answer, refuses what it cannot take, and generates
    nothing. A catalogue does not know which flags it runs with. An image that counts for nothing was left out of the prompt.

    Raises EngineSilent.
    """

    def count(content: list[dict[str, Any]], **more: Any) -> int | None:
        body = {"model": model, "messages": [{"role": "user", "content": content}], **more}
        status, said = client.ask("POST", "/v1/messages/count_tokens", body)
        tokens = said.get("input_tokens") if status == 200 and isinstance(said, dict) else None
        return tokens if isinstance(tokens, int) else None

    text = {"type": "text", "text": _QUESTION}
    plain, seen = count([text]), count([_IMAGE, text])
    images = plain is not None and seen is not None and seen > plain
    return Abilities(tools=count([text], tools=[_TOOL]) is not None, images=images)
