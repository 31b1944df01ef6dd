"""The benchmarks' figures, and the page that is made of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from benchmarks.figures import Figure, report, shown
from benchmarks.page import PAGE, goals, missing, section, table
from benchmarks.plots import PLOTS, draw
from benchmarks.record import ROOT, kept
from benchmarks.suite import BENCHES

ORDER = [bench.name for bench in BENCHES]


@pytest.mark.parametrize(
    ("more", "ratio", "met"),
    [
        ({}, None, None),
        ({"goal": 3.0}, None, True),
        ({"goal": 2.9}, None, False),
        ({"goal": 3.0, "at_least": True}, None, True),
        ({"peer": "nginx", "peer_value": 2.0, "goal": 1.5}, 1.5, True),
        ({"peer": "nginx", "peer_value": 1.5, "goal": 1.5}, 2.0, False),
        ({"peer": "nginx", "peer_value": None, "goal": 1.5}, None, False),
    ],
)
def test_a_goal_bounds_the_ratio_where_there_is_a_peer_and_else_the_value(
    more: dict[str, Any], ratio: float | None, met: bool | None
) -> None:
    figure = Figure("scrape", 3.0, "ms", **more)
    assert (figure.ratio, figure.met) == (ratio, met)


@pytest.mark.parametrize(
    ("number", "text"), [(0.0123456, "0.0123 ms"), (999.6, "1000 ms"), (123_456, "123000 ms"), (0, "0 ms")]
)
def test_numbers_have_three_digits(number: float, text: str) -> None:
    assert shown(number, "ms") == text


def test_one_row_has_every_peer_of_a_value() -> None:
    figures = [
        Figure("scrape", 2.0, "ms", "nginx", 4.0, 1.5, size=1, of="zones"),
        Figure("scrape", 2.0, "ms", "other", 1.0, size=1, of="zones"),
        Figure("scrape", 3.0, "ms", size=2, of="zones"),
    ]
    assert table(figures).splitlines()[2:] == [
        "| scrape | 1 zone | 2 ms | nginx 4 ms (0.5); other 1 ms (2) | at most 1.5 of nginx: met |",
        "| scrape | 2 zones | 3 ms |  |  |",
    ]


def test_json_is_one_document_that_holds_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert report([Figure("scrape", 2.0, "ms", size=4, of="zones")], as_json=True) == 0
    figure = {"what": "scrape", "value": 2.0, "unit": "ms", "size": 4, "of": "zones"}
    assert json.loads(capsys.readouterr().out) == {"figures": [figure]}


def test_the_page_shows_the_figures_that_were_kept() -> None:
    """A figure written by hand, or one that was measured and not shown, is a difference."""
    text, records = PAGE.read_text(), kept()
    assert records
    for name in ORDER:
        found = section(records[name]) if name in records else missing(name)
        assert f"<!-- figures {name} -->\n{found}<!-- end -->" in text
    assert f"<!-- goals -->\n{goals(records, ORDER)}<!-- end -->" in text
    assert set(re.findall(r"<!-- figures (\w+) -->", text)) == set(ORDER)


def test_plots_are_drawn_from_the_same_figures() -> None:
    records = kept()
    for plot in PLOTS:
        image = PAGE.parent / "images" / f"{plot.name}.svg"
        if plot.benchmark in records:
            assert image.read_text() == f"{draw(plot, records[plot.benchmark].figures)}\n"


def test_every_benchmark_has_a_module_that_speaks_json() -> None:
    for bench in BENCHES:
        source = (ROOT / f"benchmarks/{bench.module or bench.name}.py").read_text()
        assert '"--json"' in source


def test_an_unknown_benchmark_is_one_line() -> None:
    command = [sys.executable, "-m", "benchmarks.suite", "nope"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr == f"no benchmark 'nope': expected {', '.join(ORDER)}\n"
