"""Every status that matters, redirects that fish for the key, and what a refusal's body says."""

import json
from collections.abc import Iterator
from http import HTTPStatus

from tests.faults.fault import Fault, Play, Stage, envelope, sends, status
from tests.mixpeek.servers import GOOD_BODY, reply
from worker.core.outcome import Outcome

_DECISIVE = {
    401: Outcome.UNAUTHORIZED,
    403: Outcome.FORBIDDEN,
    404: Outcome.NOT_FOUND,
    405: Outcome.NOT_FOUND,
    408: Outcome.SERVER_ERROR,
}
_CLASSES = {2: Outcome.SUCCESS, 3: Outcome.REDIRECTED, 4: Outcome.REJECTED, 5: Outcome.SERVER_ERROR}
#: What gateways in front of it make up.
_UNLISTED = (
    299,
    399,
    420,
    430,
    444,
    449,
    450,
    460,
    494,
    495,
    497,
    498,
    499,
    509,
    520,
    521,
    522,
    524,
    526,
    529,
    530,
    599,
)
_OWN_ROWS = (429,)
_WITHOUT_BODY = (204, 304)


def _phrases() -> Iterator[tuple[int, str]]:
    yield from ((known.value, known.phrase) for known in HTTPStatus if known.value >= 200)
    yield from ((number, "Unlisted") for number in _UNLISTED)


def _by_number() -> Iterator[Fault]:
    for number, phrase in sorted(_phrases()):
        if number in _OWN_ROWS:
            continue
        outcome = _DECISIVE.get(number, _CLASSES[number // 100])
        if number in _WITHOUT_BODY:
            play = sends(f"HTTP/1.1 {number} {phrase}\r\n\r\n".encode())
            outcome = Outcome.CONTRACT_VIOLATION if number == 204 else outcome
        else:
            play = status(f"{number} {phrase}", GOOD_BODY if number < 300 else envelope())
        does = f"{number} {phrase}" + (" and a good body" if outcome is Outcome.SUCCESS else "")
        yield Fault(name=f"status_{number}", does=does, outcome=outcome, play=play)


def _pointing(line: str, text: bytes, header: str, value: str) -> Play:
    """`{elsewhere}` in the header becomes the address of a server that must not hear of it."""

    async def play(stage: Stage) -> None:
        named = {header: value.format(elsewhere=stage.elsewhere)}
        await stage.peer.send(reply(text, status=line, length=None, **named))

    return play


def _redirects(name: str, does: str, place: str, line: str = "307 Temporary Redirect") -> Fault:
    play = _pointing(line, b"", "Location", place)
    return Fault(name=name, does=does, outcome=Outcome.REDIRECTED, play=play)


def _says(name: str, does: str, outcome: Outcome, play: Play, words: str = "") -> Fault:
    return Fault(name=name, does=does, outcome=outcome, play=play, words=words)


FAULTS = (
    _says(
        "status_101",
        "101 Switching Protocols",
        Outcome.CONTRACT_VIOLATION,
        sends(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"),
    ),
    _says(
        "status_100_then_closed",
        "100 Continue, then closes",
        Outcome.DISCONNECTED,
        sends(b"HTTP/1.1 100 Continue\r\n\r\n", then="close"),
    ),
    *_by_number(),
    _says("status_000", "000", Outcome.CONTRACT_VIOLATION, status("000 Nothing")),
    _says("status_600", "600", Outcome.CONTRACT_VIOLATION, status("600 Unheard Of")),
    _says("status_999", "999", Outcome.CONTRACT_VIOLATION, status("999 Request Denied")),
    _redirects("redirect_loop", "a redirect to itself", "/v1/namespaces/ns/plugins/redirect_loop/realtime/test"),
    _redirects("redirect_away", "a redirect to another server", "http://{elsewhere}/v1"),
    _redirects("redirect_away_303", "303 to another server", "http://{elsewhere}/v1", "303 See Other"),
    _redirects("redirect_without_scheme", "a redirect to //another/server", "//{elsewhere}/v1"),
    _redirects("redirect_with_user", "a redirect with user and password", "http://user:word@{elsewhere}/"),
    _redirects("redirect_to_file", "a redirect to a file", "file:///etc/passwd"),
    _redirects("redirect_nowhere", "a redirect without a place", ""),
    _redirects("redirect_nonsense", "a redirect to no URL", "http://[::1"),
    _says(
        "refresh",
        "200 with Refresh to another server",
        Outcome.SUCCESS,
        _pointing("200 OK", GOOD_BODY, "Refresh", "0; url=http://{elsewhere}/"),
    ),
    _says(
        "alt_svc",
        "Alt-Svc names another server",
        Outcome.SUCCESS,
        _pointing("200 OK", GOOD_BODY, "Alt_Svc", 'h2="{elsewhere}"; ma=1'),
    ),
    _says(
        "unauthorized_challenge",
        "401 that asks for a password",
        Outcome.UNAUTHORIZED,
        status("401 Unauthorized", b"", WWW_Authenticate='Basic realm="x"'),
    ),
    _says(
        "forbidden_html",
        "403 and an HTML page",
        Outcome.FORBIDDEN,
        status("403 Forbidden", b"<h1>Blocked</h1>"),
        "Blocked",
    ),
    _says(
        "forbidden_tier",
        "403, the tier does not have it",
        Outcome.FORBIDDEN,
        status("403 Forbidden", envelope("TierError")),
    ),
    _says(
        "forbidden_quota",
        "403 QuotaExceededError",
        Outcome.QUOTA_EXCEEDED,
        status("403 Forbidden", envelope("QuotaExceededError")),
    ),
    _says(
        "rejected_validation",
        "422 with FastAPI's list of problems",
        Outcome.REJECTED,
        status(
            "422 Unprocessable Content",
            json.dumps({"detail": [{"loc": ["body", "inputs"], "msg": "missing", "type": "missing"}]}).encode(),
        ),
        "body.inputs: missing",
    ),
    _says(
        "rejected_rubbish",
        "400 and binary rubbish",
        Outcome.REJECTED,
        status("400 Bad Request", bytes(range(256)) * 10),
    ),
    _says("rejected_deep", "400 and 100,000 brackets", Outcome.REJECTED, status("400 Bad Request", b"[" * 100_000)),
    _says(
        "rejected_huge_number",
        "400, its code of 5,000 digits",
        Outcome.REJECTED,
        status("400 Bad Request", b'{"error":{"code":' + b"9" * 5000 + b"}}"),
    ),
    _says(
        "gateway_html",
        "502 and an HTML page",
        Outcome.SERVER_ERROR,
        status("502 Bad Gateway", b"<html><h1>nginx</h1></html>"),
        "nginx",
    ),
    _says(
        "unavailable_warming",
        "503, code model_warming",
        Outcome.WARMING,
        status("503 Service Unavailable", envelope(code="model_warming")),
    ),
    _says(
        "failed_warming",
        "500, code model_warming",
        Outcome.SERVER_ERROR,
        status("500 Server Error", envelope(code="model_warming")),
    ),
)
