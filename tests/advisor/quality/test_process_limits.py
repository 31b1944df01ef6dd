"""What a comparison may take: threads and memory by pixels, time by length, held by the kernel."""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import pytest
from msgspec.structs import replace

from advisor.errors import FfmpegError
from advisor.quality import process_limits as limits_module
from advisor.quality.probe import Colour, Media
from advisor.quality.process import run_ffmpeg
from advisor.quality.process_limits import ProcessLimits, process_limits

FRAMES = Media(
    path="a", width=1920, height=1080, depth=8, chroma="420", rgb=False, colour=Colour(), display_aspect=1.78,
    rate=Fraction(25), frames=250, seconds=10.0, bitrate=None,
)  # fmt: skip


@pytest.fixture
def two_gibibytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits_module, "memory_bytes", lambda: (2 << 30, 2 << 30))


@pytest.mark.usefixtures("two_gibibytes")
def test_threads_follow_the_pixels() -> None:
    """Of 2 GiB 80 % may be used; 2160 lines take 0.75 GB and 0.22 GB a thread."""
    large = replace(FRAMES, width=3840, height=2160)
    assert process_limits(FRAMES, [FRAMES], 8).threads == 8
    assert process_limits(large, [large], 8).threads == 4
    assert process_limits(large, [FRAMES], 8) == process_limits(FRAMES, [large], 8)


@pytest.mark.usefixtures("two_gibibytes")
def test_what_does_not_fit_is_refused_before_it_is_begun() -> None:
    with pytest.raises(FfmpegError, match=r"8192x8192 takes about 7.3 GiB of memory, 2.0 GiB are free"):
        process_limits(FRAMES, [replace(FRAMES, width=8192, height=8192)], 8)


def test_the_time_follows_frames_and_pixels() -> None:
    assert process_limits(FRAMES, [FRAMES], 1).seconds == pytest.approx(600 + 250 * 1920 * 1080 / 1e6)


def _run(tmp_path: Path, code: str, within: ProcessLimits) -> str:
    return run_ffmpeg([sys.executable, "-c", code], folder=tmp_path, inputs=[], limits=within)


def test_the_memory_has_room_for_the_stacks_of_a_large_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 threads of libvmaf, 64 that filter and twice 16 that decode, of 8 MiB each, are 1.25 GiB."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(64))
    monkeypatch.setattr("resource.getrlimit", lambda _: (8 << 20, -1))
    small = replace(FRAMES, width=320, height=180)
    assert process_limits(small, [small], 64).memory_bytes > (64 + 64 + 32) * (8 << 20)


def test_the_kernel_holds_the_child_to_its_memory(tmp_path: Path) -> None:
    """256 MiB may be taken, 512 MiB not."""
    within = ProcessLimits(threads=1, memory_bytes=384 << 20, seconds=60.0, reduced=False)
    wait = "import time, resource\nwhile resource.getrlimit(resource.RLIMIT_DATA)[0] < 0: time.sleep(0.01)\n"
    assert _run(tmp_path, f"{wait}bytearray(256 << 20)", within) == ""
    with pytest.raises(FfmpegError, match="ended with code 1"):
        _run(tmp_path, f"{wait}bytearray(512 << 20)", within)


def test_a_child_whose_time_is_over_is_ended(tmp_path: Path) -> None:
    within = ProcessLimits(threads=1, memory_bytes=1 << 30, seconds=0.2, reduced=False)
    with pytest.raises(FfmpegError, match="took longer than 0 s"):
        _run(tmp_path, "import time; time.sleep(60)", within)
