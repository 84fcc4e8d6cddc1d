"""Writes the targets file that fits the plugins of a sandbox: inputs and expectations as far as manifests tell."""

import json
from collections.abc import Mapping
from typing import Any

import yaml

from worker.sandbox.manifest import Manifest
from worker.sandbox.sandbox import Sandbox, Served

_TEXT = "hello world"
# Keys that Mixpeek documents for inputs; others are guessed from their JSON type.
_INPUTS_BY_NAME: dict[str, Any] = {
    "text": _TEXT,
    "texts": [_TEXT],
    "query": _TEXT,
    "image_url": "https://example.com/image.jpg",
    "video_url": "https://example.com/video.mp4",
    "audio_url": "https://example.com/audio.mp3",
}
_INPUTS_BY_TYPE: dict[str, Any] = {
    "string": _TEXT,
    "integer": 1,
    "number": 1.0,
    "boolean": True,
    "array": [],
    "object": {},
}


def targets_yaml(sandbox: Sandbox) -> str:
    """A targets file for every plugin that can be probed; comments say what is amiss with the others."""
    targets = [
        make_target(sandbox.namespace, served.plugin.manifest)
        for served in sandbox.plugins.values()
        if served.runtime is not None
    ]
    comments = [f"# {plugin_id}: {note}\n" for plugin_id, served in sandbox.plugins.items() for note in _notes(served)]
    # A manifest is Python: what is neither JSON nor YAML in it is written as its text.
    plain = json.loads(json.dumps({"targets": targets}, default=str))
    return "".join(comments) + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)


def _notes(served: Served) -> list[str]:
    missing = [] if served.runtime else ["no realtime.py, so there is nothing to probe"]
    return [*missing, *served.plugin.manifest.notes]


def make_target(namespace: str, manifest: Manifest) -> dict[str, Any]:
    """One entry of a targets file."""
    target = {"namespace": namespace, "plugin": manifest.plugin_id, "inputs": guess_inputs(manifest)}
    expect = guess_expect(manifest)
    return {**target, "expect": expect} if expect else target


def guess_inputs(manifest: Manifest) -> dict[str, Any]:
    """From the input schema; without one from the input names; else a text."""
    properties = _properties(manifest.input_schema)
    names = [name for name in _required(manifest.input_schema) if name in properties] or list(properties)[:1]
    if names:
        return {name: _example(name, properties[name]) for name in names}
    named = manifest.input_names[0] if manifest.input_names else "text"
    name = f"{named}_url" if f"{named}_url" in _INPUTS_BY_NAME else named
    return {name: _INPUTS_BY_NAME.get(name, _TEXT)}


def _example(name: str, schema: object) -> Any:
    if not isinstance(schema, Mapping):
        return _INPUTS_BY_NAME.get(name, _TEXT)
    for key in ("examples", "enum"):
        if isinstance(schema.get(key), list) and schema[key]:
            return schema[key][0]
    for key in ("example", "default", "const"):
        if schema.get(key) is not None:
            return schema[key]
    return _INPUTS_BY_NAME.get(name, _INPUTS_BY_TYPE.get(str(schema.get("type")), _TEXT))


def _properties(schema: Mapping[str, Any] | None) -> Mapping[str, Any]:
    found = (schema or {}).get("properties")
    return found if isinstance(found, Mapping) else {}


def _required(schema: Mapping[str, Any] | None) -> list[str]:
    found = (schema or {}).get("required")
    return [str(name) for name in found] if isinstance(found, list) else []


def guess_expect(manifest: Manifest) -> dict[str, Any]:
    """Vectors from `features`, and the keys that the output schema requires."""
    vectors = _vectors(manifest)
    required = _required(manifest.output_schema)
    expect: dict[str, Any] = {}
    if required:
        expect["keys"] = required
    if vectors:
        expect["vector"] = vectors[0] if len(vectors) == 1 else vectors
    return expect


def _vectors(manifest: Manifest) -> list[dict[str, Any]]:
    """The primary vector is under `embedding`; further ones are under their feature's name."""
    sizes = {
        str(feature.get("feature_name")): feature["embedding_dim"]
        for feature in manifest.features
        if feature.get("feature_type") == "embedding" and isinstance(feature.get("embedding_dim"), int)
    }
    outputs = _properties(manifest.output_schema)
    return [
        {"path": name if index or name in outputs else "embedding", "dimensions": size}
        for index, (name, size) in enumerate(sizes.items())
    ]
