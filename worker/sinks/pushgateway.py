"""The Pushgateway: groups read back before a batch, its own group exchanged after it, groups of shards that are no more
deleted.

A group is named by its job and, when sharded, by the shard's index. PUT replaces a whole group, so that what is gone is
gone; POST replaces only the families that it brings, which is what is left when nobody could read what was there.
"""

import math
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from urllib.parse import quote

import aiohttp

from worker.core.target import TargetKey
from worker.settings import ReceiverSettings
from worker.sinks.memory import Memory, Recollection, everyone
from worker.sinks.reading import Reader, Sample
from worker.sinks.receiver import MOST_REASON_CHARS, Patience, ReceiverError, check, session
from worker.sinks.text import one_line

#: A gateway says more than this only where something else than probes is in it as well.
MOST_BYTES = 512 * 1024 * 1024

_INDEX = re.compile(r"[0-9]{1,9}")
_JOB, _SHARD = "job", "shard"
_PUSHED = "push_time_seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """What the gateway holds of one job. `shards` are the groups' labels, empty for the one without."""

    memory: Memory = field(default_factory=Memory)
    shards: frozenset[str] = frozenset()


class UnreadableError(ReceiverError):
    """It answered, but what it holds is not what a Pushgateway holds."""


class Pushgateway:
    """One gateway, and the group that is ours. Everything raises ReceiverError, which says why on one line.

    All that is asked of it together gets its time-out. Of targets that `concerns` turns down nothing is remembered.
    """

    def __init__(
        self,
        settings: ReceiverSettings,
        shard: int | None,
        *,
        concerns: Callable[[TargetKey], bool] = everyone,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self.settings = settings
        self._concerns = concerns
        self._patience = Patience(settings.timeout_s)
        self._most_bytes = most_bytes
        self._shard = "" if shard is None else str(shard)

    async def pull(self, *, patient: bool) -> Groups:
        """All groups of our job: of each target what the newest of them says, of the worker what our own says.

        Asked once, or again and again while there is time.
        """
        async with session(self.settings) as http:
            return await self._patience.retried(lambda: self._pull(http), tries=math.inf if patient else 1)

    async def _pull(self, http: aiohttp.ClientSession) -> Groups:
        url = f"{self.settings.url}/metrics"
        async with http.get(url, allow_redirects=False) as response:
            await check(response)
            found: dict[str, Recollection] = {}
            size, reader = 0, Reader(_concerns)  # who else than a gateway answers here is found out by the first line
            try:
                async for chunk in response.content.iter_any():
                    size += len(chunk)
                    if size > self._most_bytes:
                        raise ValueError(f"it is larger than {self._most_bytes >> 20} MiB")
                    self._keep(found, reader.feed(chunk))
                self._keep(found, reader.end())
                return self._groups(found)
            except ValueError as error:
                raise UnreadableError(
                    f"what it holds can't be read: {one_line(str(error), MOST_REASON_CHARS)}"
                ) from None

    def _keep(self, found: dict[str, Recollection], samples: Iterable[Sample]) -> None:
        for sample in samples:
            labels = sample.labels
            if labels.pop(_JOB, "") == self.settings.job and not labels.pop("instance", ""):
                found.setdefault(labels.pop(_SHARD, ""), Recollection(self._concerns)).take(sample)

    def _groups(self, found: dict[str, Recollection]) -> Groups:
        memories = {shard: recollection.memory() for shard, recollection in found.items()}
        own = memories.get(self._shard, Memory())
        tracks = dict(own.tracks)
        for memory in memories.values():  # a target may have been another shard's until now
            for key, track in memory.tracks.items():
                known = tracks.get(key)
                if known is None or (track.last_probe_at or 0.0) > (known.last_probe_at or 0.0):
                    tracks[key] = track
        return Groups(memory=Memory(tracks=tracks, own=own.own), shards=frozenset(found))

    async def push(self, chunks: Iterable[bytes], *, whole: bool) -> None:
        """Our group becomes this. Not `whole`: families that are not in it stay as they are."""
        body, method = b"".join(chunks), "PUT" if whole else "POST"
        headers = {"Content-Type": "text/plain; version=0.0.4; charset=utf-8"}

        async def attempt() -> None:
            url, data = self._url(self._shard), BytesIO(body)  # sent in pieces: bytes would be written in one go
            async with http.request(method, url, data=data, headers=headers, allow_redirects=False) as response:
                await check(response)

        async with session(self.settings) as http:
            await self._patience.retried(attempt)

    async def delete(self, shards: Iterable[str]) -> None:
        """These groups are no more."""
        async with session(self.settings) as http:
            for url in map(self._url, shards):
                await self._patience.retried(partial(_delete, http, url))

    def _url(self, shard: str) -> str:
        """In base64 where the name would be taken for parts of the path, encoded or not."""
        job = self.settings.job
        plain = "/" not in job and job not in (".", "..")
        named = f"/{quote(job, safe='')}" if plain else f"@base64/{urlsafe_b64encode(job.encode()).decode()}"
        return f"{self.settings.url}/metrics/{_JOB}{named}" + (f"/{_SHARD}/{shard}" if shard else "")


def dead(shards: Iterable[str], count: int | None) -> Iterator[str]:
    """Of these groups those that no worker writes when there are `count` shards; None: when it is not sharded.

    The one without a shard stays until every shard has a group: until then it is all that some targets are known by.
    """
    found = frozenset(shards)
    replaced = count is not None and all(str(index) in found for index in range(count))
    for shard in sorted(found):
        if replaced if shard == "" else _INDEX.fullmatch(shard) and int(shard) >= (count or 0):
            yield shard


def _concerns(line: str) -> bool:
    return line.startswith(("plugin_probe_", _PUSHED)) and f'{_JOB}="' in line


async def _delete(http: aiohttp.ClientSession, url: str) -> None:
    async with http.delete(url, allow_redirects=False) as response:
        await check(response)
