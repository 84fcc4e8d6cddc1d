"""Limits divided among shards, so that all workers together stay within what one would."""

from collections.abc import Iterator
from dataclasses import replace

from worker.config.source import Place
from worker.core.shard import Shard
from worker.settings import LimitSettings, Rate


def too_few(limits: LimitSettings, shard: Shard) -> Iterator[tuple[Place, str]]:
    """Where there is less than one call for each, and what would do."""
    calls: dict[Place, int | None] = {
        ("limits", "concurrency"): limits.concurrency,
        ("limits", "per_namespace", "concurrency"): limits.namespace_concurrency,
    }
    rates: dict[Place, Rate | None] = {
        ("limits", "rate"): limits.rate,
        ("limits", "per_namespace", "rate"): limits.namespace_rate,
    }
    shards = f"can't be shared by {shard.count} shards, each of which makes one call"
    for place, whole in calls.items():
        if whole is not None and whole < shard.count:
            yield place, f"{whole} {shards} at a time at least; {shard.count} fits, or fewer shards"
    for place, rate in rates.items():
        if rate is not None and rate.count < shard.count:
            yield place, f"{rate} {shards} in that time at least; {_fitting(rate, shard.count)} fits, or fewer shards"


def _fitting(rate: Rate, shards: int) -> Rate:
    """As many calls in a longer time, if there are enough in an hour: 1/s is 60/m."""
    longer = (Rate(count=int(rate.per_second * period_s + 0.5), period_s=period_s) for period_s in (60.0, 3600.0))
    enough = (one for one in longer if one.period_s > rate.period_s and one.count >= shards)
    return next(enough, replace(rate, count=shards))


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
    return replace(rate, count=shard.part(rate.count))
