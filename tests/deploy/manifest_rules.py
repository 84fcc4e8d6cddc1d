"""All that manifests must hold, beyond that they can be built: each rule tells its problems in sentences."""

from collections.abc import Callable, Iterator

from tests.deploy import (
    manifest_rules_deadlines,
    manifest_rules_jobs,
    manifest_rules_network,
    manifest_rules_operator,
    manifest_rules_paths,
    manifest_rules_pods,
    manifest_rules_references,
    manifest_rules_schema,
    manifest_rules_worker,
)
from tests.deploy.manifests import Objects

Rule = Callable[[Objects], Iterator[str]]

RULES: tuple[Rule, ...] = (
    *manifest_rules_jobs.RULES,
    *manifest_rules_deadlines.RULES,
    *manifest_rules_worker.RULES,
    *manifest_rules_paths.RULES,
    *manifest_rules_network.RULES,
    *manifest_rules_references.RULES,
    *manifest_rules_pods.RULES,
    *manifest_rules_operator.RULES,
    *manifest_rules_schema.RULES,
)


def problems(objects: Objects) -> list[str]:
    return [problem for rule in RULES for problem in rule(objects)]
