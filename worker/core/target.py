"""What is probed and what is expected of it: Target and Expectation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


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


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorExpectation:
    """A vector (or a list of vectors) somewhere in raw_response. `path` is dotted: `result.items[0].embedding`."""

    path: str
    dimensions: int | None = None
    normalized: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What a healthy reply must satisfy. Nothing is checked unless given, save what SPEC §4 always checks."""

    max_latency_s: float | None = None
    keys: tuple[str, ...] = ()
    vectors: tuple[VectorExpectation, ...] = ()
    schema: SchemaCheck | None = field(default=None, compare=False)
    max_warming_s: float = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One namespace/plugin pair and how to probe it. `inputs` and `parameters` are JSON values, sent as they are."""

    key: TargetKey
    interval_s: float
    timeout_s: float
    inputs: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    expect: Expectation = field(default_factory=Expectation)
