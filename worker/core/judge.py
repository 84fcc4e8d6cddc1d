"""judge: an expectation and an exchange become exactly one Judgement. Total, and it fails closed.

The rules are one lazy sequence of findings in the order of precedence; the first that fails is the outcome. `judge`
stops there, `explain` goes through all of them.
"""

from collections.abc import Iterator
from typing import NamedTuple

from worker.core.difference import Difference
from worker.core.distinct import held
from worker.core.exchange import Exchange, Failure, Malformed, NoReply, Phase, Refusal, Reply
from worker.core.finding import Finding
from worker.core.notation import text_and_digest
from worker.core.outcome import Outcome
from worker.core.pin import Pin
from worker.core.rules import Reference, Seen, look, reply_findings
from worker.core.target import Expectation
from worker.core.vector import VectorReading

#: The share of a call's time-out that our own loop must have lost for a time-out or disconnect to prove nothing.
STALL_SHARE = 0.1
#: Of a word that a reply chose so many characters are remembered.
MOST_WORD = 200

_SUCCESS = Outcome.SUCCESS
_TRANSPORT = {
    Failure.DNS: Outcome.DNS_FAILURE,
    Failure.CONNECT: Outcome.CONNECT_FAILURE,
    Failure.TLS: Outcome.TLS_FAILURE,
    Failure.TIMEOUT: Outcome.TIMEOUT,
    Failure.DISCONNECTED: Outcome.DISCONNECTED,
    Failure.TOO_LARGE: Outcome.RESPONSE_TOO_LARGE,
}
#: A time-out before the connection stood is that phase's failure.
_TIMED_OUT_IN = {
    Phase.DNS: Outcome.DNS_FAILURE,
    Phase.CONNECT: Outcome.CONNECT_FAILURE,
    Phase.TLS: Outcome.TLS_FAILURE,
}


class Judgement(NamedTuple):
    """The one outcome of an exchange, with what was expected beside what was found, and what was read on the way.

    `says_warming` tells that the reply called the plugin warming, whether or not it may still do so. `shape_hash` is
    that of the pin while the reply fits it in every respect. `shape_diff` and `shape_match` are None where nothing was
    compared, as `golden_cosine` is; `distinct` says that the distinct inputs were asked and gave different vectors.
    """

    outcome: Outcome
    rule: str | None = None
    expected: str | None = None
    found: str | None = None
    error: str | None = None
    retry_after_s: float | None = None
    says_warming: bool = False
    inference_name: str | None = None
    response_type: str | None = None
    response_keys: tuple[str, ...] | None = None
    shape: str | None = None
    shape_hash: str | None = None
    shape_diff: tuple[Difference, ...] | None = None
    shape_match: bool | None = None
    vectors: tuple[VectorReading, ...] = ()
    golden_cosine: float | None = None
    distinct: bool = False


def judge(expect: Expectation, exchange: Exchange, reference: Reference) -> Judgement:
    """The first rule that fails decides; when none does, the outcome is success."""
    seen = _look(expect, exchange, reference)
    described = _describe(exchange, expect, reference, seen)
    broken = next(_findings(expect, exchange, reference, seen, telling=False), None)
    if broken is None or broken.outcome is None:
        return described
    return described._replace(outcome=broken.outcome, rule=broken.rule, expected=broken.expected, found=broken.found)


def explain(expect: Expectation, exchange: Exchange, reference: Reference) -> Iterator[Finding]:
    """Every rule that applies to this exchange, in order of precedence."""
    return _findings(expect, exchange, reference, _look(expect, exchange, reference), telling=True)


def _look(expect: Expectation, exchange: Exchange, reference: Reference) -> Seen | None:
    answer = exchange.answer
    return look(answer, expect, reference.pin) if isinstance(answer, Reply) else None


def _findings(
    expect: Expectation, exchange: Exchange, reference: Reference, seen: Seen | None, *, telling: bool
) -> Iterator[Finding]:
    answer = exchange.answer
    if isinstance(answer, NoReply):
        yield _no_reply(answer, exchange)
    elif isinstance(answer, Refusal):
        yield _refused(answer, expect, exchange, reference)
    elif isinstance(answer, Malformed):
        broken = Outcome.CONTRACT_VIOLATION
        yield Finding(rule="contract", expected=answer.expected, found=answer.found, outcome=broken)
    else:
        assert seen is not None, "a reply was looked at"
        yield from reply_findings(answer, expect, exchange, seen, reference, telling=telling)


