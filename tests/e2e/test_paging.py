"""From a plugin made sick to somebody paged, and back: a daemon, batches and a textfile, with the real servers."""

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.pages import blocks, read
from tests.e2e.commands import environment, eventually, run, started, target, write_config, write_targets
from tests.e2e.paging import Stack, make_sick, settled, stack
from tests.programs import ROOT, needs
from tests.servers import Mixpeek, answer, refuse, serving
from worker.sandbox.app import serve
from worker.sandbox.catalogue import sample_sandbox

pytestmark = [
    pytest.mark.waits,
    pytest.mark.e2e,
    pytest.mark.timeout(150),
    needs("prometheus", "prometheus-alertmanager", "prometheus-pushgateway"),
]

README = read(ROOT / "README.md")
PLUGIN = "text_embed_1_0_0"
LEAVES = "sick_nan_1_0_0"
TEAM = {"labels": {"team": "search"}}
PERIOD_S = 2
OK, DOWN, THROTTLED = answer(), refuse(500, "it broke"), refuse(429, "too many", Retry_After="0")


# A daemon -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """What was seen of it."""

    alert: dict[str, str]
    fired_after_s: float
    paged: list[tuple[str, str]]
    of_the_one_that_left: tuple[dict[str, str], int, int]
    scrapes: dict[str, dict[str, Any]]
    exemplars: list[dict[str, Any]]


async def daemon(at: Stack, folder: Path) -> Daemon:
    """A sample is made sick and healed; another, sick from the start, leaves the list."""
    sandbox = sample_sandbox(namespace="ns_daemon")
    targets = [
        target(PLUGIN, "ns_daemon", inputs={"text": "hello"}, **TEAM),
        target(LEAVES, "ns_daemon", inputs={"text": "hello"}),
    ]
    async with serve(sandbox) as url:
        outputs = {"listen": f"127.0.0.1:{at.daemon_port}"}
        schedule = {"interval": "5s", "timeout": "2s", "grace": "1s"}
        write_config(folder, url, targets, outputs=outputs, schedule=schedule)
        env = environment(PROBE_TEST_KEY=sandbox.api_key)
        async with started("run", "-c", "worker.yaml", cwd=folder, env=env) as process:
            await process.url()
            await at.reaches(f'max(plugin_probe_success{{plugin="{PLUGIN}"}})', 1)
            make_sick(sandbox, PLUGIN, {"illness": "zero_vector"})
            began = time.monotonic()
            alert = await at.fires("PluginDown", plugin=PLUGIN)
            fired_after_s = time.monotonic() - began
            make_sick(sandbox, PLUGIN, None)
            left = await _leave(at, folder, targets[:1])
            await at.ends("PluginDown", plugin=PLUGIN)
            await eventually(
                settled(lambda: ("PluginBadValues", "resolved") in at.pages.of("team-search-page", PLUGIN))
            )
            scrapes = {one["labels"]["job"]: one for one in (await at.prometheus.get("targets"))["activeTargets"]}
            window = {"start": str(time.time() - 60), "end": str(time.time())}
            buckets = f'plugin_probe_duration_seconds_bucket{{plugin="{PLUGIN}"}}'
            found = await at.prometheus.get("query_exemplars", query=buckets, **window)
            return Daemon(
                alert=alert,
                fired_after_s=fired_after_s,
                paged=at.pages.of("team-search-page", PLUGIN),
                of_the_one_that_left=left,
                scrapes=scrapes,
                exemplars=[exemplar for series in found for exemplar in series["exemplars"]],
            )


async def _leave(at: Stack, folder: Path, stay: list[dict[str, Any]]) -> tuple[dict[str, str], int, int]:
    """Its alert while it is listed; its series and its alerts when it is not any more."""
    alert = await at.fires("PluginDown", plugin=LEAVES)
    write_targets(folder, stay)
    await at.ends("PluginDown", plugin=LEAVES)
    return (
        alert,
        len(await at.query(f'{{__name__=~"plugin_probe_.+",plugin="{LEAVES}"}}')),
        len(await at.firing("PluginBadValues", plugin=LEAVES)),
    )


