"""The sample plugins: what is asked of each, and the outcome that it was made for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.sandbox.faults import Faults, make_faults
from worker.sandbox.plugins import load_plugins
from worker.sandbox.sandbox import Sandbox

_FOLDER = Path(__file__).parent / "samples"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One folder under samples/. `expect` is that of a targets file; `fault` that of a faults file."""

    folder: str
    plugin_id: str
    inputs: Mapping[str, Any]
    expect: Mapping[str, Any]
    outcome: str
    healthy: bool = False
    fault: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        return _FOLDER / self.folder


_TEXT = {"text": "hello world"}

SAMPLES: tuple[Sample, ...] = (
    Sample(
        folder="text_embed",
        plugin_id="text_embed_1_0_0",
        inputs=_TEXT,
        expect={
            "max_latency": "2s",
            "keys": ["embedding"],
            "vector": {"path": "embedding", "dimensions": 256, "normalized": True},
        },
        outcome="success",
        healthy=True,
    ),
    Sample(
        folder="language_id",
        plugin_id="language_id_1_0_0",
        inputs={"text": "Où est la bibliothèque, s'il vous plaît ?"},
        expect={
            "max_latency": "2s",
            "keys": ["language", "probability"],
            "schema": {"type": "object", "properties": {"language": {"const": "fr"}}},
        },
        outcome="success",
        healthy=True,
    ),
    Sample(
        folder="sick_raising",
        plugin_id="sick_raising_1_0_0",
        inputs=_TEXT,
        expect={"keys": ["summary"]},
        outcome="plugin_error",
    ),
    Sample(
        folder="sick_nan",
        plugin_id="sick_nan_1_0_0",
        inputs=_TEXT,
        expect={"vector": {"path": "embedding", "dimensions": 64}},
        outcome="bad_values",
    ),
    Sample(
        folder="sick_wrong_size",
        plugin_id="sick_wrong_size_1_0_0",
        inputs=_TEXT,
        expect={"vector": {"path": "embedding", "dimensions": 384}},
        outcome="shape_mismatch",
    ),
    Sample(
        folder="sick_slow",
        plugin_id="sick_slow_1_0_0",
        inputs={"query": "what is a plugin?", "document": "A plugin is a model behind an endpoint."},
        expect={"keys": ["score"], "max_latency": "250ms"},
        outcome="slow",
    ),
    Sample(
        folder="sick_cold",
        plugin_id="sick_cold_1_0_0",
        inputs=_TEXT,
        expect={"vector": {"path": "embedding", "dimensions": 64}},
        outcome="warming",
        # Long enough that a recheck still finds it cold, short enough to watch it recover.
        fault={"illness": {"cold": {"period": "20s", "retry_after_s": 20}}},
    ),
    Sample(
        folder="sick_not_deployed",
        plugin_id="sick_not_deployed_1_0_0",
        inputs=_TEXT,
        expect={},
        outcome="plugin_error",
    ),
)


def sample_sandbox(*, only_sick: bool = False, faults: Faults | None = None, **settings: Any) -> Sandbox:
    """A sandbox over the samples; `settings` are those of Sandbox, `faults` stand in for the samples' own.

    PluginError when the models are missing.
    """
    samples = [sample for sample in SAMPLES if not (only_sick and sample.healthy)]
    plugins = load_plugins(sample.path for sample in samples)
    own = {"plugins": {sample.plugin_id: dict(sample.fault) for sample in samples if sample.fault}}
    return Sandbox(plugins, faults=faults or make_faults(own), **settings)


def sample_targets(namespace: str) -> list[dict[str, Any]]:
    """The samples as entries of a targets file."""
    return [
        {
            "namespace": namespace,
            "plugin": sample.plugin_id,
            "inputs": dict(sample.inputs),
            "expect": dict(sample.expect),
        }
        for sample in SAMPLES
    ]
