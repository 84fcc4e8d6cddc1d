"""Remote write: what arrives at a receiver, and what happens when it is not taken."""

import math
import os
import struct
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cramjam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sinks.receiving import Pauses, Receiver, hang_up, receiving
from worker.settings import ReceiverSettings
from worker.sinks.labels import escape
from worker.sinks.reading import Sample, samples
from worker.sinks.receiver import ReceiverError
from worker.sinks.remote_write import check_installed, send
from worker.sinks.write_request import MOST_SERIES, write_requests

AT = 1_790_000_000.25
JOB = {"job": "plugin_probe"}

Series = tuple[list[tuple[str, str]], float, int]


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field: protobuf's encoding, read by hand as its documentation has it."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = varint()
        number, kind = key >> 3, key & 7
        if kind == 0:
            yield number, varint()
            continue
        length = {1: lambda: 8, 2: varint}[kind]()
        yield number, message[at : at + length]
        at += length


def one_series(message: bytes) -> Series:
    """The labels in order, the value and the time in milliseconds of a TimeSeries."""
    labels: list[tuple[str, str]] = []
    taken: list[tuple[float, int]] = []
    for number, content in fields(message):
        assert isinstance(content, bytes)
        told = dict(fields(content))
        if number == 1:
            name, value = told[1], told[2]
            assert isinstance(name, bytes)
            assert isinstance(value, bytes)
            labels.append((name.decode(), value.decode()))
        else:
            double = told.get(1, bytes(8))
            assert number == 2
            assert isinstance(double, bytes)
            taken.append((struct.unpack("<d", double)[0], int(told[2])))
    ((measured, milliseconds),) = taken
    return labels, measured, milliseconds


def decoded(body: bytes) -> list[Series]:
    found = []
    for number, content in fields(bytes(cramjam.snappy.decompress_raw(body))):
        assert number == 1
        assert isinstance(content, bytes)
        found.append(one_series(content))
    return found


def all_series(receiver: Receiver) -> list[Series]:
    return [series for came in receiver.came for series in decoded(came.body)]


async def write(
    receiver: Receiver, *chunks: bytes, labels: dict[str, str] | None = None, pauses: Pauses | None = None, **more: Any
) -> None:
    settings = ReceiverSettings(url=receiver.url, **more)
    patience = (pauses or Pauses()).patience()
    await send(settings, chunks, at=AT, labels=JOB if labels is None else labels, patience=patience)


def exposed(count: int) -> Iterator[bytes]:
    yield b"# TYPE plugin_probe_success gauge\n"
    for number in range(count):
        yield b'plugin_probe_success{plugin="p_%d"} %d\n' % (number, number)


async def test_a_request_is_what_remote_write_1_0_asks_for() -> None:
    async with receiving() as receiver:
        await write(receiver, b"up 1\n")
    (came,) = receiver.came
    assert (came.method, came.path) == ("POST", "/write")
    assert came.headers["Content-Encoding"] == "snappy"
    assert came.headers["Content-Type"] == "application/x-protobuf"
    assert came.headers["X-Prometheus-Remote-Write-Version"] == "0.1.0"
    assert came.headers["User-Agent"].startswith("plugin-probe/")
    assert decoded(came.body) == [([("__name__", "up"), ("job", "plugin_probe")], 1.0, 1_790_000_000_250)]


async def test_labels_are_sorted_and_none_is_empty() -> None:
    text = b'm{plugin="p",Team="x",_a="1",empty="",mixpeek_namespace="n"} 0\n'
    async with receiving() as receiver:
        await write(receiver, text, labels={"job": "j", "shard": "0", "zone": ""})
    ((labels, value, _),) = all_series(receiver)
    assert labels == [
        ("Team", "x"),
        ("__name__", "m"),
        ("_a", "1"),
        ("job", "j"),
        ("mixpeek_namespace", "n"),
        ("plugin", "p"),
        ("shard", "0"),
    ]
    assert value == 0.0


async def test_the_workers_labels_win() -> None:
    async with receiving() as receiver:
        await write(receiver, b'm{job="theirs",shard="7"} 1\n', labels={"job": "ours", "shard": "0"})
    ((labels, _, _),) = all_series(receiver)
    assert labels == [("__name__", "m"), ("job", "ours"), ("shard", "0")]


async def test_values_that_are_no_numbers() -> None:
    text = b'b{le="+Inf"} 3\nnan NaN\nhigh +Inf\nlow -Inf\nsmall 2.5e-05\nlarge 1.7976931348623157e+308\n'
    async with receiving() as receiver:
        await write(receiver, text)
    told = {dict(labels)["__name__"]: value for labels, value, _ in all_series(receiver)}
    assert math.isnan(told.pop("nan"))
    assert told == {"b": 3.0, "high": math.inf, "low": -math.inf, "small": 2.5e-05, "large": 1.7976931348623157e308}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 10_000])
async def test_chunks_are_cut_anywhere(size: int) -> None:
    text = '# HELP m café\n# TYPE m gauge\nm{a="é\u2028\x85 \\"q\\" \\\\ \\n"} 1\nm{a="b"} 2\n\nn 3'.encode()
    chunks = [text[start : start + size] for start in range(0, len(text), size)]
    async with receiving() as receiver:
        await write(receiver, b"", *chunks, b"", labels={})
    assert [(dict(labels).get("a"), value) for labels, value, _ in all_series(receiver)] == [
        ('é\u2028\x85 "q" \\ \n', 1.0),
        ("b", 2.0),
        (None, 3.0),
    ]


