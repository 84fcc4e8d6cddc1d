"""What a configuration amounts to: plain data that every other module may know. Secrets are never in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from worker.core.pin import Pin
from worker.core.target import Target, TargetKey
from worker.stamp import Stamp
from worker.version import VERSION


class ConfigError(Exception):
    """The user erred: `problems` holds every one, each a line `file:line:column: path: message`. Nothing was sent.

    `files` are those that were read, with their stamps, for whoever waits until they are mended.
    """

    def __init__(self, problems: list[str], files: Mapping[Path, Stamp] | None = None) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
        self.files = files or {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """At most `count` calls in any sliding window of `period_s` seconds."""

    count: int
    period_s: float

    def __str__(self) -> str:
        unit = {1.0: "s", 60.0: "m", 3600.0: "h"}.get(self.period_s, f"{self.period_s:g}s")
        return f"{self.count}/{unit}"

    @property
    def per_second(self) -> float:
        return self.count / self.period_s


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    @property
    def files(self) -> list[Path]:
        """Those that are named."""
        return [file for file in (self.ca_file, self.cert_file, self.key_file) if file]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """`base_url` ends without a slash and without /v1; exactly one of `api_key_env` and `api_key_file` is set."""

    base_url: str
    api_key_env: str | None = None
    api_key_file: Path | None = None
    path: str = "/v1/namespaces/{namespace}/plugins/{plugin}/realtime/test"
    fresh_connections: bool = False
    user_agent: str = f"plugin-probe/{VERSION}"
    max_response_bytes: int = 4 * 1024 * 1024
    tls: TlsSettings = field(default_factory=TlsSettings)
    proxy: str | None = field(default=None, repr=False)  # may hold a password


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    rate: Rate = field(default_factory=lambda: Rate(count=1, period_s=1.0))
    concurrency: int = 2
    namespace_rate: Rate | None = None
    namespace_concurrency: int | None = None
    max_retry_after_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleSettings:
    """`interval_s` and `timeout_s` are the defaults of targets; `deadline_s` is a batch's."""

    interval_s: float = 300.0
    timeout_s: float = 30.0
    deadline_s: float | None = None
    grace_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmSettings:
    rechecks: int = 0
    delay_s: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TextfileSettings:
    path: Path
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverSettings:
    """A server that a batch sends its metrics to. `url` ends without a slash; user and password go together."""

    url: str
    job: str = "plugin_probe"
    timeout_s: float = 20.0
    required: bool = True
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None


#: Whose durations make one histogram.
Histograms = Literal["target", "namespace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSettings:
    listen_host: str = "127.0.0.1"
    listen_port: int = 9464
    textfile: TextfileSettings | None = None
    pushgateway: ReceiverSettings | None = None
    remote_write: ReceiverSettings | None = None
    histograms: Histograms = "target"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One worker's whole configuration.

    `pins` are all of the shapes file, those of targets that are not listed and those that nobody looks at included.
    `template` is a target with the defaults applied, for pairs that are not in the list (its key is meaningless);
    `watched_files` are the files whose change asks for a reload, each with its stamp as it was read, and the folders in
    which another targets file would.
    """

    api: ApiSettings
    template: Target
    limits: LimitSettings = field(default_factory=LimitSettings)
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    confirm: ConfirmSettings = field(default_factory=ConfirmSettings)
    outputs: OutputSettings = field(default_factory=OutputSettings)
    targets: tuple[Target, ...] = ()
    shapes_file: Path = Path("shapes.lock.yaml")
    pins: Mapping[TargetKey, Pin] = field(default_factory=dict)
    watched_files: Mapping[Path, Stamp] = field(default_factory=dict, compare=False)
