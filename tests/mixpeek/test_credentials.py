"""Where the key comes from, when it is read again, and how it is redacted."""

import json
import os
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.mixpeek.credentials import CHECK_INTERVAL_S, REDACTED, Credentials
from worker.settings import ApiSettings, ConfigError

KEY = "sk_live_0123456789abcdef"


class Clock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.time_s = 100.0

    def now(self) -> float:
        return self.time_s

    def wall(self) -> float:
        return self.time_s

    async def sleep(self, seconds: float) -> None:
        self.time_s += seconds


def from_environment(key: str = KEY, proxy: str | None = None) -> Credentials:
    return Credentials(ApiSettings(base_url="http://x", api_key_env="THE_KEY", proxy=proxy), {"THE_KEY": key})


def from_file(file: Path, clock: Clock, told: list[str] | None = None) -> Credentials:
    """`told` gets the warnings."""
    tell = (told if told is not None else []).append
    return Credentials(ApiSettings(base_url="http://x", api_key_file=file), {}, clock=clock, tell=tell)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text(KEY + "\n")
    return file


def replace_file(file: Path, text: str) -> None:
    """As an editor or Kubernetes does it: another inode."""
    other = file.with_suffix(".new")
    other.write_text(text)
    os.replace(other, file)


def test_the_key_of_the_environment_is_stripped() -> None:
    assert from_environment(f"  {KEY}\n").key() == KEY


@pytest.mark.parametrize("value", ["", "  ", "two words", "kéy", "a\nb", "a\x00b"])
def test_an_unusable_key_is_a_configuration_error(value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_environment(value)
    assert caught.value.problems == ["api.api_key_env: THE_KEY: no API key there (one word of printable ASCII)"]


def test_a_missing_key_file_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        from_file(tmp_path / "none", Clock())
    assert caught.value.problems == [
        f"api.api_key_file: {tmp_path / 'none'}: no API key there (one word of printable ASCII)"
    ]


def test_a_key_file_is_read_again_when_it_changes(key_file: Path) -> None:
    clock = Clock()
    credentials = from_file(key_file, clock)
    assert credentials.key() == KEY
    replace_file(key_file, "sk_second")
    clock.time_s += CHECK_INTERVAL_S
    assert credentials.key() == "sk_second"


def test_a_key_file_is_looked_at_once_a_second_at_most(key_file: Path) -> None:
    clock = Clock()
    credentials = from_file(key_file, clock)
    replace_file(key_file, "sk_second")
    clock.time_s += CHECK_INTERVAL_S / 2
    assert credentials.key() == KEY


def test_a_moved_symbolic_link_is_a_change(tmp_path: Path) -> None:
    """A mounted Kubernetes secret: the file is a link, and what moves is the folder behind it."""
    for name, key in (("first", "sk_first"), ("second", "sk_second")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "key").write_text(key)
    (tmp_path / "data").symlink_to("first")
    clock = Clock()
    credentials = from_file(tmp_path / "data" / "key", clock)
    (tmp_path / "data.new").symlink_to("second")
    os.replace(tmp_path / "data.new", tmp_path / "data")
    clock.time_s += CHECK_INTERVAL_S
    assert credentials.key() == "sk_second"


def test_reread_reads_at_once_and_says_whether_the_key_changed(key_file: Path) -> None:
    credentials = from_file(key_file, Clock())
    assert credentials.reread() is False
    replace_file(key_file, "sk_second")
    assert credentials.reread() is True
    assert credentials.key() == "sk_second"


def test_reread_of_an_environment_changes_nothing() -> None:
    assert from_environment().reread() is False


@pytest.mark.parametrize("content", ["", "\n", "two words", "x" * 70_000, None])
def test_a_key_file_that_became_unusable_keeps_the_old_key(key_file: Path, content: str | None) -> None:
    clock = Clock()
    credentials = from_file(key_file, clock)
    if content is None:
        key_file.unlink()
    else:
        replace_file(key_file, content)
    clock.time_s += CHECK_INTERVAL_S
    assert credentials.key() == KEY
    assert credentials.reread() is False


def test_repr_shows_no_key(key_file: Path) -> None:
    assert repr(from_environment()) == "Credentials(file=None)"
    assert repr(from_file(key_file, Clock())) == f"Credentials(file={str(key_file)!r})"


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o444])
def test_a_key_file_that_everybody_can_read_is_told_at_the_start_and_works(key_file: Path, mode: int) -> None:
    told: list[str] = []
    key_file.chmod(mode)
    assert from_file(key_file, Clock(), told).key() == KEY
    assert told == [
        f"api.api_key_file: {key_file}: everybody on this machine can read it (mode {mode:04o});"
        " chmod 600 it, or set defaultMode: 0440 where Kubernetes mounts it"
    ]


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o440, 0o640])
def test_a_key_file_of_its_owner_and_group_is_not_told(key_file: Path, mode: int) -> None:
    told: list[str] = []
    key_file.chmod(mode)
    from_file(key_file, Clock(), told)
    assert told == []


def test_a_changed_key_file_is_told_once_however_often_it_is_read(key_file: Path) -> None:
    key_file.chmod(0o600)
    clock, warned = Clock(), list[str]()
    credentials = from_file(key_file, clock, warned)
    replace_file(key_file, "sk_second_0123456789")
    key_file.chmod(0o644)
    clock.time_s += CHECK_INTERVAL_S
    for _ in range(3):
        credentials.key()
        credentials.reread()
    (told,) = warned
    assert str(key_file) in told
    assert "sk_second" not in told


