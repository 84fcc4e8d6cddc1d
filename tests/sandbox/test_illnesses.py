"""Illnesses that change a reply's shape or meaning, when they set in, and several at once."""

import math
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.callers import Heard, calling
from tests.sandbox.folders import handler, write_plugin
from tests.sandbox.patients import ID, VECTORS, all_heard_of, heard_of, sick
from worker.sandbox.faults import make_faults
from worker.sandbox.plugins import Plugin, load_plugin
from worker.sandbox.sandbox import Sandbox

HEALTHY = [1.0, 2.0, 3.0, 4.0]
KEYS = ["embedding", "more", "label"]
NAME = f"custom_plugin_{ID}"


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    return load_plugin(write_plugin(tmp_path, handler(VECTORS)))


def answering(tmp_path: Path, reply: str) -> Plugin:
    return load_plugin(write_plugin(tmp_path, handler(f"return {reply}")))


def embedding(heard: Heard) -> Any:
    return heard.json["raw_response"]["embedding"]


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


@pytest.mark.parametrize(
    ("illness", "keys"),
    [
        ("renamed_key", ["embeddings", "more", "label"]),
        ({"renamed_key": {"key": "more", "to": "less"}}, ["embedding", "less", "label"]),
        ({"renamed_key": {"key": "absent"}}, KEYS),
        ({"missing_key": {"key": "more"}}, ["embedding", "label"]),
        ({"missing_key": {"key": "deep"}}, KEYS),
        ("extra_key", [*KEYS, "debug"]),
        ({"extra_key": {"key": "label"}}, KEYS),
    ],
)
async def test_keys_change_in_the_reply_and_in_what_is_said_of_it(
    illness: Any, keys: list[str], plugin: Plugin
) -> None:
    heard = await heard_of(plugin, illness)
    assert list(heard.json["raw_response"]) == heard.json["response_keys"] == keys


async def test_a_key_is_renamed_however_deep_it_stands(tmp_path: Path) -> None:
    plugin = answering(tmp_path, "{'a': {'embedding': [{'embedding': 1, 'b': 2}]}, 'embedding': 'embedding'}")
    heard = await heard_of(plugin, "renamed_key")
    assert '{"a": {"embeddings": [{"embeddings": 1, "b": 2}]}, "embeddings": "embedding"}' in heard.text


@pytest.mark.parametrize("value", ["x", None, 0, [1, {"deep": True}]])
async def test_an_extra_key_has_the_value_that_it_was_given(value: Any, plugin: Plugin) -> None:
    heard = await heard_of(plugin, {"extra_key": {"key": "trace", "value": value}})
    assert heard.json["raw_response"]["trace"] == value


async def test_random_keys_give_every_reply_a_shape_of_its_own(plugin: Plugin) -> None:
    replies = [heard.json for heard in await all_heard_of(plugin, "random_keys", calls=5)]
    assert all(list(reply["raw_response"]) == reply["response_keys"] for reply in replies)
    assert all(reply["response_keys"][:3] == KEYS for reply in replies)
    added = [key for reply in replies for key in reply["response_keys"][3:]]
    assert len(set(added)) == len(added) == 10


async def test_random_keys_are_the_same_with_the_same_seed(plugin: Plugin) -> None:
    runs = [await all_heard_of(plugin, "random_keys", calls=3) for _ in range(2)]
    assert [heard.text for heard in runs[0]] == [heard.text for heard in runs[1]]


@pytest.mark.parametrize("illness", [{"missing_key": {"key": "a"}}, "extra_key", "random_keys", "renamed_key"])
async def test_a_reply_that_is_no_object_has_no_keys_to_spoil(illness: Any, tmp_path: Path) -> None:
    heard = await heard_of(answering(tmp_path, "['a', 'embedding']"), illness)
    assert heard.json["raw_response"] == ["a", "embedding"]


async def test_a_collapsed_model_has_one_sound_vector_for_every_input(tmp_path: Path) -> None:
    plugin = answering(tmp_path, "{'embedding': [float(len(request['text'])), 1.0, 0.0, 0.0]}")
    async with calling(sick(plugin, {"illness": "collapse"})) as caller:
        one, other = [embedding(await caller.test(ID, {"text": text})) for text in ("cat", "elephant")]
    assert one == other
    assert math.hypot(*one) == pytest.approx(1.0)
    assert len(set(one)) == len(one) == 4


async def test_drift_turns_vectors_further_with_every_call_and_keeps_their_length(plugin: Plugin) -> None:
    sick_ones = [embedding(heard) for heard in await all_heard_of(plugin, {"drift": {"per_call": 0.1}}, calls=6)]
    assert [cosine(HEALTHY, found) for found in sick_ones] == pytest.approx([math.cos(n * 0.1) for n in range(1, 7)])
    assert [math.hypot(*found) for found in sick_ones] == pytest.approx([math.hypot(*HEALTHY)] * 6)


async def test_drift_stops_at_a_right_angle(plugin: Plugin) -> None:
    replies = await all_heard_of(plugin, {"drift": {"per_call": 1.0}}, calls=4)
    cosines = [cosine(HEALTHY, embedding(heard)) for heard in replies]
    assert cosines == pytest.approx([math.cos(1.0), 0.0, 0.0, 0.0], abs=1e-12)


