"""The command `report`, as it is typed."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from worker.command import fail, read_or_leave
from worker.core.exits import Exit, FailOn, exit_code
from worker.ending import leave, printed
from worker.options import Duration, common, reporting

if TYPE_CHECKING:
    from worker.merging import Merged
    from worker.sinks.report_file import Report


@click.command()
@common
@click.argument("files", nargs=-1, metavar="FILE|FOLDER...", type=click.Path(path_type=Path))
@click.option("--merge", is_flag=True, help="Make one report of the JSON reports of a batch's shards.")
@click.option("--period", type=Duration(), help="How often the batch is run.  [default: schedule.interval]")
@reporting
def report(
    config: Path,
    log_level: str | None,
    log_format: str | None,
    files: tuple[Path, ...],
    merge: bool,
    period: float | None,
    fmt: str,
    reports: tuple[tuple[str, Path], ...],
    fail_on: FailOn,
) -> None:
    """Tell what was found: of a batch that shards shared, as one, with every target that nobody probed.

    Of a folder every *.json is read; a report of an earlier batch is left aside.

    \b
    Exit codes:  0 nothing found that --fail-on names   1 something found
                 2 bad usage, configuration or report   3 a report was not written, or internal_error in one
                 4 incomplete: a shard's report is missing, not every target was probed, or nothing conclusive
    """
    if not merge:
        raise click.UsageError("say what to report: --merge FILE... makes one report of the JSON reports of shards")
    if not files:
        raise click.UsageError("--merge needs the files: `once --report json=shard-I.json`, then --merge shard-*.json")
    settings = read_or_leave(config, calling=False)
    from worker.merging import merge as merged
    from worker.sinks.report_kinds import print_report

    whole = merged(_read(files, period or settings.schedule.interval_s), settings.targets)
    failed = _write(reports, whole)
    taken = fmt == "none" or printed(lambda: print_report(fmt, whole.run, whole.rows, whole.summary))
    for note in whole.notes:  # after the table, which may be long
        click.echo(note, err=True)
    code = exit_code(whole.summary, fail_on, complete=whole.run.complete, outputs_failed=failed)
    leave(code if taken else Exit.WORKER_FAILED)


def _read(files: tuple[Path, ...], period_s: float) -> "list[Report]":
    """Those of the newest batch. Leaves with every problem at once."""
    from worker.merging import conflicts, of_one_batch
    from worker.sinks.report_file import ReportError, read_report, report_files

    found: list[Report] = []
    told: list[str] = []
    problems: list[str] = []
    for file in files:
        try:
            found += map(read_report, report_files(file))
        except ReportError as error:
            problems.append(str(error))
    if found:
        found, told = of_one_batch(found, period_s)
        problems += conflicts(found)
    if problems:
        fail(problems)
    for line in told:
        click.echo(line, err=True)
    return found


def _write(reports: tuple[tuple[str, Path], ...], whole: "Merged") -> bool:
    """Whether one could not be written."""
    from worker.sinks.report_kinds import write_reports

    failures = write_reports(reports, whole.run, whole.rows, whole.summary)
    for kind, path, error in failures:
        click.echo(f"{path}: can't write the {kind} report: {error.strerror or error}", err=True)
    return bool(failures)
