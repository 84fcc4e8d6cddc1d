"""The rules for a documented 2xx reply, in order of precedence: contract, plugin, values, shape, latency."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from worker.core import vector
from worker.core.difference import Difference
from worker.core.distinct import OtherReply, distinct_findings
from worker.core.exchange import Exchange, Reply
from worker.core.finding import Finding, cut, finding
from worker.core.notation import text
from worker.core.outcome import Outcome
from worker.core.pin import Pin
from worker.core.shape import Shape, infer
from worker.core.target import Expectation, Golden, VectorExpectation
from worker.core.vector import ABSENT, Glance, Survey

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


class Reference(NamedTuple):
    """What was known before the call, and what was asked besides.

    `warming_since` (Unix seconds) is None when the plugin has not been warming; `others` are the replies to the
    distinct inputs, empty when they were not asked.
    """

    warming_since: float | None = None
    pin: Pin | None = None
    others: tuple[OtherReply, ...] = ()


class Seen(NamedTuple):
    """What is looked at once of a reply, for the rules and for the record.

    `surveys` are of the vectors that are named, by path; `nonfinite` is the first stray number and its path.
    `differences` from the pinned shape are None, and so is the `cosine` to the golden vector, where there was nothing
    to compare.
    """

    shape: Shape
    surveys: Mapping[str, Survey | None]
    nonfinite: tuple[float, str] | None
    differences: tuple[Difference, ...] | None = None
    cosine: float | None = None


def look(reply: Reply, expect: Expectation, pin: Pin | None = None) -> Seen:
    """Every vector that is named, a top-level `embedding`, and the shape of it all."""
    raw = reply.raw_response
    glance = Glance()
    shape = infer(raw, glance)
    surveys: dict[str, Survey | None] = {}
    for path in _paths(raw, expect, pin):
        if path not in surveys:
            surveys[path] = vector.survey(vector.lookup(raw, path), glance)
    differences = pin.compare(shape) if pin and reply.status == "success" else None  # an error's null is no shape
    cosine = _cosine(raw, expect.golden, surveys) if expect.golden else None
    stray = vector.first_nonfinite(raw, glance)
    return Seen(shape=shape, surveys=surveys, nonfinite=stray, differences=differences, cosine=cosine)


def _paths(raw: Any, expect: Expectation, pin: Pin | None) -> tuple[str, ...]:
    """Of everything that may be a vector; one may be there twice."""
    paths = expect.paths
    if pin:
        paths += pin.vectors
    if expect.golden:
        paths += (expect.golden.path,)
    return (*paths, "embedding") if isinstance(raw, dict) and "embedding" in raw else paths


def _cosine(raw: Any, golden: Golden, surveys: Mapping[str, Survey | None]) -> float | None:
    survey, value = surveys[golden.path], vector.lookup(raw, golden.path)
    if survey is None or survey.illness or len(value) != len(golden.vector) or isinstance(value[0], list):
        return None
    return vector.cosine(value, golden.vector)


def reply_findings(
    reply: Reply, expect: Expectation, exchange: Exchange, seen: Seen, reference: Reference, *, telling: bool = True
) -> Iterator[Finding]:
    """Every rule, in order of precedence. Not `telling`, only the broken ones: the others' words would cost as much as
    the judging.
    """
    kept = reply.status in ("success", "error")
    if telling or not kept:
        yield finding("status", kept, "success or error", Outcome.CONTRACT_VIOLATION, cut(reply.status))
    yield from _contradictions(reply, telling)
    kept = reply.status != "error"
    if telling or not kept:
        yield finding("plugin", kept, "status success", Outcome.PLUGIN_ERROR, f"status {cut(reply.status)}")
    raw = reply.raw_response
    stray = seen.nonfinite
    if telling or stray:
        found = f"{stray[0]} at {cut(stray[1]) or 'raw_response'}" if stray else "all finite"
        yield finding("finite", stray is None, "finite numbers only", Outcome.BAD_VALUES, found)
    yield from _vector_health(seen, expect, telling)
    if reference.others:
        yield from distinct_findings(expect, reference.others, telling=telling)
    yield from _shape_findings(raw, expect, seen, telling)
    if reference.pin:
        yield from _pin_findings(reference.pin, seen, telling)
    if expect.golden:
        yield from _golden_findings(raw, reply.inference_name, expect.golden, seen, telling)
    if expect.max_latency_s is not None and (telling or (exchange.duration_s or 0.0) > expect.max_latency_s):
        yield _latency(expect.max_latency_s, exchange)


def _contradictions(reply: Reply, telling: bool) -> Iterator[Finding]:
    """The reply's own words about raw_response, where they say something that can be wrong."""
    raw = reply.raw_response
    kinds = _KINDS.get(reply.response_type or "")
    if kinds:
        # bool is an int in Python, and in no other sense
        kept = isinstance(raw, kinds) and (kinds == (bool,) or not isinstance(raw, bool))
        if telling or not kept:
            found = f"raw_response is {type(raw).__name__}"
            yield finding("response_type", kept, f"a {reply.response_type}", Outcome.CONTRACT_VIOLATION, found)
    if reply.response_keys is not None:
        kept = set(reply.response_keys) == (raw.keys() if isinstance(raw, dict) else set())
        if telling or not kept:
            expected = f"the keys {_names(reply.response_keys)}"
            yield finding("response_keys", kept, expected, Outcome.CONTRACT_VIOLATION, _found_keys(raw))


