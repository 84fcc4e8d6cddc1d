"""Every fault of the table, with the real command: one outcome each, whatever the order, and bounds on all."""

import asyncio
import json
import math
import random
import sys
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests import programs
from tests.e2e.commands import (
    COMMAND,
    PATIENCE_S,
    Case,
    Finished,
    Together,
    run,
    started,
    target,
    together,
    write_config,
)
from tests.faults.contract import GOLDEN, GOLDEN_FILE
from tests.faults.fault import Fault
from tests.faults.table import FAULTS
from tests.programs import ROOT, missing
from worker.core.outcome import Outcome

pytestmark = pytest.mark.e2e

MIB = 2**20
TIMEOUT_S = 1.5
LONGEST_WAIT_S = 0.05
CONCURRENCY = 40
SEEDS = (1, 2)
CAP_BYTES = MIB
#: Among the other faults: parsing a larger one would be a stall that throws doubt on the others' time-outs.
SMALL_BOMB_BYTES = MIB // 8
BOMBS_EACH = 3

SHARED = [fault for fault in FAULTS.values() if fault.play]
ALONE = [fault for fault in FAULTS.values() if not fault.play]
BOMBS = [fault for fault in FAULTS.values() if fault.holds or fault.name in ("headers_flood", "gzip_of_nothing")]
HEALTHY = [f"healthy_{number}" for number in range(60)]
#: Faults of names have files in /etc of their own, by way of a mount that nobody else sees.
OWN_ETC = 'for f in resolv.conf hosts; do [ ! -e $f ] || mount --bind $f /etc/$f; done; exec "$0" "$@"'
NO_OWN_ETC = "nobody may mount here" if missing("unshare") or programs.run("unshare", "-m", "true")[0] else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Faulty:
    """The fault server, in its own process."""

    urls: Mapping[str, str]
    etc: Mapping[str, Mapping[str, str]]
    ca: str

    def heard(self) -> Counter[str]:
        with urllib.request.urlopen(self.urls["server"] + "/heard", timeout=PATIENCE_S) as reply:
            return Counter(json.load(reply))


@asynccontextmanager
async def faulty(bomb_bytes: int) -> AsyncIterator[Faulty]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.faults.server",
        str(bomb_bytes),
        str(TIMEOUT_S),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=MIB,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            told = json.loads(await process.stdout.readline())
        yield Faulty(**told)
    finally:
        process.stdin.close()
        await asyncio.wait_for(process.wait(), PATIENCE_S)


def namespace(fault: Fault) -> str:
    """A 429 pauses its namespace: those that get one share theirs with nobody."""
    return "ns_throttled" if fault.takes == "waits" else "ns"


