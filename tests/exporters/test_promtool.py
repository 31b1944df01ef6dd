"""Prometheus' own linter over every golden page, and over what a live exporter adds."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import requests
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporters.docs import all_exporters
from exporters.runtime import Family
from exporters.runtime.page import END, text_of
from tests.support.exporter_client import served

GOLDEN = Path(__file__).parent / "golden"
pytestmark = [
    pytest.mark.prometheus,
    pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool on PATH"),
]

# names of the public contract that break a rule of naming; nothing else may
ASKED_FOR = {
    'non-counter metrics should not have "_total" suffix': {"cost_total"},
    "metric name should not include type 'counter'": {"rapl_counter_wraps_total"},
}


def complaints(page: bytes) -> set[tuple[str, str]]:
    """What promtool says of each metric, without what was asked for."""
    done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, check=False)
    said = (done.stdout + done.stderr).decode()
    found = set()
    for line in said.splitlines():
        match = re.fullmatch(r"(\w+) (.+)", line)
        assert match, said
        if match[1] not in ASKED_FOR.get(match[2], set()):
            found.add((match[1], match[2]))
    return found


def golden_pages() -> list[Path]:
    return sorted(GOLDEN.glob("*.prom"))


@pytest.mark.parametrize("path", golden_pages(), ids=lambda path: path.stem)
def test_promtool_accepts_the_golden_page(path: Path) -> None:
    assert complaints(path.read_bytes()) == set()


@pytest.mark.parametrize("path", golden_pages(), ids=lambda path: path.stem)
def test_a_golden_page_has_no_series_twice(path: Path) -> None:
    """promtool and the parsers let twins through."""
    samples = [
        (s.name, tuple(sorted(s.labels.items()))) for f in parse_text(path.read_text()) for s in f.samples
    ]
    assert len(samples) == len(set(samples))


@pytest.mark.parametrize("name", [exporter.name for exporter in all_exporters()])
def test_no_two_families_share_a_name_in_openmetrics(name: str) -> None:
    """Which drops ``_total`` and ``_info``: the parser sees what clashes then."""
    module = importlib.import_module(f"exporters.{name}")
    families = [value for value in vars(module).values() if isinstance(value, Family)]
    page = text_of([family([(("x",) * len(family.labels), 1.0)]) for family in families], openmetrics=True)
    assert len(list(parse_openmetrics((page + END).decode()))) == len(families) > 0


def test_every_exporter_has_a_golden_page() -> None:
    assert {path.stem for path in golden_pages()} >= {exporter.name for exporter in all_exporters()}


def test_promtool_finds_what_is_wrong() -> None:
    """The check can fail."""
    assert complaints(b"# TYPE a_total gauge\na_total 1\n") == {
        ("a_total", "no help text"),
        ("a_total", 'non-counter metrics should not have "_total" suffix'),
    }


def test_promtool_accepts_what_the_runtime_adds() -> None:
    with served(str(Path(__file__).with_name("sample_exporter.py"))) as exporter:
        page = requests.get(f"{exporter.url}/metrics", timeout=60).content
        wanted = {"Accept": "application/openmetrics-text"}
        openmetrics = requests.get(f"{exporter.url}/metrics", headers=wanted, timeout=60).content
    assert complaints(page) == set()
    assert len(list(parse_openmetrics(openmetrics.decode()))) == len(list(parse_text(page.decode())))
