"""Alerts of the prober itself, of a daemon that is scraped and of batches that push."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.fleet import Own, Plugin, Worker
from tests.deploy.rule_tests import Case, check_cases
from tests.programs import needs

MINUTE_S, HOUR_S, DAY_S = 60.0, 3600.0, 86400.0
#: Its period, and how often it is scraped in these tests.
EVERY = {300.0: 60.0, 3600.0: 240.0}
WELL = [Plugin(name="embed", script="ok")]
JOB = "job=plugin_probe"


def daemon(**more: Any) -> Worker:
    return Worker(interval=300, plugins=WELL, **more)


def batch(period: float, **more: Any) -> Worker:
    return Worker(interval=period, plugins=WELL, batch=True, **more)


def case(name: str, workers: list[Worker], firing: dict[float, list[str]], *nearest: str, step: float = 60.0) -> Case:
    """Seconds are rounded up to a scrape."""
    return Case(
        name=name,
        workers=workers,
        firing={math.ceil(at / step) * step: alerts for at, alerts in firing.items()},
        nearest=nearest,
        step=step,
    )


def rising(begin: float, end: float, every: float, most: float = math.inf) -> Own:
    """A counter that rises by one every so often, between two moments."""

    def value(now: float) -> float:
        return min(most, max(0.0, (min(now, end) - begin) // every + 1) if now >= begin else 0.0)

    return value


def missing_daemons() -> Iterator[Case]:
    missing = [f"ProberMissing {JOB}"]
    yield case("gone", [daemon(stop=600)], {540: [], 660: [], 780: missing, 7200: missing}, step=30)
    yield case("back within two minutes", [daemon(unseen=[(600, 690)])], {720: [], 1200: []}, "ProberMissing", step=30)
    yield case("back", [daemon(unseen=[(600, 1200)])], {1170: missing, 1230: []}, step=30)
    beats: Own = lambda now: min(now, 600)  # noqa: E731 (a table's entry)
    hung = daemon(own={"plugin_probe_last_run_timestamp_seconds": beats})
    yield case("hangs, and is scraped", [hung], {900: [], 1080: missing}, step=30)
    yield case("never there", [], {120: ["ProberMissing"]}, step=30)
    other = Worker(interval=300, lacks=["plugin_probe_last_run_timestamp_seconds"])
    yield case("says nothing of its runs", [other], {120: ["ProberMissing"]}, step=30)
    # A pod that replaces another is the same prober.
    pods = [daemon(stop=600), daemon(start=480, instance="pod-2:9464")]
    yield case("rollout", pods, {540: [], 900: [], 1800: []}, "ProberMissing", step=30)


def shard_of(index: int, shards: Own | int, **more: Any) -> Worker:
    """A daemon; how many there are may change, as it does with each pod that is replaced."""
    said: Own = shards if callable(shards) else lambda now: shards
    name = f'plugin_probe_shards{{shard="{index}"}}'
    return daemon(shard=str(index), instance=f"pod-{index}:9464", own={name: said}, **more)


def changing(before: float, after: float, at: float) -> Own:
    return lambda now: before if now < at else after


def missing_shards() -> Iterator[Case]:
    missing, some = [f"ProberMissing {JOB} shard=1"], [f"ProberMissing {JOB}"]
    live = [shard_of(index, 4) for index in (0, 2, 3)]
    gone = [*live, shard_of(1, 4, stop=600)]
    yield case("a shard gone", gone, {540: [], 660: [], 780: missing, 7200: missing}, step=30)
    back = [*live, shard_of(1, 4, unseen=[(600, 690)])]
    yield case("a shard back", back, {720: [], 1200: []}, "ProberMissing", step=30)
    yield case("a daemon's shard never was there", live, {60: [], 180: some}, step=30)
    quiet: dict[float, list[str]] = {at: [] for at in (540, 690, 780, 900, 1080, 1260, 3600, 7200)}
    given_up = shard_of(3, 4, stop=600)
    for name, turns in {"quickly": (690, 660, 630), "pod by pod": (1080, 900, 720)}.items():
        left = [shard_of(index, changing(4, 3, at)) for index, at in enumerate(turns)]
        yield case(f"four shards become three {name}", [*left, given_up], quiet, "ProberMissing", step=30)
    stuck = [shard_of(0, 4, stop=690), shard_of(1, changing(4, 3, 660)), shard_of(2, changing(4, 3, 630)), given_up]
    yield case("a shard does not come back as one of three", stuck, {690: [], 840: some, 4500: some}, step=30)
    grown = [shard_of(index, changing(3, 4, at)) for index, at in enumerate((1080, 900, 720))]
    quiet = {at: [] for at in (540, 690, 780, 1080, 4500, 4800, 7200)}
    yield case("three shards become four", [*grown, shard_of(3, 4, start=600)], quiet, "ProberMissing", step=30)


def missing_batches(period: float, step: float) -> Iterator[Case]:
    """The n-th run pushes 17 s after (n − 1) periods."""
    missing = [f"ProberMissing {JOB}"]
    last = 2 * period + 17
    stopped = batch(period, stop=2.5 * period)
    deadline = last + 2 * period + 60
    yield case(
        "no run any more",
        [stopped],
        {last + period + 60: [], deadline - step: [], deadline + 180 + step: missing},
        step=step,
    )
    once = batch(period, own={"plugin_probe_last_run_timestamp_seconds": lambda now: now if now < last else last})
    yield case("one run that did not come", [once], {last + 1.9 * period: []}, "ProberMissing", step=step)
    gap = (period, 1.5 * period)
    yield case(
        "the gateway forgets",
        [batch(period, unseen=[gap])],
        {1.4 * period: [], 2 * period: []},
        "ProberMissing",
        step=step,
    )
    shards = [batch(period, shard="0", shards=2), batch(period, shard="1", shards=2, stop=2.5 * period)]
    yield case(
        "a shard stops",
        shards,
        {deadline - step: [], deadline + 180 + step: [f"ProberMissing {JOB} shard=1"]},
        step=step,
    )
    lonely = [batch(period, shard="0", shards=3), batch(period, shard="1", shards=3)]
    yield case("a shard never was there", lonely, {period + 180 + step: missing}, step=step)
    starts = (0, 0.1 * period, 0.75 * period)
    apart = [batch(period, shard=str(index), shards=3, start=start) for index, start in enumerate(starts)]
    first: dict[float, list[str]] = {0.6 * period: [], 0.75 * period: [], 2 * period: []}
    yield case("a first batch's shards end one after the other", apart, first, "ProberMissing", step=step)
    grown: Own = lambda now: 2.0 if now > 1.5 * period else 1.0  # noqa: E731 (a table's entry)
    two = [
        batch(period, shard="0", own={"plugin_probe_shards": grown}),
        batch(period, shard="1", shards=2, start=2 * period + 240),
    ]
    yield case("a shard more", two, {2 * period + 230: [], 3 * period: []}, "ProberMissing", step=step)
    halves = [batch(period, shard=shard, shards=2, start=1.5 * period) for shard in ("0", "1")]
    split = [batch(period, stop=1.5 * period), *halves]
    yield case("one batch is split in two", split, {4.5 * period: []}, "ProberMissing", step=step)


def failing_runs(period: float, step: float) -> Iterator[Case]:
    failing = [f"ProberRunsFailing {JOB}"]
    three = batch(period, failing=[3, 4, 5])
    good = period + 17
    yield case(
        "no run complete for three periods",
        [three],
        {good + 3 * period - step: [], good + 3 * period + 60 + step: failing, 5 * period + 17 + 180 + step: []},
        step=step,
    )
    yield case(
        "one run not complete",
        [batch(period, failing=[3])],
        {2.9 * period: [], 4 * period: []},
        "ProberRunsFailing",
        step=step,
    )
    never = batch(period, failing=range(1, 99), unseen=[(3 * period, 3 * period + step)])
    yield case(
        "never complete",
        [never],
        {1.9 * period: [], 2 * period + 17 + step: failing, 3 * period: failing, 4 * period: failing},
        step=step,
    )
    gone = batch(period, failing=range(2, 99), stop=2.5 * period)
    late = 6.5 * period
    yield case("does not run any more", [gone], {late: [f"ProberMissing {JOB}"]}, "ProberRunsFailing", step=step)


#: Counters that are watched alike, and the alert of each.
COUNTERS = {
    'plugin_probe_skipped_total{reason="overload"}': f"ProberOverloaded {JOB}",
    'plugin_probe_skipped_total{reason="deadline"}': f"ProberOverloaded {JOB}",
    'plugin_probe_sink_failures_total{sink="pushgateway"}': f"SinkFailing {JOB} sink=pushgateway",
    'plugin_probe_results_total{mixpeek_namespace="ns_one",outcome="prober_stalled"}': f"ProberStalled {JOB}",
}
COUNTED = ["ProberOverloaded", "SinkFailing", "ProberStalled"]


def counters() -> Iterator[Case]:
    """What three scrapes of a daemon or three runs within 20 minutes show, or two rarer runs within three hours."""

    def all_of(value: Own) -> dict[str, Own]:
        return dict.fromkeys(COUNTERS, value)

    fires = sorted(set(COUNTERS.values()))
    often = daemon(own=all_of(rising(600, 900, 60)))
    yield case("three scrapes of a daemon", [often], {660: [], 720: fires, 2000: fires, 2460: []})
    yield case("a burst", [daemon(own=all_of(rising(600, 640, 30)))], {720: [], 1500: []}, *COUNTED)
    restarted = all_of(lambda now: 7.0 if now < 600 else 0.0)
    yield case("a restart", [daemon(own=restarted)], {660: [], 900: []}, *COUNTED)
    yield case("three batches", [batch(300, own=all_of(rising(600, 1e9, 300)))], {1200: [], 1260: fires, 2400: fires})
    hourly = batch(3600, own=all_of(rising(3600, 1e9, 3600)))
    rare = Worker(interval=3600, plugins=WELL, own=all_of(lambda now: float((now >= 600) + (now >= 7200))))
    yield case("two bursts of a daemon that probes hourly", [rare], {720: [], 7260: [], 9000: []}, *COUNTED)
    yield case("two hourly batches", [hourly], {7200: [], 7440: fires, 10000: fires}, step=240)
    once = batch(3600, own=all_of(rising(3600, 3700, 3600)))
    yield case("one hourly batch", [once], {4080: [], 12000: []}, *COUNTED, step=240)
    for series, alert in COUNTERS.items():
        yield case(f"only {series}", [daemon(own={series: rising(600, 900, 60)})], {720: [alert]})
    hangs = daemon(own={'plugin_probe_skipped_total{reason="overrun"}': rising(600, 1e9, 60)})
    yield case("a plugin that hangs", [hangs], {1200: []}, "ProberOverloaded")


def starved() -> Iterator[Case]:
    fires = [f"ProberStalled {JOB}"]
    stalls = "plugin_probe_stalls_total"
    yield case("starved", [daemon(own={stalls: lambda now: max(0, now - 600) * 2})], {600: [], 780: fires, 1800: fires})
    yield case("suspended once", [daemon(own={stalls: rising(600, 630, 10)})], {720: [], 1500: []}, "ProberStalled")
    yield case("a stall now and then", [daemon(own={stalls: rising(600, 1e9, 30)})], {3600: []}, "ProberStalled")


def configuration() -> Iterator[Case]:
    fires = [f"ConfigReloadFailed {JOB}"]

    def refused(begin: float, end: float) -> Own:
        return lambda now: float(not begin <= now < end)

    name = "plugin_probe_config_last_reload_successful"
    yield case("refused", [daemon(own={name: refused(600, 1500)})], {840: [], 960: fires, 1440: fires, 1560: []})
    yield case("mended soon", [daemon(own={name: refused(600, 780)})], {720: [], 1200: []}, "ConfigReloadFailed")
    yield case("a batch has no reload", [batch(300)], {1200: []}, "ConfigReloadFailed")


def certificates() -> Iterator[Case]:
    def expires(days: float) -> dict[str, Own]:
        return {"plugin_probe_tls_earliest_cert_expiry_timestamp_seconds": lambda now: days * DAY_S}

    soon, now = f"CertificateExpiring {JOB}", f"CertificateExpiring {JOB} severity=critical"
    workers: list[Callable[..., Worker]] = [
        daemon,
        lambda **more: batch(300, **more),
        lambda **more: batch(3600, **more),
    ]
    for worker in workers:
        yield case("in three weeks", [worker(own=expires(21))], {600: []}, "CertificateExpiring")
        yield case("in ten days", [worker(own=expires(10))], {60: [soon], 600: [soon]})
        yield case("in two days", [worker(own=expires(2))], {60: [now], 600: [now]})
        yield case("expired", [worker(own=expires(-1))], {60: [now], 600: [now]})
    renewed: dict[str, Own] = {
        "plugin_probe_tls_earliest_cert_expiry_timestamp_seconds": lambda now: (10 if now < 600 else 90) * DAY_S
    }
    yield case("renewed", [daemon(own=renewed)], {540: [soon], 840: [soon], 960: []})
    # What a dead shard saw last is no news of the certificate that is served now.
    dead = batch(300, own=expires(10), shard="1", stop=400)
    live = batch(300, own=expires(90), shard="0")
    yield case("a dead shard's", [dead, live], {300: [soon], 2400: [f"ProberMissing {JOB} shard=1"]})
    beats: Own = lambda now: min(now, 600)  # noqa: E731 (a table's entry)
    hangs = {**expires(10), 'plugin_probe_last_run_timestamp_seconds{shard="1"}': beats}
    dead = daemon(own=hangs, shard="1", shards=2, instance="pod-1:9464")
    live = daemon(own=expires(90), shard="0", shards=2, instance="pod-0:9464")
    yield case("a hung shard's", [dead, live], {300: [soon], 1800: [f"ProberMissing {JOB} shard=1"]})
    yield case("without TLS", [daemon()], {600: []}, "CertificateExpiring")


def bugs() -> Iterator[Case]:
    """A bug of ours sends no call, so that nothing is fresh."""
    broken = [Plugin(name="embed", script="ok*2 internal_error")]
    unknown = ["UnknownTooLong ns_one/embed"]
    worker = Worker(interval=300, plugins=broken)
    yield case("a bug of the daemon's", [worker], {1740: [], 1860: unknown, 3600: unknown})
    batches = Worker(interval=300, plugins=broken, batch=True, failing=range(3, 99))
    yield case("a bug of batches", [batches], {3600: [f"ProberRunsFailing {JOB}"]}, "UnknownTooLong")
    # It is dead, but its textfile goes on being scraped.
    beats: Own = lambda now: min(now, 900)  # noqa: E731 (a table's entry)
    dead = Worker(interval=300, plugins=broken, own={"plugin_probe_last_run_timestamp_seconds": beats})
    yield case("a bug of a daemon that died", [dead], {3600: [f"ProberMissing {JOB}"]}, "UnknownTooLong")


def cases() -> Iterator[Case]:
    yield from missing_daemons()
    yield from missing_shards()
    for period, step in EVERY.items():
        yield from missing_batches(period, step)
        yield from failing_runs(period, step)
    yield from counters()
    yield from starved()
    yield from configuration()
    yield from certificates()
    yield from bugs()


@needs("promtool")
@pytest.mark.parametrize("step", sorted({one.step for one in cases()}), ids=lambda step: f"every-{step:g}s")
def test_the_prober_says_when_it_is_unwell(step: float, tmp_path: Path) -> None:
    check_cases(tmp_path, [one for one in cases() if one.step == step])
