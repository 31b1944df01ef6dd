"""The dashboards: what the code says, what Grafana's schema allows, one run a panel."""

from __future__ import annotations

import itertools
import json
import re
import sys
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana import build
from tests.support.promql import (
    boards,
    grouping_labels,
    metric_names,
    panels,
    possible_labels,
    published_labels,
)

BOARDS = boards()
PANELS = [(name, panel) for name, board in BOARDS.items() for panel in panels(board)]
IDS = [f"{name}-{panel['title']}" for name, panel in PANELS]


def test_the_files_are_what_the_code_writes() -> None:
    for path, text in build.documents().items():
        assert path.read_text() == text, f"{path.name}: python -m grafana.build"
    assert {path.stem for path in build.documents()} == BOARDS.keys()


def test_a_changed_file_is_noticed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    monkeypatch.setattr(sys, "argv", ["build"])
    assert build.main() == 0
    (tmp_path / "power.json").write_text("{}\n")
    (tmp_path / "old.json").write_text("{}\n")
    monkeypatch.setattr(sys, "argv", ["build", "--check"])
    assert build.main() == 1
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == ["power.json", "old.json"]


def _lost(given: Any, kept: Any, place: str = "") -> list[str]:
    """What of ``given`` is missing or different in ``kept``."""
    if isinstance(given, dict) and isinstance(kept, dict):
        missing = [f"{place}.{key}" for key in given.keys() - kept.keys()]
        return missing + [
            problem
            for key in given.keys() & kept.keys()
            for problem in _lost(given[key], kept[key], f"{place}.{key}")
        ]
    if isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        pairs = zip(given, kept, strict=True)
        return [p for i, (one, other) in enumerate(pairs) for p in _lost(one, other, f"{place}[{i}]")]
    return [] if given == kept else [f"{place}: {given!r} became {kept!r}"]


@pytest.mark.parametrize("name", BOARDS)
def test_grafanas_own_schema_knows_every_field(name: str) -> None:
    """Read into Grafana's published types and written again, nothing is lost or changed."""
    register_default_plugins()
    kept = json.loads(JSONEncoder().encode(Dashboard.from_json(BOARDS[name])))
    assert _lost(BOARDS[name], kept) == []


def test_uids_and_titles_are_unique() -> None:
    uids = [board["uid"] for board in BOARDS.values()]
    titles = [board["title"] for board in BOARDS.values()]
    assert len(set(uids)) == len(set(titles)) == len(BOARDS)
    assert all(len(uid) <= 40 for uid in uids)  # Grafana's limit


@pytest.mark.parametrize("name", BOARDS)
def test_panels_have_ids_of_their_own_and_do_not_overlap(name: str) -> None:
    found = BOARDS[name]["panels"]
    assert len({panel["id"] for panel in found}) == len(found)
    for one, other in itertools.combinations([panel["gridPos"] for panel in found], 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in found)


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=IDS)
def test_a_panel_says_what_it_shows_in_which_unit(board: str, panel: dict[str, Any]) -> None:
    assert len(panel["description"]) > 10
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"] == "${datasource}"


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=IDS)
def test_no_panel_mixes_runs(board: str, panel: dict[str, Any]) -> None:
    """A query of series that say their run names the run."""
    of_runs = {name for name, labels in published_labels().items() if "run_id" in labels}
    for target in panel["targets"]:
        expr = target["expr"]
        for metric in metric_names(expr) & of_runs:
            selectors = re.findall(rf"\b{metric}\b(\{{[^}}]*\}})?", expr)
            assert [s for s in selectors if 'run_id="$run"' not in s] == [], expr


@pytest.mark.parametrize(("board", "panel"), PANELS, ids=IDS)
def test_a_panel_names_only_labels_that_its_series_have(board: str, panel: dict[str, Any]) -> None:
    exprs = [target["expr"] for target in panel["targets"]]
    for target in panel["targets"]:
        legend = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        assert legend | grouping_labels(target["expr"]) <= possible_labels(target["expr"]), target
    kept = [
        t["options"]["include"]["names"] for t in panel["transformations"] if t["id"] == "filterFieldsByName"
    ]
    columns = {name for names in kept for name in names if not name.startswith("Value")}
    assert columns <= set().union(*map(possible_labels, exprs))


@pytest.mark.parametrize("name", BOARDS)
def test_variables_that_are_used_are_defined(name: str) -> None:
    board = BOARDS[name]
    defined = {variable["name"] for variable in board["templating"]["list"]}
    text = json.dumps(board["panels"])
    for variable in ("run", "scenario", "region", "encoder", "host", "stream"):
        if f"${variable}" in text:
            assert variable in defined


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_works_in_any_grafana(name: str) -> None:
    """Its first variable chooses among the Prometheus data sources there; nothing names one of ours."""
    board = BOARDS[name]
    first = board["templating"]["list"][0]
    assert (first["type"], first["name"], first["query"]) == ("datasource", "datasource", "prometheus")
    assert set(re.findall(r'"uid": "([^"]*)"', json.dumps(board["panels"]))) == {"${datasource}"}


def test_the_variables_that_were_asked_for_exist() -> None:
    found = {v["name"] for board in BOARDS.values() for v in board["templating"]["list"]}
    assert found >= {"run", "scenario", "region", "encoder", "stream"}
