"""A disk that is full under everything that writes: the former file stays, and nobody is taken down."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from advisor.energy.calibration import Calibration, LoadPoint, load_calibration, save_calibration
from advisor.quality.cache import QualityCache, Record
from advisor.results import Run, Scenario, read_run, write_run
from tests.support.exporter_client import ask, samples, served, wait_until

RUN = "test_results_20260301_080000"


class SmallDisk:
    """A file system of one MiB."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Leave not a byte."""
        with self._filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        """Take back what `fill` took."""
        self._filler.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0755", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root and the right to mount")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def run_of(names: int) -> Run:
    return Run(run_id=RUN, scenarios=tuple(Scenario(name=f"{i} {'x' * 200}") for i in range(names)))


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"filler"}


def test_a_result_file_keeps_its_former_content(disk: SmallDisk) -> None:
    path = disk.folder / f"{RUN}.json"
    write_run(run_of(3), path)
    disk.fill()
    with pytest.raises(OSError, match="No space left"):
        write_run(run_of(30), path)
    assert read_run(path).scenarios == run_of(3).scenarios
    assert left(disk.folder) == {path.name}
    disk.free()
    write_run(run_of(30), path)
    assert len(read_run(path).scenarios) == 30


def test_a_calibration_keeps_its_former_content(disk: SmallDisk) -> None:
    point = LoadPoint(mean_watts=10.0, stdev_watts=1.0, duration_seconds=5.0, busy_ratio=0.1, domain_watts={})
    former = Calibration(
        hardware_id="host",
        measured_at="2026-03-01T08:00:00+00:00",
        source="powercap",
        tier="measured",
        idle=point,
    )
    path = save_calibration(former, disk.folder)
    disk.fill()
    with pytest.raises(OSError, match="No space left"):
        save_calibration(former, disk.folder)
    assert load_calibration(disk.folder, "host") == former
    assert left(path.parent) == {path.name}


def test_a_score_that_cannot_be_kept_is_still_known(disk: SmallDisk) -> None:
    cache = QualityCache(disk.folder / "cache")
    assert cache.put("a", Record(failure="first"))
    disk.fill()
    assert not cache.put("b", Record(failure="x" * 10_000))
    assert cache.get("b") == Record(failure="x" * 10_000)
    assert left(disk.folder / "cache") == {"a.json"}


def test_an_exporter_on_a_full_disk_goes_on_and_sees_what_comes(disk: SmallDisk) -> None:
    """Its folder is full, its log too; a file that became whole again is published."""

    def shown(page: bytes) -> int:
        return sum(key.startswith("results_scenario_info{") for key in samples(page.decode()))

    path = disk.folder / f"{RUN}.json"
    write_run(run_of(2), path)
    with served("exporters.results", "--results-dir", str(disk.folder)) as exporter:
        wait_until(lambda: shown(ask(exporter, "/metrics")[2]) == 2)
        disk.fill()
        with path.open("r+b") as file:  # a writer that does not care, cut off by the full disk
            file.truncate(100)
        wait_until(lambda: b"results_files_refused 1" in ask(exporter, "/metrics")[2])
        disk.free()
        write_run(run_of(5), path)
        wait_until(lambda: shown(ask(exporter, "/metrics")[2]) == 5)


def test_a_model_keeps_its_former_version(disk: SmallDisk) -> None:
    from advisor.regression import registry
    from tests.torture.targets import stored_model

    trained, manifest = stored_model()
    made = registry.save(disk.folder, trained, manifest)
    registry.promote(disk.folder, "host", made.version, reason="the first")
    disk.fill()
    with pytest.raises(OSError, match="No space left"):
        registry.save(disk.folder, trained, manifest)
    disk.free()
    assert registry.load(disk.folder, "host")[1].version == made.version
    registry.save(disk.folder, trained, manifest)
    assert registry.versions(disk.folder, "host") == ["0001", "0002"]
