"""A report of each kind, to its file or to stdout."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from worker.core.summary import Summary
from worker.sinks import textfile
from worker.sinks.reports import RunInfo, json_chunks
from worker.sinks.rows import Row


def write_reports(
    wanted: Iterable[tuple[str, Path]], run: RunInfo, rows: Sequence[Row], summary: Summary
) -> list[tuple[str, Path, OSError]]:
    """Writes those that are wanted, (kind, path) each; returns those that could not be written, and why."""
    failed = []
    for kind, path in wanted:
        try:
            textfile.write(path, _report(kind, run, rows, summary))
        except OSError as error:
            failed.append((kind, path, error))
    return failed


def _report(kind: str, run: RunInfo, rows: Sequence[Row], summary: Summary) -> Iterator[bytes]:
    """Imported when asked for: most batches have no report, and every import is on each one's bill."""
    if kind == "junit":
        from worker.sinks.junit import junit

        return junit(run, rows)
    if kind == "markdown":
        from worker.sinks.markdown import markdown

        return markdown(run, rows, summary)
    return json_chunks(run, rows, summary)


def print_report(fmt: str, run: RunInfo, rows: Sequence[Row], summary: Summary) -> None:
    """The report on stdout, as a `table` or as `json`."""
    if fmt == "table":
        from worker.sinks.table import print_table

        print_table(rows, summary, elapsed_s=run.duration_s)
        return
    sys.stdout.flush()
    sys.stdout.buffer.writelines(json_chunks(run, rows, summary))
    sys.stdout.buffer.flush()
