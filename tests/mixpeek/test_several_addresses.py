"""A name with several addresses, each of which failed in its own way: what that says, and about whom."""

import errno
import os

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

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
