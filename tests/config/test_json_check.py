"""expect.schema: what a failed check says, and that nothing is ever fetched."""

import socket
from typing import Any

import pytest

from worker.config.json_check import compiled
from worker.core.target import SchemaProblem

SCHEMA = {
    "type": "object",
    "required": ["vector"],
    "properties": {
        "vector": {"type": "array", "items": {"type": "number"}, "minItems": 2},
        "kind": {"enum": ["a", "b"]},
        "either": {"anyOf": [{"type": "string"}, {"type": "null"}]},
        "deep": {"type": "array", "items": {"properties": {"x": {"maximum": 3}}}},
    },
}


@pytest.mark.parametrize(
    ("value", "path", "expected", "found"),
    [
        ([], "", 'type: "object"', "[]"),
        ({}, "", 'required: "vector"', "{}"),
        ({"vector": [1, "x"]}, "vector[1]", 'type: "number"', '"x"'),
        ({"vector": [1]}, "vector", "minItems: 2", "[1]"),
        ({"vector": [1, 2], "kind": "c"}, "kind", 'enum: ["a", "b"]', '"c"'),
        ({"vector": [1, 2], "either": 5}, "either", "anyOf", "5"),
        ({"vector": [1, 2], "deep": [{}, {"x": 4}]}, "deep[1].x", "maximum: 3", "4"),
    ],
)
def test_what_is_wrong_is_told_with_its_path(value: Any, path: str, expected: str, found: str) -> None:
    assert compiled(SCHEMA)(value) == SchemaProblem(path=path, expected=expected, found=found)


def test_what_fits_is_no_problem() -> None:
    assert compiled(SCHEMA)({"vector": [0.5, 1], "kind": "a"}) is None


def test_found_is_an_excerpt() -> None:
    problem = compiled({"maxItems": 3})([0.25] * 10_000)
    assert problem is not None
    assert problem.found == "[0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, … 10000 items]"
    problem = compiled({"type": "null"})({"text": "x\n" * 10_000})
    assert problem is not None
    assert len(problem.found) <= 200


@pytest.mark.parametrize("value", ["\ud800", {1: 2}, object()], ids=["text", "key", "object"])
def test_what_cannot_be_checked_does_not_fit(value: Any) -> None:
    problem = compiled({"type": ["string", "object"]})(value)
    assert problem is not None
    assert problem.expected == "a value that can be checked"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**5000], ids=["nan", "infinity", "huge"])
def test_numbers_of_any_kind_can_be_checked(value: Any) -> None:
    assert compiled({"type": "string"})(value) is not None


def test_a_schema_of_itself_ends() -> None:
    assert compiled({"$ref": "#"})({}) is None
    value: Any = {}
    for _ in range(150):
        value = {"a": value}
    assert compiled({"properties": {"a": {"$ref": "#"}}})(value) is None


def test_equal_schemas_share_one_check() -> None:
    assert compiled({"type": "object", "title": "x"}) is compiled({"title": "x", "type": "object"})


def test_references_in_data_are_no_references() -> None:
    schema = {"properties": {"a": {"const": {"$ref": "https://schemas.example.com"}}, "$ref": {"type": "string"}}}
    assert compiled(schema)({"$ref": "x"}) is None


def test_nothing_is_fetched() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        for schema in (
            {"$ref": f"{address}/a.json"},
            {"allOf": [{"items": {"$ref": f"{address}/a.json#/b"}}]},
            {"$id": f"{address}/", "$ref": "a.json"},
            {"$schema": f"{address}/meta"},
            {"$dynamicRef": f"{address}/a.json"},
            {"$schema": "https://json-schema.org/draft/2019-09/schema", "$recursiveRef": f"{address}/a.json"},
            {"$id": f"{address}/", "$defs": {"a": {"$id": "b.json", "$ref": "#/$defs/none"}}, "$ref": "#/$defs/a"},
        ):
            with pytest.raises(ValueError, match=r"remote reference|unknown \$schema|no JSON Schema"):
                compiled(schema)
        with pytest.raises(BlockingIOError):
            server.accept()