def prepare(folder: Path, url: str, targets: list[dict[str, Any]], **sections: Any) -> None:
    (folder / GOLDEN_FILE).write_text(json.dumps({"vector": GOLDEN}))
    limits = {"rate": "10000/s", "concurrency": CONCURRENCY, "max_retry_after": f"{LONGEST_WAIT_S}s"}
    given: dict[str, Any] = {"limits": limits, "schedule": {"timeout": f"{TIMEOUT_S}s"}, **sections}
    write_config(folder, url, targets, **given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    done: Finished
    heard: Counter[str]


async def all_of_them(seed: int, folder: Path) -> Batch:
    """All that one address can do in one batch, with healthy plugins between them, in an order of its own."""
    targets = [target(fault.name, namespace(fault), expect=dict(fault.expect)) for fault in SHARED]
    targets += [target(name) for name in HEALTHY]
    random.Random(seed).shuffle(targets)
    async with faulty(SMALL_BOMB_BYTES) as server:
        prepare(folder, server.urls["server"], targets, api={"max_response_bytes": CAP_BYTES})
        done = await run("once", "-c", "worker.yaml", "--format", "json", cwd=folder, within_s=40.0)
        return Batch(done=done, heard=await asyncio.to_thread(server.heard))


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    done: Finished
    metrics: str


async def alone(server: Faulty, fault: Fault, folder: Path) -> Alone:
    """One fault at an address of its own."""
    for name, text in server.etc.get(fault.name, {}).items():
        (folder / name).write_text(text)
    (folder / "ca.pem").write_text(server.ca)
    api = {"tls": {"ca_file": "ca.pem"}, "allow_http": True}
    outputs = {"textfile": {"path": "probe.prom"}}
    prepare(folder, server.urls[fault.name], [target(fault.name)], api=api, outputs=outputs)
    command = ("unshare", "-m", "sh", "-c", OWN_ETC, COMMAND) if fault.name in server.etc else (COMMAND,)
    done = await run("once", "-c", "worker.yaml", "--format", "json", cwd=folder, command=command)
    return Alone(done=done, metrics=(folder / "probe.prom").read_text())


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> list[Batch]:
    """In two orders, one after the other."""
    return [asyncio.run(all_of_them(seed, tmp_path_factory.mktemp("batch"))) for seed in SEEDS]


@pytest.fixture(scope="module")
def each_alone(tmp_path_factory: pytest.TempPathFactory) -> Together:
    folder = tmp_path_factory.mktemp("alone")

    async def main() -> Together:
        async with faulty(SMALL_BOMB_BYTES) as server:
            faults = [fault for fault in ALONE if not (NO_OWN_ETC and fault.name in server.etc)]
            cases: dict[str, Case] = {fault.name: partial(alone, server, fault) for fault in faults}
            return await asyncio.to_thread(together, cases, folder, 6)

    return asyncio.run(main())


def rows(done: Finished) -> dict[str, dict[str, Any]]:
    """By plugin; each has one."""
    results = done.json["results"]
    found = {row["plugin"]: row for row in results}
    assert len(found) == len(results)
    return found


def check(fault: Fault, row: Mapping[str, Any]) -> None:
    outcome = fault.outcome
    assert (row["outcome"], row["verdict"], row["fault"]) == (outcome, outcome.verdict, outcome.fault)
    assert fault.died_in is None or row["died_in"] == fault.died_in
    assert fault.words in f"{row['error']} {row['found']}"
    took_s = sum(seconds or 0.0 for seconds in row["phases"].values()) - row["lost_s"]
    assert took_s < (1.1 if fault.takes == "time-out" else 0.8) * TIMEOUT_S


@pytest.mark.parametrize("fault", SHARED, ids=lambda fault: fault.name)
def test_a_fault_has_its_outcome_in_every_order(fault: Fault, twice: list[Batch]) -> None:
    for batch in twice:
        check(fault, rows(batch.done)[fault.name])


@pytest.mark.parametrize("fault", ALONE, ids=lambda fault: fault.name)
def test_a_fault_of_an_address_has_its_outcome(fault: Fault, each_alone: Together) -> None:
    if fault.name not in each_alone:
        pytest.skip(NO_OWN_ETC)
    check(fault, rows(each_alone[fault.name].done)[fault.name])


@pytest.mark.parametrize("name", ["tls_expired", "tls_wrong_host", "tls_unknown_authority"])
def test_a_refused_certificate_still_shows_when_it_expires(name: str, each_alone: Together) -> None:
    assert "\nplugin_probe_tls_earliest_cert_expiry_timestamp_seconds" in each_alone[name].metrics


def test_no_fault_harms_a_healthy_plugin(twice: list[Batch]) -> None:
    for batch in twice:
        found = rows(batch.done)
        assert {found[name]["outcome"] for name in HEALTHY} == {Outcome.SUCCESS}
        assert len(found) == len(SHARED) + len(HEALTHY)


def test_every_call_is_counted_and_none_goes_where_a_reply_points(twice: list[Batch]) -> None:
    for batch in twice:
        assert batch.heard["elsewhere"] == 0
        found = rows(batch.done)
        uncounted = [name for name, row in found.items() if not 1 <= batch.heard[name] <= row["attempts"]]
        assert uncounted == []


def test_a_batch_of_faults_ends_in_time(twice: list[Batch]) -> None:
    hanging = sum(fault.takes == "time-out" for fault in SHARED)
    throttled = sum(fault.takes == "waits" for fault in SHARED)
    bound_s = 1.1 * (math.ceil(hanging / CONCURRENCY) * TIMEOUT_S + 2 * throttled * LONGEST_WAIT_S) + 2.0
    for batch in twice:
        assert batch.done.json["duration_s"] < bound_s


@pytest.fixture(scope="module")
def bombed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, int]:
    """A batch of bombs alone, several of each and all at once, and the most bytes of memory that it ever had."""
    folder = tmp_path_factory.mktemp("bombs")
    targets = [target(fault.name, f"ns_{number}") for number in range(BOMBS_EACH) for fault in BOMBS]
    limits = {"rate": "10000/s", "concurrency": len(targets)}

    async def main() -> tuple[Finished, int]:
        async with faulty(CAP_BYTES) as server:
            prepare(folder, server.urls["server"], targets, limits=limits, api={"max_response_bytes": CAP_BYTES})
            async with started("once", "-c", "worker.yaml", "--format", "json", cwd=folder) as process:
                peak = asyncio.create_task(peak_bytes(process.process.pid))
                return await process.finish(60.0), await peak

    return asyncio.run(main())


async def peak_bytes(pid: int) -> int:
    """Asked until it has ended: the system keeps the highest value."""
    peak = 0
    while told := _told_peak(pid):
        peak = told
        await asyncio.sleep(0.01)
    return peak


def _told_peak(pid: int) -> int:
    """0 when it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system tells no process's peak")
def test_every_bomb_at_once_stays_within_the_bound(bombed: tuple[Finished, int]) -> None:
    done, peak = bombed
    at_once = len(done.json["results"])
    assert at_once == BOMBS_EACH * len(BOMBS)
    assert 0 < peak < 150 * MIB + 60 * CAP_BYTES + 2 * CAP_BYTES * at_once


def test_a_bomb_has_an_outcome_of_its_own_or_the_worker_says_that_it_stalled(bombed: tuple[Finished, int]) -> None:
    """Parsing megabytes holds the loop up, which throws doubt on a call that ends without a reply."""
    wanted = {fault.name: fault.outcome for fault in BOMBS}
    for row in bombed[0].json["results"]:
        doubtful = {Outcome.PROBER_STALLED} if row["lost_s"] else set()
        assert row["outcome"] in {wanted[row["plugin"]]} | doubtful
