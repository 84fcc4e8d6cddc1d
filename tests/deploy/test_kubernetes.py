"""Every overlay of deploy/kubernetes, alone and with what fits it, is built by kubectl and held against the rules."""

import re
from pathlib import Path

import pytest
import yaml

from deploy.kubernetes.__main__ import manifests
from tests.deploy.manifest_rules import problems
from tests.deploy.manifest_rules_pods import alike
from tests.deploy.manifest_rules_worker import WORKLOADS
from tests.deploy.manifests import FITTING, FOLDER, build, of_kind
from tests.deploy.pages import read
from tests.programs import ROOT, needs, run
from worker.cli import cli

#: An overlay and a component.
SINGLE = [(overlay, component) for overlay, fitting in FITTING.items() for component in fitting]
#: An overlay as it stands, with each component, and with all of them.
CHOICES = [
    *((overlay, ()) for overlay in FITTING),
    *((overlay, (component,)) for overlay, component in SINGLE),
    *FITTING.items(),
]
KUSTOMIZATIONS = [*FOLDER.rglob("kustomization.yaml"), ROOT / "config" / "kustomization.yaml"]
COMPONENT = r"\.\./\.\./components/([\w-]+)"


@needs("kubectl")
@pytest.mark.parametrize(
    ("overlay", "components"), CHOICES, ids=["+".join([overlay, *chosen]) for overlay, chosen in CHOICES]
)
def test_no_rule_has_anything_to_say(overlay: str, components: tuple[str, ...]) -> None:
    assert problems(build(overlay, *components)) == []


@needs("kubectl")
@pytest.mark.parametrize(("overlay", "component"), SINGLE, ids=["+".join(one) for one in SINGLE])
def test_a_component_does_the_same_within_an_overlay_and_above_it(overlay: str, component: str) -> None:
    """Within, what it changes may not be there yet: an overlay's own patches come after its components."""
    within, above = build(overlay, component), build(overlay, component, over=True)
    assert within == above
    assert within != build(overlay)


@needs("kubectl")
def test_the_batch_and_the_daemon_are_the_same_worker() -> None:
    assert [*alike([*build("cronjob"), *build("daemon")])] == []


@needs("kubectl", "promtool")
def test_promtool_takes_the_rules_as_the_operator_gives_them(tmp_path: Path) -> None:
    rules = of_kind(build("daemon", "prometheusrule"), "PrometheusRule")
    for number, one in enumerate(rules):
        (tmp_path / f"{number}.yaml").write_text(yaml.safe_dump(one["spec"]), encoding="utf-8")
    code, said = run("promtool", "check", "rules", *map(str, tmp_path.iterdir()))
    assert code == 0, said
    assert said.count("SUCCESS") == len(rules)


@pytest.mark.parametrize("path", manifests(), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_made_is_up_to_date(path: Path) -> None:
    assert read(path) == manifests()[path], "it has changed where it comes from: `make manifests`"


def test_every_overlay_and_every_component_is_looked_at() -> None:
    assert {path.parent.name for path in FOLDER.glob("overlays/*/kustomization.yaml")} == FITTING.keys()
    given = {name for overlay in FITTING for name in re.findall(COMPONENT, read(_kustomization(overlay)))}
    fitting = {component for _, component in SINGLE}
    assert {path.parent.name for path in FOLDER.glob("components/*/kustomization.yaml")} == fitting | given


@pytest.mark.parametrize("overlay", FITTING)
def test_what_an_overlay_offers_fits_it(overlay: str) -> None:
    """As a remark that is waiting to be none."""
    offered = re.findall(rf"^ *# - {COMPONENT}", read(_kustomization(overlay)), re.MULTILINE)
    assert set(offered) <= set(FITTING[overlay])


@pytest.mark.parametrize("path", KUSTOMIZATIONS, ids=lambda path: str(path.parent.relative_to(ROOT)))
def test_a_kustomization_names_every_file_beside_it(path: Path) -> None:
    beside = {file.name for file in path.parent.glob("*.yaml")} - {path.name}
    assert beside <= set(re.findall(r"[\w.-]+\.yaml", read(path)))


def test_the_commands_that_have_workloads_are_commands() -> None:
    assert WORKLOADS.keys() <= cli.commands.keys()


def _kustomization(overlay: str) -> Path:
    return FOLDER / "overlays" / overlay / "kustomization.yaml"
