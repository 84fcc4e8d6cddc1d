"""Channel: one connection, as it carries one call after another."""

import asyncio
import ssl

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http import HttpResponseParser, RawResponseMessage
from aiohttp.http_parser import HttpParser

from worker.mixpeek.failures import MalformedHeadError, TooManyInterimsError
from worker.mixpeek.flight import Flight

# More is written when this much has been taken: a body of many megabytes does not hold up the loop.
_PIECE_BYTES = 1 << 18
# What came is taken out of the parser at once, so that it never holds more than the system gives us in one go.
_PARSER_LIMIT = 1 << 22
_HEAD_END = b"\r\n\r\n"
# A reply may be announced and its progress told, but nobody needs to be told as often.
_MOST_INTERIMS = 1000

#: With this status servers end connections on which they wait for a request.
REQUEST_TIMEOUT = 408


class Channel(ResponseHandler):
    """Until its first call it is what aiohttp makes of a connection: a proxy's CONNECT needs that. From then on what
    comes goes to aiohttp's parser and from there to the call at once: no task wakes before the reply is complete.
    """

    #: Keeps the connection ours, until it is dropped.
    connection: Connection | None = None
    #: What a plain http proxy wants to see in every request.
    proxy_authorization = b""
    #: When its last call ended.
    idle_since = 0.0

    _flight: Flight | None = None
    _until = 0.0  # when the call's time-out strikes
    _alarm: asyncio.TimerHandle | None = None
    _carries_calls = False
    _unsent = memoryview(b"")
    _interims = 0  # of this call
    _head = b""  # what has come while the reply's head is incomplete

    def send(self, flight: Flight, request: bytes, until: float) -> None:
        """Begins a call on this connection, which may last until then (the loop's time); `flight.over` is done when it
        has ended.
        """
        transport = self.transport
        if transport is None:
            raise aiohttp.ServerDisconnectedError
        if not self._carries_calls:
            self._carries_calls = True
            transport.set_write_buffer_limits(high=1, low=0)  # so that we are told when all of a request has gone
        self._flight = flight
        self._expire_at(until)
        self._parser = self._new_parser()
        self._head = b""
        self._interims = 0
        flight.timeline.send()
        if len(request) > _PIECE_BYTES:
            self._unsent = memoryview(request)
            self._send_on()
        else:
            transport.write(request)
            self._hear_out()
            if not self._paused and flight.timeline.heard_at is None:
                flight.timeline.written_at = flight.timeline.now()

    @property
    def reusable(self) -> bool:
        """Whether nothing of the last call is left, on either side."""
        return not self._should_close and not self._paused and not self._unsent and self.is_connected()

    def drop(self) -> None:
        """Ends the connection, and the call that is on it, if there is one."""
        self._flight = None
        if self._alarm:
            self._alarm.cancel()
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()

    def _expire_at(self, until: float) -> None:
        """An alarm that rings too early is set anew, and one that rings after the call is left alone: most calls end
        long before their time-outs, and to set an alarm for each of them would be a thirtieth of all that it costs.
        """
        self._until = until
        if self._alarm is None or self._alarm.when() > until:
            if self._alarm:
                self._alarm.cancel()
            self._alarm = self._loop.call_at(until, self._ring, until)

    def _ring(self, at: float) -> None:
        self._alarm = None
        if self._flight is None:
            return
        if at < self._until:
            self._expire_at(self._until)
        else:
            self._flight.expire()

    def _send_on(self) -> None:
        while self._unsent and not self._paused and self.transport is not None:
            piece, self._unsent = self._unsent[:_PIECE_BYTES], self._unsent[_PIECE_BYTES:]
            self.transport.write(piece)
            self._hear_out()
        flight = self._flight
        if flight is not None and not self._unsent and not self._paused and flight.timeline.heard_at is None:
            flight.timeline.written_at = flight.timeline.now()

    def _hear_out(self) -> None:
        """Where a write met a reset asyncio reads no more, but the system still holds what came before it: the answer
        of a server that refused at the sight of the head, or its alert that it missed our certificate.
        """
        transport = self.transport
        # No public way leads from TLS to what is beneath it.
        tls = getattr(transport, "_ssl_protocol", None)
        beneath = transport if tls is None else tls._transport
        if self._flight is None or transport is None or beneath is None or not beneath.is_closing():
            return
        self._should_close = True
        try:
            with transport.get_extra_info("socket").dup() as left:
                while data := left.recv(_PIECE_BYTES):
                    if tls is None:
                        self.data_received(data)
                    else:
                        tls._incoming.write(data)
                        while text := tls._sslobj.read(_PIECE_BYTES):
                            self.data_received(text)
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            return
        except ssl.SSLError as error:
            self._land(error)
        except OSError:
            return

    def _land(self, error: BaseException | None = None) -> None:
        flight, self._flight = self._flight, None
        if flight is None or flight.over.done():
            return
        if error is None:
            flight.over.set_result(None)
        else:
            self._should_close = True
            flight.over.set_exception(error)

    # What the loop calls ---------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        flight = self._flight
        if flight is None:
            if self._carries_calls:
                # Nobody asked: a 408 or 503 with which the server ends an idle connection. It is nobody's answer.
                self.abort()
            else:
                super().data_received(data)
            return
        # Noted here, before the loop gets round to waking the call.
        flight.timeline.arrived_at = flight.timeline.now()
        try:
            self._take(flight, data)
        except Exception as error:
            self._land(error)

    def _take(self, flight: Flight, data: bytes) -> None:
        if flight.status is None:
            self._head += data
        try:
            self._feed(flight, data)
        except TooManyInterimsError:
            raise
        except MalformedHeadError:
            self._feed_again(flight)
        if flight.take_body():
            self._land()

    def _feed(self, flight: Flight, data: bytes) -> None:
        assert self._parser is not None
        try:
            heads, upgraded, _ = self._parser.feed_data(data)
        except Exception as error:
            if flight.payload is None or not flight.payload.is_eof():
                raise _unreadable(flight) from error
            self._should_close = True  # the reply was complete; what follows it is nobody's
            return
        for head, payload in heads:
            if 100 <= head.code < 200 and head.code != 101:
                self._head = self._head[self._head.rfind(_HEAD_END) + len(_HEAD_END) :]
                self._interims += 1
                if self._interims > _MOST_INTERIMS:
                    raise TooManyInterimsError
                continue
            unsound = head.should_close or upgraded or flight.status is not None or head.code == REQUEST_TIMEOUT
            self._should_close = self._should_close or unsound
            if flight.status is None:
                flight.hear(head, payload)
                self._head = b""

    def _feed_again(self, flight: Flight) -> None:
        """The parser tells of no head that came in one piece with an error, as that of a body whose chunks are wrong.
        Nothing may depend on how the network cut the reply: so each head is fed by itself.
        """
        self._parser = self._new_parser()
        pieces, begin = self._head, 0
        while flight.status is None and begin < len(pieces):
            found = pieces.find(_HEAD_END, begin)
            end = len(pieces) if found < 0 else found + len(_HEAD_END)
            self._feed(flight, pieces[begin:end])
            begin = end
        if begin < len(pieces):
            self._feed(flight, pieces[begin:])

    def _new_parser(self) -> HttpParser[RawResponseMessage]:
        return HttpResponseParser(
            self,
            self._loop,
            _PARSER_LIMIT,
            payload_exception=aiohttp.ClientPayloadError,
            read_until_eof=True,
            auto_decompress=False,
        )

    def connection_lost(self, exc: BaseException | None) -> None:
        if exc is not None and self.transport is not None and self.transport.get_extra_info("ssl_object") is None:
            self._hear_out()  # through TLS it is too late
        flight, parser = self._flight, self._parser
        if self._carries_calls:
            self._parser = None
        super().connection_lost(exc)
        if flight is None:
            return
        flight.timeline.arrived_at = flight.timeline.now()
        try:
            if flight.payload is not None and parser is not None:
                _end_body(flight, parser)
            if exc is not None or not flight.take_body():
                raise _lost(exc) from exc
        except Exception as error:
            self._land(error)
        else:
            self._land()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._send_on()

    # What the parser and the connector call -------------------------------------------------------------------------

    def resume_reading(self, resume_parser: bool = True) -> None:
        if not self._carries_calls:
            super().resume_reading(resume_parser)

    def close(self) -> None:
        # Nothing is ever left to flush, and an orderly end of TLS would linger for up to 30 s.
        self.abort()


def _end_body(flight: Flight, parser: HttpParser[RawResponseMessage]) -> None:
    """A body without a length ends with its connection; any other is incomplete then."""
    try:
        parser.feed_eof()
    except Exception as error:
        raise _unreadable(flight) from error


def _unreadable(flight: Flight) -> Exception:
    return MalformedHeadError() if flight.status is None else aiohttp.ClientPayloadError()


def _lost(error: BaseException | None) -> Exception:
    return aiohttp.ClientOSError(*error.args) if isinstance(error, OSError) else aiohttp.ServerDisconnectedError()
