"""The ffmpeg at hand: where it is and what it can do."""

from __future__ import annotations

import functools
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from msgspec import Struct

from advisor.errors import FfmpegError, InputError

MEDIA_FORMATS = (
    "3g2,3gp,aac,apng,apv,asf,av1,avi,avs2,avs3,cavsvideo,dhav,dirac,dnxhd,dv,evc,flac,flv,gif,gxf,h261,h263,h264,"
    "hevc,ivf,m4v,matroska,mj2,mjpeg,mov,mp3,mp4,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,pva,rm,ty,vc1,vvc,wav,"
    "webm,webp_anim,wtv,yuv4mpegpipe"
)
"""Formats that hold pictures and sound themselves, for ffmpeg's ``format_whitelist``: the others are lists
that make ffmpeg open further files (hls, dash, concat, image sequences), or text drawn as pictures."""

MOST_PIXELS = 8192 * 8192
"""Of one picture, for ffmpeg's ``max_pixels``: a file of a hundred bytes may say that it holds a gigabyte."""

FILES_ONLY = (
    *("-protocol_whitelist", "file"),
    *("-format_whitelist", MEDIA_FORMATS),
    *("-max_pixels", str(MOST_PIXELS)),
)
"""What stands before the ``-i`` of a file, so that it is read as a video and opens nothing else."""

VMAF_MODELS = (
    "vmaf_v0.6.1",
    "vmaf_v0.6.1neg",
    "vmaf_4k_v0.6.1",
    "vmaf_4k_v0.6.1neg",
    "vmaf_v1.0.16_3d0h",
    "vmaf_v1.0.16_5d0h",
    "vmaf_v1.0.16_hfr_3d0h",
    "vmaf_v1.0.16_hfr_5d0h",
    "vmaf_v1.0.16_1d5h_2160",
    "vmaf_v1.0.16_3d0h_2160",
    "vmaf_v1.0.16_hfr_1d5h_2160",
    "vmaf_v1.0.16_hfr_3d0h_2160",
)
"""Models built into libvmaf that are asked for by name; libvmaf itself offers no list."""

_OLDEST = (5, 1)
"""The first release with ``-fps_mode``, and with models that libvmaf holds itself."""
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_LABEL = re.compile(r"^(?:\[[^\]]*\] ?)+")
_CONSEQUENCE = re.compile(
    r"Task finished with error code|Terminating thread with return code|Error sending frames to consumers"
    r"|Could not open encoder before EOF|Error while opening encoder|Nothing was written into output file"
    r"|Device creation failed|Failed to set value|Error parsing global options|Conversion failed"
    r"|Error opening (?:in|out)put\b|Error parsing options for|Error processing filtergraph|To ignore this"
    r"|Failed to configure input pad|Error reinitializing filters|Error applying encoder options"
)
_TIMEOUT_SECONDS = 60
_MOST_BYTES = 1 << 20


class Capabilities(Struct, frozen=True):
    """What one ffmpeg binary can do."""

    version: str
    encoders: frozenset[str]
    filters: frozenset[str]


def find_ffmpeg(explicit: str | None = None) -> Path:
    """The binary to use: ``explicit`` (a path or a command name), else imageio-ffmpeg's, else that on PATH.

    Raises
    ------
    FfmpegError
        There is none, or ``explicit`` is no executable file.
    """
    program = shutil.which(explicit) if explicit is not None else _bundled() or shutil.which("ffmpeg")
    if program is not None:
        return Path(program).absolute()
    if explicit is not None:
        raise FfmpegError(f"{explicit}: expected the path of an executable ffmpeg")
    raise FfmpegError(
        "no ffmpeg found: pip install imageio-ffmpeg, or name one with --ffmpeg PATH "
        "(IMAGEIO_FFMPEG_EXE, if set, must name one)"
    )


