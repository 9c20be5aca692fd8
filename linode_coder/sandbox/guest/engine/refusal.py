"""How vLLM refuses a request: in its own words, and in those of FastAPI and pydantic."""

from __future__ import annotations

from ..json_types import Json

# Errors of one body that are told; the others are counted.
_SHOWN = 10
# What Anthropic's clients call an error, by its status.
_ANTHROPIC = {400: "invalid_request_error", 404: "not_found_error"}


def anthropic_error(status: int, message: str) -> Json:
    kind = _ANTHROPIC[status] if status < 500 else "api_error"
    return {"type": "error", "error": {"type": kind, "message": message}}


def internal_error(message: str) -> Json:
    return {"error": {"message": message, "type": "InternalServerError", "param": None, "code": 500}}


class Refusal(Exception):
    """An error of the route: `body` is how OpenAI's clients get it, `anthropic` how Anthropic's do.

    `param` is named in the text as well, `field` is not.
    """

    def __init__(
        self,
        message: str,
        param: str | None = None,
        value: object = None,
        *,
        status: int = 400,
        kind: str = "BadRequestError",
        field: str | None = None,
    ) -> None:
        if param is not None and kind == "BadRequestError":
            message += f" (parameter={param}" + (")" if value is None else f", value={value})")
        super().__init__(message)
        self.status = status
        self.body: Json = {"error": {"message": message, "type": kind, "param": field or param, "code": status}}
        self.anthropic = anthropic_error(status, message)


class EngineRefusal(Refusal):
    """An error of the engine, which is asked last: a stream has begun by then, and has this for its only event."""


class BadBody(Refusal):
    """What FastAPI refuses before the route: every client gets it the same way. Each error is type, place, text and input, and
    may have a context of its own.
    """

    def __init__(
        self, *errors: tuple[str, str, str, object] | tuple[str, str, str, object, str], context: str = ""
    ) -> None:
        lines = [
            f"  {{'type': '{kind}', 'loc': '{place}', 'msg': {text!r}, 'input': '{_shown(given)}'{why or context}}}"
            for kind, place, text, given, *more in errors
            for why in ("".join(map(str, more)),)
        ]
        if len(lines) > _SHOWN:
            lines[_SHOWN:] = [f"  ...and {len(lines) - _SHOWN} more errors"]
        head = "1 validation error:" if len(errors) == 1 else f"{len(errors)} validation errors:"
        super().__init__("\n".join([head, *lines]), errors[0][1], kind="Bad Request")
        self.anthropic = self.body


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return f"<{type(value).__name__} of {len(value)} items>"
    return str(value)


def missing(place: str, given: object) -> tuple[str, str, str, object]:
    return "missing", place, "Field required", given


def not_one_of(place: str, names: tuple[str, ...], given: object) -> tuple[str, str, str, object, str]:
    """A value that is none of the words that there are."""
    quoted = [f"'{name}'" for name in names]
    words = " or ".join(filter(None, (", ".join(quoted[:-1]), quoted[-1])))
    return "literal_error", place, f"Input should be {words}", given, f", 'ctx': {{'expected': {words!r}}}"
