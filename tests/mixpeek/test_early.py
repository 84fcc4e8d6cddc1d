"""A server that refuses before it has read all of the request, and closes: its reset follows what it said at once."""

import socket
import ssl
from pathlib import Path

import pytest
import trustme

from tests.mixpeek.servers import client_of, reply, server_context, target, threaded
from worker.core.exchange import Failure, NoReply, Phase
from worker.settings import TlsSettings

CALLS = 20


async def test_what_a_server_says_before_it_has_read_a_large_request_is_its_answer() -> None:
    def refuse(accepted: socket.socket) -> None:
        accepted.recv(4096)
        accepted.sendall(reply(b"{}", status="429 Too Many Requests", Connection="close"))

    large = target(inputs={"image": "A" * 2_000_000})
    with threaded(refuse, CALLS) as port:
        async with client_of(port) as client:
            exchanges = [await client.call(large) for _ in range(CALLS)]
    assert [exchange.http_status for exchange in exchanges] == [429] * CALLS


@pytest.mark.parametrize("size", [1, 500_000])
async def test_a_server_that_misses_our_certificate_and_closes_at_once(
    size: int, authority: trustme.CA, ca_file: Path
) -> None:
    suspicious = server_context(authority.issue_cert("127.0.0.1"))
    suspicious.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(suspicious)

    def refuse(accepted: socket.socket) -> None:
        suspicious.wrap_socket(accepted, server_side=True)

    with threaded(refuse, CALLS) as port:
        async with client_of(port, scheme="https", tls=TlsSettings(ca_file=ca_file)) as client:
            exchanges = [await client.call(target(inputs={"image": "A" * size})) for _ in range(CALLS)]
    refused = NoReply(
        failure=Failure.TLS, died_in=Phase.TLS, error="TLS handshake failed: tlsv13 alert certificate required"
    )
    assert [exchange.answer for exchange in exchanges] == [refused] * CALLS
