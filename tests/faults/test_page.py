"""docs/outcomes.md is the code's, and the table of faults leaves no outcome out."""

from collections import Counter

from tests.faults.page import MEANINGS, PAGE, page
from tests.faults.table import FAULTS, TABLE
from worker.core.outcome import Outcome

#: What no server can bring about: the worker's own.
OURS = {Outcome.SKIPPED, Outcome.PROBER_STALLED, Outcome.INTERNAL_ERROR}


def test_the_page_is_what_make_outcomes_writes() -> None:
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_outcome_has_a_meaning_and_a_fault_that_brings_it_about() -> None:
    assert MEANINGS.keys() == set(Outcome)
    assert {fault.outcome for fault in FAULTS.values()} == set(Outcome) - OURS


def test_a_fault_is_in_the_table_once() -> None:
    names = Counter(fault.name for group in TABLE.values() for fault in group)
    assert [name for name, count in names.items() if count > 1] == []
