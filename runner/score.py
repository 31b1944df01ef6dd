"""Quality of what a run encoded, after all its measuring windows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from advisor.common.death_notice import death_notice
from advisor.errors import FfmpegError, InputError, WattframeError
from advisor.quality.settings import QualitySettings, shared_filters
from advisor.results import InputMedia, Output, Quality, Run, Scenario
from advisor.video.ffmpeg import file_url, run
from runner.source import LAVFI

if TYPE_CHECKING:
    from advisor.quality.outcome import Measurement

_DRAWN = "reference_"


def is_scored(quality: Quality | None) -> bool:
    """Whether there is a score; videos of high dynamic range have no VMAF."""
    return quality is not None and (quality.vmaf is not None or quality.psnr_decibels is not None)


def unscored(run: Run) -> Iterator[tuple[int, int]]:
    """Places of the outputs that lie on disk without a score: index of the scenario, index of the output."""
    for index, scenario in enumerate(run.scenarios):
        for place, output in enumerate(scenario.outputs):
            lies_there = output.path is not None and Path(output.path).is_file()
            if scenario.status == "ok" and not is_scored(output.quality) and lies_there:
                yield index, place


def with_quality(run: Run, index: int, place: int, quality: Quality, *, keep_path: bool) -> Run:
    """``run`` with the quality of one output, and without its path where the file is not kept."""
    scenarios, outputs = list(run.scenarios), list(run.scenarios[index].outputs)
    path = outputs[place].path if keep_path else None
    outputs[place] = replace(outputs[place], quality=quality, path=path)
    scenarios[index] = _pooled(replace(scenarios[index], outputs=outputs))
    return replace(run, scenarios=tuple(scenarios))


class Scorer:
    """Scores the outputs of a scenario in one pass; `close` deletes a reference that was drawn for it."""

    def __init__(self, ffmpeg: Path, folder: Path, settings: QualitySettings) -> None:
        self._ffmpeg = ffmpeg
        self._folder = folder
        self._settings = settings
        self._drawn: dict[tuple[str, str], int] = {}

    def qualities(
        self, scenario: Scenario, outputs: Sequence[Output], progress: Callable[[int, int], None]
    ) -> list[Quality | FfmpegError]:
        """The quality of each of ``outputs``, or the reason why it can have none.

        An error of ffmpeg's stands for an output that may be scored another time.
        """
        from advisor.quality.measure import measure_all  # brings numpy and PyAV

        shared, others = shared_filters(scenario.filters)
        notes = [f"compared with the input before {', '.join(others)}"] if others else []
        paths = [output.path or "" for output in outputs]
        try:
            reference, loops = self._reference(scenario, outputs)
            settings = replace(self._settings, reference_loops=loops, reference_filter=shared)
            outcomes = measure_all(reference, paths, settings, ffmpeg=str(self._ffmpeg), progress=progress)
        except (InputError, FfmpegError) as exc:
            return [_answer(exc, path, notes) for path in paths]
        for one, path in zip(outcomes, paths, strict=True):
            if not isinstance(one, WattframeError):
                self._look_at(one, path)
        return [_answer(one, path, notes) for one, path in zip(outcomes, paths, strict=True)]

    def _look_at(self, measured: Measurement, path: str) -> None:
        """What a kind of scorer wants of the encode at ``path`` beside its quality."""

    def _reference(self, scenario: Scenario, outputs: Sequence[Output]) -> tuple[str, int]:
        """The reference and how often it is repeated, exactly as the encode read it."""
        source = scenario.input
        if source is None:
            raise InputError("its input is unknown", subject=scenario.name)
        if source.path is not None:
            return source.path, source.loops or 0
        return str(self._draw(source, outputs)), 0

    def _draw(self, source: InputMedia, outputs: Sequence[Output]) -> Path:
        """As many frames of a lavfi source as were encoded, lossless, in the format that was encoded."""
        from advisor.quality.probe import probe

        encodes = [(output, probe(output.path or "")) for output in outputs]
        media = encodes[0][1]
        samples = "gray" if media.chroma == "400" else f"yuv{media.chroma}p"
        pixels = samples + ("" if media.depth == 8 else f"{media.depth}le")
        path = self._folder / f"{_DRAWN}{pixels}.mkv"
        frames = max(_frames_read(source, output, encode.frames) for output, encode in encodes)
        if self._drawn.get((source.name or "", pixels), 0) < frames:
            self._drawn = {key: drawn for key, drawn in self._drawn.items() if key[1] != pixels}
            self._encode_lossless(source.name or "", frames, pixels, path)
            self._drawn[(source.name or "", pixels)] = frames
        return path

    def _encode_lossless(self, source: str, frames: int, pixels: str, path: Path) -> None:
        pictures = ["-f", "lavfi", "-i", source.removeprefix(LAVFI), "-frames:v", str(frames)]
        lossless = ["-pix_fmt", pixels, "-c:v", "ffv1", "-level", "3", "-slices", "4"]
        call = ["-nostdin", "-v", "error", "-y", *pictures, *lossless, file_url(path)]
        try:
            run(self._ffmpeg, call, before=death_notice())
        except FfmpegError as exc:
            raise FfmpegError(f"the reference could not be generated: {exc}") from exc

    def close(self) -> None:
        """Delete what was drawn."""
        for path in self._folder.glob(f"{_DRAWN}*.mkv"):
            path.unlink(missing_ok=True)


def _answer(outcome: Measurement | WattframeError, path: str, notes: Sequence[str]) -> Quality | FfmpegError:
    if isinstance(outcome, FfmpegError):
        return outcome
    if isinstance(outcome, WattframeError):
        return Quality(reason=str(outcome), distorted=path)
    return replace(outcome.quality, notes=[*outcome.quality.notes, *notes])


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
