"""The rules for a documented 2xx reply, in order of precedence: contract, plugin, values, shape, latency."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from worker.core import shape, vector
from worker.core.exchange import Exchange, Reply
from worker.core.outcome import Outcome
from worker.core.target import Expectation, VectorExpectation
from worker.core.vector import ABSENT, Survey

#: Names of Python types that `response_type` may state, and the JSON kinds that they stand for.
_KINDS: dict[str, tuple[type, ...]] = {
    "dict": (dict,),
    "list": (list,),
    "str": (str,),
    "int": (int, float),
    "float": (int, float),
    "bool": (bool,),
    "NoneType": (type(None),),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One rule with what it expected beside what it found; `outcome` is None when it is kept."""

    rule: str
    expected: str
    found: str
    outcome: Outcome | None = None


Surveys = Mapping[str, Survey | None]


def survey_vectors(reply: Reply, expect: Expectation) -> Surveys:
    """Looks over, once, every vector that the rules and the record need: the named ones and a top-level `embedding`."""
    raw = reply.raw_response
    paths = dict.fromkeys(item.path for item in expect.vectors)
    if isinstance(raw, dict) and "embedding" in raw:
        paths.setdefault("embedding")
    return {path: vector.survey(vector.lookup(raw, path)) for path in paths}


def reply_findings(
    reply: Reply, expect: Expectation, exchange: Exchange, surveys: Surveys, *, telling: bool = True
) -> Iterator[Finding]:
    """Every rule, in order of precedence. Not `telling`, only the broken ones: the others' words would cost as much as
    the judging.
    """
    kept = reply.status in ("success", "error")
    if telling or not kept:
        yield _finding("status", kept, "success or error", Outcome.CONTRACT_VIOLATION, _cut(reply.status))
    yield from _contradictions(reply, telling)
    kept = reply.status != "error"
    if telling or not kept:
        yield _finding("plugin", kept, "status success", Outcome.PLUGIN_ERROR, f"status {_cut(reply.status)}")
    raw = reply.raw_response
    stray = vector.first_nonfinite(raw)
    if telling or stray:
        found = f"{stray[0]} at {_cut(stray[1]) or 'raw_response'}" if stray else "all finite"
        yield _finding("finite", stray is None, "finite numbers only", Outcome.BAD_VALUES, found)
    yield from _vector_health(surveys, expect, telling)
    yield from _shape_findings(raw, expect, surveys, telling)
    if expect.max_latency_s is not None and (telling or (exchange.duration_s or 0.0) > expect.max_latency_s):
        yield _latency(expect.max_latency_s, exchange)


def _finding(rule: str, kept: bool, expected: str, outcome: Outcome, found: str) -> Finding:
    return Finding(rule=rule, expected=expected, found=found, outcome=None if kept else outcome)


def _contradictions(reply: Reply, telling: bool) -> Iterator[Finding]:
    """The reply's own words about raw_response, where they say something that can be wrong."""
    raw = reply.raw_response
    kinds = _KINDS.get(reply.response_type or "")
    if kinds:
        # bool is an int in Python, and in no other sense
        kept = isinstance(raw, kinds) and (kinds == (bool,) or not isinstance(raw, bool))
        if telling or not kept:
            found = f"raw_response is {type(raw).__name__}"
            yield _finding("response_type", kept, f"a {reply.response_type}", Outcome.CONTRACT_VIOLATION, found)
    if reply.response_keys is not None:
        kept = set(reply.response_keys) == (raw.keys() if isinstance(raw, dict) else set())
        if telling or not kept:
            expected = f"the keys {_names(reply.response_keys)}"
            yield _finding("response_keys", kept, expected, Outcome.CONTRACT_VIOLATION, _found_keys(raw))


def _vector_health(surveys: Surveys, expect: Expectation, telling: bool) -> Iterator[Finding]:
    normalized = {item.path for item in expect.vectors if item.normalized}
    for path, survey in surveys.items():
        if survey is None:
            continue  # no vector at all: a matter of shape, where one was asked for
        kept = survey.illness is None
        if telling or not kept:
            yield _finding(f"vector {path}", kept, "a sound vector", Outcome.BAD_VALUES, survey.illness or "sound")
        if kept and path in normalized:
            worst = max(survey.norms, key=lambda length: abs(length - 1.0))
            kept = abs(worst - 1.0) <= vector.NORM_TOLERANCE
            if telling or not kept:
                yield _finding(f"normalized {path}", kept, "norm 1", Outcome.BAD_VALUES, f"norm {worst:.6g}")


def _shape_findings(raw: Any, expect: Expectation, surveys: Surveys, telling: bool) -> Iterator[Finding]:
    if expect.keys:
        kept = isinstance(raw, dict) and all(key in raw for key in expect.keys)
        if telling or not kept:
            expected = f"the keys {_names(expect.keys)}"
            yield _finding("keys", kept, expected, Outcome.SHAPE_MISMATCH, _found_keys(raw))
    for item in expect.vectors:
        survey = surveys[item.path]
        if telling or survey is None or item.dimensions not in (None, survey.dimensions):
            yield _vector_shape(raw, item, survey)
    if expect.schema is not None:
        problem = expect.schema(raw)
        if telling or problem:
            expected = problem.expected if problem else "a value that fits the JSON Schema"
            found = f"{problem.found} at {_cut(problem.path) or 'raw_response'}" if problem else "fits"
            yield _finding("schema", problem is None, expected, Outcome.SHAPE_MISMATCH, found)


def _vector_shape(raw: Any, item: VectorExpectation, survey: Survey | None) -> Finding:
    expected = f"number[{'' if item.dimensions is None else item.dimensions}] at {item.path}"
    if survey is None:
        value = vector.lookup(raw, item.path)
        found = "nothing there" if value is ABSENT else _cut(shape.infer(value).text())
        return _finding(f"vector {item.path}", False, expected, Outcome.SHAPE_MISMATCH, found)
    kept = item.dimensions in (None, survey.dimensions)
    return _finding(f"dimensions {item.path}", kept, expected, Outcome.SHAPE_MISMATCH, f"number[{survey.dimensions}]")


def _latency(max_latency_s: float, exchange: Exchange) -> Finding:
    duration_s = exchange.duration_s or 0.0
    expected = f"at most {max_latency_s:g} s"
    found = f"{duration_s:.4g} s"
    if duration_s <= max_latency_s:
        return Finding(rule="max_latency", expected=expected, found=found)
    if exchange.lost_s > 0 and duration_s - exchange.lost_s <= max_latency_s:
        found += f", {exchange.lost_s:.3g} s of it lost by the worker"
        return Finding(rule="max_latency", expected=expected, found=found, outcome=Outcome.PROBER_STALLED)
    return Finding(rule="max_latency", expected=expected, found=found, outcome=Outcome.SLOW)


def _found_keys(raw: Any) -> str:
    return f"the keys {_names(raw)}" if isinstance(raw, dict) else f"no object but {_cut(shape.infer(raw).text())}"


def _names(names: Any) -> str:
    """At most ten of them, for people."""
    listed = [str(name) for name in names]
    more = f" and {len(listed) - 10} more" if len(listed) > 10 else ""
    return _cut(", ".join(listed[:10]) + more) if listed else "(none)"


def _cut(text: str, most: int = 200) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
