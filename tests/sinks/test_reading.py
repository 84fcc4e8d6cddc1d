"""Samples read back: what prometheus_client's own parser reads, and nothing that is none."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from worker.sinks.labels import escape
from worker.sinks.reading import Sample, own_counts, samples

names = st.from_regex(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,12}", fullmatch=True)
label_names = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_]{0,8}", fullmatch=True)
#: Any text, and often what could be taken for an end: of a value, of the labels, of the line.
hostile = st.text(st.characters(), max_size=8) | st.lists(
    st.sampled_from(['"', "\\", "\n", "n", "}", "{", ",", "=", " ", "#", "1", 'a="b"', '"} 5', "\r", "\u2028"]),
    max_size=8,
).map("".join)
values = st.one_of(
    st.integers(0, 10**12).map(str), st.floats().map(repr), st.sampled_from(["+Inf", "-Inf", "NaN", "1e+09", "-0.0"])
)


@st.composite
def lines(draw: st.DrawFn) -> str:
    labels = draw(st.dictionaries(label_names, hostile, max_size=4))
    inside = ",".join(f'{name}="{escape(value)}"' for name, value in labels.items())
    braces = f"{{{inside}{draw(st.sampled_from(['', ',']))}}}" if labels else draw(st.sampled_from(["", "{}"]))
    stamp = draw(st.sampled_from(["", "", " 1790000000250", " -5"]))
    return f"{draw(names)}{braces} {draw(values)}{stamp}"


@st.composite
def pages(draw: st.DrawFn) -> str:
    """Families as they are exposed: HELP and TYPE, samples, an empty line now and then."""
    page = []
    for line in draw(st.lists(lines(), max_size=6)):
        name = re.split(r"[{ ]", line)[0]
        page += [f"# HELP {name} {draw(hostile).translate({10: 'n', 92: '/'})}", f"# TYPE {name} untyped", line]
        page += draw(st.sampled_from([[], [""], ["# EOF"]]))
    return "\n".join(page) + draw(st.sampled_from(["", "\n"]))


def shown(found: list[Sample]) -> list[tuple[str, dict[str, str], str]]:
    """NaN is NaN."""
    return [(name, labels, repr(value)) for name, labels, value in found]


@given(page=pages())
def test_what_is_read_is_what_the_library_reads(page: str) -> None:
    families = text_string_to_metric_families(page)
    theirs = [Sample(one.name, one.labels, float(one.value)) for family in families for one in family.samples]
    assert shown(list(samples(page.split("\n")))) == shown(theirs)


@given(line=lines(), data=st.data())
def test_what_ends_before_its_value_is_no_sample(line: str, data: st.DataObject) -> None:
    (whole,) = samples([line])
    before = len(re.sub(r" [^ ]+( -?[0-9]+)?$", "", line))
    cut = line[: data.draw(st.integers(1, before))]
    with pytest.raises(ValueError, match="line 3 is no sample"):
        list(samples(["# TYPE a gauge", "", cut]))
    assert whole.name


@pytest.mark.parametrize(
    "line",
    [
        "<html>",
        "{}",
        "a",
        "a ",
        "a one",
        "a  1",
        " a 1",
        "1a 1",
        "a{} ",
        'a{b="c"}1',
        "a{b=c} 1",
        'a{b="c} 1',
        'a{b="c\\"} 1',
        'a{b="c" d="e"} 1',
        'a{b="c",,d="e"} 1',
        'a{,b="c"} 1',
        'a{1="c"} 1',
        'a{b="c"}} 1',
        'a{b="c"} 1 2.5',
        'a{b="c"} 1 2 3',
        'a{b="c"} 1 # {trace="x"} 1',
    ],
)
def test_what_is_no_sample_is_refused_with_its_place(line: str) -> None:
    with pytest.raises(ValueError, match=r"^line 2 is no sample"):
        list(samples(["up 1\n", line]))


def test_samples_come_one_by_one() -> None:
    found = samples(["up 1\n", "nonsense\n"])
    assert next(found) == Sample("up", {}, 1.0)


def bounds(cumulative: list[int]) -> list[float]:
    return [float(number) for number in range(len(cumulative) - 1)]


def by_bound(cumulative: list[int]) -> dict[float, int]:
    return dict(zip([*bounds(cumulative), math.inf], cumulative, strict=True))


@given(counts=st.lists(st.integers(0, 9), min_size=1, max_size=6))
def test_own_counts_are_what_each_bucket_adds(counts: list[int]) -> None:
    cumulative = [sum(counts[: end + 1]) for end in range(len(counts))]
    assert own_counts(by_bound(cumulative), bounds(cumulative)) == tuple(counts)


@pytest.mark.parametrize("cumulative", [[3, 2], [0, 1, 0], [-1]])
def test_buckets_that_fall_are_refused(cumulative: list[int]) -> None:
    with pytest.raises(ValueError, match="its buckets fall"):
        own_counts(by_bound(cumulative), bounds(cumulative))


def test_counts_by_other_bounds_are_passed_over() -> None:
    assert own_counts({1.0: 1, math.inf: 2}, [1.0, 2.0]) is None
    assert own_counts({}, []) is None
