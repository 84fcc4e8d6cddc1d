"""Which shard a worker takes itself for, and that it never guesses."""

from collections.abc import Mapping

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.shard import Shard
from worker.shard_options import shard_of

COUNT, JOB, SET = "PLUGIN_PROBE_SHARDS", "JOB_COMPLETION_INDEX", "PLUGIN_PROBE_SHARD_INDEX"
POD = "plugin-probe-3"


def found(
    index: int | None = None, count: int | None = None, environ: Mapping[str, str] | None = None, host: str = "laptop"
) -> Shard | None:
    return shard_of(index, count, environ={"PATH": "/bin", **(environ or {})}, host=host)


def refused(
    index: int | None = None, count: int | None = None, environ: Mapping[str, str] | None = None, host: str = "laptop"
) -> str:
    with pytest.raises(click.UsageError) as error:
        found(index, count, environ, host)
    return error.value.message


@pytest.mark.parametrize("host", ["laptop", POD])
def test_where_nothing_says_that_there_are_shards_there_are_none(host: str) -> None:
    assert found(host=host) is None


@pytest.mark.parametrize(
    ("index", "count", "host", "environ", "shard"),
    [
        pytest.param(6, 7, "laptop", {}, (6, 7), id="options"),
        pytest.param(0, 1, "laptop", {}, (0, 1), id="one shard"),
        pytest.param(None, None, "laptop", {JOB: "2", COUNT: "4"}, (2, 4), id="an Indexed Job"),
        pytest.param(None, None, "laptop", {SET: "2", COUNT: "4"}, (2, 4), id="a pod-index label"),
        pytest.param(None, None, POD, {COUNT: "4"}, (3, 4), id="a StatefulSet's pod"),
        pytest.param(None, 4, POD, {}, (3, 4), id="a host name and an option"),
        pytest.param(None, None, f"{POD}.probes.monitoring.svc-9", {COUNT: "4"}, (3, 4), id="with its domain"),
        pytest.param(None, 4, "laptop", {JOB: "2"}, (2, 4), id="an option and a variable"),
        pytest.param(1, None, "laptop", {COUNT: "4"}, (1, 4), id="a variable and an option"),
        pytest.param(None, None, POD, {JOB: "2", COUNT: "4"}, (2, 4), id="the host name is not compared"),
        pytest.param(1, 4, POD, {}, (1, 4), id="nor with options"),
        pytest.param(2, 4, POD, {JOB: "2", SET: "02", COUNT: "04"}, (2, 4), id="all say the same"),
    ],
)
def test_options_the_environment_and_the_host_name_are_asked_in_turn(
    index: int | None, count: int | None, host: str, environ: dict[str, str], shard: tuple[int, int]
) -> None:
    assert found(index, count, environ, host) == Shard(index=shard[0], count=shard[1])


@pytest.mark.parametrize(
    ("index", "environ", "by"),
    [
        (0, {}, "--shard-index is 0"),
        (None, {JOB: "2"}, "JOB_COMPLETION_INDEX is 2"),
        (None, {SET: "0"}, "PLUGIN_PROBE_SHARD_INDEX is 0"),
    ],
)
def test_an_index_needs_a_count_or_each_would_probe_everything(
    index: int | None, environ: dict[str, str], by: str
) -> None:
    told = refused(index, None, environ, POD)
    assert told == (
        f"{by}, but nothing says of how many shards: use --shard-count, or set PLUGIN_PROBE_SHARDS to a Job's"
        " completions or a StatefulSet's replicas"
    )


@pytest.mark.parametrize(
    "host",
    ["laptop", "plugin-probe-x7", "plugin-probe-", "3", "probe3", "probe.b-2", "probe-٣", "probe--", "p-3\n", ""],
)
def test_a_count_needs_an_index_and_the_ways_are_listed(host: str) -> None:
    told = refused(environ={COUNT: "4"}, host=host)
    assert told.startswith("PLUGIN_PROBE_SHARDS is 4, but nothing says which shard this is: use --shard-index, or set ")
    assert told.endswith(f"or have a host name that ends as plugin-probe-3 does, unlike {host!r}")
    assert JOB in told
    assert SET in told
    assert refused(None, 4, host=host).startswith("--shard-count is 4, but nothing says which shard this is: ")


@pytest.mark.parametrize("name", [COUNT, JOB, SET])
def test_an_empty_variable_is_told_with_what_to_do(name: str) -> None:
    others = {COUNT: "4", JOB: "1", SET: "1"}
    meaning = "how many shards there are" if name == COUNT else "which this is, from 0 on"
    wanted = f"{name} is empty: set it to {meaning}, or take it out of the environment"
    assert refused(environ={**others, name: ""}) == wanted
    assert refused(1, 4, {name: ""}) == wanted, "options do not make it right"


