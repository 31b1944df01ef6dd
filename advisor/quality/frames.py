"""Scores frame by frame: rows for a file, and the scenes that came out worst."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import asdict

from advisor.quality.logs import Logs
from advisor.quality.pairing import Pairing
from advisor.quality.pictures import errors
from advisor.quality.tracks import Track

_CUT = 500.0
"""A mean squared error between thumbnails that follow each other from which a new scene begins."""
_SHORTEST_SECONDS = 0.5
_LONGEST_SECONDS = 10.0


class Frame(Struct, frozen=True, kw_only=True):
    """One compared frame; None is not scored."""

    number: int
    """In the output, from 0."""
    time_seconds: float
    """Since the output's first frame."""
    reference_number: int
    vmaf: float | None
    psnr_decibels: float
    psnr_y_decibels: float
    ssim_ratio: float
    ssim_y_ratio: float
    xpsnr_y_decibels: float | None = None
    ms_ssim: float | None = None
    vif: float | None = None
    cambi: float | None = None
    vmaf_extra: dict[str, float | None] = {}
    """By further models."""
    begins_scene: bool = False
    """The reference's picture has little in common with the one before."""


class Scene(Struct, frozen=True, kw_only=True):
    """Frames that follow each other, and their mean VMAF (PSNR where there is no VMAF)."""

    begin_seconds: float
    end_seconds: float
    first_frame: int
    frames: int
    vmaf: float | None
    vmaf_min: float | None
    psnr_decibels: float


def frame_rows(
    pairing: Pairing,
    reference: Track,
    output: Track,
    logs: Logs,
    models: Sequence[str],
    cap_decibels: float,
) -> tuple[Frame, ...]:
    """A row for each compared frame; an identical frame has a PSNR of ``cap_decibels``."""
    numbers = range(pairing.first, pairing.first + len(pairing.partners))
    shown = reference.pictures[pairing.partners]
    changes = np.concatenate([[np.inf], errors(shown[:-1], shown[1:])])
    start = float(output.times[0])
    return tuple(
        Frame(
            number=number,
            time_seconds=round(float(output.times[number]) - start, 6),
            reference_number=int(pairing.partners[n]),
            vmaf=logs.vmaf[0][n] if logs.vmaf else None,
            psnr_decibels=min(logs.psnr_decibels[n], cap_decibels),
            psnr_y_decibels=min(logs.psnr_y_decibels[n], cap_decibels),
            ssim_ratio=logs.ssim_ratio[n],
            ssim_y_ratio=logs.ssim_y_ratio[n],
            xpsnr_y_decibels=min(logs.xpsnr_y_decibels[n], cap_decibels) if logs.xpsnr_y_decibels else None,
            **{name: values[n] for name, values in logs.features.items()},
            vmaf_extra={model: logs.vmaf[k][n] for k, model in enumerate(models) if k},
            begins_scene=bool(changes[n] > _CUT),
        )
        for n, number in enumerate(numbers)
    )


def worst_scenes(frames: Sequence[Frame], most: int = 5) -> list[Scene]:
    """The scenes with the lowest mean VMAF, the worst first.

    A scene lasts from one cut of the reference to the next, half a second at least and ten at most.
    """
    scenes = [_scene(part) for part in _parts(frames) if part]
    scenes.sort(key=lambda scene: scene.psnr_decibels if scene.vmaf is None else scene.vmaf)
    return scenes[:most]


def _parts(frames: Sequence[Frame]) -> Iterator[Sequence[Frame]]:
    begin = 0
    for place, frame in enumerate(frames):
        seconds = frame.time_seconds - frames[begin].time_seconds
        left = frames[-1].time_seconds - frame.time_seconds
        if (
            place
            and (frame.begins_scene or seconds >= _LONGEST_SECONDS)
            and min(seconds, left) > _SHORTEST_SECONDS
        ):
            yield frames[begin:place]
            begin = place
    yield frames[begin:]


def _scene(part: Sequence[Frame]) -> Scene:
    scores = [frame.vmaf for frame in part if frame.vmaf is not None]
    decibels = [frame.psnr_decibels for frame in part]
    return Scene(
        begin_seconds=part[0].time_seconds,
        end_seconds=part[-1].time_seconds,
        first_frame=part[0].number,
        frames=len(part),
        vmaf=sum(scores) / len(scores) if scores else None,
        vmaf_min=min(scores) if scores else None,
        psnr_decibels=sum(decibels) / len(decibels),
    )


def frames_as_csv(outputs: Sequence[tuple[str, Sequence[Frame]]]) -> str:
    """One row a frame of every output; empty cells for what was not computed."""
    models = list(dict.fromkeys(m for _, frames in outputs for f in frames[:1] for m in f.vmaf_extra))
    names = [field for field in Frame.__struct_fields__ if field != "vmaf_extra"]
    text = io.StringIO()
    columns = ["distorted", *names, *models]
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for name, frames in outputs:
        for frame in frames:
            row = asdict(frame) | frame.vmaf_extra | {"begins_scene": int(frame.begins_scene)}
            writer.writerow(row | {"distorted": name})
    return text.getvalue()


def frames_as_json(outputs: Sequence[tuple[str, Sequence[Frame]]]) -> bytes:
    """A list with one object an output: its frames and its worst scenes."""
    documents = [
        {"distorted": name, "worst_scenes": worst_scenes(frames), "frames": frames}
        for name, frames in outputs
    ]
    return msgspec.json.format(msgspec.json.encode(documents))
