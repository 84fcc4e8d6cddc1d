"""The rules of a documented 2xx reply: each one kept and broken, with what was expected beside what was found."""

import math
from typing import Any

import pytest

from tests.fakes import exchange, reply
from worker.core.exchange import Phases, Reply
from worker.core.finding import Finding
from worker.core.outcome import Outcome
from worker.core.rules import Reference, look, reply_findings
from worker.core.target import Expectation, SchemaProblem, VectorExpectation

PLAIN = Expectation()
VIOLATION, BAD, SHAPE = Outcome.CONTRACT_VIOLATION, Outcome.BAD_VALUES, Outcome.SHAPE_MISMATCH


def findings(answer: Reply, expect: Expectation = PLAIN, **changes: Any) -> list[Finding]:
    seen = look(answer, expect)
    return list(reply_findings(answer, expect, exchange(answer, **changes), seen, Reference()))


def finding(rule: str, answer: Reply, expect: Expectation = PLAIN, **changes: Any) -> Finding | None:
    return next((found for found in findings(answer, expect, **changes) if found.rule == rule), None)


def vectors(path: str = "embedding", **changes: Any) -> Expectation:
    return Expectation(vectors=(VectorExpectation(path=path, **changes),))


def test_the_rules_stand_in_the_order_of_precedence() -> None:
    expect = Expectation(
        max_latency_s=1.0,
        keys=("embedding",),
        vectors=(VectorExpectation(path="embedding", dimensions=2, normalized=True),),
        schema=lambda _raw: None,
    )
    answer = reply(response_type="dict", response_keys=("embedding",))
    assert [found.rule for found in findings(answer, expect)] == [
        "status",
        "response_type",
        "response_keys",
        "plugin",
        "finite",
        "vector embedding",
        "normalized embedding",
        "keys",
        "dimensions embedding",
        "schema",
        "max_latency",
    ]
    assert all(found.outcome is None for found in findings(answer, expect))


def test_nothing_is_checked_unless_given() -> None:
    assert [found.rule for found in findings(reply("text"))] == ["status", "plugin", "finite"]


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        pytest.param("success", None, id="success"),
        pytest.param("error", None, id="error is documented"),
        pytest.param("Success", VIOLATION, id="another case"),
        pytest.param("pending", VIOLATION, id="unknown"),
        pytest.param("", VIOLATION, id="empty"),
    ],
)
def test_the_status_is_one_of_two_words(status: str, outcome: Outcome | None) -> None:
    found = Finding(rule="status", expected="success or error", found=status, outcome=outcome)
    assert finding("status", reply(status=status)) == found


SAID: dict[str, list[Any]] = {
    "dict": [{"a": 1}, {}],
    "list": [[1], []],
    "str": ["x", ""],
    "int": [1, 1.5, 10**400],
    "float": [1, 1.5],
    "bool": [True, False],
}


@pytest.mark.parametrize(
    ("said", "raw"), [pytest.param(said, raw, id=f"{said} for {str(raw)[:9]}") for said in SAID for raw in SAID[said]]
)
def test_a_response_type_that_fits_contradicts_nothing(said: str, raw: Any) -> None:
    found = finding("response_type", Reply(status="success", inference_name="", raw_response=raw, response_type=said))
    assert found is not None
    assert found.outcome is None


@pytest.mark.parametrize(
    ("said", "raw", "told"),
    [
        pytest.param("dict", [1], "list", id="dict for a list"),
        pytest.param("dict", None, "NoneType", id="dict for null"),
        pytest.param("list", {"a": 1}, "dict", id="list for an object"),
        pytest.param("str", 1, "int", id="str for a number"),
        pytest.param("int", "1", "str", id="int for a string"),
        pytest.param("int", True, "bool", id="int for true"),
        pytest.param("float", False, "bool", id="float for false"),
        pytest.param("bool", 1, "int", id="bool for a number"),
        pytest.param("NoneType", 0, "int", id="NoneType for zero"),
        pytest.param("NoneType", {}, "dict", id="NoneType for an object"),
    ],
)
def test_a_response_type_of_another_kind_is_a_contradiction(said: str, raw: Any, told: str) -> None:
    answer = Reply(status="success", inference_name="", raw_response=raw, response_type=said)
    assert finding("response_type", answer) == Finding(
        rule="response_type", expected=f"a {said}", found=f"raw_response is {told}", outcome=VIOLATION
    )


