"""HTTP replies, byte for byte: the documented ones first, then whatever can be wrong with them."""

import gzip
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import pairwise
from typing import Any

from hypothesis import strategies as st

from tests.fakes import EPOCH_S
from tests.fuzz.broken_json import broken, values, written
from tests.fuzz.memory_wire import KEY, Served

SUCCESS: dict[str, Any] = {
    "status": "success",
    "inference_name": "custom_plugin_p_1_0_0",
    "raw_response": {"embedding": [0.6, 0.8]},
    "response_type": "dict",
    "response_keys": ["embedding"],
    "error": None,
    "message": "Inference call to 'custom_plugin_p_1_0_0' succeeded",
}
FAILURE: dict[str, Any] = {**SUCCESS, "status": "error", "raw_response": None, "error": "it broke"}
ERROR: dict[str, Any] = {"message": "no", "type": "TooManyRequestsError", "code": "c", "details": {"retry_after": 3}}
WARMING: dict[str, Any] = {**ERROR, "code": "model_warming", "details": {"retry_after_seconds": 2}}
REFUSALS: list[Any] = [
    {"success": False, "status": 429, "error": ERROR},
    {"success": False, "status": 503, "error": WARMING},
    {"detail": "Plugin not found: p"},
    {"detail": ERROR},
    {"detail": [{"loc": ["body", "inputs", 0], "msg": "field required", "type": "missing"}]},
    {"detail": {"error": ERROR}},
]

moments = st.floats(EPOCH_S - 10**6, EPOCH_S + 10**6).map(lambda at: datetime.fromtimestamp(int(at), UTC))
dates = st.one_of(
    moments.map(lambda at: format_datetime(at, usegmt=True)),
    moments.map(lambda at: at.strftime("%A, %d-%b-%y %H:%M:%S GMT")),
    moments.map(lambda at: at.strftime("%a %b %e %H:%M:%S %Y")),
)
retry_afters = st.one_of(
    st.integers(0, 100).map(str),
    st.floats(0, 100).map(str),
    dates,
    st.integers().map(str),
    st.sampled_from(
        ["-1", "1e9", "1e999", "9" * 400, "inf", "nan", "0x10", "", "soon", "1, 2", "\u0663", "+5", "1.", "5s"]
    ),
    st.sampled_from(["Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 1 Jan 99999 0:0:0 +9999", "Thu, 01 Jan 1970 00:00:00 GMT"]),
    dates.map(lambda text: text[:-3]),
)
_header_texts = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=30)
_statuses = st.sampled_from(
    [100, 101, 199, 200, 201, 204, 206, 301, 302, 304, 307, 400, 401, 402, 403, 404, 407, 408, 422, 429, 500, 502, 503]
) | st.integers(0, 1000)
#: How often something is done to a reply: most are to reach the judge.
_seldom = st.integers(0, 9).map(lambda drawn: drawn == 9)

# Bodies ---------------------------------------------------------------------------------------------------------------

_documents: st.SearchStrategy[tuple[int, Any]] = st.one_of(
    st.tuples(st.just(200), broken(SUCCESS)),
    st.tuples(st.just(200), broken(SUCCESS, most=1)),
    st.tuples(st.just(200), broken(FAILURE)),
    st.tuples(st.sampled_from([401, 403, 404, 422, 429, 500, 503]), st.sampled_from(REFUSALS).flatmap(broken)),
    st.tuples(st.just(200), values),
)
_prose = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(
        [b"", b"null", b"[" * 50_000, b'{"a":' * 10_000, b"<html><h1>502 &#115;k_live", b"x" * 70_000, b"<" * 60_000]
    ),
    st.just(b"&#115;" + KEY[1:].encode()),
)
_wounds: list[Callable[[bytes, int, int], bytes]] = [
    lambda body, at, _byte: body[:at],
    lambda body, at, byte: body[:at] + bytes([byte]) + body[at + 1 :],
    lambda body, at, byte: body[:at] + bytes([byte]) + body[at:],
    lambda body, at, _byte: body[:at] + b"\xed\xa0\x80" + body[at:],
    lambda body, _at, _byte: b"\xef\xbb\xbf" + body,
    lambda body, _at, _byte: body + body,
    lambda body, _at, _byte: body + b" " * 2000 + b"x",
    lambda body, _at, _byte: body.decode(errors="replace").encode("utf-16", errors="replace"),
]


@st.composite
def _answers(draw: st.DrawFn) -> tuple[int, bytes]:
    """A status and a body, as a rule those that go together."""
    status, document = draw(_documents)
    body = written(document).encode(errors="surrogatepass")
    if draw(_seldom):
        body = draw(_prose)
    if draw(_seldom):
        body = draw(st.sampled_from(_wounds))(body, draw(st.integers(0, len(body))), draw(st.integers(0, 255)))
    return draw(_statuses) if draw(_seldom) else status, body