def _no_reply(answer: NoReply, exchange: Exchange) -> Finding:
    outcome = _TRANSPORT[answer.failure]
    if answer.failure is Failure.TIMEOUT:
        outcome = _TIMED_OUT_IN.get(answer.died_in, Outcome.TIMEOUT)
    if answer.failure in (Failure.TIMEOUT, Failure.DISCONNECTED) and _stalled(exchange):
        return Finding(
            rule="stall",
            expected=f"a worker that loses less than {STALL_SHARE:.0%} of the time-out",
            found=f"{exchange.lost_s:.3g} s lost of {exchange.timeout_s:g} s",
            outcome=Outcome.PROBER_STALLED,
        )
    expected = f"a complete reply within {exchange.timeout_s:g} s"
    return Finding(rule="transport", expected=expected, found=answer.error, outcome=outcome)


def _stalled(exchange: Exchange) -> bool:
    return exchange.lost_s > 0 and exchange.lost_s >= STALL_SHARE * exchange.timeout_s


def _refused(answer: Refusal, expect: Expectation, exchange: Exchange, reference: Reference) -> Finding:
    outcome = _refusal_outcome(answer, expect, exchange, reference)
    return Finding(rule="status", expected="HTTP 2xx", found=f"HTTP {exchange.http_status}", outcome=outcome)


def _refusal_outcome(answer: Refusal, expect: Expectation, exchange: Exchange, reference: Reference) -> Outcome:
    status = exchange.http_status or 0
    if status == 403:
        return Outcome.QUOTA_EXCEEDED if answer.error_type == "QuotaExceededError" else Outcome.FORBIDDEN
    if status == 503 and _warming(answer, expect, exchange, reference):
        return Outcome.WARMING
    named = {
        401: Outcome.UNAUTHORIZED,
        404: Outcome.NOT_FOUND,
        405: Outcome.NOT_FOUND,
        408: Outcome.SERVER_ERROR,
        429: Outcome.RATE_LIMITED,
    }.get(status)
    if named:
        return named
    classes = {3: Outcome.REDIRECTED, 4: Outcome.REJECTED, 5: Outcome.SERVER_ERROR}
    return classes.get(status // 100, Outcome.CONTRACT_VIOLATION)


def _warming(answer: Refusal, expect: Expectation, exchange: Exchange, reference: Reference) -> bool:
    if not _says_warming(answer) or expect.max_warming_s <= 0:
        return False
    since = reference.warming_since
    return since is None or exchange.ended_at - since <= expect.max_warming_s


def _says_warming(answer: Refusal) -> bool:
    return answer.error_code == "model_warming" or (answer.enveloped and answer.retry_after_present)


def _describe(exchange: Exchange, expect: Expectation, reference: Reference, seen: Seen | None) -> Judgement:
    """What is recorded of any answer, healthy or not; that nothing is wrong with it is still to be seen."""
    answer = exchange.answer
    if isinstance(answer, Reply) and seen is not None:
        return _describe_reply(answer, expect, reference, seen)
    told = Judgement(outcome=_SUCCESS)
    if isinstance(answer, Refusal):
        warming = exchange.http_status == 503 and expect.max_warming_s > 0 and _says_warming(answer)
        return told._replace(error=answer.error, retry_after_s=answer.retry_after_s, says_warming=warming)
    if isinstance(answer, Malformed):
        return told._replace(error=f"expected {answer.expected}, found {answer.found}")
    return told._replace(error=answer.error)


def _describe_reply(reply: Reply, expect: Expectation, reference: Reference, seen: Seen) -> Judgement:
    raw, pin = reply.raw_response, reference.pin
    fits = pin is not None and seen.differences == ()
    shape, shape_hash = text_and_digest(seen.shape)
    return Judgement(
        outcome=_SUCCESS,
        error=reply.error,
        inference_name=reply.inference_name[:MOST_WORD],
        response_type=(reply.response_type or type(raw).__name__)[:MOST_WORD],
        response_keys=tuple(raw) if isinstance(raw, dict) else None,
        shape=shape,
        shape_hash=pin.hash if pin and fits else shape_hash,
        shape_diff=seen.differences,
        shape_match=not pin.broken(seen.differences) if pin and seen.differences is not None else None,
        vectors=_readings(expect, pin, seen),
        golden_cosine=seen.cosine,
        distinct=bool(reference.others) and held(expect, reference.others),
    )


def _readings(expect: Expectation, pin: Pin | None, seen: Seen) -> tuple[VectorReading, ...]:
    """The named vectors' sizes and lengths; of a list of vectors, its first one's length."""
    named = (*expect.paths, *(path for path in pin.vectors if path not in expect.paths)) if pin else expect.paths
    read = [(path, seen.surveys[path]) for path in named]
    return tuple([VectorReading(path, of.dimensions, of.norms[0]) for path, of in read if of and of.illness is None])
