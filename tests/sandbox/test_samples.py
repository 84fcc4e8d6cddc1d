"""The samples: each shows what it was made for, and the healthy ones run real models."""

import asyncio
import math
import time
from typing import Any

import pytest

from tests.sandbox.callers import Heard, calling
from worker.sandbox.catalogue import SAMPLES, Sample, sample_sandbox, sample_targets

BY_FOLDER = {sample.folder: sample for sample in SAMPLES}


async def heard_of(name: str, inputs: dict[str, Any] | None = None) -> Heard:
    sample = BY_FOLDER[name]
    async with calling(sample_sandbox(only_sick=not sample.healthy)) as caller:
        return await caller.test(sample.plugin_id, inputs or sample.inputs)


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


async def test_the_text_embedder_knows_what_texts_mean() -> None:
    texts = ("a dog runs in the park", "the puppy is running", "corporate tax law")
    async with calling(sample_sandbox()) as caller:
        replies = [await caller.test("text_embed_1_0_0", {"text": text}) for text in texts]
    dog, puppy, tax = (reply.json["raw_response"]["embedding"] for reply in replies)
    assert len(dog) == 256
    assert math.hypot(*dog) == pytest.approx(1.0, abs=1e-5)
    assert cosine(dog, puppy) > 0.3 > cosine(dog, tax)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The weather is fine today, isn't it?", "en"),
        ("Où est la gare, s'il vous plaît ?", "fr"),
        ("これは本です", "ja"),
    ],
)
async def test_the_language_identifier_names_languages(text: str, language: str) -> None:
    reply = (await heard_of("language_id", {"text": text})).json
    assert reply["raw_response"]["language"] == language
    assert reply["raw_response"]["probability"] > 0.7


async def test_the_healthy_samples_are_loaded_when_the_sandbox_is_ready() -> None:
    sandbox = sample_sandbox()
    async with calling(sandbox):
        healthy = [sandbox.plugins[sample.plugin_id].status for sample in SAMPLES if sample.healthy]
    assert healthy == ["DEPLOYED", "DEPLOYED"]


async def test_the_raising_sample_answers_with_its_error() -> None:
    reply = (await heard_of("sick_raising")).json
    assert (reply["status"], reply["error"][:13]) == ("error", "RuntimeError:")


async def test_the_nan_sample_has_the_right_size_and_no_numbers() -> None:
    embedding = (await heard_of("sick_nan")).json["raw_response"]["embedding"]
    assert len(embedding) == BY_FOLDER["sick_nan"].expect["vector"]["dimensions"]
    assert all(math.isnan(number) for number in embedding)


async def test_the_wrong_size_sample_has_good_numbers_but_too_few() -> None:
    embedding = (await heard_of("sick_wrong_size")).json["raw_response"]["embedding"]
    assert len(embedding) == 256 != BY_FOLDER["sick_wrong_size"].expect["vector"]["dimensions"]
    assert all(math.isfinite(number) for number in embedding)


async def test_the_slow_sample_is_right_but_later_than_it_may_be() -> None:
    started_at = time.monotonic()
    reply = (await heard_of("sick_slow")).json
    assert time.monotonic() - started_at > 0.5
    assert reply["raw_response"]["score"] == 0.5


async def test_the_cold_sample_is_warming_at_first_and_fine_later() -> None:
    now_s = [0.0]
    sample = BY_FOLDER["sick_cold"]
    async with calling(sample_sandbox(only_sick=True, clock=lambda: now_s[0])) as caller:
        cold = await caller.test(sample.plugin_id, sample.inputs)
        now_s[0] = 60.0
        warm = await caller.test(sample.plugin_id, sample.inputs)
    assert (cold.status, cold.json["error"]["code"]) == (503, "model_warming")
    assert len(warm.json["raw_response"]["embedding"]) == sample.expect["vector"]["dimensions"]


async def test_the_sample_that_is_not_deployed_says_so() -> None:
    reply = (await heard_of("sick_not_deployed")).json
    assert "NOT_DEPLOYED" in reply["error"]


async def test_one_round_of_all_samples_takes_a_moment() -> None:
    async with calling(sample_sandbox()) as caller:
        started_at = time.monotonic()
        replies = await asyncio.gather(*(caller.test(sample.plugin_id, sample.inputs) for sample in SAMPLES))
    assert time.monotonic() - started_at < 3.0
    assert sorted(reply.status for reply in replies) == [200] * 7 + [503]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.folder)
def test_a_sample_is_called_what_its_manifest_says(sample: Sample) -> None:
    assert sample.plugin_id == f"{sample.folder}_1_0_0"
    assert sample.path.is_dir()


def test_the_table_has_all_folders_and_a_target_for_each() -> None:
    folders = {path.name for path in SAMPLES[0].path.parent.iterdir() if (path / "manifest.py").is_file()}
    assert folders == set(BY_FOLDER)
    targets = sample_targets("ns_here")
    assert [target["plugin"] for target in targets] == [sample.plugin_id for sample in SAMPLES]
    assert {target["namespace"] for target in targets} == {"ns_here"}