# Encodings and framing ------------------------------------------------------------------------------------------------

_BOMB = gzip.compress(bytes(300_000))
_CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": lambda body: gzip.compress(body[:9]) + gzip.compress(body[9:]),
    "deflate": zlib.compress,
    " Deflate": lambda body: zlib.compress(body)[2:-4],
    "identity": bytes,
    "br": bytes,
    "gzip, gzip": gzip.compress,
    "": bytes,
}


@st.composite
def _coded(draw: st.DrawFn, body: bytes) -> tuple[list[tuple[str, str]], bytes]:
    """The body in an encoding that its header tells, or does not."""
    if not draw(_seldom):
        return [], body
    name, encode = draw(st.sampled_from(list(_CODINGS.items())))
    coded = draw(st.sampled_from([encode(body), encode(body), body, encode(body)[:-3], _BOMB]))
    return [("Content-Encoding", name)], coded


def _chunks(body: bytes, at: int, end: bytes) -> bytes:
    return b"".join(b"%x;a=b\r\n%b\r\n" % (len(part), part) for part in (body[:at], body[at:]) if part) + end


@st.composite
def _framed(draw: st.DrawFn, body: bytes) -> tuple[list[tuple[str, str]], bytes]:
    """The body with its length or in chunks."""
    if draw(st.booleans()):
        return [("Content-Length", str(len(body)))], body
    return [("Transfer-Encoding", "chunked")], _chunks(body, draw(st.integers(0, len(body))), b"0\r\n\r\n")


@st.composite
def _misframed(draw: st.DrawFn, body: bytes) -> tuple[list[tuple[str, str]], bytes]:
    """The body until the connection ends, or with a length that is wrong, or several, or in bad chunks."""
    wrong = [str(len(body) + 3), str(len(body) // 2), "-1", "+5", "x", "9" * 30, "1, 1"]
    lengths = draw(st.lists(st.sampled_from(wrong), max_size=2))
    fields = [("Content-Length", length) for length in lengths]
    if draw(st.booleans()):
        return fields, body
    end = draw(st.sampled_from([b"0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"", b"z\r\n", b"-1\r\n"]))
    return [*fields, ("Transfer-Encoding", "chunked")], _chunks(body, draw(st.integers(0, len(body))), end)


_extra = st.lists(
    st.one_of(
        st.tuples(st.just("Retry-After"), retry_afters),
        st.tuples(st.just("Content-Type"), st.sampled_from(["application/json", "text/html", "x" * 100, ""])),
        st.tuples(st.just("X-Request-ID"), st.sampled_from(["req_1", KEY, f"{KEY[:12]}\t{KEY[12:]}"]) | _header_texts),
        st.tuples(
            st.just("Location"), st.sampled_from([f"https://x:{KEY}@h/{KEY}?k={KEY}", "//[", "/a"]) | _header_texts
        ),
        st.tuples(st.just("Connection"), st.sampled_from(["close", "keep-alive", "upgrade"])),
        st.tuples(st.just("Set-Cookie"), _header_texts),
        st.tuples(st.sampled_from(["X"] * 9 + ["x y", "", ":", "X-" + "y" * 9000]), _header_texts),
    ),
    max_size=3,
)
_starts = st.sampled_from(
    ["HTTP/1.0 200 OK", "HTTP/2 200 OK", "HTTP/1.10 200 OK", "ICY 200 OK", "", "HTTP/1.1 20", "HTTP/1.1 -200", "\t"]
)
_reasons = st.sampled_from(["OK", "OK", "", f"key {KEY}", "\xe9", "x" * 500])
_interims = st.sampled_from([b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 E\r\nA: b\r\n\r\n"] * 2 + [b"\r\n", b"x"])


@st.composite
def served(draw: st.DrawFn) -> Served:
    """One reply, in pieces."""
    status, body = draw(_answers())
    coding, body = draw(_coded(body))
    framing, body = draw(_misframed(body) if draw(_seldom) else _framed(body))
    start = draw(_starts) if draw(_seldom) else f"HTTP/1.1 {status} {draw(_reasons)}"
    head = f"{start}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in [*framing, *coding, *draw(_extra)])
    whole = (draw(_interims) if draw(_seldom) else b"") + head.encode(errors="replace") + b"\r\n" + body
    if draw(_seldom):
        whole = whole[: draw(st.integers(0, len(whole)))]
    edges = [0, *sorted(draw(st.lists(st.integers(0, len(whole)), max_size=3))), len(whole)]
    pieces = [whole[begin:end] for begin, end in pairwise(edges) if begin < end]
    return Served(pieces, draw(st.sampled_from(["open", "open", "closed", "reset"])))
