"""Rows of frames and worst scenes, by scores that are written down."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from advisor.quality.frames import Frame, frames_as_csv, frames_as_json, worst_scenes


def frame(number: int, vmaf: float | None = 90.0, **changes: Any) -> Frame:
    scores = {"psnr_decibels": 40.0, "psnr_y_decibels": 39.0, "ssim_ratio": 0.9, "ssim_y_ratio": 0.8}
    return Frame(
        number=number, time_seconds=number / 25, reference_number=number, vmaf=vmaf, **scores | changes
    )


def scene(begin: int, frames: int, vmaf: float) -> list[Frame]:
    return [frame(n, vmaf, begins_scene=n == begin) for n in range(begin, begin + frames)]


def test_scenes_are_listed_from_the_worst_on_with_their_times() -> None:
    scenes = worst_scenes([*scene(0, 50, 80.0), *scene(50, 25, 40.0), *scene(75, 100, 60.0)])
    assert [(s.begin_seconds, s.frames, s.vmaf) for s in scenes] == [
        (2.0, 25, 40.0),
        (3.0, 100, 60.0),
        (0.0, 50, 80.0),
    ]


def test_a_flash_is_no_scene_and_a_long_one_is_cut_after_ten_seconds() -> None:
    flash = [*scene(0, 50, 80.0), *scene(50, 5, 10.0), *scene(55, 45, 80.0)]
    assert [s.frames for s in worst_scenes(flash)] == [50, 50]
    assert sorted(s.frames for s in worst_scenes(scene(0, 600, 80.0))) == [100, 250, 250]


def test_without_vmaf_the_psnr_decides() -> None:
    frames = [
        frame(n, None, psnr_decibels=30.0 if n < 50 else 20.0, begins_scene=n == 50) for n in range(100)
    ]
    assert [s.psnr_decibels for s in worst_scenes(frames)] == [20.0, 30.0]


def test_a_table_has_one_row_a_frame_and_a_column_a_model() -> None:
    outputs = [("a.mp4", [frame(0, vmaf_extra={"neg": 80.0}), frame(1, None)]), ("b.mp4", [frame(0)])]
    rows = list(csv.DictReader(io.StringIO(frames_as_csv(outputs))))
    assert [(r["distorted"], r["number"], r["vmaf"], r["neg"]) for r in rows] == [
        ("a.mp4", "0", "90.0", "80.0"),
        ("a.mp4", "1", "", ""),
        ("b.mp4", "0", "90.0", ""),
    ]
    assert rows[1]["time_seconds"] == "0.04"


def test_a_document_has_frames_and_scenes_by_output() -> None:
    (document,) = json.loads(frames_as_json([("a.mp4", scene(0, 50, 80.0))]))
    assert document["distorted"] == "a.mp4"
    assert len(document["frames"]) == 50
    assert document["worst_scenes"][0]["vmaf"] == 80.0
