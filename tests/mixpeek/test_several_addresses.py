"""A name with several addresses, each of which failed in its own way: what that says, and about whom."""

import errno
import os
import socket
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp.abc import ResolveResult
from aiohttp.client_reqrep import ConnectionKey

from tests.mixpeek.servers import Resolver, client_of, reply, replying, server_context, serving, target
from worker.core.exchange import Failure, NoReply, Phase
from worker.mixpeek.failures import LocalError, no_reply

KEY = ConnectionKey("plugins.example.com", 443, True, True, None, None, None)


def failed(*numbers: int) -> aiohttp.ClientConnectorError:
    """As it comes of aiohappyeyeballs, which joins the texts where the numbers differ."""
    told = ", ".join(str(OSError(number, os.strerror(number))) for number in numbers)
    return aiohttp.ClientConnectorError(KEY, OSError(f"Multiple exceptions: {told}"))


def test_that_they_refuse_is_a_failure_to_connect_and_the_first_reason_is_told() -> None:
    told = no_reply(failed(errno.ECONNREFUSED, errno.EHOSTUNREACH), Phase.CONNECT)
    assert told == NoReply(
        failure=Failure.CONNECT,
        died_in=Phase.CONNECT,
        error="cannot connect to plugins.example.com:443: connection refused",
    )


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_that_this_machine_had_no_descriptor_for_one_of_them_is_ours(number: int) -> None:
    with pytest.raises(LocalError) as raised:
        no_reply(failed(errno.ECONNREFUSED, number), Phase.CONNECT)
    assert raised.value.errno == number


def test_that_there_is_no_ipv6_here_is_not() -> None:
    told = no_reply(failed(errno.EADDRNOTAVAIL, errno.ECONNREFUSED), Phase.CONNECT)
    assert told is not None
    assert told.failure is Failure.CONNECT


class TwoAddresses(Resolver):
    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        (one,) = await super().resolve(host, port, socket.AF_INET)
        return [one, ResolveResult(**{**one, "host": "127.0.0.2"})]  # nobody listens there


async def test_after_a_handshake_that_failed_the_next_address_is_connected_to(authority: trustme.CA) -> None:
    context = server_context(authority.issue_cert("api.example"))
    async with (
        serving(replying(reply()), context) as server,
        client_of(server, scheme="https", host="api.example", resolver=TwoAddresses()) as client,
    ):
        exchange = await client.call(target())
    assert isinstance(exchange.answer, NoReply)
    assert "during the TLS handshake" not in exchange.answer.error
    assert exchange.answer.died_in is Phase.CONNECT
