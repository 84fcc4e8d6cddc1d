"""The contract: what is sent, and what any status, headers and bytes amount to."""

import json
import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from worker.core.exchange import Malformed, Refusal, Reply
from worker.mixpeek.contract import encode_request, read_answer
from worker.retry_after import MAX_RETRY_AFTER_S

NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT


GOOD: dict[str, Any] = {"status": "success", "inference_name": "custom_plugin_x_1_0_0"}


def answer_to(document: Any, status: int = 200, **headers: str) -> Reply | Refusal | Malformed:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_answer(status, named, json.dumps(document).encode(), now=NOW)


def reply_to(body: bytes) -> Reply:
    answer = read_answer(200, {}, body, now=NOW)
    assert isinstance(answer, Reply), answer
    return answer


def test_a_request_always_has_both_objects() -> None:
    assert encode_request({}, {}) == b'{"inputs":{},"parameters":{}}'


def test_a_request_is_sent_as_it_was_given() -> None:
    inputs = {"texts": ["héllo", None, 1, 1.5, True], "nested": {"a": {"b": []}}}
    assert json.loads(encode_request(inputs, {"k": 3})) == {"inputs": inputs, "parameters": {"k": 3}}


def test_the_documented_example_is_a_reply() -> None:
    body = b"""{"status":"success","inference_name":"custom_plugin_my_embedder_1_0_0",
        "raw_response":{"embedding":[0.1,0.2,0.3]},"response_type":"dict","response_keys":["embedding"],
        "message":"Inference call to 'custom_plugin_my_embedder_1_0_0' succeeded"}"""
    assert reply_to(body) == Reply(
        status="success",
        inference_name="custom_plugin_my_embedder_1_0_0",
        raw_response={"embedding": [0.1, 0.2, 0.3]},
        response_type="dict",
        response_keys=("embedding",),
        message="Inference call to 'custom_plugin_my_embedder_1_0_0' succeeded",
    )


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        pytest.param({}, Reply(**GOOD), id="required fields alone"),
        pytest.param({"error": None, "message": None, "response_keys": None}, Reply(**GOOD), id="nulls"),
        pytest.param({"latency_ms": 3, "status_code": "x"}, Reply(**GOOD), id="unknown fields are ignored"),
        pytest.param({"raw_response": [1, "a"]}, Reply(**GOOD, raw_response=[1, "a"]), id="any raw_response"),
        pytest.param({"response_keys": []}, Reply(**GOOD, response_keys=()), id="no keys"),
        pytest.param({"error": "boom"}, Reply(**GOOD, error="boom"), id="error text beside success"),
    ],
)
def test_replies_within_the_contract(more: dict[str, Any], expected: Reply) -> None:
    assert answer_to({**GOOD, **more}) == expected


@pytest.mark.parametrize(
    ("document", "expected", "found"),
    [
        pytest.param([], "a JSON object", "an array", id="array"),
        pytest.param(None, "a JSON object", "null", id="null"),
        pytest.param("up", "a JSON object", 'text "up"', id="text"),
        pytest.param({"inference_name": "x"}, "status: a string", "no such field", id="no status"),
        pytest.param({"status": "success"}, "inference_name: a string", "no such field", id="no name"),
        pytest.param({**GOOD, "status": 200}, "status: a string", "number 200", id="status a number"),
        pytest.param({**GOOD, "status": None}, "status: a string", "null", id="status null"),
        pytest.param({**GOOD, "status": True}, "status: a string", "true", id="status a boolean"),
        pytest.param({**GOOD, "inference_name": {}}, "inference_name: a string", "an object", id="name an object"),
        pytest.param(
            {**GOOD, "response_type": ["dict"]}, "response_type: a string or null", "an array", id="type a list"
        ),
        pytest.param(
            {**GOOD, "response_keys": "embedding"},
            "response_keys: an array of strings or null",
            'text "embedding"',
            id="keys a text",
        ),
        pytest.param(
            {**GOOD, "response_keys": ["a", 1.5]},
            "response_keys: an array of strings or null",
            "number 1.5 at response_keys[1]",
            id="keys with a number",
        ),
        pytest.param({**GOOD, "error": 10**30}, "error: a string or null", "a huge number", id="huge number"),
    ],
)
def test_replies_that_break_the_contract(document: Any, expected: str, found: str) -> None:
    assert answer_to(document) == Malformed(expected=expected, found=found)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        pytest.param(b"", "an empty body", id="empty"),
        pytest.param(
            b"<html><body>\n<h1>Welcome</h1></body></html>",
            "no JSON (expected value at line 1 column 1): Welcome",
            id="HTML",
        ),
        pytest.param(b'{"status": ', 'no JSON (EOF while parsing a value at line 1 column 11): {"status":', id="cut"),
        pytest.param(b"\xef\xbb\xbf{}", "no JSON (expected value at line 1 column 1): {}", id="byte order mark"),
    ],
)
def test_bodies_that_are_no_json_object(body: bytes, found: str) -> None:
    assert read_answer(200, {}, body, now=NOW) == Malformed(expected="a JSON object", found=found)


