"""Where what is expected of a target contradicts what is pinned or recorded of it: no reply could satisfy both."""

from collections.abc import Iterator

from worker.config.source import Place
from worker.core.notation import text
from worker.core.pin import Pin, at, vector_size
from worker.core.target import Expectation, Target

_REMEDY = "mend it, or record the plugin again with `plugin-probe shapes pin`"
_GOLDEN_REMEDY = "mend it, or record the vector again with `plugin-probe shapes pin --golden`"


def contradictions(target: Target) -> Iterator[tuple[Place, str]]:
    """The place within the target and the message of each."""
    expect = target.expect
    yield from _among_expectations(expect)
    if target.pin:
        yield from _with_pin(expect, target.pin)


def _among_expectations(expect: Expectation) -> Iterator[tuple[Place, str]]:
    golden = expect.golden
    for item in expect.vectors if golden else ():
        if golden and item.path == golden.path and item.dimensions not in (None, len(golden.vector)):
            message = f"{golden.file} holds {len(golden.vector)} numbers, but {item.dimensions} are expected"
            yield ("expect", "golden", "file"), f"{message}; {_GOLDEN_REMEDY}"


def _with_pin(expect: Expectation, pin: Pin) -> Iterator[tuple[Place, str]]:
    for index, item in enumerate(expect.vectors):
        place: Place = ("expect", "vector", index) if len(expect.vectors) > 1 else ("expect", "vector")
        problem = _vector_problem(pin, item.path, item.dimensions)
        if problem:
            yield (*place, "dimensions" if item.dimensions else "path"), problem
    if expect.golden and expect.golden.vector:
        problem = _vector_problem(pin, expect.golden.path, len(expect.golden.vector))
        if problem:
            yield ("expect", "golden", "file"), problem
    for index, name in enumerate(expect.keys):
        known = pin.shape.kind != "object" or name in dict(pin.shape.parts)
        if not known:
            yield ("expect", "keys", index), f"the pinned shape {pin.text[:200]} has no such key; {_REMEDY}"


def _vector_problem(pin: Pin, path: str, dimensions: int | None) -> str | None:
    found = at(pin.shape, path)
    if found is None:
        return f"the pinned shape {pin.text[:200]} has nothing at {path}; {_REMEDY}"
    if any(shape.kind == "any" for shape in found.alternatives):
        return None
    sizes = [size for shape in found.alternatives if (size := vector_size(shape))]
    if not sizes:
        return f"the pinned shape has {text(found)[:200]} at {path}, which is no vector; {_REMEDY}"
    least, most = sizes[0]
    if dimensions is None or (least <= dimensions and (most is None or dimensions <= most)):
        return None
    return f"{dimensions} numbers are expected at {path}, but the pinned shape has {text(found)[:200]}; {_REMEDY}"