# Batches --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Batches:
    """What was seen of runs that are up, down, down, throttled, none for a while, and up."""

    codes: list[int]
    alert: dict[str, str]
    counted: dict[str, float | None]
    still_firing: int
    last_run_after_success_s: float
    missing: dict[str, str]


async def batches(at: Stack, folder: Path, job: str, outputs: dict[str, Any]) -> Batches:
    namespace = f"ns_{job}"
    of = f'{{mixpeek_namespace="{namespace}"}}'
    async with serving(default=OK) as server:
        write_config(folder, server.url, [target("b_1", namespace, **TEAM)], outputs=outputs)
        codes = [await batch(folder, server, OK), await batch(folder, server, DOWN), await batch(folder, server, DOWN)]
        alert = await at.fires("PluginDown", mixpeek_namespace=namespace)
        codes.append(await batch(folder, server, THROTTLED))
        await at.reaches(f"plugin_probe:consecutive_unknowns{of}", 1)
        await asyncio.sleep(3)  # as long as the quickened rules would keep an alert that has ended
        still_firing = len(await at.firing("PluginDown", mixpeek_namespace=namespace))
        counted = {name: await at.value(f"sum({name}{of})") for name in COUNTED}
        lag = (
            f'plugin_probe_last_run_timestamp_seconds{{job="{job}"}} - plugin_probe_last_run_success_timestamp_seconds'
        )
        last_run_after_success_s = await at.value(lag)
        missing = await at.fires("ProberMissing", job=job)
        codes.append(await batch(folder, server, OK))
        await at.ends("PluginDown", mixpeek_namespace=namespace)
        assert last_run_after_success_s is not None
        return Batches(
            codes=codes,
            alert=alert,
            counted=counted,
            still_firing=still_firing,
            last_run_after_success_s=last_run_after_success_s,
            missing=missing,
        )


COUNTED = {
    "plugin_probe_probes_total": 4,
    "plugin_probe_failures_total": 2,
    "plugin_probe_unknowns_total": 1,
    "plugin_probe_consecutive_failures": 2,
    "plugin_probe_duration_seconds_count": 1,
    "plugin_probe_results_total": 4,
    "plugin_probe_success": 0,
}


async def batch(folder: Path, server: Mixpeek, default: Any) -> int:
    server.default = default
    done = await run("once", "-c", "worker.yaml", "--period", f"{PERIOD_S}s", "--format", "none", cwd=folder)
    return done.code


# What is required -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    daemon: Daemon
    pushed: Batches
    textfile: Batches
    pages: list[tuple[str, str, dict[str, str]]]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    folder = tmp_path_factory.mktemp("paging")

    async def main() -> Seen:
        async with stack(folder, files=["textfile"]) as at:
            places = [folder / name for name in ("daemon", "pushed", "node")]
            for place in places:
                place.mkdir()
            push = {"pushgateway": {"url": at.gateway, "job": "pushed"}}
            file = {"textfile": {"path": str(at.texts["textfile"])}}
            async with asyncio.TaskGroup() as tasks:
                first = tasks.create_task(daemon(at, places[0]))
                second = tasks.create_task(batches(at, places[1], "pushed", push))
                third = tasks.create_task(batches(at, places[2], "textfile", file))
            return Seen(daemon=first.result(), pushed=second.result(), textfile=third.result(), pages=at.pages.came)

    return asyncio.run(main())


def test_a_sample_made_sick_is_an_alert_in_half_a_minute(seen: Seen) -> None:
    alert = seen.daemon.alert
    wanted = {"mixpeek_namespace": "ns_daemon", "plugin": PLUGIN, "team": "search", "fault": "plugin"}
    assert alert == wanted | {"alertname": "PluginDown", "severity": "critical"}
    assert seen.daemon.fired_after_s < 30