def chosen_ffmpeg(explicit: str | None, filters: Sequence[str] = ()) -> Path:
    """`find_ffmpeg` for what a user may have named by ``--ffmpeg``, and what has to have ``filters``.

    Raises
    ------
    InputError
        ``explicit`` is no executable file, no ffmpeg, too old or without such a filter.
    FfmpegError
        None was named, and there is none that can be used.
    """
    try:
        path = find_ffmpeg(explicit)
        if explicit is not None:
            _version(path)
        _require(path, filters)
    except FfmpegError as exc:
        if explicit is None:
            raise
        raise InputError(str(exc), subject="--ffmpeg") from exc
    return path


def _require(path: Path, filters: Sequence[str]) -> None:
    if not filters:
        return
    able = capabilities(path)
    if lacking := [name for name in filters if name not in able.filters]:
        expected = f"expected an ffmpeg with {' and '.join(lacking)}"
        raise FfmpegError(f"{path}: {expected}, {able.version} was built without")


def _bundled() -> str | None:
    try:
        import imageio_ffmpeg

        return shutil.which(str(imageio_ffmpeg.get_ffmpeg_exe()))
    except (ImportError, RuntimeError):  # not there, or without a binary for this platform
        return None


def file_url(path: Path | str) -> str:
    """``path`` as ffmpeg argument that can only mean a local file.

    Without it a name such as ``concat:a|b``, ``http:x`` or ``-y`` would be a protocol or an option.

    >>> file_url("/clips/a: b.mp4")
    'file:/clips/a: b.mp4'
    """
    return f"file:{Path(path).absolute()}"


def shown(path: Path | str) -> str:
    """``path`` as it may be told: the scheme alone of a URL, which may hold a password.

    >>> shown("http:/me:password@host/a.mp4"), shown("/clips/a: b.mp4")
    ('http:/...', '/clips/a: b.mp4')
    """
    scheme = _URL.match(str(path))
    return f"{scheme[0]}..." if scheme is not None and not Path(path).exists() else str(path)


def capabilities(path: Path | str) -> Capabilities:
    """Ask the binary once; the answer is kept until the file changes.

    Raises
    ------
    FfmpegError
        ``path`` cannot be run or is no ffmpeg.
    """
    return _capabilities(Path(path), _stamp(path))


def option_names(path: Path | str, subject: str) -> frozenset[str]:
    """Options of ``encoder=NAME`` or ``filter=NAME``.

    Raises
    ------
    FfmpegError
        As `capabilities`.
    """
    return _option_names(Path(path), subject, _stamp(path))


def precedes_8(path: Path | str) -> bool:
    """Whether an ffmpeg is older than 8.0; False where it does not tell: the work itself will say why."""
    try:
        return "chroma_location" not in option_names(path, "filter=setparams")
    except FfmpegError:
        return False


def _stamp(path: Path | str) -> tuple[int, int]:
    """What is another when the file is."""
    try:
        info = Path(path).stat()
    except OSError as exc:
        raise FfmpegError(f"{path}: cannot be run: {exc.strerror}") from exc
    return info.st_mtime_ns, info.st_size


@functools.lru_cache(maxsize=8)
def _capabilities(path: Path, _stamp: tuple[int, int]) -> Capabilities:
    return Capabilities(
        version=_version(path),
        encoders=_names(run_text(path, ["-hide_banner", "-encoders"]), r"^ [VAS][F.][S.][X.][B.][D.] (\S+)"),
        filters=_names(run_text(path, ["-hide_banner", "-filters"]), r"^ [.TSCP]{2,3} (\S+) +\S+->\S+"),
    )


def _version(path: Path) -> str:
    banner = run_text(path, ["-version"])
    match = re.match(r"ffmpeg version (n?(\d+)\.(\d+)\S*|\S+)", banner)
    if match is None:
        raise FfmpegError(f"{path}: expected ffmpeg, but '-version' answered {banner[:60]!r}")
    if match[2] is not None and (int(match[2]), int(match[3])) < _OLDEST:
        raise FfmpegError(f"{path}: expected ffmpeg {_OLDEST[0]}.{_OLDEST[1]} or newer, found {match[1]}")
    return match[1]


@functools.lru_cache(maxsize=32)
def _option_names(path: Path, subject: str, _stamp: tuple[int, int]) -> frozenset[str]:
    return _names(run_text(path, ["-hide_banner", "-h", subject]), r"^  +-?(\S+) +<")


