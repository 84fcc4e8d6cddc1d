"""Targets, replies and results to feed sinks with, judged and tracked by the real core."""

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from worker.core.exchange import Answer, Exchange, Failure, Malformed, NoReply, Phase, Phases, Refusal, Reply
from worker.core.judge import Judgement, judge
from worker.core.outcome import Outcome
from worker.core.result import Result, SkipReason, skip
from worker.core.rules import Reference
from worker.core.target import Expectation, Target, TargetKey, VectorExpectation
from worker.core.track import Recorded, Track, advance

T0 = 1_790_000_000.25
SECRET = "sk_live_0123456789abcdef"
VECTOR = Expectation(vectors=(VectorExpectation(path="embedding", dimensions=2),))
PHASES = Phases(dns=0.001, connect=0.002, send=0.0005, wait=0.04, receive=0.0015)


def redact(text: str) -> str:
    return text.replace(SECRET, "[secret]")


def target(namespace: str = "ns_a", plugin: str = "embed_1_0_0", **changes: Any) -> Target:
    return Target(key=TargetKey(namespace, plugin), **({"interval_s": 60.0, "timeout_s": 10.0} | changes))


def reply(raw: Any = None, **changes: Any) -> Reply:
    raw = {"embedding": [0.6, 0.8]} if raw is None else raw
    return Reply(**({"status": "success", "inference_name": "embed_v1", "raw_response": raw} | changes))


def exchange(answer: Answer | None = None, *, at: float = T0, **changes: Any) -> Exchange:
    answer = answer or reply()
    status = {Reply: 200, Malformed: 200, Refusal: 500, NoReply: None}[type(answer)]
    usual: dict[str, Any] = {
        "started_at": at,
        "ended_at": at + 0.045,
        "timeout_s": 10.0,
        "answer": answer,
        "phases": PHASES,
        "http_status": status,
        "response_bytes": None if status is None else 120,
    }
    return Exchange(**(usual | changes))


def refused(status: int, error: str = "it broke", **changes: Any) -> Exchange:
    return exchange(Refusal(error=error), http_status=status, **changes)


def timed_out(**changes: Any) -> Exchange:
    answer = NoReply(failure=Failure.TIMEOUT, died_in=Phase.WAIT, error="no reply within 10 s")
    return exchange(answer, **({"phases": Phases(send=0.0005, wait=9.99)} | changes))


def result(of: Target, call: Exchange | SkipReason | Judgement) -> Result:
    match call:
        case SkipReason():
            return skip(of, call)
        case Judgement():
            return Result(target=of, judgement=call, attempts=1)
        case Exchange():
            reference = Reference(pin=of.pin)
            judgement = judge(of.expect, call, reference)
            return Result(
                target=of, judgement=judgement, exchange=call, reference=reference, attempts=1, lateness_s=0.01
            )


def probed(of: Target, *calls: Exchange | SkipReason | Judgement, track: Track | None = None) -> list[Recorded]:
    """What the engine would record of these calls, one after the other."""
    track, told = track or Track(), []
    for call in calls:
        done = result(of, call)
        track, changes = advance(track, done)
        told.append(Recorded(result=done, track=track, changes=changes))
    return told


def last(told: Iterable[Recorded]) -> Recorded:
    *_, final = told
    return final


INTERNAL_ERROR = Judgement(outcome=Outcome.INTERNAL_ERROR, error="KeyError: 'x'")

#: Any text at all: line ends, quotes, control characters, lone surrogates.
hostile_texts = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)

_seconds = st.none() | st.floats(0, 100)
_answers = st.one_of(
    st.builds(
        Reply,
        status=st.sampled_from(["success", "error", "what"]),
        inference_name=hostile_texts,
        raw_response=st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | hostile_texts,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(hostile_texts, inner, max_size=3),
            max_leaves=6,
        )
        | st.builds(lambda v: {"embedding": v}, st.lists(st.floats(), max_size=3)),
        response_type=st.none() | st.sampled_from(["dict", "list", "tensor"]) | hostile_texts,
        error=st.none() | hostile_texts,
    ),
    st.builds(
        Refusal,
        error=hostile_texts,
        error_code=st.sampled_from([None, "model_warming"]),
        enveloped=st.booleans(),
        retry_after_present=st.booleans(),
    ),
    st.builds(Malformed, expected=hostile_texts, found=hostile_texts),
    st.builds(NoReply, failure=st.sampled_from(Failure), died_in=st.sampled_from(Phase), error=hostile_texts),
)
exchanges = st.builds(
    Exchange,
    started_at=st.floats(1e9, 2e9),
    ended_at=st.floats(1e9, 2e9),
    timeout_s=st.floats(0.1, 60),
    answer=_answers,
    phases=st.builds(
        Phases, dns=_seconds, connect=_seconds, tls=_seconds, send=_seconds, wait=_seconds, receive=_seconds
    ),
    lost_s=st.sampled_from([0.0, 0.0, 9.0]),
    http_status=st.none() | st.integers(100, 700),
    response_bytes=st.none() | st.integers(0, 10**7),
    request_id=st.none() | hostile_texts,
    excerpt=st.none() | hostile_texts,
)
targets = st.builds(
    target,
    namespace=hostile_texts,
    plugin=hostile_texts,
    labels=st.dictionaries(hostile_texts | st.sampled_from(["plugin", "le", "team", "__name__"]), hostile_texts),
    expect=st.just(VECTOR) | st.just(Expectation(max_latency_s=0.1)),
)


@st.composite
def recorded_runs(draw: st.DrawFn) -> list[Recorded]:
    """Some results of one target, whatever came back."""
    calls = st.lists(exchanges | st.sampled_from(SkipReason) | st.just(INTERNAL_ERROR), min_size=1, max_size=12)
    return probed(draw(targets), *draw(calls))
