"""What comes when: the cycles of the targets, and the probes that are to be asked again."""

import heapq
import itertools
import math
from collections.abc import Iterator

from worker.clock import Clock
from worker.core.schedule import first_due, next_due
from worker.core.target import Target, TargetKey
from worker.probe import Probe

#: What an instant may lose on its way from the wall clock to the monotonic one and back: 0.2 µs of today's Unix time.
ROUNDING_S = 1e-6


class Agenda:
    """Instants are on the monotonic clock, so nothing drifts; phases are of the wall clock at the start, so that they
    are the same in every process. `next_due_at` holds each scheduled target's next instant.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wall_offset_s = clock.wall() - clock.now()
        self._sequence = itertools.count()
        self._due: list[tuple[float, int, TargetKey]] = []
        self._tidy: list[tuple[float, int, TargetKey]] | None = None  # what `_due` is going to be
        self._again: list[tuple[float, int, Probe]] = []
        self.next_due_at: dict[TargetKey, float] = {}

    def schedule(self, target: Target, after: float | None = None) -> None:
        """The target's next instant after this one, or after now."""
        after_wall = (self._clock.now() if after is None else after) + self._wall_offset_s + ROUNDING_S
        self._set(target.key, next_due(target.key, target.interval_s, after_wall) - self._wall_offset_s)

    def schedule_first(self, target: Target, *, targets: int, rate_per_s: float) -> None:
        """Soon, for a target of which nothing is known."""
        now = self._clock.now()
        self._set(target.key, first_due(target.key, target.interval_s, now, targets=targets, rate_per_s=rate_per_s))

    def ask_again(self, probe: Probe, at: float) -> None:
        heapq.heappush(self._again, (at, next(self._sequence), probe))

    def forget(self, key: TargetKey) -> None:
        self.next_due_at.pop(key, None)

    def take_due(self, now: float) -> Iterator[tuple[TargetKey, float]]:
        """The targets whose instant has come, each with that instant; each is to be scheduled again."""
        while self._due and self._due[0][0] <= now:
            due_at, _, key = heapq.heappop(self._due)
            if self.next_due_at.get(key) == due_at:  # else it left, or was scheduled anew
                yield key, due_at

    def take_again(self, now: float) -> Iterator[Probe]:
        """The probes whose time to be asked again has come."""
        while self._again and self._again[0][0] <= now:
            yield heapq.heappop(self._again)[2]

    def clear(self) -> list[Probe]:
        """Nothing more is due; gives back the probes that waited to be asked again."""
        waiting = [probe for _, _, probe in self._again]
        self._again.clear()
        self._due.clear()
        self.next_due_at.clear()
        return waiting

    def next_at(self) -> float:
        """The next instant at which anything comes; infinity when nothing does."""
        return min(self._again[0][0] if self._again else math.inf, self._due[0][0] if self._due else math.inf)

    def tidying(self) -> Iterator[None]:
        """Takes out, in steps, what is left of targets that went and would be due in a month perhaps."""
        if len(self._due) <= 2 * len(self.next_due_at) + 1_000:
            return
        tidy = self._tidy = []
        try:
            for key in list(self.next_due_at):
                if key in self.next_due_at:
                    heapq.heappush(tidy, (self.next_due_at[key], next(self._sequence), key))
                yield
            untidy, self._due = self._due, tidy
        finally:
            self._tidy = None
        while untidy:
            untidy.pop()
            yield

    def _set(self, key: TargetKey, at: float) -> None:
        self.next_due_at[key] = at
        entry = (at, next(self._sequence), key)
        heapq.heappush(self._due, entry)
        if self._tidy is not None:
            heapq.heappush(self._tidy, entry)
