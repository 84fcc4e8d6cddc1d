"""A targets file's entries become targets: defaults applied, pairs told apart, equal parts shared."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from worker.config.contradictions import contradictions
from worker.config.golden_file import GoldenFiles, file_of
from worker.config.model import Expect, TargetEntry, TargetKeys, TargetsFile, Vector
from worker.config.model import Golden as GoldenKeys
from worker.config.model import Slo as SloKeys
from worker.config.problems import validation_problems
from worker.config.source import Place, Problem, Source, UnreadableError, shown_path
from worker.config.values import values
from worker.core.pin import Pin
from worker.core.target import (
    Distinct,
    Expectation,
    Golden,
    ShapePolicy,
    Slo,
    Target,
    TargetKey,
    VectorExpectation,
)

_Part = TypeVar("_Part")

_ID_KEYS = frozenset({"namespace", "plugin", "plugins"})


def given(**values: Any) -> dict[str, Any]:
    """Those that were written; the others keep their defaults."""
    return {name: value for name, value in values.items() if value is not None}


def with_keys(base: Target, keys: TargetKeys, folder: Path) -> Target:
    """`base` with what `keys` says instead: labels, slo and expect key by key, inputs and parameters whole.

    Files that it names are relative to `folder`.
    """
    return replace(
        base,
        expect=_expectation(base.expect, keys.expect, folder) if keys.expect else base.expect,
        labels=_labels(base.labels, keys.labels),
        slo=_slo(base.slo, keys.slo) if keys.slo else base.slo,
        **given(
            interval_s=keys.interval,
            timeout_s=keys.timeout,
            inputs=keys.inputs,
            parameters=keys.parameters,
            shape=keys.shape and ShapePolicy(keys.shape),
        ),
    )


def _labels(base: Mapping[str, str], labels: Mapping[str, str | None] | None) -> Mapping[str, str]:
    return {**base, **{name: value for name, value in (labels or {}).items() if value is not None}}


def _slo(base: Slo, slo: SloKeys) -> Slo:
    latency = slo.latency
    return replace(
        base,
        **given(
            availability=slo.availability,
            latency=latency and latency.ratio,
            latency_below_s=latency and latency.below,
        ),
    )


def _expectation(base: Expectation, expect: Expect, folder: Path) -> Expectation:
    return replace(
        base,
        **given(
            max_latency_s=expect.max_latency,
            keys=None if expect.keys is None else tuple(dict.fromkeys(expect.keys)),
            vectors=None if expect.vector is None else tuple(map(_vector, expect.vector)),
            schema=expect.schema_check,
            golden=expect.golden and _golden(expect.golden, folder),
            max_warming_s=expect.max_warming,
        ),
    )


def _vector(vector: Vector) -> VectorExpectation:
    asked = vector.distinct
    return VectorExpectation(
        path=vector.path,
        dimensions=vector.dimensions,
        normalized=bool(vector.normalized),
        distinct=Distinct(inputs=tuple(asked.inputs), **given(every_s=asked.every)) if asked else None,
    )


def _golden(golden: GoldenKeys, folder: Path) -> Golden:
    """Its vector is read when it is known whose it is."""
    return Golden(file=str(folder / golden.file), **given(path=golden.path, min_cosine=golden.min_cosine))


class TargetList:
    """Gathers the targets of all files, and what is wrong with them.

    `recording`: what is recorded of plugins may be missing, or contradict what is expected: it is to be replaced.
    """

    def __init__(
        self, template: Target, problems: list[Problem], pins: Mapping[TargetKey, Pin], *, recording: bool
    ) -> None:
        self.targets: list[Target] = []
        self.golden = GoldenFiles(problems)
        self._pins = pins
        self._recording = recording
        self._template = template
        self._problems = problems
        self._places: dict[TargetKey, tuple[Source, Place]] = {}
        self._variants: dict[str, Target] = {}
        self._parts: dict[str, Any] = {}
        # Where parsing found something wrong already, so that more about it would be noise.
        self._told: frozenset[Place] = frozenset()

    def add_file(self, source: Source) -> None:
        before = len(self._problems)
        try:
            content = values(source, self._problems)
        except UnreadableError as error:
            self._refuse(source, error.place, error.message, position=error.position)
            return
        self._told = frozenset(problem.place for problem in self._problems[before:])
        entries = content.get("targets") if isinstance(content, dict) else None
        self._check_frame(source, content, entries)
        if isinstance(entries, list):
            for index, entry in enumerate(entries):
                self._add_entry(source, ("targets", index), entry)

    def _check_frame(self, source: Source, content: Any, entries: Any) -> None:
        """Everything about the file but its entries, which are looked at one by one to keep memory small."""
        if content is None:
            self._refuse(source, (), "the file is empty; write targets: and a list of targets")
            return
        if isinstance(entries, list) and entries:
            content = {**content, "targets": [{"namespace": "any", "plugin": "any"}]}
        if isinstance(content, dict) and "targets" in content and entries is None:
            content = {**content, "targets": []}
        try:
            TargetsFile.model_validate(content)
        except ValidationError as error:
            self._problems.extend(validation_problems(error, TargetsFile, source, (), content))

    def _add_entry(self, source: Source, place: Place, raw: Any) -> None:
        well_formed = self._check_plugin_keys(source, place, raw)
        try:
            entry = TargetEntry.model_validate(raw)
        except ValidationError as error:
            found = validation_problems(error, TargetEntry, source, place, raw)
            self._problems.extend(problem for problem in found if problem.place not in self._told)
            return
        if not well_formed:
            return
        variant = self._variant(source, raw, entry)
        if entry.plugin is not None:
            self._add(source, (*place, "plugin"), TargetKey(entry.namespace, entry.plugin), variant)
        for index, plugin in enumerate(entry.plugins or ()):
            self._add(source, (*place, "plugins", index), TargetKey(entry.namespace, plugin), variant)

    def _check_plugin_keys(self, source: Source, place: Place, raw: Any) -> bool:
        if not isinstance(raw, dict) or (raw.get("plugin") is None) != (raw.get("plugins") is None):
            return True
        message = "write one of plugin and plugins"
        if raw.get("plugin") is not None:
            message = "plugin and plugins exclude each other; write one"
        self._refuse(source, place, message)
        return False

    def _variant(self, source: Source, raw: Mapping[str, Any], entry: TargetEntry) -> Target:
        """The template with this entry's keys. Entries that differ in their ids alone share all of it."""
        written = repr([item for item in raw.items() if item[0] not in _ID_KEYS])
        if entry.expect and entry.expect.golden:  # names a file, which is relative to this one
            written += str(source.path)
        known = self._variants.get(written)
        if known is None:
            variant = with_keys(self._template, entry, source.path.parent)
            known = self._variants[written] = replace(
                variant,
                inputs=self._shared(variant.inputs),
                parameters=self._shared(variant.parameters),
                labels=self._shared(variant.labels),
                expect=self._shared(variant.expect),
                slo=self._shared(variant.slo),
            )
        return known

    def _shared(self, part: _Part) -> _Part:
        """The first of equal parts: 200,000 targets rarely have more than a handful of expectations."""
        shared: _Part = self._parts.setdefault(repr(part), part)
        return shared

    def _add(self, source: Source, place: Place, key: TargetKey, variant: Target) -> None:
        first = self._places.setdefault(key, (source, place))
        if first[1] != place or first[0] is not source:
            self._problems.append(Problem(source=source, place=place, message=f"{key} is listed twice", first=first))
            return
        self.targets.append(self._complete(source, place, replace(variant, key=key)))

    def _complete(self, source: Source, place: Place, target: Target) -> Target:
        """With what is recorded of it."""
        pin = None if target.shape is ShapePolicy.OFF else self._pins.get(target.key)
        if pin:
            target = replace(target, pin=replace(pin, strict=target.shape is ShapePolicy.STRICT))
        entry = place[:2]
        if target.expect.golden and not self._recording:
            golden = self._load_golden(source, entry, target, target.expect.golden)
            target = replace(target, expect=replace(target.expect, golden=golden))
        for inside, message in () if self._recording else contradictions(target):
            self._refuse(source, entry + inside, message)
        return target

    def _load_golden(self, source: Source, entry: Place, target: Target, golden: Golden) -> Golden | None:
        try:
            return self.golden.load(target, golden)
        except FileNotFoundError:
            path = shown_path(file_of(golden, target.key))
            message = f"{path} does not exist; record it with `plugin-probe shapes pin --golden {target.key}`"
            self._refuse(source, (*entry, "expect", "golden", "file"), message)
            return None

    def _refuse(self, source: Source, place: Place, message: str, **more: Any) -> None:
        self._problems.append(Problem(source=source, place=place, message=message, **more))
