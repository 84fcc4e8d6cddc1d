"""Vectors inside a reply: where they are, whether they are sound, how long they are, how near to each other."""

import math
import re
from collections.abc import Iterator, Sequence
from enum import Enum
from functools import lru_cache
from itertools import chain
from operator import mul
from typing import Any, Final, NamedTuple

#: |norm - 1| within which a vector counts as normalized: int8 and bfloat16 embeddings stay within it.
NORM_TOLERANCE = 0.01
#: Two vectors whose distance is at most this share of the longer one's length are the same: what one input gives twice,
#: in half precision and on different machines, stays within it.
SAME_TOLERANCE = 0.001

#: A shorter list is looked at again rather than remembered.
_LONG = 32

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


class Absent(Enum):
    """Stands for a path that leads nowhere; None is a JSON value."""

    ABSENT = "absent"


ABSENT: Final = Absent.ABSENT


class VectorReading(NamedTuple):
    """What was measured of the vector at `path`; of a list of vectors, its first one's norm."""

    path: str
    dimensions: int
    norm: float


@lru_cache(maxsize=1024)
def steps(path: str) -> tuple[str | int, ...]:
    """The keys and indexes of a dotted path."""
    return tuple(int(index) if index else name for name, index in _STEP.findall(path))


def lookup(value: Any, path: str) -> Any:
    """The value at a dotted path such as `result.items[0].embedding`, or ABSENT."""
    for step in steps(path):
        named = isinstance(step, str) and isinstance(value, dict) and step in value
        indexed = isinstance(step, int) and isinstance(value, list) and step < len(value)
        if not (named or indexed):
            return ABSENT
        value = value[step]
    return value


class Survey(NamedTuple):
    """What there is to know of a vector or list of vectors: `illness` is None when its numbers are sound.

    `norms` holds the Euclidean length of every vector in it, infinite where a double overflows.
    """

    dimensions: int
    norms: tuple[float, ...] = ()
    illness: str | None = None


class Glance:
    """What one look at each long list of a reply tells. Shape, vectors and finiteness all ask, and looking is most of
    what judging costs. Good for as long as the reply is there and nobody changes it.
    """

    __slots__ = ("_floats", "_norms")

    def __init__(self) -> None:
        self._floats: dict[int, bool] = {}
        self._norms: dict[int, float] = {}

    def all_floats(self, values: list[Any]) -> bool:
        """What an embedding is. Counting takes two thirds of the time of a set (384: 3.8 µs)."""
        known = self._floats.get(id(values))
        if known is None:
            known = list(map(type, values)).count(float) == len(values)
            if len(values) >= _LONG:
                self._floats[id(values)] = known
        return known

    def norm(self, values: list[Any]) -> float:
        """The Euclidean length: NaN when something in the list is no number or not one, infinite where a double
        overflows.
        """
        known = self._norms.get(id(values))
        if known is None:
            known = _norm(values)
            if len(values) >= _LONG:
                self._norms[id(values)] = known
        return known


def survey(value: Any, glance: Glance | None = None) -> Survey | None:
    """Looks a list of numbers over, or a list of such lists; None when it is neither.

    null counts as a number gone missing, so that it can be told as such.
    """
    if not isinstance(value, list):
        return None
    glance = glance or Glance()
    if value and glance.all_floats(value):
        length = glance.norm(value)
        ill = _row_illness(value, length)
        return Survey(dimensions=len(value), norms=() if ill else (length,), illness=ill)
    return _survey_rows(value, glance)


def _survey_rows(value: list[Any], glance: Glance) -> Survey | None:
    rows, kinds, uneven = _rows(value)
    if not kinds <= _NUMERIC:
        return None
    sizes = {len(row) for row in rows}
    size = len(rows[0])
    if 0 in sizes:
        return Survey(dimensions=size, illness="an empty vector")
    if uneven or len(sizes) > 1:
        return Survey(dimensions=size, illness="a ragged list of vectors")
    lengths = [glance.norm(row) for row in rows]
    finite = all(map(math.isfinite, lengths))
    for index, row in enumerate(rows):
        if finite and (size == 1 or row[0] != row[1]):
            continue  # sound: a million rows take a third of the time for it
        ill = _row_illness(row, lengths[index])
        if ill:
            return Survey(dimensions=size, illness=ill if len(rows) == 1 else f"{ill} at row {index}")
    return Survey(dimensions=size, norms=tuple(lengths))


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    """Of two sound vectors of one size: 1 for the same direction, -1 for the opposite; 0 beside a zero vector."""
    lengths = math.hypot(*one), math.hypot(*other)
    if 0.0 in lengths:
        return 0.0
    # Scaled first: the product of two large numbers is no double.
    scaled = ([item / length for item in vector] for vector, length in zip((one, other), lengths, strict=True))
    return max(-1.0, min(1.0, math.fsum(map(mul, *scaled))))


