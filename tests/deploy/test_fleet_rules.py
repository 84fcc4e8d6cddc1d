"""What many plugins, several writers, restarts and missed scrapes do to the alerts."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.fleet import Plugin, Worker
from tests.deploy.rule_tests import STEPS, Case, check_cases, visible
from tests.programs import needs

DOWN = "PluginDown {} fault=plugin"
PLATFORM, REFUSED, THROTTLED = "PlatformDown", "ProberRefused", "ProbesThrottled"


def some(number: int, script: str, namespace: str, name: str = "sick") -> list[Plugin]:
    """sick_1, sick_2 … of that namespace, all with that script."""
    return [Plugin(name=f"{name}_{i}", namespace=namespace, script=script) for i in range(1, number + 1)]


def down(namespace: str, number: int) -> list[str]:
    return [DOWN.format(f"{namespace}/sick_{i}") for i in range(1, number + 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The interval, and whether a daemon or batches probe."""

    interval: float
    batch: bool
    step: float

    def worker(self, plugins: list[Plugin], **more: Any) -> Worker:
        return Worker(interval=self.interval, batch=self.batch, plugins=plugins, **more)

    def known(self, number: int) -> float:
        """When the n-th result is seen."""
        return visible(self.worker([]).known_at(number), self.step)

    def after(self, number: int) -> float:
        """Just before the next one is seen."""
        return self.known(number + 1) - self.step

    def over(self, number: int) -> float:
        """When what the n-th result ended is over, be it kept for a while."""
        return max(self.after(number), self.known(number) + 330)

    def case(self, name: str, plugins: list[Plugin], firing: dict[float, list[str]], *nearest: str) -> Case:
        return Case(name=name, workers=[self.worker(plugins)], firing=firing, nearest=nearest, step=self.step)


def of_the_platform(s: Setting) -> Iterator[Case]:
    """Half of all, five at least, in two namespaces at least."""
    outage = "timeout*3 ok"
    five = [*down("ns_one", 3), *down("ns_two", 2)]
    sick = [*some(3, outage, "ns_one"), *some(2, outage, "ns_two")]
    yield s.case(
        "half of the platform",
        [*sick, *some(4, "ok", "ns_one", "well"), *some(1, "ok", "ns_two", "well")],
        {s.after(1): [], s.known(2): [PLATFORM, *five], s.after(3): [PLATFORM, *five], s.over(4): []},
    )
    yield s.case(
        "less than half of the platform",
        [*sick, *some(4, "ok", "ns_one", "well"), *some(2, "ok", "ns_two", "well")],
        {s.after(3): five},
        PLATFORM,
    )
    yield s.case(
        "a platform of four",
        [*some(2, outage, "ns_one"), *some(2, outage, "ns_two")],
        {s.after(3): [*down("ns_one", 2), *down("ns_two", 2)]},
        PLATFORM,
    )
    yield s.case(
        "one namespace is not the platform",
        [*some(6, outage, "ns_one"), *some(1, "ok", "ns_two", "well")],
        {s.after(3): ["NamespaceDown mixpeek_namespace=ns_one", *down("ns_one", 6)]},
        PLATFORM,
    )
    if s.interval == 30:  # a mean that is kept as it goes says 0.49999999999999994 of them
        yield s.case(
            "as many down as up",
            [*some(26, outage, "ns_one"), *some(26, "ok", "ns_one", "well"), *some(1, "ok", "ns_two", "well")],
            {s.after(1): [], s.known(2): ["NamespaceDown mixpeek_namespace=ns_one", *down("ns_one", 26)]},
            PLATFORM,
        )
    yield s.case(
        "a blip of the platform, unknown since",
        [*some(3, "timeout warming", "ns_one"), *some(3, "timeout warming", "ns_two")],
        {s.known(1): [], s.after(3): []},
        PLATFORM,
        "NamespaceDown",
    )


def of_refusals(s: Setting) -> Iterator[Case]:
    """A key that is refused, a limit or quota that is used up: nothing is known, and one alert says so."""
    everything = [f"{REFUSED} scope=all"]
    yield s.case(
        "refused everywhere",
        some(3, "unauthorized*5 ok", "ns_one"),
        {s.after(1): [], s.known(2): everything, s.after(5): everything, s.over(6): []},
        "UnknownTooLong",
        "PluginDown",
    )
    somewhere = [f"{REFUSED} scope=some", *down("ns_one", 1)]
    yield s.case(
        "refused somewhere, while down",
        [*some(1, "timeout*2 forbidden", "ns_one"), *some(2, "ok", "ns_two")],
        {s.after(3): somewhere[1:], s.known(4): somewhere, s.after(7): somewhere},
        "UnknownTooLong",
    )
    yield s.case(
        "throttled",
        [*some(2, "rate_limited*5 ok", "ns_one"), *some(2, "quota_exceeded*5 ok", "ns_two")],
        {s.after(1): [], s.known(2): [THROTTLED], s.after(5): [THROTTLED], s.over(6): []},
        "UnknownTooLong",
        REFUSED,
    )
    if s.interval <= 300:  # a pause is of a minute at most: a target that is seldom probed is not skipped for it
        yield s.case(
            "throttled, and skipped while calls are held back",
            some(3, "rate_limited skipped " * 5, "ns_one"),
            {s.after(2): [], s.known(3): [THROTTLED], s.after(6): [THROTTLED], s.after(8): [THROTTLED]},
            "UnknownTooLong",
        )
    yield s.case(
        "once",
        [*some(2, "ok rate_limited ok", "ns_one"), *some(2, "ok unauthorized ok", "ns_two")],
        {s.known(2): [], s.after(2): [], s.after(3): []},
        THROTTLED,
        REFUSED,
    )


