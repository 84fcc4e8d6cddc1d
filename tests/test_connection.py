"""The client and the key in use, exchanged by a reload."""

import gc
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from tests.fakes import FixedClock, make_target
from worker.app import Launch, assemble
from worker.connection import Connection
from worker.settings import ApiSettings, ConfigError, Settings, TlsSettings
from worker.sinks.metrics import Metrics

API = ApiSettings(base_url="http://127.0.0.1:1", api_key_env="ONE")
ENVIRON = {"ONE": "sk_one_0123456789", "TWO": "sk_two_0123456789"}


class Rig:
    def __init__(self) -> None:
        self.metrics = Metrics(version="0")
        self.connection = Connection(ENVIRON, FixedClock(), lambda: 0.0, self.metrics.own, evidence=False)

    def exposition(self) -> str:
        self.connection.note()
        return b"".join(self.metrics.exposition()).decode()


async def test_every_key_of_the_run_stays_redacted() -> None:
    rig = Rig()
    assert rig.connection.redact("sk_one_0123456789") == "sk_one_0123456789", "nothing is known yet"
    for name in ("ONE", "TWO", "ONE", "TWO"):
        await rig.connection.open(replace(API, api_key_env=name))
    assert rig.connection.redact("sk_one_0123456789 sk_two_0123456789") == "[REDACTED] [REDACTED]"
    await rig.connection.close()


async def test_the_same_api_keeps_its_client_and_another_one_closes_the_idle_one_before() -> None:
    rig = Rig()
    await rig.connection.open(API)
    first = rig.connection._client
    await rig.connection.open(API)
    assert rig.connection._client is first
    await rig.connection.open(replace(API, base_url="http://127.0.0.1:2"))
    assert rig.connection._client is not first
    assert rig.connection._retired == []
    await rig.connection.close()


async def test_a_client_with_calls_under_way_is_closed_later() -> None:
    rig = Rig()
    await rig.connection.open(API)
    busy = rig.connection._client
    assert busy
    busy.inflight = 1
    await rig.connection.open(replace(API, base_url="http://127.0.0.1:2"))
    assert rig.connection._retired == [busy]
    busy.inflight = 0
    await rig.connection.open(replace(API, base_url="http://127.0.0.1:3"))
    assert rig.connection._retired == []
    await rig.connection.close()


async def test_what_was_made_for_a_target_is_kept_until_it_has_left() -> None:
    """Through the worker: a daemon that is reloaded again and again would keep every target that it ever had."""
    stays, leaves = make_target("stays"), make_target("leaves")
    settings = Settings(api=API, template=stays, targets=(stays, leaves))
    async with assemble(settings, Launch(environ=ENVIRON), targets=settings.targets) as worker:
        client = worker.connection._client
        assert client
        for target in settings.targets:
            await worker.connection.call(target, False)
        assert [*client._requests] == [stays.key, leaves.key]
        worker.engine.forget(leaves.key)
        assert [*client._requests] == [stays.key]


async def test_a_certificate_that_was_rotated_in_place_makes_a_new_client(tmp_path: Path) -> None:
    rig, file = Rig(), tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(file)
    api = replace(API, base_url="https://127.0.0.1:1", tls=TlsSettings(ca_file=file))
    await rig.connection.open(api)
    first = rig.connection._client
    trustme.CA().cert_pem.write_to_path(file)
    await rig.connection.open(api)
    assert rig.connection._client is not first
    file.write_text("rubbish")
    with pytest.raises(ConfigError):
        await rig.connection.open(api)
    assert rig.connection._client is not None, "the one that worked goes on"
    await rig.connection.close()


async def test_what_the_client_saw_is_on_metrics_and_gone_with_another_host() -> None:
    rig = Rig()
    await rig.connection.open(API)
    assert "tls_earliest_cert_expiry" not in rig.exposition()
    assert rig.connection._client
    rig.connection._client.earliest_cert_expiry = 1.8e9
    assert "plugin_probe_tls_earliest_cert_expiry_timestamp_seconds 1.8e+09" in rig.exposition()
    await rig.connection.open(replace(API, base_url="http://127.0.0.1:2"))
    assert "tls_earliest_cert_expiry" not in rig.exposition()
    await rig.connection.close()


async def test_a_call_on_a_new_connection_is_counted() -> None:
    rig = Rig()
    await rig.connection.open(API)
    for fresh in (True, False, True):
        await rig.connection.call(make_target(), fresh)
    assert "plugin_probe_stale_connection_retries_total 2.0" in rig.exposition()
    await rig.connection.close()


async def test_a_worker_that_runs_has_its_garbage_collected() -> None:
    gc.disable()
    settings = Settings(api=API, template=make_target())
    async with assemble(settings, Launch(environ=ENVIRON), targets=[]):
        assert gc.isenabled()
    gc.unfreeze()
