"""Collapse: a plugin that answers different inputs with one and the same vector. Asked now and then, in more calls."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from worker.core import vector
from worker.core.finding import Finding, finding
from worker.core.outcome import Outcome, Verdict
from worker.core.target import Expectation, Target, VectorExpectation


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherReply:
    """What another input than the target's own came to; `told` says what was wrong, None where nothing was."""

    inputs: Mapping[str, Any]
    outcome: Outcome
    told: str | None = None
    raw_response: Any = None


def questions(expect: Expectation) -> tuple[Mapping[str, Any], ...]:
    """The inputs to ask, each once, whatever number of vectors it serves."""
    wanted: list[Mapping[str, Any]] = []
    for item in expect.vectors:
        wanted += [inputs for inputs in (item.distinct.inputs if item.distinct else ()) if inputs not in wanted]
    return tuple(wanted)


def calls_per_s(target: Target) -> float:
    """The calls that a target asks for in a second, those to distinct inputs included."""
    interval_s, besides = target.interval_s, len(questions(target.expect))
    return 1 / interval_s + (besides / max(interval_s, target.expect.distinct_every_s) if besides else 0.0)


def is_due(expect: Expectation, last_at: float | None, now: float, interval_s: float) -> bool:
    """`last_at` is when all vectors last were different. Until they are, they are looked at in every probe.

    At 1 h and an interval of 5 min that is every twelfth probe; half an interval early is nearer than half of one late.
    """
    every_s = expect.distinct_every_s
    return every_s < math.inf and (last_at is None or now - last_at >= every_s - interval_s / 2)


def expectation_of(expect: Expectation, inputs: Mapping[str, Any]) -> Expectation:
    """What holds for a reply to these inputs too: that it is an answer, with sound vectors of the right size."""
    asked = (item for item in expect.vectors if item.distinct and inputs in item.distinct.inputs)
    vectors = (VectorExpectation(path=v.path, dimensions=v.dimensions, normalized=v.normalized) for v in asked)
    return Expectation(vectors=tuple(vectors), max_warming_s=expect.max_warming_s)


def held(expect: Expectation, others: tuple[OtherReply, ...]) -> bool:
    """Whether everything was asked and answered, and all vectors were different."""
    answered = len(others) == len(questions(expect)) and all(one.outcome.verdict is Verdict.UP for one in others)
    return bool(others) and answered and not any(one.outcome for one in distinct_findings(expect, others))


def distinct_findings(
    expect: Expectation, others: tuple[OtherReply, ...], *, telling: bool = False
) -> Iterator[Finding]:
    """An input that has no sound answer breaks its own rule; an unknown one breaks none."""
    for item in expect.vectors if others else ():
        if item.distinct is None:
            continue
        names = {number: f"distinct.inputs[{number}]" for number in range(len(item.distinct.inputs))}
        replies = {
            number: next((one for one in others if one.inputs == inputs), None)
            for number, inputs in enumerate(item.distinct.inputs)
        }
        for number, reply in replies.items():
            if reply is not None and (telling or reply.outcome.verdict is Verdict.DOWN):
                kept = reply.outcome.verdict is not Verdict.DOWN
                found = reply.outcome.value + (f": {reply.told}" if reply.told else "")
                yield finding(f"distinct {item.path}", kept, f"an answer to {names[number]}", reply.outcome, found)
        vectors = {
            names[number]: vector.lookup(reply.raw_response, item.path)
            for number, reply in replies.items()
            if reply is not None and reply.outcome.verdict is Verdict.UP
        }
        if len(vectors) > 1:
            alike = _first_alike(vectors)
            if telling or alike:
                found = f"the same one for {alike[0]} and {alike[1]}" if alike else "all different"
                expected = "another vector for another input"
                yield finding(f"distinct {item.path}", alike is None, expected, Outcome.BAD_VALUES, found)


def _first_alike(vectors: Mapping[str, Any]) -> tuple[str, str] | None:
    pairs = combinations(vectors.items(), 2)
    return next((((one, other)) for (one, a), (other, b) in pairs if _same(a, b)), None)


def _same(one: Any, other: Any) -> bool:
    """Vectors, or lists of them, row by row. They are sound: that was judged."""
    if one and isinstance(one[0], list):
        return len(one) == len(other) and all(map(_same, one, other))
    return vector.same(one, other)
