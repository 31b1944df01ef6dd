"""The rooms of the project and who may import whom (docs/architecture.md)."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import advisor
from exporters.catalogue import EXPORTERS
from tests.support.longest import LONGEST

ROOT = Path(__file__).resolve().parent.parent
ROOMS = {"advisor", "runner", "farm", "exporters", "wattframe", "benchmarks", "tests"}
MAY_IMPORT = {
    "advisor": {"advisor"},
    "runner": {"runner", "advisor", "farm"},
    "farm": {"farm", "runner", "advisor"},
    "exporters": {"exporters", "advisor", "farm"},
    "wattframe": {"wattframe", "runner", "exporters", "advisor", "farm"},
}
# knowledge has no server, no metrics client, no environment and no logging set-up
FORBIDDEN_IN_ADVISOR = {"prometheus_client", "uvicorn", "starlette", "structlog", "typer", "rich"}
MODULES = sorted(path.relative_to(ROOT) for room in MAY_IMPORT for path in (ROOT / room).rglob("*.py"))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_room_imports_only_what_it_may_know(module: Path) -> None:
    room = module.parts[0]
    names = {name.partition(".")[0] for name in _imports(ROOT / module)}
    assert names & ROOMS <= MAY_IMPORT[room]
    if room == "advisor":
        assert not names & FORBIDDEN_IN_ADVISOR


@pytest.mark.parametrize("module", [m for m in MODULES if m.parts[0] != "farm"], ids=str)
def test_dask_is_of_the_farm_alone_which_is_entered_when_a_cluster_is_named(module: Path) -> None:
    assert not {"dask", "distributed"} & {name.partition(".")[0] for name in _imports(ROOT / module)}
    tree = ast.parse((ROOT / module).read_text())
    at_once = {id(node) for node in tree.body}
    farm = [
        n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and (n.module or "").startswith("farm")
    ]
    assert not [node.lineno for node in farm if id(node) in at_once]


@pytest.mark.parametrize("module", [m for m in MODULES if m.parts[0] == "exporters"], ids=str)
def test_exporters_never_import_each_other(module: Path) -> None:
    """What serves one of them lies beside it (predictions); the runtime knows none."""
    imported = {n.split(".")[1] for n in _imports(ROOT / module) if n.startswith("exporters.")}
    beside = {
        m.stem for m in MODULES if m.parts[0] == "exporters" and "EXPORTER = " not in (ROOT / m).read_text()
    }
    assert imported <= ({"runtime"} if module.parts[1] == "runtime" else {"runtime", *beside})


def test_advisor_reads_no_environment() -> None:
    for path in (ROOT / "advisor").rglob("*.py"):
        assert "environ" not in path.read_text(), path


@pytest.mark.parametrize("name", ["advisor", *(f"exporters.{name}" for name in EXPORTERS)])
def test_what_is_imported_is_light(name: str) -> None:
    """Arrays, models and decoders come with the work that needs them: an exporter that rests has none."""
    heavy = ("numpy", "scipy", "sklearn", "skops", "av", "docker")
    code = f"import sys, {name}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_the_rooms_of_advisor_import_each_other_in_one_direction() -> None:
    """No room is reached again from itself: whoever opens a folder can read it with what lies below."""
    below: dict[str, set[str]] = {}
    for path in (ROOT / "advisor").rglob("*.py"):
        room = path.relative_to(ROOT / "advisor").parts[0].removesuffix(".py")
        if room != "__init__":
            rooms = {name.split(".")[1] for name in _imports(path) if name.startswith("advisor.")}
            below.setdefault(room, set()).update(rooms - {room})
    TopologicalSorter(below).prepare()


def test_the_top_level_of_advisor_is_small() -> None:
    entries = [p.name for p in (ROOT / "advisor").iterdir() if p.name != "__pycache__"]
    assert len(entries) <= 16, sorted(entries)


@pytest.mark.parametrize(
    "name",
    [
        *(f"advisor.{name}" for name in advisor.__all__),
        "advisor.cost.CostModel",
        "advisor.scoring.EnergyEfficiencyScorer",
        "advisor.quality.compute_vmaf",
        "advisor.quality.compute_psnr",
        "advisor.quality.compute_quality",
        "advisor.quality.vmaf_integration.compute_vmaf",
        "advisor.quality.psnr.compute_psnr",
        "advisor.prometheus.PrometheusClient",
    ],
)
def test_a_public_name_stays_importable(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    assert callable(getattr(importlib.import_module(module), attribute))


@pytest.mark.parametrize("name", LONGEST)
def test_a_file_that_is_begun_first_is_there(name: str) -> None:
    assert (ROOT / "tests" / name).is_file()
