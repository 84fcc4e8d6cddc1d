"""Exposition: the bytes of every family of every target, kept ready so that a scrape only joins them.

`generate_latest` builds everything anew at each scrape and holds the loop meanwhile. Here a result only marks its
target; changed families are rendered in short slices, and a scrape streams family by family.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import compress
from operator import attrgetter, ne

from worker.core.target import Target, TargetKey
from worker.core.track import Recorded, Track
from worker.sinks.families import FAMILIES, Subject, head, target_labels

#: No piece of a stream is larger than this.
PIECE_BYTES = 65_536
#: So many targets' lines are joined at a time: about a piece of a plain family.
_BATCH = 512

_READ = attrgetter(*(family.read for family in FAMILIES))
_WRITE = tuple(enumerate(family.write for family in FAMILIES))
_NOTHING = (None,) * len(FAMILIES)


@dataclass(slots=True, kw_only=True)
class _Page:
    """One target: by family, what was read last and the lines made of it.

    `lines` is replaced, never changed, so that a stream under way keeps the lines that it began with.
    """

    target: Target
    track: Track
    labels: str
    values: tuple[object, ...] = _NOTHING
    lines: tuple[bytes, ...] = (b"",) * len(FAMILIES)

    def refresh(self) -> None:
        values, labels = _READ(Subject(self.target, self.track)), self.labels
        lines = list(self.lines)
        for index, write in compress(_WRITE, map(ne, values, self.values)):
            value = values[index]
            lines[index] = b"" if value is None else write(labels, value)
        self.values, self.lines = values, tuple(lines)


class Exposition:
    """The per-target part of /metrics. Results of targets that were never added, or have left, are ignored."""

    def __init__(self, *, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._pages: dict[TargetKey, _Page] = {}
        self._dirty: dict[TargetKey, _Page] = {}

    def __len__(self) -> int:
        return len(self._pages)

    def __contains__(self, key: TargetKey) -> bool:
        return key in self._pages

    def add(self, target: Target, track: Track = Track()) -> None:  # noqa: B008 (frozen)
        """A configured target: its series exist from now on, at 0 unless `track` remembers more."""
        page = _Page(target=target, track=track, labels=target_labels(target.key))
        self._pages[target.key] = self._dirty[target.key] = page

    def replace(self, target: Target) -> None:
        """The same target with other settings (interval, labels); what is remembered of it stays."""
        page = self._dirty[target.key] = self._pages[target.key]
        page.target = target

    def record(self, recorded: Recorded) -> bool:
        """False for a target that was never added, or has left."""
        key = recorded.result.target.key
        page = self._pages.get(key)
        if page is None:
            return False
        page.track = recorded.track
        self._dirty[key] = page
        return True

    def forget(self, key: TargetKey) -> None:
        self._pages.pop(key, None)
        self._dirty.pop(key, None)

    def render(self, budget_s: float = 0.002) -> bool:
        """Renders marked targets for at most `budget_s` (and one target more); True when none is left."""
        dirty, clock = self._dirty, self._clock
        until = clock() + budget_s
        while dirty:
            # The last in goes first: every scrape waits for all of them, so none can be left behind.
            dirty.popitem()[1].refresh()
            if clock() >= until:
                break
        return not dirty

    def stream(self, *, openmetrics: bool) -> Iterator[bytes]:
        """Every family in turn, as it was when the last marked target had been rendered; no `# EOF`.

        An empty piece only gives the caller a chance to let the event loop go on.
        """
        while not self.render():
            yield b""
        pages = [page.lines for page in self._pages.values()]
        yield from in_pieces(_lines(pages, openmetrics=openmetrics))


def _lines(pages: list[tuple[bytes, ...]], *, openmetrics: bool) -> Iterator[bytes]:
    """A family of which no target has a sample is left out, HELP and TYPE included."""
    for index, family in enumerate(FAMILIES):
        opening = head(family.name, family.kind, family.help, openmetrics=openmetrics)
        for start in range(0, len(pages), _BATCH):
            block = b"".join([lines[index] for lines in pages[start : start + _BATCH]])
            if block:
                yield opening + block
                opening = b""


def in_pieces(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Gathers small blocks and cuts large ones, so that nothing is larger than PIECE_BYTES."""
    held: list[bytes] = []
    size = 0
    for block in blocks:
        if held and size + len(block) > PIECE_BYTES:
            yield b"".join(held)
            held, size = [], 0
        if len(block) <= PIECE_BYTES:
            held.append(block)
            size += len(block)
        else:
            yield from (block[start : start + PIECE_BYTES] for start in range(0, len(block), PIECE_BYTES))
    if held:
        yield b"".join(held)
