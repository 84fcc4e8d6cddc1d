"""A surface made by hand, with as many targets as a test asks for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.fakes import make_result, make_target
from worker.core.exchange import Exchange
from worker.core.target import Target, TargetKey
from worker.core.track import Recorded, Track, advance
from worker.sinks.rows import row
from worker.web.board import Shown


def recorded(target: Target, exchange: Exchange | None = None, before: Track | None = None) -> Recorded:
    """What comes of a target's first (or next) result."""
    result = make_result(exchange, target)
    track, changes = advance(before or Track(), result)
    return Recorded(result=result, track=track, changes=changes)


def waiting(plugin: str = "waiting", **changes: Any) -> Shown:
    """A target that was not probed yet."""
    return Shown(target=make_target(plugin, **changes), track=Track(), next_due_in_s=12.0, row=None)


def probed(plugin: str = "p_1_0_0", exchange: Exchange | None = None, **changes: Any) -> Shown:
    target = make_target(plugin, **changes)
    seen = recorded(target, exchange)
    return Shown(target=target, track=seen.track, next_due_in_s=12.0, row=row(seen))


@dataclass(slots=True)
class HandMade:
    """A Surface that shows what it was given."""

    targets: list[Shown] = field(default_factory=list)
    pieces: Sequence[bytes] = (b"# TYPE a gauge\n", b"", b"a 1\n")
    is_ready: bool = True

    def exposition(self, *, openmetrics: bool) -> Iterator[bytes]:
        yield from self.pieces
        if openmetrics:
            yield b"# EOF\n"

    def ready(self) -> bool:
        return self.is_ready

    def shown(self) -> Iterator[Shown]:
        return iter(self.targets)

    def shown_one(self, key: TargetKey) -> Shown | None:
        return next((shown for shown in self.targets if shown.target.key == key), None)
