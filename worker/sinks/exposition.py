"""Exposition: the bytes of every family of every target, kept ready so that a scrape only joins them.

`generate_latest` builds everything anew at each scrape and holds the loop meanwhile. Here a result only marks its
target; changed families are rendered in short slices, and a scrape streams family by family.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from worker.core.target import Target, TargetKey
from worker.core.track import Recorded, Track, resume
from worker.sinks.exemplars import Exemplars
from worker.sinks.families import DURATION, FAMILIES, Family, head, reader, writer
from worker.sinks.labels import target_labels
from worker.sinks.shelf import Batches, Shelf

#: No piece of a stream is larger than this.
PIECE_BYTES = 65_536
#: How long rendering goes on before the event loop gets its turn; a timer that is due may wait for three of these.
SLICE_S = 0.001
#: So many blocks are gathered before the event loop gets its turn, however little is in them.
_MOST_BLOCKS = 64
#: So many batches are let go at a time.
_MOST_BATCHES = 16


class _Form:
    """How the lines of a page are written, and where those of a family are: first the steady ones, at last those of the
    histogram with its exemplar.
    """

    def __init__(self, families: Sequence[Family], exemplars: Exemplars | None) -> None:
        steady = [family for family in families if not family.moves]
        moving = [family for family in families if family.moves]
        self.steady = len(steady)
        self.read_steady, self.write_steady, self.write_moving = reader(steady), writer(steady), writer(moving)
        places = {family.name: place for place, family in enumerate([*steady, *moving])}
        self.families = [(family, places[family.name]) for family in families]
        self.mark = exemplars.mark if exemplars and DURATION in moving else None
        self.histogram = moving.index(DURATION) if self.mark else 0
        self.openmetrics = {DURATION.name: len(families)} if self.mark else {}


@dataclass(slots=True, kw_only=True)
class _Page:
    """One target, and what the lines of its steady families were made of."""

    place: int
    target: Target
    track: Track
    labels: str
    read: tuple[Any, ...] = ()

    def refresh(self, form: _Form, shelf: Shelf) -> None:
        """Writes anew what may have changed."""
        labels, target, track = self.labels, self.target, self.track
        read = form.read_steady(target, track)
        if read != self.read:
            self.read = read
            shelf.put(self.place, form.write_steady(labels, target, track))
        moving = form.write_moving(labels, target, track)
        if form.mark:
            moving = (*moving, form.mark(moving[form.histogram], track.exemplar))
        shelf.put(self.place, moving, form.steady)


class Exposition:
    """The per-target part of /metrics. Results of targets that were never added, or have left, are ignored."""

    def __init__(
        self,
        *,
        families: Sequence[Family] = FAMILIES,
        clock: Callable[[], float] = time.perf_counter,
        exemplars: Exemplars | None = None,
    ) -> None:
        self._form = _Form(families, exemplars)
        self._clock = clock
        self._pages: dict[TargetKey, _Page] = {}
        self._shelf = Shelf(len(families) + len(self._form.openmetrics))
        self._dirty: dict[TargetKey, _Page] = {}

    def __len__(self) -> int:
        return len(self._pages)

    def __contains__(self, key: TargetKey) -> bool:
        return key in self._pages

    def add(self, target: Target, track: Track = Track()) -> None:  # noqa: B008 (frozen)
        """A configured target: its series exist from now on, at 0 unless `track` remembers more."""
        self.forget(target.key)
        page = _Page(place=self._shelf.take(), target=target, track=track, labels=target_labels(target.key))
        self._pages[target.key] = self._dirty[target.key] = page

    def replace(self, target: Target) -> None:
        """The same target with other settings (interval, labels); what is remembered of it stays."""
        page = self._dirty[target.key] = self._pages[target.key]
        page.target = target

    def record(self, recorded: Recorded) -> Track | None:
        """What the track was before; None for a target that was never added, or has left."""
        key = recorded.result.target.key
        page = self._pages.get(key)
        if page is None:
            return None
        before, page.track = page.track, recorded.track
        self._dirty[key] = page
        return before

    def resume(self, key: TargetKey, remembered: Track) -> tuple[Track, Track]:
        """Goes on from what was remembered of a target that is there; its track before and after."""
        page = self._dirty[key] = self._pages[key]
        before, page.track = page.track, resume(remembered, page.track)
        return before, page.track

    def forget(self, key: TargetKey) -> None:
        page = self._pages.pop(key, None)
        self._dirty.pop(key, None)
        if page:
            self._shelf.give_back(page.place)

    def render(self, budget_s: float = SLICE_S) -> bool:
        """Renders marked targets for at most `budget_s` (and one target more); True when none is left."""
        dirty, clock, form, shelf = self._dirty, self._clock, self._form, self._shelf
        until = clock() + budget_s
        while dirty:
            # The last in goes first: every scrape waits for all of them, so none can be left behind.
            dirty.popitem()[1].refresh(form, shelf)
            if clock() >= until:
                break
        return not dirty

    def stream(self, *, openmetrics: bool) -> Iterator[bytes]:
        """Every family in turn, as it was when the last marked target had been rendered; no `# EOF`.

        An empty piece only gives the caller a chance to let the event loop go on.
        """
        while not self.render():
            yield b""
        with self._shelf.snapshot() as batches:
            yield from in_pieces(_lines(self._form, batches, openmetrics=openmetrics))
            while len(batches) > _MOST_BATCHES:  # letting go of all at once would take milliseconds
                del batches[-_MOST_BATCHES:]
                yield b""


def _lines(form: _Form, batches: Batches, *, openmetrics: bool) -> Iterator[bytes]:
    """A family of which no target has a sample is left out, HELP and TYPE included."""
    for family, place in form.families:
        if openmetrics:
            place = form.openmetrics.get(family.name, place)
        opening = head(family.name, family.kind, family.help, openmetrics=openmetrics)
        for batch in batches:
            block = b"".join(batch[place])
            if block and opening:
                block, opening = opening + block, b""
            yield block


def in_pieces(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Gathers small blocks and cuts large ones, so that nothing is larger than PIECE_BYTES.

    After many blocks that do not fill a piece (no target is warming, say) there is an empty one.
    """
    held: list[bytes] = []
    size = waited = 0
    for block in blocks:
        waited += 1
        if held and size + len(block) > PIECE_BYTES:
            yield b"".join(held)
            held, size, waited = [], 0, 0
        elif waited > _MOST_BLOCKS:
            yield b""
            waited = 0
        if len(block) <= PIECE_BYTES:
            held.append(block)
            size += len(block)
        else:
            yield from (block[start : start + PIECE_BYTES] for start in range(0, len(block), PIECE_BYTES))
    if held:
        yield b"".join(held)
