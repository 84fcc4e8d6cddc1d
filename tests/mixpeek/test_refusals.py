"""Error answers: five documented shapes, bodies of gateways, and Retry-After."""

import json
import math
from typing import Any

import pytest

from worker.core.exchange import Refusal
from worker.mixpeek.contract import read_answer
from worker.retry_after import MAX_RETRY_AFTER_S

NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT


def refusal_to(document: Any, status: int = 500, **headers: str) -> Refusal:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = read_answer(status, named, json.dumps(document).encode(), now=NOW)
    assert isinstance(answer, Refusal), answer
    return answer


ENVELOPE = {
    "success": False,
    "status": 503,
    "error": {"message": "Warming up", "type": "InferenceServiceUnavailableError", "code": "model_warming"},
}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(
            ENVELOPE,
            Refusal(
                error="Warming up",
                error_type="InferenceServiceUnavailableError",
                error_code="model_warming",
                enveloped=True,
            ),
            id="A: envelope",
        ),
        pytest.param(
            {"success": True, "error": {"message": "m", "type": "t"}},
            Refusal(error="m", error_type="t"),
            id="A: not without success false",
        ),
        pytest.param({"success": False, "error": {"message": "m"}}, Refusal(error="m"), id="A: not without a type"),
        pytest.param(
            {"detail": "Plugin not found: p_1_0_0"}, Refusal(error="Plugin not found: p_1_0_0"), id="B: detail text"
        ),
        pytest.param(
            {"detail": {"message": "Plugin quota exceeded (10/10)", "type": "QuotaExceededError", "details": {}}},
            Refusal(error="Plugin quota exceeded (10/10)", error_type="QuotaExceededError"),
            id="C: detail object",
        ),
        pytest.param(
            {"detail": [{"loc": ["body", "inputs", 0], "msg": "Field required", "type": "missing"}]},
            Refusal(error="body.inputs.0: Field required", error_type="missing"),
            id="D: validation list",
        ),
        pytest.param(
            {"detail": [{"msg": "a"}, {"msg": "b"}, {"loc": [], "msg": "c"}, {"msg": "d"}]},
            Refusal(error="a; b; c; and 1 more"),
            id="D: more than three",
        ),
        pytest.param(
            {"detail": {"error": {"message": "m", "type": "t", "code": "model_warming"}}},
            Refusal(error="m", error_type="t", error_code="model_warming"),
            id="E: detail.error",
        ),
        pytest.param({"detail": {"error": "m"}}, Refusal(error="m"), id="E: as text"),
        pytest.param({"message": "Forbidden"}, Refusal(error="Forbidden"), id="a gateway's message"),
        pytest.param({"error": "nope"}, Refusal(error="nope"), id="a gateway's error"),
        pytest.param({}, Refusal(error="HTTP 503 Service Unavailable"), id="empty object"),
        pytest.param(
            {"error": {"message": 5, "type": [], "code": {}}},
            Refusal(error='HTTP 503 Service Unavailable: {"error": {"message": 5, "type": [], "code": {}}}'),
            id="wrong types",
        ),
        pytest.param(
            {"error": {"message": "two\nlines\x1b[31m\x00 and a tab\t"}},
            Refusal(error="two lines [31m and a tab"),
            id="control characters",
        ),
    ],
)
def test_error_bodies_in_all_documented_shapes(document: Any, expected: Refusal) -> None:
    assert refusal_to(document, 503) == expected


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        pytest.param(
            502,
            b"<html><head><style>b{}</style></head><body><h1>502 Bad&nbsp;Gateway</h1></body></html>",
            "HTTP 502 Bad Gateway: 502 Bad Gateway",
            id="HTML",
        ),
        pytest.param(403, b"error code: 1010", "HTTP 403 Forbidden: error code: 1010", id="text"),
        pytest.param(404, b"", "HTTP 404 Not Found", id="empty"),
        pytest.param(599, b"", "HTTP 599", id="no phrase"),
        pytest.param(500, b"\xff\xfe\x00", "HTTP 500 Internal Server Error: ��", id="binary"),
    ],
)
def test_error_bodies_that_are_no_json(status: int, body: bytes, error: str) -> None:
    assert read_answer(status, {}, body, now=NOW) == Refusal(error=error)


