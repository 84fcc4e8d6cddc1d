"""Shards' reports become one: what one worker would have reported, and whatever is missing by its name."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sinks.given import INTERNAL_ERROR, T0, exchange, exchanges, last, probed, refused, target
from worker.core.outcome import Outcome
from worker.core.result import SkipReason
from worker.core.shard import Shard
from worker.core.summary import summarise
from worker.core.target import Target, TargetKey
from worker.core.track import Recorded
from worker.merging import Merged, conflicts, merge, of_one_batch, some
from worker.sinks.report_file import Report, parse_report
from worker.sinks.reports import RunInfo, json_chunks
from worker.sinks.rows import Row, row

FLEET = [target("ns_a", f"p_{number}", labels={"team": f"t{number % 2}"}) for number in range(12)]


def document(run: RunInfo, recorded: Sequence[Recorded]) -> bytes:
    """The report that a worker writes of these."""
    return b"".join(json_chunks(run, [row(one) for one in recorded], summarise(one.result for one in recorded)))


def report(
    recorded: Sequence[Recorded], shard: Shard | None = None, *, name: str | None = None, **changes: Any
) -> Report:
    """What is read of a worker's report; `shard` takes its part of the results."""
    index = shard.index if shard else "all"
    ours = [one for one in recorded if shard is None or shard.holds(one.result.target.key)]
    usual: dict[str, Any] = {"run_id": f"run-{index}", "started_at": T0, "finished_at": T0 + 2, "complete": True}
    return parse_report(name or f"shard-{index}.json", document(RunInfo(**(usual | changes), shard=shard), ours))


def shards(recorded: Sequence[Recorded], count: int, **changes: Any) -> list[Report]:
    return [report(recorded, Shard(index=index, count=count), **changes) for index in range(count)]


def healthy(targets: Sequence[Target] = FLEET) -> list[Recorded]:
    return [last(probed(one, exchange())) for one in targets]


def keys(rows: Sequence[Row]) -> list[TargetKey]:
    return [one.key for one in rows]


def of_shard(index: int, count: int) -> list[TargetKey]:
    return [one.key for one in FLEET if Shard(index=index, count=count).holds(one.key)]


def shown(merged: Merged) -> Any:
    return json.loads(b"".join(json_chunks(merged.run, merged.rows, merged.summary)))


# The whole -----------------------------------------------------------------------------------------------------------


@given(
    calls=st.lists(exchanges | st.sampled_from([SkipReason.DEADLINE, INTERNAL_ERROR]), max_size=12),
    count=st.integers(1, 5),
    data=st.data(),
)
def test_merged_shards_are_what_one_worker_would_have_reported(
    calls: list[Any], count: int, data: st.DataObject
) -> None:
    targets = FLEET[: len(calls)]
    recorded = [last(probed(one, call)) for one, call in zip(targets, calls, strict=True)]
    given = data.draw(st.permutations(shards(recorded, count)))
    alone = RunInfo(run_id="one", started_at=T0, finished_at=T0 + 2, complete=True)
    run_id = ", ".join(f"run-{index}" for index in range(count))
    assert shown(merge(given, targets)) == json.loads(document(alone, recorded)) | {"run_id": run_id}


def test_a_report_of_a_whole_batch_stays_what_it_is() -> None:
    recorded = healthy()
    found = merge([report(recorded)], FLEET)
    assert shown(found) == json.loads(document(found.run, recorded))
    assert (found.run.run_id, found.run.complete, found.notes) == ("run-all", True, [])


def test_it_lasts_from_the_first_start_to_the_last_end() -> None:
    first, second = shards(healthy(), 2)
    found = merge([replace(first, run=replace(first.run, started_at=T0 - 5, finished_at=T0 + 1)), second], FLEET)
    assert (found.run.started_at, found.run.finished_at, found.run.shard) == (T0 - 5, T0 + 2, None)


def test_targets_that_are_not_listed_any_more_come_last() -> None:
    given = shards(healthy(), 3)
    listed = FLEET[5:][::-1]
    found = merge(given, listed)
    assert keys(found.rows[: len(listed)]) == [one.key for one in listed]
    assert sorted(keys(found.rows[len(listed) :])) == sorted(one.key for one in FLEET[:5])
    assert (found.run.complete, found.summary.targets) == (True, len(FLEET))


