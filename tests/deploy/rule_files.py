"""The rules as they are deployed."""

from typing import Any

import yaml

from tests.programs import ROOT

PATHS = sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yaml"))


def rules() -> list[dict[str, Any]]:
    groups = [group for path in PATHS for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def recorded() -> set[str]:
    return {rule["record"] for rule in rules() if "record" in rule}
