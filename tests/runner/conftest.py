"""A real ffmpeg and a real clip for the runner's tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from advisor.errors import FfmpegError
from advisor.video.ffmpeg import find_ffmpeg


@pytest.fixture(scope="session")
def ffmpeg() -> Path:
    try:
        return find_ffmpeg()
    except FfmpegError as exc:
        pytest.skip(str(exc))


@pytest.fixture(scope="session")
def clip(ffmpeg: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 frames of 320x180 at 25 a second, in MP4."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    source = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=1.6"]
    encode = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
    subprocess.run([ffmpeg, "-v", "error", *source, *encode, path], check=True)
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is known of inputs is kept for the test alone, not in the user's own folder."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder
