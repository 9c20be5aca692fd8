# Copyright: (c) 2026, linode_coder contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a served endpoint keeps what editors and agents rely on: what it answers is judged here, without any I/O of its own."""

from __future__ import annotations

import json
from typing import Any

from ..core.failure import Failure
from ..core.finding import Finding
from .client import EngineClient, EngineSilent, is_served, models_of, names_of

_SUBJECT = "engine"
_TOOL = {
    "type": "function",
    "function": {
        "name": "read_file",
        "description": "Read a file of the project.",
        "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    },
}


def _found(check: str, severity: str, summary: str, evidence: Any = "", remedy: str = "") -> Finding:
    text = evidence if isinstance(evidence, str) else json.dumps(evidence)
    return Finding(f"endpoint.{check}", severity, _SUBJECT, summary, text[:500], remedy=remedy)


def _health(client: EngineClient) -> Finding:
    status = client.with_key(None).fetch("GET", "/health").status
    if status == 200:
        return _found("health", "pass", "The engine says that it is healthy.")
    return _found("health", "fail", f"The engine answers {status} at /health.", remedy="linode-coder check")


def _models(client: EngineClient, model: str | None) -> tuple[Finding, dict[str, Any]]:
    status, body = client.ask("GET", "/v1/models")
    if status == 401:
        remedy = "The key of this machine is an old one: linode-coder up NAME"
        return _found("models", "fail", "The engine does not accept the session's API key.", remedy=remedy), {}
    cards = models_of(body) if status == 200 else []
    if not cards:
        return _found("models", "fail", f"No model is listed (HTTP {status}).", body), {}
    card = cards[0]
    names, root = ", ".join(names_of(cards)), card.get("root") or card["id"]
    if model and not is_served(cards, model):
        return _found("models", "fail", f"{root} is served as {names}, and not {model}."), card
    return _found("models", "pass", f"{root} is served as {names}."), card


def _key(client: EngineClient) -> Finding:
    open_to = []
    for title, key in (("no key", None), ("a wrong key", "wrong-" + "0" * 26)):
        status = client.with_key(key).fetch("GET", "/v1/models").status
        if status != 401:
            open_to.append(f"{title} gets {status}")
    if open_to:
        remedy = "Whoever reaches the port can use the model: linode-coder up NAME --converge"
        return _found("key", "fail", "The endpoint is not guarded by its API key.", "; ".join(open_to), remedy)
    return _found("key", "pass", "Without the key, and with a wrong one, the answer is 401.")


def _message(body: Any) -> str:
    if isinstance(body, dict):
        error = body.get("error", body.get("message", body))
        return str(error.get("message") if isinstance(error, dict) else error)
    return str(body)


def _chat(client: EngineClient, model: str) -> Finding:
    messages = [{"role": "user", "content": "Write a function that adds two numbers."}]
    status, body = client.ask("POST", "/v1/chat/completions", {"model": model, "messages": messages, "max_tokens": 16})
    if status != 200:
        return _found("chat", "fail", f"A chat request is answered with {status}.", _message(body))
    tokens = (body.get("usage") or {}).get("completion_tokens")
    if not tokens:
        return _found("chat", "fail", "A chat request generates no token.", body)
    return _found("chat", "pass", f"A chat request generates {tokens} tokens.")


def _streaming(client: EngineClient, model: str) -> Finding:
    messages = [{"role": "user", "content": "Count to ten."}]
    got = client.stream("/v1/chat/completions", {"model": model, "messages": messages, "max_tokens": 32})
    if got.error:
        return _found("streaming", "fail", "Streaming fails.", got.error)
    if got.first is None or not got.done:
        lacking = "any output" if got.first is None else "its end mark"
        return _found("streaming", "fail", f"The stream lacks {lacking}.")
    if not got.tokens:
        return _found("streaming", "warn", "The stream works, and says nothing of usage.")
    return _found("streaming", "pass", f"{got.tokens} tokens came as a stream, with usage.")


def _calls(body: Any) -> str | None:
    """What is wrong with the tool calls of an answer; None when there are good ones."""
    choices = body.get("choices") if isinstance(body, dict) else None
    calls = (choices[0].get("message") or {}).get("tool_calls") if choices else None
    if not calls:
        return "no tool call"
    function = calls[0].get("function") or {}
    try:
        arguments = json.loads(function.get("arguments") or "")
    except ValueError:
        return f"arguments that are not JSON: {function.get('arguments')!r}"
    if function.get("name") != "read_file" or not isinstance(arguments, dict) or "path" not in arguments:
        return f"a call that does not fit the tool: {function}"
    return None


def _tool_call(client: EngineClient, model: str) -> Finding:
    body = {
        "model": model,
        # The sandbox's stand-in calls a tool only when it is told to in these words.
        "messages": [{"role": "user", "content": 'Call the tool read_file with {"path": "README.md"}'}],
        "tools": [_TOOL],
        "max_tokens": 256,
    }
    status, answer = client.ask("POST", "/v1/chat/completions", {**body, "tool_choice": "auto"})
    if status != 200:
        remedy = "Agents need it. Choose a model of `linode-coder models` with a tool parser."
        return _found("tool_call", "fail", "The engine does not take tools.", _message(answer), remedy)
    problem = _calls(answer)
    if problem is None:
        return _found("tool_call", "pass", "The model calls a tool by itself.")
    forced = {"type": "function", "function": {"name": "read_file"}}
    status, answer = client.ask("POST", "/v1/chat/completions", {**body, "tool_choice": forced})
    again = _calls(answer) if status == 200 else _message(answer)
    if again is None:
        summary = "The engine makes a tool call when told to; by itself the model answered without one."
        return _found("tool_call", "warn", summary, problem)
    return _found("tool_call", "warn", "The model makes no usable tool call, even when told to.", again)


def _context(client: EngineClient, model: str, limit: Any, wanted: int | None) -> Finding:
    if not isinstance(limit, int):
        return _found("context", "unknown", "The engine does not say its context length.")
    if wanted and limit < wanted:
        remedy = "Choose a larger plan, or a model or variant that leaves more memory."
        return _found(
            "context", "fail", f"The context is {limit} tokens, less than the {wanted} asked for.", "", remedy
        )
    # One token more than fits has to be refused, which costs nothing; a clipped prompt would go unnoticed.
    body = {"model": model, "prompt": "1", "max_tokens": limit + 1}
    status, answer = client.ask("POST", "/v1/completions", body)
    if status != 400:
        return _found("context", "warn", f"A request beyond the {limit} tokens gets {status} instead of a refusal.")
    return _found("context", "pass", f"The context is {limit} tokens; more is refused.", _message(answer))


def check_endpoint(client: EngineClient, model: str | None = None, context: int | None = None) -> list[Finding]:
    """Every check in a fixed order; after an engine that does not answer the rest is unknown."""
    findings: list[Finding] = []
    names = ("health", "models", "key", "chat", "streaming", "tool_call", "context")
    try:
        findings.append(_health(client))
        listed, card = _models(client, model)
        findings.append(listed)
        findings.append(_key(client))
        if card.get("id"):
            for check in (_chat, _streaming, _tool_call):
                findings.append(check(client, card["id"]))  # noqa: PERF401 - what was found stays when one raises
            findings.append(_context(client, card["id"], card.get("max_model_len"), context))
    except EngineSilent as silent:
        asked = names[len(findings)] if findings else "health"
        remedy = "linode-coder check; linode-coder logs"
        findings.append(_found(asked, "fail", "The engine does not answer.", str(silent), remedy))
    findings += [
        _found(name, "unknown", "Not asked, since the engine did not answer what comes before.")
        for name in names[len(findings) :]
    ]
    return findings


def unhealthy(findings: list[Finding], session: str) -> Failure | None:
    """The Failure that a served endpoint is: the first check that failed."""
    failed = [finding for finding in findings if finding.severity == "fail"]
    if not failed:
        return None
    more = f" {len(failed) - 1} more failed." if len(failed) > 1 else ""
    return Failure(
        "unhealthy",
        failed[0].summary + more,
        cause=failed[0].evidence or None,
        remedy=failed[0].remedy or f"Verify and repair it: linode-coder up {session} --converge",
        field=failed[0].id,
    )
