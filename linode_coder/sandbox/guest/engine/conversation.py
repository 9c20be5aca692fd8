"""What a client says, in any of the three APIs: its turns, the tools it offers, and whether it wants one of them called.

An agent does what a model tells it to, on its user's machine. So the stand-in calls a tool only when the user asks for it in so
many words, with the arguments, or when the API itself demands a call; and it never answers a tool's result with another call.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from ..json_types import Json

# At the beginning of a line of what the user says last: Call the tool NAME with {"argument": "value"}
_PHRASE = re.compile(r"""^[\s"'>]*Call the tool ([\w.:/-]+) with (?=\{)""", re.MULTILINE)
_RESULTS = ("function_call_output", "custom_tool_call_output", "local_shell_call_output", "computer_call_output")
_IMAGES = ("image_url", "image", "input_image")
_OWN = ("function_call", "custom_tool_call", "reasoning")


@dataclass(frozen=True)
class Turn:
    role: str
    text: str
    result: bool = False  # it brings what a tool said
    images: int = 0


@dataclass(frozen=True)
class Tool:
    """`name` is what the model calls it; in the namespace of a Responses client it is called `own` there."""

    name: str
    schema: Json
    own: str
    namespace: str | None = None


def text_of(content: object) -> str:
    """The text of a message's content; other parts have none."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part.get("text") or "") for part in parts if isinstance(part, dict))


def parts_of(message: Json) -> list[Json]:
    """The parts of a message's content, where it has any."""
    content = message.get("content")
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []


def turns(messages: list[Json]) -> list[Turn]:
    """Messages of a chat or of Anthropic's API, or items of a Responses request."""
    found = []
    for message in messages:
        kind, role = message.get("type"), str(message.get("role") or "")
        if kind in _RESULTS:
            found.append(Turn("tool", text_of(message.get("output")), result=True))
        elif kind in _OWN:
            found.append(Turn("assistant", str(message.get("arguments") or message.get("input") or "")))
        else:
            parts = parts_of(message)
            results = [part for part in parts if part.get("type") == "tool_result"]
            inner = [part for result in results for part in parts_of(result)]
            images = sum(part.get("type") in _IMAGES for part in (*parts, *inner))
            text = "\n".join((text_of(message.get("content")), *(text_of(result.get("content")) for result in results)))
            found.append(Turn(role, text, bool(results) or role == "tool", images))
    return found


def latest(said: list[Turn]) -> list[Turn]:
    """What came since the model spoke."""
    ends = [index for index, turn in enumerate(said) if turn.role == "assistant"]
    return said[ends[-1] + 1 if ends else 0 :]


def after_tool(said: list[Turn]) -> bool:
    """Whether a tool's result came, so that it is time to answer."""
    return any(turn.result for turn in latest(said))


def offered(tools: list[Json]) -> list[Tool]:
    """The tools that a model can call: functions in the forms of the three APIs. Other kinds are the API's own."""
    found = []
    for tool in tools:
        if tool.get("type") == "namespace":
            space = str(tool.get("name"))
            found += [
                Tool(f"{space}__{inner.own}", inner.schema, inner.own, space)
                for inner in offered(list(tool.get("tools") or []))
            ]
            continue
        function: Json = dict(tool.get("function") or tool)
        schema = function.get("parameters") or function.get("input_schema") or {}
        name = function.get("name")
        if name and tool.get("type", "function") == "function":
            found.append(Tool(str(name), dict(schema), str(name)))
    return found


def asked_call(said: list[Turn], tools: list[Tool]) -> tuple[Tool, Json] | None:
    """The tool that the user asks for in so many words, and its arguments."""
    texts = [turn.text for turn in latest(said) if turn.role == "user"]
    # Some clients put what they were given into quotes.
    for text in [*texts, *(text.replace('\\"', '"') for text in texts)]:
        for match in _PHRASE.finditer(text):
            try:
                arguments, _end = json.JSONDecoder().raw_decode(text, match.end())
            except ValueError:
                continue
            for tool in tools:
                if match[1] in (tool.name, tool.own):
                    return tool, arguments
    return None


def example_call(tool: Tool) -> tuple[Tool, Json]:
    """A call of this tool with something for each argument that it requires: where the API demands one."""
    arguments = example({**tool.schema, "type": "object"})
    return tool, arguments if isinstance(arguments, dict) else {}


def schema_of(body: Json) -> Json | None:
    """What the answer has to look like, in the form of each API; an empty schema where any object will do."""
    config = body.get("output_config") or {}
    form = body.get("response_format") or (body.get("text") or {}).get("format") or config.get("format") or {}
    if form.get("type") == "json_object":
        return {"type": "object"}
    if form.get("type") != "json_schema":
        return None
    return dict((form.get("json_schema") or form).get("schema") or {})


def example(schema: object) -> object:
    """Something that fits a JSON schema, without what its references say."""
    kind = schema.get("type") if isinstance(schema, dict) else "string"
    if isinstance(schema, dict):
        if schema.get("enum"):
            return schema["enum"][0]
        for other in ("anyOf", "oneOf", "allOf"):
            if schema.get(other):
                return example(schema[other][0])
        properties = schema.get("properties") or {}
        if properties:
            return {name: example(properties.get(name)) for name in schema.get("required") or properties}
        kind = kind[0] if isinstance(kind, list) and kind else kind
    return {"integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {}, "null": None}.get(
        str(kind), "sandbox"
    )