@pytest.mark.parametrize("name", [COUNT, JOB, SET])
@pytest.mark.parametrize("value", [" 3", "3 ", "-1", "+1", "3.0", "٣", "1e3", "0x1", "1_0", "three", "3\n", "9" * 5000])
def test_a_variable_that_is_no_plain_number_is_shown(name: str, value: str) -> None:
    told = refused(environ={COUNT: "4", JOB: "1", SET: "1", name: value})
    assert told.startswith(f"{name} is {value[:40]!r}, which is no number in digits alone: set it to ")
    assert len(told) < 200


@pytest.mark.parametrize(
    ("index", "count", "environ", "told"),
    [
        (1, None, {JOB: "2", COUNT: "4"}, "--shard-index is 1, but JOB_COMPLETION_INDEX is 2"),
        (1, None, {SET: "2", COUNT: "4"}, "--shard-index is 1, but PLUGIN_PROBE_SHARD_INDEX is 2"),
        (2, None, {JOB: "2", SET: "1", COUNT: "4"}, "--shard-index is 2, but PLUGIN_PROBE_SHARD_INDEX is 1"),
        (None, None, {JOB: "0", SET: "1", COUNT: "4"}, "JOB_COMPLETION_INDEX is 0, but PLUGIN_PROBE_SHARD_INDEX is 1"),
        (0, 3, {COUNT: "4"}, "--shard-count is 3, but PLUGIN_PROBE_SHARDS is 4"),
    ],
)
def test_what_contradicts_itself_is_refused_with_both(
    index: int | None, count: int | None, environ: dict[str, str], told: str
) -> None:
    assert refused(index, count, environ) == f"{told}: take out the one that is wrong"


@pytest.mark.parametrize(
    ("index", "count", "host", "environ", "told"),
    [
        (None, None, "x", {JOB: "3", COUNT: "3"}, "JOB_COMPLETION_INDEX is 3, but of 3 shards (PLUGIN_PROBE_SHARDS) the"
         " last is 2: "),
        (3, 3, "x", {}, "--shard-index is 3, but of 3 shards (--shard-count) the last is 2: "),
        (1, 1, "x", {}, "--shard-index is 1, but of 1 shard (--shard-count) the last is 0: "),
        (-1, 3, "x", {}, "--shard-index is -1, but of 3 shards (--shard-count) the first is 0: "),
        (None, None, POD, {COUNT: "3"}, "the suffix of the host name plugin-probe-3 is 3, but of 3 shards"
         " (PLUGIN_PROBE_SHARDS) the last is 2: "),
    ],
)  # fmt: skip
def test_an_index_beyond_the_count_says_where_both_come_from(
    index: int | None, count: int | None, host: str, environ: dict[str, str], told: str
) -> None:
    assert refused(index, count, environ, host) == (
        f"{told}indexes count from 0, and the number of shards must be that of all workers"
        " (a Job's completions or a StatefulSet's replicas)"
    )


@pytest.mark.parametrize(
    ("count", "environ", "by"),
    [(0, {}, "--shard-count is 0"), (-2, {}, "--shard-count is -2"), (None, {COUNT: "0"}, "PLUGIN_PROBE_SHARDS is 0")],
)
def test_there_is_one_shard_at_least(count: int | None, environ: dict[str, str], by: str) -> None:
    assert refused(0, count, environ).startswith(f"{by}, but there is 1 shard at least: set it to ")


words = st.none() | st.sampled_from(["", "0", "1", "2", "03", "-1", " 1", "x"]) | st.text(max_size=4)
numbers = st.none() | st.integers(-2, 4)


def found_or_told(index: int | None, count: int | None, environ: Mapping[str, str], host: str) -> Shard | str | None:
    try:
        return shard_of(index, count, environ=environ, host=host)
    except click.UsageError as error:
        return error.message


@given(index=numbers, count=numbers, job=words, pod=words, shards=words, host=st.sampled_from(["h", "h-0", "h-9"]))
def test_whatever_is_given_it_is_a_shard_or_none_or_one_sentence_with_a_remedy(
    index: int | None, count: int | None, job: str | None, pod: str | None, shards: str | None, host: str
) -> None:
    environ = {name: value for name, value in ((JOB, job), (SET, pod), (COUNT, shards)) if value is not None}
    outcome = found_or_told(index, count, environ, host)
    if outcome is None:
        assert {index, count, *environ.values()} == {None}
    elif isinstance(outcome, str):
        assert ": " in outcome
        assert "\n" not in outcome
    else:
        assert 0 <= outcome.index < outcome.count
        assert all(int(said) == outcome.index for said in (index, job, pod) if said is not None)
        assert all(int(said) == outcome.count for said in (count, shards) if said is not None)
