"""The exit codes of `once`, each for each of its reasons, and which goes first when several apply: 2, 3, 1, 4."""

import asyncio
import json
import resource
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.commands import (
    COMMAND,
    Cases,
    Finished,
    Together,
    environment,
    run,
    started,
    target,
    together,
    write_config,
)
from tests.servers import Reply, answer, refuse, serving

pytestmark = [pytest.mark.e2e, pytest.mark.waits]

DOWN = refuse(500)
CASES = Cases()
case = CASES.add


@dataclass(frozen=True, slots=True)
class Seen:
    """How the process ended, how many calls the server saw, and where it ran."""

    done: Finished
    calls: int
    folder: Path

    @property
    def code(self) -> int:
        return self.done.code

    @property
    def outcomes(self) -> list[str]:
        return [row["outcome"] for row in self.done.json["results"]]


def batch(
    name: str,
    *options: str,
    scripts: dict[str, Reply] | None = None,
    prepare: Callable[[Path], object] = lambda _folder: None,
    env: dict[str, str] | None = None,
    preexec: Callable[[], None] | None = None,
    **sections: Any,
) -> None:
    """A case: one batch over a plugin of each script (one healthy one when there is none)."""

    async def batched(folder: Path) -> Seen:
        async with serving(scripts) as server:
            write_config(folder, server.url, [target(plugin) for plugin in scripts or ["up"]], **sections)
            prepare(folder)
            arguments = ["once", "-c", "worker.yaml", "--format", "json", *options]
            done = await run(*arguments, cwd=folder, env=env, preexec_fn=preexec)
            return Seen(done, len(server.calls), folder)

    CASES[name] = batched


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Together:
    """All cases, run a few at a time."""
    return together(CASES, tmp_path_factory.mktemp("exit"))


# 0 and 1 -------------------------------------------------------------------------------------------------------------

batch("up")
batch("down", scripts={"up": answer(), "sick": DOWN})
batch("slow_by_default", scripts={"p": answer(delay_s=0.05)}, defaults={"expect": {"max_latency": "20ms"}})
batch(
    "slow_asked",
    "--fail-on",
    "down,slow",
    scripts={"p": answer(delay_s=0.05)},
    defaults={"expect": {"max_latency": "20ms"}},
)
batch("never", "--fail-on", "never", scripts={"up": answer(), "sick": DOWN})
batch("unknown_beside_up", scripts={"up": answer(), "who": refuse(403)})
batch("unknown_asked", "--fail-on", "unknown", scripts={"up": answer(), "who": refuse(403)})
batch("unknown_includes_down", "--fail-on", "unknown", scripts={"up": answer(), "sick": DOWN})
batch("outcome_asked", "--fail-on", "forbidden", scripts={"up": answer(), "who": refuse(403)})
batch("other_outcome_asked", "--fail-on", "timeout", scripts={"up": answer(), "sick": DOWN})


def test_a_healthy_batch_exits_with_0(seen: Together) -> None:
    assert seen["up"].code == 0


def test_a_plugin_that_is_down_makes_1(seen: Together) -> None:
    assert seen["down"].code == 1
    assert seen["down"].outcomes == ["success", "server_error"]


def test_slow_is_up_unless_it_is_asked_for(seen: Together) -> None:
    assert seen["slow_by_default"].outcomes == ["slow"]
    assert seen["slow_by_default"].code == 0
    assert seen["slow_asked"].code == 1


def test_never_finds_nothing(seen: Together) -> None:
    assert seen["never"].outcomes == ["success", "server_error"]
    assert seen["never"].code == 0


def test_unknown_counts_only_when_it_is_asked_for(seen: Together) -> None:
    assert seen["unknown_beside_up"].code == 0
    assert seen["unknown_asked"].code == 1


def test_unknown_includes_down(seen: Together) -> None:
    assert seen["unknown_includes_down"].code == 1


def test_an_outcome_can_be_asked_for_by_its_name(seen: Together) -> None:
    assert seen["outcome_asked"].code == 1
    assert seen["other_outcome_asked"].code == 0


# 2 -------------------------------------------------------------------------------------------------------------------


def broken(folder: Path) -> None:
    worker = json.loads((folder / "worker.yaml").read_text())
    worker["limits"]["rat"] = "1/s"
    (folder / "worker.yaml").write_text(json.dumps(worker))
    (folder / "targets.yaml").write_text("targets: [{namespace: ns_a, plugin: p, timeout: fast}]")


