"""What vLLM refuses in a request before its engine is asked, with its texts."""

from __future__ import annotations

import json

from ..json_types import Json
from .api_limits import check_chat, check_message, check_response
from .refusal import BadBody, EngineRefusal, Refusal, missing

# What a body must have; FastAPI says so for all that is missing.
_REQUIRED = {
    "/v1/chat/completions": ("messages",),
    "/v1/messages": ("model", "messages", "max_tokens"),
    "/v1/messages/count_tokens": ("model", "messages"),
    "/v1/responses": ("input",),
    "/detokenize": ("tokens",),
}
_INTEGERS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "min_tokens", "n")
_STOPS = 4
_MOST_LOGPROBS = 20
_NUMBERS = ("temperature", "top_p")
# pydantic tries every kind of message that there is.
_MESSAGES = ("Developer", "System", "User", "Assistant", "Tool", "Function")
_MESSAGE_KINDS = (*(f"ChatCompletion{who}MessageParam" for who in _MESSAGES), "CustomChatCompletionMessageParam")
_NO_OBJECT = "Input should be a valid dictionary or object to extract fields from"


def parsed(raw: bytes, path: str) -> Json:
    """The body as this path takes it."""
    if not raw:
        raise BadBody(("missing", "body", "Field required", None))
    try:
        body = json.loads(raw)
    except ValueError as error:
        reason = str(error).partition(":")[0]
        context = f", 'ctx': {{'error': '{reason}'}}"
        raise BadBody(("json_invalid", "body.1", "JSON decode error", {}), context=context) from None
    if not isinstance(body, dict):
        raise BadBody(("model_attributes_type", "body", _NO_OBJECT, body))
    absent = [name for name in _REQUIRED.get(path, ()) if name not in body]
    if path == "/tokenize" and "prompt" not in body and "messages" not in body:
        absent = ["prompt", "messages"]
    if absent:
        raise BadBody(*(missing(f"body.{name}", body) for name in absent))
    _check_types(body)
    check_stops(body)
    if path == "/v1/messages" and int(str(body["max_tokens"])) < 1:
        text = "max_tokens must be positive"
        context = f", 'ctx': {{'error': ValueError('{text}')}}"
        raise BadBody(
            ("value_error", "body.max_tokens", f"Value error, {text}", body["max_tokens"]),
            context=context,
        )
    if path.startswith("/v1/messages"):
        check_message(body)
    elif path == "/v1/chat/completions":
        _check_chat(body)
        check_chat(body)
    elif path == "/v1/responses":
        check_response(body)
    return body


def check_stops(body: Json) -> None:
    """No more than four strings end an answer."""
    for name in ("stop", "stop_sequences"):
        given = body.get(name)
        if isinstance(given, list) and len(given) > _STOPS:
            text = f"List should have at most {_STOPS} items after validation, not {len(given)}"
            why = f", 'ctx': {{'field_type': 'List', 'max_length': {_STOPS}, 'actual_length': {len(given)}}}"
            too_long = ("too_long", f"body.{name}", text, given, why)
            string = ("string_type", f"body.{name}", "Input should be a valid string", given)
            raise BadBody(*([string] if name == "stop" else []), too_long)


def _check_types(body: Json) -> None:
    for name in _INTEGERS:
        value = body.get(name)
        if isinstance(value, float) and not value.is_integer():
            text = "Input should be a valid integer, got a number with a fractional part"
            raise BadBody(("int_from_float", f"body.{name}", text, value))
        _check_number(name, value, "int", "integer", int)
    for name in _NUMBERS:
        _check_number(name, body.get(name), "float", "number", float)
    if not isinstance(body.get("messages", []), list):
        raise BadBody(("list_type", "body.messages", "Input should be a valid list", body["messages"]))


def _check_number(name: str, value: object, kind: str, word: str, convert: type[int] | type[float]) -> None:
    if value is None or isinstance(value, int | float):
        return
    if not isinstance(value, str):
        raise BadBody((f"{kind}_type", f"body.{name}", f"Input should be a valid {word}", value))
    try:
        convert(value)
    except ValueError:
        text = f"Input should be a valid {word}, unable to parse string as {'an' if kind == 'int' else 'a'} {word}"
        raise BadBody((f"{kind}_parsing", f"body.{name}", text, value)) from None


