"""How hard a video is to encode, measured cheaply before any encode of it.

The first seconds, scaled to 360 lines, are encoded once as fast as x264 goes: the bits that takes at one
quality say what no resolution or frame rate does. Beside them stand the spatial and temporal information of
ITU-T P.910 (edges in a frame, change between frames; means over the frames, 0 to about 255). A second or two
of one core for each input, once: what was measured is kept in a small file.

This is work for the processor: it belongs outside of every window in which power is measured.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from advisor.common.atomic import NO_JSON, write_atomically
from advisor.common.death_notice import death_notice
from advisor.common.regular_file import read_regular
from advisor.errors import FfmpegError
from advisor.video.ffmpeg import FILES_ONLY, Capabilities, file_url, run

_METHOD = 1
"""Raised when a change of the method changes figures; what is kept of another is measured again."""
_SECONDS = 20.0
_LINES = 360
_QUALITY = "26"
_TIMEOUT_SECONDS = 120.0
# what siti prints when it ends; its means are over all frames but TI's first
_SITI = re.compile(
    r"Total frames: (\d+)\s+Spatial Information:\s+Average: ([\d.]+).*?"
    r"Temporal Information:\s+Average: ([\d.]+)",
    re.DOTALL,
)
_CODED = re.compile(r"Output stream #0:0 \(video\): \d+ frames encoded; \d+ packets muxed \((\d+) bytes\)")
_SIZE = re.compile(r"Stream #0:0.*: Video: .*?, (\d+)x(\d+)[ ,]")

Content = Mapping[str, float]


def measure_content(path: Path | str, ffmpeg: Path, able: Capabilities) -> dict[str, float]:
    """``spatial_information``, ``temporal_information`` and ``probe_bits_per_pixel`` of a video's beginning.

    What this ffmpeg has no filter or encoder for is absent.

    Raises
    ------
    FfmpegError
        ffmpeg cannot be run, fails, or takes longer than two minutes.
    """
    if "siti" not in able.filters:
        return {}
    encodes = "libx264" in able.encoders
    coder = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", _QUALITY, "-threads", "1"]
    output = [*(coder if encodes else []), "-f", "null", "-"]
    scale = f"scale=-2:'2*trunc(min({_LINES},ih)/2)'"
    graph = f"setparams=colorspace=unknown,{scale},format=yuv420p,siti=print_summary=1"
    source = [*FILES_ONLY, "-t", f"{_SECONDS:g}", "-i", file_url(path), "-map", "0:v:0", "-an", "-sn"]
    call = ["-hide_banner", "-nostdin", "-nostats", "-loglevel", "verbose", *source, "-vf", graph, *output]
    try:
        _, log = run(ffmpeg, call, timeout_seconds=_TIMEOUT_SECONDS, before=death_notice())
    except FfmpegError as exc:
        raise FfmpegError(f"{path}: its content cannot be measured: {exc}") from exc
    counted = _SITI.search(log)
    if counted is None:
        return {}
    frames, spatial, temporal = int(counted[1]), float(counted[2]), float(counted[3])
    content = {"spatial_information": spatial, "temporal_information": temporal}
    coded, size = _CODED.search(log), _SIZE.search(log.partition("Output #0")[2])
    if encodes and coded and frames and size:
        content["probe_bits_per_pixel"] = 8 * int(coded[1]) / (frames * int(size[1]) * int(size[2]))
    return content


class ContentCache:
    """What was measured before, in one JSON file; safe to delete.

    A video is known by its path, size and time of change, and by what the ffmpeg could measure. A file that
    is damaged or cannot be written only costs that videos are measured again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._measured = _read(path)

    def measure(self, video: Path | str, ffmpeg: Path, able: Capabilities) -> Content:
        """`measure_content`, unless it is known.

        Raises
        ------
        FfmpegError
        """
        key = _key(Path(video), able)
        if key not in self._measured:
            content = measure_content(video, ffmpeg, able)
            if not content:
                return content
            # others may have written since
            self._measured = _read(self._path) | {key: content}
            with contextlib.suppress(OSError):
                self._path.parent.mkdir(parents=True, exist_ok=True)
                text = msgspec.json.format(msgspec.json.encode(self._measured), indent=1)
                write_atomically(self._path, text)
        return self._measured[key]


def _read(path: Path) -> dict[str, dict[str, float]]:
    try:
        return msgspec.json.decode(read_regular(path), type=dict[str, dict[str, float]])
    except (OSError, *NO_JSON):
        return {}


def _key(video: Path, able: Capabilities) -> str:
    try:
        info = video.stat()
    except OSError as exc:
        raise FfmpegError(f"{video}: cannot be read: {exc.strerror or exc}") from exc
    encodes = "libx264" in able.encoders
    text = f"{_METHOD} {encodes} {video.absolute()} {info.st_size} {info.st_mtime_ns}"
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