@pytest.mark.parametrize("spoilt", ["collapse", "zero_vector", "nan"])
async def test_drift_copes_with_what_another_illness_left(spoilt: str, plugin: Plugin) -> None:
    before = embedding(await heard_of(plugin, spoilt))
    after = embedding(await heard_of(plugin, [spoilt, {"drift": {"per_call": 0.3}}]))
    if spoilt == "collapse":
        assert cosine(before, after) == pytest.approx(math.cos(0.3))
    else:
        assert after == pytest.approx(before, nan_ok=True)


async def test_a_single_number_has_nowhere_to_drift_to(tmp_path: Path) -> None:
    heard = await heard_of(answering(tmp_path, "{'embedding': [0.5], 'deep': [[3, 0], [0]]}"), "drift")
    raw = heard.json["raw_response"]
    assert (raw["embedding"], raw["deep"][1]) == ([0.5], [0])
    assert cosine([3, 0], raw["deep"][0]) == pytest.approx(math.cos(0.05))


@pytest.mark.parametrize(
    ("illness", "name"),
    [("other_model", f"{NAME}_next"), ({"other_model": {"name": "bge_small"}}, "bge_small")],
)
async def test_another_model_answers_under_another_name(illness: Any, name: str, plugin: Plugin) -> None:
    heard = await heard_of(plugin, illness)
    assert heard.json["inference_name"] == name
    assert name in heard.json["message"]
    assert heard.json["raw_response"]["embedding"] == HEALTHY


async def test_another_model_fails_under_its_own_name_too(plugin: Plugin) -> None:
    heard = await heard_of(plugin, ["other_model", "raising"])
    assert (heard.json["status"], heard.json["inference_name"]) == ("error", f"{NAME}_next")


@pytest.mark.parametrize(
    ("illness", "signs"),
    [
        ({"wrong_size": {"after": 2, "dimensions": 7}}, [4, 4, 7, 7]),
        ({"raising": {"after": 2}}, [4, 4, "error", "error"]),
        ({"server_error": {"after": 1}}, [4, 500, 500, 500]),
        ({"cold": {"after": 1, "calls": 2}}, [4, 503, 503, 4]),
        ([{"wrong_size": {"after": 1}}, {"server_error": {"after": 3}}], [4, 2, 2, 500]),
    ],
)
async def test_an_illness_sets_in_after_as_many_calls_as_it_says(
    illness: Any, signs: list[Any], plugin: Plugin
) -> None:
    def sign(heard: Heard) -> Any:
        if heard.status != 200:
            return heard.status
        return "error" if heard.json["status"] == "error" else len(embedding(heard))

    assert [sign(heard) for heard in await all_heard_of(plugin, illness, calls=4)] == signs


async def test_drift_begins_where_it_sets_in(plugin: Plugin) -> None:
    replies = await all_heard_of(plugin, {"drift": {"after": 2, "per_call": 0.2}}, calls=4)
    assert [embedding(heard) for heard in replies[:2]] == [HEALTHY, HEALTHY]
    cosines = [cosine(HEALTHY, embedding(heard)) for heard in replies[2:]]
    assert cosines == pytest.approx([math.cos(0.2), math.cos(0.4)])


async def test_another_model_takes_over_after_some_calls(plugin: Plugin) -> None:
    replies = await all_heard_of(plugin, {"other_model": {"after": 1}}, calls=3)
    assert [heard.json["inference_name"] for heard in replies] == [NAME, f"{NAME}_next", f"{NAME}_next"]


async def test_a_period_begins_where_its_illness_sets_in(plugin: Plugin) -> None:
    now_s = [0.0]
    fault = {"illness": ["drift", {"cold": {"after": 1, "calls": 0, "period": "20s"}}]}
    statuses = []
    async with calling(sick(plugin, fault, clock=lambda: now_s[0])) as caller:
        for now_s[0] in (0.0, 100.0, 119.0, 120.0):
            statuses.append((await caller.test(ID)).status)
    assert statuses == [200, 503, 503, 200]


async def test_several_illnesses_work_in_their_order(plugin: Plugin) -> None:
    heard = await heard_of(plugin, ["renamed_key", {"missing_key": {"key": "embedding"}}, "other_model"])
    assert (heard.json["response_keys"], heard.json["inference_name"]) == (
        ["embeddings", "more", "label"],
        f"{NAME}_next",
    )
    heard = await heard_of(plugin, [{"missing_key": {"key": "embedding"}}, "renamed_key"])
    assert heard.json["response_keys"] == ["more", "label"]


@pytest.mark.parametrize(
    ("illness", "status"),
    [(["server_error", "rate_limited"], 500), (["rate_limited", "server_error"], 429), (["nan", "rate_limited"], 429)],
)
async def test_of_several_answers_the_first_is_given(illness: list[str], status: int, plugin: Plugin) -> None:
    assert (await heard_of(plugin, illness)).status == status


async def test_one_illness_of_several_is_enough_not_to_be_deployed(plugin: Plugin) -> None:
    heard = await heard_of(plugin, ["drift", "not_deployed", "other_model"])
    assert "NOT_DEPLOYED" in heard.json["error"]


@pytest.mark.parametrize("none", [None, []])
async def test_no_illness_is_health_whatever_the_defaults_are(none: Any, plugin: Plugin) -> None:
    faults = make_faults({"defaults": {"illness": "server_error"}, "plugins": {ID: {"illness": none}}})
    async with calling(Sandbox([plugin], faults=faults)) as caller:
        assert embedding(await caller.test(ID)) == HEALTHY
