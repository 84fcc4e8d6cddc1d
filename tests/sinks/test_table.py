"""The table and the progress bar: piped, at 80 columns, in colour and without."""

import io
import subprocess
import sys

import pytest

from tests.sinks.given import INTERNAL_ERROR, VECTOR, exchange, last, probed, refused, reply, target, timed_out
from worker.core.result import SkipReason
from worker.core.summary import summarise
from worker.core.track import Recorded
from worker.sinks.rows import row
from worker.sinks.table import explanation, print_table, progress

LONG = "a_plugin_of_a_very_long_name_that_no_terminal_can_hold_3_1_4"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def batch() -> list[Recorded]:
    return [
        last(probed(target(expect=VECTOR), exchange())),
        last(probed(target("ns_b", LONG, expect=VECTOR), exchange(reply({"embedding": [1.0]})))),
        last(probed(target("ns_b", "日本語"), refused(500, "it [red]broke[/red]\x1b[2J"))),
        last(probed(target("ns_b", "late"), SkipReason.DEADLINE)),
    ]


def printed(stream: io.StringIO, *, width: int | None = None, color: bool | None = None) -> list[str]:
    told = batch()
    summary = summarise(one.result for one in told)
    print_table([row(one) for one in told], summary, elapsed_s=1.23, stream=stream, width=width, color=color)
    return stream.getvalue().splitlines()


def test_piped_it_is_plain_and_whole() -> None:
    lines = printed(io.StringIO())
    assert lines[0].split() == ["NAMESPACE", "PLUGIN", "VERDICT", "OUTCOME", "LATENCY", "STATUS", "SHAPE"]
    first = ["ns_a", "embed_1_0_0", "up", "success", "42", "ms", "200", "{embedding:", "number[2]}"]
    assert lines[1].split() == first
    assert LONG in lines[2]
    assert lines[3] == "  └ expected number[2] at embedding, found number[1]"
    assert lines[5] == r"  └ expected HTTP 2xx, found HTTP 500 · it [red]broke[/red]\x1b[2J"
    assert lines[-1] == "4 targets: 1 up, 2 down, 1 unknown in 1.2 s · p50 42 ms · p99 42 ms"
    assert not any(line != line.rstrip() for line in lines)


def test_a_terminal_of_80_columns_is_kept_to_and_versions_stay_in_sight() -> None:
    lines = printed(Terminal(), width=80, color=False)
    assert max(map(len, lines)) <= 80
    assert len(lines) == 9
    assert "…" in lines[2]
    assert "3_1_4" in lines[2]
    assert "shape_mismatch" in lines[2]
    assert "\x1b" not in "".join(lines)


def test_a_very_narrow_terminal_still_gets_one_line_a_row() -> None:
    assert len(printed(Terminal(), width=30, color=False)) >= 9


def test_a_terminal_gets_colours_unless_no_color_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    colored = "\n".join(printed(Terminal(), width=100))
    assert "\x1b[31mdown" in colored
    assert "\x1b[2J" not in colored
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in "\n".join(printed(Terminal(), width=100))


def test_a_stream_of_another_encoding_gets_question_marks() -> None:
    raw = io.BytesIO()
    told = batch()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    print_table([row(one) for one in told], summarise(one.result for one in told), elapsed_s=1.0, stream=stream)
    assert b"ns_b       ???" in raw.getvalue()


def test_no_target_and_one_target_read_well() -> None:
    for told, line in (([], "0 targets: 0 up, 0 down, 0 unknown in 0.0 s"), (batch()[3:], "1 target: 0 up, 0 down,")):
        stream = io.StringIO()
        print_table([row(one) for one in told], summarise(one.result for one in told), elapsed_s=0.0, stream=stream)
        assert stream.getvalue().splitlines()[-1].startswith(line)


@pytest.mark.parametrize(
    ("recorded", "why"),
    [
        pytest.param(last(probed(target(), exchange())), None, id="a success needs none"),
        pytest.param(
            last(probed(target(), timed_out())),
            "expected a complete reply within 10 s, found no reply within 10 s",
            id="an error that only repeats is not repeated",
        ),
        pytest.param(last(probed(target(), INTERNAL_ERROR)), "KeyError: 'x'", id="an error alone"),
    ],
)
def test_a_row_is_explained_in_one_line(recorded: Recorded, why: str | None) -> None:
    assert explanation(row(recorded)) == why


def test_a_progress_bar_is_for_terminals_alone() -> None:
    piped, terminal = io.StringIO(), Terminal()
    for stream in (piped, terminal):
        with progress(3, stream=stream) as bar:
            for _ in range(3):
                bar.advance()
    assert piped.getvalue() == ""
    assert "3/3" in terminal.getvalue()


def test_rich_is_imported_only_when_something_is_printed() -> None:
    code = "import sys, worker.sinks.table; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