@pytest.mark.parametrize("depth", [201, 100_000])
def test_deep_nesting_is_malformed(depth: int) -> None:
    body = b'{"status":"success","inference_name":"x","raw_response":' + b"[" * depth + b"]" * depth + b"}"
    answer = read_answer(200, {}, body, now=NOW)
    assert isinstance(answer, Malformed)
    assert answer.found.startswith("no JSON (recursion limit exceeded at line 1 column ")


def test_nan_and_infinity_pass_for_the_judge_to_find() -> None:
    body = b'{"status":"success","inference_name":"x","raw_response":[NaN,Infinity,-Infinity,1e400]}'
    first, *others = reply_to(body).raw_response
    assert math.isnan(first)
    assert others == [math.inf, -math.inf, math.inf]


def test_huge_integers_pass() -> None:
    body = b'{"status":"success","inference_name":"x","raw_response":1' + b"0" * 3999 + b"}"
    assert reply_to(body).raw_response == 10**3999


def test_of_a_field_given_twice_the_last_counts() -> None:
    assert reply_to(b'{"status":"a","status":"success","inference_name":"x"}') == Reply(
        status="success", inference_name="x"
    )


def test_a_million_wrong_keys_make_one_problem() -> None:
    answer = answer_to({**GOOD, "response_keys": [0] * 1_000_000})
    assert answer == Malformed(
        expected="response_keys: an array of strings or null", found="number 0 at response_keys[0]"
    )


@pytest.mark.parametrize("status", [0, 100, 101, 199, 600, 999, -1])
def test_other_statuses_are_malformed(status: int) -> None:
    assert read_answer(status, {}, b"{}", now=NOW) == Malformed(expected="a 2xx to 5xx status", found=f"HTTP {status}")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["detail", "error", "message", "msg", "type", "code", "details", "retry_after", "loc", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


header_values = st.text(max_size=40) | st.sampled_from(["Sun, 06 Nov 1994", "1", "-1", "Mon, 1 Jan 99999 0:0:0 +9999"])


@settings(max_examples=300, deadline=None)
@given(
    status=st.integers(-10, 1100) | st.sampled_from([200, 307, 429, 503]),
    headers=st.dictionaries(st.sampled_from(["Retry-After", "location", "X"]), header_values),
    body=st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode()),
)
@example(status=200, headers={}, body=b"[" * 100_000)
@example(status=500, headers={}, body=b'{"detail":' * 100_000)
@example(status=500, headers={}, body=b"<" * 100_000)
@example(status=500, headers={}, body=b"<script>" * 10_000)
@example(status=429, headers={}, body=b'{"detail":[{"loc":[1' + b"0" * 5000 + b'],"msg":"x"}]}')
@example(status=200, headers={}, body=b'"\\ud800"')
def test_reading_is_total(status: int, headers: dict[str, str], body: bytes) -> None:
    """Any status, headers and body give exactly one answer, whose texts are one line and short."""
    match read_answer(status, headers, body, now=NOW):
        case Reply():
            assert 200 <= status < 300
        case Refusal() as refusal:
            assert 300 <= status < 600
            assert 0 < len(refusal.error) <= 500
            assert refusal.error.splitlines() == [refusal.error]
            assert refusal.retry_after_s is None or 0.0 <= refusal.retry_after_s <= MAX_RETRY_AFTER_S
        case Malformed() as malformed:
            assert 0 < len(malformed.found) <= 500
            assert malformed.found.splitlines() == [malformed.found]
