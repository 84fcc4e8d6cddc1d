"""judge: total, closed, and the first that applies wins."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from tests.core.values import exchanges, expectations, json_values, references
from tests.fakes import EPOCH_S, exchange, no_reply, refusal, reply
from worker.core.exchange import Exchange, Failure, Malformed, Phase, Phases
from worker.core.judge import Judgement, explain, judge
from worker.core.outcome import Outcome
from worker.core.rules import Reference
from worker.core.target import Expectation, SchemaProblem, VectorExpectation
from worker.core.vector import VectorReading

PLAIN, NEW = Expectation(), Reference()
NAN = math.nan


def judged(made: Exchange, expect: Expectation = PLAIN, warming_since: float | None = None) -> Judgement:
    return judge(expect, made, Reference(warming_since=warming_since))


# Without a reply ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "died_in", "outcome"),
    [
        pytest.param(Failure.DNS, Phase.DNS, "dns_failure", id="no such name"),
        pytest.param(Failure.CONNECT, Phase.CONNECT, "connect_failure", id="refused"),
        pytest.param(Failure.TLS, Phase.TLS, "tls_failure", id="a wrong certificate"),
        pytest.param(Failure.TIMEOUT, Phase.DNS, "dns_failure", id="out of time resolving"),
        pytest.param(Failure.TIMEOUT, Phase.CONNECT, "connect_failure", id="out of time connecting"),
        pytest.param(Failure.TIMEOUT, Phase.TLS, "tls_failure", id="out of time in the handshake"),
        pytest.param(Failure.TIMEOUT, Phase.SEND, "timeout", id="out of time sending"),
        pytest.param(Failure.TIMEOUT, Phase.WAIT, "timeout", id="out of time waiting"),
        pytest.param(Failure.TIMEOUT, Phase.RECEIVE, "timeout", id="out of time receiving"),
        pytest.param(Failure.DISCONNECTED, Phase.SEND, "disconnected", id="reset while sending"),
        pytest.param(Failure.DISCONNECTED, Phase.WAIT, "disconnected", id="closed without a word"),
        pytest.param(Failure.DISCONNECTED, Phase.RECEIVE, "disconnected", id="closed half way"),
        pytest.param(Failure.TOO_LARGE, Phase.RECEIVE, "response_too_large", id="too large"),
    ],
)
def test_a_call_without_a_reply_is_told_by_how_it_ended(failure: Failure, died_in: Phase, outcome: str) -> None:
    made = exchange(no_reply(failure, died_in))
    assert judged(made) == Judgement(
        outcome=Outcome[outcome.upper()],
        rule="transport",
        expected="a complete reply within 10 s",
        found=f"died in {died_in}",
        error=f"died in {died_in}",
    )
    assert made.died_in is died_in


@pytest.mark.parametrize(
    ("failure", "lost_s", "stalled"),
    [
        pytest.param(Failure.TIMEOUT, 1.0, True, id="a time-out, a tenth of it lost"),
        pytest.param(Failure.TIMEOUT, 0.999, False, id="a time-out, less than a tenth lost"),
        pytest.param(Failure.TIMEOUT, 0.0, False, id="a time-out, nothing lost"),
        pytest.param(Failure.DISCONNECTED, 1.0, True, id="a disconnect, a tenth lost"),
        pytest.param(Failure.DISCONNECTED, 0.5, False, id="a disconnect, less lost"),
        pytest.param(Failure.DNS, 9.0, False, id="no such name, whatever was lost"),
        pytest.param(Failure.CONNECT, 9.0, False, id="refused, whatever was lost"),
        pytest.param(Failure.TLS, 9.0, False, id="a wrong certificate, whatever was lost"),
        pytest.param(Failure.TOO_LARGE, 9.0, False, id="too large, whatever was lost"),
    ],
)
def test_a_worker_that_stood_still_proves_no_timeout(failure: Failure, lost_s: float, stalled: bool) -> None:
    found = judged(exchange(no_reply(failure), lost_s=lost_s))
    assert (found.outcome is Outcome.PROBER_STALLED) is stalled
    if stalled:
        assert found.expected == "a worker that loses less than 10% of the time-out"
        assert found.found == f"{lost_s:g} s lost of 10 s"


@pytest.mark.parametrize("died_in", [Phase.DNS, Phase.CONNECT, Phase.TLS, Phase.WAIT])
def test_a_stall_explains_a_timeout_in_any_phase(died_in: Phase) -> None:
    assert judged(exchange(no_reply(died_in=died_in), lost_s=2.0)).outcome is Outcome.PROBER_STALLED


# Other than 2xx -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (100, "contract_violation"),
        (101, "contract_violation"),
        (300, "redirected"),
        (301, "redirected"),
        (302, "redirected"),
        (304, "redirected"),
        (308, "redirected"),
        (400, "rejected"),
        (401, "unauthorized"),
        (402, "rejected"),
        (403, "forbidden"),
        (404, "not_found"),
        (405, "not_found"),
        (406, "rejected"),
        (408, "server_error"),
        (409, "rejected"),
        (413, "rejected"),
        (418, "rejected"),
        (422, "rejected"),
        (429, "rate_limited"),
        (431, "rejected"),
        (499, "rejected"),
        (500, "server_error"),
        (501, "server_error"),
        (502, "server_error"),
        (503, "server_error"),
        (504, "server_error"),
        (599, "server_error"),
        (600, "contract_violation"),
        (999, "contract_violation"),
        (0, "contract_violation"),
        (None, "contract_violation"),
    ],
)
def test_each_status_has_its_outcome(status: int | None, outcome: str) -> None:
    assert judged(exchange(refusal(), status=status)) == Judgement(
        outcome=Outcome[outcome.upper()], rule="status", expected="HTTP 2xx", found=f"HTTP {status}", error="refused"
    )


@pytest.mark.parametrize(
    ("error_type", "outcome"),
    [
        pytest.param("QuotaExceededError", "quota_exceeded", id="quota"),
        pytest.param("ForbiddenError", "forbidden", id="another type"),
        pytest.param("quotaexceedederror", "forbidden", id="another case"),
        pytest.param(None, "forbidden", id="no type"),
    ],
)
def test_a_403_is_a_spent_quota_only_where_it_says_so(error_type: str | None, outcome: str) -> None:
    assert judged(exchange(refusal(error_type=error_type), status=403)).outcome == outcome


def test_a_quota_error_counts_with_a_403_alone() -> None:
    assert judged(exchange(refusal(error_type="QuotaExceededError"), status=400)).outcome is Outcome.REJECTED


def test_what_a_429_asks_for_is_kept() -> None:
    assert judged(exchange(refusal(retry_after_s=7.0), status=429)).retry_after_s == 7.0


WARMING_WORDS = [
    pytest.param({"error_code": "model_warming"}, True, id="the code"),
    pytest.param({"error_code": "model_warming", "enveloped": True}, True, id="the code in an envelope"),
    pytest.param({"enveloped": True, "retry_after_present": True}, True, id="an envelope with Retry-After"),
    pytest.param(
        {"enveloped": True, "retry_after_present": True, "retry_after_s": None}, True, id="one that can't be read"
    ),
    pytest.param({"enveloped": True}, False, id="an envelope alone"),
    pytest.param({"retry_after_present": True}, False, id="Retry-After alone, as any proxy sends it"),
    pytest.param({"enveloped": True, "retry_after_s": 5.0}, False, id="no header, only the body's field"),
    pytest.param({"error_code": "overloaded"}, False, id="another code"),
    pytest.param({}, False, id="nothing"),
]


@pytest.mark.parametrize(("said", "warming"), WARMING_WORDS)
def test_a_503_may_say_that_the_plugin_is_warming(said: dict[str, Any], warming: bool) -> None:
    found = judged(exchange(refusal(**said), status=503))
    assert found.says_warming is warming
    assert found.outcome is (Outcome.WARMING if warming else Outcome.SERVER_ERROR)


@pytest.mark.parametrize("status", [500, 502, 429, 403])
def test_only_a_503_can_say_so(status: int) -> None:
    found = judged(exchange(refusal(error_code="model_warming"), status=status))
    assert not found.says_warming
    assert found.outcome is not Outcome.WARMING


@pytest.mark.parametrize(
    ("since_s", "max_warming_s", "outcome"),
    [
        pytest.param(None, 300.0, "warming", id="the first such reply"),
        pytest.param(0.0, 300.0, "warming", id="since now"),
        pytest.param(299.9, 300.0, "warming", id="just within the bound"),
        pytest.param(300.0, 300.0, "warming", id="at the bound"),
        pytest.param(300.1, 300.0, "server_error", id="past the bound"),
        pytest.param(None, 0.0, "server_error", id="0s turns it off"),
        pytest.param(0.0, 0.0, "server_error", id="0s, at once"),
        pytest.param(-3600.0, 300.0, "warming", id="the wall clock was set back"),
    ],
)
def test_a_plugin_may_warm_for_so_long(since_s: float | None, max_warming_s: float, outcome: str) -> None:
    made = exchange(refusal(error_code="model_warming"), status=503, at=EPOCH_S, ended_at=EPOCH_S + 1000)
    since = None if since_s is None else EPOCH_S + 1000 - since_s
    found = judged(made, Expectation(max_warming_s=max_warming_s), warming_since=since)
    assert found.outcome == outcome
    assert found.says_warming is (max_warming_s > 0), "turned off, no metric says so either"


# 2xx ------------------------------------------------------------------------------------------------------------------


def test_a_malformed_reply_breaks_the_contract() -> None:
    assert judged(exchange(Malformed(expected="a JSON object", found="an HTML page"))) == Judgement(
        outcome=Outcome.CONTRACT_VIOLATION,
        rule="contract",
        expected="a JSON object",
        found="an HTML page",
        error="expected a JSON object, found an HTML page",
    )


def test_a_healthy_reply_is_success_and_is_described() -> None:
    expect = Expectation(vectors=(VectorExpectation(path="embedding"), VectorExpectation(path="rows")))
    raw = {"embedding": [3.0, 4.0], "rows": [[0.6, 0.8], [1.0, 0.0]], "n": 1}
    found = judged(exchange(reply(raw, response_type="dict", error="a word of warning")), expect)
    assert found._replace(shape_hash=None) == Judgement(
        outcome=Outcome.SUCCESS,
        error="a word of warning",
        inference_name="custom_plugin_p_1_0_0",
        response_type="dict",
        response_keys=("embedding", "rows", "n"),
        shape="{embedding: number[2], n: integer, rows: number[2][2]}",
        vectors=(
            VectorReading(path="embedding", dimensions=2, norm=5.0),
            VectorReading(path="rows", dimensions=2, norm=1.0),
        ),
    )
    assert found.shape_hash


def test_a_failing_reply_is_described_as_well() -> None:
    found = judged(exchange(reply([NAN, 1.0], response_type="dict")))
    assert (found.response_type, found.response_keys, found.shape) == ("dict", None, "number[2]")


def test_the_type_is_seen_where_it_is_not_told() -> None:
    assert judged(exchange(reply("text"))).response_type == "str"


@pytest.mark.parametrize("raw", [{"embedding": [NAN, 1.0]}, {"embedding": [0.0, 0.0]}, {"embedding": "x"}, {}])
def test_only_sound_vectors_are_measured(raw: Any) -> None:
    expect = Expectation(vectors=(VectorExpectation(path="embedding"),))
    assert judged(exchange(reply(raw)), expect).vectors == ()


LATE = Phases(send=0.0, wait=2.0, receive=0.0)


def broken_schema(_raw: Any) -> SchemaProblem:
    return SchemaProblem(path="", expected="a string", found="an object")


FUSSY = Expectation(
    max_latency_s=1.0,
    keys=("embedding",),
    vectors=(VectorExpectation(path="embedding", dimensions=2, normalized=True),),
)


@pytest.mark.parametrize(
    ("made", "expect", "first"),
    [
        pytest.param(
            exchange(no_reply(died_in=Phase.DNS), lost_s=5.0), PLAIN, "prober_stalled", id="stalled, dns_failure"
        ),
        pytest.param(exchange(no_reply(), lost_s=5.0), PLAIN, "prober_stalled", id="stalled, timeout"),
        pytest.param(
            exchange(no_reply(Failure.DISCONNECTED), lost_s=5.0), PLAIN, "prober_stalled", id="stalled, disconnected"
        ),
        pytest.param(
            exchange(refusal(error_type="QuotaExceededError"), status=403),
            PLAIN,
            "quota_exceeded",
            id="quota_exceeded, forbidden",
        ),
        pytest.param(
            exchange(refusal(error_code="model_warming"), status=429), PLAIN, "rate_limited", id="rate_limited, warming"
        ),
        pytest.param(
            exchange(refusal(error_code="model_warming"), status=503), PLAIN, "warming", id="warming, server_error"
        ),
        pytest.param(
            exchange(reply(None, status="pending", response_type="list")),
            PLAIN,
            "contract_violation",
            id="an unknown status, a wrong type",
        ),
        pytest.param(
            exchange(reply(status="error", response_type="list")),
            PLAIN,
            "contract_violation",
            id="contract_violation, plugin_error",
        ),
        pytest.param(
            exchange(reply({"embedding": [NAN, 1.0]}, status="error")),
            PLAIN,
            "plugin_error",
            id="plugin_error, bad_values",
        ),
        pytest.param(exchange(reply({"embedding": [NAN, 1.0, 2.0]})), FUSSY, "bad_values", id="NaN, shape_mismatch"),
        pytest.param(
            exchange(reply({"embedding": [0.0, 0.0, 0.0]})), FUSSY, "bad_values", id="a zero vector, shape_mismatch"
        ),
        pytest.param(
            exchange(reply({"embedding": [3.0, 4.0, 0.0]})), FUSSY, "bad_values", id="not normalized, shape_mismatch"
        ),
        pytest.param(
            exchange(reply({"embedding": [0.6, 0.8, 0.0]}), phases=LATE),
            FUSSY,
            "shape_mismatch",
            id="shape_mismatch, slow",
        ),
        pytest.param(
            exchange(reply(), phases=LATE),
            replace(FUSSY, schema=broken_schema),
            "shape_mismatch",
            id="a broken schema, slow",
        ),
        pytest.param(
            exchange(reply({"embedding": [0.6, 0.8, 0.0]}), phases=LATE, lost_s=2.0),
            FUSSY,
            "shape_mismatch",
            id="shape_mismatch, lateness that a stall explains",
        ),
        pytest.param(exchange(reply(), phases=LATE), FUSSY, "slow", id="slow, success"),
        pytest.param(exchange(reply(), phases=LATE, lost_s=1.5), FUSSY, "prober_stalled", id="stalled, success"),
    ],
)
def test_where_two_apply_the_first_wins(made: Exchange, expect: Expectation, first: str) -> None:
    assert judged(made, expect).outcome == first


def test_a_reply_without_phases_is_not_late() -> None:
    assert judged(exchange(phases=Phases()), Expectation(max_latency_s=1.0)).outcome is Outcome.SUCCESS


# Whatever comes back --------------------------------------------------------------------------------------------------


@given(expect=expectations, made=exchanges, reference=references)
def test_judging_is_total_and_every_failure_says_what_was_expected_and_found(
    expect: Expectation, made: Exchange, reference: Reference
) -> None:
    found = judge(expect, made, reference)
    assert isinstance(found.outcome, Outcome)
    assert found.outcome not in (Outcome.SKIPPED, Outcome.INTERNAL_ERROR) or reference.others
    failed = found.outcome is not Outcome.SUCCESS
    assert all((told is not None) is failed for told in (found.rule, found.expected, found.found))


@given(expect=expectations, made=exchanges, reference=references)
def test_judge_agrees_with_explain(expect: Expectation, made: Exchange, reference: Reference) -> None:
    found = judge(expect, made, reference)
    findings = list(explain(expect, made, reference))
    failed = next((finding for finding in findings if finding.outcome), None)
    if failed is None:
        assert found.outcome is Outcome.SUCCESS
    else:
        assert (found.outcome, found.rule) == (failed.outcome, failed.rule)
        assert (found.expected, found.found) == (failed.expected, failed.found)
    for finding in findings:
        assert finding.expected
        assert len(finding.found) < 1000


@given(expect=expectations, raw=json_values)
def test_a_success_holds_what_was_asked_for(expect: Expectation, raw: Any) -> None:
    found = judge(expect, exchange(reply(raw)), NEW)
    if found.outcome is Outcome.SUCCESS and raw is not None:
        assert all(key in raw for key in expect.keys)
        assert {reading.path for reading in found.vectors} == {item.path for item in expect.vectors}
        assert all(reading.norm >= 0 for reading in found.vectors)


@given(expect=expectations, made=exchanges)
def test_judging_twice_is_judging_once(expect: Expectation, made: Exchange) -> None:
    assert repr(judge(expect, made, NEW)) == repr(judge(expect, made, NEW))
