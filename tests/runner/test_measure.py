"""One scenario from job to result, with a real ffmpeg and a meter of known power."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from advisor.results import InputMedia, Run, Scenario, parse_run, write_run
from advisor.video.ffmpeg import capabilities
from runner.jobs import baseline, resolve
from runner.measure import Laboratory, Progress, RunSettings, measure
from runner.preflight import look_at_inputs
from runner.source import Source
from runner.spec import RungSpec, Spec
from tests.support.meters import ConstantMeter

pytestmark = pytest.mark.ffmpeg


@pytest.fixture
def laboratory(ffmpeg: Path, tmp_path: Path) -> Laboratory:
    return Laboratory(
        settings=RunSettings(ffmpeg=ffmpeg, capabilities=capabilities(ffmpeg), interval_seconds=0.1),
        meter=ConstantMeter(50.0),
        folder=tmp_path,
        stopping=lambda: False,
        notice=lambda progress: None,
    )


@pytest.fixture
def run_one(laboratory: Laboratory, clip: Path) -> Callable[..., Scenario]:
    def run_one(idle: float | None = None, laboratory: Laboratory = laboratory, **fields: Any) -> Scenario:
        duration, media = fields.pop("duration", 60), fields.pop("media", None)
        spec = Spec(**({"name": "s", "preset": "ultrafast", "input": str(clip)} | fields))
        job = resolve(spec, input_path=None, duration_seconds=duration, media_seconds=media)
        sources = look_at_inputs([job], laboratory.settings.ffmpeg)
        return measure(job, laboratory, sources.get(job.input or ""), idle)

    return run_one


def test_a_finished_scenario_says_all_that_it_knows(run_one: Callable[..., Scenario], tmp_path: Path) -> None:
    """4 s of 25 frames a second are 100 frames; 50 W for as long as it took, 10 W of them idle."""
    s = run_one(idle=10.0, bitrate="300k", resolution="160x90", media=4, threads=1)
    assert (s.status, s.error, s.type, s.streams) == ("ok", None, "single", 1)
    assert (s.encoder, s.preset, s.bitrate, s.resolution, s.fps) == (
        *("libx264", "ultrafast", "300k", "160x90", 25.0),
    )
    assert s.input is not None
    assert (s.input.name, s.input.width, s.input.height, s.input.fps, s.input.frames, s.input.loops) == (
        *("clip.mp4", 320, 180, 25.0, 40, -1),
    )
    (output,) = s.outputs
    assert (output.frames, output.duration, output.resolution) == (100, pytest.approx(4.0), "160x90")
    assert output.size_bytes == (tmp_path / "s_1.mp4").stat().st_size
    assert s.power is not None
    assert s.duration is not None
    assert s.power.mean_watts == pytest.approx(50.0)
    assert s.power.total_energy_joules == pytest.approx(50.0 * s.duration)
    assert s.power.net_energy_joules == pytest.approx(40.0 * s.duration)
    assert s.encode is not None
    assert (s.encode.frames, s.encode.dropped_frames) == (100, 0)
    assert s.encode.fps == pytest.approx(100 / s.duration)
    assert s.encode.speed == pytest.approx(4.0 / s.duration)
    assert s.cpu_seconds is not None
    assert s.cpu_seconds > 0


def test_what_is_written_is_read_back_the_same(run_one: Callable[..., Scenario], tmp_path: Path) -> None:
    scenario = run_one(bitrate="300k", media=1)
    write_run(Run(run_id="r", scenarios=(scenario,)), tmp_path / "r.json")
    back = parse_run((tmp_path / "r.json").read_bytes(), run_id="r")
    assert (back.scenarios, back.refused) == ((scenario,), ())


def test_the_wall_clock_bounds_an_endless_input(run_one: Callable[..., Scenario]) -> None:
    """Live, so that the machine's speed does not matter: a second of wall time is about 25 frames."""
    s = run_one(bitrate="300k", realtime=True, duration=1.0)
    assert s.status == "ok"
    assert s.duration is not None
    assert s.duration >= 1.0
    assert s.outputs[0].frames is not None
    assert 20 <= s.outputs[0].frames <= 25 * (s.duration + 1)
    assert "too_short" in s.validity


def test_a_ladder_lists_every_rung(run_one: Callable[..., Scenario]) -> None:
    rungs = [RungSpec(resolution="160x90", bitrate="200k"), RungSpec(resolution="64x36", bitrate="50k")]
    s = run_one(ladder=rungs, media=2)
    assert (s.bitrate, s.resolution, s.streams, s.type) == ("200k,50k", "160x90", 1, "single")
    assert [(o.resolution, o.bitrate, o.frames) for o in s.outputs] == [
        ("160x90", "200k", 50),
        ("64x36", "50k", 50),
    ]
    assert all(o.size_bytes for o in s.outputs)


