"""One pass of ffmpeg over several outputs of one reference: the command, its inputs and its graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct

from advisor.quality.graph import CHROMA_LOCATION, Comparison, filter_graph, reference_track
from advisor.quality.probe import Media
from advisor.quality.process import run_ffmpeg
from advisor.quality.process_limits import ProcessLimits
from advisor.quality.settings import QualitySettings
from advisor.quality.tracks import track_outputs
from advisor.video.ffmpeg import FILES_ONLY, precedes_8

FrameProgress = Callable[[int, int], None]
"""Called with the frames compared so far and the frames to compare."""

MARGIN_SECONDS, WIDE_SECONDS = 1.0, 31.0
"""Of the reference that are read behind the last partner; more where the output may belong further on."""


class Work(Struct, frozen=True):
    """What every pass needs."""

    settings: QualitySettings
    ffmpeg: str
    threads: int
    nice: int
    progress: FrameProgress | None
    limits: ProcessLimits | None = None


class OutputState(Struct, frozen=True, eq=False):
    """One output on its way: what is decided so far."""

    media: Media
    comparison: Comparison
    intact: tuple[int | None, int | None] | None = None
    """Frames of the reference and of the output before what is damaged, None for all; None before that was
    looked at."""
    margin_seconds: float = MARGIN_SECONDS
    """What is read of the reference behind the last partner."""
    registered: bool = False
    """The edges of the crop were tried."""


class Cut(Struct, frozen=True):
    """What of a file is compared, on the file's own clock; None: from its start, to its end."""

    key_seconds: float | None
    """Of the key frame that decoding begins with."""
    begin_seconds: float | None
    """Between the frame before and the first one."""
    end_seconds: float | None
    began_seconds: float

    @property
    def options(self) -> list[str]:
        """ffmpeg's, in front of ``-i``."""
        if self.key_seconds is None:
            return []
        return ["-noaccurate_seek", "-seek_timestamp", "1", "-ss", f"{self.key_seconds:.6f}"]

    @property
    def filters(self) -> str:
        """Leaves the frames, at the times that they have where nothing is cut."""
        ends = {"start": self.begin_seconds, "end": self.end_seconds}
        limits = [f"{name}={seconds:.6f}" for name, seconds in ends.items() if seconds is not None]
        steps = [f"trim={':'.join(limits)}"] if limits else []
        return ",".join([*steps, f"setpts=PTS-round({self.began_seconds:.6f}/TB)"])


def run_pass(
    work: Work,
    source: Media,
    outputs: Sequence[OutputState],
    folder: Path,
    cuts: tuple[Cut, Cut] | None = None,
) -> str:
    """Let ffmpeg compare ``outputs`` with ``source`` and write its logs into ``folder``; what it said.

    ``cuts`` are those of the source and the only output; the output's pairing is then of what they leave.

    Raises
    ------
    MediaError, FfmpegError
        As `run_ffmpeg`.
    """
    settings, limits = work.settings, work.limits
    threads = work.threads if limits is None else limits.threads
    comparisons = [output.comparison for output in outputs]
    last = max(int(c.pairing.partners[-1]) for c in comparisons)
    margin = max(output.margin_seconds for output in outputs)
    read = last + 1 + round(margin * float(source.rate or 25))
    read *= 2 if settings.reference_filter else 1  # of a frame yadif may make two
    graph = filter_graph(
        comparisons,
        threads=max(1, threads // len(outputs)),
        before=cuts[0].filters if cuts else settings.reference_filter or "",
        reference_frames=None if cuts else read,
        before_outputs=cuts[1].filters if cuts else "",
    )
    command = ffmpeg_command(work, source, outputs, folder, graph, cuts)
    for n in range(len(outputs)):
        command += ["-map", f"[out{n}]", "-f", "null", "-"]
    tracks = dict.fromkeys(reference_track(n, c.plan) for n, c in enumerate(comparisons))
    command += track_outputs([*tracks, *(f"track{n}" for n in range(len(outputs)))])
    total = max(len(c.pairing.partners) for c in comparisons)
    progress = work.progress
    return run_ffmpeg(
        command,
        folder=folder,
        nice=work.nice,
        inputs=(source.path, *(output.media.path for output in outputs)),
        progress=None if progress is None else lambda done: progress(min(done, total), total),
        limits=work.limits,
    )


def ffmpeg_command(
    work: Work,
    source: Media,
    outputs: Sequence[OutputState],
    folder: Path,
    graph: str,
    cuts: tuple[Cut, Cut] | None = None,
) -> list[str]:
    """ffmpeg, its inputs and the graph, which is written to a file: a long one is no argument."""
    settings = work.settings
    old = precedes_8(work.ffmpeg)
    if old:
        graph = graph.replace(CHROMA_LOCATION, "")  # it never looks at it either
    (folder / "graph.txt").write_text(graph)
    start = ["-ss", f"{settings.reference_start:.6f}"] if settings.reference_start else []
    loops = ["-stream_loop", str(settings.reference_loops)] if settings.reference_loops else []
    command = [work.ffmpeg, *("-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+info")]
    # decoders keep a picture for each thread too
    fewer = ["-threads", str(work.limits.threads)] if work.limits and work.limits.reduced else []
    of_source, of_output = (cut.options for cut in cuts) if cuts else ([], [])
    command += ["-progress", "pipe:1", *(["-copyts"] if cuts else [])]
    command += _input(source, *fewer, *start, *loops, *of_source)
    for output in outputs:
        command += _input(output.media, *fewer, *of_output)
    return [*command, "-filter_complex_script" if old else "-/filter_complex", "graph.txt"]


def _input(media: Media, *options: str) -> list[str]:
    # a picture whose size changes is scaled by the graph that is there, which is not begun anew
    files = FILES_ONLY if not media.reads_as else ("-protocol_whitelist", "file")
    return [*files, "-reinit_filter", "0", *media.reads_as, *options, "-i", media.opens]