def test_an_error_text_is_cut() -> None:
    assert refusal_to({"detail": "x" * 10_000}).error == "x" * 499 + "…"


@pytest.mark.parametrize(
    ("target", "error"),
    [
        pytest.param(
            "https://other.example/v1/x", "HTTP 307 Temporary Redirect, to https://other.example/v1/x", id="url"
        ),
        pytest.param("/v1/x/", "HTTP 307 Temporary Redirect, to /v1/x/", id="path"),
        pytest.param(
            "https://user:secret@h.example/x?token=secret#secret",
            "HTTP 307 Temporary Redirect, to https://h.example/x",
            id="secrets are left out",
        ),
        pytest.param("http://[", "HTTP 307 Temporary Redirect", id="unreadable"),
    ],
)
def test_a_redirect_says_where_to(target: str, error: str) -> None:
    assert read_answer(307, {"location": target}, b"", now=NOW) == Refusal(error=error)


@pytest.mark.parametrize(
    ("value", "expected_s"),
    [
        pytest.param("15", 15.0, id="seconds"),
        pytest.param(" 0 ", 0.0, id="zero"),
        pytest.param("1.5", 1.5, id="fraction"),
        pytest.param("Sun, 06 Nov 1994 08:50:07 GMT", 30.0, id="IMF-fixdate"),
        pytest.param("Sunday, 06-Nov-94 08:50:07 GMT", 30.0, id="RFC 850"),
        pytest.param("Sun Nov  6 08:50:07 1994", 30.0, id="asctime"),
        pytest.param("Sun, 06 Nov 1994 08:49:07 GMT", 0.0, id="a date that has passed"),
        pytest.param("999999999999999", MAX_RETRY_AFTER_S, id="absurd"),
        pytest.param("9" * 300, MAX_RETRY_AFTER_S, id="huge"),
        pytest.param("9" * 5000, None, id="endless"),
        pytest.param("-5", None, id="negative"),
        pytest.param("NaN", None, id="NaN"),
        pytest.param("inf", None, id="infinity"),
        pytest.param("1e3", None, id="exponent"),
        pytest.param("٣", None, id="other digits"),
        pytest.param("soon", None, id="text"),
        pytest.param("", None, id="empty"),
        pytest.param("Sun, 99 Nov 1994 08:50:07 GMT", None, id="no such day"),
    ],
)
def test_retry_after_header(value: str, expected_s: float | None) -> None:
    refusal = refusal_to({}, 429, Retry_After=value)
    assert (refusal.retry_after_s, refusal.retry_after_present) == (expected_s, True)


@pytest.mark.parametrize(
    ("details", "expected_s"),
    [
        pytest.param({"retry_after_seconds": 7, "retry_after": 15}, 7.0, id="both"),
        pytest.param({"retry_after": 15}, 15.0, id="retry_after"),
        pytest.param({"retry_after_seconds": "x", "retry_after": 15}, 15.0, id="first unreadable"),
        pytest.param({"retry_after": "2.5"}, 2.5, id="as text"),
        pytest.param({"retry_after": True}, None, id="boolean"),
        pytest.param({"retry_after": -1}, None, id="negative"),
        pytest.param({"retry_after": None}, None, id="null"),
        pytest.param({"retry_after": 10**400}, MAX_RETRY_AFTER_S, id="huge"),
        pytest.param({"retry_after": math.nan}, None, id="NaN"),
        pytest.param(["retry_after"], None, id="details a list"),
    ],
)
def test_retry_after_in_the_body(details: Any, expected_s: float | None) -> None:
    refusal = refusal_to({"error": {"message": "m", "details": details}}, 429)
    assert (refusal.retry_after_s, refusal.retry_after_present) == (expected_s, False)


@pytest.mark.parametrize("shape", [lambda e: {"error": e}, lambda e: {"detail": e}, lambda e: {"detail": {"error": e}}])
def test_retry_after_is_found_in_every_shape_with_details(shape: Any) -> None:
    assert refusal_to(shape({"message": "m", "details": {"retry_after": 4}}), 429).retry_after_s == 4.0


def test_a_readable_header_comes_before_the_body() -> None:
    document = {"error": {"message": "m", "details": {"retry_after": 15}}}
    assert refusal_to(document, 429, retry_after="3").retry_after_s == 3.0
    assert refusal_to(document, 429, retry_after="soon").retry_after_s == 15.0
