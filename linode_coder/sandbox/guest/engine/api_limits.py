"""What clients send of three large APIs and vLLM does not take: each is refused in its words."""

from __future__ import annotations

from ..json_types import Json
from .conversation import parts_of
from .refusal import BadBody, Refusal, missing, not_one_of

# What each kind of message of a chat must have, in the order in which pydantic tries them.
_CHAT_MESSAGES = {
    "ChatCompletionDeveloperMessageParam": ("content", "role"),
    "ChatCompletionSystemMessageParam": ("content", "role"),
    "ChatCompletionUserMessageParam": ("content", "role"),
    "ChatCompletionAssistantMessageParam": ("role",),
    "ChatCompletionToolMessageParam": ("content", "role", "tool_call_id"),
    "ChatCompletionFunctionMessageParam": ("content", "name", "role"),
    "CustomChatCompletionMessageParam": ("role",),
    "Message": ("author",),
}
_ROLES = ("user", "assistant", "system")
_BLOCKS = (
    *("text", "image", "tool_use", "tool_result", "tool_reference", "thinking", "redacted_thinking"),
    *("tool_addition", "tool_removal"),
)
_LEAST_THINKING = 1024
# Parts of a message that make a prompt.
_PARTS = (
    *("audio_embeds", "audio_url", "image_embeds", "image_pil", "image_url", "input_audio", "input_image"),
    *("input_text", "output_text", "prompt_embeds", "refusal", "text", "thinking", "tool_reference", "video_embeds"),
    "video_url",
)


def check_chat(body: Json) -> None:
    for index, message in enumerate(body["messages"]):
        place = f"body.messages.{index}"
        if "role" not in message:
            errors: list[tuple[str, str, str, object]] = [
                missing(f"{place}.{kind}.{name}", message)
                for kind, names in _CHAT_MESSAGES.items()
                for name in names
                if name not in message
            ]
            content = message.get("content")
            if isinstance(content, str):
                errors.append(("list_type", f"{place}.Message.content", "Input should be a valid list", content))
            raise BadBody(*errors)
    if body.get("tools") == []:
        text = "`tools` must not be an empty array. Either provide at least one tool or omit the field entirely."
        raise Refusal(text, "tools")
    for index, tool in enumerate(body.get("tools") or []):
        place, function = f"body.tools.{index}", tool.get("function")
        wrong = []
        if tool.get("type", "function") != "function":
            wrong.append(not_one_of(f"{place}.type", ("function",), tool["type"]))
        if function is None:
            raise BadBody(*wrong, missing(f"{place}.function", tool))
        if "name" not in function:
            raise BadBody(*wrong, missing(f"{place}.function.name", function))
    if body.get("top_logprobs") and not body.get("logprobs"):
        raise Refusal("when using `top_logprobs`, `logprobs` must be set to true.", "top_logprobs")
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema" and form.get("json_schema") is None:
        text = "When response_format type is 'json_schema', the 'json_schema' field must be provided."
        raise Refusal(text, "response_format")


def check_message(body: Json) -> None:
    """Of Anthropic's API."""
    for index, message in enumerate(body["messages"]):
        place = f"body.messages.{index}"
        absent = [name for name in ("role", "content") if name not in message]
        if absent:
            raise BadBody(*(missing(f"{place}.{name}", message) for name in absent))
        if message["role"] not in _ROLES:
            raise BadBody(not_one_of(f"{place}.role", _ROLES, message["role"]))
        for number, block in enumerate(parts_of(message)):
            if block.get("type") not in _BLOCKS:
                string = ("string_type", f"{place}.content", "Input should be a valid string", message["content"])
                raise BadBody(string, not_one_of(f"{place}.content.{number}.type", _BLOCKS, block.get("type")))
    for index, tool in enumerate(body.get("tools") or []):
        absent = [name for name in ("name", "input_schema") if name not in tool]
        if absent:
            raise BadBody(*(missing(f"body.tools.{index}.{name}", tool) for name in absent))
    thinking = body.get("thinking") or {}
    budget = thinking.get("budget_tokens") if thinking.get("type") == "enabled" else None
    if budget is not None and budget < _LEAST_THINKING:
        text = f"Input should be greater than or equal to {_LEAST_THINKING}"
        why = f", 'ctx': {{'ge': {_LEAST_THINKING}}}"
        raise BadBody(("greater_than_equal", "body.thinking.enabled.budget_tokens", text, budget, why))
    if budget is not None and "max_tokens" in body and budget >= body["max_tokens"]:
        text = "thinking.budget_tokens must be less than max_tokens"
        why = f", 'ctx': {{'error': ValueError('{text}')}}"
        raise BadBody(("value_error", "body", f"Value error, {text}", body, why))


def check_response(body: Json) -> None:
    for tool in body.get("tools") or []:
        if tool.get("type") == "custom" and (tool.get("format") or {}).get("type") == "grammar":
            text = (
                "Custom tools with a grammar format are not supported; only free-form text custom tools are accepted."
            )
            raise Refusal(text, "tools")


def check_store(body: Json) -> None:
    """Nothing is kept of a response."""
    if body.get("background"):
        raise Refusal(
            "This vLLM engine does not support `store=True` and therefore does not support the background mode. To enable "
            "these features, set the environment variable `VLLM_ENABLE_RESPONSES_API_STORE=1` when launching the vLLM server.",
            kind="invalid_request_error",
            field="background",
        )
    if body.get("previous_response_id") is not None:
        raise no_response(str(body["previous_response_id"]))


def no_response(name: str) -> Refusal:
    text = f"Response with id '{name}' not found."
    return Refusal(text, status=404, kind="invalid_request_error", field="response_id")


def check_parts(messages: list[Json]) -> None:
    """Of a chat or of a Responses request, before a prompt is made of them."""
    for message in messages:
        if message.get("type") == "reasoning" and message.get("encrypted_content"):
            raise Refusal("Encrypted content is not supported.", "input")
        for part in parts_of(message):
            kind = part.get("type", "text")
            if message.get("role") and kind not in _PARTS:
                text = f"Unsupported chat content part type: '{kind}'. Supported types: {', '.join(_PARTS)}."
                raise Refusal(text, "type", kind)
