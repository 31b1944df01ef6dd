"""Three public sets of measured encodes as scenarios. None of them is part of this project."""

from __future__ import annotations

import collections
import csv
import datetime
import json
import lzma
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from advisor.results import EncodeStats, InputMedia, Output, Power, Scenario

# how mendevi's words for effort were given to the encoders (its encoder.py)
PRESETS = {"libsvtav1": {"slow": "4", "medium": "6", "fast": "8"}}
WORST_CRF = {"libx264": 51, "libx265": 51, "libsvtav1": 63}
LEAST_SECONDS = 5.0
"""Of video: shorter clips vary by a quarter and more between repeats."""
UGC_SECONDS = 20.0
"""Every video of that set is a cut of 20 s."""
LEAST_UGC_WATTS = 35.0
"""An idle machine's: encodes below spent their time waiting (times and joules contradict each other)."""


class Row(msgspec.Struct, frozen=True):
    """One scenario with what the test needs to know besides."""

    machine: str
    video: str
    scenario: Scenario
    psnr: float | None


def read(path: Path, *, with_content: bool = False) -> list[Row]:
    """The rows of ``duration.json.xz``, ``x264_vs_openh264.json.xz`` or ``ugc_x265_rapl.csv``.

    ``with_content`` adds the bits per pixel that one fast encode of each video took, as a probe of its
    content would tell.
    """
    rows = list(_ugc(path) if path.suffix == ".csv" else _mendevi(path))
    return _with_probe(rows) if with_content else rows


def _mendevi(path: Path) -> Iterator[Row]:
    """One row a record and machine; repeats inside a record are averaged."""
    records = json.loads(lzma.decompress(path.read_bytes()))
    records = [r for r in records if r.get("encoder") and r.get("encode_power")]
    asked: dict[tuple[Any, ...], list[float]] = collections.defaultdict(list)
    for r in records:
        if r["mode"] == "cbr":
            asked[r["encoder"], r["quality"], r["height"]].append(r["bitrate"])
    for index, r in enumerate(records):
        if r["video_duration"] >= LEAST_SECONDS:
            rates = asked.get((r["encoder"], r["quality"], r["height"]))
            for machine, powers in r["encode_power"].items():
                yield _mendevi_row(index, r, machine, powers, statistics.median(rates) if rates else None)


def _mendevi_row(
    index: int, r: Mapping[str, Any], machine: str, powers: Sequence[float], rate: float | None
) -> Row:
    video = r.get("name") or r["ref_name"]
    times = r["encode_duration"][machine]
    constant_rate = r["mode"] == "cbr" and rate is not None
    return Row(
        machine.partition(".")[0],
        video,
        _scenario(
            name=f"{video} {index}",
            encoder=r["encoder"],
            preset=PRESETS.get(r["encoder"], {}).get(r["effort"], r["effort"]),
            bitrate=f"{rate / 1000:.0f}k" if constant_rate and rate else None,
            crf=None if constant_rate else r["quality"] * WORST_CRF.get(r["encoder"], 51),
            resolution=f"{r['width']}x{r['height']}",
            threads=r["threads"],
            video=video,
            video_seconds=r["video_duration"],
            wall_seconds=statistics.fmean(times),
            watts=statistics.fmean(powers),
            joules=statistics.fmean(p * t for p, t in zip(powers, times, strict=True)),
            kbps=r["bitrate"] / 1000,
        ),
        r.get("psnr"),
    )


def _ugc(path: Path) -> Iterator[Row]:
    """One row an encode; a video and its smaller copies are one video."""
    with path.open(encoding="utf-8") as file:
        for index, r in enumerate(csv.DictReader(file)):
            began, ended = (
                datetime.datetime.fromisoformat(r[f"{end}_time_encode"]) for end in ("start", "end")
            )
            seconds = (ended - began).total_seconds() / int(r["duplicate_count"])
            joules = float(r["target_encode_energy"])
            if joules / seconds < LEAST_UGC_WATTS:
                continue
            video = r["vid"].partition("_downsample")[0]
            scenario = _scenario(
                name=f"{r['vid']} {index}",
                encoder="libx265",
                preset="medium",
                crf=float(r["QP"]),
                resolution=f"{r['width']}x{r['height']}",
                fps=float(r["framerate"]),
                video=video,
                video_seconds=UGC_SECONDS,
                wall_seconds=seconds,
                watts=joules / seconds,
                joules=joules,
                kbps=float(r["bitrate_encoded (kb/s)"]),
            )
            yield Row("ugc", video, scenario, float(r["PSNR"]))


def _scenario(
    *,
    video: str,
    video_seconds: float,
    wall_seconds: float,
    watts: float,
    joules: float,
    kbps: float,
    resolution: str,
    **settings: Any,
) -> Scenario:
    size_bytes = round(kbps * 125 * video_seconds)
    return Scenario(
        resolution=resolution,
        duration=wall_seconds,
        input=InputMedia(name=video, duration=video_seconds),
        outputs=[Output(resolution=resolution, duration=video_seconds, size_bytes=size_bytes)],
        encode=EncodeStats(speed=video_seconds / wall_seconds),
        power=Power(mean_watts=watts, total_energy_joules=joules, tier="measured", source="published"),
        **settings,
    )


def _with_probe(rows: Sequence[Row]) -> list[Row]:
    """Bits per pixel and second of the fastest encode of each video at middling constant quality, in its own
    smallest size: what the runner measures of a video before it encodes it, as near as the sets come to it.
    """
    probes: dict[str, tuple[tuple[Any, ...], float]] = {}
    for row in rows:
        s = row.scenario
        if s.crf is None:
            continue
        width, height = map(int, (s.resolution or "1x1").split("x"))
        order = (
            width * height,
            s.encoder != "libx264",
            s.preset not in ("fast", None),
            abs(s.crf - 30),
            s.name,
        )
        bits = 8 * (s.outputs[0].size_bytes or 0) / (width * height * (s.outputs[0].duration or 1.0))
        if row.video not in probes or order < probes[row.video][0]:
            probes[row.video] = (order, bits)
    return [
        msgspec.structs.replace(
            row,
            scenario=msgspec.structs.replace(
                row.scenario, content={"probe_bits_per_pixel": probes[row.video][1]}
            ),
        )
        if row.video in probes
        else row
        for row in rows
    ]
