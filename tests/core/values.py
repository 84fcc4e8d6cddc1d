"""Values for the properties of core: what a reply may hold, and exchanges of every kind."""

from typing import Any

from hypothesis import strategies as st

from tests.fakes import EPOCH_S
from worker.core.distinct import OtherReply
from worker.core.exchange import Exchange, Failure, Malformed, NoReply, Phase, Phases, Refusal, Reply
from worker.core.outcome import Outcome, Verdict
from worker.core.pin import Pin
from worker.core.rules import Reference
from worker.core.shape import infer, merge
from worker.core.target import Distinct, Expectation, Golden, SchemaProblem, VectorExpectation

_integers = st.integers(-3, 3) | st.integers() | st.sampled_from([10**400, -(10**400), 2**1023])
_scalars = st.none() | st.booleans() | _integers | st.floats() | st.text(max_size=5)
_names = st.sampled_from(["embedding", "a", "b", "integer"]) | st.text(max_size=4)
_vectors = st.lists(st.floats() | st.integers(-2, 2) | st.none(), max_size=5)

#: Anything that a JSON parser gives, NaN, infinities and huge integers included.
json_values: st.SearchStrategy[Any] = st.recursive(
    _scalars | _vectors | st.lists(_vectors, max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_names, inner, max_size=4),
    max_leaves=12,
)

_kinds = st.sampled_from(["dict", "list", "str", "int", "float", "bool", "NoneType", "Tensor", ""])
replies = st.builds(
    Reply,
    status=st.sampled_from(["success", "success", "success", "error", "Success", "", "pending"]),
    inference_name=st.text(max_size=5),
    raw_response=json_values,
    response_type=st.none() | _kinds,
    response_keys=st.none() | st.lists(_names, max_size=3).map(tuple),
    error=st.none() | st.text(max_size=5),
)
refusals = st.builds(
    Refusal,
    error=st.text(max_size=5),
    error_type=st.none() | st.sampled_from(["QuotaExceededError", "ForbiddenError"]),
    error_code=st.none() | st.sampled_from(["model_warming", "other"]),
    enveloped=st.booleans(),
    retry_after_s=st.none() | st.floats(),
    retry_after_present=st.booleans(),
)
malformed = st.builds(Malformed, expected=st.text(min_size=1, max_size=5), found=st.text(max_size=5))
no_replies = st.builds(
    NoReply, failure=st.sampled_from(Failure), died_in=st.sampled_from(Phase), error=st.text(max_size=5)
)

_seconds = st.none() | st.floats(0, 20)
_phases = st.builds(
    Phases, dns=_seconds, connect=_seconds, tls=_seconds, send=_seconds, wait=_seconds, receive=_seconds
)
_lost = st.just(0.0) | st.floats(0, 20)


def _exchanges(answers: st.SearchStrategy[Any], statuses: st.SearchStrategy[int | None]) -> st.SearchStrategy[Exchange]:
    return st.builds(
        Exchange,
        started_at=st.just(EPOCH_S),
        ended_at=st.floats(EPOCH_S, EPOCH_S + 1000),
        timeout_s=st.floats(0.001, 30),
        answer=answers,
        phases=_phases,
        lost_s=_lost,
        http_status=statuses,
        response_bytes=st.none() | st.integers(0, 10_000),
    )


exchanges = st.one_of(
    _exchanges(replies, st.integers(200, 299)),
    _exchanges(malformed, st.integers(200, 299)),
    _exchanges(refusals, st.sampled_from([101, 301, 401, 403, 404, 429, 500, 503, 600]) | st.integers(0, 1000)),
    _exchanges(no_replies, st.none()),
)


def _fussy(value: Any) -> SchemaProblem | None:
    """Stands for a JSON Schema: no strings."""
    return SchemaProblem(path="", expected="no string", found="a string") if isinstance(value, str) else None


_paths = st.sampled_from(["embedding", "a", "a.b", "a[0]", "b[1].a", "nowhere"])
_asked = ({"text": "a"}, {"text": "b"})
_distinct = st.none() | st.just(Distinct(inputs=_asked, every_s=3600.0))
_named = st.builds(
    VectorExpectation,
    path=_paths,
    dimensions=st.none() | st.integers(1, 4),
    normalized=st.booleans(),
    distinct=_distinct,
)
_golden = st.builds(
    Golden,
    path=_paths,
    file=st.just("golden.json"),
    min_cosine=st.sampled_from([0.5, 0.99]),
    vector=st.sampled_from([(1.0, 2.0), (0.5, -1.0, 3.0)]),
    inference_name=st.none() | st.just("another"),
)
expectations = st.builds(
    Expectation,
    max_latency_s=st.none() | st.floats(0, 10),
    keys=st.lists(_names, max_size=2).map(tuple),
    vectors=st.lists(_named, max_size=2, unique_by=lambda item: item.path).map(tuple),
    schema=st.none() | st.just(_fussy),
    golden=st.none() | _golden,
    max_warming_s=st.sampled_from([0.0, 300.0]),
)

_pins = st.builds(
    Pin,
    shape=st.lists(json_values, min_size=1, max_size=3).map(lambda values: merge(map(infer, values))),
    vectors=st.lists(_paths, max_size=2).map(tuple),
    strict=st.booleans(),
)
_others = st.builds(
    OtherReply,
    inputs=st.sampled_from(_asked),
    outcome=st.sampled_from([outcome for outcome in Outcome if outcome.verdict is not Verdict.UP]),
    told=st.none() | st.text(max_size=5),
)
references = st.builds(
    Reference,
    warming_since=st.none() | st.floats(EPOCH_S - 1000, EPOCH_S + 1000),
    pin=st.none() | _pins,
    others=st.lists(_others, max_size=2, unique_by=lambda one: one.inputs["text"]).map(tuple),
)
