"""Results of a batch for people: a table on stdout, a progress bar on stderr. rich is imported when it is needed."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, Protocol, TextIO

from worker.core.outcome import Outcome, Verdict
from worker.core.summary import Summary
from worker.sinks.rows import Row, shape_lines
from worker.sinks.text import seconds, tame

if TYPE_CHECKING:
    from rich.text import Text

COLUMNS = ("NAMESPACE", "PLUGIN", "VERDICT", "OUTCOME", "LATENCY", "STATUS", "SHAPE")
#: Columns that give way on a narrow terminal, and how far.
_FLEXIBLE = (0, 1, 6)
_NARROWEST = 9
_GAP = "  "

_STYLES = {Verdict.UP: "green", Verdict.DOWN: "red", Verdict.UNKNOWN: "yellow"}


def print_table(
    rows: Sequence[Row],
    summary: Summary,
    *,
    elapsed_s: float,
    stream: TextIO | None = None,
    width: int | None = None,
    color: bool | None = None,
) -> None:
    """The table and a line of totals.

    On a terminal it is cut to the terminal's width, and coloured unless NO_COLOR is set; elsewhere nothing is cut.
    `width` and `color` overrule that.
    """
    out = stream or sys.stdout
    terminal = out.isatty()
    if not terminal and width is None and not color:
        lines = _lines(rows, width=None)
        out.writelines(_encodable("".join(cells).rstrip() + "\n", out) for cells, _ in lines)
        out.write(_encodable(totals(summary, elapsed_s) + "\n", out))
        out.flush()
        return
    _print_rich(rows, totals(summary, elapsed_s), out, width, terminal if color is None else color)


def _print_rich(rows: Sequence[Row], last: str, out: TextIO, width: int | None, color: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    plain = not color or bool(os.environ.get("NO_COLOR"))
    system: Literal["auto"] | None = None if plain else "auto"
    console = Console(file=out, width=width, color_system=system, force_terminal=color or None, highlight=False)

    def show(text: Text) -> None:
        console.print(text, no_wrap=True, overflow="ellipsis", crop=True)

    for cells, style in _lines(rows, width=console.width):
        show(_styled(cells, style))
    console.print(Text(_encodable(last, out)), soft_wrap=True)


def _styled(cells: Sequence[str], style: str) -> "Text":
    from rich.text import Text

    if len(cells) == 1:
        return Text(cells[0], style=style)
    text = Text()
    for index, cell in enumerate(cells):
        text.append(cell, style=style if index in (2, 3) or style == "bold" else "")
    text.rstrip()
    return text


def totals(summary: Summary, elapsed_s: float) -> str:
    """`7 targets: 2 up, 4 down, 1 unknown in 1.2 s · p50 12 ms · p99 40.1 ms`"""
    counts = ", ".join(f"{summary.count(verdict)} {verdict.value}" for verdict in Verdict)
    plural = "" if summary.targets == 1 else "s"
    latency = summary.latency()
    measured = [f"{name} {seconds(latency[name])}" for name in ("p50", "p99") if latency[name] is not None]
    return " · ".join([f"{summary.targets} target{plural}: {counts} in {elapsed_s:.1f} s", *measured])


def _lines(rows: Sequence[Row], *, width: int | None) -> Iterator[tuple[Sequence[str], str]]:
    """(padded cells, style) of the head and of each row, and (one cell, style) where a row needs explaining."""
    cells = [_cells(row) for row in rows]
    widths = _widths([COLUMNS, *cells], width)
    yield _padded(COLUMNS, widths), "bold"
    for row, texts in zip(rows, cells, strict=True):
        yield _padded(texts, widths), _STYLES[row.outcome.verdict]
        why = explanation(row)
        for line in [*([why] if why else ()), *shape_lines(row)]:
            yield (f"{_GAP}└ {line}",), "dim"


def _cells(row: Row) -> tuple[str, ...]:
    outcome = row.outcome
    status = "–" if row.http_status is None else str(row.http_status)
    names = (tame(row.key.namespace), tame(row.key.plugin))
    return (*names, outcome.verdict.value, outcome.value, seconds(row.duration_s), status, row.shape or "–")


def explanation(row: Row) -> str | None:
    """What was expected beside what was found, then the error where it says more; None for a success."""
    if row.outcome is Outcome.SUCCESS:
        return None
    compared = f"expected {row.expected}, found {row.found}" if row.expected and row.found else row.found
    parts = [compared, row.error if row.error and row.error not in (compared or "") else None]
    return " · ".join(part for part in parts if part) or None


def _widths(table: Sequence[Sequence[str]], width: int | None) -> list[int]:
    """What each column needs; where that is too much, the widest flexible one gives way, again and again."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, column)) for column in zip(*table, strict=True)]
    if width is None:
        return widths
    over = sum(widths) + len(_GAP) * (len(widths) - 1) - width
    while over > 0:
        widest = max(_FLEXIBLE, key=lambda index: widths[index])
        if widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
        over -= 1
    return widths


def _padded(texts: Sequence[str], widths: Sequence[int]) -> list[str]:
    *cells, last = (_fit(text, width) for text, width in zip(texts, widths, strict=True))
    return [cell + _GAP for cell in cells] + [last]


def _fit(text: str, width: int) -> str:
    """Exactly `width` columns. What is too long loses its middle: versions stand at the end of a plugin's id."""
    from rich.cells import cell_len, set_cell_size

    if cell_len(text) <= width:
        return text + " " * (width - cell_len(text))
    tail = text[-(width // 2) :]
    return set_cell_size(text, width - 1 - cell_len(tail)) + "…" + tail


def _encodable(text: str, out: TextIO) -> str:
    """Question marks for what a terminal of another age can't show, rather than no table."""
    encoding = out.encoding or "utf-8"
    return text.encode(encoding, "replace").decode(encoding)


class Progress(Protocol):
    """Counts what is done."""

    def advance(self, count: int = 1) -> None: ...


class _Silent:
    def advance(self, count: int = 1) -> None:
        """Nobody is watching."""


class _Bar:
    """Passes on to rich at most ten times a second: an update costs more than counting."""

    def __init__(self, update: Callable[[int], object], clock: Callable[[], float]) -> None:
        self._update, self._clock = update, clock
        self._done, self._shown_at = 0, 0.0

    def advance(self, count: int = 1) -> None:
        self._done += count
        now = self._clock()
        if now - self._shown_at >= 0.1:
            self._shown_at = now
            self.show()

    def show(self) -> None:
        self._update(self._done)


@contextmanager
def progress(
    total: int, *, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Progress]:
    """A bar on stderr while the block runs, gone afterwards; nothing where stderr is no terminal."""
    out = stream or sys.stderr
    if not out.isatty():
        yield _Silent()
        return
    from rich import progress as bars
    from rich.console import Console

    columns = (bars.TextColumn("probing"), bars.BarColumn(), bars.MofNCompleteColumn(), bars.TimeElapsedColumn())
    with bars.Progress(*columns, console=Console(file=out), transient=True) as shown:
        task = shown.add_task("", total=total)
        bar = _Bar(lambda done: shown.update(task, completed=done), clock)
        yield bar
        bar.show()