AWKWARD = 'sk/"a\\b&+%é'.replace("é", "=")


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        pytest.param(KEY, f"key {KEY}!", "key [REDACTED]!", id="plain"),
        pytest.param(KEY, f"Authorization: Bearer {KEY}", "Authorization: [REDACTED]", id="with Bearer"),
        pytest.param(KEY, f"a=bearer+{KEY}&b=Bearer%20{KEY}", "a=[REDACTED]&b=[REDACTED]", id="Bearer in a URL"),
        pytest.param(KEY, f"{KEY}{KEY}", "[REDACTED][REDACTED]", id="twice"),
        pytest.param(KEY, "nothing here", "nothing here", id="absent"),
        pytest.param(AWKWARD, quote(AWKWARD, safe=""), "[REDACTED]", id="quoted"),
        pytest.param(AWKWARD, quote(AWKWARD, safe="").lower(), "[REDACTED]", id="quoted in lower case"),
        pytest.param(AWKWARD, json.dumps(AWKWARD), '"[REDACTED]"', id="in JSON"),
        pytest.param(AWKWARD, json.dumps(AWKWARD).replace("/", "\\/"), '"[REDACTED]"', id="in JSON of PHP"),
        pytest.param(AWKWARD, "sk/&quot;a\\b&amp;+%=", "[REDACTED]", id="in HTML"),
        pytest.param("k1", "k1 and Bearer k1", "[REDACTED] and [REDACTED]", id="short"),
    ],
)
def test_redaction(key: str, text: str, expected: str) -> None:
    credentials = from_environment(key)
    assert credentials.redact(text) == expected
    assert credentials.redact_bytes(text.encode()) == expected.encode()


def test_values_are_redacted_in_strings_and_in_names() -> None:
    value = {KEY: [1, None, True, 0.5, f"x{KEY}", {"n": KEY}]}
    assert from_environment().redact_value(value) == {
        "[REDACTED]": [1, None, True, 0.5, "x[REDACTED]", {"n": "[REDACTED]"}]
    }


def test_keys_of_the_past_stay_redacted(key_file: Path) -> None:
    credentials = from_file(key_file, Clock())
    replace_file(key_file, "sk_second")
    credentials.reread()
    assert credentials.redact(f"{KEY} sk_second") == "[REDACTED] [REDACTED]"


@pytest.mark.parametrize(
    ("user", "echoed"),
    [
        pytest.param("me:pass%2Fword%21", "pass%2Fword%21", id="as written"),
        pytest.param("me:pass%2Fword%21", "pass/word!", id="as meant"),
        pytest.param("me:pass%2Fword%21", "bWU6cGFzcy93b3JkIQ==", id="as sent"),
        pytest.param("t%2Fken%21", "t/ken!", id="a user alone"),
        pytest.param("t%2Fken%21", "dC9rZW4hOg==", id="a user alone, as sent"),
    ],
)
def test_the_password_of_a_proxy_is_redacted(user: str, echoed: str) -> None:
    credentials = from_environment(proxy=f"http://{user}@proxy:3128")
    assert credentials.redact(f"you: {echoed}") == "you: [REDACTED]"


def test_settings_are_shown_without_the_password_of_a_proxy() -> None:
    assert "pass" not in repr(ApiSettings(base_url="http://x", proxy="http://me:pass@proxy:3128"))


def test_the_user_beside_a_password_is_no_secret() -> None:
    assert from_environment(proxy="http://me-and-you:pw@proxy:3128").redact("me-and-you") == "me-and-you"
    assert from_environment(proxy="http://proxy:3128").redact("proxy") == "proxy"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(f"body: {KEY[:-1]}", "body: [REDACTED]", id="all but one character"),
        pytest.param(f"body: {KEY[:4]}", "body: [REDACTED]", id="four characters"),
        pytest.param(f"body: {KEY[:3]}", f"body: {KEY[:3]}", id="too little to tell anything"),
        pytest.param(f"{KEY[:-1]} goes on", f"{KEY[:-1]} goes on", id="not at the end"),
    ],
)
def test_a_secret_that_was_cut_is_redacted_at_the_end_of_a_text(text: str, expected: str) -> None:
    assert from_environment().redact_cut(text) == expected


@given(st.text(alphabet=[chr(code) for code in range(0x21, 0x7F)], min_size=12, max_size=40), st.text(), st.text())
def test_no_key_survives_redaction(key: str, before: str, after: str) -> None:
    credentials = from_environment(key)
    for spelling in (key, quote(key), json.dumps(key)[1:-1], repr(key)[1:-1], key.replace("'", "''")):
        assert spelling not in credentials.redact(before + spelling + after)
        assert spelling.encode() not in credentials.redact_bytes((before + spelling + after).encode())


def test_a_short_key_is_redacted_as_a_word_and_leaves_other_words_alone() -> None:
    credentials = Credentials(ApiSettings(base_url="https://host.example", api_key_env="KEY"), {"KEY": "test"})
    assert credentials.redact('realtime/tests latest "test" Bearer test') == (
        f'realtime/tests latest "{REDACTED}" {REDACTED}'
    )
    assert credentials.redact_bytes(b'{"latest": "test"}') == b'{"latest": "%s"}' % REDACTED.encode()
