"""What was recorded of plugins, pins and golden vectors, on its way to the targets."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.config.test_load import KEY, MINIMAL
from worker.config.load import load
from worker.config.locate import locate
from worker.config.resolved import resolved
from worker.config.shapes_file import pin_warnings
from worker.core.notation import parse
from worker.core.pin import Pin
from worker.core.shard import Shard
from worker.core.target import Distinct, Golden, ShapePolicy, Target, TargetKey
from worker.settings import ConfigError, Settings
from worker.stamp import stamp

LOCK = """
shapes:
  ns_a:
    loose: {shape: "{embedding: number[3]}", vectors: [embedding], samples: 5}
    off: {shape: string}
    strict: {shape: "{a: any}"}
  ns_gone:
    p: {shape: any}
"""
TARGETS = """
targets:
  - {namespace: ns_a, plugins: [loose, bare]}
  - {namespace: ns_a, plugin: strict, shape: strict}
  - {namespace: ns_a, plugin: off, shape: off}
"""


def loaded(
    folder: Path,
    targets: str = TARGETS,
    worker: str = MINIMAL,
    lock: str | None = LOCK,
    shard: Shard | None = None,
) -> Settings:
    (folder / "worker.yaml").write_text(worker)
    (folder / "targets.yaml").write_text(targets)
    if lock is not None:
        (folder / "shapes.lock.yaml").write_text(lock)
    return load(folder / "worker.yaml", environ=KEY, shard=shard)


def by_plugin(settings: Settings) -> dict[str, Target]:
    return {target.key.plugin: target for target in settings.targets}


def test_each_target_gets_its_pin_as_its_policy_has_it(tmp_path: Path) -> None:
    found = by_plugin(loaded(tmp_path))
    assert found["loose"].pin == Pin(shape=parse("{embedding: number[3]}"), vectors=("embedding",), samples=5)
    assert found["strict"].pin == Pin(shape=parse("{a: any}"), strict=True)
    assert (found["off"].pin, found["off"].shape) == (None, ShapePolicy.OFF)
    assert found["bare"].pin is None


def test_that_there_is_no_shapes_file_is_no_problem_and_its_coming_is_watched_for(tmp_path: Path) -> None:
    settings = loaded(tmp_path, lock=None)
    assert (settings.pins, pin_warnings(settings)) == ({}, [])
    assert settings.watched_files[tmp_path / "shapes.lock.yaml"] is None
    for empty in ("", "# nothing yet\n", "shapes:\n", "shapes: {}\n", "shapes:\n  ns_a:\n"):
        assert loaded(tmp_path, lock=empty).pins == {}


def test_the_shapes_file_may_stand_elsewhere_and_is_no_targets_file(tmp_path: Path) -> None:
    (tmp_path / "pins.yaml").write_text(LOCK)
    settings = loaded(tmp_path, worker=MINIMAL + "shapes_file: pins.yaml\ntargets_files: ['*.yaml']\n", lock=None)
    assert len(settings.targets) == 4
    assert by_plugin(settings)["loose"].pin is not None
    assert settings.watched_files[tmp_path / "pins.yaml"] == stamp(tmp_path / "pins.yaml")


def test_pins_without_a_target_and_targets_without_a_pin_are_warned_of(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert pin_warnings(loaded(tmp_path)) == [
        "shapes.lock.yaml: pinned, but no target: ns_gone/p; `plugin-probe shapes prune` clears that",
        "shapes.lock.yaml: not pinned: ns_a/bare; `plugin-probe shapes pin` does it",
    ]
    many = "targets:\n  - {namespace: ns_a, plugins: [a, b, c, d, e]}\n"
    assert "not pinned: ns_a/a, ns_a/b, ns_a/c and 2 more;" in pin_warnings(loaded(tmp_path, many))[1]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_of_a_pin_without_a_target_one_shard_warns_and_of_others_targets_none(tmp_path: Path, count: int) -> None:
    worker = MINIMAL + f"limits: {{rate: {count}/s, concurrency: {count}}}\n"
    whole = pin_warnings(loaded(tmp_path, worker=worker))
    shards = [Shard(index=index, count=count) for index in range(count)]
    told = [line for shard in shards for line in pin_warnings(loaded(tmp_path, worker=worker, shard=shard), shard)]
    assert sorted(told) == sorted(whole)


GOLDEN = """
targets:
  - {namespace: ns_a, plugins: [p/1, q], expect: {golden: {file: "golden/{namespace}.{plugin}.json"}}}
  - {namespace: ns_a, plugin: r, expect: {golden: {file: list.json, path: "v[0]", min_cosine: 0.5}}}
