"""The closed set of outcomes: words, verdicts, faults, order."""

import pytest

from worker.core.outcome import Fault, Outcome, Verdict

TABLE = [
    ("skipped", "unknown", "prober"),
    ("prober_stalled", "unknown", "prober"),
    ("dns_failure", "down", "network"),
    ("connect_failure", "down", "network"),
    ("tls_failure", "down", "network"),
    ("timeout", "down", "plugin"),
    ("disconnected", "down", "plugin"),
    ("response_too_large", "down", "plugin"),
    ("redirected", "unknown", "configuration"),
    ("unauthorized", "unknown", "configuration"),
    ("quota_exceeded", "unknown", "configuration"),
    ("forbidden", "unknown", "configuration"),
    ("not_found", "down", "configuration"),
    ("rate_limited", "unknown", "configuration"),
    ("warming", "unknown", "platform"),
    ("rejected", "down", "configuration"),
    ("server_error", "down", "plugin"),
    ("contract_violation", "down", "platform"),
    ("plugin_error", "down", "plugin"),
    ("bad_values", "down", "plugin"),
    ("shape_mismatch", "down", "plugin"),
    ("drift", "down", "plugin"),
    ("slow", "up", "plugin"),
    ("success", "up", "none"),
    ("internal_error", "unknown", "prober"),
]


@pytest.mark.parametrize(("word", "verdict", "fault"), [pytest.param(*row, id=row[0]) for row in TABLE])
def test_every_outcome_has_its_verdict_and_its_fault(word: str, verdict: str, fault: str) -> None:
    outcome = Outcome[word.upper()]
    assert (outcome.verdict, outcome.fault) == (Verdict(verdict), Fault(fault))
    assert str(outcome) == f"{outcome}" == outcome.value == word


def test_the_set_is_closed_and_stands_in_the_order_of_precedence() -> None:
    assert [outcome.value for outcome in Outcome] == [word for word, _, _ in TABLE]


def test_only_what_is_up_can_be_nobodys_fault() -> None:
    assert [outcome for outcome in Outcome if outcome.fault is Fault.NONE] == [Outcome.SUCCESS]
