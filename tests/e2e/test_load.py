"""2,000 targets at 500/s against a server that takes 80 ms, by the server's own clock."""

import asyncio
import json
from typing import Any

import pytest

from tests.e2e.commands import Finished, run, target, write_config
from tests.e2e.witness import heard, witness
from tests.servers import CROWD_S, most_in_any_window

pytestmark = pytest.mark.e2e

TARGETS = 2_000
RATE = 500
CONCURRENCY = 50
MOST_S = 6.0
#: Reading the configuration and loading the HTTP client; not what is promised.
START_UP_S = 2.0

RESULT_KEYS = (
    "namespace plugin labels verdict outcome fault http_status duration_s phases died_in lost_s attempts started_at"
    " inference_name response_type response_keys response_bytes shape shape_hash shape_diff vectors golden_cosine"
    " expected found error request_id"
)


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, Any]:
    """One batch, and what its server saw."""
    folder = tmp_path_factory.mktemp("load")

    async def main() -> tuple[Finished, Any]:
        async with witness(0.08) as url:
            targets = [target(f"p{number}_1_0_0", f"ns_{number % 40}") for number in range(TARGETS)]
            limits = {"rate": f"{RATE}/s", "concurrency": CONCURRENCY}
            write_config(folder, url, targets, limits=limits)
            done = await run("once", "-c", "worker.yaml", "--format", "json", cwd=folder)
            return done, await asyncio.to_thread(heard, url)

    return asyncio.run(main())


def test_every_target_is_probed_exactly_once(batch: tuple[Finished, Any]) -> None:
    done, seen = batch
    probed = sorted((namespace, plugin) for namespace, plugin, _ in seen["probes"])
    assert done.code == 0
    assert probed == sorted({(f"ns_{number % 40}", f"p{number}_1_0_0") for number in range(TARGETS)})


def test_no_second_of_the_server_sees_more_calls_than_the_rate(
    batch: tuple[Finished, Any], record_property: Any
) -> None:
    _, seen = batch
    most = most_in_any_window((at for *_, at in seen["probes"]), 1.0)
    record_property("most_in_1s", most)
    print(f"most calls in any 1.000 s: {most}")
    assert most_in_any_window((at for *_, at in seen["probes"]), 1.0 - CROWD_S) <= RATE


def test_the_server_never_sees_more_calls_in_flight_than_the_concurrency(
    batch: tuple[Finished, Any], record_property: Any
) -> None:
    _, seen = batch
    record_property("peak", seen["peak"])
    print(f"most calls in flight: {seen['peak']}")
    assert seen["peak"] <= CONCURRENCY


def test_a_batch_of_2000_ends_within_6_seconds(batch: tuple[Finished, Any], record_property: Any) -> None:
    done, _ = batch
    record_property("seconds", done.json["duration_s"])
    print(f"the batch took {done.json['duration_s']} s, the process {done.took_s:.2f} s")
    assert done.json["duration_s"] <= MOST_S
    assert done.took_s <= MOST_S + START_UP_S


def words(document: dict[str, Any]) -> str:
    """The keys in order."""
    return " ".join(document)


def test_the_report_has_the_documented_keys_in_order(batch: tuple[Finished, Any]) -> None:
    report = batch[0].json
    assert list(report) == [
        "run_id",
        "started_at",
        "finished_at",
        "duration_s",
        "complete",
        "shard",
        "summary",
        "results",
    ]
    assert words(report["summary"]) == "targets up down unknown by_outcome latency_s"
    assert words(report["summary"]["latency_s"]) == "p50 p95 p99 max"
    assert words(report["results"][0]) == RESULT_KEYS
    assert words(report["results"][0]["phases"]) == "dns connect tls send wait receive"
    assert report["shard"] is None


def test_results_stand_in_the_order_of_the_targets_files(batch: tuple[Finished, Any]) -> None:
    plugins = [row["plugin"] for row in batch[0].json["results"]]
    assert plugins == [f"p{number}_1_0_0" for number in range(TARGETS)]


def test_latencies_hold_none_of_our_own_waits(batch: tuple[Finished, Any]) -> None:
    latency = batch[0].json["summary"]["latency_s"]
    assert 0.079 <= latency["p50"] <= 0.2


def test_stdout_holds_the_report_alone_and_stderr_the_log(batch: tuple[Finished, Any]) -> None:
    done, _ = batch
    assert json.loads(done.out)["summary"]["up"] == TARGETS
    told = [event["event"] for event in done.events]
    # a busy machine may stall us: then the log says so
    assert [name for name in told if name != "worker.stalled"] == ["run.started", "run.finished"]
    assert len(done.err.splitlines()) == len(told)
