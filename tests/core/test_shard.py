"""Shards: each target is one worker's, about as many each's, and few move when there is one worker more."""

from functools import cache
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.shard import Shard
from worker.core.target import TargetKey

KEYS = [TargetKey(f"ns_{number % 97}", f"plugin_{number}_1_0_0") for number in range(10_000)]
words = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)


def shards(count: int) -> list[Shard]:
    return [Shard(index=index, count=count) for index in range(count)]


@cache
def owners(count: int) -> list[int]:
    return [Shard(index=0, count=count).holder(key) for key in KEYS]


@given(key=st.builds(TargetKey, words, words), count=st.integers(1, 40))
def test_every_target_is_in_one_shard_as_each_of_them_knows(key: TargetKey, count: int) -> None:
    (holder,) = [shard for shard in shards(count) if shard.holds(key)]
    assert {shard.holder(key) for shard in shards(count)} == {holder.index}


def test_whose_a_target_is_stays_so_in_every_version() -> None:
    """Two workers of different versions share the targets while a rollout lasts."""
    assert owners(4)[:12] == [2, 2, 2, 2, 3, 0, 3, 1, 0, 1, 3, 1]


@pytest.mark.parametrize("count", [2, 3, 4, 7, 16])
def test_shards_are_about_as_large(count: int) -> None:
    sizes = [owners(count).count(index) for index in range(count)]
    mean = len(KEYS) / count
    assert mean - 4 * sqrt(mean) <= min(sizes)
    assert max(sizes) <= mean + 4 * sqrt(mean)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_one_shard_more_takes_its_part_from_all_others_and_nothing_else_moves(count: int) -> None:
    moved = [(old, new) for old, new in zip(owners(count), owners(count + 1), strict=True) if old != new]
    assert {new for _, new in moved} == {count}
    assert {old for old, _ in moved} == set(range(count))
    part = len(KEYS) / (count + 1)
    assert abs(len(moved) - part) <= 4 * sqrt(part)


@given(total=st.integers(0, 10_000), count=st.integers(1, 40))
def test_parts_add_up_and_differ_by_one_at_most(total: int, count: int) -> None:
    parts = [shard.part(total) for shard in shards(count)]
    assert sum(parts) == total
    assert max(parts) - min(parts) <= 1
    assert parts == sorted(parts, reverse=True)
