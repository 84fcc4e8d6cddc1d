"""Limits and targets shared by several workers: together no more than one would be allowed."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.config.test_load import KEY
from worker.config.load import load
from worker.config.sharing import divided, too_few
from worker.config.units import rate as parsed
from worker.core.shard import Shard
from worker.settings import ConfigError, LimitSettings, Rate, Settings


@st.composite
def plans(draw: st.DrawFn) -> tuple[LimitSettings, int]:
    """Limits, and as many shards as they can be divided among."""
    count = draw(st.integers(1, 20))
    rates = st.builds(Rate, count=st.integers(count, 1_000_000), period_s=st.sampled_from([1.0, 60.0, 3600.0]))
    limits = LimitSettings(
        rate=draw(rates),
        concurrency=draw(st.integers(count, 10_000)),
        namespace_rate=draw(st.none() | rates),
        namespace_concurrency=draw(st.none() | st.integers(count, 10_000)),
        max_retry_after_s=draw(st.floats(1, 600)),
    )
    return limits, count


def parts_of(limits: LimitSettings, count: int) -> list[LimitSettings]:
    return [divided(limits, Shard(index=index, count=count)) for index in range(count)]


def check_rates(whole: Rate | None, parts: list[Rate | None]) -> None:
    """No window of the configured length holds more calls of all of them than it may."""
    if whole is None:
        assert set(parts) == {None}
        return
    given_rates = [part for part in parts if part]
    assert len(given_rates) == len(parts)
    assert min(part.count for part in given_rates) >= 1
    assert {part.period_s for part in given_rates} == {whole.period_s}
    assert sum(part.count for part in given_rates) == whole.count


@given(plan=plans())
def test_all_shards_together_may_do_what_one_may(plan: tuple[LimitSettings, int]) -> None:
    whole, count = plan
    parts = parts_of(whole, count)
    check_rates(whole.rate, [part.rate for part in parts])
    check_rates(whole.namespace_rate, [part.namespace_rate for part in parts])
    assert sum(part.concurrency for part in parts) == whole.concurrency
    assert min(part.concurrency for part in parts) >= 1
    assert {part.max_retry_after_s for part in parts} == {whole.max_retry_after_s}
    if whole.namespace_concurrency is None:
        assert {part.namespace_concurrency for part in parts} == {None}
    else:
        shares = [part.namespace_concurrency or 0 for part in parts]
        assert (sum(shares), min(shares) >= 1) == (whole.namespace_concurrency, True)


def test_a_rate_is_divided_in_calls() -> None:
    limits = LimitSettings(rate=Rate(count=10, period_s=60.0), concurrency=100)
    assert [str(part.rate) for part in parts_of(limits, 4)] == ["3/m", "3/m", "2/m", "2/m"]


def test_what_can_not_be_divided_is_told_with_what_fits() -> None:
    minutely = Rate(count=2, period_s=60.0)
    limits = LimitSettings(concurrency=2, namespace_concurrency=1, namespace_rate=minutely)
    told = "can't be shared by 3 shards, each of which makes one call"
    assert list(too_few(limits, Shard(index=0, count=3))) == [
        (("limits", "concurrency"), f"2 {told} at a time at least; 3 fits, or fewer shards"),
        (("limits", "per_namespace", "concurrency"), f"1 {told} at a time at least; 3 fits, or fewer shards"),
        (("limits", "rate"), f"1/s {told} in that time at least; 60/m fits, or fewer shards"),
        (("limits", "per_namespace", "rate"), f"2/m {told} in that time at least; 120/h fits, or fewer shards"),
    ]
    rate = Rate(count=3, period_s=1.0)
    enough = LimitSettings(rate=rate, concurrency=3, namespace_concurrency=3, namespace_rate=rate)
    assert list(too_few(enough, Shard(index=2, count=3))) == []


@pytest.mark.parametrize(
    ("rate", "count", "fits"),
    [("1/s", 60, "60/m"), ("1/s", 61, "3600/h"), ("2/s", 7200, "7200/h"), ("2/s", 7201, "7201/s"), ("3/h", 4, "4/h")],
)
def test_a_rate_that_fits_is_as_much_where_that_can_be(rate: str, count: int, fits: str) -> None:
    limits = LimitSettings(rate=parsed(rate), concurrency=count)
    ((_, told),) = too_few(limits, Shard(index=0, count=count))
    assert told.endswith(f"; {fits} fits, or fewer shards")


# A configuration of which one shard takes its part --------------------------------------------------------------------

WORKER = """
api: {base_url: https://h.example.com}
limits:
  rate: 9/m
  concurrency: 3
"""
TARGETS = [{"namespace": f"ns_{number % 3}", "plugin": f"p_{number}"} for number in range(40)]


def loaded(
    folder: Path, shard: Shard | None, worker: str = WORKER, targets: Sequence[dict[str, str]] = TARGETS
) -> Settings:
    (folder / "worker.yaml").write_text(worker)
    (folder / "targets.yaml").write_text(json.dumps({"targets": targets}))
    return load(folder / "worker.yaml", environ=KEY, shard=shard)


def refused(folder: Path, shard: Shard | None, worker: str, **more: Any) -> list[str]:
    with pytest.raises(ConfigError) as error:
        loaded(folder, shard, worker, **more)
    return [problem.removeprefix(f"{folder}/").split(", each")[0] for problem in error.value.problems]


def test_each_target_is_probed_by_one_shard_in_the_order_of_the_list(tmp_path: Path) -> None:
    whole = loaded(tmp_path, None)
    parts = [loaded(tmp_path, Shard(index=index, count=3)) for index in range(3)]
    assert sorted(target.key for part in parts for target in part.targets) == sorted(t.key for t in whole.targets)
    assert all(list(part.targets) == [t for t in whole.targets if t in part.targets] for part in parts)
    assert all(part.targets for part in parts)
    assert [(str(part.limits.rate), part.limits.concurrency) for part in parts] == [("3/m", 1)] * 3


def test_a_part_is_of_targets_and_limits_alone(tmp_path: Path) -> None:
    whole, part = loaded(tmp_path, None), loaded(tmp_path, Shard(index=1, count=3))
    assert replace(part, targets=whole.targets, limits=whole.limits) == whole
    assert part.watched_files.keys() == whole.watched_files.keys(), "any of them may bring a target of ours"


def test_one_worker_has_all(tmp_path: Path) -> None:
    assert loaded(tmp_path, Shard(index=0, count=1)) == loaded(tmp_path, None)


def test_what_is_wrong_is_told_by_every_shard_together_with_what_can_not_be_shared(tmp_path: Path) -> None:
    worker = """
api: {base_url: https://h.example.com}
limits:
  rate: often
  concurrency: 3
  per_namespace: {concurrency: 2}
"""
    for index in range(4):
        rate, whole, each, twice = refused(tmp_path, Shard(index=index, count=4), worker, targets=TARGETS[:1] * 2)
        assert rate.startswith("worker.yaml:4:9: limits.rate: ")
        assert whole == "worker.yaml:5:16: limits.concurrency: 3 can't be shared by 4 shards"
        assert each == "worker.yaml:6:32: limits.per_namespace.concurrency: 2 can't be shared by 4 shards"
        assert "ns_0/p_0 is listed twice" in twice


@pytest.mark.parametrize(
    ("limits", "problems"),
    [
        pytest.param(
            "",
            [
                "worker.yaml:1:1: limits.concurrency: 2 can't be shared by 3 shards",
                "worker.yaml:1:1: limits.rate: 1/s can't be shared by 3 shards",
            ],
            id="the defaults",
        ),
        pytest.param(
            "limits: {rate: 9/m}",
            ["worker.yaml:2:9: limits.concurrency: 2 can't be shared by 3 shards"],
            id="the default besides others",
        ),
        pytest.param(
            "limits: {concurency: 9}",
            ["worker.yaml:2:10: limits.concurency: unknown key; did you mean concurrency?"],
            id="what was meant to be written",
        ),
        pytest.param(
            "limits: {concurrency: many}",
            ["worker.yaml:2:23: limits.concurrency: must be a whole number, not 'many'"],
            id="what was written wrong",
        ),
        pytest.param("limits: 9", ["worker.yaml:2:9: limits: must be a mapping, not 9"], id="no limits"),
        pytest.param(
            "limits: {concurrency: 2, rat: 1/s}",
            [
                "worker.yaml:2:23: limits.concurrency: 2 can't be shared by 3 shards",
                "worker.yaml:2:26: limits.rat: unknown key; did you mean rate?",
            ],
            id="what was written right",
        ),
    ],
)
def test_a_default_is_not_complained_of_in_the_place_of_what_was_meant(
    tmp_path: Path, limits: str, problems: list[str]
) -> None:
    worker = f"api: {{base_url: https://h.example.com}}\n{limits}\n"
    assert refused(tmp_path, Shard(index=0, count=3), worker) == problems
