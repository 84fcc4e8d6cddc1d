"""worker.yaml's sections become settings."""

import re
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from worker.config.expand import expanded
from worker.config.fields import Keys
from worker.config.files import check_readable
from worker.config.model import Api, Limits, Outputs, Receiver, Schedule, Tls, WorkerFile
from worker.config.problems import SHORTEST_SECRET, validation_problems
from worker.config.secret import DEFAULT_ENV, check_key_in_env, check_key_in_file
from worker.config.sharing import divided, too_few
from worker.config.source import Place, Problem, Source
from worker.config.targets_file import given, with_keys
from worker.config.urls import needs_allow_http
from worker.config.values import values
from worker.core.shard import Shard
from worker.core.target import Target, TargetKey
from worker.settings import (
    ApiSettings,
    ConfirmSettings,
    LimitSettings,
    OutputSettings,
    ReceiverSettings,
    ScheduleSettings,
    TextfileSettings,
    TlsSettings,
)
from worker.stamp import Stamp, stamp

# Stands in for a missing or wrong address while the rest of the file is looked at.
_NO_URL = "https://address.invalid"

# Before ${VAR} is expanded: a password that comes from the environment does not stand in the file.
_PASSWORD = re.compile(r"://[^/@]*:[^/@$]+@")


class WorkerSections:
    """The whole of worker.yaml; what is wrong goes to `problems`, and its default stands in its place.

    Raises UnreadableError where the file gives no values. Who does not call (`calling` False) needs no key, and none
    of the files that a call does.
    """

    def __init__(
        self, source: Source, environ: Mapping[str, str], problems: list[Problem], *, calling: bool = True
    ) -> None:
        self._source = source
        self._environ = environ
        self._problems = problems
        self._calling = calling
        self._folder = source.path.parent
        #: Files that are named and no good: once they are, the configuration may be.
        self.lacking: dict[Path, Stamp] = {}
        self.file = self._validated()

    def _validated(self) -> WorkerFile:
        raw = values(self._source, self._problems)
        self._check_proxy(raw)
        raw = expanded({} if raw is None else raw, self._environ, self._source, self._problems)
        try:
            return WorkerFile.model_validate(raw)
        except ValidationError as error:
            found = validation_problems(error, WorkerFile, self._source, (), raw)
            self._problems.extend([problem for problem in found if not self._told(problem.place)])
        return _salvaged(raw, [problem.place for problem in self._problems])

    def _check_proxy(self, raw: Any) -> None:
        api = raw.get("api") if isinstance(raw, dict) else None
        proxy = api.get("proxy") if isinstance(api, dict) else None
        if isinstance(proxy, str) and _PASSWORD.search(proxy):
            self._refuse(("api", "proxy"), "holds a password; secrets never stand in this file: write it as ${VAR}")

    def _told(self, *places: Place) -> bool:
        """Whether something is known to be wrong at one of these places, so that more about it would be noise."""
        return any(problem.place in places for problem in self._problems)

    @property
    def targets_files(self) -> list[str]:
        """Empty where worker.yaml fails to say which they are."""
        wrong = any(problem.place[:1] == ("targets_files",) for problem in self._problems)
        return [] if wrong or self._told(()) else self.file.targets_files or ["targets.yaml"]

    @property
    def shapes_file(self) -> Path:
        return self._path(self.file.shapes_file or "shapes.lock.yaml")

    def api(self) -> ApiSettings:
        api = self.file.api
        if needs_allow_http(api.base_url) and not api.allow_http:
            self._refuse(
                ("api", "base_url"),
                "would send the key unencrypted; use https, or allow it with api.allow_http: true",
            )
        env, file = self._key_holder(api)
        return ApiSettings(
            base_url=api.base_url,
            api_key_env=env,
            api_key_file=file,
            tls=self._tls(api.tls or Tls()),
            **given(
                path=api.path,
                fresh_connections=None if api.connections is None else api.connections == "fresh",
                user_agent=api.user_agent,
                max_response_bytes=api.max_response_bytes,
                proxy=api.proxy,
            ),
        )

    def _key_holder(self, api: Api) -> tuple[str | None, Path | None]:
        if api.api_key_env is not None and api.api_key_file is not None:
            self._refuse(("api", "api_key_file"), "excludes api_key_env; write one of the two")
            return None, None
        if api.api_key_file is not None:
            path = self._path(api.api_key_file)
            self._check(("api", "api_key_file"), check_key_in_file, path, api.api_key_file)
            return None, path
        name = api.api_key_env or DEFAULT_ENV
        if not self._told((), ("api",), ("api", "api_key_env"), ("api", "api_key_file")):
            self._check(("api", "api_key_env"), check_key_in_env, name, self._environ)
        return name, None

    def _tls(self, tls: Tls) -> TlsSettings:
        paths = self._files(("api", "tls"), tls, "ca_file", "cert_file", "key_file")
        cert_place = ("api", "tls", "cert_file")
        if "key_file" in paths and "cert_file" not in paths and not self._told(cert_place):
            self._refuse(("api", "tls", "key_file"), "needs cert_file, the certificate that it belongs to")
        return TlsSettings(**paths)

    def template(self) -> Target:
        """A target with the defaults applied; its key means nothing."""
        schedule = self.schedule()
        base = Target(key=TargetKey("", ""), interval_s=schedule.interval_s, timeout_s=schedule.timeout_s)
        if self.file.defaults is None:
            return base
        template = with_keys(base, self.file.defaults, self._folder)
        key = self._environ.get(self.file.api.api_key_env or DEFAULT_ENV, "")
        for name, value in template.labels.items():
            if len(key) >= SHORTEST_SECRET and key in value:  # ${VAR} has put it there
                self._refuse(("defaults", "labels", name), "holds the API key, and labels are shown; leave it out")
        return template

    def limits(self, shard: Shard | None) -> LimitSettings:
        """Of a shard, what it may use."""
        limits = self.file.limits or Limits()
        per_namespace = limits.per_namespace
        whole = LimitSettings(
            namespace_rate=per_namespace.rate if per_namespace else None,
            namespace_concurrency=per_namespace.concurrency if per_namespace else None,
            **given(rate=limits.rate, concurrency=limits.concurrency, max_retry_after_s=limits.max_retry_after),
        )
        if shard is None:
            return whole
        wrong = any(problem.place[:1] in ((), ("limits",)) for problem in self._problems)
        left_out = {("limits", name) for name in ("rate", "concurrency") if getattr(limits, name) is None}
        for place, message in too_few(whole, shard):
            if not (wrong and place in left_out):  # the default may but stand in for what was meant to be written
                self._refuse(place, message)
        return divided(whole, shard)

    def schedule(self) -> ScheduleSettings:
        schedule = self.file.schedule or Schedule()
        return ScheduleSettings(
            **given(
                interval_s=schedule.interval,
                timeout_s=schedule.timeout,
                deadline_s=schedule.deadline,
                grace_s=schedule.grace,
            )
        )

    def confirm(self) -> ConfirmSettings:
        confirm = self.file.confirm
        return (
            ConfirmSettings(**given(rechecks=confirm.rechecks, delay_s=confirm.delay)) if confirm else ConfirmSettings()
        )

    def outputs(self) -> OutputSettings:
        outputs = self.file.outputs or Outputs()
        host, port = outputs.listen or (None, None)
        textfile = outputs.textfile
        return OutputSettings(
            textfile=TextfileSettings(path=self._path(textfile.path), **given(required=textfile.required))
            if textfile
            else None,
            pushgateway=self._receiver("pushgateway", outputs.pushgateway),
            remote_write=self._remote_write(outputs),
            **given(listen_host=host, listen_port=port, histograms=outputs.histograms),
        )

    def _remote_write(self, outputs: Outputs) -> ReceiverSettings | None:
        receiver = outputs.remote_write
        if receiver and outputs.textfile is None and outputs.pushgateway is None:
            self._refuse(
                ("outputs", "remote_write"),
                "needs outputs.textfile too: nothing can be read back from a remote-write receiver, and a batch goes on"
                " from what it last wrote",
            )
        return self._receiver("remote_write", receiver)

    def _receiver(self, name: str, receiver: Receiver | None) -> ReceiverSettings | None:
        if receiver is None:
            return None
        paths = self._files(("outputs", name), receiver, "password_file", "ca_file")
        if (receiver.username is None) != (receiver.password_file is None):
            there, missing = ("username", "password_file") if receiver.username else ("password_file", "username")
            self._refuse(("outputs", name, there), f"needs {missing} beside it")
        if receiver.username and ":" in receiver.username:
            self._refuse(("outputs", name, "username"), "holds a colon, which basic authentication can't carry")
        return ReceiverSettings(
            url=receiver.url,
            username=receiver.username,
            **paths,
            **given(job=receiver.job, timeout_s=receiver.timeout, required=receiver.required),
        )

    def _files(self, place: Place, keys: Keys, *names: str) -> dict[str, Any]:
        """Those that are named there, by key; each must be readable."""
        paths = {}
        for name in names:
            written = getattr(keys, name)
            if written is not None:
                paths[name] = self._path(written)
                self._check((*place, name), check_readable, paths[name], written)
        return paths

    def _path(self, written: str) -> Path:
        return self._folder / written

    def _check(self, place: Place, check: Callable[..., None], *arguments: Any) -> None:
        if not self._calling:
            return
        stamps = {path: stamp(path) for path in arguments if isinstance(path, Path)}
        try:
            check(*arguments)
        except ValueError as error:
            self._refuse(place, str(error))
            self.lacking |= stamps

    def _refuse(self, place: Place, message: str, **more: Any) -> None:
        self._problems.append(Problem(source=self._source, place=place, message=message, **more))


def _salvaged(raw: Any, places: Iterable[Place]) -> WorkerFile:
    """The file without what stands at `places`, so that the rest can be looked at as well."""
    kept = deepcopy(raw) if isinstance(raw, dict) else {}
    for place in places:
        if place != ("api",) and place != ("api", "base_url"):
            _drop(kept, place)
    api = kept.get("api")
    wrong_url = ("api", "base_url") in places or not isinstance(api, dict)
    kept["api"] = {**(api if isinstance(api, dict) else {}), **({"base_url": _NO_URL} if wrong_url else {})}
    try:
        return WorkerFile.model_validate(kept)
    except ValidationError:
        return WorkerFile.model_validate({"api": {"base_url": _NO_URL}})


def _drop(values: dict[str, Any], place: Place) -> None:
    """Drops the key at `place`, or around it: of a list's items all, and where a key is missing what misses it."""
    way: list[tuple[dict[str, Any], str]] = []
    inside: Any = values
    for part in place:
        if not isinstance(inside, dict):
            break
        way.append((inside, str(part)))
        inside = inside.get(str(part))
    if way and way[-1][1] not in way[-1][0] and len(way) == len(place):
        way.pop()
    if way:
        way[-1][0].pop(way[-1][1], None)
