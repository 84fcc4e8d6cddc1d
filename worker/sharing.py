"""Limits divided among shards, so that all workers together stay within what one would."""

from dataclasses import replace

from worker.core.shard import Shard
from worker.settings import ConfigError, LimitSettings, Rate


def divided(limits: LimitSettings, shard: Shard) -> LimitSettings:
    """What this shard may use. Raises ConfigError where there is less than one call at a time for each."""
    problems = [
        f"{name}: {whole} can't be shared by {shard.count} shards, each of which makes one call at a time at least;"
        f" {shard.count} fits, or fewer shards"
        for name, whole in _calls_at_a_time(limits)
        if whole < shard.count
    ]
    if problems:
        raise ConfigError(problems)
    return replace(
        limits,
        rate=_part(limits.rate, shard),
        concurrency=shard.part(limits.concurrency),
        namespace_rate=limits.namespace_rate and _part(limits.namespace_rate, shard),
        namespace_concurrency=limits.namespace_concurrency and shard.part(limits.namespace_concurrency),
    )


def _calls_at_a_time(limits: LimitSettings) -> list[tuple[str, int]]:
    given = {
        "limits.concurrency": limits.concurrency,
        "limits.per_namespace.concurrency": limits.namespace_concurrency,
    }
    return [(name, whole) for name, whole in given.items() if whole is not None]


def _part(rate: Rate, shard: Shard) -> Rate:
    """1/s for four shards is one call in four seconds for each."""
    if rate.count >= shard.count:
        return replace(rate, count=shard.part(rate.count))
    return Rate(count=1, period_s=rate.period_s * shard.count / rate.count)
