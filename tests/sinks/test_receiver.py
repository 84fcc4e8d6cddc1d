"""Receivers of metrics: signed requests, asking again, and failures told without secrets."""

import asyncio
import base64
import os
import ssl
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web

from tests.fakes import EPOCH_S
from tests.sinks.receiving import Pauses, Receiver, hang_up, receiving
from worker.settings import ReceiverSettings
from worker.sinks.receiver import Patience, ReceiverError, check, session
from worker.version import VERSION

PASSWORD = "correct horse"


async def ask(url: str, patience: Patience, *, tries: float = float("inf"), **settings: Any) -> None:
    """One request, as a sink makes it."""
    async with session(ReceiverSettings(url=url, **settings)) as opened:

        async def attempt() -> None:
            async with opened.post(url, data=b"metrics", allow_redirects=False) as response:
                await check(response)

        await patience.retried(attempt, tries=tries)


async def failure(url: str, patience: Patience, **settings: Any) -> str:
    with pytest.raises(ReceiverError) as failed:
        await ask(url, patience, **settings)
    return str(failed.value)


def signed(folder: Path, password: bytes = PASSWORD.encode()) -> dict[str, Any]:
    file = folder / "password"
    file.write_bytes(password)
    return {"username": "worker", "password_file": file}


async def test_a_request_says_who_we_are_and_is_asked_once() -> None:
    async with receiving((200, "ok")) as receiver:
        await ask(receiver.url, Pauses().patience())
    (came,) = receiver.came
    assert came.headers["User-Agent"] == f"plugin-probe/{VERSION}"
    assert "Authorization" not in came.headers
    assert (came.method, came.body) == ("POST", b"metrics")


@pytest.mark.parametrize("answer", [(503, "later"), (500, ""), (429, "too many"), hang_up])
async def test_what_may_pass_is_asked_again(answer: Any) -> None:
    pauses = Pauses()
    async with receiving(answer, answer, (204, "")) as receiver:
        await ask(receiver.url, pauses.patience())
    assert len(receiver.came) == 3
    assert pauses.slept == [0.5, 1.0]


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 409, 413, 422])
async def test_what_stays_wrong_is_not_asked_again(status: int) -> None:
    pauses = Pauses()
    async with receiving((status, "no"), headers={"Location": "/elsewhere"}) as receiver:
        message = await failure(receiver.url, pauses.patience())
    assert len(receiver.came) == 1
    assert pauses.slept == []
    assert message.startswith(f"answered {status} ")
    assert message.endswith(": no")


async def test_pauses_double_up_to_a_limit_and_end_with_the_time() -> None:
    pauses = Pauses()
    async with receiving((503, "compacting")) as receiver:
        message = await failure(receiver.url, pauses.patience(timeout_s=20.0))
    assert pauses.slept == [0.5, 1.0, 2.0, 4.0, 5.0, 5.0]
    assert message == "answered 503 Service Unavailable: compacting (7 tries within 20 s)"


async def test_pauses_are_drawn_from_all_of_their_range() -> None:
    pauses, ranges = Pauses(), []

    def uniform(low: float, high: float) -> float:
        ranges.append((low, high))
        return 0.125

    async with receiving((503, ""), (503, ""), (204, "")) as receiver:
        await ask(receiver.url, Patience(20.0, clock=pauses.clock, sleep=pauses.sleep, uniform=uniform))
    assert ranges == [(0.0, 0.5), (0.0, 1.0)]
    assert pauses.slept == [0.125, 0.125]


async def test_no_more_than_so_many_tries() -> None:
    pauses = Pauses()
    async with receiving((503, "down")) as receiver:
        message = await failure(receiver.url, pauses.patience(), tries=2)
    assert len(receiver.came) == 2
    assert message == "answered 503 Service Unavailable: down"


@pytest.mark.parametrize(
    ("retry_after", "pause_s"),
    [
        ("7", 7.0),
        ("0", 0.5),
        (formatdate(EPOCH_S + 9, usegmt=True), 9.0),
        (formatdate(EPOCH_S - 9, usegmt=True), 0.5),
        ("soon", 0.5),
        ("-3", 0.5),
        ("1e9", 0.5),
    ],
)
async def test_no_pause_is_shorter_than_asked_for(retry_after: str, pause_s: float) -> None:
    pauses = Pauses()
    async with receiving((429, ""), (204, ""), headers={"Retry-After": retry_after}) as receiver:
        await ask(receiver.url, pauses.patience())
    assert pauses.slept == [pause_s]


