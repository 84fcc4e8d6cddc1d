"""Reads samples back from text format 0.0.4, as this project and the Pushgateway write it.

prometheus_client's own parser takes six times as long, and a batch of 100,000 targets begins with this.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([^ ]+)(?: -?[0-9]+)?")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]++|\\.)*+)"(?:,|$)')
_ESCAPED = re.compile(r"\\(.)")
_MEANT = {"n": "\n"}
#: Nobody writes a longer line; who sends one without an end is not to fill our memory.
MOST_LINE_BYTES = 1 << 20


class Sample(NamedTuple):
    """One line."""

    name: str
    labels: dict[str, str]
    value: float


class Reader:
    """Takes lines one by one, or chunks of bytes that are cut anywhere. Of the lines that `concerns` turns down it only
    looks whether they are samples. Raises ValueError for what is no line of this format.
    """

    def __init__(self, concerns: Callable[[str], bool] = bool) -> None:
        self._concerns = concerns
        self._number = 0
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[Sample]:
        """The samples of the lines that are whole by now."""
        whole, newline, self._rest = (self._rest + chunk).rpartition(b"\n")
        if len(self._rest) > MOST_LINE_BYTES:
            raise ValueError(f"a line is longer than {MOST_LINE_BYTES >> 20} MiB")
        return self._of(whole) if newline else iter(())

    def end(self) -> Iterator[Sample]:
        """The sample of a last line that no newline has ended."""
        return self._of(self._rest)

    def _of(self, lines: bytes) -> Iterator[Sample]:
        # not splitlines(): a label may hold what that takes for the end of a line
        return filter(None, map(self.take, lines.decode().split("\n")))

    def take(self, line: str) -> Sample | None:
        """The line's sample, if it has one that concerns us."""
        self._number += 1
        if not line or line[0] == "#":
            return None
        match = _SAMPLE.fullmatch(line)
        if match is None:
            raise ValueError(f"line {self._number} is no sample")
        if not self._concerns(line):
            return None
        name, inside, value = match.groups()
        try:
            return Sample(name, _labels(inside) if inside else {}, _value(value))
        except ValueError as error:
            raise ValueError(f"line {self._number} is no sample: {error}") from None


def samples(lines: Iterable[str]) -> Iterator[Sample]:
    """The samples of lines that may end in a newline. Raises ValueError at the first that is none."""
    return filter(None, map(Reader().take, (line.rstrip("\n") for line in lines)))


def _value(written: str) -> float:
    try:
        return float(written)
    except ValueError:
        raise ValueError("its value is no number") from None


def _labels(inside: str) -> dict[str, str]:
    found, end = {}, 0
    while match := _LABEL.match(inside, end):  # searching would look through the rest once for each of its characters
        name, value = match.groups()
        found[name] = _ESCAPED.sub(lambda escape: _MEANT.get(escape[1], escape[1]), value) if "\\" in value else value
        end = match.end()
    if end != len(inside):
        raise ValueError('its labels are not name="value" with commas between')
    return found


def own_counts(cumulative: Mapping[float, int], bounds: Sequence[float]) -> tuple[int, ...] | None:
    """Each bucket's own count, +Inf last, of counts by upper bound that include those before; None where they were
    counted by other bounds, as another version did. Raises ValueError where they fall.
    """
    if sorted(cumulative) != [*bounds, math.inf]:
        return None
    ordered = [cumulative[bound] for bound in sorted(cumulative)]
    counts = tuple(count - before for count, before in zip(ordered, [0, *ordered], strict=False))
    if min(counts) < 0:
        raise ValueError("its buckets fall")
    return counts
