"""What an error answer says: type, code, message and Retry-After, in any of the five documented shapes.

A {success, status, error: {…}} · B {detail: text} · C {detail: {…}} · D {detail: [{loc, msg, type}]}
· E {detail: {error: {…}}}
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from worker.mixpeek.excerpts import one_line
from worker.retry_after import MAX_RETRY_AFTER_S, retry_after_s, seconds_of

_MAX_NAME_CHARS = 128
_MAX_VALIDATION_PROBLEMS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusalText:
    message: str | None
    type: str | None
    code: str | None
    enveloped: bool
    retry_after_s: float | None


def read_refusal(document: Any, headers: Mapping[str, str], now: float) -> RefusalText:
    """`document` is the body as JSON, None where it is none; `now` is in Unix seconds."""
    error = _error_of(document)
    return RefusalText(
        message=_text(error.get("message")) or _text(error.get("msg")),
        type=_text(error.get("type"), _MAX_NAME_CHARS),
        code=_text(error.get("code"), _MAX_NAME_CHARS),
        enveloped=_is_envelope(document),
        retry_after_s=_retry_after_s(header(headers, "Retry-After"), error.get("details"), now),
    )


def header(headers: Mapping[str, str], name: str) -> str | None:
    """A header by name, whatever its case, also from a plain dict."""
    value = headers.get(name)
    if value is not None:
        return value
    wanted = name.lower()
    return next((value for key, value in headers.items() if key.lower() == wanted), None)


def location(headers: Mapping[str, str]) -> str | None:
    """Where a redirect points, without user information, query and fragment: those may hold secrets."""
    value = header(headers, "Location")
    if value is None:
        return None
    try:
        parts = urlsplit(value)
    except ValueError:
        return None
    host = parts.netloc.rpartition("@")[2]
    origin = f"{parts.scheme}://{host}" if parts.scheme and host else f"//{host}" if host else ""
    return one_line(origin + parts.path) or None


def _error_of(document: Any) -> Mapping[str, Any]:
    """The object that holds message, type, code and details, whichever shape it came in."""
    if not isinstance(document, dict):
        return {}
    # `detail` is FastAPI's; a bare `error` or `message` is what gateways in front of it write.
    for value in (document.get("error"), document.get("detail")):
        if isinstance(value, str):
            return {"message": value}
        if isinstance(value, list):
            return _validation_error(value)
        if isinstance(value, dict):
            return _unwrapped(value)
    return document


def _unwrapped(value: dict[str, Any]) -> Mapping[str, Any]:
    inner = value.get("error")
    if isinstance(inner, dict):
        return inner
    if isinstance(inner, str) and "message" not in value:
        return {**value, "message": inner}
    return value


def _validation_error(problems: list[Any]) -> Mapping[str, Any]:
    known = [problem for problem in problems[:_MAX_VALIDATION_PROBLEMS] if isinstance(problem, dict)]
    lines = [_validation_line(problem) for problem in known]
    more = len(problems) - len(known)
    if lines and more > 0:
        lines.append(f"and {more} more")
    first_type = known[0].get("type") if known else None
    return {"message": "; ".join(lines), "type": first_type}


def _validation_line(problem: dict[str, Any]) -> str:
    place = problem.get("loc")
    steps = place[:8] if isinstance(place, list) else []
    path = ".".join(one_line(str(step), 60) for step in steps if isinstance(step, (str, int)) and not _is_huge(step))
    message = _text(problem.get("msg")) or "invalid"
    return f"{path}: {message}" if path else message


def _is_huge(step: str | int) -> bool:
    return isinstance(step, int) and step.bit_length() > 64


def _is_envelope(document: Any) -> bool:
    if not isinstance(document, dict) or document.get("success") is not False:
        return False
    error = document.get("error")
    return isinstance(error, dict) and isinstance(error.get("message"), str) and isinstance(error.get("type"), str)


def _text(value: Any, limit_chars: int = 500) -> str | None:
    return (one_line(value, limit_chars) or None) if isinstance(value, str) else None


def _retry_after_s(value: str | None, details: Any, now: float) -> float | None:
    asked_s = None if value is None else retry_after_s(value, now)
    if asked_s is None and isinstance(details, dict):
        asked_s = _seconds(details.get("retry_after_seconds"))
        if asked_s is None:
            asked_s = _seconds(details.get("retry_after"))
    return asked_s


def _seconds(value: Any) -> float | None:
    """A number of seconds, zero or more; None for anything else, negative numbers and NaN included."""
    if isinstance(value, str):
        return seconds_of(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    # Comparing before converting: float() of a huge integer overflows, and NaN fails every comparison.
    if value >= MAX_RETRY_AFTER_S:
        return MAX_RETRY_AFTER_S
    return float(value) if value >= 0 else None
