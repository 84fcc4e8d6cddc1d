"""What a batch's end means to whoever started it: --fail-on and the exit codes."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import IntEnum

from worker.core.outcome import Outcome, Verdict
from worker.core.summary import Summary

NEVER = "never"


class Exit(IntEnum):
    """Exit codes. When several apply: usage, worker_failed, found, incomplete."""

    OK = 0
    FOUND = 1
    USAGE = 2
    WORKER_FAILED = 3
    INCOMPLETE = 4


@dataclass(frozen=True, slots=True)
class FailOn:
    """The outcomes that make a batch exit with 1."""

    outcomes: frozenset[Outcome]

    @classmethod
    def parse(cls, text: str) -> "FailOn":
        """From `down`, `unknown` (which includes down), `down,slow`, `never`; else ValueError with the nearest word."""
        words = [word.strip() for word in text.split(",")]
        if words == [NEVER]:
            return cls(frozenset())
        return cls(frozenset(outcome for word in words for outcome in _named(word)))


def _named(word: str) -> Iterable[Outcome]:
    if word == Verdict.UNKNOWN:
        return [outcome for outcome in Outcome if outcome.verdict is not Verdict.UP]
    if word in list(Verdict):
        return [outcome for outcome in Outcome if outcome.verdict == word]
    if word in list(Outcome):
        return [outcome for outcome in Outcome if outcome == word]
    if word == NEVER:
        raise ValueError(f"{NEVER} stands alone: nothing else makes a difference beside it")
    known = [*Verdict, *Outcome, NEVER]
    near = get_close_matches(word, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else f": use {', '.join(Verdict)}, an outcome, or {NEVER} alone"
    raise ValueError(f"{word!r} is no verdict or outcome{hint}")


def exit_code(summary: Summary, fail_on: FailOn, *, complete: bool, outputs_failed: bool) -> Exit:
    """The code of a batch that ran."""
    if outputs_failed or summary.by_outcome[Outcome.INTERNAL_ERROR]:
        return Exit.WORKER_FAILED
    if any(summary.by_outcome[outcome] for outcome in fail_on.outcomes):
        return Exit.FOUND
    return Exit.OK if proved(summary, complete=complete) else Exit.INCOMPLETE


def proved(summary: Summary, *, complete: bool) -> bool:
    """Every target was probed and at least one verdict is conclusive; an empty list proves what it set out to."""
    conclusive = summary.targets - summary.count(Verdict.UNKNOWN)
    return complete and (conclusive > 0 or summary.targets == 0)
