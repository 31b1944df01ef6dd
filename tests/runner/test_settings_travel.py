"""A setting of a scenario reaches everything that needs it; a new one is asked for, place by place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from advisor.advice.from_results import family_of
from advisor.regression.features import case
from advisor.results import Run, Scenario
from advisor.results.derived import settings_of
from advisor.results.frames import rows_of
from runner.arguments import flags
from runner.command import commands
from runner.describe import scenario_record
from runner.jobs import Job, resolve
from runner.spec import Spec

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "runner.md").read_text()
# the encoder has two passes, and nothing else of it counts here
USUAL: dict[str, Any] = {"encoder": "libx264", "bitrate": "1000k", "resolution": "640x360"}
VALUES: dict[str, dict[str, Any]] = {
    "encoder": {"encoder": "libx265"},
    "preset": {"preset": "veryfast"},
    "bitrate": {"bitrate": "900k"},
    "crf": {"crf": 30, "bitrate": None},
    "resolution": {"resolution": "320x180"},
    "fps": {"fps": 25},
    "filters": {"filters": "yadif"},
    "pixel_format": {"pixel_format": "yuv420p10le"},
    "encoder_options": {"encoder_options": {"tune": "film"}},
    "passes": {"passes": 2},
    "audio": {"audio": "aac"},
    "audio_bitrate": {"audio": "aac", "audio_bitrate": "96k"},
    "hardware_decoding": {"hardware_decoding": "vaapi"},
    "threads": {"threads": 2},
    "realtime": {"realtime": True},
}
"""A scenario that is another one by this field alone."""
NOT_OF_THE_ENCODE = {
    *("name", "type", "streams", "bitrates", "ladder"),  # what to call it, how many of them
    *("input", "duration", "media_duration", "rtmp", "sink", "viewers"),  # from where, how long, to whom
}
UNPREDICTED = {"audio", "audio_bitrate"}
"""Hardly anything beside a video."""
IN_NO_FAMILY = {"bitrate", "crf"}
"""A family is compared over these."""


def job_of(**fields: Any) -> Job:
    spec = Spec(**(USUAL | fields))
    return resolve(spec, input_path="a.mp4", duration_seconds=60.0, media_seconds=None)


def arguments(job: Job) -> tuple[str, ...]:
    (command,) = commands(job, ffmpeg=Path("ffmpeg"), folder=Path(), source=None)
    return command.arguments


def record(job: Job) -> Scenario:
    """What the result file says, without its name and the command."""
    planned = commands(job, ffmpeg=Path("ffmpeg"), folder=Path(), source=None)
    return replace(scenario_record(job, planned, None), name="", command=None)


def run_of(scenario: Scenario) -> Run:
    return Run(run_id="test_results_20260301_120000", scenarios=(scenario,))


def lacking(field: str) -> Iterator[str]:
    """Where a field of `Spec` is lost, with the place that has to hand it on."""
    usual, other = job_of(**({"audio": "aac"} if field == "audio_bitrate" else {})), job_of(**VALUES[field])
    before, after = record(usual), record(other)
    flag = "--" + field.replace("_", "-").removesuffix("s" if field == "encoder_options" else "")
    if flag not in flags():
        yield f"runner/arguments.py: a flag {flag}"
    if f"`{field}`" not in PAGE:
        yield f"docs/runner.md: the field `{field}`"
    if replace(usual, name="") == replace(other, name=""):
        yield f"runner/jobs.py: {field} in Job and resolve"
    if usual.name == other.name:
        yield f"runner/jobs.py: {field} in the name of a scenario that has none of its own"
    if arguments(usual) == arguments(other):
        yield f"runner/command.py: ffmpeg's options for {field}"
    if before == after:
        yield f"runner/describe.py: {field} in the record, a field of Scenario in advisor/results/records.py"
    if settings_of(before) == settings_of(after):
        yield f"advisor/results/derived.py: {field} in settings_of, or other scenarios are taken for repeats"
    if rows_of([run_of(before)]) == rows_of([run_of(after)]):
        yield f"advisor/results/frames.py: a column {field}"
    if field not in UNPREDICTED and case(before, run_of(before)) == case(after, run_of(after)):
        yield f"advisor/regression/features.py: {field}, as a number or in the encoder's name"
    if field not in IN_NO_FAMILY and family_of(before) == family_of(after):
        yield f"advisor/advice/from_results.py: {field} in family_of"


@pytest.mark.parametrize("field", Spec.__struct_fields__)
def test_a_setting_is_lost_nowhere(field: str) -> None:
    if field in NOT_OF_THE_ENCODE:
        return
    assert field in VALUES, f"{Path(__file__).name}: a value for {field} in VALUES, or NOT_OF_THE_ENCODE"
    places = list(lacking(field))
    assert not places, "\n".join(["", *places])


def test_what_loses_a_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check can fail: a record without the pixel format, as one forgets to write it."""
    forgetful = replace(record(job_of(**VALUES["pixel_format"])), pixel_format=None)
    monkeypatch.setitem(globals(), "record", lambda job: forgetful)
    assert {place.partition(":")[0] for place in lacking("pixel_format")} == {
        *("runner/describe.py", "advisor/results/derived.py", "advisor/results/frames.py"),
        *("advisor/regression/features.py", "advisor/advice/from_results.py"),
    }
