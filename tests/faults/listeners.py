"""Listeners whose fault is in the address itself: TLS, connections that never stand, and names."""

import asyncio
import contextlib
import datetime
import socket
import ssl
import struct
from typing import cast

import trustme

from tests.faults.proxy import passings, proxy_to
from tests.mixpeek.servers import Peer, Script, Server, pipe_to, server_context

DAY = datetime.timedelta(days=1)


class House:
    """Opens listeners, and keeps them until the process ends. `urls` are by fault, `etc` what /etc/resolv.conf and
    /etc/hosts have to say for a fault.
    """

    def __init__(self) -> None:
        self.urls: dict[str, str] = {}
        self.etc: dict[str, dict[str, str]] = {}
        self.authority = trustme.CA()
        self._kept: list[object] = []

    async def open(self, script: Script, tls: ssl.SSLContext | None = None) -> int:
        """The port of a listener with that script."""
        listener = await asyncio.start_server(Server(script).accept, "127.0.0.1", 0, ssl=tls, backlog=512)
        self._kept.append(listener)
        port: int = listener.sockets[0].getsockname()[1]
        return port

    async def open_all(self, healthy: Script, healthy_port: int, timeout_s: float) -> None:
        """Every fault that has an address of its own. `healthy` is what serves behind TLS, and its port without."""
        await self._open_tls(healthy)
        self._open_dead()
        await self._open_names(healthy_port)
        for name, script in (("reset_on_accept", _reset), ("closed_on_accept", _close)):
            self.urls[name] = f"http://127.0.0.1:{await self.open(script)}"
        for name, passing in passings(timeout_s).items():
            self.urls[name] = f"http://127.0.0.1:{await self.open(proxy_to(healthy_port, passing))}"

    async def _open_tls(self, healthy: Script) -> None:
        yesterday = datetime.datetime.now(datetime.UTC) - DAY
        good = server_context(self.authority.issue_cert("127.0.0.1"))
        expired = self.authority.issue_cert("127.0.0.1", not_before=yesterday - DAY, not_after=yesterday)
        contexts = {
            "tls_unknown_authority": server_context(trustme.CA().issue_cert("127.0.0.1")),
            "tls_expired": server_context(expired),
            "tls_wrong_host": server_context(self.authority.issue_cert("other.example")),
            "tls_too_old": _too_old(self.authority.issue_cert("127.0.0.1")),
        }
        ports = {name: await self.open(healthy, context) for name, context in contexts.items()}
        secure = await self.open(healthy, good)
        ports["tls_plain_http"] = await self.open(_speak_http)
        ports["tls_hangs"] = await self.open(Peer.until_left)
        ports["tls_closed"] = await self.open(_close_after_hello)
        ports["tls_slow"] = await self.open(_slowly_to(secure))
        self.urls |= {name: f"https://127.0.0.1:{port}" for name, port in ports.items()}
        self.urls["http_meets_tls"] = f"http://127.0.0.1:{secure}"

    def _open_dead(self) -> None:
        deaf = socket.socket()  # it holds its port, which would be the next one's otherwise, and does not listen
        deaf.bind(("127.0.0.1", 0))
        self._kept.append(deaf)
        self.urls["refused"] = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        # Nobody accepts, and the queue is full: Linux drops every SYN that comes then.
        full = socket.create_server(("127.0.0.1", 0), backlog=0)
        for _ in range(4):
            waiting = socket.socket()
            waiting.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiting.connect(full.getsockname())
            self._kept.append(waiting)
        self._kept.append(full)
        self.urls["syn_black_hole"] = f"http://127.0.0.1:{full.getsockname()[1]}"
        self.urls["ipv6_black_hole"] = "http://[100::1]:80"  # RFC 6666: what goes there is discarded

    async def _open_names(self, healthy_port: int) -> None:
        loop = asyncio.get_running_loop()
        knowing, _ = await loop.create_datagram_endpoint(_NoSuchDomain, local_addr=("127.0.0.1", 0))
        silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        silent.bind(("127.0.0.1", 0))
        self._kept += [knowing, silent]
        resolver = f"nameserver 127.0.0.1:{knowing.get_extra_info('sockname')[1]}\n"
        self.etc["name_unknown"] = {"resolv.conf": resolver}
        self.etc["name_servers_silent"] = {"resolv.conf": f"nameserver 127.0.0.1:{silent.getsockname()[1]}\n"}
        dead = "".join(f"127.0.0.{host} several.example\n" for host in (2, 3, 4))
        self.etc["first_addresses_dead"] = {"resolv.conf": resolver, "hosts": f"{dead}127.0.0.1 several.example\n"}
        self.urls["name_unknown"] = self.urls["name_servers_silent"] = "http://nowhere.example"
        self.urls["first_addresses_dead"] = f"http://several.example:{healthy_port}"


class _NoSuchDomain(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(data[:2] + struct.pack(">H", 0x8183) + data[4:], addr)


def _too_old(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = server_context(certificate)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


async def _reset(peer: Peer) -> None:
    peer.reset()


async def _close(peer: Peer) -> None:
    peer.writer.close()


async def _close_after_hello(peer: Peer) -> None:
    await peer.reader.read(65_536)


async def _speak_http(peer: Peer) -> None:
    await peer.reader.read(65_536)
    await peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await peer.until_left()


def _slowly_to(port: int) -> Script:
    async def script(peer: Peer) -> None:
        await asyncio.sleep(0.3)
        await pipe_to(peer, port)

    return script
