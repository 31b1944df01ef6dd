"""The two things a newcomer does first, from a fresh clone."""

from __future__ import annotations

import fcntl
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wattframe.cli import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What is committed, in an empty folder; the virtual environment is the one that runs the tests."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    folder = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    return folder


@pytest.mark.long
@pytest.mark.ffmpeg
def test_the_demo_shows_every_part(clone: Path) -> None:
    done = subprocess.run(
        ["bash", "scripts/demo", "--duration", "8", "--port-offset", "4000"],
        cwd=clone,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    report = (clone / "demo" / "report.html").read_text()
    assert "Quality against energy" in report
    if shutil.which("prometheus"):
        assert "all 5 targets are up" in done.stdout
        apart = [float(x) for x in re.findall(r"([+-]\d+\.\d)%$", done.stdout, re.MULTILINE)]
        assert len(apart) >= 7
        assert all(abs(percent) <= 10 for percent in apart)


@pytest.mark.parametrize("script", ["demo", "test", "lock", "lib.sh"])
def test_the_scripts_are_bash(script: str) -> None:
    subprocess.run(["bash", "-n", str(ROOT / "scripts" / script)], check=True)


def test_a_second_demo_in_the_same_folder_is_refused(clone: Path) -> None:
    """The first one is serving what the second one would clear."""
    with (clone / ".demo.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            [sys.executable, "-m", "wattframe", "demo"],
            cwd=clone,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "wattframe demo: another demo is running in this folder\n"


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        yield holder.getsockname()[1]


def test_a_port_that_is_taken_is_found_before_anything_is_deleted(
    tmp_path: Path, taken_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    former = tmp_path / "demo" / "report.html"
    former.parent.mkdir()
    former.write_text("the last one")
    (former.parent / ".wattframe-demo").touch()
    arguments = ["--folder", str(former.parent), "--port-offset", str(taken_port - 9500)]
    assert main(["demo", *arguments]) == 1
    assert f"port {taken_port} (rapl)" in capsys.readouterr().err
    assert former.read_text() == "the last one"


def test_a_folder_that_no_demo_made_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "thesis.tex"
    own.write_text("x")
    assert main(["demo", "--folder", str(tmp_path), "--port-offset", "12000"]) == 2
    assert "expected an empty folder or one of an earlier demo" in capsys.readouterr().err
    assert own.exists()
