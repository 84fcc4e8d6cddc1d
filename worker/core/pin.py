"""Pin: the shape that a target's replies are held against, and the vectors in them that it names."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from worker.core.difference import Difference, Severity, differences
from worker.core.notation import digest, text
from worker.core.shape import ANY, Shape, array, infer, merge, object_of
from worker.core.vector import lookup, steps, survey

#: A shorter array of numbers is rather scores or a box than an embedding; a zero box is no illness.
SHORTEST_VECTOR = 32

_PLAIN_STEP = re.compile(r"[^.\[\]\s]+")


@dataclass(frozen=True, kw_only=True)
class Pin:
    """`vectors` are paths whose numbers have to be sound. `strict` takes keys that are not pinned for a mismatch.

    `samples` tells from how many replies it was learnt; None where somebody wrote it.
    """

    shape: Shape
    vectors: tuple[str, ...] = ()
    strict: bool = False
    samples: int | None = None

    @cached_property
    def text(self) -> str:
        return text(self.shape)

    @cached_property
    def hash(self) -> str:
        return digest(self.shape)

    def compare(self, found: Shape) -> tuple[Difference, ...]:
        return differences(self.shape, found)

    def broken(self, found: tuple[Difference, ...]) -> tuple[Difference, ...]:
        """Those that count against the plugin."""
        return found if self.strict else tuple(one for one in found if one.severity is Severity.BREAKING)


def at(shape: Shape, path: str) -> Shape | None:
    """What the shape has at a dotted path, None where that leads nowhere for certain; `any` where nobody knows."""
    for step in steps(path):
        if shape.kind == "any":
            return shape
        found = next((below for one in shape.alternatives if (below := _below(one, step)) is not None), None)
        if found is None:
            return None
        shape = found
    return shape


def _below(shape: Shape, step: str | int) -> Shape | None:
    if shape.kind == "map" and isinstance(step, str):
        return shape.inner
    if shape.kind == "object":
        return dict(shape.parts).get(str(step)) if isinstance(step, str) else None
    if shape.kind == "array" and isinstance(step, int):
        return shape.inner if shape.most is None or step < shape.most else None
    return None


def vector_size(shape: Shape) -> tuple[int, int | None] | None:
    """How many numbers a vector, or each of a list of vectors, has: least and most; None when it is none."""
    while shape.kind == "array" and shape.inner is not None:
        if shape.inner.kind in ("integer", "number"):
            return shape.least, shape.most
        shape = shape.inner
    return None


def learn(values: Sequence[Any], old: Pin | None = None) -> Pin:
    """The pin of these raw responses. What an old one says stays as it is where it holds for all of them: somebody may
    have loosened it, or chosen other vectors.
    """
    shape = merge(map(infer, values))
    if old:
        shape = grafted(old.shape, shape)
        if shape == old.shape:
            return old
    kept = [path for path in (old.vectors if old else ()) if _is_vector(shape, path)]
    known = {*kept, *(vectors_in(old.shape) if old else ())}
    new = [path for path in vectors_in(shape) if path not in known]
    sound = [path for path in new if all(_is_sound(lookup(value, path)) for value in values)]
    return Pin(shape=shape, vectors=(*kept, *sound), samples=len(values))


def grafted(old: Shape, new: Shape) -> Shape:
    """The new shape, with the old one's parts wherever they accept it; keys that may be missing stay such."""
    if not differences(old, new):
        return old
    if old.kind == new.kind == "object":
        before, parts = dict(old.parts), dict(new.parts)
        kept = {name: grafted(before[name], part) if name in before else part for name, part in parts.items()}
        missing = {name: before[name] for name in old.optional - parts.keys()}
        return object_of(missing | kept, new.optional | old.optional)
    if old.kind == new.kind == "array" and old.inner and new.inner:
        inner = grafted(old.inner, new.inner)
        lengths = old if not differences(array(ANY, old.least, old.most), array(ANY, new.least, new.most)) else new
        return array(inner, lengths.least, lengths.most)
    return new


def _is_vector(shape: Shape, path: str) -> bool:
    found = at(shape, path)
    return found is not None and vector_size(found) is not None


def _is_sound(value: Any) -> bool:
    found = survey(value)
    return found is not None and found.illness is None


def vectors_in(shape: Shape, path: str = "") -> Iterator[str]:
    """Paths of what looks like embeddings: arrays of one length, of 32 numbers at least, below keys."""
    if shape.kind == "array":
        size = vector_size(shape)
        if path and size is not None and size[0] == size[1] and size[0] >= SHORTEST_VECTOR:
            yield path
    elif shape.kind == "object":
        for name, part in shape.parts:
            if _PLAIN_STEP.fullmatch(name):
                yield from vectors_in(part, f"{path}.{name}" if path else name)