@pytest.mark.parametrize("said", [None, "", "ndarray", "Dict", "tuple", "None"])
def test_a_response_type_of_other_words_contradicts_nothing(said: str | None) -> None:
    assert finding("response_type", reply([1], response_type=said)) is None


def test_null_of_type_nonetype_contradicts_nothing() -> None:
    answer = Reply(status="success", inference_name="", raw_response=None, response_type="NoneType")
    assert all(found.outcome is None for found in findings(answer))


@pytest.mark.parametrize(
    ("said", "raw", "outcome", "told"),
    [
        pytest.param(("a", "b"), {"a": 1, "b": 2}, None, "the keys a, b", id="the same"),
        pytest.param(("b", "a"), {"a": 1, "b": 2}, None, "the keys a, b", id="in another order"),
        pytest.param((), {}, None, "the keys (none)", id="none of none"),
        pytest.param((), [1], None, "no object but integer[1]", id="none of a list"),
        pytest.param(("a",), {"a": 1, "b": 2}, VIOLATION, "the keys a, b", id="one is not told"),
        pytest.param(("a", "b"), {"a": 1}, VIOLATION, "the keys a", id="one is missing"),
        pytest.param((), {"a": 1}, VIOLATION, "the keys a", id="none told"),
        pytest.param(("a",), [1], VIOLATION, "no object but integer[1]", id="keys of a list"),
        pytest.param(("a",), "a", VIOLATION, "no object but string", id="keys of a string"),
    ],
)
def test_response_keys_are_the_keys(said: tuple[str, ...], raw: Any, outcome: Outcome | None, told: str) -> None:
    answer = Reply(status="success", inference_name="", raw_response=raw, response_keys=said)
    expected = f"the keys {', '.join(said)}" if said else "the keys (none)"
    assert finding("response_keys", answer) == Finding(
        rule="response_keys", expected=expected, found=told, outcome=outcome
    )


def test_absent_response_keys_contradict_nothing() -> None:
    assert finding("response_keys", reply({"a": 1}, response_keys=None)) is None


def test_a_long_status_is_cut_for_people() -> None:
    told = findings(reply(status="x" * 1_000_000))
    assert max(len(found.found) for found in told) < 220


def test_long_lists_of_keys_are_cut_for_people() -> None:
    many = finding("response_keys", reply({"x": 1}, response_keys=tuple(f"k{n}" for n in range(12))))
    assert many is not None
    assert many.expected == "the keys k0, k1, k2, k3, k4, k5, k6, k7, k8, k9 and 2 more"
    long = finding("response_keys", reply({"x" * 1_000_000: 1}, response_keys=("a",)))
    assert long is not None
    assert len(long.found) < 220


@pytest.mark.parametrize(
    ("status", "outcome"),
    [pytest.param("success", None, id="success"), pytest.param("error", Outcome.PLUGIN_ERROR, id="error")],
)
def test_a_plugin_says_whether_it_failed(status: str, outcome: Outcome | None) -> None:
    found = finding("plugin", reply(status=status))
    assert found == Finding(rule="plugin", expected="status success", found=f"status {status}", outcome=outcome)


def test_an_error_text_beside_success_is_not_judged() -> None:
    told = findings(reply(error="CUDA out of memory", message="fell back to CPU"))
    assert all(found.outcome is None for found in told)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        pytest.param({"score": math.nan}, "nan at score", id="NaN in an object"),
        pytest.param([1.0, -math.inf], "-inf at [1]", id="infinity in a list"),
        pytest.param(math.inf, "inf at raw_response", id="infinity itself"),
        pytest.param({"k" * 1000: math.nan}, "nan at " + "k" * 199 + "…", id="under a long key"),
    ],
)
def test_numbers_are_finite_everywhere(raw: Any, told: str) -> None:
    found = Finding(rule="finite", expected="finite numbers only", found=told, outcome=BAD)
    assert finding("finite", reply(raw)) == found


