"""Limits and targets shared by several workers: together no more than one would be allowed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import make_target
from worker.command import shared
from worker.core.shard import Shard
from worker.settings import ApiSettings, ConfigError, LimitSettings, Rate, Settings
from worker.sharing import divided

rates = st.builds(Rate, count=st.integers(1, 1_000_000), period_s=st.sampled_from([1.0, 60.0, 3600.0]))


@st.composite
def plans(draw: st.DrawFn) -> tuple[LimitSettings, int]:
    """Limits, and as many shards as they can be divided among."""
    count = draw(st.integers(1, 20))
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
    if whole is None:
        assert set(parts) == {None}
        return
    given_rates = [part for part in parts if part]
    assert len(given_rates) == len(parts)
    assert min(part.count for part in given_rates) >= 1
    assert sum(part.per_second for part in given_rates) == pytest.approx(whole.per_second)
    if whole.count >= len(parts):  # then no window is longer, and none of the configured length holds more
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


@pytest.mark.parametrize(
    ("rate", "count", "parts"),
    [
        (Rate(count=10, period_s=60.0), 4, ["3/m", "3/m", "2/m", "2/m"]),
        (Rate(count=1, period_s=1.0), 4, ["1/4s"] * 4),
        (Rate(count=3, period_s=60.0), 4, ["1/80s"] * 4),
        (Rate(count=1, period_s=60.0), 60, ["1/h"] * 60),
        (Rate(count=7, period_s=1.0), 1, ["7/s"]),
    ],
)
def test_a_rate_is_divided_in_calls_or_where_there_are_too_few_in_time(
    rate: Rate, count: int, parts: list[str]
) -> None:
    assert [str(part.rate) for part in parts_of(LimitSettings(rate=rate, concurrency=100), count)] == parts


def test_what_can_not_be_divided_is_refused_with_what_fits() -> None:
    limits = LimitSettings(concurrency=2, namespace_concurrency=1)
    with pytest.raises(ConfigError) as refused:
        divided(limits, Shard(index=0, count=3))
    rest = "can't be shared by 3 shards, each of which makes one call at a time at least; 3 fits, or fewer shards"
    assert refused.value.problems == [f"limits.concurrency: 2 {rest}", f"limits.per_namespace.concurrency: 1 {rest}"]
    assert divided(LimitSettings(concurrency=3, namespace_concurrency=3), Shard(index=2, count=3)).concurrency == 1


SETTINGS = Settings(
    api=ApiSettings(base_url="https://mixpeek.example.com"),
    template=make_target(),
    limits=LimitSettings(concurrency=3),
    targets=tuple(make_target(f"p_{number}") for number in range(40)),
)


def test_each_target_is_probed_by_one_shard_in_the_order_of_the_list() -> None:
    parts = [shared(SETTINGS, Shard(index=index, count=3)) for index in range(3)]
    assert sorted(target.key for part in parts for target in part.targets) == sorted(t.key for t in SETTINGS.targets)
    assert all(list(part.targets) == [t for t in SETTINGS.targets if t in part.targets] for part in parts)
    assert {(len(part.targets) > 0, part.limits.concurrency) for part in parts} == {(True, 1)}


def test_one_worker_has_all() -> None:
    assert shared(SETTINGS, None) is SETTINGS
    assert shared(SETTINGS, Shard(index=0, count=1)) == SETTINGS
