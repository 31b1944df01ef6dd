"""Two hundred ends at random moments: nothing finished is lost, nothing left running, nobody else hit."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from advisor.results import read_run
from tests.support.processes import ffmpegs_of
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.ffmpeg, pytest.mark.long]

ROOT = Path(__file__).resolve().parents[2]
KILLS = 200
_FINISHED = re.compile(r"^\d+/\d+ (s\d+): \d", re.MULTILINE)


@pytest.fixture
def bystander(ffmpeg: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Somebody else's ffmpeg, with the same binary and for as long as the test."""
    source = ["-f", "lavfi", "-i", "color=gray:s=16x16:r=1"]
    command = [ffmpeg, "-v", "quiet", "-nostats", "-progress", "pipe:1", "-re", *source, "-f", "null", "-"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    yield process
    process.kill()
    process.wait()


def test_any_end_at_any_moment(tmp_path: Path, clip: Path, bystander: subprocess.Popen[bytes]) -> None:
    """A line on stderr is the runner's word that a scenario is finished: it has to be in the file then.

    Whether a moment lies in the start, in an encode, between two, or in writing the file is left to chance.
    """
    chance = random.Random(20)
    batch = tmp_path / "b.yaml"
    entry = "- {name: s%d, preset: ultrafast, bitrate: 50k, resolution: 64x36, media_duration: 0.4}\n"
    batch.write_text("".join(entry % number for number in range(200)))
    ended: dict[int, int] = {}
    for number in range(KILLS):
        how = chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
        output = tmp_path / f"out{number}"
        seen = _one(batch, clip, output, how, chance.uniform(0.2, 3.0))
        ended[how] = ended.get(how, 0) + 1
        files = list(output.glob("test_results_*.json"))
        names = {s.name for s in read_run(files[0]).scenarios if s.status == "ok"} if files else set()
        assert seen <= names, (number, how)
        assert bystander.poll() is None
    assert sum(ended.values()) == KILLS
    assert len(ended) == 3


def _one(batch: Path, clip: Path, output: Path, how: signal.Signals, after_seconds: float) -> set[str]:
    """Start a runner, end it, and give the scenarios that it called finished."""
    process = subprocess.Popen(
        [
            *(sys.executable, "run_tests.py", "batch", str(batch), "--input", str(clip)),
            *("--stabilization", "0", "--output-dir", str(output)),
        ],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        process.wait(after_seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(how)
    _, err = process.communicate()
    if how is signal.SIGKILL:
        # the kernel ends ffmpeg a moment after its parent; what was just forked ends when it sees that
        time.sleep(0.3)
        wait_until(lambda: not ffmpegs_of(output))
    assert ffmpegs_of(output) == []
    # a signal may meet the interpreter before it runs the first line of ours: those words are its own
    assert "Traceback" not in err or err.startswith("Fatal Python error: init")
    return set(_FINISHED.findall(err))