batch("bad_configuration", prepare=broken)
batch("no_configuration", prepare=lambda folder: (folder / "worker.yaml").unlink())
batch("no_key", env={"PATH": environment()["PATH"]})
batch("wrong_fail_on", "--fail-on", "dwn")
batch("wrong_option", "--fial-on", "down")
batch("wrong_report", "--report", "html=x.html")
batch("wrong_deadline", "--deadline", "soon")
batch("only_nothing", "--only", "ns_b")
batch(
    "bad_tls_file",
    prepare=lambda folder: (folder / "ca.pem").write_text("no certificate"),
    api={"base_url": "https://127.0.0.1:1", "tls": {"ca_file": "ca.pem"}},
)

NOTHING_SENT = {
    "bad_configuration": ["limits.rat: ", "did you mean rate?", "targets.yaml:1:", "fast"],
    "no_configuration": ["worker.yaml", "no such file"],
    "no_key": ["PROBE_TEST_KEY", "is not set"],
    "wrong_fail_on": ["--fail-on", "did you mean down?"],
    "wrong_option": ["--fial-on", "--fail-on"],
    "wrong_report": ["html=x.html", "junit=PATH"],
    "wrong_deadline": ["--deadline", "soon"],
    "only_nothing": ["--only ns_b", "none of 1 target"],
    "bad_tls_file": ["ca.pem"],
}


@pytest.mark.parametrize("name", NOTHING_SENT)
def test_bad_usage_and_configuration_exit_with_2_and_send_nothing(seen: Together, name: str) -> None:
    done, calls = seen[name].done, seen[name].calls
    assert (done.code, calls, done.out) == (2, 0, "")
    for words in NOTHING_SENT[name]:
        assert words in done.err
    assert "Traceback" not in done.err


def test_every_problem_of_a_configuration_is_told_at_once(seen: Together) -> None:
    lines = seen["bad_configuration"].done.err.splitlines()
    assert len(lines) == 2


# 3 -------------------------------------------------------------------------------------------------------------------

UNWRITABLE = {"textfile": {"path": "missing/probe.prom"}}


def no_descriptors() -> None:
    """So few that not even an event loop can be made."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5))


def few_descriptors() -> None:
    """So few that the worker starts and its calls get no socket."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))


batch("textfile", outputs=UNWRITABLE)
batch("textfile_not_required", outputs={"textfile": {**UNWRITABLE["textfile"], "required": False}})
batch("report", "--report", "json=missing/report.json")
batch("textfile_and_down", scripts={"sick": DOWN}, outputs=UNWRITABLE)
batch("textfile_and_inconclusive", scripts={"who": refuse(403)}, outputs=UNWRITABLE)
batch("textfile_with_no_outputs", "--no-outputs", outputs=UNWRITABLE)
batch("textfile_with_only", "--only", "ns_a", outputs=UNWRITABLE)
batch(
    "internal_error",
    scripts={f"p{number}": answer(delay_s=0.5) for number in range(30)},
    preexec=few_descriptors,
)
batch("crash", preexec=no_descriptors)
batch(
    "report_and_textfile",
    "--report",
    "json=missing/report.json",
    outputs={"textfile": {"path": "probe.prom"}},
)


def test_an_unwritable_textfile_exits_with_3_and_the_results_are_on_stdout(seen: Together) -> None:
    done = seen["textfile"].done
    assert done.code == 3
    assert done.json["summary"]["up"] == 1
    assert done.event("sink.failed")["sink"] == "textfile"


def test_a_textfile_that_is_not_required_may_fail(seen: Together) -> None:
    done = seen["textfile_not_required"].done
    assert done.code == 0
    assert done.event("sink.failed")["sink"] == "textfile"


def test_an_unwritable_report_exits_with_3_and_the_results_are_on_stdout(seen: Together) -> None:
    done = seen["report"].done
    assert done.code == 3
    assert done.json["summary"]["up"] == 1
    assert "report" in done.event("sink.failed")["sink"]


def test_3_goes_before_1(seen: Together) -> None:
    assert seen["textfile_and_down"].code == 3
    assert seen["textfile_and_down"].outcomes == ["server_error"]


def test_3_goes_before_4(seen: Together) -> None:
    assert seen["textfile_and_inconclusive"].code == 3


