"""Totals and percentiles of a batch."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from worker.core.exchange import Reply
from worker.core.outcome import Outcome, Verdict
from worker.core.result import Result


@dataclass(slots=True, kw_only=True)
class Summary:
    """Counts of a run by verdict and outcome, and the latencies (s) of its documented replies that no stall touched."""

    by_outcome: Counter[Outcome] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)

    def add(self, result: Result) -> None:
        exchange = result.exchange
        measured = exchange is not None and isinstance(exchange.answer, Reply) and exchange.lost_s == 0
        self.take(result.outcome, exchange.duration_s if exchange and measured else None)

    def take(self, outcome: Outcome, latency_s: float | None) -> None:
        """One result by what is told of it; `latency_s` is None where it is not to be measured."""
        self.by_outcome[outcome] += 1
        if latency_s is not None:
            self.latencies_s.append(latency_s)

    @property
    def targets(self) -> int:
        return self.by_outcome.total()

    def count(self, verdict: Verdict) -> int:
        return sum(number for outcome, number in self.by_outcome.items() if outcome.verdict is verdict)

    def words(self) -> dict[str, int]:
        """By outcome, in the order of precedence."""
        return {outcome.value: self.by_outcome[outcome] for outcome in Outcome if self.by_outcome[outcome]}

    def latency(self) -> dict[str, float | None]:
        """p50, p95, p99 and max in seconds; None when nothing was measured."""
        ranked = sorted(self.latencies_s)
        quantiles = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
        return {name: percentile(ranked, q) for name, q in quantiles.items()}


def summarise(results: Iterable[Result]) -> Summary:
    summary = Summary()
    for result in results:
        summary.add(result)
    return summary


def percentile(ranked: list[float], q: float) -> float | None:
    """Nearest rank: of 1, 2, 3, 4 the median is 2, the 95th percentile 4."""
    return ranked[max(math.ceil(q * len(ranked)) - 1, 0)] if ranked else None
