"""Prometheus' and Alertmanager's files: valid, tested, and asking for what is published."""

from __future__ import annotations

import contextlib
import importlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from exporters.catalogue import EXPORTERS
from tests.support.ports import free_port
from tests.support.promql import (
    FOREIGN,
    ROOT,
    RULES,
    Query,
    dashboard_queries,
    filled_in,
    grouping_labels,
    metric_names,
    possible_labels,
    recorded,
    rule_queries,
)
from tests.support.waiting import wait_until

GOLDEN = ROOT / "tests" / "exporters" / "golden"
QUERIES = [*dashboard_queries(), *rule_queries()]
ALERTS = [
    rule for group in yaml.safe_load((RULES / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
# of which no alert tells
NOT_OURS = {"windows_exporter_collector_success"}
CONFIG = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())
# libyaml, as the files are long
RULE_TESTS: dict[str, list[dict[str, Any]]] = {
    path.stem: yaml.load(path.read_text(), yaml.CSafeLoader)["tests"]
    for path in (ROOT / "prometheus" / "tests").glob("*.yml")
}


def tool(name: str, *arguments: object) -> str:
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed")
    done = subprocess.run(
        [program, *map(str, arguments)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def reached(url: str) -> bool:
    with contextlib.suppress(requests.ConnectionError):
        return requests.get(url, timeout=60).ok
    return False


@pytest.fixture(scope="session")
def published() -> set[str]:
    """Names in the golden files, and those that an exporter says it can publish (an estimate)."""
    found = {
        family.name
        for name in EXPORTERS
        for family in importlib.import_module(f"exporters.{name}").EXPORTER.families
    }
    for path in GOLDEN.glob("*.prom"):
        found |= set(re.findall(r"^([a-zA-Z_:][\w:]*)[{ ]", path.read_text(), re.MULTILINE))
    return found | {f"{name}_exporter_collector_success" for name in EXPORTERS}


@pytest.mark.prometheus
def test_the_configuration_is_valid() -> None:
    tool("promtool", "check", "config", "--syntax-only", "prometheus/prometheus.yml")


@pytest.mark.parametrize("label", ["region", "container", "group"])
def test_a_label_given_to_a_target_does_not_take_the_place_of_the_pages(label: str) -> None:
    """`region` on all targets of a site would else make the prices of all regions those of that site."""
    for job in CONFIG["scrape_configs"]:
        page = GOLDEN / f"{job['job_name']}.prom"
        if page.exists() and re.search(rf'[{{,]{label}="', page.read_text()):
            assert job["honor_labels"] is True


@pytest.mark.prometheus
def test_the_rules_are_valid() -> None:
    tool("promtool", "check", "rules", *sorted(RULES.glob("*.yml")))


def test_what_looks_at_a_week_is_asked_seldom_and_shown_without_a_gap() -> None:
    """Six days of 10 000 series every 15 s are read in 12 s; a series is looked for during five minutes."""
    for group in yaml.safe_load((RULES / "alerts.yml").read_text())["groups"]:
        if any("[6d:" in rule["expr"] for rule in group["rules"]):
            assert group["interval"] == "4m"


@pytest.mark.prometheus
@pytest.mark.parametrize("name", sorted(RULE_TESTS))
def test_the_rules_pass_their_unit_tests(name: str) -> None:
    """Every alert fires and stops; every recorded figure is one that was worked out by hand."""
    assert "SUCCESS" in tool("promtool", "test", "rules", f"prometheus/tests/{name}.yml")


def test_every_alert_and_every_recorded_series_has_a_unit_test() -> None:
    asked = [r for tests in RULE_TESTS.values() for t in tests for r in t.get("alert_rule_test", [])]
    tested = {rule["alertname"] for rule in asked if rule["exp_alerts"]}
    silent = {rule["alertname"] for rule in asked if not rule["exp_alerts"]}
    names = {alert["alert"] for alert in ALERTS}
    assert tested == names
    assert silent == names - {"Watchdog"}  # it always fires
    text = "".join(path.read_text() for path in (ROOT / "prometheus" / "tests").glob("*.yml"))
    by_name = (ROOT / "prometheus/rules/alerts.yml").read_text()
    for name in recorded():
        assert name in text or name in by_name, name


@pytest.mark.parametrize("query", QUERIES, ids=[q.place for q in QUERIES])
def test_a_query_asks_only_for_what_is_published(query: Query, published: set[str]) -> None:
    names = metric_names(query.expr)
    assert names or query.expr.startswith("vector(")
    assert names <= published | recorded() | FOREIGN


@pytest.mark.parametrize("query", QUERIES, ids=[q.place for q in QUERIES])
def test_a_query_joins_on_labels_that_its_series_have(query: Query) -> None:
    assert grouping_labels(query.expr) <= possible_labels(query.expr)


@pytest.mark.parametrize("alert", ALERTS, ids=[a["alert"] for a in ALERTS])
def test_an_alert_names_labels_that_its_series_have(alert: dict[str, Any]) -> None:
    named = set(re.findall(r"\$labels\.(\w+)", json.dumps(alert["annotations"])))
    assert named <= possible_labels(alert["expr"])


@pytest.mark.parametrize("name", sorted(RULE_TESTS))
def test_the_unit_tests_feed_what_is_published(name: str) -> None:
    """A series with a label that no exporter gives would test a rule against what never comes."""
    for test in RULE_TESTS[name]:
        for given in test.get("input_series", []):
            (metric,) = metric_names(given["series"])
            labels = set(re.findall(r'(\w+)="', given["series"]))
            known = metric in FOREIGN | NOT_OURS or labels <= possible_labels(metric)
            assert known, given["series"]


@pytest.mark.parametrize(
    ("expr", "names"),
    [
        ('sum by (instance) (rate(a_total{b="c", d=~"e|f"}[5m])) / 3.6e6', {"a_total"}),
        ("time() - max by (model) (a) > on () group_left () x:y", {"a", "x:y"}),
        ('a{x="y"} and on (run_id) (b >= 80)', {"a", "b"}),
        ("avg_over_time(a:b:c[1h]) * 730 > 2", {"a:b:c"}),
        ('label_replace(a, "x", "$1", "y", "(.*)") or vector(0)', {"a"}),
    ],
)
def test_names_are_found_in_a_query(expr: str, names: set[str]) -> None:
    assert metric_names(expr) == names


@pytest.mark.prometheus
def test_every_query_of_the_dashboards_is_promql(tmp_path: Path) -> None:
    rules = [
        {"record": f"q{i}", "expr": filled_in(query.expr, region=".*")}
        for i, query in enumerate(dashboard_queries())
    ]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboards", "rules": rules}]}))
    assert f"{len(rules)} rules found" in tool("promtool", "check", "rules", path)


@pytest.mark.parametrize("alert", ALERTS, ids=[a["alert"] for a in ALERTS])
def test_an_alert_says_what_it_means_and_links_its_runbook(alert: dict[str, object]) -> None:
    annotations = alert["annotations"]
    assert isinstance(annotations, dict)
    assert annotations.keys() == {"summary", "description", "runbook_url"}
    anchor = annotations["runbook_url"].rpartition("#")[2]
    headings = re.findall(r"^## (.+)$", (ROOT / "docs" / "runbooks.md").read_text(), re.MULTILINE)
    assert anchor in {heading.lower() for heading in headings}
    labels = alert["labels"]
    assert isinstance(labels, dict)
    assert labels["severity"] in ("critical", "warning", "info")


class TestAlertmanager:
    PATH = ROOT / "alertmanager" / "alertmanager.yml"

    @pytest.fixture
    def alertmanager(self, tmp_path: Path) -> Iterator[str]:
        program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
        if program is None:
            pytest.skip("alertmanager is not installed")
        address = f"127.0.0.1:{free_port()}"
        listen = (
            f"--web.listen-address={address}",
            "--cluster.listen-address=",
            f"--storage.path={tmp_path}",
        )
        with subprocess.Popen([program, f"--config.file={self.PATH}", *listen]) as process:
            wait_until(lambda: reached(f"http://{address}/-/ready"))
            yield f"http://{address}"
            process.terminate()

    @pytest.mark.prometheus
    def test_its_configuration_is_valid(self) -> None:
        assert "SUCCESS" in tool("amtool", "check-config", self.PATH)

    @pytest.mark.prometheus
    @pytest.mark.parametrize(
        ("severity", "receiver"), [("critical", "now"), ("warning", "today"), ("info", "nobody")]
    )
    def test_a_severity_goes_to_its_receiver(self, severity: str, receiver: str) -> None:
        out = tool("amtool", "config", "routes", "test", f"--config.file={self.PATH}", f"severity={severity}")
        assert out.strip() == receiver

    @pytest.mark.prometheus
    def test_the_examples_are_valid_once_their_comment_is_taken_off(self, tmp_path: Path) -> None:
        route, receivers = self.PATH.read_text().split("receivers:\n")
        path = tmp_path / "alertmanager.yml"
        path.write_text(f"{route}receivers:\n{receivers.replace('    # ', '    ')}")
        kinds = [set(receiver) - {"name"} for receiver in yaml.safe_load(path.read_text())["receivers"]]
        assert kinds == [set(), {"webhook_configs"}, {"email_configs"}]
        assert "3 receivers" in tool("amtool", "check-config", path)

    def test_nothing_leaves_the_machine_as_shipped(self) -> None:
        receivers = yaml.safe_load(self.PATH.read_text())["receivers"]
        assert all(receiver.keys() == {"name"} for receiver in receivers)

    @pytest.mark.prometheus
    def test_an_alert_is_silenced_by_its_own_exporter_alone(self, alertmanager: str) -> None:
        """All exporters of a host may have its bare name; an unaligned rung says nothing of another."""
        told = {
            "ExporterDown": {"job": "docker_stats", "instance": "host"},
            "DockerEngineLost": {"job": "docker_stats", "instance": "host"},
            "PowerUnknown": {"job": "rapl", "instance": "host"},
            "QualityUnaligned": {"run_id": "r", "scenario": "s", "output": "640x360"},
            "VmafUnderFloor": {"run_id": "r", "scenario": "s", "output": "426x240"},
        }
        alerts = [{"labels": {"alertname": name, **labels}} for name, labels in told.items()]
        requests.post(f"{alertmanager}/api/v2/alerts", json=alerts, timeout=60).raise_for_status()

        def states() -> dict[str, str]:
            found = requests.get(f"{alertmanager}/api/v2/alerts", timeout=60).json()
            return {alert["labels"]["alertname"]: alert["status"]["state"] for alert in found}

        wait_until(lambda: len(states()) == len(told) and "unprocessed" not in states().values())
        assert [name for name, state in states().items() if state == "suppressed"] == ["DockerEngineLost"]

    def test_inhibition_names_alerts_that_exist(self) -> None:
        known = {alert["alert"] for alert in ALERTS}
        for rule in yaml.safe_load(self.PATH.read_text())["inhibit_rules"]:
            for matcher in rule["source_matchers"] + rule["target_matchers"]:
                names = re.findall(r'"([^"]+)"', matcher)[0].split("|")
                assert set(names) <= known
