"""Reports of a batch's shards become one report of the whole: every target once, and those that nobody probed named."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from worker.core.judge import Judgement
from worker.core.outcome import Outcome
from worker.core.shard import Shard
from worker.core.summary import Summary
from worker.core.target import Target, TargetKey
from worker.sinks.report_file import Report
from worker.sinks.reports import RunInfo
from worker.sinks.rows import Row, instant
from worker.sinks.text import tame, unchanged

#: So many names are told, of shards, files or targets.
MOST_NAMES = 10
#: Of a period; in so much of it all shards of a batch begin.
_ONE_BATCH = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """`rows` in the order of the targets files, those of targets that are not listed any more last. `notes` tell line
    by line what is missing.
    """

    run: RunInfo
    rows: Sequence[Row]
    summary: Summary
    notes: Sequence[str]


def merge(reports: Sequence[Report], targets: Iterable[Target]) -> Merged:
    """One report at least, of one batch: `conflicts` has none."""
    reports = sorted(reports, key=_index)
    gaps = _Gaps(reports)
    found = {row.key: row for report in reports for row in report.rows}
    rows = [found.pop(target.key) if target.key in found else gaps.unprobed(target) for target in targets]
    rows += found.values()
    summary = Summary()
    for row in rows:
        summary.take(row.outcome, row.latency_s)
    run = RunInfo(
        # each worker's log has its own id: with all of them together every line of the batch is found
        run_id=", ".join(report.run.run_id for report in reports),
        started_at=min(report.run.started_at for report in reports),
        finished_at=max(report.run.finished_at for report in reports),
        complete=gaps.complete,
    )
    return Merged(run=run, rows=rows, summary=summary, notes=[*gaps.notes(), *_not_probed(rows)])


class _Gaps:
    """What the reports do not tell: whole shards, and targets of those that are there."""

    def __init__(self, reports: Sequence[Report]) -> None:
        self._reports = {_index(report): report for report in reports}
        self._shard = reports[0].run.shard or Shard(index=0, count=1)
        self._missing = [index for index in range(self._shard.count) if index not in self._reports]
        self._unprobed: Counter[int] = Counter()

    @property
    def _doubt(self) -> str:
        sharded = self._shard.count > 1  # those take no --only
        return "was its configuration another?" if sharded else "was its configuration another, or --only given?"

    @property
    def complete(self) -> bool:
        ended = all(report.run.complete for report in self._reports.values())
        return ended and not self._missing and not self._unprobed

    def unprobed(self, target: Target) -> Row:
        """A row for a target that no report holds."""
        index = self._shard.holder(target.key)
        self._unprobed[index] += 1
        report = self._reports.get(index)
        if report is None:
            told = f"no report of shard {index} of {self._shard.count} was given"
        else:
            told = f"{report.name} does not hold it: {self._doubt}"
        return Row(target.key, target.labels, Judgement(outcome=Outcome.SKIPPED, error=told), unchanged, 0)

    def notes(self) -> Iterator[str]:
        """Why the report is not complete, a line each."""
        if self._missing:
            shards = "shard" if len(self._missing) == 1 else "shards"
            lost = sum(self._unprobed[index] for index in self._missing)
            numbers = some(map(str, self._missing))
            yield f"no report of {shards} {numbers} of {self._shard.count}: {_targets(lost)} not probed"
        lacking = [(report, self._unprobed[index]) for index, report in self._reports.items() if self._unprobed[index]]
        if lacking:
            names = some(f"{report.name} ({_targets(lost)})" for report, lost in lacking)
            yield f"lacking targets of the configuration: {names}: {self._doubt}"
        ended = [report for report in self._reports.values() if not report.run.complete]
        if ended:
            names = some(f"{report.name} ({_targets(len(_skipped(report.rows)))} skipped)" for report in ended)
            yield f"ended before every target was probed: {names}"


def _not_probed(rows: Sequence[Row]) -> Iterator[str]:
    """Whether nobody reported them or the report says so itself."""
    skipped = _skipped(rows)
    if skipped:
        yield f"not probed: {len(skipped)} of {_targets(len(rows))}: {some(str(row.key) for row in skipped)}"


def _skipped(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.outcome is Outcome.SKIPPED]


# What does not go together --------------------------------------------------------------------------------------------


def conflicts(reports: Sequence[Report]) -> list[str]:
    """Why these are not the reports of one batch: a line for each file that is one too many."""
    alone = len({(report.run.run_id, report.run.shard) for report in reports}) == 1
    counts = Counter(report.run.shard.count for report in reports if report.run.shard)
    usual = [count for count, _ in counts.most_common(1)]
    fellow = next((one for one in reports if one.run.shard and one.run.shard.count in usual), None)
    kept: list[Report] = []
    problems = []
    for report in reports:
        misfit = _misfit(report, kept, fellow, alone=alone)
        if misfit:
            problems.append(f"{report.name}: {misfit}")
        else:
            kept.append(report)
    return [*problems, *_held_twice(kept)]


def _misfit(report: Report, kept: Sequence[Report], fellow: Report | None, *, alone: bool) -> str | None:
    """`kept` are those before it that fit; `fellow` is one of those that most are like."""
    shard = report.run.shard
    same = next((one for one in kept if one.run.shard == shard), None)
    if same and same.run.run_id == report.run.run_id:
        return "given twice; give it once" if same.name == report.name else f"is {same.name} again; give one of them"
    if shard is None:
        told = "is of a whole batch, not of a shard (`shard` is null); leave it out, or give it alone"
        return None if alone else told
    of = f"is of shard {shard.index} of {shard.count}"
    if fellow and fellow.run.shard and fellow.run.shard.count != shard.count:
        return f"{of}, but {fellow.name} of one of {fellow.run.shard.count}; give the reports of one batch"
    return f"{of}, as {same.name} is; give one of them" if same else None


def _held_twice(reports: Sequence[Report]) -> Iterator[str]:
    holders: dict[TargetKey, Report] = {}
    for report in reports:
        twice: dict[str, list[TargetKey]] = {}
        for row in report.rows:
            holder = holders.setdefault(row.key, report)
            if holder is not report:
                twice.setdefault(holder.name, []).append(row.key)
        for name, keys in twice.items():
            held = f"holds {_targets(len(keys))} that {name} holds too ({some(map(str, keys))})"
            yield f"{report.name}: {held}; give the reports of one batch"


def of_one_batch(reports: Sequence[Report], period_s: float) -> tuple[list[Report], list[str]]:
    """Those of the newest batch, and a line for each that is of an earlier one: a shard that was killed leaves the
    report of its last run behind, and with that nothing would seem to be missing.

    Batches begin `period_s` apart, save for what their pods take to start; the pods of one begin within less, since it
    ends before the next one begins.
    """
    newest = max(reports, key=lambda report: report.run.started_at)
    since = newest.run.started_at - _ONE_BATCH * period_s
    stale = [report for report in reports if report.run.started_at <= since]
    told = [
        f"left aside: {report.name} is of an earlier batch: it began at {instant(report.run.started_at)},"
        f" {newest.name} at {instant(newest.run.started_at)}, and --period is {period_s:g} s"
        for report in stale
    ]
    return [report for report in reports if report not in stale], told


def some(names: Iterable[str]) -> str:
    """The first of them, and how many more there are."""
    told = [*map(tame, names)]
    more = f" … and {len(told) - MOST_NAMES} more" if len(told) > MOST_NAMES else ""
    return ", ".join(told[:MOST_NAMES]) + more


def _targets(count: int) -> str:
    return f"{count} target{'' if count == 1 else 's'}"


def _index(report: Report) -> int:
    return report.run.shard.index if report.run.shard else 0
