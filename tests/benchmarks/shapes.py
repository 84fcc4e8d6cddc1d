"""The shape of a reply (tree, text, hash, comparison with a pin) against parsing the same bytes, in one process."""

import json
import math
import resource
from collections.abc import Callable

from pydantic_core import from_json

from tests.benchmarks.figure import NO_GOAL, Figure
from tests.benchmarks.options import Options
from worker.core.notation import digest, text
from worker.core.pin import Pin
from worker.core.shape import infer

ROUNDS = {384: 1_000, 4_096: 100}


def shapes(options: Options) -> list[Figure]:
    """Inferring alone, which has the goals, and all that a probe does with a shape."""
    return [
        figure for size, goal in ((384, "≤ 1.0"), (4_096, "≤ 0.7")) for figure in _compare(size, goal, options.blocks)
    ]


def _compare(size: int, goal: str, blocks: int) -> list[Figure]:
    each = ROUNDS[size]
    value = {"embedding": [math.sin(index) / math.sqrt(size) for index in range(size)]}
    body = json.dumps(value).encode()
    pin = Pin(shape=infer(value))

    def whole() -> None:
        found = infer(value)
        text(found)
        digest(found)
        pin.compare(found)

    works: list[Callable[[], object]] = [lambda: from_json(body), lambda: infer(value), whole]
    spent: list[list[float]] = [[], [], []]
    for number in range(blocks + 1):
        for work, taken in zip(works, spent, strict=True):
            seconds = _cpu_s(work, each)
            if number:  # the first block warms all three
                taken.append(seconds)
    parsing, inferring, all_of_it = spent
    named = f"of {size:,} floats, against parsing them"
    return [
        Figure(name=f"inferring the shape {named}", goal=goal, ours=inferring, theirs=parsing, each=each),
        Figure(
            name=f"shape, text, hash and comparison {named}", goal=NO_GOAL, ours=all_of_it, theirs=parsing, each=each
        ),
    ]


def _cpu_s(work: Callable[[], object], rounds: int) -> float:
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(rounds):
        work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
