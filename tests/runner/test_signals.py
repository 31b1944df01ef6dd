"""Signals at a runner that works: what is finished is kept, its ffmpeg goes, other people's ffmpeg stays."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from advisor.results import read_run
from tests.support.processes import command_line, ffmpegs_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.ffmpeg

ROOT = Path(__file__).resolve().parents[2]
BATCH = """
- {name: first, preset: ultrafast, bitrate: 100k, media_duration: 1}
- {name: second, preset: ultrafast, bitrate: 100k, media_duration: 1}
- {name: endless, preset: ultrafast, bitrate: 100k, realtime: true, duration: 3600}
- {name: never, preset: ultrafast, bitrate: 100k, media_duration: 1}
"""


@pytest.fixture
def runner(clip: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A runner that has finished two scenarios and is in the middle of the third."""
    batch = tmp_path / "b.yaml"
    batch.write_text(BATCH)
    arguments = ["batch", str(batch), "--input", str(clip), "--stabilization", "0"]
    process = subprocess.Popen(
        [sys.executable, "run_tests.py", *arguments, "--output-dir", str(tmp_path / "out")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        wait_until(lambda: any(b"endless" in command_line(pid) for pid in ffmpegs_of(tmp_path)))
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_finishes_the_file_and_ends_only_the_runners_own(
    number: signal.Signals, runner: subprocess.Popen[str], tmp_path: Path, ffmpeg: Path
) -> None:
    source = ["-f", "lavfi", "-i", "color=gray:s=16x16:r=1"]
    bystander = subprocess.Popen(
        [ffmpeg, "-v", "quiet", "-re", *source, "-f", "null", "-"], stdin=subprocess.DEVNULL
    )
    try:
        runner.send_signal(number)
        out, err = runner.communicate()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    (path,) = (tmp_path / "out").glob("*.json")
    assert runner.returncode == 130
    assert [(s.name, s.status) for s in read_run(path).scenarios] == [
        ("first", "ok"),
        ("second", "ok"),
        ("endless", "aborted"),
    ]
    assert err.endswith("run_tests.py: interrupted\n")
    assert out.endswith(f"{path}\n")
    assert ffmpegs_of(tmp_path) == []
    assert [p.name for p in (tmp_path / "out").iterdir()] == [path.name]


def test_a_killed_runner_leaves_what_was_finished_and_no_ffmpeg(
    runner: subprocess.Popen[str], tmp_path: Path
) -> None:
    runner.kill()
    runner.communicate()
    (path,) = (tmp_path / "out").glob("*.json")
    assert [(s.name, s.status) for s in read_run(path).scenarios] == [("first", "ok"), ("second", "ok")]
    wait_until(lambda: not ffmpegs_of(tmp_path))


def test_resume_goes_on_after_a_kill(runner: subprocess.Popen[str], tmp_path: Path, clip: Path) -> None:
    """Half of the batch was finished; the scenario that was cut off is done again, shortened to end."""
    runner.kill()
    runner.communicate()
    (path,) = (tmp_path / "out").glob("*.json")
    before = read_run(path)
    batch = tmp_path / "b.yaml"
    batch.write_text(BATCH.replace("3600", "0.5"))
    done = subprocess.run(
        [
            *(sys.executable, "run_tests.py", "batch", batch, "--input", clip),
            *("--stabilization", "0", "--output-dir", tmp_path / "out", "--resume"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    after = read_run(path)
    assert done.returncode == 0, done.stderr
    assert "2 finished before, 2 to run" in done.stderr
    assert after.scenarios[:2] == before.scenarios
    assert [(s.name, s.status) for s in after.scenarios[2:]] == [("endless", "ok"), ("never", "ok")]
    assert [p.name for p in (tmp_path / "out").iterdir()] == [path.name]
