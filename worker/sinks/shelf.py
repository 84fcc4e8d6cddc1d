"""Shelf: the lines of many targets, of which a stream takes a snapshot that costs a reference a batch.

A snapshot of a reference a target would take milliseconds for 100,000 targets, and the garbage collector's looking
through it fifty of them.
"""

#: The lines of one target, by family.
Lines = tuple[bytes, ...]

#: So many targets share a batch: about a piece of the histograms, the largest family.
BATCH = 64


class Shelf:
    """Numbered places. A batch that changes after a snapshot becomes another list, so that the snapshot stays."""

    def __init__(self, empty: Lines) -> None:
        self._empty = empty
        self._batches: list[list[Lines]] = []
        self._free: list[int] = []
        self._snapshots = 0
        self._copied: list[int] = []  # by batch: how many snapshots there were when it became what it is

    def take(self) -> int:
        """A place with nothing in it."""
        if not self._free:
            first = len(self._batches) * BATCH
            self._batches.append([self._empty] * BATCH)
            self._copied.append(self._snapshots)
            self._free = list(range(first + BATCH - 1, first - 1, -1))
        return self._free.pop()

    def put(self, place: int, lines: Lines) -> None:
        number = place // BATCH
        batch = self._batches[number]
        if self._copied[number] != self._snapshots:
            batch = self._batches[number] = batch.copy()
            self._copied[number] = self._snapshots
        batch[place % BATCH] = lines

    def give_back(self, place: int) -> None:
        self.put(place, self._empty)
        self._free.append(place)

    def snapshot(self) -> list[list[Lines]]:
        """What is in all places now; the inner lists are not to be changed."""
        self._snapshots += 1
        return self._batches.copy()
