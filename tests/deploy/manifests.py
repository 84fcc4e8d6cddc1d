"""deploy/kubernetes as kubectl builds it: its objects, and the pods that they make."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import yaml

from tests.programs import ROOT

Object = dict[str, Any]
Objects = Sequence[Object]

FOLDER = ROOT / "deploy" / "kubernetes"
#: The components that fit each overlay, besides those that it has.
FITTING = {
    "cronjob": ("external-secret", "prometheusrule", "servicemonitor"),
    "cronjob-sharded": ("external-secret", "prometheusrule", "reports", "servicemonitor"),
    "daemon": ("external-secret", "podmonitor", "prometheusrule", "state"),
    "daemon-sharded": ("external-secret", "podmonitor", "prometheusrule", "state-sharded"),
    "sandbox": ("podmonitor", "prometheusrule", "state"),
}


class Pod(NamedTuple):
    """Pods that one workload makes, all alike."""

    owner: Object
    template: Object

    @property
    def name(self) -> str:
        return named(self.owner)

    @property
    def spec(self) -> Object:
        spec: Object = self.template["spec"]
        return spec

    @property
    def labels(self) -> dict[str, str]:
        labels: dict[str, str] = self.template.get("metadata", {}).get("labels", {})
        return labels

    @property
    def containers(self) -> list[Object]:
        """Every one, those that start first first."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def volumes(self) -> dict[str, Object]:
        """By name; a StatefulSet's claims among them."""
        claims = self.owner["spec"].get("volumeClaimTemplates", [])
        own = {claim["metadata"]["name"]: {"volumeClaimTemplate": claim} for claim in claims}
        return {volume["name"]: volume for volume in self.spec.get("volumes", [])} | own

    @property
    def job(self) -> Object | None:
        """The spec of the Job, where a Job makes them."""
        job: Object | None = self.owner["spec"].get("jobTemplate", {}).get("spec")
        return job

    @property
    def copies(self) -> int:
        """How many there are at a time."""
        copies: int = self.owner["spec"].get("replicas", 1) if self.job is None else self.job.get("parallelism", 1)
        return copies


def named(one: Object) -> str:
    return f"{one['kind']} {one['metadata']['name']}"


def of_kind(objects: Objects, *kinds: str) -> list[Object]:
    return [one for one in objects if one["kind"] in kinds]


def find(objects: Objects, kind: str, name: str) -> Object | None:
    return next((one for one in of_kind(objects, kind) if one["metadata"]["name"] == name), None)


def pods(objects: Objects) -> Iterator[Pod]:
    for one in of_kind(objects, "CronJob", "Deployment", "StatefulSet"):
        spec = one["spec"]["jobTemplate"]["spec"] if one["kind"] == "CronJob" else one["spec"]
        yield Pod(one, spec["template"])


def containers(objects: Objects) -> Iterator[tuple[str, Pod, Object]]:
    """Each with its name in a sentence."""
    for pod in pods(objects):
        for container in pod.containers:
            yield f"{pod.name}, container {container['name']}", pod, container


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """An empty one selects everything."""
    assert set(selector) <= {"matchLabels"}, "only labels are understood here"
    wanted: dict[str, str] = selector.get("matchLabels", {})
    return wanted.items() <= labels.items()


def walk(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value in it, with the keys that lead there; a list has none of its own."""
    yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from walk(inner, (*path, str(key)))
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner, path)


@cache
def build(overlay: str, *components: str, over: bool = False) -> Objects:
    """What an overlay is with these components: written into it or, where `over`, into one that stands on it."""
    with TemporaryDirectory() as name:
        copy = Path(name) / "deploy" / "kubernetes"
        shutil.copytree(FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "config", Path(name) / "config")
        return kustomized(_with(copy / "overlays", overlay, components, over=over))


def _with(overlays: Path, overlay: str, components: Sequence[str], *, over: bool) -> Path:
    """The folder to build."""
    written = overlays / overlay / "kustomization.yaml"
    kustomization = yaml.safe_load(written.read_text(encoding="utf-8"))
    if over:
        written = overlays / "above" / "kustomization.yaml"
        written.parent.mkdir()
        kept = {key: kustomization[key] for key in ("apiVersion", "kind", "namespace")}
        kustomization = {**kept, "resources": [f"../{overlay}"]}
    paths = [f"../../components/{component}" for component in components]
    kustomization["components"] = [*(kustomization.get("components") or []), *paths]
    written.write_text(yaml.safe_dump(kustomization, sort_keys=False), encoding="utf-8")
    return written.parent


def kustomized(folder: Path) -> Objects:
    """What kubectl builds there, without a warning."""
    ended = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stderr
    assert "# Warning" not in ended.stdout, ended.stdout
    return [one for one in yaml.load_all(ended.stdout, Loader=yaml.CSafeLoader) if one]
