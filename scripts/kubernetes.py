"""What Kubernetes is given of the stack's own files: rules as PrometheusRule, dashboards as ConfigMaps.

``python scripts/kubernetes.py`` writes both into deploy/kubernetes/base/monitoring; ``--check`` says whether
they are what the rules and dashboards say.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from exporters.catalogue import EXPORTERS

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "deploy" / "kubernetes" / "base" / "monitoring"
_JOBS = "|".join(EXPORTERS)
_HEAD = "# Made by `python scripts/kubernetes.py`: change {source} and run it again.\n"


def _metadata(name: str, **labels: str) -> dict[str, Any]:
    labels = {"app.kubernetes.io/part-of": "wattframe", **labels}
    return {"name": name, "namespace": "wattframe", "labels": labels}


def _of_its_own(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Alerts about targets, kept to our own: the Prometheus of a cluster scrapes all of it."""
    for group in groups:
        group["rules"] = [rule for rule in group["rules"] if rule.get("alert") != "TargetDown"]
        for rule in group["rules"]:
            if rule.get("alert") == "TargetMissing":
                rule["expr"] = rule["expr"].replace("up[1d]", f'up{{job=~"{_JOBS}"}}[1d]')
    return groups


def _rules() -> str:
    paths = sorted((ROOT / "prometheus" / "rules").glob("*.yml"))
    groups = _of_its_own([group for path in paths for group in yaml.safe_load(path.read_text())["groups"]])
    rule = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": _metadata("wattframe"),
        "spec": {"groups": groups},
    }
    return _HEAD.format(source="prometheus/rules/") + yaml.safe_dump(rule, sort_keys=False, width=110)


def _dashboards() -> str:
    """One ConfigMap each, as one of all is larger than what `kubectl apply` can note on an object."""
    maps = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            # the label that Grafana's sidecar looks for
            "metadata": _metadata(
                f"wattframe-dashboard-{path.stem.replace('_', '-')}", grafana_dashboard="1"
            ),
            "data": {path.name: json.dumps(json.loads(path.read_text()), separators=(",", ":"))},
        }
        for path in sorted((ROOT / "grafana" / "provisioning" / "dashboards").glob("*.json"))
    ]
    return _HEAD.format(source="grafana/boards/") + yaml.safe_dump_all(maps, sort_keys=False, width=110)


def documents() -> dict[Path, str]:
    """The text of both files."""
    return {FOLDER / "rules.yaml": _rules(), FOLDER / "dashboards.yaml": _dashboards()}


def main() -> int:
    made = documents()
    stale = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            sys.stderr.write(f"{path.relative_to(ROOT)} is not up to date: python scripts/kubernetes.py\n")
        return 1 if stale else 0
    for path in stale:
        path.write_text(made[path])
    return 0


if __name__ == "__main__":
    sys.exit(main())