# What is missing -----------------------------------------------------------------------------------------------------


def test_every_target_of_a_missing_shard_is_a_row_that_says_so() -> None:
    lost = of_shard(1, 3)
    given = shards(healthy(), 3)
    found = merge([given[2], given[0]], FLEET)
    assert keys(found.rows) == [one.key for one in FLEET]
    unprobed = [one for one in found.rows if one.key in lost]
    assert unprobed
    assert {(one.outcome, one.attempts, one.error) for one in unprobed} == {
        (Outcome.SKIPPED, 0, "no report of shard 1 of 3 was given")
    }
    assert [one.labels for one in unprobed] == [one.labels for one in FLEET if one.key in lost]
    assert not found.run.complete
    assert found.notes == [
        f"no report of shard 1 of 3: {len(lost)} targets not probed",
        f"not probed: {len(lost)} of 12 targets: {', '.join(map(str, lost))}",
    ]


def test_a_missing_shard_without_a_target_is_missing_all_the_same() -> None:
    given = [one for one in shards([], 2) if one.run.shard == Shard(index=0, count=2)]
    found = merge(given, [])
    assert (found.run.complete, found.notes) == (False, ["no report of shard 1 of 2: 0 targets not probed"])


def test_a_target_that_its_shard_does_not_report_is_named_with_the_file() -> None:
    lacking = FLEET[3].key
    given = shards(healthy([one for one in FLEET if one.key != lacking]), 2)
    found = merge(given, FLEET)
    name = next(one.name for one in given if one.run.shard and one.run.shard.holds(lacking))
    (unprobed,) = [one for one in found.rows if one.outcome is Outcome.SKIPPED]
    assert (unprobed.key, unprobed.error) == (lacking, f"{name} does not hold it: was its configuration another?")
    assert not found.run.complete
    assert found.notes == [
        f"lacking targets of the configuration: {name} (1 target): was its configuration another?",
        f"not probed: 1 of 12 targets: {lacking}",
    ]


def test_a_whole_batch_may_have_been_narrowed() -> None:
    found = merge([report(healthy(FLEET[1:]))], FLEET)
    told = "was its configuration another, or --only given?"
    assert found.rows[0].error == f"shard-all.json does not hold it: {told}"
    assert found.notes[0] == f"lacking targets of the configuration: shard-all.json (1 target): {told}"


def test_a_shard_that_ended_early_makes_the_whole_incomplete() -> None:
    late = FLEET[0].key
    recorded = [last(probed(FLEET[0], SkipReason.DEADLINE)), *healthy(FLEET[1:])]
    given = [
        replace(one, run=replace(one.run, complete=not (one.run.shard and one.run.shard.holds(late))))
        for one in shards(recorded, 2)
    ]
    found = merge(given, FLEET)
    name = next(one.name for one in given if not one.run.complete)
    assert not found.run.complete
    assert found.rows[0].error == "the batch's deadline came first"
    assert found.notes == [
        f"ended before every target was probed: {name} (1 target skipped)",
        f"not probed: 1 of 12 targets: {late}",
    ]


def test_of_many_missing_shards_and_targets_ten_are_named() -> None:
    fleet = [target("ns_a", f"p_{number}") for number in range(100)]
    found = merge(shards(healthy(fleet), 20)[:4], fleet)
    lost = [one.key for one in found.rows if one.outcome is Outcome.SKIPPED]
    assert found.notes[0] == (
        f"no report of shards 4, 5, 6, 7, 8, 9, 10, 11, 12, 13 … and 6 more of 20: {len(lost)} targets not probed"
    )
    assert found.notes[1].endswith(f"{', '.join(map(str, lost[:10]))} … and {len(lost) - 10} more")


def test_names_cannot_reach_a_terminal_with_more_than_text() -> None:
    assert some(["a\x1b[2J", "b"]) == "a\\x1b[2J, b"


# What does not go together -------------------------------------------------------------------------------------------