def test_nothing_is_written_with_no_outputs_or_only(seen: Together) -> None:
    assert seen["textfile_with_no_outputs"].code == 0
    assert seen["textfile_with_only"].code == 0


def test_a_call_that_this_machine_cannot_make_is_an_internal_error_and_the_batch_goes_on(seen: Together) -> None:
    result = seen["internal_error"]
    assert result.code == 3
    assert len(result.outcomes) == 30
    assert set(result.outcomes) == {"success", "internal_error"}


def test_a_crash_of_the_worker_is_no_finding(seen: Together) -> None:
    done = seen["crash"].done
    assert (done.code, seen["crash"].calls) == (3, 0)
    assert "Too many open files" in done.err


def test_a_batch_whose_report_failed_is_no_successful_run(seen: Together) -> None:
    assert seen["report_and_textfile"].code == 3
    text = (seen["report_and_textfile"].folder / "probe.prom").read_text()
    assert "plugin_probe_last_run_timestamp_seconds" in text
    assert "plugin_probe_last_run_success_timestamp_seconds" not in text


# 4 -------------------------------------------------------------------------------------------------------------------

ONE_A_SECOND = {"rate": "1/s", "concurrency": 2}

batch("inconclusive", scripts={"who": refuse(403), "where": refuse(307)})
batch("deadline", "--deadline", "500ms", scripts={"a": answer(), "b": answer(), "c": answer()}, limits=ONE_A_SECOND)
batch("deadline_and_down", "--deadline", "500ms", scripts={"a": DOWN, "b": DOWN, "c": DOWN}, limits=ONE_A_SECOND)
batch(
    "configured_deadline",
    scripts={"a": answer(), "b": answer(), "c": answer()},
    limits=ONE_A_SECOND,
    schedule={"deadline": "500ms", "timeout": "5s"},
)
batch(
    "unanswered_at_the_end_of_the_grace",
    "--deadline",
    "300ms",
    scripts={"up": answer(), "late": answer(delay_s=60)},
    schedule={"grace": "200ms", "timeout": "90s"},
)


def test_nothing_conclusive_exits_with_4(seen: Together) -> None:
    assert seen["inconclusive"].code == 4
    assert seen["inconclusive"].outcomes == ["forbidden", "redirected"]
    assert seen["inconclusive"].done.json["complete"] is True


@pytest.mark.parametrize("name", ["deadline", "configured_deadline"])
def test_a_deadline_exits_with_4_and_everything_is_reported(seen: Together, name: str) -> None:
    done, calls = seen[name].done, seen[name].calls
    assert (done.code, calls) == (4, 1)
    assert sorted(seen[name].outcomes) == ["skipped", "skipped", "success"]
    assert done.json["complete"] is False
    assert done.took_s < 4


def test_1_goes_before_4(seen: Together) -> None:
    assert seen["deadline_and_down"].code == 1
    assert sorted(seen["deadline_and_down"].outcomes) == ["server_error", "skipped", "skipped"]


def test_a_call_that_outlasts_the_grace_is_cut_off_and_told(seen: Together) -> None:
    result = seen["unanswered_at_the_end_of_the_grace"]
    assert (result.code, result.calls) == (4, 2)
    assert result.outcomes == ["success", "skipped"]
    assert result.done.json["results"][1]["attempts"] == 1
    assert result.done.took_s < 5


# Signals -------------------------------------------------------------------------------------------------------------


async def stopped(folder: Path, number: signal.Signals, reply: Reply, gate: asyncio.Event) -> Seen:
    """A batch of ten, two in flight when the signal comes; those are answered afterwards."""
    async with serving(default=reply) as server:
        targets = [target(f"p{number}") for number in range(10)]
        write_config(folder, server.url, targets, limits={"rate": "1000/s", "concurrency": 2})
        async with started("once", "-c", "worker.yaml", "--format", "json", cwd=folder) as process:
            await server.called(2)
            process.send(number)
            await process.event("worker.stopping")
            gate.set()
            done = await process.finish()
            return Seen(done, len(server.calls), folder)


@case
async def sigterm(folder: Path) -> Seen:
    gate = asyncio.Event()
    return await stopped(folder, signal.SIGTERM, answer(after=gate), gate)


@case
async def sigint(folder: Path) -> Seen:
    gate = asyncio.Event()
    return await stopped(folder, signal.SIGINT, answer(after=gate), gate)