ILL = [
    pytest.param([0.5, None], "null among the numbers, at [1]", id="null"),
    pytest.param([[1, 2], [3]], "a ragged list of vectors", id="ragged"),
    pytest.param([], "an empty vector", id="empty"),
    pytest.param([0.0, 0.0], "a zero vector", id="zero"),
    pytest.param([0.5, 0.5], "a constant vector, every element 0.5", id="constant"),
    pytest.param([10**400, 1], "a number that no double can hold", id="huge"),
]


@pytest.mark.parametrize(("vector", "told"), ILL)
def test_the_embedding_at_the_top_is_looked_over_unasked(vector: Any, told: str) -> None:
    found = Finding(rule="vector embedding", expected="a sound vector", found=told, outcome=BAD)
    assert finding("vector embedding", reply({"embedding": vector})) == found


@pytest.mark.parametrize(("vector", "told"), ILL)
def test_a_named_vector_is_looked_over(vector: Any, told: str) -> None:
    found = Finding(rule="vector out[0].v", expected="a sound vector", found=told, outcome=BAD)
    assert finding("vector out[0].v", reply({"out": [{"v": vector}]}), vectors("out[0].v")) == found


@pytest.mark.parametrize(("vector", "told"), ILL)
def test_a_vector_that_nothing_names_is_left_alone(vector: Any, told: str) -> None:
    answer = reply({"logits": vector, "nested": {"embedding": vector}})
    assert all(found.outcome is None for found in findings(answer)), told


def test_what_is_no_vector_at_the_top_is_not_judged() -> None:
    assert all(found.outcome is None for found in findings(reply({"embedding": "base64…"})))


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_one_element_is_neither_zero_nor_constant(value: float) -> None:
    assert all(found.outcome is None for found in findings(reply({"embedding": [value]})))


@pytest.mark.parametrize(
    ("vector", "told", "outcome"),
    [
        pytest.param([0.6, 0.8], "norm 1", None, id="one"),
        pytest.param([0.6, 0.806], "norm 1.00481", None, id="within int8's error"),
        pytest.param([0.6, 0.82], "norm 1.01607", BAD, id="too long"),
        pytest.param([0.3, 0.4], "norm 0.5", BAD, id="too short"),
        pytest.param([[0.6, 0.8], [3.0, 4.0], [0.0, 1.0]], "norm 5", BAD, id="the worst of a matrix"),
        pytest.param([[0.6, 0.8], [0.0, 1.0]], "norm 1", None, id="a matrix"),
        pytest.param([1.7e308, 1.6e308], "norm inf", BAD, id="beyond a double"),
        pytest.param([1.0], "norm 1", None, id="one element"),
        pytest.param([2], "norm 2", BAD, id="one element, not 1"),
    ],
)
def test_a_normalized_vector_has_length_one(vector: Any, told: str, outcome: Outcome | None) -> None:
    found = finding("normalized embedding", reply({"embedding": vector}), vectors(normalized=True))
    assert found == Finding(rule="normalized embedding", expected="norm 1", found=told, outcome=outcome)


def test_an_unsound_vector_is_not_measured() -> None:
    assert finding("normalized embedding", reply({"embedding": [0, 0]}), vectors(normalized=True)) is None


@pytest.mark.parametrize(
    ("raw", "outcome", "told"),
    [
        pytest.param({"a": 1, "b": 2}, None, "the keys a, b", id="there"),
        pytest.param({"b": 2, "c": 3, "a": None}, None, "the keys b, c, a", id="there, with another"),
        pytest.param({"a": 1}, SHAPE, "the keys a", id="one is missing"),
        pytest.param({"A": 1, "b": 1}, SHAPE, "the keys A, b", id="another case"),
        pytest.param(["a", "b"], SHAPE, "no object but string[2]", id="a list"),
        pytest.param("ab", SHAPE, "no object but string", id="a string"),
    ],
)
def test_expected_keys_are_there(raw: Any, outcome: Outcome | None, told: str) -> None:
    found = Finding(rule="keys", expected="the keys a, b", found=told, outcome=outcome)
    assert finding("keys", reply(raw), Expectation(keys=("a", "b"))) == found


