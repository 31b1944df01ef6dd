"""The encoder table against the ffmpeg at hand."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from advisor.video.encoders import ENCODERS
from advisor.video.ffmpeg import capabilities
from runner.command import commands
from runner.jobs import resolve
from runner.spec import Spec

SOFTWARE = [encoder for encoder in ENCODERS.values() if encoder.kind == "cpu"]


@pytest.mark.ffmpeg
@pytest.mark.parametrize("live", [False, True], ids=["offline", "live"])
@pytest.mark.parametrize("encoder", SOFTWARE, ids=lambda encoder: encoder.name)
def test_ffmpeg_takes_the_fastest_preset_with_a_bitrate_and_with_a_quality(
    encoder: object, live: bool, ffmpeg: Path, tmp_path: Path
) -> None:
    """Each encoder's words for preset, rate, quality and threads make a file of the frames asked for."""
    name, fastest = encoder.name, encoder.presets[0]  # type: ignore[attr-defined]
    if name not in capabilities(ffmpeg).encoders:
        pytest.skip(f"this ffmpeg has no {name}")
    rate = {"bitrate": "300k"} if live else {"crf": 40}
    spec = Spec(encoder=name, preset=fastest, threads=2, realtime=live, **rate)  # type: ignore[arg-type]
    job = resolve(spec, input_path="lavfi:testsrc2=s=160x128:r=50", duration_seconds=9, media_seconds=0.2)
    command = commands(job, ffmpeg=ffmpeg, folder=tmp_path)[0]
    done = subprocess.run(command.arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "frame=10\n" in done.stdout


@pytest.mark.ffmpeg
@pytest.mark.parametrize("encoder", SOFTWARE, ids=lambda encoder: encoder.name)
def test_ffmpeg_knows_both_ends_of_the_preset_scale(encoder: object, ffmpeg: Path) -> None:
    """The slowest preset opens the encoder too; one frame is enough to see."""
    name, slowest = encoder.name, encoder.presets[-1]  # type: ignore[attr-defined]
    if name not in capabilities(ffmpeg).encoders:
        pytest.skip(f"this ffmpeg has no {name}")
    words = [part.replace("{}", slowest) for part in encoder.preset]  # type: ignore[attr-defined]
    source = ["-f", "lavfi", "-i", "testsrc2=s=128x96:r=25:d=0.04"]
    done = subprocess.run(
        [ffmpeg, "-v", "error", *source, "-c:v", name, *words, "-f", "null", "-"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
