"""200 and the documented reply, or nearly: what it says of itself, and what its values are."""

import asyncio
from typing import Any

from tests.faults.fault import GOOD_REPLY, Fault, Play, Stage, body, ok, raw
from tests.mixpeek.servers import GOOD_BODY
from worker.core.outcome import Outcome

GOLDEN_FILE = "golden.json"
GOLDEN = [0.6, 0.8]

_VECTOR = {"vector": {"path": "embedding", "dimensions": 4}}
_UNIT = {"vector": {"path": "embedding", "normalized": True}}
_DISTINCT = {"vector": {"path": "embedding", "distinct": {"inputs": [{"text": "a"}, {"text": "b"}]}}}
_GOLDEN = {"golden": {"path": "embedding", "file": GOLDEN_FILE, "min_cosine": 0.99}}
_KEYS = {"keys": ["embedding"]}


async def _late(stage: Stage) -> None:
    await asyncio.sleep(0.2)
    await stage.peer.send(GOOD_REPLY)


def _violates(name: str, does: str, play: Play, words: str = "") -> Fault:
    return Fault(name=name, does=does, outcome=Outcome.CONTRACT_VIOLATION, play=play, words=words)


def _bad(name: str, does: str, play: Play, expect: dict[str, Any] | None = None) -> Fault:
    return Fault(name=name, does=does, outcome=Outcome.BAD_VALUES, play=play, expect=expect or {})


def _misshapen(name: str, does: str, play: Play, expect: dict[str, Any]) -> Fault:
    return Fault(name=name, does=does, outcome=Outcome.SHAPE_MISMATCH, play=play, expect=expect)


def _well(name: str, does: str, play: Play, expect: dict[str, Any] | None = None) -> Fault:
    return Fault(name=name, does=does, outcome=Outcome.SUCCESS, play=play, expect=expect or {})


def _vector(*numbers: Any) -> Play:
    return ok({"embedding": list(numbers)})


FAULTS = (
    Fault(
        name="error",
        does="200 and status error",
        outcome=Outcome.PLUGIN_ERROR,
        play=ok(None, status="error", error="CUDA out of memory"),
        words="CUDA out of memory",
    ),
    _violates("status_missing", "no status", ok(status=...), "no such field"),
    _violates("status_unknown", "status pending", ok(status="pending"), "pending"),
    _violates("status_capital", "status Success", ok(status="Success"), "Success"),
    _violates("status_number", "status 1", ok(status=1), "number 1"),
    _violates("status_null", "status null", ok(status=None), "null"),
    _violates("name_missing", "no inference_name", ok(inference_name=...), "no such field"),
    _violates("name_number", "a number as inference_name", ok(inference_name=7), "number 7"),
    _violates("type_contradicts", "response_type list, raw_response an object", ok(response_type="list")),
    _violates("type_bool", "response_type int, raw_response true", ok(True, response_type="int")),
    _violates("type_number", "a number as response_type", ok(response_type=1)),
    _violates("keys_contradict", "response_keys names other keys", ok(response_keys=["vector"])),
    _violates("keys_more", "response_keys names one too many", ok(response_keys=["embedding", "more"])),
    _violates("keys_of_numbers", "numbers as response_keys", ok(response_keys=[1])),
    _violates(
        "keys_a_million",
        "a million numbers as response_keys",
        body(GOOD_BODY.replace(b'["embedding"]', b"[" + b"1," * 100_000 + b"1]")),
    ),
    _well("success_with_error", "status success beside an error text", ok(error="deprecated")),
    _well("raw_null", "raw_response null", ok(None)),
    _well("raw_missing", "no raw_response", ok(None, raw_response=...)),
    _well("fields_unknown", "fields that nobody documents", ok(region="eu", trace={"a": 1})),
    _well("type_unknown", "response_type Tensor", ok(response_type="Tensor")),
    _well("name_changed", "another inference_name", ok(inference_name="custom_plugin_x_2_0_0")),
    _well("key_new", "one key more", ok({"embedding": [0.6, 0.8], "model": "b"}), _KEYS),
    _well("name_long", "an inference_name of 100 kB", ok(inference_name="x" * 100_000)),
    _misshapen("null_where_keys", "raw_response null, keys are expected", ok(None), _KEYS),
    _misshapen("key_missing", "no key embedding", ok({"vector": [0.6, 0.8]}), _KEYS),
    _misshapen("key_plural", "embeddings for embedding", ok({"embeddings": [[0.6, 0.8]]}), _KEYS),
    _misshapen("list_for_object", "a list where an object was", ok([0.6, 0.8]), _KEYS),
    _misshapen("dimensions", "8 dimensions for 4", _vector(*[0.1, 0.2] * 4), _VECTOR),
    _misshapen("numbers_as_texts", "numbers as strings", _vector("0.1", "0.2", "0.3", "0.4"), _VECTOR),
    _misshapen("vector_null", "null for a vector", ok({"embedding": None}), _VECTOR),
    _misshapen("vector_text", "base64 for a vector", ok({"embedding": "zczMPQ=="}), _VECTOR),
    _well("nested_list", "a list of one vector", ok({"embedding": [[0.1, 0.2, 0.3, 0.4]]}), _VECTOR),
    _bad("vector_zero", "a vector of zeros", _vector(0, 0, 0)),
    _bad("vector_constant", "a vector of one number", _vector(0.5, 0.5, 0.5)),
    _bad("vector_empty", "an empty vector", _vector()),
    _bad("vector_null_inside", "null among its numbers", _vector(0.1, None, 0.2)),
    _bad("vector_ragged", "vectors of different lengths", _vector([0.1, 0.2], [0.3])),
    _bad("vector_unnormalized", "norm 5 where 1 is expected", _vector(3.0, 4.0), _UNIT),
    _bad("vector_same", "the same vector for every input", _vector(0.6, 0.8), _DISTINCT),
    _bad("vector_integer", "an integer that no double can hold", raw(b'{"embedding":[1,' + b"9" * 400 + b"]}")),
    _bad("nan", "the literal NaN", raw(b'{"score":NaN}')),
    _bad("nan_deep", "NaN deep inside", raw(b'{"a":[{"b":[1.0,[NaN]]}]}')),
    _bad("infinity", "the literal -Infinity", raw(b'{"score":-Infinity}')),
    _bad("number_overflows", "1e400", raw(b'{"score":1e400}')),
    _well("golden_same", "cosine 1 to the golden vector", _vector(6.0, 8.0), _GOLDEN),
    _well("golden_near", "cosine 0.999", _vector(0.63, 0.77), _GOLDEN),
    Fault(name="golden_off", does="cosine 0.90", outcome=Outcome.DRIFT, play=_vector(0.9, 0.44), expect=_GOLDEN),
    Fault(name="golden_far", does="cosine 0.2", outcome=Outcome.DRIFT, play=_vector(0.9, -0.43), expect=_GOLDEN),
    _misshapen("golden_longer", "three numbers, the golden vector has two", _vector(0.6, 0.8, 0.1), _GOLDEN),
    Fault(
        name="slow",
        does="a good reply, later than max_latency",
        outcome=Outcome.SLOW,
        play=_late,
        expect={"max_latency": "0.1s"},
    ),
)
