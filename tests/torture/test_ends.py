"""Whatever file hangs inside the kernel, an exporter answers meanwhile and ends when it is told to."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.exporter_client import ask, served
from tests.support.hanging_file import HangingFile, hanging_file
from tests.support.waiting import wait_until

RUN = json.dumps({"schema_version": 1, "scenarios": [{"name": "a", "duration": 1}]}).encode()
Place = Callable[[Path, Path], list[str]]


def result(folder: Path, hanging: Path) -> list[str]:
    (folder / "test_results_1.json").symlink_to(hanging)
    return []


def manifest(folder: Path, hanging: Path) -> list[str]:
    version = folder / "models" / "machine" / "0001"
    version.mkdir(parents=True)
    (version / "manifest.json").symlink_to(hanging)
    (version.parent / "latest").symlink_to("0001")
    return [f"--models-dir={folder / 'models'}"]


def tariff(folder: Path, hanging: Path) -> list[str]:
    (folder / "tariff.yaml").write_text(f"series: {hanging}\n")
    return [f"--tariff={folder / 'tariff.yaml'}"]


def pairs(folder: Path, hanging: Path) -> list[str]:
    return [f"--pairs={hanging}"]


def video(folder: Path, hanging: Path) -> list[str]:
    (folder / "pairs.yaml").write_text(f"- {{reference: {hanging}, distorted: {hanging}}}\n")
    return [f"--pairs={folder / 'pairs.yaml'}", f"--cache-dir={folder / 'cache'}"]


def web(folder: Path, hanging: Path) -> list[str]:
    return [f"--web-config={hanging}"]


@pytest.mark.parametrize(
    ("exporter", "place", "content"),
    [
        ("results", result, RUN),
        ("results", manifest, b"{}"),
        ("results", web, b"{}"),
        ("cost", result, RUN),
        ("cost", tariff, b"timestamp,price_per_kwh\n1700000000,0.1\n1700003600,0.2\n"),
        ("qoe", result, RUN),
        ("qoe", pairs, b"[]\n"),
        ("qoe", video, b"no video"),
    ],
)
def test_an_exporter_whose_file_hangs_answers_and_ends(
    exporter: str, place: Place, content: bytes, tmp_path: Path, record_property: Callable[[str, str], None]
) -> None:
    with hanging_file(lambda: content) as file:
        arguments = place(tmp_path, file.path)
        with served(f"exporters.{exporter}", f"--results-dir={tmp_path}", *arguments) as running:
            file.hang()
            wait_until(lambda: reads(file, tmp_path))
            assert ask(running, "/metrics")[0] == 200
            begun = time.monotonic()
            running.process.send_signal(signal.SIGTERM)
            assert running.process.wait(60) == 0
            seconds = time.monotonic() - begun
            record_property(f"{exporter}, {place.__name__} hangs", f"ended after {seconds:.2f} s")
        file.release()


def reads(file: HangingFile, folder: Path) -> bool:
    """Whether somebody waits; what is read when it changes is changed."""
    for link in (folder, *folder.rglob("*")):
        if link.is_file() and link.suffix == ".yaml":
            link.touch()
    return file.readers > 0
