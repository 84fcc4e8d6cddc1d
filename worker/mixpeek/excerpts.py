"""Text from the wire made fit to be shown: one line or a beginning, bounded, without control characters."""

import html
import re

MAX_LINE_CHARS = 500
MAX_EXCERPT_BYTES = 2048

# Controls, format characters that reorder or hide text, and lone surrogates (undecodable header bytes).
_UNSHOWABLE = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff"
_UNSHOWABLE_RUN = re.compile(f"[{_UNSHOWABLE}]+")
#: Deleting these and seeing whether anything is left takes a third of the time of str.isprintable().
_PLAIN = bytes(range(0x20, 0x7F))
_MARKUP = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^<>]*>", re.IGNORECASE | re.DOTALL)


def one_line(text: str, limit_chars: int = MAX_LINE_CHARS) -> str:
    """`text` as one line of at most `limit_chars` characters."""
    # Looking at a bounded part keeps a reply of megabytes cheap; eight times leaves room for runs of blanks.
    shown = _UNSHOWABLE_RUN.sub(" ", text[: limit_chars * 8])
    line = " ".join(shown.split())
    return line if len(line) <= limit_chars else line[: limit_chars - 1] + "…"


def excerpt(body: bytes) -> str:
    """The beginning of a body as text, at most 2 kB when encoded; line breaks stay."""
    beginning = body[:MAX_EXCERPT_BYTES]
    if not beginning.translate(None, _PLAIN):
        return beginning.decode()
    text = beginning.decode(errors="replace")
    shown = _UNSHOWABLE_RUN.sub(" ", text)
    # A replacement character takes three bytes where the body had one.
    return shown.encode()[:MAX_EXCERPT_BYTES].decode(errors="ignore")


def prose(body: bytes) -> str:
    """What a person would read of a body that is no JSON: one line, tags stripped."""
    text = body[: MAX_EXCERPT_BYTES * 2].decode(errors="replace")
    return one_line(html.unescape(_MARKUP.sub(" ", text)))
