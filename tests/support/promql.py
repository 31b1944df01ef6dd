"""Every PromQL query of the project, and the metric names in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from exporters.docs import all_exporters

ROOT = Path(__file__).resolve().parents[2]
DASHBOARDS = ROOT / "grafana" / "provisioning" / "dashboards"
RULES = ROOT / "prometheus" / "rules"
# what Prometheus, node_exporter and Prometheus' own rule evaluation publish
FOREIGN = {"up", "ALERTS", "node_cpu_seconds_total", "prometheus_rule_evaluation_failures_total"}
_WORDS = {
    *("by", "without", "on", "ignoring", "group_left", "group_right", "bool", "offset", "and", "or"),
    *("unless", "atan2", "inf", "nan"),
}


class Query(NamedTuple):
    """One query and where it stands."""

    place: str
    expr: str


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Panels of a dashboard that ask something."""
    for panel in board["panels"]:
        if panel["type"] != "row":
            yield panel


def boards() -> dict[str, dict[str, Any]]:
    """The dashboards by the name of their file."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(DASHBOARDS.glob("*.json"))}


def dashboard_queries() -> list[Query]:
    """Queries of panels and of variables."""
    queries = []
    for name, board in boards().items():
        for panel in panels(board):
            queries += [Query(f"{name}: {panel['title']}", target["expr"]) for target in panel["targets"]]
        for variable in (v for v in board["templating"]["list"] if v["type"] == "query"):
            selector = re.fullmatch(r"label_values\((.+), \w+\)", variable["query"]["query"])
            assert selector, variable["query"]["query"]
            queries.append(Query(f"{name}: variable {variable['name']}", selector[1]))
    return queries


def rule_queries() -> list[Query]:
    """Queries of recording rules and alerts."""
    return [
        Query(f"{rule['file']}: {rule.get('record') or rule['alert']}", rule["expr"]) for rule in _rules()
    ]


def recorded() -> set[str]:
    """Names that recording rules make."""
    return {rule["record"] for rule in _rules() if "record" in rule}


@cache
def _rules() -> tuple[dict[str, Any], ...]:
    return tuple(
        {"file": path.name, **rule}
        for path in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
    )


@cache
def metric_names(expr: str) -> frozenset[str]:
    """Metric names of a query: words that are no function, no keyword, no label and no number.

    A selector on ``__name__`` stands for the names of the exporters that it matches.
    """
    patterns = re.findall(r'__name__=~"([^"]+)"', expr)
    matched = {name for pattern in patterns for name in published_labels() if re.fullmatch(pattern, name)}
    text = re.sub(r'"(?:[^"\\]|\\.)*"', '""', expr)
    text = re.sub(r"\{[^}]*\}", "", text)
    text = re.sub(r"\[[^\]]*\]", "", text)
    text = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", text)
    words = re.findall(r"(?<![\w:.$])([a-zA-Z_:][\w:]*)(?![\w:])(?!\s*\()", text)
    names = {word for word in words if word.lower() not in _WORDS and not re.fullmatch(r"[smhdwy]", word)}
    return frozenset(names | matched)


@cache
def published_labels() -> dict[str, set[str]]:
    """Labels that the exporters give each metric."""
    labels = {family.name: set(family.labels) for exporter in all_exporters() for family in exporter.families}
    return labels | {f"{e.name}_exporter_collector_success": {"collector"} for e in all_exporters()}


def possible_labels(expr: str) -> set[str]:
    """Labels that series of a query may carry: those of its metrics, of their scrape, and those it makes."""
    published, rules = published_labels(), {r["record"]: r["expr"] for r in _rules() if "record" in r}
    labels = {"instance", "job", "service", "region", "cpu", "rule_group"} | set(
        re.findall(r'"(\w+)", "\$\d"', expr)
    )
    for name in metric_names(expr):
        labels |= possible_labels(rules[name]) if name in rules else published.get(name, set())
    return labels


def grouping_labels(expr: str) -> set[str]:
    """Labels that a query groups by or joins on."""
    lists = re.findall(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)", expr)
    return {label for part in lists for label in re.findall(r"\w+", part)}


def filled_in(expr: str, **variables: str) -> str:
    """The query with Grafana's variables replaced."""
    values = {
        "__rate_interval": "1m",
        "__range": "1h",
        "run": ".*",
        "scenario": ".*",
        "encoder": ".*",
        "host": ".*",
    }
    for name, value in {**values, **variables}.items():
        expr = expr.replace(f"${name}", value)
    return expr
