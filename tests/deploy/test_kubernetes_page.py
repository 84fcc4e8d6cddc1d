"""docs/kubernetes.md is true: its files build, its commands run as far as they do without a cluster, its tables are of
what is there."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy import manifest_rules, pages
from tests.deploy.manifests import FOLDER, Objects, find, kustomized, pods
from tests.programs import ROOT, needs
from worker.core.exits import Exit

PAGE = pages.read(ROOT / "docs" / "kubernetes.md")
COMMANDS = [command for block in pages.blocks(PAGE, "console") for command in pages.commands(block)]
#: What kubectl says where nobody answers; by then it has understood what it was asked.
REFUSED = "refused"

cluster = needs("kubectl")


def starting(*words: str) -> list[str]:
    return [command for command in COMMANDS if command.startswith(" ".join(words))]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository as far as it matters, with the page's files in it."""
    root = tmp_path_factory.mktemp("checkout")
    for name in ("config", "deploy"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in pages.files(PAGE).items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    (root / "api-key.txt").write_text("sk_your_key", encoding="utf-8")
    return root


def run(command: str, folder: Path, *more: str) -> tuple[int, str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ended = subprocess.run(
        [*shlex.split(command), *more],
        cwd=folder,
        env={"PATH": path, "HOME": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout


def patched(checkout: Path, tmp_path: Path) -> Path:
    """`mine` with the hourly patch and interval, as the text beside them says."""
    root = tmp_path / "checkout"
    shutil.copytree(checkout, root)
    kustomization = root / "mine" / "kustomization.yaml"
    patches = re.findall(r"`(patches: \[.*?\])`", PAGE)
    interval = re.findall(r"`(schedule: \{.*?\})`", PAGE)
    assert (len(patches), len(interval)) == (1, 1)
    kustomization.write_text(f"{pages.read(kustomization)}{patches[0]}\n", encoding="utf-8")
    worker = root / "mine" / "worker.yaml"
    worker.write_text(re.sub(r"schedule: .*", interval[0], pages.read(worker)), encoding="utf-8")
    return root / "mine"


@cluster
@pytest.mark.parametrize("folder", ["mine", "many"])
def test_the_overlays_of_the_page_are_as_good_as_ours(folder: str, checkout: Path) -> None:
    assert manifest_rules.problems(kustomized(checkout / folder)) == []


@cluster
def test_the_hourly_batch_is_as_good(checkout: Path, tmp_path: Path) -> None:
    objects = kustomized(patched(checkout, tmp_path))
    cronjob = find(objects, "CronJob", "plugin-probe")
    assert cronjob
    assert cronjob["spec"]["schedule"] == "0 * * * *"
    assert manifest_rules.problems(objects) == []


@cluster
def test_the_hourly_patch_keeps_what_components_add(checkout: Path, tmp_path: Path) -> None:
    mine = patched(checkout, tmp_path)
    kustomization = mine / "kustomization.yaml"
    text = pages.read(kustomization).replace("overlays/cronjob", "overlays/cronjob-sharded")
    text = text.replace("components:", "components:\n  - ../deploy/kubernetes/components/reports\n ", 1)
    kustomization.write_text(text, encoding="utf-8")
    cronjob = find(kustomized(mine), "CronJob", "plugin-probe")
    assert cronjob
    (container,) = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert "--period=1h" in container["args"]
    assert any(word.startswith("--report=json=") for word in container["args"])


@cluster
def test_targets_of_a_second_config_map_are_read_too(checkout: Path) -> None:
    cronjob = find(kustomized(checkout / "many"), "CronJob", "plugin-probe")
    assert cronjob
    (config, _) = cronjob["spec"]["jobTemplate"]["spec"]["template"]["spec"]["volumes"]
    names = [source["configMap"]["name"].rpartition("-")[0] for source in config["projected"]["sources"]]
    assert names == ["plugin-probe", "plugin-probe-targets-2"]


def kubectl() -> Iterator[str]:
    for command in starting("kubectl"):
        if "--kustomize" in command:
            yield f"kubectl kustomize {command.split()[-1]}"
        elif not command.startswith("kubectl kustomize"):
            yield f"{command.replace('kubectl', 'kubectl --server=http://127.0.0.1:9 --request-timeout=2s', 1)}"
        else:
            yield command


@cluster
@pytest.mark.parametrize("command", sorted(set(kubectl())))
def test_kubectl_understands_what_it_is_told(command: str, checkout: Path) -> None:
    """What it would apply or delete is built; all else is asked of a server that is not there."""
    code, said = run(command, checkout)
    assert code == 0 if command.startswith("kubectl kustomize") else REFUSED in said.splitlines()[-1], said


def test_there_are_such_commands() -> None:
    assert len(starting("kubectl")) > 15
    assert {"apply", "create", "delete", "kustomize"} <= {command.split()[1] for command in starting("kubectl")}


@cluster
def test_what_commands_name_is_in_the_overlays(checkout: Path) -> None:
    """A Job, Deployment or Service of that name, with that port."""
    kinds = {"cronjob": "CronJob", "deployment": "Deployment", "service": "Service"}
    built = [
        one for name in ("cronjob", "daemon") for one in kustomized(checkout / "deploy/kubernetes/overlays" / name)
    ]
    built += yaml.safe_load_all(pages.read(FOLDER / "components" / "reports" / "merge.yaml"))
    named = {found for command in starting("kubectl") for found in re.findall(r"(\w+)/(plugin-probe[\w-]*)", command)}
    assert {kind for kind, _ in named} == set(kinds)
    for kind, name in named:
        assert find(built, kinds[kind], name), f"{kind}/{name}"
    (service,) = [one for one in built if one["kind"] == "Service" and one["metadata"]["name"] == "plugin-probe"]
    assert all(
        command.endswith(f" {service['spec']['ports'][0]['port']}")
        for command in starting("kubectl --namespace plugin-probe port-forward")
    )


def test_the_configuration_of_the_page_is_valid(checkout: Path) -> None:
    (command,) = starting("plugin-probe validate")
    assert run(command, checkout) == (0, "mine/worker.yaml: 1 target, no problem\n")


def test_the_merge_is_understood(checkout: Path) -> None:
    (command,) = starting("plugin-probe report")
    code, said = run(command, checkout)
    assert code == 2
    assert [line.split(":")[0] for line in said.splitlines()] == command.split()[-3:], "only the files are missing"


def test_images_are_those_that_the_overlays_run() -> None:
    stages = re.findall(r"^FROM \S+ AS (\S+)$", pages.read(ROOT / "deploy" / "Dockerfile"), re.MULTILINE)
    built = {}
    for command in starting("docker build"):
        options = dict(zip(*[iter(shlex.split(command)[2:-1])] * 2, strict=True))
        assert (ROOT / options["--file"]).exists()
        assert options.get("--target", "worker") in stages
        built[options["--tag"]] = f"docker push {options['--tag']}"
    assert starting("docker push") == [*built.values()]
    overlays = (FOLDER / "overlays").iterdir()
    images = [image for folder in overlays for image in kustomization(folder).get("images", [])]
    assert {f"{image['newName']}:{image['newTag']}" for image in images} == set(built)


def kustomization(folder: Path) -> Any:
    return yaml.safe_load(pages.read(folder / "kustomization.yaml"))


def test_the_table_of_shapes_has_every_overlay() -> None:
    assert {row[1].strip("`") for row in pages.rows(PAGE, "# On Kubernetes")} == {
        path.name for path in (FOLDER / "overlays").iterdir()
    }


def test_the_table_of_components_has_every_one() -> None:
    told = {row[0].strip("`") for row in pages.rows(PAGE, "## Install")}
    assert told == {path.name for path in (FOLDER / "components").iterdir()}


def test_the_table_of_exit_codes_is_that_of_the_command() -> None:
    codes = {row[0] for row in pages.rows(PAGE, "## See it work") if row[0].isdigit()}
    never = {Exit.FOUND}  # by --fail-on=never
    assert codes == {str(int(code)) for code in Exit if code not in never} | {"137"}


def test_the_other_links_lead_somewhere() -> None:
    for name in re.findall(r"\]\((?!http|#)([^)#]+)", PAGE):
        assert (ROOT / "docs" / name).exists(), name
    headings = {heading.lower().replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= headings


@cluster
def test_the_table_of_requests_is_that_of_the_manifests(checkout: Path) -> None:
    folder = checkout / "deploy/kubernetes/overlays"
    asked = {
        name: resources(kustomized(folder / name))
        for name in ("cronjob", "cronjob-sharded", "daemon", "daemon-sharded")
    }
    single, shards, gateway, gateway_of_shards = [
        {"requests": dict(zip(("cpu", "memory"), row[2].split(", "), strict=True)), "limits": {"memory": row[3]}}
        for row in pages.rows(PAGE, "So the manifests ask for:")
    ]
    assert asked["cronjob"] == {"plugin-probe": single, "pushgateway": gateway}
    assert asked["cronjob-sharded"] == {"plugin-probe": shards, "pushgateway": gateway_of_shards}
    assert asked["daemon"] == {"plugin-probe": single}
    assert asked["daemon-sharded"] == {"plugin-probe": shards}


def resources(objects: Objects) -> dict[str, Any]:
    return {container["name"]: container["resources"] for pod in pods(objects) for container in pod.containers}


def test_what_is_asked_for_is_more_than_what_was_measured() -> None:
    """A batch may have what it takes, a daemon what it takes while it reloads."""
    measured = {
        row[0]: [float(found) for found in re.findall(r"(\d+) MB", " ".join(row))]
        for row in pages.rows(PAGE, "## What it takes")
    }
    for targets, limit in (("1,000", 256), ("10,000", 512)):
        batch, daemon, reloading, _ = measured[targets]
        assert max(batch, daemon, reloading) * 1e6 < limit * 2**20 * 0.6
    assert measured["1,000"][3] * 1e6 < 128 * 2**20
    assert measured["10,000, `histograms: namespace`"][1] * 2 * 1e6 < 2**30
