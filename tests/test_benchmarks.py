"""What `make bench` says of what it measured; the measuring itself is no test."""

from importlib import import_module
from pathlib import Path

import pytest

from tests.benchmarks.__main__ import BENCHMARKS, main
from tests.benchmarks.blackbox import blackbox
from tests.benchmarks.figure import NO_GOAL, Figure, Missing, Reading, Row, holds, in_words, table
from tests.benchmarks.options import Options


def figure(**fields: object) -> Figure:
    given = {"name": "a", "goal": "≤ 1.5", "ours": [2.0, 3.0], "theirs": [2.0, 2.0]} | fields
    return Figure(**given)  # type: ignore[arg-type]  # of whatever types a case gives


def test_a_ratio_is_of_the_sums_and_its_spread_of_the_blocks() -> None:
    found = figure(ours=[1.0, 2.0, 3.0, 40.0], theirs=[1.0, 1.0, 1.0, 10.0])
    assert found.ratio == 46.0 / 13.0
    assert found.quartiles == (1.75, 3.25)


def test_of_one_block_there_is_no_spread() -> None:
    assert figure(ours=[3.0], theirs=[2.0]).quartiles == (1.5, 1.5)


def test_rates_turn_the_ratio_over() -> None:
    found = figure(ours=[1.0], theirs=[4.0], rates=True, each=100, clock="wall")
    assert found.ratio == 4.0
    assert found.measured == "4.00 (100/s beside 25/s, wall)"


def test_a_figure_tells_what_a_piece_of_work_took() -> None:
    assert figure(ours=[0.3, 0.5], theirs=[0.2, 0.2], each=1_000).measured == "2.00 (400 µs beside 200 µs, CPU)"


@pytest.mark.parametrize(
    ("goal", "value", "met"),
    [
        ("≤ 1.33", 1.33, True),
        ("≤ 1.33", 1.34, False),
        ("> 1", 1.0, False),
        ("≥ 1", 1.0, True),
        ("< 1", 1.0, False),
        ("≤ 50 ms", 49.0, True),
        ("≤ 12,000", 11_999.0, True),
        (NO_GOAL, 1e9, None),
    ],
)
def test_a_goal_is_met_or_not_or_none_was_set(goal: str, value: float, met: bool | None) -> None:
    assert holds(goal, value) is met


def test_what_is_no_goal_is_not_taken_as_met() -> None:
    with pytest.raises(ValueError, match="'about 3' is no goal"):
        holds("about 3", 3.0)


@pytest.mark.parametrize(
    ("seconds", "words"), [(2.5e-4, "250 µs"), (0.0123, "12.3 ms"), (61.0, "61 s"), (0.0, "0 µs"), (2000.0, "2,000 s")]
)
def test_seconds_are_told_in_the_unit_that_suits_them(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


@pytest.mark.parametrize(("value", "words"), [(0.1234, "0.123 kB"), (100_000.0, "100,000 kB"), (0.0, "0 kB")])
def test_a_reading_is_told_in_three_digits(value: float, words: str) -> None:
    assert Reading(name="a", value=value, unit="kB").measured == words


def test_the_table_says_what_was_missed_and_what_is_missing() -> None:
    rows: list[Row] = [
        figure(),
        Reading(name="lateness", value=51.0, unit="ms", goal="≤ 50 ms", spread="of 7 probes"),
        Missing(name="a rival", why="not installed", goal="> 1"),
    ]
    assert [" ".join(line.split()) for line in table(rows).splitlines()[2:]] == [
        "a 1.25 (2.5 s beside 2 s, CPU) 1.12 to 1.38 in 2 blocks ≤ 1.5 yes",
        "lateness 51 ms of 7 probes ≤ 50 ms NO",
        "a rival not installed > 1",
    ]


def test_the_columns_of_the_table_stand_under_each_other() -> None:
    head, rule, *lines = table([figure(name="a" * 30), figure(name="b")]).splitlines()
    assert [line.index("≤ 1.5") for line in lines] == [head.index("goal")] * 2
    assert rule.startswith("-" * 30 + "  -")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_can_be_asked_for_by_name(name: str) -> None:
    assert callable(getattr(import_module(f"tests.benchmarks.{name}"), name))


def test_the_command_measures_what_is_named_and_writes_it_down(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "build" / "bench.json"
    assert main(["shapes", "--blocks", "1", "--json", str(results)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("processors: ")
    assert "inferring the shape of 384 floats, against parsing them" in out
    assert '"kernel"' in results.read_text(encoding="utf-8")


def test_an_unknown_name_is_bad_usage() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["raod"])
    assert ended.value.code == 2


def test_a_rival_that_is_not_installed_is_a_row_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    rows = blackbox(Options(blocks=1))
    assert {row.measured for row in rows} == {"prometheus-blackbox-exporter is not installed"}
    assert {row.met for row in rows} == {None}
