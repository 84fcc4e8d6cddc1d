"""One probe under way: from its first call, over those that are asked again or besides, to its result."""

from dataclasses import dataclass, replace

from worker.core.attempt import Tries
from worker.core.distinct import OtherReply, expectation_of, is_due, questions
from worker.core.exchange import Exchange, Reply
from worker.core.judge import Judgement, judge
from worker.core.result import Result
from worker.core.rules import Reference
from worker.core.target import Target
from worker.core.track import Track

_NO_TRIES = Tries()
_NO_REFERENCE = Reference()


@dataclass(slots=True, kw_only=True, eq=False)
class Probe:
    """Due at a monotonic instant, called `calls` times so far. `last` is what came back of the target's own
    inputs; `besides` are the distinct inputs that are asked after them, `others` what they came to.
    """

    target: Target
    due_at: float
    calls: int = 0
    tries: Tries = _NO_TRIES
    lateness_s: float | None = None
    last: tuple[Judgement, Exchange] | None = None
    reference: Reference = _NO_REFERENCE
    besides: tuple[Target, ...] = ()
    others: tuple[OtherReply, ...] = ()
    #: It is due and waits for the limits.
    waiting: bool = False
    #: A call's connection was dead: those that follow take new ones, since no call is repeated twice for that.
    stale: bool = False

    @property
    def asked(self) -> Target:
        """What the next call asks."""
        return self.besides[len(self.others)] if self.besides else self.target

    def hear(self, exchange: Exchange, track: Track) -> Judgement:
        """Takes in what came back of a call."""
        self.stale = self.stale or exchange.stale
        if self.besides:
            return judge(expectation_of(self.target.expect, self.asked.inputs), exchange, Reference())
        self.reference = Reference(warming_since=track.warming_since, pin=self.target.pin)
        judgement = judge(self.target.expect, exchange, self.reference)
        self.last = (judgement, exchange)
        return judgement

    def goes_on(self, judgement: Judgement, exchange: Exchange, track: Track) -> bool:
        """What was asked is not asked again: whether there is something else to ask. Distinct inputs are asked of a
        plugin that is up otherwise, until one of them has no answer.
        """
        if exchange.stale:  # nobody heard it, and there is no time to ask again
            return False
        if self.besides:
            answer = exchange.answer
            raw = answer.raw_response if isinstance(answer, Reply) else None
            told = judgement.found or judgement.error
            heard = OtherReply(inputs=self.asked.inputs, outcome=judgement.outcome, told=told, raw_response=raw)
            self.others = (*self.others, heard)
        elif is_due(self.target.expect, track.distinct_at, exchange.ended_at, self.target.interval_s):
            self.besides = tuple(replace(self.target, inputs=inputs) for inputs in questions(self.target.expect))
        self.tries, self.stale = _NO_TRIES, False
        return judgement.outcome.up and len(self.others) < len(self.besides)

    def result(self) -> Result | None:
        """What it came to; None when nobody heard it."""
        if self.last is None or self.last[1].stale:
            return None
        judgement, exchange = self.last
        reference = self.reference
        if self.others:
            reference = reference._replace(others=self.others)
            judgement = judge(self.target.expect, exchange, reference)
        return Result(
            target=self.target,
            judgement=judgement,
            exchange=exchange,
            reference=reference,
            attempts=self.calls,
            lateness_s=self.lateness_s,
        )