def _check_chat(body: Json) -> None:
    for index, message in enumerate(body["messages"]):
        if not isinstance(message, dict):
            place, text = f"body.messages.{index}", "Input should be a valid dictionary"
            kinds = (("dict_type", f"{place}.{kind}", text, message) for kind in _MESSAGE_KINDS)
            raise BadBody(*kinds, ("model_attributes_type", f"{place}.Message", _NO_OBJECT, message))
    if not isinstance(body.get("stream", False), bool):
        text = "Input should be a valid boolean, unable to interpret input"
        raise BadBody(("bool_parsing", "body.stream", text, body["stream"]))
    if body.get("stream_options") and not body.get("stream"):
        raise Refusal("Stream options can only be defined when `stream=True`.", "stream_options")
    choice, tools = body.get("tool_choice"), body.get("tools")
    if choice not in (None, "none") and not tools:
        raise Refusal("When using `tool_choice`, `tools` must be set.", "tool_choice")
    if isinstance(choice, dict) and name_of(choice) not in [name_of(tool) for tool in tools or []]:
        raise Refusal(
            "The tool specified in `tool_choice` does not match any of the specified `tools`",
            "tool_choice",
        )


def check_sampling(body: Json, asked: int | None) -> None:
    """As the engine's sampling parameters do, whatever the endpoint calls the limit."""
    temperature, top_p = (float(str(body[name])) if body.get(name) is not None else None for name in _NUMBERS)
    if asked is not None and asked < 1:
        raise Refusal(f"max_tokens must be at least 1, got {asked}.", "max_tokens", asked)
    logprobs = body.get("top_logprobs") if isinstance(body.get("logprobs"), bool) else body.get("logprobs")
    if logprobs is not None and int(str(logprobs)) > _MOST_LOGPROBS:
        text = f"Requested sample logprobs of {logprobs}, which is greater than max allowed: {_MOST_LOGPROBS}"
        raise EngineRefusal(text, "logprobs", logprobs)
    if body.get("n") is not None and int(str(body["n"])) < 1:
        raise Refusal(f"n must be at least 1, got {body['n']}.")
    if temperature is not None and temperature < 0:
        raise Refusal(f"temperature must be non-negative, got {temperature}.", "temperature", temperature)
    if top_p is not None and not 0 < top_p <= 1:
        raise Refusal(f"top_p must be in (0, 1], got {top_p}.", "top_p", top_p)


def check_length(limit: tuple[str, int] | None, prompt_tokens: int, longest: int) -> None:
    """`limit` is what the client asked for, with the name that vLLM has for it there."""
    if limit is not None and limit[1] > longest:
        raise Refusal(
            f"{limit[0]}={limit[1]} cannot be greater than max_model_len={longest}. Please request fewer output tokens.",
            *limit,
        )
    if prompt_tokens > longest:
        raise Refusal(
            f"This model's maximum context length is {longest} tokens. However, your prompt contains at least {longest + 1} "
            "input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the input "
            "prompt.",
            "input_tokens",
            longest + 1,
        )


def name_of(tool: Json) -> object:
    """A tool's name in OpenAI's and in Anthropic's form."""
    return dict(tool.get("function") or tool).get("name")


def check_tools(body: Json, able: bool) -> None:
    """A chat's tools need a parser, of which the flags say whether the engine is `able`."""
    choice = body.get("tool_choice") or ("auto" if body.get("tools") else "none")
    names = [name_of(tool) for tool in body.get("tools") or []]
    if isinstance(choice, dict) and choice.get("type") == "tool" and choice.get("name") not in names:
        raise Refusal(f"The tool with name '{choice.get('name')}' is not found in the tools list.")
    if able or choice == "none" or choice == {"type": "none"}:
        return
    if choice in ("auto", {"type": "auto"}):
        raise Refusal('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set')
    said = f'function "{name_of(choice)}"' if isinstance(choice, dict) and name_of(choice) else '"required"'
    raise Refusal(f"tool_choice={said} requires --tool-call-parser to be set")
