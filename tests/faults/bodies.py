"""Faults of the reply's body: lengths, chunks, sizes, and what a JSON parser meets."""

import json

from tests.faults.fault import CHUNKED, HEAD, Fault, Play, Stage, body, endless, filled, raw, sends
from tests.mixpeek.servers import GOOD_BODY, reply
from worker.core.exchange import Phase
from worker.core.outcome import Outcome

_BEFORE = b'{"status":"success","inference_name":"x","raw_response":['
_CHUNK = b"%x\r\n%b\r\n" % (len(GOOD_BODY), GOOD_BODY)
_LONG = HEAD + b"Content-Length: 10000000000\r\n\r\n"
_MANY_KEYS = b"{%b}" % b",".join(b'"%x":0' % number for number in range(100_000))
_HOSTILE = json.dumps({"t": "\x1b[2J\u202e</script>\x00${x}{{x}}%s\r\n\r\nHTTP/1.1"}).encode()
_TEXT = GOOD_BODY.replace(b"custom_plugin_x", "naïve_🦊".encode())


def _hanging(name: str, does: str, play: Play) -> Fault:
    return Fault(name=name, does=does, outcome=Outcome.TIMEOUT, play=play, died_in=Phase.RECEIVE, takes="time-out")


def _broken(name: str, does: str, play: Play, words: str = "broken reply body") -> Fault:
    return Fault(name=name, does=does, outcome=Outcome.DISCONNECTED, play=play, died_in=Phase.RECEIVE, words=words)


def _too_large(name: str, does: str, play: Play) -> Fault:
    outcome = Outcome.RESPONSE_TOO_LARGE
    return Fault(name=name, does=does, outcome=outcome, play=play, died_in=Phase.RECEIVE, holds="cap")


def _no_reply(name: str, does: str, play: Play, words: str = "") -> Fault:
    return Fault(name=name, does=does, outcome=Outcome.CONTRACT_VIOLATION, play=play, words=words)


def _well(name: str, does: str, play: Play) -> Fault:
    return Fault(name=name, does=does, outcome=Outcome.SUCCESS, play=play)


def _bomb(name: str, filler: bytes) -> Fault:
    does = f"`{filler.decode()}` as often as the cap allows"
    return Fault(name=name, does=does, outcome=Outcome.SUCCESS, play=filled(_BEFORE, filler, b"]}"), holds="parsed")


async def _embedding(stage: Stage) -> None:
    await stage.peer.send(reply(_BEFORE + b"0.0123456789," * 800_000 + b"1]}"))


WIRE = (
    _hanging("body_never", "a head alone", sends(HEAD + b"Content-Length: 9\r\n\r\n", then="hang")),
    _hanging("body_stalls", "half a body, then nothing", sends(reply(length=1000), then="hang")),
    _hanging("body_drips", "a byte at a time, without an end", endless(_LONG, part=b" ", pause_s=0.05)),
    _hanging("chunks_drip", "a chunk at a time, without an end", endless(CHUNKED, part=b"1\r\n \r\n", pause_s=0.05)),
    _hanging("length_lies", "a length of 10 GB, and a small body", sends(_LONG + GOOD_BODY, then="hang")),
    _hanging("last_chunk_missing", "chunks, but not the last", sends(CHUNKED, _CHUNK, then="hang")),
    _broken("body_short", "closes before the length is reached", sends(reply(length=1000), then="close")),
    _broken("body_reset", "resets within the body", sends(reply(length=1000), then="reset", pause_s=0.05)),
    _broken("chunks_cut", "closes before the last chunk", sends(CHUNKED, _CHUNK, then="close")),
    _broken("chunk_size_bad", "a chunk's size that is no number", sends(CHUNKED, b"zz\r\nhello\r\n", then="hang")),
    _broken("chunk_size_huge", "a chunk's size of 20 digits", sends(CHUNKED, b"f" * 20 + b"\r\nx", then="hang")),
    _broken("chunk_size_negative", "a negative chunk's size", sends(CHUNKED, b"-1\r\nx\r\n", then="hang")),
    _broken("chunk_unended", "a chunk that is longer than its size", sends(CHUNKED, b"2\r\nhello\r\n", then="hang")),
    _too_large("endless", "a body without a length or an end", endless(HEAD + b"\r\n", part=b" " * 65_536)),
    _too_large("endless_chunks", "chunks without an end", endless(CHUNKED, part=b"1000\r\n" + b" " * 4096 + b"\r\n")),
    _too_large("embedding_of_10_mb", "an embedding of 10 MB", _embedding),
    _well(
        "until_close", "no length: the body ends with the connection", sends(HEAD + b"\r\n" + GOOD_BODY, then="close")
    ),
    _well(
        "chunks",
        "chunks with extensions and a trailer",
        sends(CHUNKED, _CHUNK.replace(b"\r\n{", b";a=b\r\n{"), b"0\r\nX: y\r\n\r\n"),
    ),
    _well("body_long", "a body longer than its length", sends(reply(GOOD_BODY + b"rest", length=len(GOOD_BODY)))),
)

