"""A targets file's entries become targets: defaults applied, pairs told apart, equal parts shared."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import ValidationError

from worker.config.model import Expect, TargetEntry, TargetKeys, TargetsFile
from worker.config.problems import validation_problems
from worker.config.source import Place, Problem, Source, UnreadableError
from worker.config.values import values
from worker.core.target import Expectation, Target, TargetKey, VectorExpectation

_Part = TypeVar("_Part")

_ID_KEYS = frozenset({"namespace", "plugin", "plugins"})


def given(**values: Any) -> dict[str, Any]:
    """Those that were written; the others keep their defaults."""
    return {name: value for name, value in values.items() if value is not None}


def with_keys(base: Target, keys: TargetKeys) -> Target:
    """`base` with what `keys` says instead: labels and expect key by key, inputs and parameters whole."""
    return replace(
        base,
        expect=_expectation(base.expect, keys.expect) if keys.expect else base.expect,
        labels=_labels(base.labels, keys.labels),
        **given(interval_s=keys.interval, timeout_s=keys.timeout, inputs=keys.inputs, parameters=keys.parameters),
    )


def _labels(base: Mapping[str, str], labels: Mapping[str, str | None] | None) -> Mapping[str, str]:
    return {**base, **{name: value for name, value in (labels or {}).items() if value is not None}}


def _expectation(base: Expectation, expect: Expect) -> Expectation:
    return replace(
        base,
        **given(
            max_latency_s=expect.max_latency,
            keys=None if expect.keys is None else tuple(dict.fromkeys(expect.keys)),
            vectors=None
            if expect.vector is None
            else tuple(
                VectorExpectation(path=v.path, dimensions=v.dimensions, normalized=bool(v.normalized))
                for v in expect.vector
            ),
            schema=expect.schema_check,
            max_warming_s=expect.max_warming,
        ),
    )


class TargetList:
    """Gathers the targets of all files, and what is wrong with them."""

    def __init__(self, template: Target, problems: list[Problem]) -> None:
        self.targets: list[Target] = []
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
        variant = self._variant(raw, entry)
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

    def _variant(self, raw: Mapping[str, Any], entry: TargetEntry) -> Target:
        """The template with this entry's keys. Entries that differ in their ids alone share all of it."""
        written = repr([item for item in raw.items() if item[0] not in _ID_KEYS])
        known = self._variants.get(written)
        if known is None:
            variant = with_keys(self._template, entry)
            known = self._variants[written] = replace(
                variant,
                inputs=self._shared(variant.inputs),
                parameters=self._shared(variant.parameters),
                labels=self._shared(variant.labels),
                expect=self._shared(variant.expect),
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
        self.targets.append(replace(variant, key=key))

    def _refuse(self, source: Source, place: Place, message: str, **more: Any) -> None:
        self._problems.append(Problem(source=source, place=place, message=message, **more))
