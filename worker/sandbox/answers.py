"""What a call comes to, and the JSON bodies that Mixpeek documents for it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """The plugin answered: its reply as JSON text, with what Mixpeek says beside it."""

    raw_json: str
    response_type: str
    response_keys: list[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """The call failed inside the plugin: HTTP 200 with status "error"."""

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The platform answered in the plugin's place: a status of its own, and a body that may be anything."""

    status: int
    body: str
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


Answer = Success | Failure | Refusal


def success(value: Any) -> Success:
    """Encodes what a plugin returned; TypeError, ValueError or RecursionError when it is not JSON.

    NaN and infinities travel as the literals that Python servers emit.
    """
    keys = [_json_key(key) for key in value] if isinstance(value, dict) else None
    return Success(raw_json=json.dumps(value), response_type=type(value).__name__, response_keys=keys)


def _json_key(key: object) -> str:
    """The name that `key` has on the wire: True is "true", 1 is "1"."""
    return key if isinstance(key, str) else str(next(iter(json.loads(json.dumps({key: None})))))


def realtime_body(inference_name: str, answer: Success | Failure) -> str:
    """The documented body of realtime/test; the plugin's own JSON is spliced in as it is."""
    failed = isinstance(answer, Failure)
    head = {"status": "error" if failed else "success", "inference_name": inference_name}
    tail = {
        "response_type": None if isinstance(answer, Failure) else answer.response_type,
        "response_keys": None if isinstance(answer, Failure) else answer.response_keys,
        "error": answer.error if isinstance(answer, Failure) else None,
        "message": f"Inference call to '{inference_name}' {'failed' if failed else 'succeeded'}",
    }
    raw_json = "null" if isinstance(answer, Failure) else answer.raw_json
    return f'{json.dumps(head)[:-1]}, "raw_response": {raw_json}, {json.dumps(tail)[1:]}'


def refusal(
    status: int,
    kind: str,
    message: str,
    *,
    code: str | None = None,
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Refusal:
    """The documented error envelope: success, status, error {message, type, code, details}."""
    error: dict[str, Any] = {"message": message, "type": kind}
    if code is not None:
        error["code"] = code
    if details is not None:
        error["details"] = details
    body = json.dumps({"success": False, "status": status, "error": error})
    return Refusal(status=status, body=body, headers=headers or {})


def detail(status: int, value: Any) -> Refusal:
    """The shape that the plugin routes use beside the envelope: {"detail": …}."""
    return Refusal(status=status, body=json.dumps({"detail": value}))


def unauthorized(message: str = "Invalid or missing API key") -> Refusal:
    return refusal(401, "UnauthorizedError", message)


def warming(retry_after_s: int) -> Refusal:
    return refusal(
        503,
        "InferenceServiceUnavailableError",
        "The model is warming up; try again shortly",
        code="model_warming",
        details={"retry_after_seconds": retry_after_s},
        headers={"Retry-After": str(retry_after_s)},
    )


def too_many_requests(*, limit: int, window: str, retry_after_s: int) -> Refusal:
    return refusal(
        429,
        "TooManyRequestsError",
        "Rate limit exceeded",
        details={"limit": limit, "window": window, "retry_after": retry_after_s},
        headers={"Retry-After": str(retry_after_s)},
    )
