"""TLS: verified, timed, and how it fails."""

import asyncio
import datetime
import socket
import ssl
from pathlib import Path

import pytest
import trustme

from tests.mixpeek.servers import (
    Peer,
    Resolver,
    client_of,
    pipe_to,
    reply,
    replying,
    server_context,
    serving,
    target,
)
from worker.core.exchange import Exchange, Failure, NoReply, Phase, Reply
from worker.settings import TlsSettings

DAY = datetime.timedelta(days=1)


def tls_failure(error: str) -> NoReply:
    return NoReply(failure=Failure.TLS, died_in=Phase.TLS, error=error)


async def secure_call(context: ssl.SSLContext, tls: TlsSettings) -> tuple[Exchange, float | None]:
    """One call to a server with that certificate, and the expiry that the client saw."""
    async with serving(replying(reply()), context) as server, client_of(server, scheme="https", tls=tls) as client:
        return await client.call(target()), client.earliest_cert_expiry


async def test_a_verified_server(secure: ssl.SSLContext, ca_file: Path) -> None:
    tls = TlsSettings(ca_file=ca_file)
    async with serving(replying(reply()), secure) as server, client_of(server, scheme="https", tls=tls) as client:
        first = await client.call(target())
        second = await client.call(target())
    assert isinstance(first.answer, Reply)
    assert first.phases.connect is not None
    assert first.phases.tls is not None
    assert first.phases.dns is None
    assert second.phases.tls is None
    assert second.reused_connection is True


async def test_the_expiry_is_the_certificates_own(authority: trustme.CA, ca_file: Path) -> None:
    expires = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + 10 * DAY
    context = server_context(authority.issue_cert("127.0.0.1", not_after=expires))
    _, expiry = await secure_call(context, TlsSettings(ca_file=ca_file))
    assert expiry == expires.timestamp()


async def test_an_expired_certificate_still_shows_its_expiry(authority: trustme.CA, ca_file: Path) -> None:
    expired = datetime.datetime.now(datetime.UTC).replace(microsecond=0) - DAY
    context = server_context(authority.issue_cert("127.0.0.1", not_before=expired - DAY, not_after=expired))
    exchange, expiry = await secure_call(context, TlsSettings(ca_file=ca_file))
    assert expiry == expired.timestamp()
    assert exchange.answer == tls_failure("certificate not accepted: certificate has expired")
    assert exchange.phases.tls is not None
    assert exchange.phases.send is None


async def test_a_certificate_of_another_host(authority: trustme.CA, ca_file: Path) -> None:
    context = server_context(authority.issue_cert("other.example"))
    async with (
        serving(replying(reply()), context) as server,
        client_of(
            server, scheme="https", host="api.example", resolver=Resolver(), tls=TlsSettings(ca_file=ca_file)
        ) as client,
    ):
        exchange = await client.call(target())
        assert client.earliest_cert_expiry is not None
    assert exchange.answer == tls_failure(
        "certificate not accepted: Hostname mismatch, certificate is not valid for 'api.example'."
    )


async def test_an_unknown_authority(secure: ssl.SSLContext) -> None:
    async with serving(replying(reply()), secure) as server, client_of(server, scheme="https") as client:
        exchange = await client.call(target())
        assert client.earliest_cert_expiry is not None
    assert exchange.answer == tls_failure("certificate not accepted: unable to get local issuer certificate")
    assert server.requests == []


@pytest.fixture(scope="module")
def suspicious(authority: trustme.CA) -> ssl.SSLContext:
    """A server that wants to see a certificate of the client."""
    context = server_context(authority.issue_cert("127.0.0.1"))
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    return context


async def test_a_client_certificate(
    authority: trustme.CA, ca_file: Path, suspicious: ssl.SSLContext, tmp_path: Path
) -> None:
    ours = tmp_path / "client.pem"
    authority.issue_cert("client@example.org").private_key_and_cert_chain_pem.write_to_path(str(ours))
    exchange, _ = await secure_call(suspicious, TlsSettings(ca_file=ca_file, cert_file=ours))
    assert isinstance(exchange.answer, Reply)


