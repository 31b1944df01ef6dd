"""The two things a newcomer does first, from a fresh clone."""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
    assert "What a transcoded frame costs" in report
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
            [sys.executable, "scripts/demo.py"], cwd=clone, capture_output=True, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "scripts/demo: another demo is running in this folder\n"
