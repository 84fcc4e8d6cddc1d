"""The shape of a JSON value: a small tree, inferred from one value, or merged from several so that it accepts each.

Two values have the same shape when their trees differ in nothing but integers beside numbers. A merged tree says more:
keys that came and went are optional, lengths that varied are ranges.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from heapq import nsmallest
from typing import Any, NamedTuple

from worker.core.vector import Glance

#: Objects with more keys than this are maps: only the shape of their values is told.
MAX_KEYS = 64
#: Deeper than this is `any`: nobody reads it, and the parser allows 200 levels.
MAX_DEPTH = 16
#: A node whose tree would be larger than this shows its parts in outline only.
MAX_NODES = 512
#: So many values of a longer array or map are looked at: enough to see what it is made of, whatever its length.
MAX_SAMPLE = 500
#: Of a longer key only the beginning is kept, and a hash that tells it from others.
MAX_KEY_LENGTH = 64

_SCALARS: dict[type, str] = {type(None): "null", bool: "bool", int: "integer", float: "number", str: "string"}
#: Kinds that become one where they meet; the order in which a mixed shape tells them.
_FAMILIES = {
    "null": 0,
    "bool": 1,
    "integer": 2,
    "number": 2,
    "string": 3,
    "array": 4,
    "object": 5,
    "map": 5,
    "any": 6,
}


class Shape(NamedTuple):
    """A node of the tree.

    `kind` is null, bool, integer, number, string, array, object, map (an object of too many keys), mixed (one of
    several) or any (too deep or too large to tell). An array has `least` to `most` elements, None without bound.
    `parts` are an object's values by key, sorted; the one element shape of an array that is ever not empty, or of a
    map; or what a mixed one may be, each of another family. Keys in `optional` may be missing. `size` counts nodes.
    """

    kind: str
    least: int = 0
    most: int | None = 0
    parts: tuple[tuple[str, "Shape"], ...] = ()
    optional: frozenset[str] = frozenset()
    size: int = 1

    @property
    def family(self) -> int:
        """Shapes of one family merge to one shape that is not mixed."""
        return _FAMILIES[self.kind]

    @property
    def inner(self) -> "Shape | None":
        """The one part of an array or a map; None of an array that is always empty."""
        return self.parts[0][1] if self.parts else None

    @property
    def alternatives(self) -> tuple["Shape", ...]:
        """What a mixed shape may be; of any other shape itself."""
        return tuple(part for _, part in self.parts) if self.kind == "mixed" else (self,)


LEAVES = {name: Shape(kind=name) for name in (*_SCALARS.values(), "any")}
ANY = LEAVES["any"]
_NUMBER = LEAVES["number"]


def infer(value: Any, glance: Glance | None = None) -> Shape:
    """The shape of a parsed JSON value. Never raises; never larger than the caps above allow."""
    return _infer(value, 0, glance or Glance())


def _infer(value: Any, depth: int, glance: Glance) -> Shape:
    kind = _SCALARS.get(type(value))
    if kind is not None:
        return LEAVES[kind]
    if depth >= MAX_DEPTH:
        return ANY
    if isinstance(value, dict):
        return _infer_object(value, depth, glance)
    if isinstance(value, list):
        return _array_of(_infer_elements(value, depth, glance) if value else None, len(value))
    return ANY


def _array_of(element: Shape | None, size: int) -> Shape:
    return _vector(size) if element is _NUMBER else _capped(array(element, size, size))


@lru_cache(maxsize=1024)
def _vector(size: int) -> Shape:
    return array(_NUMBER, size, size)


def _infer_object(value: dict[str, Any], depth: int, glance: Glance) -> Shape:
    if len(value) > MAX_KEYS:
        sample = nsmallest(MAX_SAMPLE, value)  # by key: the order of keys is free
        return _capped(map_of(union(_infer(value[key], depth + 1, glance) for key in sample)))
    return _capped(object_of({_name(key): _infer(item, depth + 1, glance) for key, item in value.items()}))


def _infer_elements(values: list[Any], depth: int, glance: Glance) -> Shape:
    if glance.all_floats(values):  # what an embedding is
        return _NUMBER
    kinds = set(map(type, values))
    if all(kind in _SCALARS for kind in kinds):
        return union(LEAVES[_SCALARS[kind]] for kind in kinds)
    return union(_infer(item, depth + 1, glance) for item in values[:MAX_SAMPLE])


def _name(key: str) -> str:
    if len(key) <= MAX_KEY_LENGTH:
        return key
    digest = blake2b(key.encode(errors="surrogatepass"), digest_size=4).hexdigest()
    return f"{key[: MAX_KEY_LENGTH - 9]}…{digest}"


# Nodes ----------------------------------------------------------------------------------------------------------------


def array(element: Shape | None, least: int, most: int | None) -> Shape:
    """`element` None, or a `most` of 0, is an array that is always empty."""
    parts = () if element is None or most == 0 else (("", element),)
    return _node("array", parts, least=least, most=most)


def object_of(parts: Mapping[str, Shape], optional: frozenset[str] = frozenset()) -> Shape:
    return _node("object", tuple(sorted(parts.items())), optional=optional)


def map_of(value: Shape) -> Shape:
    return _node("map", (("", value),))


def _node(kind: str, parts: tuple[tuple[str, Shape], ...], **values: Any) -> Shape:
    return Shape(kind=kind, parts=parts, size=1 + sum([part.size for _, part in parts]), **values)


def _capped(shape: Shape) -> Shape:
    """No tree larger than the caps allow: parts that are too large together are outlined, from the leaves up."""
    if shape.size <= MAX_NODES:
        return shape
    capped = _with_parts(shape, [(name, _capped(part)) for name, part in shape.parts])
    if capped.size <= MAX_NODES:
        return capped
    return _with_parts(capped, [(name, _outline(part)) for name, part in capped.parts])


def _with_parts(shape: Shape, parts: list[tuple[str, Shape]]) -> Shape:
    return _node(shape.kind, tuple(parts), least=shape.least, most=shape.most, optional=shape.optional)


def _outline(shape: Shape) -> Shape:
    """A map of anything for any object, an array of anything for any array."""
    if not shape.parts:
        return shape
    if shape.kind == "mixed":
        return ANY
    return array(ANY, shape.least, shape.most) if shape.kind == "array" else map_of(ANY)


# Merging --------------------------------------------------------------------------------------------------------------


def merge(shapes: Iterable[Shape]) -> Shape:
    """The smallest shape within the caps that accepts each of these, of which there is at least one."""
    return _capped(union(shapes))


def union(shapes: Iterable[Shape]) -> Shape:
    """As `merge`, however large. The order of `shapes` makes no difference."""
    unique = list(dict.fromkeys(shapes))
    if len(unique) == 1:
        return unique[0]
    families: dict[int, list[Shape]] = {}
    for shape in unique:
        for one in shape.alternatives:
            families.setdefault(one.family, []).append(one)
    if ANY.family in families:
        return ANY
    alike = [_union_alike(families[family]) for family in sorted(families)]
    return alike[0] if len(alike) == 1 else _node("mixed", tuple(("", shape) for shape in alike))


def _union_alike(shapes: list[Shape]) -> Shape:
    """Of one family."""
    kind = shapes[0].kind
    if kind == "array":
        elements = [shape.inner for shape in shapes if shape.inner]
        bounds = [shape.most for shape in shapes if shape.most is not None]
        most = max(bounds) if len(bounds) == len(shapes) else None
        return array(union(elements) if elements else None, min(shape.least for shape in shapes), most)
    if kind in ("object", "map"):
        return _union_objects(shapes)
    return shapes[0] if all(shape.kind == kind for shape in shapes) else _NUMBER


def _union_objects(shapes: list[Shape]) -> Shape:
    found: dict[str, list[Shape]] = {}
    for shape in shapes:
        for name, part in shape.parts:
            found.setdefault(name, []).append(part)
    if len(found) > MAX_KEYS or any(shape.kind == "map" for shape in shapes):
        return map_of(union(part for parts in found.values() for part in parts))
    sometimes = {name for name, parts in found.items() if len(parts) < len(shapes)}
    optional = frozenset(sometimes.union(*(shape.optional for shape in shapes)))
    return object_of({name: union(parts) for name, parts in found.items()}, optional)
