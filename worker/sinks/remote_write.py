"""Metrics sent to a remote-write receiver (remote write 1.0): the whole exposition, at one instant."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

import aiohttp

from worker.settings import ConfigError, ReceiverSettings
from worker.sinks.reading import Reader, Sample
from worker.sinks.receiver import Patience, ReceiverError, RefusedError, check, session

_HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}


def check_installed() -> None:
    """Raises ConfigError where the extra is missing."""
    try:
        import worker.sinks.write_request  # noqa: F401 - whether it can be imported is the question
    except ImportError as error:
        remedy = "pip install 'plugin-probe[remote-write]'"
        raise ConfigError([f"outputs.remote_write: needs cramjam and protobuf: {remedy} ({error})"]) from error


async def send(
    settings: ReceiverSettings,
    chunks: Iterable[bytes],
    *,
    at: float,
    labels: Mapping[str, str],
    patience: Patience | None = None,
) -> None:
    """Sends an exposition (text format 0.0.4, cut anywhere) as of `at`, Unix seconds, with `labels` on every series.

    One request after the other, each made when the one before it was taken. Raises ReceiverError; what was taken until
    then stays. Requires `check_installed`.
    """
    from worker.sinks.write_request import write_requests  # an extra

    patience = patience or Patience(settings.timeout_s)
    taken = refused = 0
    reason: RefusedError | None = None
    async with session(settings) as opened:
        for body, series in write_requests(_samples(chunks), at=at, labels=labels):
            try:
                await patience.retried(partial(_post, opened, settings.url, body))
            except RefusedError as error:
                if error.status != 400:
                    raise _with_progress(error, taken) from None
                # Prometheus refuses a request for one sample that is too old: the others need not be lost with it.
                reason, refused = reason or error, refused + series
            except ReceiverError as error:
                raise _with_progress(error, taken) from None
            else:
                taken += series
    if reason:
        raise ReceiverError(f"{reason} ({refused} of {taken + refused} series were refused)")


async def _post(opened: aiohttp.ClientSession, url: str, body: bytes) -> None:
    async with opened.post(url, data=body, headers=_HEADERS, allow_redirects=False) as response:
        await check(response)


def _with_progress(error: ReceiverError, taken: int) -> ReceiverError:
    return ReceiverError(f"{error} ({taken} series were taken before)") if taken else error


def _samples(chunks: Iterable[bytes]) -> Iterator[Sample]:
    reader = Reader()
    for chunk in chunks:
        yield from reader.feed(chunk)
    yield from reader.end()
