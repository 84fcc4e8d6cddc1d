"""One batch, from the first call to the exit code: `once`, and the main job of `demo`."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from worker.app import Launch, Worker, assemble, stop_signals
from worker.core.exits import Exit, FailOn, exit_code, proved
from worker.core.outcome import Outcome
from worker.core.shard import Shard
from worker.core.summary import Summary
from worker.core.target import Target, TargetKey
from worker.core.track import Recorded
from worker.settings import Settings
from worker.sinks.report_kinds import write_reports
from worker.sinks.reports import RunInfo
from worker.sinks.rows import Row, row
from worker.sinks.table import Progress, progress
from worker.sinks.text import Redact, unchanged


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What `once` was asked for. `reports` are (kind, path); `warnings` say where the
    plan can't fit, for the log; `bar` shows progress where stderr is a terminal."""

    targets: Sequence[Target]
    period_s: float
    deadline_s: float | None = None
    fail_on: FailOn = field(default_factory=lambda: FailOn.parse("down"))
    reports: Sequence[tuple[str, Path]] = ()
    write_outputs: bool = True
    warnings: Sequence[str] = ()
    shard: Shard | None = None
    bar: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a batch came to; `rows` in the order of the targets files."""

    run: RunInfo
    rows: Sequence[Row]
    summary: Summary
    code: Exit


class Results:
    """A sink that keeps a row of every result and the totals."""

    def __init__(self, progress: Progress | None = None) -> None:
        self.summary = Summary()
        self.redact: Redact = unchanged
        self._rows: dict[TargetKey, Row] = {}
        self._progress = progress
        self.skipped = 0

    def record(self, recorded: Recorded) -> None:
        self.summary.add(recorded.result)
        self.skipped += recorded.result.skipped is not None
        self._rows[recorded.result.target.key] = row(recorded, self.redact)
        if self._progress:
            self._progress.advance()

    def forget(self, key: TargetKey) -> None:
        """A batch's list does not change."""

    def in_order(self, targets: Iterable[Target]) -> list[Row]:
        return [self._rows[target.key] for target in targets if target.key in self._rows]


def chosen(targets: Sequence[Target], only: Sequence[str]) -> list[Target]:
    """The targets that any of the globs NS[/PLUGIN] names; all of them when there is no glob."""
    if not only:
        return list(targets)
    patterns = [(namespace, plugin or "*") for namespace, _, plugin in (glob.partition("/") for glob in only)]
    return [target for target in targets if any(_matches(target.key, *pattern) for pattern in patterns)]


def _matches(key: TargetKey, namespace: str, plugin: str) -> bool:
    return fnmatchcase(key.namespace, namespace) and fnmatchcase(key.plugin, plugin)


async def run_batch(settings: Settings, launch: Launch, order: Order) -> Done:
    """Probes every target of the order once, writes what is to be written, and says how it went."""
    targets = [replace(target, interval_s=order.period_s) for target in order.targets]
    with progress(len(targets)) if order.bar else nullcontext() as bar:
        results = Results(bar)
        reported = {"report": results}
        async with assemble(settings, launch, targets=targets, extra=reported, shard=order.shard) as worker:
            results.redact = worker.connection.redact
            return await _run(worker, order, targets, results)


async def _run(worker: Worker, order: Order, targets: Sequence[Target], results: Results) -> Done:
    started_at, began = worker.clock.wall(), worker.clock.now()
    worker.log.event(
        "run.started",
        targets=len(targets),
        deadline_s=order.deadline_s,
        warnings=order.warnings or None,
        **worker.share,
    )
    with stop_signals(worker):  # to the end: a signal that comes late must not cost what was found
        if order.write_outputs:
            worker.outputs.check()
            worker.resume(await worker.outputs.recall_all())
        await worker.engine.run_batch(targets, period_s=order.period_s, deadline_s=order.deadline_s)
        finished_at = started_at + worker.clock.now() - began
        complete = results.skipped == 0
        run = RunInfo(
            run_id=worker.launch.run_id,
            started_at=started_at,
            finished_at=finished_at,
            complete=complete,
            shard=worker.shard,
        )
        rows = results.in_order(targets)
        worker.outputs.failed = not _write_reports(worker, order, run, rows, results.summary)
        if order.write_outputs:
            note = _notes(worker, order, run, results.summary)
            await worker.outputs.deliver(note, worker.resume)
    failed = worker.outputs.failed
    code = exit_code(results.summary, order.fail_on, complete=complete, outputs_failed=failed)
    worker.log.event(
        "run.finished",
        duration_s=round(run.duration_s, 3),
        complete=complete,
        exit_code=int(code),
        outcomes=results.summary.words(),
    )
    return Done(run=run, rows=rows, summary=results.summary, code=code)


def _notes(worker: Worker, order: Order, run: RunInfo, summary: Summary) -> Callable[[], None]:
    """What tells in the metrics how the run went; the last success is an earlier one's as soon as something failed."""
    own = worker.metrics.own
    earlier: float | None = None
    went_well = proved(summary, complete=run.complete) and not summary.by_outcome[Outcome.INTERNAL_ERROR]

    def note() -> None:
        nonlocal earlier
        if own.last_run_success.value != run.finished_at:  # it may be remembered between two notes
            earlier = own.last_run_success.value
        own.run_interval.set(order.period_s)
        own.last_run.set(run.finished_at)
        own.last_run_duration.set(run.duration_s)
        own.last_run_success.set(run.finished_at if went_well and not worker.outputs.failed else earlier)

    return note


def _write_reports(worker: Worker, order: Order, run: RunInfo, rows: Sequence[Row], summary: Summary) -> bool:
    """False when one could not be written: it was asked for, so that the worker has failed."""
    failures = write_reports(order.reports, run, rows, summary)
    for kind, _, error in failures:
        worker.metrics.own.sink_failures.labels("report").inc()
        worker.log.event("sink.failed", level="error", sink=f"{kind} report", error=str(error))
    return not failures
