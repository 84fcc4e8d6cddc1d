"""`make manifests`: what is in the manifests and comes from elsewhere. Tests compare it with what it comes from."""

from pathlib import Path

from worker.sandbox.catalogue import sample_targets
from worker.sandbox.handout import as_yaml

HERE = Path(__file__).parent
RULES = HERE.parent / "prometheus" / "rules"

_HEAD = """\
# Made from deploy/prometheus/rules/{stem}.yaml by `make manifests`.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: plugin-probe-{stem}
  labels:
    app.kubernetes.io/name: plugin-probe
spec:
"""
_INDENT = "  "


def manifests() -> dict[Path, str]:
    """Each file's text."""
    rules = {HERE / "components" / "prometheusrule" / path.name: _prometheus_rule(path) for path in RULES.iterdir()}
    targets = "# The samples' own, by `make manifests`.\n" + as_yaml({"targets": sample_targets("ns_sandbox")})
    return {**rules, HERE / "overlays" / "sandbox" / "targets.yaml": targets}


def _prometheus_rule(path: Path) -> str:
    """The file as it stands, remarks and all, one step further in."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return _HEAD.format(stem=path.stem) + "".join(f"{_INDENT}{line}".rstrip() + "\n" for line in lines)


if __name__ == "__main__":
    for path, text in manifests().items():
        path.write_text(text, encoding="utf-8")
