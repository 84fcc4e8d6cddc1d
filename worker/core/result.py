"""Result: what one probe of one target came to."""

from enum import StrEnum
from typing import NamedTuple

from worker.core.exchange import Exchange
from worker.core.judge import Judgement
from worker.core.outcome import Outcome
from worker.core.rules import Reference
from worker.core.target import Target


class SkipReason(StrEnum):
    """Why a target that was due was not probed.

    Its last probe is under way: in flight, or waiting to be asked again or for a pause to end (`overrun`: the plugin is
    slow or unwell), or still waiting for its turn under the limits (`overload`: the worker is asked for too much).
    """

    DEADLINE = "deadline"
    SHUTDOWN = "shutdown"
    OVERRUN = "overrun"
    OVERLOAD = "overload"


class Result(NamedTuple):
    """The last attempt is the result; `attempts` counts the calls, those to distinct inputs too.

    `exchange` is that of the last call with the target's own inputs, None when none was finished; `reference` is what
    it was judged by. `lateness_s` is the first call's start minus the
    moment it was due.
    """

    target: Target
    judgement: Judgement
    exchange: Exchange | None = None
    reference: Reference = Reference()
    attempts: int = 0
    lateness_s: float | None = None
    skipped: SkipReason | None = None

    @property
    def outcome(self) -> Outcome:
        return self.judgement.outcome


def skip(target: Target, reason: SkipReason, *, attempts: int = 0) -> Result:
    """A target that was not probed; `attempts` tells of a call that was cut off before it could prove anything."""
    told = {
        SkipReason.DEADLINE: "the batch's deadline came first",
        SkipReason.SHUTDOWN: "the worker was stopped first",
        SkipReason.OVERRUN: "still running from the last cycle",
        SkipReason.OVERLOAD: "still waiting for its turn under the limits since the last cycle",
    }[reason]
    if attempts:
        told += "; the call was cut off"
    judgement = Judgement(outcome=Outcome.SKIPPED, rule="schedule", error=told)
    return Result(target=target, judgement=judgement, attempts=attempts, skipped=reason)


def fail(target: Target, error: BaseException, *, attempts: int, lateness_s: float | None) -> Result:
    """A probe that a bug of ours ended."""
    told = f"{type(error).__name__}: {error}"
    judgement = Judgement(outcome=Outcome.INTERNAL_ERROR, rule="internal", error=told)
    return Result(target=target, judgement=judgement, attempts=attempts, lateness_s=lateness_s)
