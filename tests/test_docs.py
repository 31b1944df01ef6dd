"""Documentation cannot lag: what the code has is in it, and what it links is there."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
import typer.main
import yaml

from exporters.catalogue import EXPORTERS
from exporters.docs import all_exporters
from exporters.runtime.options import common_options
from wattframe.cli import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
DOCS = "\n".join(path.read_text() for path in PAGES)
COMPOSE = (ROOT / "docker-compose.yml").read_text()
RULES = ROOT / "prometheus" / "rules"
OPTIONS = sorted(
    {(o.flag, o.env) for exporter in all_exporters() for o in [*common_options(exporter), *exporter.options]}
)


def compose_variables() -> dict[str, str]:
    """Variables of the compose file with their defaults."""
    return dict(re.findall(r"\$\{([A-Z_]+):-([^}]*)\}", COMPOSE))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_page_links_is_there(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, target


@pytest.mark.parametrize(("flag", "env"), OPTIONS, ids=[env for _, env in OPTIONS])
def test_every_option_of_an_exporter_is_documented_with_its_variable(flag: str, env: str) -> None:
    assert f"`{flag}`" in DOCS
    assert f"`{env}`" in DOCS


def test_every_metric_of_an_exporter_is_documented() -> None:
    names = {family.name for exporter in all_exporters() for family in exporter.families}
    assert names
    assert [name for name in sorted(names) if f"`{name}`" not in DOCS] == []


def test_every_variable_of_the_stack_is_in_the_example_with_its_default() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert example.pop("GRAFANA_PASSWORD") == ""  # required, so nobody's is the same
    assert example == compose_variables()


@pytest.mark.parametrize("name", sorted(compose_variables()))
def test_every_variable_of_the_stack_is_documented(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "configuration.md").read_text()


def test_a_variable_that_an_exporter_gets_is_one_that_it_reads() -> None:
    known = {env for _, env in OPTIONS}
    for name, service in yaml.safe_load(COMPOSE)["services"].items():
        if name in EXPORTERS:
            assert set(service.get("environment", {})) <= known, name


def test_every_option_of_up_is_documented() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    command = typer.main.get_command(importlib.import_module("wattframe.commands.up").app)
    flags = [flag for parameter in command.params for flag in parameter.opts if flag.startswith("--")]
    assert len(flags) > 8
    assert [flag for flag in flags if f"`{flag}" not in page] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_exists_and_is_documented(name: str) -> None:
    importlib.import_module(f"wattframe.commands.{name}")
    assert re.search(rf"`(wattframe )?{name}\b", DOCS) or f"wattframe {name}" in DOCS


def test_every_alert_threshold_and_recorded_series_is_documented() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text()
    for path in RULES.glob("*.yml"):
        for group in yaml.safe_load(path.read_text())["groups"]:
            for rule in group["rules"]:
                assert f"`{rule.get('alert') or rule['record']}`" in page


def test_thresholds_in_the_docs_are_those_of_the_rules() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text()
    written = dict(re.findall(r"\| `(wattframe:[^`]+)` \| ([\d.]+) \|", page))
    for group in yaml.safe_load((RULES / "limits.yml").read_text())["groups"]:
        for rule in group["rules"]:
            factors = re.fullmatch(r"vector\(([\d.]+)(?: \* (\d+))?\)", rule["expr"])
            assert factors
            labels = ",".join(f'{name}="{value}"' for name, value in rule.get("labels", {}).items())
            series = rule["record"] + (f"{{{labels}}}" if labels else "")
            assert float(written[series]) == float(factors[1]) * int(factors[2] or 1)


@pytest.mark.parametrize("package", ["advisor", "wattframe"])
def test_the_architecture_shows_the_rooms_as_they_are(package: str) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    rooms = {path.parent.name for path in (ROOT / package).glob("*/__init__.py")}
    assert set(re.findall(rf"`{package}/(\w+)/`", page)) == rooms
