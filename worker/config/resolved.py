"""Prints what a configuration amounts to: defaults applied, targets written out, secrets masked."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from worker.config.json_check import CompiledSchema
from worker.config.scalars import NotJsonError, plain_value
from worker.config.units import duration_text, percent_text, size_text
from worker.config.urls import listen_text, needs_allow_http, without_userinfo
from worker.core.target import Expectation, Golden, Slo, Target, VectorExpectation
from worker.settings import ApiSettings, LimitSettings, OutputSettings, ReceiverSettings, Settings

# The C emitter is many times as fast; it is missing only where PyYAML was built without libyaml.
_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _ResolvedDumper(_Dumper):  # type: ignore[misc]  # chosen at run time
    """Writes values out wherever they are used, and quotes text that would read as something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: Any, text: str) -> Any:
    try:
        plain = plain_value(text) == text
    except NotJsonError:
        plain = False
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_ResolvedDumper.add_representer(str, _text)


def resolved(settings: Settings) -> str:
    """Two YAML documents, worker.yaml and targets.yaml, which load as the same settings if saved under these names.

    Paths are written as they were resolved; what a key holds is never in `settings`; a proxy's user is masked.
    """
    template = settings.template
    worker = {
        "api": _api(settings.api),
        "limits": _limits(settings.limits),
        "schedule": _written(
            interval=_duration(settings.schedule.interval_s),
            timeout=_duration(settings.schedule.timeout_s),
            deadline=_duration(settings.schedule.deadline_s),
            grace=_duration(settings.schedule.grace_s),
        ),
        "confirm": {
            "rechecks": settings.confirm.rechecks,
            "delay": _duration(settings.confirm.delay_s),
        },
        "defaults": _target_keys(template, template),
        "targets_files": ["targets.yaml"],
        "shapes_file": _path(settings.shapes_file),
        "outputs": _outputs(settings.outputs),
    }
    targets = [
        {"namespace": target.key.namespace, "plugin": target.key.plugin, **_target_keys(target, template)}
        for target in settings.targets
    ]
    return f"# worker.yaml\n{_yaml(_escaped(worker))}---\n# targets.yaml\n{_yaml({'targets': targets})}"


def _yaml(values: Any) -> str:
    text: str = yaml.dump(values, Dumper=_ResolvedDumper, sort_keys=False, allow_unicode=True, width=120)
    return text


def _escaped(value: Any) -> Any:
    """What stands in worker.yaml is expanded when it is read again, and this text has been already."""
    if isinstance(value, dict):
        return {key: _escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return value.replace("${", "$${") if isinstance(value, str) else value


def _written(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _duration(seconds: float | None) -> str | float | None:
    return None if seconds is None else duration_text(seconds)


def _api(api: ApiSettings) -> dict[str, Any]:
    tls = {name: getattr(api.tls, name) for name in ("ca_file", "cert_file", "key_file")}
    return _written(
        base_url=api.base_url,
        api_key_env=api.api_key_env,
        api_key_file=_path(api.api_key_file),
        path=api.path,
        connections="fresh" if api.fresh_connections else "reuse",
        user_agent=api.user_agent,
        max_response_bytes=size_text(api.max_response_bytes),
        allow_http=needs_allow_http(api.base_url),
        tls={name: _path(path) for name, path in tls.items() if path is not None} or None,
        proxy=without_userinfo(api.proxy) if api.proxy else None,
    )


def _path(path: Any) -> str | None:
    return None if path is None else str(path.absolute())


def _limits(limits: LimitSettings) -> dict[str, Any]:
    per_namespace = _written(
        rate=str(limits.namespace_rate) if limits.namespace_rate else None,
        concurrency=limits.namespace_concurrency,
    )
    return _written(
        rate=str(limits.rate),
        concurrency=limits.concurrency,
        per_namespace=per_namespace or None,
        max_retry_after=_duration(limits.max_retry_after_s),
    )


def _outputs(outputs: OutputSettings) -> dict[str, Any]:
    textfile = outputs.textfile
    return _written(
        listen=listen_text(outputs.listen_host, outputs.listen_port),
        textfile={"path": _path(textfile.path), "required": textfile.required} if textfile else None,
        pushgateway=outputs.pushgateway and _receiver(outputs.pushgateway),
        remote_write=outputs.remote_write and _receiver(outputs.remote_write),
        histograms=outputs.histograms,
    )


def _receiver(receiver: ReceiverSettings) -> dict[str, Any]:
    return _written(
        url=receiver.url,
        job=receiver.job,
        timeout=_duration(receiver.timeout_s),
        required=receiver.required,
        username=receiver.username,
        password_file=_path(receiver.password_file),
        ca_file=_path(receiver.ca_file),
    )


def _slo(slo: Slo) -> Mapping[str, Any]:
    latency = slo.latency and {"below": _duration(slo.latency_below_s), "ratio": percent_text(slo.latency)}
    return _written(availability=slo.availability and percent_text(slo.availability), latency=latency)


def _target_keys(target: Target, template: Target) -> dict[str, Any]:
    return {
        "interval": _duration(target.interval_s),
        "timeout": _duration(target.timeout_s),
        "inputs": target.inputs,
        "parameters": target.parameters,
        "labels": target.labels,
        "expect": _expect(target.expect, template.expect),
        "slo": _slo(target.slo),
        "shape": target.shape.value,
    }


def _expect(expect: Expectation, defaults: Expectation) -> Mapping[str, Any]:
    return _written(
        max_latency=_duration(expect.max_latency_s),
        # Empty ones are written only where they take back what the defaults say.
        keys=list(expect.keys) if expect.keys or defaults.keys else None,
        vector=list(map(_vector, expect.vectors)) if expect.vectors or defaults.vectors else None,
        schema=expect.schema.schema if isinstance(expect.schema, CompiledSchema) else None,
        golden=expect.golden and _golden(expect.golden),
        max_warming=_duration(expect.max_warming_s),
    )


def _vector(vector: VectorExpectation) -> Mapping[str, Any]:
    distinct = vector.distinct
    return _written(
        path=vector.path,
        dimensions=vector.dimensions,
        normalized=vector.normalized,
        distinct=distinct and {"inputs": list(distinct.inputs), "every": _duration(distinct.every_s)},
    )


def _golden(golden: Golden) -> Mapping[str, Any]:
    return {"path": golden.path, "file": _path(Path(golden.file)), "min_cosine": golden.min_cosine}
