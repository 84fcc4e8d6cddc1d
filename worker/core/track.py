"""Track: what is remembered of a target from probe to probe, and how a result moves it on."""

import math
from bisect import bisect_left
from operator import add
from typing import Any, NamedTuple

from worker.core.exchange import Exchange, Malformed, Phases, Reply
from worker.core.judge import Judgement
from worker.core.outcome import Outcome
from worker.core.result import Result
from worker.core.vector import VectorReading

#: Upper bounds of the duration histogram, in seconds; one more bucket is +Inf.
BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

#: So many shapes of one target are told apart; a plugin whose keys are random would make a series at every probe.
MOST_SHAPES = 8
VARYING = "varying"


#: One latency of the histogram: its bucket's place, the seconds, when it was measured (Unix time), and the reply's
#: request id. A plain tuple, since every probe makes one.
Exemplar = tuple[int, float, float, str | None]


class Track(NamedTuple):
    """Everything that the metrics of one target show. Times are Unix seconds; None where it has not happened.

    `success` is the last conclusive verdict, `failure` the newest conclusive failure while that verdict is down.
    `answered_in_s` is what a latency objective looks at: how long the last healthy reply took, infinity after a
    time-out, None after any other failure. `shapes_seen` are the hashes that are told apart; `distinct_at` is when
    distinct inputs last gave different vectors. `buckets` are the histogram's own counts (not cumulative), +Inf last.
    """

    outcome: Outcome | None = None
    success: bool | None = None
    failure: Outcome | None = None
    consecutive_failures: int = 0
    consecutive_unknowns: int = 0
    probes: int = 0
    failures: int = 0
    unknowns: int = 0
    calls: int = 0
    last_probe_at: float | None = None
    last_conclusive_at: float | None = None
    last_success_at: float | None = None
    warming_since: float | None = None
    duration_s: float | None = None
    answered_in_s: float | None = None
    phases: Phases = Phases()
    http_status: int | None = None
    response_bytes: int | None = None
    inference_name: str | None = None
    response_type: str | None = None
    response_keys: int | None = None
    shape_hash: str | None = None
    shapes_seen: tuple[str, ...] = ()
    shape_changes: int = 0
    shape_match: bool | None = None
    golden_cosine: float | None = None
    distinct_at: float | None = None
    vectors: tuple[VectorReading, ...] = ()
    buckets: tuple[int, ...] = (0,) * (len(BUCKETS_S) + 1)
    duration_sum_s: float = 0.0
    exemplar: Exemplar | None = None

    @property
    def shape_label(self) -> str | None:
        """The shape's hash, or `varying` for those that came when the target had shown too many already."""
        return self.shape_hash if self.shape_hash is None or self.shape_hash in self.shapes_seen else VARYING


class Changes(NamedTuple):
    """What a result changed. `shape` and `inference_name` hold (before, after)."""

    recovered: bool = False
    shape: tuple[str, str] | None = None
    inference_name: tuple[str, str] | None = None


_ADD_UP = ("probes", "failures", "unknowns", "calls", "duration_sum_s")
_OF_A_CALL = ("http_status", "response_bytes")
_MEASURED = ("duration_s", "phases")
_OF_A_REPLY = ("response_type", "response_keys", "shape_hash", "shape_match", "golden_cosine", "vectors")
_UNCHANGED = Changes()
_ANSWERS = (Reply, Malformed)
_PLUGIN_ERROR = Outcome.PLUGIN_ERROR


class Recorded(NamedTuple):
    """What every sink is fed."""

    result: Result
    track: Track
    changes: Changes


def advance(track: Track, result: Result) -> tuple[Track, Changes]:
    """The track after this result, and what changed. A skipped probe moves only the outcome and the unknowns."""
    outcome, exchange = result.outcome, result.exchange
    unknown = outcome.unknown
    moved: dict[str, Any] = {
        "outcome": outcome,
        "calls": track.calls + result.attempts,
        "consecutive_unknowns": track.consecutive_unknowns + 1 if unknown else 0,
    }
    if result.skipped is None:
        moved["probes"] = track.probes + 1
        moved["unknowns"] = track.unknowns + unknown
    changes = _UNCHANGED
    if exchange is not None:
        _move_call(moved, track, outcome, exchange)
        _move_verdict(moved, track, result.judgement, exchange)
        changes = _move_reply(moved, track, result)
    return Track._make(map(moved.get, Track._fields, track)), changes  # half of what _replace takes


def _move_call(moved: dict[str, Any], track: Track, outcome: Outcome, exchange: Exchange) -> None:
    moved["last_probe_at"] = exchange.started_at
    moved["http_status"] = exchange.http_status
    moved["response_bytes"] = exchange.response_bytes
    if exchange.lost_s > 0:  # nothing that a stall touched enters a latency metric
        return
    duration_s = moved["duration_s"] = exchange.duration_s
    moved["phases"] = exchange.phases
    # The histogram takes 2xx replies, and time-outs at the time given.
    if isinstance(exchange.answer, _ANSWERS) and 200 <= (exchange.http_status or 0) < 300:
        observed_s = duration_s
    elif outcome is Outcome.TIMEOUT:
        observed_s = exchange.timeout_s
    else:
        return
    if observed_s is not None:
        buckets, place = list(track.buckets), bisect_left(BUCKETS_S, observed_s)
        buckets[place] += 1
        moved["exemplar"] = (place, observed_s, exchange.ended_at, exchange.request_id)
        moved["buckets"] = tuple(buckets)
        moved["duration_sum_s"] = track.duration_sum_s + observed_s


