"""Each rule about manifests can fail: manifest_cases.yaml has changes to good ones, and what must be said of them."""

import copy
import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import pytest
import yaml

from tests.deploy.manifest_rules import RULES, Rule, problems
from tests.deploy.manifest_rules_schema import ENUMERATIONS, VERSIONS, enumerations
from tests.deploy.manifests import Object, Objects, build, named, pods
from tests.programs import ROOT, needs
from worker.version import VERSION

pytestmark = needs("kubectl")

TABLE = ROOT / "tests" / "deploy" / "manifest_cases.yaml"
STARTS = ("job", "pod", "container")


class Case(NamedTuple):
    """`overlay` has components behind it: cronjob-sharded+reports."""

    overlay: str
    name: str
    changes: dict[str, Any]
    said: str | None

    def changed(self) -> Objects:
        objects = copy.deepcopy(list(built(self.overlay)))
        for path, value in self.changes.items():
            _change(objects, self.name, path, value)
        return objects

    def among(self, said: Sequence[str]) -> bool:
        """… stands for what others have to say."""
        assert self.said is not None
        pattern = ".*".join(map(re.escape, self.said.split("…")))
        return any(re.fullmatch(pattern, one) for one in said)


def built(overlay: str) -> Objects:
    name, *components = overlay.split("+")
    return build(name, *components, over=True)


def rule_name(rule: Rule) -> str:
    return f"{rule.__module__}.{rule.__name__}"


def _cases() -> Iterator[Case]:
    text = TABLE.read_text(encoding="utf-8").replace("$NEWEST", VERSIONS[-1]).replace("$VERSION", VERSION)
    for overlay, by_name in yaml.safe_load(text).items():
        for name, rows in by_name.items():
            for changes, said, *place in rows:
                sentence = said and f"{place[0] if place else _place(name, changes)}: {said}"
                yield Case(overlay, name, changes, sentence)


def _place(name: str, changes: dict[str, Any]) -> str:
    return f"{name}, container plugin-probe" if next(iter(changes)).startswith(("container", "worker.yaml")) else name


def _change(objects: list[Object], name: str, path: str, value: Any) -> None:
    one = next(one for one in objects if named(one).startswith(name))
    if path == "remove":
        objects.remove(one)
    elif path == "copy":
        objects.append({**one, "metadata": {**one["metadata"], **value}})
    elif path.startswith("worker.yaml "):
        (files,) = [one["data"] for one in objects if one["kind"] == "ConfigMap"]
        settings = yaml.safe_load(files["worker.yaml"])
        _put(settings, path.split()[1:], value)
        files["worker.yaml"] = yaml.safe_dump(settings)
    else:
        _put(*_start(one, path.split()), value)


def _start(one: Object, keys: list[str]) -> tuple[Any, list[str]]:
    if keys[0] not in STARTS:
        return one, keys
    (pod,) = pods([one])
    return {"job": pod.job, "pod": pod.spec, "container": pod.spec["containers"][0]}[keys[0]], keys[1:]


def _put(where: Any, path: list[str], value: Any) -> None:
    """Null removes; + appends."""
    *keys, key = path
    for outer in keys:
        where = where.setdefault(outer, {}) if isinstance(where, dict) else where[int(outer)]
    if key == "+":
        where.append(value)
    elif value is None:
        del where[key if isinstance(where, dict) else int(key)]
    else:
        where[key if isinstance(where, dict) else int(key)] = value


CASES = [case for case in _cases() if case.said]
QUIET = [case for case in _cases() if case.said is None]


@cache
def _problems(overlay: str) -> list[str]:
    return problems(built(overlay))


@cache
def _noticing(index: int) -> str:
    """The first rule that says of a case what it should; it is not asked further."""
    objects = CASES[index].changed()
    return next((rule_name(rule) for rule in RULES if CASES[index].among([*rule(objects)])), "")


@pytest.mark.parametrize("index", range(len(CASES)), ids=lambda index: f"{CASES[index].overlay}: {CASES[index].said}")
def test_what_is_wrong_is_said(index: int) -> None:
    case = CASES[index]
    assert not case.among(_problems(case.overlay))
    assert _noticing(index), problems(case.changed())


@pytest.mark.parametrize("case", QUIET, ids=lambda case: f"{case.overlay}: {case.changes}")
def test_what_is_no_problem_is_none(case: Case) -> None:
    assert problems(case.changed()) == _problems(case.overlay)


def test_every_rule_has_a_case() -> None:
    noticing = {_noticing(index) for index in range(len(CASES))}
    assert {rule_name(rule) for rule in RULES} - noticing == set()


@pytest.mark.parametrize("path", ENUMERATIONS, ids=" ".join)
def test_a_value_that_there_is_not_is_said(path: tuple[str, ...]) -> None:
    value: Any = "Sometimes"
    for key in reversed(path):
        value = {key: [value]}
    (said,) = enumerations([{"kind": "CronJob", "metadata": {"name": "x"}, "spec": value}])
    assert said.startswith(f"CronJob x: {path[-1]} can't be 'Sometimes', only ")


@pytest.mark.parametrize(
    ("overlay", "said"),
    {
        "cronjob+state": "PersistentVolumeClaim plugin-probe-state: no pod uses it",
        "cronjob+podmonitor": "PodMonitor plugin-probe: none of the pods that it selects has a port metrics",
    }.items(),
)
def test_a_component_that_does_not_fit_is_noticed(overlay: str, said: str) -> None:
    assert said in _problems(overlay)
