"""Talking with the model of a session: one answer after another, shown while it is generated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.linode_coder.gpu.plugins.module_utils.core.failure import Failure
from ansible_collections.linode_coder.gpu.plugins.module_utils.engine.client import EngineSilent, Stream

from .engine import client, served_models
from .port_owner import TunnelClient

# Seconds without a token, of a prompt that is read for a long time.
_PATIENCE_S = 600


@dataclass
class Conversation:
    """``messages`` are those of the OpenAI chat API; an answer joins them once it is complete."""

    session: str
    model: str
    client: TunnelClient
    messages: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def begin(cls, view: dict[str, Any], system: str | None) -> Conversation:
        """Opens the tunnel. Failure(unhealthy) where the engine does not say what it serves."""
        through = client(view, timeout=_PATIENCE_S)
        messages = [{"role": "system", "content": system}] if system else []
        return cls(str(view["name"]), str(served_models(view)[0]["id"]), through, messages)

    def ask(self, text: str, max_tokens: int | None, show: Callable[[str, str], None]) -> Stream:
        """The answer to ``text``. ``show`` gets each part of it as it comes, with its kind: content, or a kind of reasoning.

        Failure(usage) where the engine refuses the prompt, Failure(unhealthy) where it does not answer to the end, and one of
        them for an empty answer.
        """
        asked = [*self.messages, {"role": "user", "content": text}]
        body = {"model": self.model, "messages": asked, **({"max_tokens": max_tokens} if max_tokens else {})}
        try:
            found = self.client.stream("/v1/chat/completions", body, show)
        except EngineSilent as silent:
            raise self._broken(silent.reason) from silent
        if found.status == 400:
            raise Failure(
                "usage",
                f"The engine of session {self.session!r} refuses the prompt.",
                cause=found.error,
                remedy="Ask something shorter, or for fewer tokens.",
                field="prompt",
            )
        if found.error or not found.done:
            raise self._broken(found.error or "the stream ended early")
        if not found.content:
            raise Failure(
                "usage" if max_tokens else "unhealthy",
                "The model answered nothing.",
                cause=f"{found.tokens} tokens were generated, all of them reasoning" if found.text else None,
                remedy="Allow more tokens, or ask in another way.",
                field="max_tokens" if max_tokens else "prompt",
            )
        self.messages = [*asked, {"role": "assistant", "content": found.content}]
        return found

    def _broken(self, why: str) -> Failure:
        return Failure(
            "unhealthy",
            f"The engine of session {self.session!r} did not answer to the end.",
            cause=why,
            remedy=f"See what is wrong: linode-coder check {self.session}",
        )