def same(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether two sound vectors are one and the same, but for rounding."""
    if len(one) != len(other):
        return False
    return math.dist(one, other) <= SAME_TOLERANCE * max(math.hypot(*one), math.hypot(*other))


_NUMERIC = {int, float, type(None)}


def _rows(value: list[Any]) -> tuple[list[list[Any]], set[type], bool]:
    """The innermost lists, the kinds of what they hold, and whether it is uneven: numbers stand beside lists, or lists
    of one level have different lengths.

    Works level by level: [1, 2] is one row; [[1, 2], [3, 4]] two; [[1], 2] and [[[1]], [[2], [3]]] are uneven.
    """
    level, rows, kinds, uneven = [value], [], set[type](), False
    while level:
        below: list[list[Any]] = []
        found = set(map(type, chain.from_iterable(level)))
        kinds |= found - {list}
        if list not in found:
            rows.extend(level)
        else:
            for node in level:
                held = set(map(type, node))
                if list in held:
                    below.extend(item for item in node if type(item) is list)
                    uneven = uneven or len(held) > 1
                else:
                    rows.append(node)
        uneven = uneven or (bool(below) and bool(rows)) or len(set(map(len, level))) > 1
        level = below
    return rows, kinds, uneven


def _norm(row: list[Any]) -> float:
    """NaN when something in the row is no number."""
    try:
        return math.hypot(*row)
    except OverflowError:
        return math.inf
    except TypeError:
        return math.nan


def _row_illness(row: list[Any], length: float) -> str | None:
    if math.isnan(length):
        return f"null among the numbers, at [{row.index(None)}]" if None in row else "NaN among the numbers"
    if math.isinf(length) and not _finite(row):
        return "a number that no double can hold"
    if len(row) > 1 and row[0] == row[-1] == row[1] and row.count(row[0]) == len(row):
        return "a zero vector" if row[0] == 0 else f"a constant vector, every element {row[0]:.6g}"
    return None


def _finite(row: list[Any]) -> bool:
    try:
        return all(math.isfinite(item) for item in row)
    except OverflowError:
        return False


def first_nonfinite(value: Any, glance: Glance | None = None) -> tuple[float, str] | None:
    """The first NaN or infinity and its dotted path; None when there is none."""
    glance = glance or Glance()
    if isinstance(value, dict) and all(_plain(item, glance) for item in value.values()):
        return None
    return None if _all_finite(value, glance) else _locate(value, glance)


def _locate(value: Any, glance: Glance) -> tuple[float, str]:
    """There is one."""
    trail = [_children([value], glance)]
    steps: list[str | int] = []  # the way to what trail[-1] goes through; the path is put together only when needed
    while True:
        for step, item in trail[-1]:
            if isinstance(item, float) and not math.isfinite(item):
                return item, _path([*steps, step])
            if isinstance(item, dict | list):
                steps.append(step)
                trail.append(_children(item, glance))
                break
        else:
            trail.pop()
            steps.pop()


def _all_finite(value: Any, glance: Glance) -> bool:
    """Goes level by level, in a third of the time that going along takes: nothing else moves while a reply of a million
    arrays is looked through.
    """
    nodes: list[Any] = [[value]]
    while nodes:
        items = list(_items(nodes))
        kinds = set(map(type, items))
        if float in kinds and not all(map(math.isfinite, [item for item in items if type(item) is float])):
            return False
        nodes = [item for item in items if _may_hold(item, glance)] if kinds & _NODES else []
    return True


_NODES = {dict, list}


def _items(nodes: list[Any]) -> Iterator[Any]:
    """What is in these, one level down."""
    if dict in set(map(type, nodes)):
        nodes = [node.values() if type(node) is dict else node for node in nodes]
    return chain.from_iterable(nodes)


def _may_hold(item: Any, glance: Glance) -> bool:
    """A long list of numbers is looked at in one go, and not again."""
    kind = type(item)
    return kind is dict or (kind is list and (len(item) < _LONG or not math.isfinite(glance.norm(item))))


def _children(value: dict[str, Any] | list[Any], glance: Glance) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, dict):
        return iter(value.items())
    # A quick no for a list of numbers (1.5 µs for 384); anything else is looked at one by one.
    return iter(()) if math.isfinite(glance.norm(value)) else iter(enumerate(value))


def _plain(value: Any, glance: Glance) -> bool:
    """A quick yes for what replies are made of, as a rule."""
    kind = type(value)
    if kind is list:
        return math.isfinite(glance.norm(value))
    return kind is str or value is None or kind is bool or (kind is float and math.isfinite(value))


def _path(steps: list[str | int]) -> str:
    """The first step led to the value itself."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps[1:]).removeprefix(".")
