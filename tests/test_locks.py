"""What each image installs is what its programs import."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parent.parent


def _room(folder: str) -> list[str]:
    """All its modules, those included that are loaded when they are needed."""
    paths = sorted((ROOT / folder).rglob("*.py"))
    return [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths if path.stem[0] != "_"]


PROGRAMS = {
    "exporter": [
        *("exporters.rapl", "exporters.docker_stats"),
        *(*_room("advisor/energy"), *_room("advisor/containers")),
    ],
    "results": ["exporters.results", *_room("advisor/results"), *_room("advisor/regression")],
    "qoe": ["exporters.qoe", "exporters.live", *_room("advisor/quality"), *_room("advisor/video")],
    "cost": ["exporters.cost", *_room("advisor/cost")],
    "tools": [
        *("retrain_models", "run_tests", "distributed.cli.dask_scheduler"),
        *(module for room in ("advisor", "runner", "farm", "wattframe") for module in _room(room)),
    ],
}
# what the environment of the tests has and an image has not is refused, as a module that is not there
_IMPORT = """
import importlib, json, sys
missing, modules = map(json.loads, sys.argv[1:])
class Refused:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Refused())
for module in modules:
    importlib.import_module(module)
"""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("lock", PROGRAMS)
def test_an_image_has_all_that_its_programs_import(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.lock").read_text()
    installed = {_normal(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)}
    missing = [
        module
        for module, distributions in packages_distributions().items()
        if not {_normal(name) for name in distributions} & (installed | {"wattframe"})
    ]
    assert "pytest" in missing
    command = [sys.executable, "-c", _IMPORT, json.dumps(missing), json.dumps(PROGRAMS[lock])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def _declared() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    return [Requirement(line) for group in groups for line in group]


@pytest.mark.parametrize("lock", ["requirements.lock", *(f"requirements/{name}.lock" for name in PROGRAMS)])
def test_every_pinned_version_is_one_that_the_project_allows(lock: str) -> None:
    """Of every Python: a bound that is added later asks for new locks."""
    allowed = {_normal(requirement.name): requirement.specifier for requirement in _declared()}
    pins = re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", (ROOT / lock).read_text(), re.MULTILINE)
    anything = SpecifierSet()
    refused = [
        f"{name}=={version}" for name, version in pins if version not in allowed.get(_normal(name), anything)
    ]
    assert pins
    assert not refused