def of_scrapes(s: Setting) -> Iterator[Case]:
    """Missed scrapes, rollouts and absent metrics, each while one plugin is down."""
    plugins = [*some(1, "timeout", "ns_one"), *some(3, "ok", "ns_two", "well")]
    sick, at = down("ns_one", 1), s.known(2) + s.step
    yield Case(
        name="missed scrape",
        workers=[s.worker(plugins, unseen=[(at, at + s.step)])],
        firing={at - s.step: sick, at: sick, at + s.step: sick, at + 240: sick},
        nearest=["ProberMissing"],
        step=s.step,
    )
    lacks = ["target_info", "success", "outcome", "shards", "run_interval_seconds", "response_shape_changes_total"]
    yield Case(
        name="absent metrics",
        workers=[s.worker(plugins, lacks=[f"plugin_probe_{name}" for name in lacks])],
        firing={s.after(1): [], s.known(2): sick, at + 240: sick},
        step=s.step,
    )
    if not s.batch:
        # Two pods for four minutes, the second with what the first remembers, and with another team.
        search, vision = [
            Plugin(name="sick_1", namespace="ns_one", script="timeout", labels={"team": team})
            for team in ("search", "vision")
        ]
        second = s.worker([vision], start=at, instance="pod-2:9464", remembered=2)
        yield Case(
            name="rollout",
            workers=[s.worker([search], stop=at + 240), second],
            firing={at - s.step: [f"{sick[0]} team=search"]}
            | ({at + 180: [f"{sick[0]} team=vision"]} if s.interval >= 300 else {})  # else both probe in turns
            | {at + 420: [f"{sick[0]} team=vision"]},
            nearest=["ProberMissing"],
            step=s.step,
        )


def of_restarts(s: Setting) -> Iterator[Case]:
    plugins = [*some(1, "ok timeout", "ns_one"), *some(3, "ok", "ns_two", "well")]
    sick, at = down("ns_one", 1), s.known(3) + s.step
    missing = [] if s.batch else ["ProberMissing job=plugin_probe"]
    yield Case(
        name="everything away for ten minutes",
        workers=[s.worker(plugins, unseen=[(at, at + 600)])],
        firing={at + 60: sick, at + 300: missing, at + 600: sick, at + 900: sick},
        nearest=["ProberMissing"] if s.batch else [],
        step=s.step,
    )
    if not s.batch:
        # It has to learn again that it is down. The counter of changed shapes falls back to 0, long after it rose.
        reshaped = Plugin(name="embed", script="ok ok+reshaped ok")
        yield Case(
            name="restart that forgets",
            workers=[s.worker([reshaped, *plugins], restarts=[s.known(17) + s.step])],
            firing={s.known(17): sick, s.after(17): [], s.after(18): [], s.known(19): sick},
            nearest=["PluginShapeChanged"],
            step=s.step,
        )


def of_shards(s: Setting) -> Iterator[Case]:
    """The number of shards falls from two to one; what shard 1 last said stays in the gateway, or is deleted."""
    moved = [
        Plugin(name="healed", namespace="ns_one", script="gone*3 ok"),
        Plugin(name="sick_1", namespace="ns_one", script="gone*3 timeout"),
    ]
    left = [
        Plugin(name="healed", namespace="ns_one", script="ok timeout"),
        Plugin(name="sick_1", namespace="ns_one", script="ok"),
    ]
    ends = s.known(3) + s.step
    live = s.worker(
        [*moved, *some(8, "ok", "ns_two", "well")],
        shard="0",
        own={"plugin_probe_shards": lambda now: 2.0 if now < ends else 1.0},
    )
    for name, unseen in (("dead shard", []), ("dead shard, deleted", [(s.known(4), float("inf"))])):
        yield Case(
            name=name,
            workers=[live, s.worker(left, shard="1", shards=2, stop=ends, unseen=unseen)],
            firing={s.after(3): [DOWN.format("ns_one/healed")], s.over(7): down("ns_one", 1)},
            nearest=["ProberMissing"],
            step=s.step,
        )


def cases(interval: float, batch: bool) -> Iterator[Case]:
    coarse = Setting(interval=interval, batch=batch, step=STEPS[interval])
    fine = Setting(interval=interval, batch=batch, step=min(60.0, STEPS[interval]))
    if batch or interval < 3600:  # a daemon's hours take long to evaluate, and are no other than a batch's
        yield from of_the_platform(coarse)
        yield from of_refusals(coarse)
    yield from of_scrapes(fine)
    if interval == 300:
        yield from of_restarts(fine)
    if batch:
        yield from of_shards(coarse)


@needs("promtool")
@pytest.mark.parametrize("batch", [False, True], ids=["daemon", "batch"])
@pytest.mark.parametrize("interval", STEPS, ids=["30s", "5m", "1h"])
def test_one_alert_for_many_and_none_for_a_missed_scrape(interval: float, batch: bool, tmp_path: Path) -> None:
    check_cases(tmp_path, cases(interval, batch))
