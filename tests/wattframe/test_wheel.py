"""The wheel carries what the commands need where there is no checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_SHOW = """
from glob import glob
from wattframe.stack.prometheus import configuration, rules_pattern
print(configuration({"cost": "localhost:1"}, interval_seconds=None, rules=rules_pattern()))
print(*sorted(glob(rules_pattern())))
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout, unpacked as an installer does."""
    folder = tmp_path_factory.mktemp("wheel")
    build = "import hatchling.build, sys; print(hatchling.build.build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", build, str(folder)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    with zipfile.ZipFile(folder / done.stdout.strip()) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


def _said(unpacked: Path, script: str, folder: Path) -> str:
    """What a script prints in ``folder`` where only the wheel is."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={"PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_prometheus_finds_its_configuration_and_rules(unpacked: Path, tmp_path: Path) -> None:
    said = _said(unpacked, _SHOW, tmp_path)
    configuration, _, rules = said.strip().rpartition("\n")
    assert "localhost:1" in configuration
    assert str(unpacked) in rules
    assert {Path(path).name for path in rules.split()} == {
        path.name for path in (ROOT / "prometheus" / "rules").glob("*.yml")
    }


def test_the_data_beside_the_code_comes_along(unpacked: Path) -> None:
    for name in (
        "advisor/cost/regions/regions.csv",
        "advisor/cost/regions/countries.csv",
        "wattframe/report/templates/report.html",
    ):
        assert (unpacked / name).read_bytes() == (ROOT / name).read_bytes()


def test_the_quality_exporter_may_read_the_clip_that_comes_along(unpacked: Path, tmp_path: Path) -> None:
    show = """
from exporters.qoe import EXPORTER
from exporters.runtime.options import read_options
(collector,) = EXPORTER.build(read_options(EXPORTER, [], {})[0])
print(*collector._work.roots, sep="\\n")
"""
    said = _said(unpacked, show, tmp_path)
    results, samples = map(Path, said.splitlines())
    assert results == tmp_path / "test_results"
    assert (samples / "bigbuckbunny.mp4").is_file()
    assert samples.is_relative_to(unpacked)


def test_the_sample_clip_and_the_scenarios_come_along(unpacked: Path, tmp_path: Path) -> None:
    show = """
from pathlib import Path
from runner.batch import read_batch
from advisor.common.shipped import shipped
print(shipped("samples/bigbuckbunny.mp4"), len(read_batch(Path("scenarios/codecs.yaml"))))
"""
    said = _said(unpacked, show, tmp_path)
    clip, count = said.rsplit(maxsplit=1)
    assert Path(clip).is_relative_to(unpacked)
    assert Path(clip).read_bytes() == (ROOT / "samples" / "bigbuckbunny.mp4").read_bytes()
    assert int(count) > 1
