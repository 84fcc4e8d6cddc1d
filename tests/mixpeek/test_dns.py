"""DNS: names that do not exist, and servers that do not answer."""

import asyncio
import socket
import struct
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from aiohttp.resolver import AsyncResolver

from tests.mixpeek.servers import (
    client_of,
    reply,
    replying,
    serving,
    target,
)
from worker.core.exchange import Failure, NoReply, Phase, Reply


@pytest.fixture
def dns_that_knows_nothing() -> Iterator[int]:
    """The port of a socket that nobody reads: questions to it stay without an answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        yield silent.getsockname()[1]


class NoSuchDomain(asyncio.DatagramProtocol):
    """Answers every question with NXDOMAIN."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(data[:2] + struct.pack(">H", 0x8183) + data[4:], addr)


async def test_a_name_that_does_not_exist() -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(NoSuchDomain, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    resolver = AsyncResolver(nameservers=["127.0.0.1"], udp_port=port, tcp_port=port)
    async with client_of(80, host="nowhere.example", resolver=resolver) as client:
        exchange = await client.call(target())
    transport.close()
    assert exchange.answer == NoReply(
        failure=Failure.DNS, died_in=Phase.DNS, error="cannot resolve nowhere.example: Domain name not found"
    )
    assert exchange.phases.dns is not None
    assert exchange.phases.connect is None


async def test_dns_that_does_not_answer(dns_that_knows_nothing: int) -> None:
    resolver = AsyncResolver(nameservers=["127.0.0.1"], udp_port=dns_that_knows_nothing, timeout=30)
    async with client_of(80, host="api.example", resolver=resolver) as client:
        exchange = await client.call(target(timeout_s=0.2))
    assert exchange.answer == NoReply(
        failure=Failure.TIMEOUT, died_in=Phase.DNS, error="the host name was not resolved within 0.2 s"
    )
    assert exchange.phases.dns == pytest.approx(0.2, abs=0.05)
    assert exchange.phases.connect is None


@pytest.mark.parametrize("host", ["x" * 64 + ".example", "a..example"])
async def test_a_name_that_cannot_exist(host: str) -> None:
    async with client_of(80, host=host) as client:
        exchange = await client.call(target())
    assert isinstance(exchange.answer, NoReply)
    assert exchange.answer.failure is Failure.DNS


async def test_the_hosts_file_is_read() -> None:
    async with serving(replying(reply())) as server, client_of(server, host="localhost") as client:
        exchange = await client.call(target())
    assert isinstance(exchange.answer, Reply)
    assert exchange.phases.dns is not None


def test_dns_that_does_not_answer_does_not_hold_up_the_exit(dns_that_knows_nothing: int) -> None:
    """No thread stays behind: with getaddrinfo in a thread the process would wait for the resolver's own time-outs."""
    program = f"""
        import asyncio
        from aiohttp.resolver import AsyncResolver
        from tests.mixpeek.servers import client_of, target

        async def main():
            resolver = AsyncResolver(nameservers=["127.0.0.1"], udp_port={dns_that_knows_nothing}, timeout=30)
            async with client_of(80, host="api.example", resolver=resolver) as client:
                print((await client.call(target(timeout_s=0.2))).answer.failure)

        asyncio.run(main())
    """
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert (run.stdout, run.stderr) == ("timeout\n", "")
