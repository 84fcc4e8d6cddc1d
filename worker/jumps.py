"""The wall clock set while probes go on: what is reckoned from its instants is moved along with it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from worker.clock import Clock
from worker.core.exchange import Exchange
from worker.core.target import TargetKey
from worker.core.track import Track

#: Less than this in one step is a clock that is being steered, and changes nothing.
LEAST_S = 1.0


@dataclass(slots=True, kw_only=True)
class Jumps:
    """Looks around each call, since only then are instants compared: an hour more on the clock is no hour of warming.

    `tracks` gives those in which such instants stand.
    """

    clock: Clock
    tracks: Callable[[], dict[TargetKey, Track]]
    _offset_s: float = field(init=False)
    _moved_s: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        self._offset_s = self.clock.wall() - self.clock.now()

    async def minded(self, call: Awaitable[Exchange]) -> Exchange:
        """What the call came to, told by the clock as it is when the call ends."""
        self._look()
        before_s = self._moved_s
        exchange = await call
        self._look()
        moved_s = self._moved_s - before_s
        if not moved_s:
            return exchange
        return exchange._replace(started_at=exchange.started_at + moved_s, ended_at=exchange.ended_at + moved_s)

    def _look(self) -> None:
        offset_s = self.clock.wall() - self.clock.now()
        moved_s, self._offset_s = offset_s - self._offset_s, offset_s
        if abs(moved_s) >= LEAST_S:
            self._moved_s += moved_s
            self._move(moved_s)

    def _move(self, by_s: float) -> None:
        tracks = self.tracks()
        for key, track in tracks.items():
            if track.warming_since is not None or track.distinct_at is not None:
                warming_since, distinct_at = _moved(track.warming_since, by_s), _moved(track.distinct_at, by_s)
                tracks[key] = track._replace(warming_since=warming_since, distinct_at=distinct_at)


def _moved(at: float | None, by_s: float) -> float | None:
    return None if at is None else at + by_s