async def test_nobody_waits_for_what_comes_after_the_time() -> None:
    pauses = Pauses()
    async with receiving((429, "slow down"), headers={"Retry-After": "3600"}) as receiver:
        message = await failure(receiver.url, pauses.patience())
    assert pauses.slept == []
    assert message == "answered 429 Too Many Requests: slow down (1 try within 20 s)"


async def test_a_receiver_that_hangs_has_the_time_and_no_more() -> None:
    async def hang(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise AssertionError("nobody waits as long")

    async with receiving(hang) as receiver:
        assert await failure(receiver.url, Patience(0.1)) == "not done within 0.1 s"


async def test_a_refused_connection_is_told_and_tried_again() -> None:
    pauses = Pauses()
    async with receiving() as receiver:
        pass
    message = await failure(receiver.url, pauses.patience(timeout_s=2.0))
    port = receiver.url.rpartition(":")[2].removesuffix("/write")
    assert message == f"cannot connect to 127.0.0.1:{port}: connection refused (3 tries within 2 s)"


async def test_a_name_that_nobody_knows() -> None:
    host = f"{'x' * 64}.invalid"  # too long for a name: no server has to say so
    message = await failure(f"http://{host}/write", Pauses().patience(), tries=1)
    assert message.startswith(f"cannot resolve {host}: ")


async def scripted(answer: bytes, ask_it: Callable[[str], Awaitable[str]]) -> str:
    """For what no HTTP server says."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"metrics")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        return await ask_it(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/write")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "the connection ended before the answer was complete"),
        (b"SSH-2.0 Hello\r\n", "what came is no HTTP"),
        (
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 99\r\n\r\nout of or",
            "answered 400 Bad Request: out of or",
        ),
    ],
)
async def test_answers_that_break_off(answer: bytes, message: str) -> None:
    assert await scripted(answer, lambda url: failure(url, Pauses().patience(), tries=1)) == message


async def test_a_reason_is_one_line_and_short() -> None:
    async with receiving((400, "first\r\n\tsecond \x1b[31m" + "long " * 2000)) as receiver:
        message = await failure(receiver.url, Pauses().patience())
    assert message.startswith("answered 400 Bad Request: first second \\x1b[31mlong long")
    assert len(message) == len("answered 400 Bad Request: ") + 200
    assert message.isprintable()


async def test_the_password_is_read_each_time(tmp_path: Path) -> None:
    async with receiving() as receiver:
        await ask(receiver.url, Pauses().patience(), **signed(tmp_path, b"\n first \r\n"))
        await ask(receiver.url, Pauses().patience(), **signed(tmp_path, "zw\u00f6lf".encode()))
    sent = [came.headers["Authorization"].partition("Basic ")[2] for came in receiver.came]
    assert [base64.b64decode(pair).decode() for pair in sent] == ["worker:first", "worker:zw\u00f6lf"]


async def test_a_password_need_not_be_text(tmp_path: Path) -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.Response(status=403, body=base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")))

    async with receiving(echo) as receiver:
        message = await failure(receiver.url, Pauses().patience(), **signed(tmp_path, b"\xff\xfe secret"))
    assert message == "answered 403 Forbidden: worker:[REDACTED]"


async def test_a_wrong_password_is_told_without_it(tmp_path: Path) -> None:
    async def echo(request: web.Request) -> web.Response:
        sent = request.headers["Authorization"]
        return web.Response(status=401, text=f"worker:{PASSWORD} is wrong, as is {sent}")

    async with receiving(echo) as receiver:
        with pytest.raises(ReceiverError) as failed:
            await ask(receiver.url, Pauses().patience(), **signed(tmp_path))
    assert str(failed.value) == "answered 401 Unauthorized: worker:[REDACTED] is wrong, as is Basic [REDACTED]"
    shown = repr(failed.value) + repr(vars(failed.value))
    assert PASSWORD not in shown
    assert base64.b64encode(f"worker:{PASSWORD}".encode()).decode() not in shown


@pytest.mark.parametrize(("content", "problem"), [(None, "no such file or directory"), (b" \n", "is empty")])
async def test_a_password_file_that_holds_none(tmp_path: Path, content: bytes | None, problem: str) -> None:
    settings = signed(tmp_path, content or b"")
    if content is None:
        settings["password_file"].unlink()
    async with receiving() as receiver:
        message = await failure(receiver.url, Pauses().patience(), **settings)
    assert receiver.came == []
    assert message == f"password_file: {settings['password_file']}: {problem}"


async def test_a_pipe_in_the_place_of_the_password_file_is_not_waited_for(tmp_path: Path) -> None:
    settings = signed(tmp_path)
    settings["password_file"].unlink()
    os.mkfifo(settings["password_file"])
    async with receiving() as receiver:
        message = await failure(receiver.url, Pauses().patience(), **settings)
    assert message == f"password_file: {settings['password_file']}: is a pipe"


async def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with receiving() as receiver:
        await ask(receiver.url, Pauses().patience(), tries=1)
    assert len(receiver.came) == 1


class Authority:
    """A certificate authority, its file, and a server that it vouches for."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.file = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.file))
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self.server)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


