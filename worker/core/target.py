"""What is probed and what is expected of it: Target and Expectation."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from worker.core.pin import Pin


class TargetKey(NamedTuple):
    """Names a target: namespace and plugin id, as they stand in the targets file."""

    namespace: str
    plugin: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.plugin}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaProblem:
    """The first way in which a value breaks its JSON Schema."""

    path: str
    expected: str
    found: str


#: Checks a raw_response; None when it fits. Compiled by the configuration, so that core needs no library.
SchemaCheck = Callable[[Any], SchemaProblem | None]


class ShapePolicy(StrEnum):
    """What a key that is not pinned means: a mismatch, or only a change; or the pin is not looked at."""

    STRICT = "strict"
    COMPATIBLE = "compatible"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Distinct:
    """Inputs that must give different vectors, asked once in `every_s` seconds."""

    inputs: tuple[Mapping[str, Any], ...]
    every_s: float = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorExpectation:
    """A vector (or a list of vectors) somewhere in raw_response. `path` is dotted: `result.items[0].embedding`."""

    path: str
    dimensions: int | None = None
    normalized: bool = False
    distinct: Distinct | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """A stored vector that the one at `path` must point the same way as. `file` is where it is kept; `inference_name`
    answered when it was recorded, None where nobody knows. `vector` is empty until it is recorded.
    """

    file: str
    path: str = "embedding"
    min_cosine: float = 0.99
    vector: tuple[float, ...] = field(default=(), repr=False)
    inference_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What a healthy reply must satisfy. Nothing is checked unless given, save what SPEC §4 always checks."""

    max_latency_s: float | None = None
    keys: tuple[str, ...] = ()
    vectors: tuple[VectorExpectation, ...] = ()
    schema: SchemaCheck | None = field(default=None, compare=False)
    golden: Golden | None = None
    max_warming_s: float = 300.0
    #: The vectors' paths, each once.
    paths: tuple[str, ...] = field(init=False, repr=False, compare=False)
    #: Those whose length is to be 1.
    normalized: frozenset[str] = field(init=False, repr=False, compare=False)
    #: How often distinct inputs are asked, all together; infinity where there are none.
    distinct_every_s: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """What every probe asks of it is worked out once."""
        every_s = min((item.distinct.every_s for item in self.vectors if item.distinct), default=math.inf)
        object.__setattr__(self, "paths", tuple(dict.fromkeys(item.path for item in self.vectors)))
        object.__setattr__(self, "normalized", frozenset(item.path for item in self.vectors if item.normalized))
        object.__setattr__(self, "distinct_every_s", every_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """Service level objectives, shares between 0 and 1 of the time: that the plugin is up, and that what it answers
    comes within `latency_below_s`. None where there is no such objective.
    """

    availability: float | None = None
    latency: float | None = None
    latency_below_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One namespace/plugin pair and how to probe it. `inputs` and `parameters` are JSON values, sent as they are.

    `pin` is None where nothing is pinned, or nobody is to look at it.
    """

    key: TargetKey
    interval_s: float
    timeout_s: float
    inputs: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    expect: Expectation = field(default_factory=Expectation)
    slo: Slo = field(default_factory=Slo)
    shape: ShapePolicy = ShapePolicy.COMPATIBLE
    pin: Pin | None = None