TEXT = (
    _no_reply("empty", "an empty body", body(b""), "an empty body"),
    _no_reply("blank", "blanks alone", body(b" \r\n ")),
    _no_reply(
        "html", "200 and an HTML page", body(b"<html><h1>Welcome</h1></html>", Content_Type="text/html"), "Welcome"
    ),
    _no_reply("json_cut", "JSON that was cut", body(GOOD_BODY[:-20])),
    _no_reply("json_twice", "the document twice", body(GOOD_BODY * 2)),
    _no_reply("json_of_python", "Python's repr", body(GOOD_BODY.replace(b'"', b"'"))),
    _no_reply("json_comment", "JSON with a comment", body(b"// healthy\n" + GOOD_BODY)),
    _no_reply("json_array", "an array", body(b"[%b]" % GOOD_BODY), "an array"),
    _no_reply("json_text", "a string", body(json.dumps(GOOD_BODY.decode()).encode())),
    _no_reply("json_null", "null", body(b"null"), "null"),
    _no_reply("json_number", "a number", body(b"1e9"), "number"),
    _no_reply("json_empty", "an empty object", body(b"{}"), "no such field"),
    _no_reply("bom", "a byte order mark", body(b"\xef\xbb\xbf" + GOOD_BODY), "no JSON"),
    _no_reply("utf_16", "UTF-16", body(GOOD_BODY.decode().encode("utf-16")), "no JSON"),
    _no_reply("utf_8_invalid", "invalid UTF-8", body(GOOD_BODY.replace(b"custom", b"\xff\xfe")), "no JSON"),
    _no_reply("surrogate", "half of a surrogate pair", body(GOOD_BODY.replace(b"custom", b"\\ud800")), "no JSON"),
    _no_reply(
        "control_character", "a raw line break in a string", body(GOOD_BODY.replace(b"custom", b"\n")), "no JSON"
    ),
    _no_reply("nested_deep", "100,000 arrays, one in the other", raw(b"[" * 100_000 + b"]" * 100_000)),
    _no_reply("nested_objects", "100,000 objects, one in the other", raw(b'{"a":' * 100_000 + b"1" + b"}" * 100_000)),
    _no_reply("nested_open", "100,000 brackets that nobody closes", body(b"[" * 100_000)),
    _no_reply("integer_endless", "an integer of 100,000 digits", raw(b'{"n":' + b"9" * 100_000 + b"}")),
    _well("integer_enormous", "an integer of 4,000 digits", raw(b'{"n":' + b"9" * 4000 + b"}")),
    _well("nested", "100 arrays, one in the other", raw(b"[" * 100 + b"1" + b"]" * 100)),
    _well("type_wrong", "JSON that is called text/html", body(GOOD_BODY, Content_Type="text/html")),
    _well("type_missing", "no Content-Type", body(GOOD_BODY)),
    _well("type_charset", "a charset that does not exist", body(GOOD_BODY, Content_Type="application/json; charset=x")),
    _well("emoji", "words beyond ASCII", body(_TEXT)),
    _well("keys_twice", "a key twice: the last one counts", body(b'{"status":"error",' + GOOD_BODY[1:])),
    _well("keys_many", "100,000 keys", raw(_MANY_KEYS)),
    _well("keys_hostile", "escapes, markup and templates in strings", raw(_HOSTILE)),
    _well("key_empty", "a key without a name", raw(b'{"":1}')),
    _bomb("bomb_of_numbers", b"1,"),
    _bomb("bomb_of_arrays", b"[1],"),
    _bomb("bomb_of_empty_arrays", b"[],"),
    _bomb("bomb_of_objects", b"{},"),
    _bomb("bomb_of_texts", b'"a",'),
    _bomb("bomb_of_fields", b'{"a":1},'),
)
