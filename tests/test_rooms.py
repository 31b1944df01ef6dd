"""The rooms of the project and who may import whom (docs/architecture.md)."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = {"advisor", "runner", "exporters", "wattframe", "benchmarks", "tests"}
MAY_IMPORT = {
    "advisor": {"advisor"},
    "runner": {"runner", "advisor"},
    "exporters": {"exporters", "advisor"},
    "wattframe": {"wattframe", "runner", "exporters", "advisor"},
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


@pytest.mark.parametrize("module", [m for m in MODULES if m.parts[0] == "exporters"], ids=str)
def test_exporters_never_import_each_other(module: Path) -> None:
    own = {"exporters.runtime"} if len(module.parts) == 2 else {f"exporters.{module.parts[1]}"}
    found = {".".join(n.split(".")[:2]) for n in _imports(ROOT / module) if n.startswith("exporters.")}
    assert found <= own | {"exporters.runtime"}


def test_advisor_reads_no_environment() -> None:
    for path in (ROOT / "advisor").rglob("*.py"):
        assert "environ" not in path.read_text(), path


def test_importing_advisor_is_light() -> None:
    """Neither numpy nor scikit-learn comes with ``import advisor``."""
    code = "import sys, advisor; print([m for m in ('numpy', 'sklearn', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
