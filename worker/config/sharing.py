"""Limits divided among shards, so that all workers together stay within what one would."""

from collections.abc import Iterator
from dataclasses import replace

from worker.config.source import Place
from worker.core.shard import Shard
from worker.settings import LimitSettings, Rate


def too_few(limits: LimitSettings, shard: Shard) -> Iterator[tuple[Place, str]]:
    """Where there is less than one call at a time for each, and what would do."""
    given: dict[Place, int | None] = {
        ("limits", "concurrency"): limits.concurrency,
        ("limits", "per_namespace", "concurrency"): limits.namespace_concurrency,
    }
    for place, whole in given.items():
        if whole is not None and whole < shard.count:
            yield (
                place,
                f"{whole} can't be shared by {shard.count} shards, each of which makes one call at a time at least;"
                f" {shard.count} fits, or fewer shards",
            )


def divided(limits: LimitSettings, shard: Shard) -> LimitSettings:
    """What this shard may use of limits of which there are not `too_few`."""
    return replace(
        limits,
        rate=_part(limits.rate, shard),
        concurrency=shard.part(limits.concurrency),
        namespace_rate=limits.namespace_rate and _part(limits.namespace_rate, shard),
        namespace_concurrency=limits.namespace_concurrency and shard.part(limits.namespace_concurrency),
    )


def _part(rate: Rate, shard: Shard) -> Rate:
    """1/s for four shards is one call in four seconds for each."""
    if rate.count >= shard.count:
        return replace(rate, count=shard.part(rate.count))
    return Rate(count=1, period_s=rate.period_s * shard.count / rate.count)