@pytest.mark.parametrize(
    ("raw", "rule", "told", "outcome"),
    [
        pytest.param({"v": [1, 2, 3]}, "dimensions v", "number[3]", None, id="right"),
        pytest.param({"v": [[1, 2, 3], [4, 5, 6]]}, "dimensions v", "number[3]", None, id="right in each row"),
        pytest.param({"v": [1, 2]}, "dimensions v", "number[2]", SHAPE, id="wrong size"),
        pytest.param({"w": [1, 2, 3]}, "vector v", "nothing there", SHAPE, id="missing"),
        pytest.param({"v": None}, "vector v", "null", SHAPE, id="null"),
        pytest.param({"v": ["1", "2", "3"]}, "vector v", "string[3]", SHAPE, id="numbers as strings"),
        pytest.param({"v": {"data": [1, 2, 3]}}, "vector v", "{data: integer[3]}", SHAPE, id="an object"),
        pytest.param({"v": 1.5}, "vector v", "number", SHAPE, id="a number"),
        pytest.param([1, 2, 3], "vector v", "nothing there", SHAPE, id="a list at the top"),
    ],
)
def test_a_named_vector_has_its_size(raw: Any, rule: str, told: str, outcome: Outcome | None) -> None:
    found = Finding(rule=rule, expected="number[3] at v", found=told, outcome=outcome)
    assert finding(rule, reply(raw), vectors("v", dimensions=3)) == found


def test_a_named_vector_may_have_any_size() -> None:
    found = Finding(rule="dimensions v", expected="number[] at v", found="number[2]")
    assert finding("dimensions v", reply({"v": [1, 2]}), vectors("v")) == found


@pytest.mark.parametrize(
    ("problem", "expected", "told", "outcome"),
    [
        pytest.param(None, "a value that fits the JSON Schema", "fits", None, id="fits"),
        pytest.param(SchemaProblem(path="a.b", expected="string", found="1"), "string", "1 at a.b", SHAPE, id="breaks"),
        pytest.param(
            SchemaProblem(path="", expected="object", found="[]"),
            "object",
            "[] at raw_response",
            SHAPE,
            id="at the top",
        ),
    ],
)
def test_a_schema_is_asked(problem: SchemaProblem | None, expected: str, told: str, outcome: Outcome | None) -> None:
    found = finding("schema", reply(), Expectation(schema=lambda _raw: problem))
    assert found == Finding(rule="schema", expected=expected, found=told, outcome=outcome)


@pytest.mark.parametrize(
    ("wait_s", "lost_s", "told", "outcome"),
    [
        pytest.param(0.5, 0.0, "0.5 s", None, id="in time"),
        pytest.param(1.0, 0.0, "1 s", None, id="just in time"),
        pytest.param(1.001, 0.0, "1.001 s", Outcome.SLOW, id="just late"),
        pytest.param(1.5, 0.5, "1.5 s, 0.5 s of it lost by the worker", Outcome.PROBER_STALLED, id="late by our fault"),
        pytest.param(1.5, 0.4, "1.5 s", Outcome.SLOW, id="late, not by our fault alone"),
        pytest.param(0.9, 0.5, "0.9 s", None, id="in time all the same"),
    ],
)
def test_latency_is_compared_with_what_a_caller_waits(
    wait_s: float, lost_s: float, told: str, outcome: Outcome | None
) -> None:
    phases = Phases(dns=5.0, connect=5.0, tls=5.0, send=0.0, wait=wait_s, receive=0.0)
    found = finding("max_latency", reply(), Expectation(max_latency_s=1.0), phases=phases, lost_s=lost_s)
    assert found == Finding(rule="max_latency", expected="at most 1 s", found=told, outcome=outcome)
