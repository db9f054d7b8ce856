"""JSON answers, errors as JSON, bodies with a limit."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from ..errors import (
    HostError,
    InputError,
    InputErrors,
    LoraFileError,
    LoraTrainerError,
    NotInstalledError,
    NotYetError,
    SaveError,
    StoreError,
)
from ..foreign.json_text import parse_json, without_nan
from ..log import logger
from .speech import spoken

# No other site may show our answers in a frame, and so lead a person's clicks. The older header is for older browsers.
FRAME_HEADERS = {"Content-Security-Policy": "frame-ancestors 'self'", "X-Frame-Options": "SAMEORIGIN"}
HEADERS = {"X-Content-Type-Options": "nosniff", **FRAME_HEADERS}  # of every answer of ours
_DEPTH = 32  # of a request; what is made of it is stored and read again
MAX_JSON = 4 << 20  # bytes; a form with its prompts is a few kilobytes


class Refusal(LoraTrainerError):
    """A request that is not served: `status` is the HTTP status."""

    def __init__(self, status: int, message: str, *, advice: str = "") -> None:
        self.status = status
        super().__init__(message, advice=advice)


def missing(what: str) -> Refusal:
    return Refusal(404, f"There is no {what}.")


class _Answer(JSONResponse):
    """JSON whatever the content holds: a name on a disk may be no Unicode, a number in a damaged file no number."""

    def render(self, content: Any) -> bytes:
        try:
            text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        except ValueError:
            text = json.dumps(without_nan(content), ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", errors="replace")


def answer(content: dict[str, Any], status: int = 200) -> JSONResponse:
    headers = {"Cache-Control": "no-store", "X-Lora-Trainer": "1", "Vary": "Accept-Language", **HEADERS}
    return _Answer(spoken(content), status_code=status, headers=headers)


def problem(error: InputError, level: str = "error") -> dict[str, str]:
    """A Problem of docs/api.md."""
    return {"field": error.field, "level": level, "message": error.message, "advice": error.advice, "where": error.where}


def error_answer(error: Exception) -> JSONResponse:
    """The answer to a request that raised `error`. Our own errors tell the user; a bug is logged and told as such."""
    if isinstance(error, InputErrors):
        problems = [problem(single) for single in error.errors]
        first = error.errors[0]
        about = {"message": first.message, "advice": first.advice, "field": first.field}
        return answer({"error": about, "problems": problems}, 422)
    if not isinstance(error, LoraTrainerError):
        logger.exception("a request failed", exc_info=error)
        about = {"message": f"This is a bug: {type(error).__name__}: {error}.", "advice": "See the program's log.", "field": ""}
        return answer({"error": about}, 500)
    status = 500
    if isinstance(error, Refusal):
        status = error.status
    elif isinstance(error, (InputError, LoraFileError)):
        status = 400
    elif isinstance(error, NotYetError):
        status = 423
    elif isinstance(error, (StoreError, HostError, NotInstalledError)):
        status = 409
    elif isinstance(error, SaveError):
        status = 507
    about = {"message": error.message, "advice": error.advice, "field": getattr(error, "field", "")}
    return answer({"error": about}, status)


async def json_body(request: Request) -> dict[str, Any]:
    """The body as a JSON object; an empty body is {}. Raises Refusal: 413 too large, 400 not an object."""
    data = bytearray()
    try:
        async for chunk in request.stream():
            data += chunk
            if len(data) > MAX_JSON:
                raise Refusal(413, f"The request is larger than {MAX_JSON >> 20} MB.")
    except ClientDisconnect as error:
        raise Refusal(400, "The request was broken off.") from error
    if not data.strip():
        return {}
    try:
        found = parse_json(data.decode("utf-8"), depth=_DEPTH, strict=True)  # half a character names no file
    except ValueError as error:
        raise Refusal(400, f"The request is not JSON that is read here: it {str(error).rstrip('.')}.") from error
    if not isinstance(found, dict):
        raise Refusal(400, f"The request is a JSON {type(found).__name__}, expected an object.")
    return found


def text_of(body: dict[str, Any], name: str, default: str | None = None) -> str:
    """A text in the body. Raises Refusal when it is missing (no default) or no text."""
    value = body.get(name, default)
    if not isinstance(value, str):
        raise Refusal(400, f"{name!r} is missing." if value is None else f"{name!r} is not a text.")
    return value


def number_of(body: dict[str, Any], name: str, *, minimum: int) -> int:
    """A whole number in the body. Raises Refusal when it is missing, no whole number or below `minimum`."""
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise Refusal(400, f"{name!r} is {value!r}, expected a whole number from {minimum} on.")
    return value


def flag_of(body: dict[str, Any], name: str) -> bool:
    """A yes or no in the body, no when it is missing. Raises Refusal when it is anything else."""
    value = body.get(name, False)
    if not isinstance(value, bool):
        raise Refusal(400, f"{name!r} is {value!r}, expected true or false.")
    return value
