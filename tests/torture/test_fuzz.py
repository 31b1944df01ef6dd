"""Readers of what comes from outside, under inputs that nobody meant well.

Every kept input first, then mixtures of them; with --long many more, and a coverage-guided fuzzer.
"""

from __future__ import annotations

import importlib.util
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.torture import targets

ROOT = Path(__file__).parents[2]
REPLAY = """
import sys
from tests.torture import targets
for data in targets.seeds(sys.argv[1]):
    targets.survive(sys.argv[1], data)
"""
HOSTILE = (
    *(b"", b"\0", b"\xff", b"\n", b"&a ", b"*a", b"<<: ", b"!!int ", b"!!float ", b"null", b"[]", b"{}"),
    *(
        b"true",
        b"NaN",
        b"1e999",
        b"5e-324",
        b"1e308",
        b"-1",
        b"9" * 400,
        b"18446744073709551616",
        b'"\\ud800"',
    ),
    b"[" * 2000,
)


def bounded() -> None:
    """In the child: what wants more than 2 GiB of memory or a minute of CPU is ended."""
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))


@pytest.mark.parametrize("target", targets.TARGETS)
def test_every_kept_input_is_taken_or_refused_in_bounded_memory(target: str) -> None:
    command = [sys.executable, "-c", REPLAY, target]
    done = subprocess.run(
        command, cwd=ROOT, preexec_fn=bounded, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]


@st.composite
def mixtures(draw: st.DrawFn, kept: list[bytes]) -> bytes:
    """A kept input with pieces replaced by hostile words, by pieces of another, or by nothing."""
    data = bytearray(draw(st.sampled_from(kept)))
    pieces = st.sampled_from(HOSTILE) | st.binary(max_size=8) | st.sampled_from(kept).map(lambda k: k[-200:])
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 12))
        data[place : place + length] = draw(pieces)
    return bytes(data)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy's words for overflow
@pytest.mark.parametrize("target", targets.TARGETS)
def test_mixtures_are_taken_or_refused(target: str, request: pytest.FixtureRequest) -> None:
    count = 5000 if request.config.getoption("--long") else 100
    kept = [data for data in targets.seeds(target) if len(data) < 20_000 or target.startswith("model")]

    @settings(max_examples=count, database=None, suppress_health_check=list(HealthCheck))
    @given(mixtures(kept))
    def survives(data: bytes) -> None:
        targets.survive(target, data)

    survives()


@pytest.mark.long
@pytest.mark.parametrize("target", targets.TARGETS)
def test_a_coverage_guided_fuzzer_breaks_nothing(target: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("needs atheris: pip install --group fuzz")
    command = [sys.executable, "-m", "tests.torture.fuzz", target, "--seconds", "60"]
    command += ["--artifacts", str(tmp_path), "--found", str(tmp_path / "found")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
