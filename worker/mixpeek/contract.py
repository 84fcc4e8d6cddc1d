"""Mixpeek's documented contract of realtime/test: the request as bytes, and bytes as an answer. Pure and total."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json, to_json

from worker.core.exchange import Malformed, Refusal, Reply
from worker.mixpeek.excerpts import one_line, prose
from worker.mixpeek.refusals import header, location, read_refusal

_SHOWN_CHARS = 120


class ReplyBody(BaseModel):
    """What the endpoint documents for 200. Unknown fields are ignored, so that the API may grow."""

    model_config = ConfigDict(strict=True, extra="ignore")

    status: str
    inference_name: str
    raw_response: Any = None
    response_type: str | None = None
    # Without fail_fast a list of a million wrong elements becomes a million problems.
    response_keys: tuple[str, ...] | None = Field(default=None, fail_fast=True)
    error: str | None = None
    message: str | None = None


_EXPECTED = {
    "status": "a string",
    "inference_name": "a string",
    "response_type": "a string or null",
    "response_keys": "an array of strings or null",
    "error": "a string or null",
    "message": "a string or null",
}


def encode_request(inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> bytes:
    """The request's body. Raises ValueError for values that are no JSON.

    Both members are optional to the endpoint; we always send both, since null is outside the contract.
    """
    return to_json({"inputs": inputs, "parameters": parameters}, inf_nan_mode="null")


def read_answer(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> Reply | Refusal | Malformed:
    """What a complete HTTP answer says. `now` (Unix seconds) is what a Retry-After date is compared with.

    Never raises, whatever the status, the headers and the body hold.
    """
    if 200 <= status < 300:
        return _read_reply(body)
    if 300 <= status < 600:
        document = _parsed(body)
        refusal = read_refusal(document, headers, now)
        return Refusal(
            error=refusal.message or _described(status, headers, body, document),
            error_type=refusal.type,
            error_code=refusal.code,
            enveloped=refusal.enveloped,
            retry_after_s=refusal.retry_after_s,
            retry_after_present=header(headers, "Retry-After") is not None,
        )
    return Malformed(expected="a 2xx to 5xx status", found=f"HTTP {status}")


def _read_reply(body: bytes) -> Reply | Malformed:
    if not body:
        return Malformed(expected="a JSON object", found="an empty body")
    try:
        fields = ReplyBody.model_validate_json(body)
    except ValidationError as error:
        return _malformed(error, body)
    except (ValueError, RecursionError, MemoryError) as error:
        return Malformed(expected="a JSON object", found=f"a body that cannot be parsed ({type(error).__name__})")
    return Reply(
        status=fields.status,
        inference_name=fields.inference_name,
        raw_response=fields.raw_response,
        response_type=fields.response_type,
        response_keys=fields.response_keys,
        error=fields.error,
        message=fields.message,
    )


def _malformed(error: ValidationError, body: bytes) -> Malformed:
    problem = error.errors(include_url=False, include_context=False)[0]
    place = problem["loc"]
    if problem["type"] == "json_invalid":
        reason = problem["msg"].removeprefix("Invalid JSON: ")
        found = one_line(f"no JSON ({reason}): {prose(body)}", 2 * _SHOWN_CHARS)
        return Malformed(expected="a JSON object", found=found)
    if not place:
        return Malformed(expected="a JSON object", found=_kind(problem["input"]))
    field = str(place[0])
    found = "no such field" if problem["type"] == "missing" else _kind(problem["input"])
    if len(place) > 1:
        found = f"{found} at {field}[{place[1]}]"
    return Malformed(expected=f"{field}: {_EXPECTED.get(field, 'a JSON value')}", found=found)


def _kind(value: object) -> str:
    """A JSON value named for a person; long ones by their kind alone."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return one_line(f'text "{value[:_SHOWN_CHARS]}"', _SHOWN_CHARS)
        case int():
            # Not written out: Python refuses to print integers of more than 4,300 digits.
            return f"number {value}" if value.bit_length() <= 64 else "a huge number"
        case float():
            return f"number {value!r}"
        case list():
            return "an array"
        case _:
            return "an object"


def _parsed(body: bytes) -> Any:
    """The body as JSON, or None. (A body that says null tells as little.)"""
    try:
        return from_json(body)
    except (ValueError, RecursionError, MemoryError):
        return None


def _described(status: int, headers: Mapping[str, str], body: bytes, document: Any) -> str:
    """An error text for an answer that brings none in a shape that is known."""
    title = f"HTTP {status}"
    if status in _PHRASES:
        title = f"{title} {_PHRASES[status]}"
    target = location(headers) if status < 400 else None
    if target:
        return one_line(f"{title}, to {target}")
    words = "" if document in ({}, []) else prose(body)
    return one_line(f"{title}: {words}") if words else title


_PHRASES = {member.value: member.phrase for member in HTTPStatus}
