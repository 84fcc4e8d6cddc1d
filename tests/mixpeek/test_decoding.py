"""Content encodings, decoded piece by piece."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.mixpeek.decoding import Decoder
from worker.mixpeek.failures import UndecodableError


def decoded(encoding: str, *pieces: bytes, room: int = 1_000_000) -> bytes:
    decoder, whole = Decoder(encoding), b""
    for piece in pieces:
        whole += decoder.feed(piece, room - len(whole))
    decoder.finish()
    return whole


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


@given(body=st.binary(min_size=1, max_size=2000), at=st.integers(0, 2000))
def test_what_was_encoded_comes_back_wherever_it_is_cut(body: bytes, at: int) -> None:
    for encoding, packed in (
        ("", body),
        ("identity", body),
        (" GZIP", gzip.compress(body)),
        ("x-gzip", gzip.compress(body)),
        ("deflate", zlib.compress(body)),
    ):
        pieces = [piece for piece in (packed[:at], packed[at:]) if piece]
        assert decoded(encoding, *pieces) == body


def test_deflate_without_its_header_is_understood() -> None:
    assert decoded("deflate", raw_deflate(b"hello")) == b"hello"


def test_gzip_may_come_in_members() -> None:
    assert decoded("gzip", gzip.compress(b"one, ") + gzip.compress(b"two")) == b"one, two"


def test_a_bomb_is_decoded_no_further_than_there_is_room() -> None:
    decoder = Decoder("gzip")
    assert len(decoder.feed(gzip.compress(bytes(50_000_000)), 1001)) == 1001


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "nonsense"])
def test_what_nobody_asked_for_is_refused(encoding: str) -> None:
    with pytest.raises(UndecodableError, match="nor was it asked for"):
        decoded(encoding, b"x")


@pytest.mark.parametrize(
    ("encoding", "packed"), [("gzip", gzip.compress(b"hello")), ("deflate", zlib.compress(b"hello"))]
)
def test_what_is_cut_short_is_refused(encoding: str, packed: bytes) -> None:
    for end in range(1, len(packed)):
        with pytest.raises(UndecodableError, match="cut short"):
            decoded(encoding, packed[:end])


def test_an_empty_body_has_nothing_to_decode() -> None:
    assert decoded("gzip") == b""