FIRST, SECOND, THIRD = shards(healthy(), 3)
WHOLE = report(healthy(), name="whole.json")
OTHER_COUNT = report(healthy(), Shard(index=1, count=4), name="other.json")


def named(of: Report, name: str, **changes: Any) -> Report:
    return replace(of, name=name, run=replace(of.run, **changes))


@pytest.mark.parametrize(
    ("given", "problems"),
    [
        pytest.param([FIRST, SECOND, THIRD], [], id="one of each shard"),
        pytest.param([THIRD], [], id="one shard alone"),
        pytest.param([WHOLE], [], id="a whole batch alone"),
        pytest.param([FIRST, SECOND, FIRST], ["shard-0.json: given twice; give it once"], id="a file twice"),
        pytest.param(
            [FIRST, named(FIRST, "copy.json")], ["copy.json: is shard-0.json again; give one of them"], id="a copy"
        ),
        pytest.param([WHOLE, WHOLE], ["whole.json: given twice; give it once"], id="a whole batch twice"),
        pytest.param(
            [FIRST, named(FIRST, "older.json", run_id="run-old")],
            ["older.json: is of shard 0 of 3, as shard-0.json is; give one of them"],
            id="a shard twice",
        ),
        pytest.param(
            [WHOLE, FIRST, SECOND],
            ["whole.json: is of a whole batch, not of a shard (`shard` is null); leave it out, or give it alone"],
            id="a whole batch among shards",
        ),
        pytest.param(
            [OTHER_COUNT, FIRST, THIRD],
            ["other.json: is of shard 1 of 4, but shard-0.json of one of 3; give the reports of one batch"],
            id="another count",
        ),
        pytest.param(
            [FIRST, named(SECOND, "odd.json", shard=FIRST.run.shard), FIRST, WHOLE],
            [
                "odd.json: is of shard 0 of 3, as shard-0.json is; give one of them",
                "shard-0.json: given twice; give it once",
                "whole.json: is of a whole batch, not of a shard (`shard` is null); leave it out, or give it alone",
            ],
            id="all at once",
        ),
    ],
)
def test_reports_that_do_not_go_together_are_told_each_with_what_to_do(
    given: list[Report], problems: list[str]
) -> None:
    assert conflicts(given) == problems


def test_targets_in_two_reports_are_named() -> None:
    both = replace(SECOND, rows=[*FIRST.rows[:2], *SECOND.rows, THIRD.rows[0]])
    a, b, c = FIRST.rows[0].key, FIRST.rows[1].key, THIRD.rows[0].key
    assert conflicts([FIRST, both, THIRD]) == [
        f"shard-1.json: holds 2 targets that shard-0.json holds too ({a}, {b}); give the reports of one batch",
        f"shard-2.json: holds 1 target that shard-1.json holds too ({c}); give the reports of one batch",
    ]


@pytest.mark.parametrize(("before_s", "stale"), [(53.0, False), (54.0, True), (6000.0, True)])
def test_a_report_that_began_about_a_period_before_the_newest_is_of_an_earlier_batch(
    before_s: float, stale: bool
) -> None:
    old = named(SECOND, "old.json", started_at=T0 - before_s, finished_at=T0)
    kept, told = of_one_batch([FIRST, old, THIRD], period_s=60.0)
    assert kept == ([FIRST, THIRD] if stale else [FIRST, old, THIRD])
    assert [line.split(": it")[0] for line in told] == ["left aside: old.json is of an earlier batch"] * stale


def test_a_report_that_is_left_aside_says_why() -> None:
    old = named(SECOND, "old.json", started_at=T0 - 60, finished_at=T0 - 59)
    assert of_one_batch([FIRST, old], period_s=60.0)[1] == [
        "left aside: old.json is of an earlier batch: it began at 2026-09-21T14:12:20.250Z, shard-0.json at"
        " 2026-09-21T14:13:20.250Z, and --period is 60 s"
    ]


def test_a_refusal_that_was_slow_is_not_measured() -> None:
    recorded = [last(probed(FLEET[0], refused(500))), *healthy(FLEET[1:2])]
    assert merge([report(recorded)], FLEET[:2]).summary.latencies_s == [pytest.approx(0.042)]