@given(st.text(min_size=1, max_size=30), st.floats(allow_nan=False))
def test_any_label_and_value_arrives_as_it_was_written(text: str, value: float) -> None:
    line = f'm{{a="{escape(text)}"}} {value!r}'
    (request,) = write_requests(samples([line]), at=AT, labels={})
    assert request.series == 1
    ((labels, arrived, _),) = decoded(request.body)
    assert escape(dict(labels)["a"]) == escape(text)
    assert arrived == value


async def test_nothing_to_send_is_no_request() -> None:
    async with receiving() as receiver:
        await write(receiver, b"# TYPE m gauge\n")
    assert receiver.came == []


async def test_requests_are_of_bounded_size_and_the_next_is_made_when_one_was_taken() -> None:
    drawn_at: list[int] = []

    async with receiving() as receiver:

        def chunks() -> Iterable[bytes]:
            for chunk in exposed(2 * MOST_SERIES + 1):
                drawn_at.append(len(receiver.came))
                yield chunk

        await send(ReceiverSettings(url=receiver.url), chunks(), at=AT, labels=JOB)
    assert [len(decoded(came.body)) for came in receiver.came] == [MOST_SERIES, MOST_SERIES, 1]
    assert [value for _, value, _ in all_series(receiver)] == list(range(2 * MOST_SERIES + 1))
    # one chunk is a line, and the first is a comment
    assert drawn_at == [0] * (MOST_SERIES + 1) + [1] * MOST_SERIES + [2]


@pytest.mark.parametrize("answer", [(503, "not ready"), (429, "slow down"), hang_up])
async def test_a_request_that_was_not_taken_is_sent_again_as_it_was(answer: Any) -> None:
    pauses = Pauses()
    async with receiving(answer, (204, "")) as receiver:
        await write(receiver, *exposed(MOST_SERIES + 1), pauses=pauses)
    first, again, last = (came.body for came in receiver.came)
    assert first == again
    assert len(decoded(last)) == 1
    assert pauses.slept == [0.5]


async def test_samples_that_are_too_old_are_refused_once_and_the_others_are_sent() -> None:
    pauses = Pauses()
    async with receiving((204, ""), (400, "out of order sample"), (204, "")) as receiver:
        with pytest.raises(ReceiverError) as failed:
            await write(receiver, *exposed(2 * MOST_SERIES + 1), pauses=pauses)
    assert len(all_series(receiver)) == 2 * MOST_SERIES + 1
    assert pauses.slept == []
    assert str(failed.value) == "answered 400 Bad Request: out of order sample (2000 of 4001 series were refused)"


@pytest.mark.parametrize("status", [301, 307, 401, 404, 413])
async def test_a_receiver_that_takes_nothing_is_left_alone(status: int) -> None:
    async with receiving((status, "no"), headers={"Location": "/elsewhere"}) as receiver:
        with pytest.raises(ReceiverError, match=rf"answered {status} [A-Z a-z]+: no$"):
            await write(receiver, *exposed(2 * MOST_SERIES + 1))
    assert len(receiver.came) == 1


async def test_a_failure_tells_how_much_was_taken() -> None:
    async with receiving((204, ""), (503, "disk full")) as receiver:
        with pytest.raises(ReceiverError) as failed:
            await write(receiver, *exposed(MOST_SERIES + 1))
    reason = "answered 503 Service Unavailable: disk full (7 tries within 20 s)"
    assert str(failed.value) == f"{reason} (2000 series were taken before)"


async def test_a_wrong_password_is_told_without_it(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("hunter2-and-more\n")
    async with receiving((401, "not hunter2-and-more")) as receiver:
        with pytest.raises(ReceiverError) as failed:
            await write(receiver, b"up 1\n", username="worker", password_file=file)
    assert receiver.came[0].headers["Authorization"].startswith("Basic ")
    assert str(failed.value) == "answered 401 Unauthorized: not [REDACTED]"


def test_the_value_of_what_is_the_default_is_sent_too() -> None:
    (request,) = write_requests([Sample("m", {}, 0.0), Sample("m", {"a": "b"}, -0.0)], at=AT, labels={})
    zero, negative = (value for _, value, _ in decoded(request.body))
    assert (math.copysign(1, zero), math.copysign(1, negative)) == (1, -1)


def test_the_extra_is_here() -> None:
    check_installed()


@pytest.mark.parametrize("missing", ["cramjam", "google"])
def test_a_missing_extra_is_told_with_the_remedy(tmp_path: Path, missing: str) -> None:
    (tmp_path / f"{missing}.py").write_text(f"raise ModuleNotFoundError('no module named {missing}')")
    lines = (
        "from worker.settings import ConfigError",
        "from worker.sinks.remote_write import check_installed",
        "try: check_installed()",
        "except ConfigError as error: print(error)",
    )
    path = os.pathsep.join((str(tmp_path), str(Path(__file__).parents[2])))
    told = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.startswith("outputs.remote_write: needs cramjam and protobuf: ")
    assert "pip install 'plugin-probe[remote-write]'" in told.stdout
    assert f"no module named {missing}" in told.stdout