async def test_a_server_that_misses_our_certificate(ca_file: Path, suspicious: ssl.SSLContext) -> None:
    """With TLS 1.3 the refusal comes when the handshake is over for the client."""

    def refuse(listener: socket.socket) -> None:  # asyncio's server would close without saying why
        connection, _ = listener.accept()
        with suspicious.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as secured:
            with pytest.raises(ssl.SSLError):
                secured.do_handshake()
            socket.socket.recv(secured, 65_536)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        async with client_of(port, scheme="https", tls=TlsSettings(ca_file=ca_file)) as client:
            exchange, _ = await asyncio.gather(client.call(target()), asyncio.to_thread(refuse, listener))
    assert exchange.answer == tls_failure("TLS handshake failed: tlsv13 alert certificate required")


async def test_a_plain_server_on_the_tls_port() -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.read(100)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with serving(script) as server, client_of(server, scheme="https") as client:
        exchange = await client.call(target())
    assert exchange.answer == tls_failure("TLS handshake failed: wrong version number")


async def test_a_tls_server_on_the_plain_port(secure: ssl.SSLContext) -> None:
    async with serving(replying(reply()), secure) as server, client_of(server) as client:
        exchange = await client.call(target())
    assert isinstance(exchange.answer, NoReply)
    assert exchange.answer.failure is Failure.DISCONNECTED


async def test_a_reset_in_the_handshake() -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.read(100)
        peer.reset()

    async with serving(script) as server, client_of(server, scheme="https") as client:
        exchange = await client.call(target())
    assert exchange.answer == tls_failure("connection reset by peer during the TLS handshake")


async def test_a_handshake_that_hangs() -> None:
    async with serving(Peer.until_left) as server, client_of(server, scheme="https") as client:
        exchange = await client.call(target(timeout_s=0.2))
    assert exchange.answer == NoReply(
        failure=Failure.TIMEOUT, died_in=Phase.TLS, error="the TLS handshake did not end within 0.2 s"
    )
    assert exchange.phases.tls == pytest.approx(0.2, abs=0.05)
    assert exchange.phases.connect == pytest.approx(0.0, abs=0.05)


async def test_a_slow_handshake_shows_in_tls(secure: ssl.SSLContext, ca_file: Path) -> None:
    """A relay that holds the first bytes back for a while."""

    tls = TlsSettings(ca_file=ca_file)
    async with serving(replying(reply()), secure) as server:

        async def relay(peer: Peer) -> None:
            await asyncio.sleep(0.1)
            await pipe_to(peer, server.port)

        async with serving(relay) as front, client_of(front, scheme="https", tls=tls) as client:
            exchange = await client.call(target())
    assert isinstance(exchange.answer, Reply)
    assert exchange.phases.tls == pytest.approx(0.1, abs=0.05)
    assert exchange.phases.wait == pytest.approx(0.0, abs=0.05)


async def test_tls_that_breaks_later(secure: ssl.SSLContext, ca_file: Path) -> None:
    """A relay that slips in a record which nobody encrypted."""

    tls = TlsSettings(ca_file=ca_file)
    async with serving(Peer.until_left, secure) as server:

        async def relay(peer: Peer) -> None:
            asyncio.get_running_loop().call_later(0.1, peer.writer.write, b"\x17\x03\x03\x00\x20" + bytes(32))
            await pipe_to(peer, server.port)

        async with serving(relay) as front, client_of(front, scheme="https", tls=tls) as client:
            exchange = await client.call(target())
    assert exchange.answer == NoReply(
        failure=Failure.DISCONNECTED,
        died_in=Phase.WAIT,
        error="TLS broke before the reply's head was complete: decryption failed or bad record mac",
    )
