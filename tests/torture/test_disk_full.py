"""A disk that is full under everything that writes: the former file stays, and nobody is taken down."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from advisor.energy.calibration import Calibration, LoadPoint, load_calibration, save_calibration
from advisor.quality.cache import QualityCache, Record
from advisor.results import Run, Scenario, read_run, write_run
from tests.support.exporter_client import ask, samples, served
from tests.support.small_disk import SmallDisk, small_disk
from tests.support.waiting import wait_until

RUN = "test_results_20260301_080000"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk") as disk:
        if disk is None:
            pytest.skip("mounting a small disk needs root and the right to mount")
        yield disk


def run_of(names: int) -> Run:
    return Run(run_id=RUN, scenarios=tuple(Scenario(name=f"{i} {'x' * 200}") for i in range(names)))


def test_a_result_file_keeps_its_former_content(disk: SmallDisk) -> None:
    path = disk.folder / f"{RUN}.json"
    write_run(run_of(3), path)
    disk.fill()
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        write_run(run_of(30), path)
    assert read_run(path).scenarios == run_of(3).scenarios
    assert disk.names() == {path.name}
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
    assert {p.name for p in path.parent.iterdir()} == {path.name}


def test_a_score_that_cannot_be_kept_is_still_known(disk: SmallDisk) -> None:
    cache = QualityCache(disk.folder / "cache")
    assert cache.put("a", Record(failure="first"))
    disk.fill()
    assert not cache.put("b", Record(failure="x" * 10_000))
    assert cache.get("b") == Record(failure="x" * 10_000)
    assert {p.name for p in (disk.folder / "cache").iterdir()} == {"a.json"}


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