"""


def test_a_golden_vector_is_read_for_each_target(tmp_path: Path) -> None:
    (tmp_path / "golden").mkdir()
    for name, vector in (("p%2F1", [1, 2.5]), ("q", [0.0, 1.0])):
        document = {"vector": vector, "inference_name": f"model of {name}", "plugin": name, "inputs": {"text": "x"}}
        (tmp_path / "golden" / f"ns_a.{name}.json").write_text(json.dumps(document))
    (tmp_path / "list.json").write_text("[3, 4]")
    settings = loaded(tmp_path, GOLDEN)
    found = by_plugin(settings)
    first = found["p/1"].expect.golden
    assert first == Golden(
        path="embedding",
        file=str(tmp_path / "golden" / "ns_a.p%2F1.json"),
        min_cosine=0.99,
        vector=(1.0, 2.5),
        inference_name="model of p%2F1",
    )
    assert found["q"].expect.golden != first
    last = found["r"].expect.golden
    assert last is not None
    assert (last.path, last.vector, last.min_cosine, last.inference_name) == ("v[0]", (3.0, 4.0), 0.5, None)
    assert settings.watched_files[tmp_path / "list.json"] == stamp(tmp_path / "list.json")
    assert "1.0" not in repr(first), "a vector would fill the page"


def test_who_is_about_to_record_may_load_what_is_not_recorded_yet(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, GOLDEN)
    assert len(refused.value.problems) == 3
    assert tmp_path / "list.json" in refused.value.files
    found = by_plugin(load(tmp_path / "worker.yaml", environ=KEY, recording=True))
    golden = found["q"].expect.golden
    assert golden is not None
    assert (golden.vector, golden.file) == ((), str(tmp_path / "golden/{namespace}.{plugin}.json"))
    contradicted = "targets:\n  - {namespace: ns_a, plugin: loose, expect: {keys: [gone]}}\n"
    with pytest.raises(ConfigError):
        loaded(tmp_path, contradicted)
    assert load(tmp_path / "worker.yaml", environ=KEY, recording=True).targets[0].pin is not None


def test_a_golden_vector_of_the_defaults_is_relative_to_the_worker_file(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "one.json").write_text("[1, 2]")
    (tmp_path / "more" / "one.json").write_text("[5, 6]")
    own = "targets:\n  - {namespace: ns_a, plugin: b, expect: {golden: {file: one.json}}}\n"
    (tmp_path / "more" / "own.yaml").write_text(own)
    worker = MINIMAL + "defaults: {expect: {golden: {file: one.json}}}\ntargets_files: [targets.yaml, more/own.yaml]\n"
    found = by_plugin(loaded(tmp_path, "targets:\n  - {namespace: ns_a, plugin: a}\n", worker))
    vectors = [golden.vector for golden in (found["a"].expect.golden, found["b"].expect.golden) if golden]
    assert vectors == [(1.0, 2.0), (5.0, 6.0)]


def test_distinct_inputs_are_asked_every_hour_unless_it_is_said(tmp_path: Path) -> None:
    targets = """
targets:
  - namespace: ns_a
    plugin: p
    expect:
      vector:
        - {path: a, distinct: {inputs: [{t: 1}, {t: 2}]}}
        - {path: b, distinct: {inputs: [{}, {t: 2}], every: 5m}}
"""
    first, second = loaded(tmp_path, targets).targets[0].expect.vectors
    assert first.distinct == Distinct(inputs=({"t": 1}, {"t": 2}), every_s=3600.0)
    assert second.distinct == Distinct(inputs=({}, {"t": 2}), every_s=300.0)


def test_resolved_says_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text("[1, 2]")
    asked = "{path: embedding, distinct: {inputs: [{t: 1}, {t: 2}], every: 90s}}"
    keys = f"expect: {{golden: {{file: one.json, min_cosine: 0.5}}, vector: {asked}}}, shape: strict"
    settings = loaded(tmp_path, f"targets:\n  - {{namespace: ns_a, plugin: p, {keys}}}\n")
    worker, targets = resolved(settings).split("---\n")
    (tmp_path / "again").mkdir()
    again = loaded(tmp_path / "again", targets, worker, lock=None)
    assert again.targets == settings.targets
    assert (again.shapes_file, again.pins) == (settings.shapes_file, settings.pins)


def test_a_place_is_found_again_in_the_targets_files(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    settings = loaded(tmp_path)
    key = TargetKey("ns_a", "strict")
    assert locate(settings, key, ("shape",)) == "targets.yaml:4:46: targets[1].shape"
    assert locate(settings, TargetKey("ns_a", "bare"), ("expect",)).startswith("targets.yaml:3:5: targets[0].expect")
    (tmp_path / "targets.yaml").write_text("targets: [")
    assert locate(settings, key, ("shape",)) == "ns_a/strict"
    (tmp_path / "targets.yaml").write_text("targets: [1]")
    assert locate(settings, key, ("shape",)) == "ns_a/strict"
