"""The JSON Schema for editors agrees with what loading accepts."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from worker.config.load import load
from worker.config.model import json_schema

CONFIG = Path(__file__).parents[2] / "config"
SCHEMA = json_schema()
KEY = {"MIXPEEK_API_KEY": "key-for-tests"}
# Keys whose default is told in words, since it is no value that could be written.
SECTIONS = {"Api": "api", "Limits": "limits", "Schedule": "schedule", "Confirm": "confirm", "Outputs": "outputs"}


def one_of(definition: str) -> Any:
    return jsonschema_rs.validator_for({**SCHEMA, "anyOf": [{"$ref": f"#/$defs/{definition}"}]})


def test_the_schema_is_of_the_2020_draft_and_valid() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert jsonschema_rs.meta.is_valid(SCHEMA)
    assert set(SCHEMA["$defs"]) >= {"WorkerFile", "TargetsFile"}
    json.dumps(SCHEMA)


@pytest.mark.parametrize(("name", "definition"), [("worker", "WorkerFile"), ("targets", "TargetsFile")])
def test_the_examples_fit_the_schema(name: str, definition: str) -> None:
    values = yaml.safe_load((CONFIG / f"{name}.yaml").read_text())
    assert jsonschema_rs.validator_for(SCHEMA).is_valid(values)
    assert one_of(definition).is_valid(values)


@pytest.mark.parametrize(
    "target",
    [
        {"namespace": "a"},
        {"namespace": "a", "plugin": "p", "plugins": ["q"]},
        {"namespace": "a", "plugin": "p", "interval": "5 minutes"},
        {"namespace": "a", "plugin": "p", "intervall": "5m"},
        {"namespace": "a", "plugin": "p", "expect": {"vector": {"dimensions": 3}}},
    ],
)
def test_a_wrong_target_does_not_fit_the_schema(target: dict[str, Any]) -> None:
    assert not one_of("TargetsFile").is_valid({"targets": [target]})


def test_a_vector_may_stand_alone_or_in_a_list() -> None:
    for vector in ({"path": "a"}, [{"path": "a"}, {"path": "b[0]"}]):
        assert one_of("TargetsFile").is_valid(
            {"targets": [{"namespace": "a", "plugin": "p", "expect": {"vector": vector}}]}
        )


def test_the_defaults_that_the_schema_tells_are_the_real_ones(tmp_path: Path) -> None:
    told: dict[str, Any] = {"api": {"base_url": "https://h.example.com"}}
    for definition, section in SECTIONS.items():
        for name, key in SCHEMA["$defs"][definition]["properties"].items():
            if key.get("default") is not None:
                told.setdefault(section, {})[name] = key["default"]
    assert len(json.dumps(told)) > 300
    (tmp_path / "targets.yaml").write_text("targets: [{namespace: a, plugin: p}]\n")
    (tmp_path / "worker.yaml").write_text("api: {base_url: https://h.example.com}\n")
    implied = load(tmp_path / "worker.yaml", environ=KEY)
    (tmp_path / "worker.yaml").write_text(json.dumps(told))
    assert load(tmp_path / "worker.yaml", environ=KEY) == implied


def test_every_key_has_a_description() -> None:
    for definition in SCHEMA["$defs"].values():
        for name, key in definition["properties"].items():
            # A section is described where it is defined.
            assert key.get("description") or "$ref" in key, name