@case
async def sigterm_and_down(folder: Path) -> Seen:
    gate = asyncio.Event()
    sick = Reply(body=DOWN.body, status=500, after=gate)
    return await stopped(folder, signal.SIGTERM, sick, gate)


async def signalled_twice(folder: Path, number: signal.Signals) -> Finished:
    async with serving(default=answer(delay_s=60)) as server:
        write_config(folder, server.url, schedule={"grace": "30s", "timeout": "90s"})
        async with started("once", "-c", "worker.yaml", cwd=folder) as process:
            await server.called(1)
            process.send(number)
            await process.event("worker.stopping")
            process.send(number)
            return await process.finish(5)


@case
async def sigterm_twice(folder: Path) -> Finished:
    return await signalled_twice(folder, signal.SIGTERM)


@case
async def sigint_twice(folder: Path) -> Finished:
    return await signalled_twice(folder, signal.SIGINT)


@pytest.mark.parametrize("name", ["sigterm", "sigint"])
def test_a_signal_lets_what_is_in_flight_finish_and_exits_with_4(seen: Together, name: str) -> None:
    result = seen[name]
    assert (result.code, result.calls) == (4, 2)
    assert sorted(result.outcomes) == ["skipped"] * 8 + ["success"] * 2


def test_a_signal_and_something_found_exit_with_1(seen: Together) -> None:
    result = seen["sigterm_and_down"]
    assert result.code == 1
    assert sorted(result.outcomes) == ["server_error"] * 2 + ["skipped"] * 8


@pytest.mark.parametrize(("name", "code"), [("sigterm_twice", 143), ("sigint_twice", 130)])
def test_a_second_signal_ends_at_once_with_128_and_its_number(seen: Together, name: str, code: int) -> None:
    assert seen[name].code == code
    assert seen[name].took_s < 5


# Streams that are gone -----------------------------------------------------------------------------------------------


def through_shell(name: str, script: str, **scripts: Reply) -> None:
    """A case in which a shell decides what becomes of the streams; `$PROBE` is a batch, `$CHECK` a check."""

    async def shelled(folder: Path) -> Finished:
        async with serving(scripts) as server:
            write_config(folder, server.url, [target(plugin) for plugin in scripts])
            env = environment(PROBE=f"{COMMAND} once -c worker.yaml", CHECK=f"{COMMAND} check -c worker.yaml ns_a")
            return await run(script, cwd=folder, command=["bash", "-c"], env=env)

    CASES[name] = shelled


through_shell("head", "$PROBE | true; exit ${PIPESTATUS[0]}", p=answer())
through_shell("head_json", "$PROBE --format json | true; exit ${PIPESTATUS[0]}", p=answer())
through_shell("stdout_closed", "$PROBE >&-", p=answer())
through_shell("stdout_full", "$PROBE >/dev/full", p=answer())
through_shell("json_full", "$PROBE --format json >/dev/full", p=answer())
through_shell("check_full", "$CHECK p >/dev/full", p=answer())
through_shell("check_head", "$CHECK p | true; exit ${PIPESTATUS[0]}", p=DOWN)
through_shell("stderr_closed", "$PROBE 2>&-", p=answer())
through_shell("stdout_closed_and_nothing_wanted", "$PROBE --format none >&-", p=answer())


@pytest.mark.parametrize("name", ["head", "head_json"])
def test_a_reader_who_has_seen_enough_changes_nothing(seen: Together, name: str) -> None:
    assert seen[name].code == 0
    assert "Traceback" not in seen[name].err
    assert "Exception" not in seen[name].err


def test_a_reader_of_a_check_who_has_seen_enough_does_not_change_its_verdict(seen: Together) -> None:
    assert seen["check_head"].code == 1
    assert "Traceback" not in seen["check_head"].err


@pytest.mark.parametrize("name", ["stdout_closed", "stdout_full", "json_full", "check_full"])
def test_results_that_could_not_be_written_to_stdout_exit_with_3(seen: Together, name: str) -> None:
    assert seen[name].code == 3
    assert "stdout" in seen[name].err
    assert "Traceback" not in seen[name].err
    assert "Exception" not in seen[name].err


def test_no_stdout_is_needed_where_nothing_is_printed(seen: Together) -> None:
    assert seen["stdout_closed_and_nothing_wanted"].code == 0


def test_a_closed_stderr_costs_only_the_log(seen: Together) -> None:
    assert seen["stderr_closed"].code == 0
    assert "1 target: 1 up" in seen["stderr_closed"].out
