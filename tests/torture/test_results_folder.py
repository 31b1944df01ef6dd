"""A results folder that changes under the exporter in every way; short by default, long with --long."""

from __future__ import annotations

import gzip
import json
import os
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from advisor.results import Run, Scenario, write_run
from tests.support.exporter_client import ask, samples, served
from tests.support.waiting import wait_until


class Vandal:
    """Writes, rewrites, truncates, renames, links and deletes result files; knows what must be left."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder
        self._chance = random.Random(seed)
        self._serial = 0
        self.expected: dict[str, set[str]] = {}
        """Scenario names by run id of the files that are whole."""

    def act(self) -> None:
        """One change."""
        name = f"test_results_{self._chance.randrange(30):02d}"
        path = self._folder / f"{name}.json"
        chance = self._chance.random()
        if path.is_dir():
            path.rmdir()
        if chance < 0.5 or not path.exists():
            self._write(path)
        elif chance < 0.6:
            path.unlink()
            self.expected.pop(name, None)
        elif chance < 0.7:
            self._damage(path)
        elif chance < 0.8:
            self._rename(path)
        elif chance < 0.9:
            path.unlink()
            os.mkfifo(path)
            self.expected.pop(name, None)
        else:
            path.unlink()
            path.mkdir()
            self.expected.pop(name, None)

    def _write(self, path: Path) -> None:
        if path.exists() or path.is_symlink():
            path.unlink()
        self._serial += 1
        names = [f"s{i} of {self._serial}" for i in range(self._chance.randrange(1, 6))]
        write_run(Run(run_id=path.stem, scenarios=tuple(Scenario(name=name) for name in names)), path)
        self.expected[path.stem] = set(names)

    def _damage(self, path: Path) -> None:
        if path.is_fifo():
            return
        with path.open("r+b") as file:
            file.truncate(max(path.stat().st_size // 2, 1))
        self.expected.pop(path.stem, None)

    def _rename(self, path: Path) -> None:
        other = self._folder / f"test_results_{self._chance.randrange(30):02d}.json"
        if other.is_dir() or other == path:
            return
        path.rename(other)
        moved = self.expected.pop(path.stem, None)
        self.expected.pop(other.stem, None)
        if moved is not None:
            self.expected[other.stem] = moved


def shown(page: str) -> dict[str, set[str]]:
    """Scenario names by run id; fails on a series that is there twice."""
    found: dict[str, set[str]] = {}
    for key in samples(page):
        if key.startswith("results_scenario_info{"):
            labels: dict[str, Any] = json.loads(key.removeprefix("results_scenario_info"))
            found.setdefault(labels["run_id"], set()).add(labels["scenario"])
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_the_page_ends_as_the_folder_and_is_whole_all_the_while(
    tmp_path: Path, request: pytest.FixtureRequest, seed: int
) -> None:
    """No page in between is torn, holds a series twice or a mixture of two versions of a file."""
    vandal = Vandal(tmp_path, seed)
    stop = threading.Event()
    seconds = 120.0 if request.config.getoption("--long") else 3.0

    def vandalise() -> None:
        while not stop.is_set():
            vandal.act()
            time.sleep(0.002)

    with served("exporters.results", "--results-dir", str(tmp_path), "--runs", "100") as exporter:
        thread = threading.Thread(target=vandalise)
        thread.start()
        pages = 0
        until = time.monotonic() + seconds
        try:
            while time.monotonic() < until or pages <= 3:
                status, _, body = ask(exporter, "/metrics", headers={"Accept-Encoding": "gzip"})
                assert status == 200
                for names in shown(gzip.decompress(body).decode()).values():
                    assert len({name.rpartition(" ")[2] for name in names}) == 1
                pages += 1
        finally:
            stop.set()
            thread.join()
        wait_until(lambda: shown(ask(exporter, "/metrics")[2].decode()) == vandal.expected)
        page = samples(ask(exporter, "/metrics")[2].decode())
        assert page['results_exporter_collector_success{"collector": "results"}'] == 1
        assert page['results_exporter_collector_failures_total{"collector": "results"}'] == 0
        assert page["process_open_fds{}"] < 40


def test_the_folder_itself_may_go_and_come(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    with served("exporters.results", "--results-dir", str(folder)) as exporter:
        for number in range(3):
            folder.mkdir()
            run = Run(run_id="test_results_a", scenarios=(Scenario(name=f"n{number}"),))
            write_run(run, folder / "test_results_a.json")
            expected = {"test_results_a": {f"n{number}"}}
            wait_until(lambda expected=expected: shown(ask(exporter, "/metrics")[2].decode()) == expected)  # type: ignore[misc]
            (folder / "test_results_a.json").unlink()
            folder.rmdir()
            wait_until(lambda: shown(ask(exporter, "/metrics")[2].decode()) == {})


def test_a_result_file_reaches_nothing_outside_its_folder(tmp_path: Path) -> None:
    """Paths inside a result file are text: nothing of them is opened or published."""
    secret = tmp_path / "secret.json"
    secret.write_text('{"token": "hunter2"}')
    folder = tmp_path / "results"
    folder.mkdir()
    trap = tmp_path / "trap"
    os.mkfifo(trap)  # whoever opens it hangs
    scenario = {
        "name": str(secret),
        "input": {"path": str(trap), "name": "../../secret.json"},
        "outputs": [{"path": str(trap)}, {"path": "/proc/self/environ"}],
        "command": ["/bin/sh", "-c", f"touch {tmp_path}/ran"],
    }
    (folder / "test_results_a.json").write_text(json.dumps({"schema_version": 1, "scenarios": [scenario]}))
    with served("exporters.results", "--results-dir", str(folder)) as exporter:
        wait_until(lambda: "results_scenario_info" in ask(exporter, "/metrics")[2].decode())
        page = ask(exporter, "/metrics")[2].decode()
    assert "hunter2" not in page
    assert str(trap) not in page
    assert not (tmp_path / "ran").exists()
