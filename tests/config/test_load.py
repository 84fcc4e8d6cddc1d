"""What a configuration that is accepted amounts to."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from worker.config.load import load
from worker.config.resolved import resolved
from worker.core.target import Distinct, Expectation, SchemaProblem, ShapePolicy, Slo, TargetKey, VectorExpectation
from worker.settings import (
    ApiSettings,
    ConfigError,
    ConfirmSettings,
    LimitSettings,
    OutputSettings,
    Rate,
    ScheduleSettings,
    Settings,
    TextfileSettings,
    TlsSettings,
)
from worker.stamp import stamp

GOOD = Path(__file__).parent / "testdata" / "good"
EXAMPLES = Path(__file__).parents[2] / "config"
KEY = {"MIXPEEK_API_KEY": "key-for-tests"}
ENVIRON = {"MIXPEEK_HOST": "mixpeek.example.com", "PROXY_PASSWORD": "hidden", "CALLS": "7"}
MINIMAL = "api: {base_url: https://mixpeek.example.com}\n"
ONE_TARGET = "targets:\n  - {namespace: ns_a, plugin: p}\n"


def loaded(folder: Path, worker: str = MINIMAL, targets: str = ONE_TARGET, **environ: str) -> Settings:
    (folder / "worker.yaml").write_text(worker)
    (folder / "targets.yaml").write_text(targets)
    return load(folder / "worker.yaml", environ={**KEY, **environ})


def good() -> Settings:
    return load(GOOD / "worker.yaml", environ=ENVIRON)


def test_every_key_of_the_worker_file_reaches_the_settings() -> None:
    settings = good()
    key = GOOD / "key"
    assert settings.api == ApiSettings(
        base_url="https://mixpeek.example.com:8443/mixpeek",
        api_key_file=key,
        path="/v2/{namespace}/run/{plugin}",
        fresh_connections=True,
        user_agent="probe/2 (team search)",
        max_response_bytes=512 * 1024,
        tls=TlsSettings(ca_file=key, cert_file=key, key_file=key),
        proxy="http://me:hidden@proxy.example.com:3128",
    )
    assert settings.limits == LimitSettings(
        rate=Rate(count=30, period_s=60.0),
        concurrency=7,
        namespace_rate=Rate(count=1000, period_s=3600.0),
        namespace_concurrency=1,
        max_retry_after_s=90.0,
    )
    assert settings.schedule == ScheduleSettings(interval_s=90.0, timeout_s=2.5, deadline_s=3600.0, grace_s=0.0)
    assert settings.confirm == ConfirmSettings(rechecks=2, delay_s=0.25)
    textfile = TextfileSettings(path=GOOD / "metrics" / "probe.prom", required=False)
    assert settings.outputs == OutputSettings(
        listen_host="::1", listen_port=9465, textfile=textfile, histograms="namespace"
    )


def test_the_template_is_a_target_with_the_defaults() -> None:
    template = good().template
    assert (template.interval_s, template.timeout_s) == (120.0, 2.5)
    # Neither a word nor a date changes on its way to the model.
    assert template.inputs == {"text": "costs ${5}", "answer": "no", "date": "2024-01-31", "ratio": 0.001}
    assert template.parameters == {"top": 3}
    assert template.labels == {"team": "search", "tier": "1"}
    vector = VectorExpectation(path="embedding", dimensions=384)
    assert template.expect == Expectation(max_latency_s=1.0, keys=("embedding",), vectors=(vector,))


def test_targets_stand_in_the_order_of_their_files() -> None:
    assert [str(target.key) for target in good().targets] == [
        "ns_b/p",
        "ns \N{GRINNING FACE}/123",
        "ns_a/embed_1_0_0",
        "ns_a/embed_2_0_0",
        "ns_a/caption_1_0_0",
        "ns_a/caption_2_0_0",
    ]


def test_a_target_goes_before_the_defaults() -> None:
    targets = {target.key.plugin: target for target in good().targets}
    embed = targets["embed_2_0_0"]
    assert (embed.interval_s, embed.timeout_s) == (30.0, 2.5)
    assert embed.labels == {"team": "vision", "tier": "1", "site": "eu"}
    assert embed.inputs == good().template.inputs
    assert embed.expect == Expectation(
        max_latency_s=1.0,
        keys=("embedding",),
        vectors=(VectorExpectation(path="result.items[0].vector", normalized=True), VectorExpectation(path="[0]")),
        max_warming_s=0.0,
    )
    caption = targets["caption_1_0_0"]
    assert caption.inputs == {}
    assert caption.parameters == {"top": 3}
    assert caption.expect.keys == ()
    assert caption.expect.schema is not None
    assert caption.expect.schema([]) == SchemaProblem(path="", expected='type: "object"', found="[]")
    assert targets["123"].inputs == {"a/b": [1, 2.5, None, True, "é"]}


def test_watched_are_the_files_that_were_read_and_the_folders_where_a_glob_would_find_more() -> None:
    names = ("worker.yaml", "targets.yaml", "targets/deep/one.json", "more.yml", "", "targets/deep", "key")
    looked_for = {GOOD / "shapes.lock.yaml": None}
    assert good().watched_files == {GOOD / name: stamp(GOOD / name) for name in names} | looked_for


def test_certificates_are_watched_and_files_that_could_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("one")
    (tmp_path / "t.yaml").write_bytes(b"targets: [\xff]")
    path = tmp_path / "worker.yaml"
    path.write_text("{api: {base_url: 'https://a.b', tls: {ca_file: ca.pem}}, targets_files: [t.yaml]}")
    with pytest.raises(ConfigError) as refused:
        load(path, environ={"MIXPEEK_API_KEY": "sk_test_key"})
    names = ("worker.yaml", "t.yaml", "ca.pem", "shapes.lock.yaml")
    assert refused.value.files == {tmp_path / name: stamp(tmp_path / name) for name in names}


@pytest.mark.parametrize(
    ("written", "awaited"),
    [
        ("{api: {base_url: 'https://a.b', api_key_file: new}}", "new"),
        ("{api: {base_url: 'https://a.b'}, targets_files: [new.yaml]}", "new.yaml"),
        ("{api: {base_url: 'https://a.b'}, targets_files: ['new/*/*.yaml']}", "new"),
        ("{api: {base_url: 'https://a.b'}, outputs: {pushgateway: {url: 'http://p', ca_file: new}}}", "new"),
    ],
)
def test_what_is_named_and_not_there_yet_is_waited_for(tmp_path: Path, written: str, awaited: str) -> None:
    """A Secret is mounted a minute after the ConfigMap that names it: it comes, and nothing else changes any more."""
    (tmp_path / "targets.yaml").write_text("targets: [{namespace: ns_a, plugin: p}]")
    (tmp_path / "worker.yaml").write_text(written)
    with pytest.raises(ConfigError) as refused:
        load(tmp_path / "worker.yaml", environ={"MIXPEEK_API_KEY": "sk_test_key"})
    assert refused.value.files[tmp_path / awaited] is None


@pytest.mark.parametrize("before", ["", "more than " * 4])
def test_a_key_that_was_cut_off_is_in_no_message_either(tmp_path: Path, before: str) -> None:
    """As long as a JWT, in a variable that stands in the wrong place."""
    key = "eyJhbGciOiJ" + "0123456789" * 9
    (tmp_path / "worker.yaml").write_text(
        f"{{api: {{base_url: 'https://a.b'}}, limits: {{rate: '{before}${{KEY}}'}}}}".replace("KEY", "MIXPEEK_API_KEY")
    )
    with pytest.raises(ConfigError) as refused:
        load(tmp_path / "worker.yaml", environ={"MIXPEEK_API_KEY": key})
    assert "eyJh" not in str(refused.value.problems)
    assert "[REDACTED]…" in str(refused.value.problems)


def test_a_key_is_no_label(tmp_path: Path) -> None:
    (tmp_path / "worker.yaml").write_text(
        "{api: {base_url: 'https://a.b'}, defaults: {labels: {team: '${MIXPEEK_API_KEY}'}}}"
    )
    with pytest.raises(ConfigError, match=r"defaults\.labels\.team: holds the API key") as refused:
        load(tmp_path / "worker.yaml", environ={"MIXPEEK_API_KEY": "sk_test_key"})
    assert "sk_test_key" not in str(refused.value.problems)


def test_a_worker_file_with_an_address_alone_means_the_defaults(tmp_path: Path) -> None:
    settings = loaded(tmp_path)
    assert settings.api == ApiSettings(base_url="https://mixpeek.example.com", api_key_env="MIXPEEK_API_KEY")
    assert (settings.limits, settings.schedule) == (LimitSettings(), ScheduleSettings())
    assert (settings.confirm, settings.outputs) == (ConfirmSettings(), OutputSettings())
    assert settings.targets == (replace(settings.template, key=TargetKey("ns_a", "p")),)


def test_the_example_means_the_defaults_and_shows_every_key() -> None:
    settings = load(EXAMPLES / "worker.yaml", environ=KEY)
    assert settings.api == ApiSettings(base_url="https://mixpeek.example.com", api_key_env="MIXPEEK_API_KEY")
    assert (settings.limits, settings.schedule) == (LimitSettings(), ScheduleSettings())
    assert (settings.confirm, settings.outputs) == (ConfirmSettings(), OutputSettings())
    first = settings.targets[0]
    asked = Distinct(inputs=({"text": "one"}, {"text": "another"}), every_s=3600.0)
    vector = VectorExpectation(path="embedding", dimensions=384, normalized=True, distinct=asked)
    assert first.expect.vectors == (vector,)
    assert (first.shape, first.pin, settings.pins) == (ShapePolicy.COMPATIBLE, None, {})
    assert settings.shapes_file == EXAMPLES / "shapes.lock.yaml"
    assert len(settings.targets) == 3


@pytest.mark.parametrize(
    ("written", "base_url"),
    [
        ("https://h.example.com/", "https://h.example.com"),
        ("https://h.example.com/v1", "https://h.example.com"),
        ("https://h.example.com/v1/", "https://h.example.com"),
        ("https://h.example.com/v10", "https://h.example.com/v10"),
        ("http://localhost:8080/v1", "http://localhost:8080"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_the_base_url_is_kept_without_version_and_slash(tmp_path: Path, written: str, base_url: str) -> None:
    assert loaded(tmp_path, f"api: {{base_url: '{written}'}}\n").api.base_url == base_url


def test_plain_http_to_another_host_is_allowed_when_asked_for(tmp_path: Path) -> None:
    settings = loaded(tmp_path, "api: {base_url: http://10.0.0.7, allow_http: true}\n")
    assert settings.api.base_url == "http://10.0.0.7"


def test_a_port_alone_listens_on_all_interfaces(tmp_path: Path) -> None:
    outputs = loaded(tmp_path, MINIMAL + "outputs: {listen: ':9464'}\n").outputs
    assert (outputs.listen_host, outputs.listen_port) == ("", 9464)


def test_a_worker_file_may_be_json(tmp_path: Path) -> None:
    (tmp_path / "worker.json").write_text(json.dumps({"api": {"base_url": "https://h.example.com"}}))
    (tmp_path / "targets.yaml").write_text(ONE_TARGET)
    assert load(tmp_path / "worker.json", environ=KEY).api.base_url == "https://h.example.com"


def test_equal_parts_are_shared(tmp_path: Path) -> None:
    entries = [
        {
            "namespace": "ns_a",
            "plugin": f"p{number}",
            "inputs": {"text": "hello"},
            "labels": {"team": "a"},
            "timeout": f"{number + 1}s",
            "expect": {"max_latency": "1s", "schema": {"type": "object"}},
            "slo": {"availability": "99.9%"},
        }
        for number in range(50)
    ]
    (tmp_path / "worker.yaml").write_text(MINIMAL + "targets_files: [t.json]\n")
    (tmp_path / "t.json").write_text(json.dumps({"targets": entries}))
    targets = load(tmp_path / "worker.yaml", environ=KEY).targets
    assert len({id(target.expect) for target in targets}) == 1
    assert len({id(target.inputs) for target in targets}) == 1
    assert len({id(target.labels) for target in targets}) == 1
    assert len({id(target.slo) for target in targets}) == 1
    assert targets[0].slo == Slo(availability=0.999)


#: Keys that the folder of all keys has not.
SLO = (
    MINIMAL
    + """