def run_text(path: Path, arguments: Sequence[str]) -> str:
    """What a short ffmpeg call prints on stdout; `FfmpegError` when it fails."""
    printed, _ = run(path, arguments, timeout_seconds=_TIMEOUT_SECONDS)
    return printed.decode("utf-8", "replace")


def run(
    path: Path, arguments: Sequence[str], *, timeout_seconds: float | None = None, before: Sequence[str] = ()
) -> tuple[bytes, str]:
    """What a call of ffmpeg prints on stdout, and what it says on stderr; `FfmpegError` when it fails.

    Of either the first and the last megabyte: a damaged video may have a line for every packet. ``before`` is
    what stands before the call.
    """
    try:
        process = subprocess.Popen(
            [*before, path, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as exc:
        raise FfmpegError(f"{path}: cannot be run: {exc.strerror}") from exc
    with process:
        readers = [_Reader(stream) for stream in (process.stdout, process.stderr) if stream is not None]
        try:
            process.wait(timeout_seconds)
        except subprocess.TimeoutExpired as exc:
            raise FfmpegError(f"{path}: did not answer within {timeout_seconds:g} s") from exc
        finally:
            process.kill()
            for reader in readers:
                reader.join()
        printed, said = (reader.content for reader in readers)
    if process.returncode:
        last = causes(said.decode("utf-8", "replace").strip().splitlines())[-1:] or ["no message"]
        raise FfmpegError(f"{path}: ended with code {process.returncode}: {last[0]}")
    return printed, said.decode("utf-8", "replace")


def causes(lines: Sequence[str]) -> list[str]:
    """Lines of a failed ffmpeg's log without its labels, and without what only follows from another line.

    >>> causes(["[h264_nvenc @ 0x5f] Cannot load libcuda.so.1", "[out#0/null @ 0x56] Conversion failed!"])
    ['Cannot load libcuda.so.1']
    """
    plain = [text for line in lines if (text := _LABEL.sub("", line))]
    return [line for line in plain if not _CONSEQUENCE.search(line)] or plain


def signal_name(number: int) -> str:
    """Such as SIGKILL; those of real time have no names."""
    return {known.value: known.name for known in signal.Signals}.get(number, f"signal {number}")


class _Reader(threading.Thread):
    """Keeps the first and the last `_MOST_BYTES` of what comes through a pipe; no exit waits for it."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(name="ffmpeg reader", daemon=True)
        self._stream = stream
        self.content = b""
        self.start()

    def run(self) -> None:
        head, tail = self._stream.read(_MOST_BYTES), b""
        while chunk := self._stream.read(_MOST_BYTES):
            tail = (tail + chunk)[-_MOST_BYTES:]
        self.content = head + tail


def _names(listing: str, pattern: str) -> frozenset[str]:
    return frozenset(re.findall(pattern, listing, re.MULTILINE)) - {"="}


def vmaf_models(path: Path) -> tuple[str, ...]:
    """The models that load, by trying: all at once when possible, else one by one; empty without libvmaf.

    Raises
    ------
    FfmpegError
        ``path`` cannot be run or is no ffmpeg.
    """
    if "libvmaf" not in capabilities(path).filters:
        return ()
    if _models_load(path, VMAF_MODELS):
        return VMAF_MODELS
    return tuple(model for model in VMAF_MODELS if _models_load(path, [model]))


def _models_load(path: Path, models: Sequence[str]) -> bool:
    """Whether libvmaf scores one grey frame with all ``models``."""
    # the v1 models crash on small frames, those for a far or 4k viewer below 640x360
    named = "|".join(rf"version={model}\:name=m{index}" for index, model in enumerate(models))
    graph = f"[0:v]split[d][r];[d][r]libvmaf=model='{named}'"
    source = ["-f", "lavfi", "-i", "color=gray:s=640x360:r=25:d=0.04"]
    try:
        run_text(path, ["-nostdin", "-v", "error", *source, "-filter_complex", graph, "-f", "null", "-"])
    except FfmpegError:
        return False
    return True
