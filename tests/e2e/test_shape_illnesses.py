"""Real plugins over the sandbox, pinned, with golden vectors: a thousand healthy probes, and each illness at once."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from worker.app import Launch, assemble
from worker.command import read
from worker.config.load import load
from worker.core.outcome import Outcome
from worker.core.target import TargetKey
from worker.core.track import Recorded
from worker.pinning import PinOrder, run_pin
from worker.sandbox.app import serve
from worker.sandbox.bucket import RateLimit
from worker.sandbox.catalogue import SAMPLES
from worker.sandbox.faults import make_faults
from worker.sandbox.plugins import load_plugins
from worker.sandbox.sandbox import Sandbox
from worker.settings import Settings

pytestmark = pytest.mark.e2e

HEALTHY = [sample for sample in SAMPLES if sample.healthy]
EMBED = "text_embed_1_0_0"
KEY = "sk_sandbox_key_0123456789"
LAUNCH = Launch(environ={"MIXPEEK_API_KEY": KEY}, log_level="error")
#: Calls that pin: they come before any illness.
SAMPLES_PINNED = 2


def _nothing() -> None:
    """Until there is an engine to stop."""


class Until:
    """A sink that keeps every result and ends the run after so many."""

    def __init__(self, count: int) -> None:
        self.recorded: list[Recorded] = []
        self._left = count
        self.stop: Callable[[], None] = _nothing

    def record(self, recorded: Recorded) -> None:
        self.recorded.append(recorded)
        self._left -= 1
        if self._left <= 0:
            self.stop()

    def forget(self, key: TargetKey) -> None:
        """Nothing is reloaded."""

    def of(self, plugin: str) -> list[Recorded]:
        return [one for one in self.recorded if one.result.target.key.plugin == plugin]


def sandbox(faults: Mapping[str, Any]) -> Sandbox:
    plugins = load_plugins(sample.path for sample in HEALTHY)
    return Sandbox(plugins, api_key=KEY, faults=make_faults(faults), rate_limit=RateLimit(requests=10**6))


def written(folder: Path, url: str, *, distinct: bool = False, golden: bool = True, normalized: bool = False) -> Path:
    targets = []
    for sample in HEALTHY:
        expect = dict(sample.expect)
        if sample.plugin_id == EMBED:
            asked = {"inputs": [{"text": "a"}, {"text": "something else"}], "every": "1ms" if distinct else "1d"}
            expect = {"vector": {"path": "embedding", "normalized": normalized, "distinct": asked}}
            if golden:
                expect["golden"] = {"file": "golden/{plugin}.json"}
        targets.append(
            {"namespace": "ns_sandbox", "plugin": sample.plugin_id, "inputs": dict(sample.inputs), "expect": expect}
        )
    (folder / "targets.yaml").write_text(json.dumps({"targets": targets}))
    worker = {
        "api": {"base_url": url},
        "limits": {"rate": "10000/s", "concurrency": 4},
        "schedule": {"interval": "10ms", "timeout": "10s"},
    }
    (folder / "worker.yaml").write_text(json.dumps(worker))
    return folder / "worker.yaml"


async def pinned(path: Path) -> Settings:
    recording = load(path, environ=LAUNCH.environ, recording=True)
    said: list[str] = []
    order = PinOrder(targets=recording.targets, samples=SAMPLES_PINNED, golden=True)
    assert await run_pin(recording, LAUNCH, order, said.append) == 0, said
    return load(path, environ=LAUNCH.environ)


async def probed(settings: Settings, count: int, only: Sequence[str] = ()) -> Until:
    targets = [target for target in settings.targets if not only or target.key.plugin in only]
    until = Until(count)
    async with assemble(settings, LAUNCH, targets=targets, extra={"until": until}) as worker:
        until.stop = worker.engine.stop
        await worker.engine.run_forever(targets)
    return until


async def test_a_thousand_probes_of_healthy_plugins_find_nothing(tmp_path: Path) -> None:
    async with serve(sandbox({})) as url:
        settings = await pinned(written(tmp_path, url))
        until = await probed(settings, 1000)
    outcomes = {one.result.outcome for one in until.recorded if one.result.skipped is None}
    assert outcomes <= {Outcome.SUCCESS, Outcome.SLOW}
    assert {one.track.shape_changes for one in until.recorded} == {0}
    assert all(len(until.of(sample.plugin_id)) > 100 for sample in HEALTHY)


AFTER = 6 + SAMPLES_PINNED

ILLNESSES = [
    pytest.param({"wrong_size": {"dimensions": 384}}, "shape_mismatch", "embedding", id="another size"),
    pytest.param("renamed_key", "shape_mismatch", "embedding", id="a renamed key"),
    pytest.param({"missing_key": {"key": "embedding"}}, "shape_mismatch", "embedding", id="a lost key"),
    pytest.param({"norm_jump": {"factor": 10.0}}, "bad_values", "normalized embedding", id="a jump of the norm"),
    pytest.param("nan", "bad_values", "embedding[0]", id="NaN"),
    pytest.param("zero_vector", "bad_values", "vector embedding", id="zeros"),
    pytest.param({"drift": {"per_call": 0.2}}, "drift", "golden embedding", id="drift"),
]


def told(recorded: Recorded) -> str:
    judgement = recorded.result.judgement
    paths = [one.path for one in judgement.shape_diff or ()]
    return f"{judgement.rule}: expected {judgement.expected}, found {judgement.found}; {', '.join(paths)}"


@pytest.mark.parametrize(("illness", "outcome", "path"), ILLNESSES)
async def test_an_illness_is_caught_at_the_first_probe_after_it_sets_in(
    illness: Any, outcome: str, path: str, tmp_path: Path
) -> None:
    name, given = next(iter(illness.items())) if isinstance(illness, dict) else (illness, {})
    # the first probe asks two distinct inputs besides its own, so that the pinning and four probes are eight calls
    faults = {"plugins": {EMBED: {"illness": {name: {**given, "after": AFTER}}}}}
    async with serve(sandbox(faults)) as url:
        settings = await pinned(written(tmp_path, url, normalized=name == "norm_jump"))
        until = await probed(settings, 8, only=[EMBED])
    results = [one for one in until.of(EMBED) if one.result.skipped is None]
    assert [one.result.outcome.value for one in results[:5]] == ["success"] * 4 + [outcome]
    assert path in told(results[4])


async def test_a_collapse_is_caught_at_the_first_probe_that_asks_distinct_inputs(tmp_path: Path) -> None:
    # each probe is three calls
    faults = {"plugins": {EMBED: {"illness": {"collapse": {"after": SAMPLES_PINNED + 9}}}}}
    async with serve(sandbox(faults)) as url:
        settings = await pinned(written(tmp_path, url, distinct=True, golden=False))
        until = await probed(settings, 6, only=[EMBED])
    results = [one for one in until.of(EMBED) if one.result.skipped is None]
    assert [one.result.outcome.value for one in results[:4]] == ["success"] * 3 + ["bad_values"]
    assert results[3].result.judgement.found == "the same one for distinct.inputs[0] and distinct.inputs[1]"
    assert results[3].result.attempts == 3


async def test_a_slow_drift_is_caught_when_it_passes_the_bound_and_a_new_model_is_named(tmp_path: Path) -> None:
    illness = [{"drift": {"per_call": 0.05, "after": AFTER}}, {"other_model": {"after": AFTER + 2}}]
    async with serve(sandbox({"plugins": {EMBED: {"illness": illness}}})) as url:
        settings = await pinned(written(tmp_path, url))
        until = await probed(settings, 10, only=[EMBED])
    results = [one for one in until.of(EMBED) if one.result.skipped is None]
    # cos(0.05), cos(0.1) are above 0.99; cos(0.15) is not, and that is the call from which on another model answers
    assert [one.result.outcome.value for one in results[:7]] == ["success"] * 6 + ["drift"]
    cosines = [one.result.judgement.golden_cosine for one in results[4:7]]
    assert cosines == [pytest.approx(value, abs=1e-6) for value in (0.998750, 0.995004, 0.988771)]
    assert results[6].changes.inference_name == (f"custom_plugin_{EMBED}", f"custom_plugin_{EMBED}_next")
    assert "it was recorded from" in (results[6].result.judgement.found or "")


async def test_a_new_key_is_a_change_and_no_failure_unless_strict(tmp_path: Path) -> None:
    faults = {"plugins": {EMBED: {"illness": {"extra_key": {"after": AFTER}}}}}
    async with serve(sandbox(faults)) as url:
        path = written(tmp_path, url)
        settings = await pinned(path)
        until = await probed(settings, 8, only=[EMBED])
    results = [one for one in until.of(EMBED) if one.result.skipped is None]
    assert {one.result.outcome for one in results} == {Outcome.SUCCESS}
    assert [one.changes.shape is not None for one in results[:6]] == [False] * 4 + [True, False]
    assert results[5].track.shape_changes == 1


async def test_keys_that_are_random_make_a_handful_of_shapes_and_one_line(tmp_path: Path) -> None:
    async with serve(sandbox({"plugins": {EMBED: {"illness": {"random_keys": {"after": AFTER}}}}})) as url:
        settings = await pinned(written(tmp_path, url))
        until = await probed(settings, 60, only=[EMBED])
    labels = {one.track.shape_label for one in until.of(EMBED)}
    assert "varying" in labels
    assert len(labels) <= 9
    assert until.of(EMBED)[-1].track.success is True


def test_the_command_reads_what_the_tests_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIXPEEK_API_KEY", KEY)
    path = written(tmp_path, "http://127.0.0.1:1", golden=False)
    assert read(path) == load(path, environ=LAUNCH.environ)