def _vector_health(seen: Seen, expect: Expectation, telling: bool) -> Iterator[Finding]:
    for path, survey in seen.surveys.items():
        if survey is None:
            continue  # no vector at all: a matter of shape, where one was asked for
        kept = survey.illness is None
        if telling or not kept:
            yield finding(f"vector {path}", kept, "a sound vector", Outcome.BAD_VALUES, survey.illness or "sound")
        if kept and path in expect.normalized:
            worst = max(survey.norms, key=lambda length: abs(length - 1.0))
            kept = abs(worst - 1.0) <= vector.NORM_TOLERANCE
            if telling or not kept:
                yield finding(f"normalized {path}", kept, "norm 1", Outcome.BAD_VALUES, f"norm {worst:.6g}")


def _shape_findings(raw: Any, expect: Expectation, seen: Seen, telling: bool) -> Iterator[Finding]:
    if expect.keys:
        kept = isinstance(raw, dict) and all(key in raw for key in expect.keys)
        if telling or not kept:
            expected = f"the keys {_names(expect.keys)}"
            yield finding("keys", kept, expected, Outcome.SHAPE_MISMATCH, _found_keys(raw))
    for item in expect.vectors:
        survey = seen.surveys[item.path]
        if telling or survey is None or item.dimensions not in (None, survey.dimensions):
            yield _vector_shape(raw, item, survey)
    if expect.schema is not None:
        problem = expect.schema(raw)
        if telling or problem:
            expected = problem.expected if problem else "a value that fits the JSON Schema"
            found = f"{problem.found} at {cut(problem.path) or 'raw_response'}" if problem else "fits"
            yield finding("schema", problem is None, expected, Outcome.SHAPE_MISMATCH, found)


def _vector_shape(raw: Any, item: VectorExpectation, survey: Survey | None) -> Finding:
    expected = f"number[{'' if item.dimensions is None else item.dimensions}] at {item.path}"
    if survey is None:
        return finding(f"vector {item.path}", False, expected, Outcome.SHAPE_MISMATCH, _found_at(raw, item.path))
    kept = item.dimensions in (None, survey.dimensions)
    return finding(f"dimensions {item.path}", kept, expected, Outcome.SHAPE_MISMATCH, f"number[{survey.dimensions}]")


def _pin_findings(pin: Pin, seen: Seen, telling: bool) -> Iterator[Finding]:
    if seen.differences is None:
        return
    broken = pin.broken(seen.differences)
    if broken:
        first = broken[0]
        more = f", and {len(broken) - 1} more" if len(broken) > 1 else ""
        found = (first.found or "nothing") + more
        yield finding("pinned shape", False, first.expected_there, Outcome.SHAPE_MISMATCH, found)
    elif telling:
        number = len(seen.differences)
        found = f"{number} compatible difference{'' if number == 1 else 's'}" if number else "the same"
        yield finding("pinned shape", True, cut(pin.text), Outcome.SHAPE_MISMATCH, found)


def _golden_findings(raw: Any, name: str, golden: Golden, seen: Seen, telling: bool) -> Iterator[Finding]:
    rule = f"golden {golden.path}"
    if seen.cosine is None:
        expected = f"number[{len(golden.vector)}] at {golden.path}, as in {golden.file}"
        yield finding(rule, False, expected, Outcome.SHAPE_MISMATCH, _found_at(raw, golden.path))
        return
    kept = seen.cosine >= golden.min_cosine
    if telling or not kept:
        found = f"{seen.cosine:.6g}"
        if golden.inference_name not in (None, name):
            found += f"; it was recorded from {cut(golden.inference_name or '')}, and {cut(name)} has answered"
        yield finding(rule, kept, f"a cosine of at least {golden.min_cosine:g}", Outcome.DRIFT, found)


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


def _found_at(raw: Any, path: str) -> str:
    value = vector.lookup(raw, path)
    return "nothing there" if value is ABSENT else cut(text(infer(value)))


def _found_keys(raw: Any) -> str:
    return f"the keys {_names(raw)}" if isinstance(raw, dict) else f"no object but {cut(text(infer(raw)))}"


def _names(names: Any) -> str:
    """At most ten of them, for people."""
    listed = [str(name) for name in names]
    more = f" and {len(listed) - 10} more" if len(listed) > 10 else ""
    return cut(", ".join(listed[:10]) + more) if listed else "(none)"
