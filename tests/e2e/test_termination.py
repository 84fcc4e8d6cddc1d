"""A batch that Kubernetes ends: SIGTERM in each of its phases, a second one, as PID 1, and how soon it is gone.

The kubelet sends SIGTERM, and SIGKILL when the pod's terminationGracePeriodSeconds are over. Until then there is time
for `schedule.grace` and for the time-out of the Pushgateway, which all that is asked of it shares.
"""

import asyncio
import itertools
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.e2e.commands import COMMAND, Cases, Finished, Started, Together, eventually, started, target, together
from tests.e2e.commands import write_config as write_any_config
from tests.programs import needs, pushgateway
from tests.servers import Call, Mixpeek, Reply, Script, answer, refuse, serving
from tests.sinks.gateway import group

pytestmark = [pytest.mark.e2e, pytest.mark.waits]

CASES = Cases()
case = CASES.add
GRACE_S, PUSH_S = 1.0, 5.0
#: Of the push time-out most, so that two of them are more than it.
LONG_S = 4.0
#: What a busy machine may need besides.
SLACK_S = 2.5
NEVER = answer(delay_s=60.0)
TAKEN = Reply(body=b"", status=202)
TARGETS = [target(f"p{number}") for number in range(10)]
TWO_AT_A_TIME = {"rate": "1000/s", "concurrency": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How the process ended, how long after the signal, how many probes were made and what the gateway was asked."""

    done: Finished
    took_s: float
    probes: int
    asked: list[str]

    @property
    def code(self) -> int:
        return self.done.code

    @property
    def outcomes(self) -> list[str]:
        """In the order of the alphabet."""
        return sorted(row["outcome"] for row in self.done.json["results"])


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Together:
    return together(CASES, tmp_path_factory.mktemp("termination"))


def in_turn(*replies: Reply, then: Reply) -> Script:
    """Whoever asks."""
    turns = itertools.chain(replies, itertools.repeat(then))
    return lambda _: next(turns)


def by_method(**scripts: Script | Reply) -> Script:
    """A gateway that takes what has no script."""

    def reply(call: Call) -> Reply:
        script = scripts.get(call.method, TAKEN)
        return script if isinstance(script, Reply) else script(call)

    return reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch that runs, and the servers around it."""

    process: Started
    mixpeek: Mixpeek
    gateway: Mixpeek

    @property
    def asked(self) -> list[str]:
        return [call.method for call in self.gateway.calls]

    async def asks(self, *methods: str) -> None:
        """Waits until that is what the gateway was asked."""

        async def does() -> bool:
            return self.asked == list(methods)

        await eventually(does)

    async def ends(self, *, twice: bool = False) -> Seen:
        """Sends the signal, and waits."""
        loop = asyncio.get_running_loop()
        sent_at = loop.time()
        self.process.send(signal.SIGTERM)
        if twice:
            await self.process.event("worker.stopping")
            self.process.send(signal.SIGTERM)
        done = await self.process.finish()
        return Seen(done=done, took_s=loop.time() - sent_at, probes=len(self.mixpeek.calls), asked=self.asked)


@asynccontextmanager
async def once(
    folder: Path, *options: str, probed: Script | Reply | None = None, pushed: Script | None = None, **sections: Any
) -> AsyncIterator[Batch]:
    async with serving(default=probed) as mixpeek, serving(default=pushed or TAKEN) as gateway:
        sections = {
            "targets": TARGETS,
            "limits": TWO_AT_A_TIME,
            "schedule": {"timeout": "50s", "grace": GRACE_S},
            "outputs": {"pushgateway": {"url": gateway.url, "timeout": PUSH_S}},
            **sections,
        }
        write_any_config(folder, mixpeek.url, **sections)
        arguments = ["once", "-c", "worker.yaml", "--format", "json", *options]
        async with started(*arguments, cwd=folder) as process:
            yield Batch(process=process, mixpeek=mixpeek, gateway=gateway)


# While it probes ------------------------------------------------------------------------------------------------------


@case
async def found_down(folder: Path) -> Seen:
    """One was down before the signal, two are in flight."""
    probed = in_turn(refuse(500), then=answer(delay_s=0.5))
    async with once(folder, probed=probed) as batch:
        await batch.mixpeek.called(3)
        return await batch.ends()


@case
async def found_down_and_nobody_asked(folder: Path) -> Seen:
    probed = in_turn(refuse(500), then=answer(delay_s=0.5))
    async with once(folder, "--fail-on", "never", probed=probed) as batch:
        await batch.mixpeek.called(3)
        return await batch.ends()


@case
async def cut_off(folder: Path) -> Seen:
    async with once(folder, probed=NEVER) as batch:
        await batch.mixpeek.called(2)
        return await batch.ends()


@case
async def waiting_for_the_rate(folder: Path) -> Seen:
    async with once(folder, limits={"rate": "1/m", "concurrency": 2}) as batch:
        await batch.mixpeek.called(1)
        return await batch.ends()


@case
async def paused_by_429(folder: Path) -> Seen:
    async with once(folder, probed=refuse(429, Retry_After="50")) as batch:
        await batch.process.event("limits.throttled")
        return await batch.ends()


@case
async def about_to_ask_again(folder: Path) -> Seen:
    """When the second is called, the first is known to be down but for its recheck."""
    limits = {"rate": "1000/s", "concurrency": 1}
    confirm = {"rechecks": 1, "delay": "50s"}
    async with once(folder, probed=refuse(500), targets=TARGETS[:2], limits=limits, confirm=confirm) as batch:
        await batch.mixpeek.called(2)
        return await batch.ends()


def test_what_is_in_flight_ends_and_what_was_found_down_exits_with_1(seen: Together) -> None:
    found = seen["found_down"]
    assert (found.code, found.probes) == (1, 3)
    assert found.outcomes == ["server_error"] + ["skipped"] * 7 + ["success"] * 2
    assert found.asked == ["GET", "PUT"]


def test_what_nobody_asked_for_exits_with_4(seen: Together) -> None:
    found = seen["found_down_and_nobody_asked"]
    assert (found.code, found.outcomes.count("server_error")) == (4, 1)


def test_what_outlives_the_grace_is_cut_off_and_pushed_as_skipped(seen: Together) -> None:
    found = seen["cut_off"]
    assert (found.code, found.probes, found.outcomes) == (4, 2, ["skipped"] * 10)
    assert sorted(row["attempts"] for row in found.done.json["results"]) == [0] * 8 + [1] * 2
    assert found.asked == ["GET", "PUT"]
    assert GRACE_S <= found.took_s < GRACE_S + SLACK_S


@pytest.mark.parametrize(
    ("name", "code", "probes", "outcomes"),
    [
        ("waiting_for_the_rate", 4, 1, ["skipped"] * 9 + ["success"]),
        ("about_to_ask_again", 1, 2, ["server_error"] * 2),
    ],
)
def test_what_only_waits_ends_at_once(seen: Together, name: str, code: int, probes: int, outcomes: list[str]) -> None:
    found = seen[name]
    assert (found.code, found.probes, found.outcomes) == (code, probes, outcomes)
    assert found.asked == ["GET", "PUT"]
    assert found.took_s < SLACK_S


def test_a_pause_that_a_429_asked_for_ends_at_once(seen: Together) -> None:
    found = seen["paused_by_429"]
    assert found.code == 4
    assert set(found.outcomes) == {"rate_limited", "skipped"}
    assert found.asked == ["GET", "PUT"]
    assert found.took_s < SLACK_S


# While it reads from the gateway and pushes ---------------------------------------------------------------------------


def late(reply: Reply) -> Reply:
    return Reply(body=reply.body, status=reply.status, delay_s=LONG_S)


FIRST_OF_ONE = ("--shard-index", "0", "--shard-count", "1")
#: Shard 1 is no more.
HELD = Reply(body=(group("a", shard="0") + group("a", shard="1")).encode())


def asking(name: str, *asked: str, options: Sequence[str] = (), twice: bool = False, **scripts: Script | Reply) -> None:
    """A case: the signal comes while the gateway is being asked the last of these."""

    async def signalled(folder: Path) -> Seen:
        async with once(folder, *options, pushed=by_method(**scripts)) as batch:
            await batch.asks(*asked)
            return await batch.ends(twice=twice)

    CASES[name] = signalled


asking("a slow push", "GET", "PUT", PUT=late(TAKEN))
asking("a dead push", "GET", "PUT", PUT=NEVER)
asking("a slow push and a dead deletion", "GET", "PUT", options=FIRST_OF_ONE, GET=HELD, PUT=late(TAKEN), DELETE=NEVER)
asking("dead memory", "GET", GET=NEVER)
asking("dead memory that comes to life", "GET", GET=in_turn(NEVER, then=TAKEN))

asking("twice at the join", "GET", "GET", twice=True, GET=in_turn(refuse(503), then=NEVER))
asking("twice at the push", "GET", "PUT", twice=True, PUT=NEVER)
asking("twice at the deletion", "GET", "PUT", "DELETE", twice=True, options=FIRST_OF_ONE, GET=HELD, DELETE=NEVER)


@case
async def worst(folder: Path) -> Seen:
    """In-flight calls that get no answer, memory that comes late, and a push that gets no answer."""
    pushed = by_method(GET=in_turn(refuse(503), then=late(TAKEN)), PUT=NEVER)
    async with once(folder, probed=NEVER, pushed=pushed) as batch:
        await batch.mixpeek.called(2)
        return await batch.ends()


def test_a_push_under_way_is_completed_and_the_exit_code_is_what_it_would_have_been(seen: Together) -> None:
    found = seen["a slow push"]
    assert (found.code, found.probes, found.done.json["complete"]) == (0, 10, True)
    assert found.asked == ["GET", "PUT"]
    assert found.done.event("worker.stopping")["signal"] == "SIGTERM"


def test_a_push_that_gets_no_answer_exits_with_3_when_its_time_is_over(seen: Together) -> None:
    found = seen["a dead push"]
    assert (found.code, found.outcomes) == (3, ["success"] * 10)
    assert found.took_s < PUSH_S + SLACK_S


def test_a_deletion_gets_the_time_that_the_push_left(seen: Together) -> None:
    found = seen["a slow push and a dead deletion"]
    assert (found.code, found.asked) == (0, ["GET", "PUT", "DELETE"])
    assert found.took_s < PUSH_S + SLACK_S


def test_memory_is_not_waited_for_when_there_will_be_no_probe(seen: Together) -> None:
    found = seen["dead memory that comes to life"]
    assert (found.code, found.probes, found.outcomes) == (4, 0, ["skipped"] * 10)
    assert found.asked == ["GET", "GET", "PUT"], "the group is joined and replaced, not lost"
    assert found.took_s < SLACK_S


def test_memory_that_never_comes_exits_with_3_when_the_time_of_one_push_is_over(seen: Together) -> None:
    found = seen["dead memory"]
    assert (found.code, found.probes, found.asked) == (3, 0, ["GET", "GET"])
    assert found.took_s < PUSH_S + SLACK_S


def test_after_a_signal_it_is_gone_within_the_grace_and_the_time_of_one_push(seen: Together) -> None:
    found = seen["worst"]
    assert (found.code, found.asked) == (3, ["GET", "GET", "PUT"])
    assert found.took_s < GRACE_S + PUSH_S + SLACK_S


@pytest.mark.parametrize("name", ["twice at the join", "twice at the push", "twice at the deletion"])
def test_a_second_signal_ends_it_at_once_whatever_the_gateway_does(seen: Together, name: str) -> None:
    found = seen[name]
    assert found.code == 128 + signal.SIGTERM
    assert found.took_s < SLACK_S


# Before it has begun, and as PID 1 ------------------------------------------------------------------------------------


async def starting(folder: Path, command: str) -> Finished:
    """Its configuration is a pipe, and the signal comes while it reads there."""
    pipe = folder / "worker.yaml"
    os.mkfifo(pipe)

    async def opened() -> int | None:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # nobody reads
            return None

    async with started(command, "-c", "worker.yaml", cwd=folder) as process:
        writer = await eventually(opened)
        assert writer
        process.send(signal.SIGTERM)
        os.close(writer)  # Python looks for signals between two calls of the system, not at the beginning of one
        return await process.finish()


CASES["starting once"] = partial(starting, command="once")
CASES["starting run"] = partial(starting, command="run")


@pytest.mark.parametrize(("name", "code"), [("starting once", 4), ("starting run", 0)])
def test_a_signal_during_the_start_ends_it_without_a_word(seen: Together, name: str, code: int) -> None:
    assert (seen[name].code, seen[name].out, seen[name].err) == (code, "", "")


#: The kernel gives PID 1 no signal that it has no handler for: in a container nothing ends by default.
APART = ("unshare", "--pid", "--fork", "--kill-child")


def permitted() -> bool:
    try:
        return subprocess.run([*APART, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0
    except FileNotFoundError:
        return False


apart = pytest.mark.skipif(not permitted(), reason="no pid namespace of its own is permitted here")


def inside(process: Started) -> int:
    """The pid, out here, of what is PID 1 in there."""
    pid = process.process.pid
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


@apart
@pytest.mark.parametrize(
    ("command", "signals", "code"), [("once", 1, 4), ("run", 1, 0), ("once", 2, 143), ("run", 2, 143)]
)
async def test_pid_1_takes_the_signals(tmp_path: Path, command: str, signals: int, code: int) -> None:
    probed = answer(delay_s=0.5) if signals == 1 else NEVER
    async with serving(default=probed) as mixpeek:
        schedule = {"timeout": "50s", "grace": "20s"}
        write_any_config(
            tmp_path,
            mixpeek.url,
            TARGETS,
            limits=TWO_AT_A_TIME,
            schedule=schedule,
            outputs={"listen": "127.0.0.1:0", "textfile": {"path": "probe.prom"}},
        )
        async with started(COMMAND, command, "-c", "worker.yaml", cwd=tmp_path, command=APART) as process:
            await mixpeek.called(2)
            os.kill(inside(process), signal.SIGTERM)
            await process.event("worker.stopping")
            if signals == 2:
                os.kill(inside(process), signal.SIGTERM)
            done = await process.finish(5)
    assert (done.code, len(mixpeek.calls)) == (code, 2)
    if signals == 1:
        assert (
            'plugin_probe_results_total{mixpeek_namespace="ns_a",outcome="success"} 2'
            in (tmp_path / "probe.prom").read_text()
        )


# With a real Pushgateway ----------------------------------------------------------------------------------------------


async def pushed(gateway: str, name: str) -> dict[str, float]:
    """Values of our group, by plugin; the worker's own by ''."""
    async with aiohttp.ClientSession() as session, session.get(f"{gateway}/metrics") as reply:
        lines = re.findall(rf"^plugin_probe_{name}{{(.*)}} (\S+)$", await reply.text(), re.MULTILINE)
    assert all('job="plugin_probe"' in labels for labels, _ in lines)
    return {(re.findall(r'plugin="([^"]*)"', labels) or [""])[0]: float(value) for labels, value in lines}


@needs("prometheus-pushgateway")
async def test_a_real_pushgateway_tells_what_was_found_and_when_a_run_last_went_well(tmp_path: Path) -> None:
    with pushgateway(tmp_path) as (gateway, _):
        outputs = {"pushgateway": {"url": gateway}}
        async with once(tmp_path, outputs=outputs) as batch:
            assert (await batch.process.finish()).code == 0
        (succeeded_at,) = (await pushed(gateway, "last_run_success_timestamp_seconds")).values()
        assert await pushed(gateway, "last_run_timestamp_seconds") == {"": succeeded_at}

        async with once(tmp_path, outputs=outputs, probed=answer(delay_s=0.5)) as batch:
            await batch.mixpeek.called(2)
            found = await batch.ends()
        assert found.code == 4
        assert (await pushed(gateway, "last_run_timestamp_seconds"))[""] > succeeded_at
        assert await pushed(gateway, "last_run_success_timestamp_seconds") == {"": succeeded_at}
        assert (await pushed(gateway, "last_run_duration_seconds"))[""] >= 0.5
        assert set((await pushed(gateway, "success")).values()) == {1.0}
        again = {row["plugin"] for row in found.done.json["results"] if row["outcome"] == "success"}
        assert await pushed(gateway, "probes_total") == {
            listed["plugin"]: 2.0 if listed["plugin"] in again else 1.0 for listed in TARGETS
        }
        assert len(again) == 2
