"""Shelf: the lines of many targets, of which a stream takes a snapshot that costs a reference a batch.

A snapshot of a reference a target would take milliseconds for 100,000 targets, and the garbage collector, looking
through it, fifty more.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

#: Of each family the lines of a batch's targets, side by side, as a stream joins them.
Batch = tuple[list[bytes], ...]
Batches = list[Batch]

#: So many targets share a batch; joined, most families of it make about a piece of a stream.
BATCH = 512


class Shelf:
    """Numbered places, each with a line of every family. What changes in a batch is changed in a copy for the snapshots
    that are in use.
    """

    def __init__(self, families: int) -> None:
        self._families = families
        self._batches: Batches = []
        self._free: list[int] = []
        self._snapshots: list[Batches] = []

    def take(self) -> int:
        """A place with nothing in it."""
        if not self._free:
            first = len(self._batches) * BATCH
            self._batches.append(tuple([b""] * BATCH for _ in range(self._families)))
            self._free = list(range(first + BATCH - 1, first - 1, -1))
        return self._free.pop()

    def put(self, place: int, lines: Sequence[bytes], first: int = 0) -> None:
        """The lines of some families that follow each other, from the `first` one on."""
        number, index = divmod(place, BATCH)
        batch = self._batches[number]
        for snapshot in self._snapshots:
            if number < len(snapshot) and snapshot[number] is batch:
                snapshot[number] = tuple(map(list.copy, batch))
        for family, line in enumerate(lines, first):
            batch[family][index] = line

    def give_back(self, place: int) -> None:
        self.put(place, [b""] * self._families)
        self._free.append(place)

    @contextmanager
    def snapshot(self) -> Iterator[Batches]:
        """What is in all places now. Whoever uses it may delete from its end, and nothing else."""
        snapshot = self._batches.copy()
        self._snapshots.append(snapshot)
        try:
            yield snapshot
        finally:
            self._snapshots = [other for other in self._snapshots if other is not snapshot]
