"""An input as it is read: what it is, when its frames are shown, and whether it can be read in a loop."""

from __future__ import annotations

import itertools
import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from advisor.common.death_notice import death_notice
from advisor.errors import FfmpegError, InputError
from advisor.results import InputMedia
from advisor.video.ffmpeg import run
from advisor.video.packets import demuxed, first_video, opened

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

    from advisor.quality.probe import Media

LAVFI = "lavfi:"
"""Before a source of ffmpeg's own, in place of a file's path."""

_LAVFI_STREAM = re.compile(r"Stream #0:0.*: Video: .*?, (\d+)x(\d+)[ ,].*?([\d.]+k?) fps")
_PROBE_SECONDS = 30
_ROUNDING_SECONDS = 1e-9
_IRREGULAR_RATIO = 1.5
"""Of the longest to the shortest time from one frame to the next: above what containers' rounding makes."""


class Source(Struct, frozen=True, kw_only=True):
    """One input; the times are those of one pass through it."""

    media: InputMedia
    times: tuple[float, ...] = ()
    """Seconds at which each frame is shown, the first at 0; empty when not known."""
    seconds: float | None = None
    """From the first to the end of the last frame."""
    start_seconds: float = 0.0
    """Of the first frame in the file, whose sound may begin before it."""
    hdr: str | None = None
    """``PQ`` or ``HLG``."""
    has_foreign_matrix: bool = False
    """Its colour matrix is none that ffmpeg's ``scale`` takes."""
    content: dict[str, float] | None = None
    """How hard it is to encode, where that was measured."""

    @property
    def loops(self) -> bool:
        """Whether ffmpeg can read the input again from its start."""
        return self.media.loops == -1

    @property
    def steps(self) -> tuple[float, ...]:
        """Seconds from each frame to the next."""
        return tuple(b - a for a, b in itertools.pairwise(self.times) if b > a)

    @property
    def is_variable_rate(self) -> bool:
        """Whether frames come at unequal distances."""
        return bool(self.steps) and max(self.steps) > _IRREGULAR_RATIO * min(self.steps)

    def seconds_of(self, frames: int) -> float | None:
        """Seconds of video in the first ``frames`` frames of the input, read in a loop; None when unknown.

        >>> Source(media=InputMedia(), times=(0.0, 0.5, 0.75), seconds=1.25).seconds_of(7)
        3.0
        """
        if not self.times or self.seconds is None:
            return frames / self.media.fps if self.media.fps else None
        passes, rest = divmod(frames, len(self.times))
        return passes * self.seconds + self.times[rest]


def look_at_source(name: str, ffmpeg: Path) -> Source:
    """What the input called ``name`` is.

    Raises
    ------
    InputError
        It cannot be read or holds no video, is no local file, or is a lavfi source that ffmpeg refuses.
    """
    return _lavfi(name, ffmpeg) if name.startswith(LAVFI) else look_at_file(name)


def look_at_file(name: str) -> Source:
    """The same of a local file, which needs no ffmpeg."""
    from advisor.quality.probe import probe  # brings PyAV, which a baseline does not need

    media = probe(name)
    if media.reads_as:
        raise InputError("expected one video file, found numbered pictures", subject=name)
    source = _read_frames(media)
    rate = float(media.rate) if media.rate else None
    if source.is_variable_rate and source.seconds:
        rate = media.frames / source.seconds
    described = replace(
        source.media,
        path=str(Path(name).absolute()),
        name=Path(name).name,
        width=media.width,
        height=media.height,
        fps=rate,
        duration=media.seconds if source.seconds is None else source.seconds,
        frames=media.frames,
    )
    return replace(source, media=described, hdr=media.colour.hdr, has_foreign_matrix=media.colour.is_foreign)


def _read_frames(media: Media) -> Source:
    """When the frames of a video are shown, and whether it can be read again."""
    with opened(media.opens) as container:
        stream = first_video(container)
        packets: Iterator[tuple[int, int, int]] = (
            (tick, packet.duration or 0, packet.size)
            for packet in demuxed(container, stream)
            if packet.size
            and not packet.is_discard
            # AVI has no times of showing; those of decoding have the same distances
            and (tick := packet.dts if packet.pts is None else packet.pts) is not None
        )
        begin = list(itertools.islice(packets, 3))
        shown = list(zip(media.times, media.durations, strict=True))
        if not shown:
            base, file_start = stream.time_base or 0, (container.start_time or 0) / 1e6
            ticks = sorted((tick, duration) for tick, duration, _ in (*begin, *packets))
            shown = [(float(tick * base) - file_start, float(duration * base)) for tick, duration in ticks]
        again = _begins_again(container, stream, [(tick, size) for tick, _, size in begin])
    whole = Source(media=InputMedia(loops=-1 if again else 0))
    if len(shown) < 2 or shown[0][0] == shown[-1][0]:
        return whole
    first = shown[0][0]
    times = tuple(time - first for time, _ in shown)
    steps = [b - a for a, b in itertools.pairwise(times)]
    durations = [duration for _, duration in shown]
    # many containers do not say how long a frame is shown, or say the same of each
    off = statistics.median(abs(d - s) for d, s in zip(durations, steps, strict=False))
    stated = off <= 0.1 * min(steps) + _ROUNDING_SECONDS
    last_step = durations[-1] if stated and durations[-1] else statistics.median(steps)
    return replace(whole, times=times, seconds=times[-1] + last_step, start_seconds=max(0.0, first))


def _begins_again(container: InputContainer, stream: VideoStream, first: list[tuple[int, int]]) -> bool:
    """Whether a seek to the start finds the first packets again, as ffmpeg's loop does it.

    Streams without a container cannot seek, nor can files in which no frame is marked as a key frame; in some
    transport streams the first picture is missed.
    """
    import av

    start: int | None = container.start_time
    if start is None:
        return False
    again = (packet for packet in container.demux(stream) if packet.size and not packet.is_discard)
    try:
        container.seek(start)
        return first == [
            (packet.dts if packet.pts is None else packet.pts, packet.size)
            for packet in itertools.islice(again, len(first))
        ]
    except av.FFmpegError:
        return False


def _lavfi(name: str, ffmpeg: Path) -> Source:
    source = ["-hide_banner", "-nostdin", "-f", "lavfi", "-i", name.removeprefix(LAVFI)]
    frame = [*source, "-map", "0:V:0", "-frames:v", "1", "-f", "null", "-"]
    try:
        _, said = run(ffmpeg, frame, timeout_seconds=_PROBE_SECONDS, before=death_notice())
    except FfmpegError as exc:
        problem = str(exc).partition(": ")[2]
        raise InputError(f"expected a lavfi video source: {problem}", subject=name) from exc
    match = _LAVFI_STREAM.search(said)
    if match is None:
        raise InputError("expected a lavfi video source, found no video", subject=name)
    # ffmpeg writes 1000 as 1k
    width, height, rate = int(match[1]), int(match[2]), float(match[3].replace("k", "e3"))
    return Source(media=InputMedia(name=name, width=width, height=height, fps=rate, loops=0))
