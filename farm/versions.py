"""What must be equal on both sides of a cluster, as names of resources that a call asks a worker for.

A worker of another version, also one that comes later, is never given what it would answer differently.
"""

from __future__ import annotations

import json
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path

from advisor.errors import FfmpegError
from advisor.quality.cache import METHOD
from advisor.video.ffmpeg import capabilities, run

_TRIAL_SECONDS = 60


def code() -> str:
    """Whose functions and values can be sent: the project, Dask and Python."""
    python = ".".join(platform.python_version_tuple()[:2])
    return f"code wattframe {version('wattframe')} distributed {version('distributed')} python {python}"


def scores(ffmpeg: Path) -> str:
    """Who scores alike: the method, ffmpeg and its libvmaf.

    Raises
    ------
    FfmpegError
        ``ffmpeg`` cannot be run.
    """
    return f"scores method {METHOD} ffmpeg {capabilities(ffmpeg).version} libvmaf {_libvmaf(ffmpeg)}"


def _libvmaf(ffmpeg: Path) -> str:
    """Its version by what it writes of one grey frame; ``none`` without it."""
    with tempfile.TemporaryDirectory(prefix="wattframe-") as folder:
        log = Path(folder) / "log"
        graph = f"[0:v]split[d][r];[d][r]libvmaf=log_fmt=json:log_path={log}"
        source = ["-f", "lavfi", "-i", "color=gray:s=64x64:r=25:d=0.04"]
        arguments = ["-nostdin", "-v", "error", *source, "-filter_complex", graph, "-f", "null", "-"]
        try:
            run(ffmpeg, arguments, timeout_seconds=_TRIAL_SECONDS)
            return str(json.loads(log.read_text())["version"])
        except (FfmpegError, OSError, KeyError, ValueError):
            return "none"
