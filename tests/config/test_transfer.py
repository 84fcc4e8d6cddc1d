"""Settings as another process gets them: everything arrives, what is the same is shared, and pieces are small."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import make_target
from worker.config.json_check import compiled
from worker.config.load import load
from worker.config.transfer import LENGTH, MARK, MOST_BYTES, MOST_ITEMS, Intake, TransferError, stream
from worker.core.notation import parse
from worker.core.pin import Pin
from worker.core.target import Expectation, Target
from worker.settings import ApiSettings, ConfigError, Settings

KEY = {"MIXPEEK_API_KEY": "key-for-tests"}
EVERYTHING = {
    "interval": "30s",
    "timeout": "7s",
    "inputs": {"text": "hello", "numbers": [1, 1.0, True, None]},
    "parameters": {"k": 3},
    "labels": {"team": "search"},
    "shape": "strict",
    "expect": {
        "max_latency": "800ms",
        "keys": ["embedding"],
        "vector": {"path": "embedding", "dimensions": 2, "distinct": {"inputs": [{"a": 1}, {"a": 2}], "every": "1h"}},
        "schema": {"type": "object", "required": ["embedding"]},
        "golden": {"file": "golden.json"},
        "max_warming": "1m",
    },
}
PINS = {"ns": {name: {"shape": "{embedding: number[2], a?: string, b?: string}"} for name in ("full", "stray")}}
API = ApiSettings(base_url="http://127.0.0.1:1", api_key_env="KEY")


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A worker.yaml whose targets have everything that there is."""
    worker = {
        "api": {"base_url": "https://h.example.com"},
        "limits": {"rate": "7/m", "per_namespace": {"concurrency": 3}},
        "outputs": {"textfile": {"path": "probe.prom"}},
        "targets_files": ["*.json"],
    }
    targets = [{"namespace": "ns", "plugin": "full", **EVERYTHING}, {"namespace": "ns", "plugins": ["bare", "other"]}]
    (tmp_path / "worker.yaml").write_text(json.dumps(worker))
    (tmp_path / "golden").mkdir()
    (tmp_path / "t.json").write_text(json.dumps({"targets": targets}).replace("golden.json", "golden/g.json"))
    (tmp_path / "golden" / "g.json").write_text("[0.6, 0.8]")
    (tmp_path / "shapes.lock.yaml").write_text(json.dumps({"shapes": PINS}))
    return tmp_path / "worker.yaml"


def frames(outcome: Settings | ConfigError) -> Iterator[bytes]:
    sent = b"".join(stream(outcome))
    assert sent.startswith(MARK)
    at = len(MARK)
    while at < len(sent):
        (length,) = LENGTH.unpack_from(sent, at)
        yield sent[at + LENGTH.size : at + LENGTH.size + length]
        at += LENGTH.size + length


def taken(outcome: Settings | ConfigError, *before: Target) -> tuple[Settings, int]:
    intake = Intake({target.key: target for target in before})
    for frame in frames(outcome):
        assert intake.settings is None
        for _ in intake.take(frame):
            pass
    assert intake.settings
    return intake.settings, intake.news


def some(*targets: Target, **changes: Any) -> Settings:
    return Settings(api=API, template=make_target(""), targets=targets, **changes)


def test_everything_arrives(written: Path) -> None:
    sent = load(written, environ=KEY)
    settings, _ = taken(sent)
    assert settings == sent
    assert settings.watched_files == sent.watched_files
    full = settings.targets[0]
    assert full.pin
    assert full.expect.golden
    assert (full.pin.strict, full.expect.golden.vector, len(settings.pins)) == (True, (0.6, 0.8), 2)


def test_a_schema_checks_as_before_and_is_one_for_all() -> None:
    document = {"type": "object", "required": ["embedding"]}
    check = compiled(document)
    targets = [make_target(f"p{n}", expect=Expectation(schema=check, max_latency_s=n)) for n in range(200)]
    settings, _ = taken(some(*targets))
    checks = {id(target.expect.schema): target.expect.schema for target in settings.targets}
    assert len(checks) == 1
    (found,) = checks.values()
    assert found
    assert found({"embedding": 1}) is None
    assert found({}) == check({})


def test_what_is_equal_is_one_object_whatever_frame_it_came_in() -> None:
    targets = [make_target(f"p{n}", inputs={"text": "hello"}, pin=Pin(shape=parse("{a: string}"))) for n in range(500)]
    pins = {target.key: Pin(shape=parse("{a: string}")) for target in targets}
    settings, news = taken(some(*targets, pins=pins))
    assert news == 500
    assert len({id(target.inputs) for target in settings.targets}) == 1
    assert len({id(pin) for pin in (*settings.pins.values(), *(target.pin for target in settings.targets))}) == 1


def test_a_target_that_says_the_same_is_the_old_object(written: Path) -> None:
    before = load(written, environ=KEY).targets
    settings, news = taken(load(written, environ=KEY), *before)
    assert news == 0
    assert all(map(lambda new, old: new is old, settings.targets, before))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param({"inputs": {"n": 1}}, {"inputs": {"n": True}}, id="1 is not true in JSON"),
        pytest.param({"inputs": {"n": 1}}, {"inputs": {"n": 1.0}}, id="nor 1.0"),
        pytest.param({"inputs": {"a": 1, "b": 2}}, {"inputs": {"b": 2, "a": 1}}, id="keys are sent in their order"),
        pytest.param(
            {"expect": Expectation(schema=compiled({"type": "object"}))},
            {"expect": Expectation(schema=compiled({"type": "array"}))},
            id="another schema",
        ),
        pytest.param({"pin": None}, {"pin": Pin(shape=parse("{a: string}"))}, id="a pin"),
        pytest.param({"interval_s": 60.0}, {"interval_s": 30.0}, id="interval"),
        pytest.param({"labels": {}}, {"labels": {"a": "b"}}, id="labels"),
    ],
)
def test_a_target_that_says_something_else_is_new(before: dict[str, Any], after: dict[str, Any]) -> None:
    old, new, other = make_target("p", **before), make_target("p", **after), make_target("other", **before)
    settings, news = taken(some(new, other), old, other)
    assert news == 1
    assert repr(settings.targets[0]) == repr(new)
    assert settings.targets[1] is other


def test_frames_are_small() -> None:
    targets = [make_target(f"p{n}", inputs={"text": f"{n} " * (n * 20)}) for n in range(200)]
    sizes = [len(frame) for frame in frames(some(*targets))]
    assert len(sizes) > 200 / MOST_ITEMS + 1
    assert max(sizes) <= MOST_BYTES
    settings, _ = taken(some(*targets))
    assert settings.targets == tuple(targets)
    large = make_target("p", inputs={"text": "x" * 2 * MOST_BYTES})
    assert taken(some(large))[0].targets == (large,)


def test_problems_arrive_with_the_files_that_were_read(written: Path) -> None:
    (written.parent / "t.json").write_text('{"targets": [{"plugn": 1}]}')
    with pytest.raises(ConfigError) as sent:
        load(written, environ=KEY)
    with pytest.raises(ConfigError) as refused:
        taken(sent.value)
    assert refused.value.problems == sent.value.problems
    assert refused.value.files == sent.value.files
    assert refused.value.files


def test_what_is_no_frame_is_refused() -> None:
    whole = next(frames(some(make_target("p"))))
    for frame in (b"", b"rubbish", whole[:-5], b"\x80\x04cnowhere\nnobody\n."):
        with pytest.raises(TransferError, match="no settings"):
            list(Intake({}).take(frame))


def test_what_is_known_of_unchanged_targets_costs_nothing_to_keep(written: Path) -> None:
    """An intake that is done holds on to nothing: it would be freed in one go."""
    sent = load(written, environ=KEY)
    intake = Intake({target.key: target for target in sent.targets})
    for frame in frames(replace(sent, pins={})):
        list(intake.take(frame))
    assert (intake._firsts, intake._old) == ({}, {})
