"""Memory over the work of days: whatever comes and goes, it stays where it was after the first third."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.torture.memory import WORKS

ROOT = Path(__file__).parents[2]
MOST_GROWTH_KIB = 2048
CYCLES = {"snapshots": (200, 5_000), "registers": (2_000, 100_000), "containers": (1_000, 20_000)}
"""Short and long: 5 000 changes of files, one a poll, are three hours; 100 000 samples are a day."""


@pytest.mark.parametrize("what", WORKS)
def test_memory_is_flat(what: str, request: pytest.FixtureRequest) -> None:
    cycles = CYCLES[what][bool(request.config.getoption("--long"))]
    command = [sys.executable, "-m", "tests.torture.memory", what, str(cycles)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    seen = [int(line) for line in done.stdout.splitlines()]
    assert len(seen) == 10
    assert max(seen[7:]) - max(seen[2:4]) < MOST_GROWTH_KIB, seen