def test_readme_shows_the_alert_as_it_is(seen: Seen) -> None:
    shown = next(block for block in blocks(README, "json") if "PluginDown" in block)
    assert json.loads(shown.replace("ns_sandbox", "ns_daemon")) == seen.daemon.alert


def test_its_team_is_paged_once_and_told_when_it_is_well(seen: Seen) -> None:
    assert seen.daemon.paged == [("PluginBadValues", "firing"), ("PluginBadValues", "resolved")]


def test_one_that_leaves_the_list_leaves_nothing_behind(seen: Seen) -> None:
    alert, series, alerts = seen.daemon.of_the_one_that_left
    assert alert["plugin"] == LEAVES
    assert (series, alerts) == (0, 0)


@pytest.mark.parametrize("job", ["daemon", "daemon_as_text", "pushgateway", "textfile"])
def test_no_scrape_is_warned_of(seen: Seen, job: str) -> None:
    scrape = seen.daemon.scrapes[job]
    assert (scrape["health"], scrape["lastError"]) == ("up", "")


def test_exemplars_name_the_run(seen: Seen) -> None:
    labels = [exemplar["labels"] for exemplar in seen.daemon.exemplars]
    assert labels
    assert {len(one["run_id"]) for one in labels} == {36}


@pytest.mark.parametrize("way", ["pushed", "textfile"])
class TestBatches:
    def test_codes(self, seen: Seen, way: str) -> None:
        assert getattr(seen, way).codes == [0, 1, 1, 4, 0]

    def test_two_failures_in_a_row_fire(self, seen: Seen, way: str) -> None:
        alert = getattr(seen, way).alert
        wanted = {"mixpeek_namespace": f"ns_{way}", "plugin": "b_1", "team": "search", "fault": "plugin"}
        assert alert == wanted | {"alertname": "PluginDown", "severity": "critical"}

    def test_a_throttled_run_does_not_resolve_it(self, seen: Seen, way: str) -> None:
        assert getattr(seen, way).still_firing == 1

    def test_counters_add_up_over_runs(self, seen: Seen, way: str) -> None:
        assert getattr(seen, way).counted == COUNTED

    def test_a_failed_run_does_not_erase_the_last_success(self, seen: Seen, way: str) -> None:
        assert getattr(seen, way).last_run_after_success_s > 0

    def test_missed_runs_are_an_alert(self, seen: Seen, way: str) -> None:
        assert getattr(seen, way).missing["severity"] == "critical"

    def test_the_team_is_told_of_both_ends(self, seen: Seen, way: str) -> None:
        told = [(name, status) for name, status, labels in seen.pages if labels.get("mixpeek_namespace") == f"ns_{way}"]
        assert ("team-search-page", "firing") in told


def test_a_report_says_what_a_push_could_not(tmp_path: Path) -> None:
    """A dead gateway costs the exit code, not the results."""

    async def main() -> tuple[int, Any, list[dict[str, Any]]]:
        async with serving(default=OK) as server:
            dead = {"pushgateway": {"url": "http://127.0.0.1:9", "timeout": "1s"}, "textfile": {"path": "probe.prom"}}
            write_config(tmp_path, server.url, [target("b_1")], outputs=dead)
            done = await run("once", "-c", "worker.yaml", "--format", "json", cwd=tmp_path)
            return done.code, json.loads(done.out), done.events

    code, report, events = asyncio.run(main())
    assert code == 3
    assert report["results"][0]["outcome"] == "success"
    failed = [event for event in events if event["event"] == "sink.failed"]
    assert [event["sink"] for event in failed] == ["pushgateway"]
    text = (tmp_path / "probe.prom").read_text()
    assert 'plugin_probe_sink_failures_total{sink="pushgateway"} 1.0' in text
    assert "plugin_probe_last_run_success_timestamp_seconds" not in text, "the textfile was written again"
