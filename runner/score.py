"""Quality of what a run encoded, after all its measuring windows."""

from __future__ import annotations

import math
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec.structs import replace

from advisor import quality as quality_of
from advisor.errors import FfmpegError, MediaError
from advisor.quality.settings import REFERENCE_FILTERS
from advisor.results import InputMedia, Output, Quality, Run, Scenario
from advisor.video.ffmpeg import file_url
from runner.source import LAVFI

__all__ = ["Scorer", "is_scored", "unscored", "with_quality"]

_DRAWN = "reference_"
_CUTTING = ("crop", "pad")
"""Filters whose output has no counterpart of the same size and place in the input."""


def is_scored(quality: Quality | None) -> bool:
    """Whether there is a score; videos of high dynamic range have no VMAF."""
    return quality is not None and (quality.vmaf is not None or quality.psnr_decibels is not None)


def unscored(run: Run) -> Iterator[tuple[int, int]]:
    """Places of the outputs that lie on disk without a score: index of the scenario, index of the output."""
    for index, scenario in enumerate(run.scenarios):
        for place, output in enumerate(scenario.outputs):
            if scenario.status == "ok" and not is_scored(output.quality) and _file(output) is not None:
                yield index, place


def with_quality(run: Run, index: int, place: int, quality: Quality, *, keep_path: bool) -> Run:
    """``run`` with the quality of one output, and without its path where the file is not kept."""
    scenario = run.scenarios[index]
    outputs = list(scenario.outputs)
    output = outputs[place]
    outputs[place] = replace(output, quality=quality, path=output.path if keep_path else None)
    scenarios = list(run.scenarios)
    scenarios[index] = _pooled(replace(scenario, outputs=outputs))
    return replace(run, scenarios=tuple(scenarios))


def _file(output: Output) -> Path | None:
    path = None if output.path is None else Path(output.path)
    return path if path is not None and path.is_file() else None


class Scorer:
    """Scores outputs one by one; a reference that was drawn for it is deleted by `close`."""

    def __init__(self, ffmpeg: Path, folder: Path, *, codec_comparison: bool) -> None:
        self._ffmpeg = ffmpeg
        self._folder = folder
        self._codec_comparison = codec_comparison
        self._drawn: dict[tuple[str, str], int] = {}

    def quality(self, scenario: Scenario, output: Output, progress: Callable[[int, int], None]) -> Quality:
        """The quality of one output, or the reason why it can have none.

        Raises
        ------
        FfmpegError
            ffmpeg failed or was ended: another time may go better.
        """
        path, source = _file(output), scenario.input
        if path is None or source is None:
            reason = f"{scenario.name}: the encode or its input is unknown"
            return Quality(reason=reason, distorted=output.path)
        filters = scenario.filters.replace(" ", "").split(",") if scenario.filters is not None else []
        names = {text: text.partition("=")[0] for text in filters}
        if cut := [text for text in filters if names[text] in _CUTTING]:
            reason = f"{', '.join(cut)} leaves another part of the picture than the reference shows"
            return Quality(reason=reason, distorted=output.path)
        shared = [text for text in filters if names[text] in REFERENCE_FILTERS]
        try:
            reference, loops = self._reference(source, output, path)
            quality = quality_of.compute_quality(
                reference,
                path,
                ffmpeg=str(self._ffmpeg),
                codec_comparison=self._codec_comparison,
                reference_loops=loops,
                reference_filter=",".join(shared) or None,
                progress=progress,
            )
        except MediaError as exc:
            return Quality(reason=str(exc), distorted=output.path)
        others = [text for text in filters if text not in shared]
        note = f"compared with the input before {', '.join(others)}"
        return replace(quality, notes=[*quality.notes, note]) if others else quality

    def _reference(self, source: InputMedia, output: Output, distorted: Path) -> tuple[str, int]:
        """The reference and how often it is repeated, exactly as the encode read it."""
        if source.path is not None:
            return source.path, source.loops or 0
        return str(self._draw(source, output, distorted)), 0

    def _draw(self, source: InputMedia, output: Output, distorted: Path) -> Path:
        """As many frames of a lavfi source as were encoded, lossless, in the format that was encoded."""
        from advisor.quality.probe import probe

        media = probe(distorted)
        samples = "gray" if media.chroma == "400" else f"yuv{media.chroma}p"
        pixels = samples + ("" if media.depth == 8 else f"{media.depth}le")
        path = self._folder / f"{_DRAWN}{pixels}.mkv"
        frames = _frames_read(source, output, media.frames)
        if self._drawn.get((source.name or "", pixels), 0) < frames:
            self._drawn = {key: drawn for key, drawn in self._drawn.items() if key[1] != pixels}
            self._encode_lossless(source.name or "", frames, pixels, path)
            self._drawn[(source.name or "", pixels)] = frames
        return path

    def _encode_lossless(self, source: str, frames: int, pixels: str, path: Path) -> None:
        pictures = ["-f", "lavfi", "-i", source.removeprefix(LAVFI), "-frames:v", str(frames)]
        lossless = ["-pix_fmt", pixels, "-c:v", "ffv1", "-level", "3", "-slices", "4"]
        done = subprocess.run(
            [self._ffmpeg, "-nostdin", "-v", "error", "-y", *pictures, *lossless, file_url(path)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if done.returncode:
            last_line = done.stderr.strip().splitlines()[-1:] or ["no message"]
            raise FfmpegError(f"the reference could not be drawn: {last_line[0]}")

    def close(self) -> None:
        """Delete what was drawn."""
        for path in self._folder.glob(f"{_DRAWN}*.mkv"):
            path.unlink(missing_ok=True)


def _frames_read(source: InputMedia, output: Output, frames: int) -> int:
    """Frames of the source behind so many of an output, some more where the rate was changed."""
    if source.fps is None or output.fps is None or source.fps == output.fps:
        return frames
    return math.ceil(frames / output.fps * source.fps) + 2


def _pooled(scenario: Scenario) -> Scenario:
    """The scenario's own scores: means over its outputs, once all of them have one."""
    qualities = [output.quality for output in scenario.outputs]
    vmaf = [q.vmaf.mean for q in qualities if q is not None and q.vmaf is not None]
    psnr = [q.psnr_decibels.average for q in qualities if q is not None and q.psnr_decibels is not None]
    ssim = [q.ssim_ratio.all for q in qualities if q is not None and q.ssim_ratio is not None]
    return replace(
        scenario,
        vmaf_score=sum(vmaf) / len(vmaf) if len(vmaf) == len(qualities) else None,
        psnr_score=sum(psnr) / len(psnr) if len(psnr) == len(qualities) else None,
        ssim_score=sum(ssim) / len(ssim) if len(ssim) == len(qualities) else None,
    )
