"""--fail-on and the exit codes."""

import pytest

from worker.core.exits import Exit, FailOn, exit_code, proved
from worker.core.outcome import Outcome, Verdict
from worker.core.summary import Summary


def of(*outcomes: str) -> Summary:
    summary = Summary()
    summary.by_outcome.update(Outcome[word.upper()] for word in outcomes)
    return summary


@pytest.mark.parametrize(
    ("text", "named"),
    [
        pytest.param("down", {o for o in Outcome if o.verdict is Verdict.DOWN}, id="down"),
        pytest.param("unknown", {o for o in Outcome if o.verdict is not Verdict.UP}, id="unknown includes down"),
        pytest.param("up", {Outcome.SLOW, Outcome.SUCCESS}, id="up"),
        pytest.param("down,slow", {o for o in Outcome if o.verdict is Verdict.DOWN} | {Outcome.SLOW}, id="down, slow"),
        pytest.param(" slow , drift ", {Outcome.SLOW, Outcome.DRIFT}, id="blanks"),
        pytest.param("never", set(), id="never"),
    ],
)
def test_fail_on_takes_verdicts_and_outcomes(text: str, named: set[Outcome]) -> None:
    assert FailOn.parse(text).outcomes == named


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("dwon", "'dwon' is no verdict or outcome; did you mean down?", id="a slip"),
        pytest.param("slow,timeuot", "'timeuot' is no verdict or outcome; did you mean timeout?", id="the second word"),
        pytest.param(
            "xyz", "'xyz' is no verdict or outcome: use up, down, unknown, an outcome, or never", id="no idea"
        ),
        pytest.param("down,never", "never stands alone", id="never beside another"),
        pytest.param("", "'' is no verdict or outcome", id="nothing"),
    ],
)
def test_other_words_are_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=f"^{told}"):
        FailOn.parse(text)


@pytest.mark.parametrize(
    ("summary", "fail_on", "complete", "outputs_failed", "code"),
    [
        pytest.param(of("success"), "down", True, False, Exit.OK, id="all well"),
        pytest.param(of(), "down", True, False, Exit.OK, id="a shard with no target"),
        pytest.param(of("slow"), "down", True, False, Exit.OK, id="slow is up"),
        pytest.param(of("slow"), "down,slow", True, False, Exit.FOUND, id="slow, and asked for"),
        pytest.param(of("success", "timeout"), "down", True, False, Exit.FOUND, id="one down"),
        pytest.param(of("success", "timeout"), "never", True, False, Exit.OK, id="one down, never"),
        pytest.param(of("success", "warming"), "down", True, False, Exit.OK, id="one unknown"),
        pytest.param(of("success", "warming"), "unknown", True, False, Exit.FOUND, id="one unknown, and asked for"),
        pytest.param(of("unauthorized"), "down", True, False, Exit.INCOMPLETE, id="nothing conclusive"),
        pytest.param(of("success", "skipped"), "down", False, False, Exit.INCOMPLETE, id="the deadline came"),
        pytest.param(of("timeout", "skipped"), "down", False, False, Exit.FOUND, id="found before incomplete"),
        pytest.param(of("success"), "down", True, True, Exit.WORKER_FAILED, id="an output failed"),
        pytest.param(of("timeout", "internal_error"), "down", True, False, Exit.WORKER_FAILED, id="a bug before all"),
        pytest.param(of("timeout", "skipped"), "down", False, True, Exit.WORKER_FAILED, id="failed before found"),
    ],
)
def test_the_exit_code_tells_the_gravest(
    summary: Summary, fail_on: str, complete: bool, outputs_failed: bool, code: Exit
) -> None:
    assert exit_code(summary, FailOn.parse(fail_on), complete=complete, outputs_failed=outputs_failed) is code


def test_a_batch_proves_something_only_when_it_is_complete() -> None:
    assert proved(of("success"), complete=True)
    assert not proved(of("success"), complete=False)
    assert not proved(of("warming"), complete=True)
