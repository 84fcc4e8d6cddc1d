"""The vectors in a reply: found however deep they are, changed, or turned."""

import math
from collections.abc import Callable
from typing import Any


def change_vectors(value: Any, change: Callable[[list[Any]], list[Any]]) -> Any:
    """`value` with every vector in it, however deep, replaced by what `change` makes of it."""
    if _is_vector(value):
        return change(value)
    if isinstance(value, dict):
        return {key: change_vectors(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [change_vectors(item, change) for item in value]
    return value


def has_vector(value: Any) -> bool:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return _is_vector(value) or any(has_vector(item) for item in items)


def change_numbers(value: Any, number: float) -> Any:
    """`value` with every number in it, outside lists, replaced by `number`."""
    if isinstance(value, dict):
        return {key: change_numbers(item, number) for key, item in value.items()}
    return number if _is_number(value) else value


def wave(size: int, phase: float = 0.0) -> list[float]:
    """Fixed numbers of length 1, neither zero nor constant."""
    return _unit([math.sin(index + 1 + phase) for index in range(size)])


def turned(vector: list[float], angle: float) -> list[float]:
    """As long as `vector`, at `angle` (in radians) to it; what has no direction to turn to stays as it is."""
    length = math.hypot(*vector)
    if len(vector) < 2 or not 0 < length < math.inf:
        return vector
    along = [number / length for number in vector]
    across = _across(along)
    return [length * (math.cos(angle) * a + math.sin(angle) * b) for a, b in zip(along, across, strict=True)]


def _across(along: list[float]) -> list[float]:
    """A direction at right angles to `along`: from two fixed vectors, for one of them may be `along` itself."""
    rests = [_rest(wave(len(along), phase), along) for phase in (0.0, math.pi / 2)]
    return _unit(max(rests, key=lambda rest: math.hypot(*rest)))


def _rest(vector: list[float], along: list[float]) -> list[float]:
    """What `vector` is without its part in the direction of `along`."""
    part = sum(a * b for a, b in zip(vector, along, strict=True))
    return [a - part * b for a, b in zip(vector, along, strict=True)]


def _unit(vector: list[float]) -> list[float]:
    length = math.hypot(*vector)
    return [number / length for number in vector]


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_number(item) for item in value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