async def test_a_server_that_the_ca_file_vouches_for(authority: Authority) -> None:
    async with receiving(tls=authority.server) as receiver:
        await ask(receiver.url, Pauses().patience(), ca_file=authority.file)
    assert len(receiver.came) == 1


async def refused_handshake(receiver: Receiver, **settings: Any) -> str:
    """A certificate is as wrong a second later."""
    pauses = Pauses()
    message = await failure(receiver.url, pauses.patience(), **settings)
    assert receiver.came == []
    assert pauses.slept == []
    return message


async def test_a_server_that_nobody_vouches_for(authority: Authority, tmp_path: Path) -> None:
    wrong = Authority(tmp_path).file
    async with receiving(tls=authority.server) as receiver:
        for settings in ({"ca_file": wrong}, {}):
            message = await refused_handshake(receiver, **settings)
            assert message == "certificate not accepted: unable to get local issuer certificate"


async def test_a_server_without_tls(authority: Authority) -> None:
    async with receiving() as receiver:
        receiver.url = receiver.url.replace("http:", "https:")
        message = await refused_handshake(receiver, ca_file=authority.file)
    assert message.startswith("TLS handshake failed: ")


@pytest.mark.parametrize(
    ("content", "problem"), [(None, "no such file or directory"), ("", "no certificate or crl found")]
)
async def test_a_ca_file_of_no_use(tmp_path: Path, content: str | None, problem: str) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    message = await failure("https://127.0.0.1:1/write", Pauses().patience(), ca_file=file)
    assert message == f"ca_file: {file}: {problem}"


async def test_cancelling_passes() -> None:
    asked = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        asked.set()
        await asyncio.sleep(60)
        raise AssertionError("nobody waits as long")

    async with receiving(hang) as receiver:
        asking = asyncio.create_task(ask(receiver.url, Patience(20.0)))
        await asked.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_our_own_errors_pass() -> None:
    async def attempt() -> None:
        raise KeyError("ours")

    with pytest.raises(KeyError):
        await Pauses().patience().retried(attempt)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (aiohttp.ConnectionTimeoutError("Connection timeout to host http://…"), "no connection within 5 s"),
        (aiohttp.ClientOSError(32, "Broken pipe"), "connection lost: broken pipe"),
        (ConnectionResetError(104, "reset"), "connection lost: connection reset by peer"),
    ],
)
async def test_a_connection_that_breaks_is_tried_again(error: Exception, message: str) -> None:
    failures = [error]

    async def attempt() -> str:
        if failures:
            raise failures.pop()
        return "taken"

    assert await Pauses().patience().retried(attempt) == "taken"

    failures = [error, error]
    with pytest.raises(ReceiverError) as failed:
        await Pauses().patience().retried(attempt, tries=2)
    assert str(failed.value) == message