def test_streams_are_accounted_one_by_one_and_in_sum(run_one: Callable[..., Scenario]) -> None:
    s = run_one(bitrates=["200k", "100k", "50k"], media=2)
    assert (s.type, s.streams, s.bitrate) == ("multi", 3, "200k,100k,50k")
    assert [(o.bitrate, o.frames) for o in s.outputs] == [("200k", 50), ("100k", 50), ("50k", 50)]
    assert s.encode is not None
    assert s.encode.frames == 150
    assert s.duration is not None
    assert s.encode.speed == pytest.approx(2.0 / s.duration)


def test_a_new_frame_rate_counts_its_own_frames(run_one: Callable[..., Scenario]) -> None:
    """2 s at 10 frames a second."""
    s = run_one(bitrate="100k", fps=10, media=2)
    assert (s.fps, s.outputs[0].frames, s.outputs[0].duration) == (10.0, 20, pytest.approx(2.0))


def test_a_null_sink_still_counts_frames_and_bytes(run_one: Callable[..., Scenario]) -> None:
    s = run_one(bitrate="100k", sink="null", media=2)
    assert (s.outputs[0].frames, s.outputs[0].path) == (50, None)
    assert s.outputs[0].size_bytes


def test_a_lavfi_source_needs_no_file(run_one: Callable[..., Scenario]) -> None:
    s = run_one(bitrate="100k", input="lavfi:testsrc2=s=64x48:r=10", media=2)
    assert s.input == InputMedia(name="lavfi:testsrc2=s=64x48:r=10", width=64, height=48, fps=10.0, loops=0)
    assert (s.outputs[0].frames, s.resolution) == (20, "64x48")


def test_an_encode_that_fails_has_a_reason_and_no_figures(
    run_one: Callable[..., Scenario], laboratory: Laboratory
) -> None:
    nowhere = msgspec.structs.replace(laboratory, folder=laboratory.folder / "missing")
    s = run_one(bitrate="100k", media=2, laboratory=nowhere)
    assert s.status == "failed"
    assert s.error is not None
    assert "No such file or directory" in s.error
    assert (s.power, s.encode, s.outputs) == (None, None, [])


def test_one_failed_stream_ends_the_others(run_one: Callable[..., Scenario], laboratory: Laboratory) -> None:
    """The second stream's file cannot be written; the first, endless, is ended with it."""
    (laboratory.folder / "s_1_s2.mp4").mkdir()
    s = run_one(bitrate="100k", streams=2, duration=60)
    assert s.status == "failed"
    assert s.error is not None
    assert s.error.startswith("stream 2: ffmpeg ended with code")


def test_an_interrupted_scenario_is_recorded_as_aborted(
    run_one: Callable[..., Scenario], laboratory: Laboratory
) -> None:
    seen: list[Progress] = []
    watched = msgspec.structs.replace(laboratory, stopping=lambda: bool(seen), notice=seen.append)
    s = run_one(bitrate="100k", duration=60, laboratory=watched)
    assert (s.status, s.error, s.power) == ("aborted", "interrupted", None)


def _deaf(laboratory: Laboratory) -> Laboratory:
    """One whose ffmpeg is a script that never listens."""
    script = laboratory.folder / "ffmpeg"
    script.write_text("#!/bin/sh\nexec sleep 1000\n")
    script.chmod(0o755)
    settings = msgspec.structs.replace(laboratory.settings, ffmpeg=script)
    return msgspec.structs.replace(laboratory, settings=settings)


