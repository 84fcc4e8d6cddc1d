"""Proxies: tunnels, whole URLs and refusals."""

import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.mixpeek.servers import KEY, Peer, Resolver, Server, client_of, pipe_to, reply, replying, serving, target
from worker.config.urls import proxy_url
from worker.core.exchange import Failure, NoReply, Phase, Reply
from worker.mixpeek.client import Client
from worker.settings import TlsSettings


@asynccontextmanager
async def proxying(status: str = "200 Connection established") -> AsyncIterator[tuple[int, list[bytes]]]:
    """A proxy that tunnels to loopback, or refuses."""

    async def script(peer: Peer) -> None:
        request = await peer.request()
        await peer.send(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())
        if status.startswith("200"):
            await pipe_to(peer, int(request.split(b" ")[1].rpartition(b":")[2]))

    async with serving(script) as proxy:
        yield proxy.port, proxy.requests


async def test_https_goes_through_a_proxys_tunnel(secure: ssl.SSLContext, ca_file: Path) -> None:
    async with (
        serving(replying(reply()), secure) as server,
        proxying() as (port, asked),
        client_of(
            server, scheme="https", proxy=f"http://me:pw@127.0.0.1:{port}", tls=TlsSettings(ca_file=ca_file)
        ) as client,
    ):
        exchange = await client.call(target())
        again = await client.call(target())
    assert isinstance(exchange.answer, Reply)
    assert exchange.phases.tls is not None
    assert again.reused_connection is True
    assert len(asked) == 1
    assert asked[0].startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n".encode())
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"me:pw") in asked[0]
    assert KEY.encode() not in asked[0]


async def test_http_goes_through_a_proxy_as_a_whole_url() -> None:
    async with (
        serving(replying(reply())) as proxy,
        client_of(80, host="api.example", proxy=f"http://127.0.0.1:{proxy.port}", resolver=Resolver()) as client,
    ):
        exchange = await client.call(target())
    assert isinstance(exchange.answer, Reply)
    assert proxy.requests[0].startswith(b"POST http://api.example/v1/namespaces/ns_1/")


@pytest.mark.parametrize(
    ("scheme", "status", "error"),
    [
        pytest.param("https", "403 Forbidden", "the proxy refused the tunnel: 403 Forbidden", id="refused"),
        pytest.param("https", "407 Auth", "the proxy refused the tunnel: 407 Auth", id="who are you"),
        pytest.param("http", "407 Auth", "the proxy refused: 407 Proxy Authentication Required", id="plain http"),
    ],
)
async def test_a_proxy_that_refuses(scheme: str, status: str, error: str) -> None:
    async with proxying(status) as (port, _), client_of(1, scheme=scheme, proxy=f"http://127.0.0.1:{port}") as client:
        exchange = await client.call(target())
    assert exchange.answer == NoReply(failure=Failure.CONNECT, died_in=Phase.CONNECT, error=error)


async def test_a_proxy_that_is_not_there() -> None:
    async with client_of(1, scheme="https", proxy="http://127.0.0.1:1") as client:
        exchange = await client.call(target())
    assert exchange.answer == NoReply(
        failure=Failure.CONNECT,
        died_in=Phase.CONNECT,
        error="cannot connect to proxy 127.0.0.1:1: connection refused",
    )


def client_through(proxy: Server) -> Client:
    return client_of(1, scheme="https", proxy=f"http://127.0.0.1:{proxy.port}")


async def test_a_proxy_that_hangs_up() -> None:
    async def script(peer: Peer) -> None:
        await peer.request()

    async with serving(script) as proxy, client_through(proxy) as client:
        exchange = await client.call(target())
    assert exchange.answer == NoReply(
        failure=Failure.CONNECT, died_in=Phase.CONNECT, error="connection closed while connecting"
    )


async def test_a_proxy_that_never_answers() -> None:
    async with serving(Peer.until_left) as proxy, client_through(proxy) as client:
        exchange = await client.call(target(timeout_s=0.2))
    assert exchange.answer == NoReply(
        failure=Failure.TIMEOUT, died_in=Phase.CONNECT, error="no connection within 0.2 s"
    )


@pytest.mark.parametrize(
    "script", [pytest.param(Peer.until_left, id="hangs"), pytest.param(Peer.request, id="hangs up")]
)
async def test_an_https_proxy_that_makes_no_tunnel(script: Any, secure: ssl.SSLContext, ca_file: Path) -> None:
    async with (
        serving(script, secure) as proxy,
        client_of(
            1, scheme="https", proxy=f"https://127.0.0.1:{proxy.port}", tls=TlsSettings(ca_file=ca_file)
        ) as client,
    ):
        exchange = await client.call(target(timeout_s=0.3))
    assert isinstance(exchange.answer, NoReply)
    assert exchange.answer.died_in is Phase.CONNECT
    if script is Peer.until_left:
        assert exchange.phases.connect == pytest.approx(0.3, abs=0.1)


async def test_an_https_proxy_before_plain_http_is_verified_by_our_authorities(
    secure: ssl.SSLContext, ca_file: Path
) -> None:
    async with (
        serving(replying(reply()), secure) as proxy,
        client_of(80, proxy=f"https://127.0.0.1:{proxy.port}", tls=TlsSettings(ca_file=ca_file)) as client,
    ):
        exchange = await client.call(target())
    assert isinstance(exchange.answer, Reply)
    assert exchange.phases.tls is not None


@pytest.mark.parametrize("userinfo", ["me:%E2%82%ACabc", "a%3Ab:pw"])
def test_a_proxys_credentials_that_no_header_can_hold(userinfo: str) -> None:
    with pytest.raises(ValueError, match="Latin-1"):
        proxy_url(f"http://{userinfo}@127.0.0.1:3128")