defaults: {slo: {availability: 99.5%, latency: {below: 800ms, ratio: 0.99}}}
outputs:
  textfile: {path: probe.prom}
  pushgateway: {url: http://gateway:9091, job: a/b, timeout: 5s, required: false, username: u, password_file: key}
  remote_write: {url: https://prometheus:9090/api/v1/write, ca_file: worker.yaml}
"""
)


@pytest.mark.parametrize(
    ("written", "slo"),
    [
        ("", Slo(availability=0.995, latency=0.99, latency_below_s=0.8)),
        (", slo: ", Slo(availability=0.995, latency=0.99, latency_below_s=0.8)),
        (", slo: {availability: 99.95 %}", Slo(availability=0.9995, latency=0.99, latency_below_s=0.8)),
        (", slo: {latency: {below: 2s, ratio: 90%}}", Slo(availability=0.995, latency=0.9, latency_below_s=2.0)),
    ],
)
def test_an_objective_goes_before_that_of_the_defaults(tmp_path: Path, written: str, slo: Slo) -> None:
    (tmp_path / "key").write_text("for tests")
    settings = loaded(tmp_path, SLO, f"targets:\n  - {{namespace: ns_a, plugin: p{written}}}\n")
    assert [target.slo for target in settings.targets] == [slo]
    worker, targets = resolved(settings).split("---\n")
    assert loaded(tmp_path, worker, targets) == settings


def test_a_scalar_of_ten_megabytes_is_no_problem(tmp_path: Path) -> None:
    text = "x" * 10_000_000
    targets = f"targets:\n  - {{namespace: ns_a, plugin: p, inputs: {{text: {text}, quoted: '{text}'}}}}\n"
    assert loaded(tmp_path, targets=targets).targets[0].inputs["text"] == text


def test_a_secret_is_in_neither_settings_nor_resolved(tmp_path: Path) -> None:
    settings = loaded(tmp_path, MIXPEEK_API_KEY="sk_live_0123456789")
    assert "sk_live" not in repr(settings)
    assert "sk_live" not in resolved(settings)


def test_a_file_that_may_not_be_read_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "worker.yaml").mkdir()
    with pytest.raises(ConfigError, match=r"worker\.yaml:1:1: cannot be read: Is a directory"):
        load(tmp_path / "worker.yaml", environ=KEY)


def test_a_worker_file_that_is_no_text_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "worker.yaml").write_bytes(b"api:\n  base_url: \xff\n")
    with pytest.raises(ConfigError, match=r"worker\.yaml:2:13: not UTF-8: byte 0xff"):
        load(tmp_path / "worker.yaml", environ=KEY)


def test_a_path_that_is_none_is_a_problem() -> None:
    with pytest.raises(ConfigError, match="is no path"):
        load(Path("worker\0.yaml"), environ=KEY)


def test_a_file_is_named_by_the_shorter_of_its_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config").mkdir()
    for here, name in ((tmp_path, "config/worker.yaml"), (Path("/"), str(tmp_path / "config" / "worker.yaml")[1:])):
        monkeypatch.chdir(here)
        with pytest.raises(ConfigError) as refused:
            load(tmp_path / "config" / "worker.yaml", environ=KEY)
        assert refused.value.problems[0].startswith(f"{name}:1:1: no such file")


@pytest.mark.parametrize("folder", [GOOD, EXAMPLES], ids=["every-key", "examples"])
def test_what_resolved_prints_loads_as_the_same_settings(folder: Path, tmp_path: Path) -> None:
    settings = load(folder / "worker.yaml", environ={**KEY, **ENVIRON})
    text = resolved(settings)
    assert "hidden" not in text
    worker, targets = text.split("---\n")
    again = loaded(tmp_path, worker, targets)
    masked = settings.api.proxy and "http://***@proxy.example.com:3128"
    expected = replace(settings, api=replace(settings.api, proxy=masked), watched_files=again.watched_files)
    assert again == expected
    assert [t.expect.schema is None for t in again.targets] == [t.expect.schema is None for t in settings.targets]


def test_resolved_text_that_looks_like_something_else_stays_text(tmp_path: Path) -> None:
    words = ["0o17", "1e5", "no", "2024-01-31", "<<", "~", "", ".nan", "${X}", "a: b", "- a", "é\u2028", "\t", "x\ny\n"]
    entry = {"namespace": "1.0", "plugin": "true", "inputs": {"words": words, **{word: word for word in words}}}
    (tmp_path / "worker.yaml").write_text(MINIMAL + "targets_files: [t.json]\n")
    (tmp_path / "t.json").write_text(json.dumps({"targets": [entry]}))
    settings = load(tmp_path / "worker.yaml", environ=KEY)
    worker, targets = resolved(settings).split("---\n")
    assert loaded(tmp_path, worker, targets).targets == settings.targets