def _move_verdict(moved: dict[str, Any], track: Track, judgement: Judgement, exchange: Exchange) -> None:
    outcome = judgement.outcome
    if judgement.says_warming:
        moved["warming_since"] = track.warming_since or exchange.ended_at
    elif not outcome.unknown:
        moved["warming_since"] = None
    if outcome.unknown:
        return
    up = outcome.up
    moved["success"] = up
    moved["last_conclusive_at"] = exchange.ended_at
    moved["failure"] = None if up else outcome
    moved["consecutive_failures"] = 0 if up else track.consecutive_failures + 1
    moved["failures"] = track.failures + (not up)
    if up:
        moved["last_success_at"] = exchange.ended_at
    if not up:
        moved["answered_in_s"] = math.inf if outcome is Outcome.TIMEOUT else None
    elif exchange.lost_s <= 0:
        moved["answered_in_s"] = moved["duration_s"]


def _move_reply(moved: dict[str, Any], track: Track, result: Result) -> Changes:
    judgement, shape_hash = result.judgement, result.judgement.shape_hash
    recovered = track.success is False and judgement.outcome.up
    if judgement.inference_name is None:
        return Changes(recovered=True) if recovered else _UNCHANGED
    renamed = _pair(track.inference_name, judgement.inference_name)
    changed = None
    moved["inference_name"] = judgement.inference_name
    if shape_hash is not None and judgement.outcome is not _PLUGIN_ERROR:  # an error's null is no shape
        changed = _pair(track.shape_hash or (result.target.pin.hash if result.target.pin else None), shape_hash)
        moved["response_type"] = judgement.response_type
        moved["response_keys"] = None if judgement.response_keys is None else len(judgement.response_keys)
        moved["vectors"] = judgement.vectors
        moved["shape_hash"] = shape_hash
        moved["shape_match"] = judgement.shape_match
        moved["shape_changes"] = track.shape_changes + (changed is not None)
        moved["golden_cosine"] = judgement.golden_cosine
        fits = judgement.shape_diff == ()  # the pinned shape is always told apart
        if shape_hash not in track.shapes_seen and (fits or len(track.shapes_seen) < MOST_SHAPES):
            moved["shapes_seen"] = (*track.shapes_seen, shape_hash)
        if judgement.distinct and result.exchange:
            moved["distinct_at"] = result.exchange.ended_at
    if not recovered and renamed is None and changed is None:
        return _UNCHANGED
    return Changes(recovered=recovered, shape=changed, inference_name=renamed)


def _pair(before: str | None, after: str | None) -> tuple[str, str] | None:
    return None if before in (None, VARYING) or after is None or before == after else (before, after)


def resume(remembered: Track, begun: Track) -> Track:
    """What `begun`, the track after one probe at most, would be had it not begun with nothing but gone on from what was
    remembered.
    """
    whole = Track._make(old if new is None else new for old, new in zip(remembered, begun, strict=True))
    added = {name: getattr(remembered, name) + getattr(begun, name) for name in _ADD_UP}
    changed = _pair(remembered.shape_hash, begun.shape_hash) is not None
    changes = begun.shape_changes if remembered.shape_hash is None else changed
    seen = (*remembered.shapes_seen, *(one for one in begun.shapes_seen if one not in remembered.shapes_seen))
    return whole._replace(
        **added,
        buckets=tuple(map(add, remembered.buckets, begun.buckets)),
        shape_changes=remembered.shape_changes + changes,
        shapes_seen=seen[:MOST_SHAPES],
        **_those(_OF_A_CALL, remembered if begun.last_probe_at is None else begun),
        **_those(_MEASURED, remembered if begun.phases == Phases() else begun),
        **_those(_OF_A_REPLY, remembered if begun.shape_hash is None else begun),
        **_judged(remembered, begun),
    )


def _those(names: tuple[str, ...], track: Track) -> dict[str, Any]:
    return {name: getattr(track, name) for name in names}


def _judged(remembered: Track, begun: Track) -> dict[str, Any]:
    """The verdict, and what counts from it."""
    if begun.success is None:
        since = begun.warming_since if remembered.warming_since is None else remembered.warming_since
        unknowns = remembered.consecutive_unknowns + begun.consecutive_unknowns
        kept = _those(("consecutive_failures", "failure", "answered_in_s"), remembered)
        return kept | {"warming_since": since, "consecutive_unknowns": unknowns}
    failures = begun.consecutive_failures + (0 if begun.success else remembered.consecutive_failures)
    stalled = begun.success and begun.answered_in_s is None
    return {
        "consecutive_failures": failures,
        "consecutive_unknowns": begun.consecutive_unknowns,
        "warming_since": begun.warming_since,
        "failure": begun.failure,
        "answered_in_s": (remembered if stalled else begun).answered_in_s,
    }
