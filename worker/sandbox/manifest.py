"""Reads what a plugin's manifest.py declares, in both published dialects."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from pydantic import BaseModel

_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_]{2,63}")
_VERSION = re.compile(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?")
# Mixpeek ignores a feature that is written with these keys, without a word: no vector is stored.
_WRONG_FEATURE_KEYS = {
    "type": "feature_type",
    "name": "feature_name",
    "dimensions": "embedding_dim",
    "distance": "distance_metric",
}


class ManifestError(ValueError):
    """One thing that is wrong with a manifest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a manifest declares; schemas are JSON Schemas."""

    name: str
    version: str
    description: str | None
    input_schema: Mapping[str, Any] | None
    output_schema: Mapping[str, Any] | None
    parameter_schema: Mapping[str, Any] | None
    features: tuple[Mapping[str, Any], ...]
    dependencies: tuple[str, ...]
    compute_profile: Mapping[str, Any] | None
    declared_feature_uri: str | None
    input_names: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def plugin_id(self) -> str:
        return f"{self.name}_{self.version.replace('.', '_')}"

    @property
    def feature_uri(self) -> str:
        return self.declared_feature_uri or f"mixpeek://{self.name}@{self.version}"


def read_manifest(module: ModuleType) -> Manifest:
    """ManifestError says what is wrong; what Mixpeek would swallow silently goes to `notes`."""
    metadata = getattr(module, "metadata", None)
    if metadata is not None and not isinstance(metadata, dict):
        raise ManifestError(f"`metadata` is a dict, not {type(metadata).__name__}")
    declared: dict[str, Any] = {**vars(module), **(metadata or {})}
    features = _features(declared.get("features"))
    return Manifest(
        name=_name(declared.get("feature_extractor_name") or (metadata or {}).get("name")),
        version=_version(declared.get("version")),
        description=_text(declared.get("description")),
        input_schema=_schema("input_schema", declared.get("input_schema")),
        output_schema=_schema("output_schema", declared.get("output_schema")),
        parameter_schema=_schema("parameter_schema", declared.get("parameter_schema")),
        features=features,
        dependencies=_texts(declared.get("dependencies")),
        compute_profile=_mapping(declared.get("compute_profile")),
        declared_feature_uri=_text(declared.get("feature_uri")),
        input_names=_texts(declared.get("input_mappings")) or _texts(declared.get("supported_input_types")),
        notes=tuple(note for index, feature in enumerate(features) for note in _notes(index, feature)),
    )


def _name(value: object) -> str:
    if value is None:
        raise ManifestError("no name: neither `feature_extractor_name` nor `metadata` with one")
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ManifestError(f"name {value!r} is not a letter and 2 to 63 letters, digits or underscores")
    return value


def _version(value: object) -> str:
    """Mixpeek fills in what is left out: v1 is 1.0.0, v2.1 is 2.1.0."""
    if value is None:
        raise ManifestError("no `version`")
    match = _VERSION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ManifestError(f"version {value!r} is not like 1.0.0")
    return ".".join(part or "0" for part in match.groups())


def _schema(key: str, value: object) -> Mapping[str, Any] | None:
    if value is None or isinstance(value, dict):
        return value
    if isinstance(value, type) and issubclass(value, BaseModel):
        return value.model_json_schema()
    raise ManifestError(f"`{key}` is neither a pydantic model nor a dict, but {type(value).__name__}")


def _features(value: object) -> tuple[Mapping[str, Any], ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or not all(isinstance(item, dict) for item in value):
        raise ManifestError("`features` is a list of dicts")
    return tuple(value)


def _notes(index: int, feature: Mapping[str, Any]) -> list[str]:
    return [
        f"features[{index}] says {wrong!r}, which Mixpeek ignores: write {right!r}"
        for wrong, right in _WRONG_FEATURE_KEYS.items()
        if wrong in feature and right not in feature
    ]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list | tuple | dict) else ()


def _mapping(value: object) -> Mapping[str, Any] | None:
    return value if isinstance(value, dict) else None