def test_ffmpeg_that_does_not_end_is_a_failure(
    run_one: Callable[..., Scenario], laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked after 0.2 s, given up on after the patience."""
    monkeypatch.setattr("runner.measure.LEAST_PATIENCE_SECONDS", 0.2)
    s = run_one(bitrate="100k", duration=0.2, laboratory=_deaf(laboratory))
    assert (s.status, s.error) == ("failed", "ffmpeg did not end within 0.4 s of being asked to")


def test_ffmpeg_that_stands_still_is_not_waited_for_a_day(
    run_one: Callable[..., Scenario], laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at a GPU that hangs, where nothing but the amount of video ends the encode."""
    monkeypatch.setattr("runner.measure.STALLED_SECONDS", 0.3)
    s = run_one(bitrate="100k", duration=86_400, media=1, laboratory=_deaf(laboratory))
    assert (s.status, s.error) == ("failed", "ffmpeg made no frame and used no CPU time for 0.3 s")


def test_a_still_picture_is_no_stall(
    run_one: Callable[..., Scenario], laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A recording of a screen that stands for 3 s, live; nothing is encoded meanwhile."""
    monkeypatch.setattr("runner.measure.STALLED_SECONDS", 0.3)
    still = tmp_path / "still.mp4"
    picture = ["-f", "lavfi", "-i", "color=s=64x64:r=1/3:d=6", "-c:v", "libx264", str(still)]
    subprocess.run([laboratory.settings.ffmpeg, "-v", "error", *picture], check=True)
    settings = msgspec.structs.replace(laboratory.settings, ffmpeg=laboratory.folder / "ffmpeg")
    settings.ffmpeg.write_text("#!/bin/sh\nsleep 1\necho frame=0\necho progress=end\n")
    settings.ffmpeg.chmod(0o755)
    waits = msgspec.structs.replace(laboratory, settings=settings)
    s = run_one(bitrate="100k", realtime=True, media=4, input=str(still), laboratory=waits)
    assert (s.status, s.error) == ("failed", "ffmpeg encoded no frame")


def test_the_key_of_a_stream_is_written_nowhere(run_one: Callable[..., Scenario]) -> None:
    """Nothing listens at port 9."""
    s = run_one(bitrate="100k", rtmp="rtmp://me:word@127.0.0.1:9/live/s3cret-key?token=t0ken")
    assert s.status == "failed"
    assert "rtmp://127.0.0.1:9/live/..." in (s.command or ())
    written = str(msgspec.to_builtins(s))
    assert [secret for secret in ("word", "s3cret", "t0ken") if secret in written] == []


def test_an_endless_encode_that_ends_by_itself_is_a_failure(
    run_one: Callable[..., Scenario], laboratory: Laboratory, ffmpeg: Path
) -> None:
    """One that reads its input only once, and says that all went well."""
    once = laboratory.folder / "ffmpeg"
    # -1 is the number of loops
    once.write_text(f'#!/bin/bash\nexec {shlex.quote(str(ffmpeg))} "${{@/#-1/0}}"\n')
    once.chmod(0o755)
    settings = msgspec.structs.replace(laboratory.settings, ffmpeg=once)
    s = run_one(bitrate="100k", laboratory=msgspec.structs.replace(laboratory, settings=settings))
    assert (s.status, s.error) == ("failed", "ffmpeg ended by itself before the time was up")


def test_an_input_damaged_in_the_middle_is_said(
    run_one: Callable[..., Scenario], clip: Path, ffmpeg: Path, tmp_path: Path
) -> None:
    """A transport stream whose pictures are overwritten in the middle decodes with errors and exit code 0."""
    stream = tmp_path / "c.ts"
    subprocess.run([ffmpeg, "-v", "error", "-i", clip, "-c", "copy", stream], check=True)
    data = bytearray(stream.read_bytes())
    middle = len(data) // 2 // 188 * 188
    for packet in range(middle, middle + 40 * 188, 188):
        data[packet + 8 : packet + 188] = b"\x5a" * 180
    stream.write_bytes(data)
    job = resolve(
        Spec(name="d", preset="ultrafast", bitrate="100k", input=str(stream)),
        input_path=None,
        duration_seconds=60,
        media_seconds=1.4,
    )
    laboratory = Laboratory(
        settings=RunSettings(ffmpeg=ffmpeg, capabilities=capabilities(ffmpeg), interval_seconds=0.1),
        meter=ConstantMeter(1.0),
        folder=tmp_path,
        stopping=lambda: False,
        notice=lambda progress: None,
    )
    assert (
        "decode_errors"
        in measure(job, laboratory, Source(media=InputMedia(name="c.ts", fps=25.0)), None).validity
    )


def test_a_baseline_is_an_idle_window(laboratory: Laboratory) -> None:
    s = measure(baseline(0.5), laboratory, None, None)
    assert (s.type, s.status, s.streams, s.encoder, s.cpu_seconds) == ("baseline", "ok", 0, None, None)
    assert s.power is not None
    assert s.power.mean_watts == pytest.approx(50.0)
    assert s.samples is not None
    assert len(s.samples.timestamps) == len(s.samples.power_watts) >= 4


def test_a_quote_and_a_newline_in_the_inputs_name(
    run_one: Callable[..., Scenario], clip: Path, tmp_path: Path
) -> None:
    odd = tmp_path / 'it\'s [a], "b": c;\nd.mp4'
    shutil.copy(clip, odd)
    s = run_one(bitrate="100k", input=str(odd), media=1)
    assert (s.status, s.outputs[0].frames) == ("ok", 25)
