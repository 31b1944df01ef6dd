"""Scores after the windows: what is scored, what stays for another time, what cannot be."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from advisor.quality.measure import Measurement
from advisor.quality.settings import QualitySettings
from advisor.results import InputMedia, Output, Psnr, Quality, Run, Scenario, Ssim, Vmaf, read_run
from advisor.video.ffmpeg import Capabilities
from runner.display import Display
from runner.score import Scorer, unscored
from runner.session import RunSettings, Session
from runner.stop import StopRequest
from tests.support.meters import ConstantMeter

GOOD = Quality(
    aligned=True,
    vmaf=Vmaf(mean=90.0),
    psnr_decibels=Psnr(average=40.0),
    ssim_ratio=Ssim(all=0.98),
)
BETTER = Quality(
    aligned=True,
    vmaf=Vmaf(mean=94.0),
    psnr_decibels=Psnr(average=42.0),
    ssim_ratio=Ssim(all=1.0),
)


class _NoGpus:
    infos = ()


@pytest.fixture
def encodes(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "r_outputs"
    folder.mkdir()
    paths = [folder / f"{n}.mp4" for n in range(2)]
    for path in paths:
        path.write_bytes(b"video")
    return paths


def _run(encodes: list[Path], **fields: Any) -> Run:
    outputs = [Output(path=str(path)) for path in encodes]
    return Run(run_id="r", scenarios=(Scenario(name="a", outputs=outputs, **fields),))


def test_only_finished_scenarios_with_files_and_no_score_are_scored(encodes: list[Path]) -> None:
    there, gone = str(encodes[0]), "/gone.mp4"
    run = Run(
        run_id="r",
        scenarios=(
            Scenario(name="failed", status="failed", outputs=[Output(path=there)]),
            Scenario(
                name="mixed",
                outputs=[
                    Output(path=gone),
                    Output(path=there, quality=GOOD),
                    Output(path=there),
                    Output(),
                ],
            ),
        ),
    )
    assert list(unscored(run)) == [(1, 2)]


def _session(tmp_path: Path, stop: StopRequest, *, keep: bool) -> Session:
    settings = RunSettings(
        ffmpeg=Path("/opt/ffmpeg"),
        capabilities=Capabilities(version="9", encoders=frozenset(), filters=frozenset()),
        keep_outputs=keep,
    )
    display = Display([60.0], quiet=True)
    return Session(tmp_path / "r.json", settings, ConstantMeter(5.0), _NoGpus(), stop, display)  # type: ignore[arg-type]


def _answers(*answers: Quality | Callable[[], Quality]) -> Callable[..., list[Measurement]]:
    """Stands in for the measurement, which has tests of its own."""
    left = iter(answers)

    def measure_all(_: str, outputs: list[str], *__: Any, **___: Any) -> list[Measurement]:
        found = [next(left) for _ in outputs]
        return [Measurement(one if isinstance(one, Quality) else one(), ()) for one in found]

    return measure_all


def test_the_scenarios_scores_are_the_means_over_its_outputs(
    tmp_path: Path, encodes: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And an encode that was only kept for its score is gone after it."""
    monkeypatch.setattr("advisor.quality.measure.measure_all", _answers(GOOD, BETTER))
    session = _session(tmp_path, StopRequest(), keep=False)
    session.run = _run(encodes, input=InputMedia(path="/clip.mp4", loops=-1))
    assert session.score(Scorer(Path("/opt/ffmpeg"), encodes[0].parent, QualitySettings())) == 0
    (scenario,) = read_run(session.path).scenarios
    assert (scenario.vmaf_score, scenario.psnr_score, scenario.ssim_score) == (92.0, 41.0, 0.99)
    assert [o.path for o in scenario.outputs] == [None, None]
    assert not any(encode.exists() for encode in encodes)


def test_one_output_without_a_score_leaves_the_scenario_without(
    tmp_path: Path, encodes: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    unaligned = Quality(aligned=False, reason="one frame late")
    monkeypatch.setattr("advisor.quality.measure.measure_all", _answers(GOOD, unaligned))
    session = _session(tmp_path, StopRequest(), keep=True)
    session.run = _run(encodes, input=InputMedia(path="/clip.mp4", loops=-1))
    assert session.score(Scorer(Path("/opt/ffmpeg"), encodes[0].parent, QualitySettings())) == 1
    (scenario,) = read_run(session.path).scenarios
    assert scenario.vmaf_score is None
    assert scenario.outputs[1].quality == unaligned
    assert all(path.exists() for path in encodes)


@pytest.mark.parametrize(
    ("filters", "shared", "note"),
    [
        ("yadif=1, hqdn3d=4:3", "yadif=1", "compared with the input before hqdn3d=4:3"),
        ("fieldmatch,decimate", "fieldmatch,decimate", None),
        ("crop=320:140:0:20, unsharp", "crop=320:140:0:20", "compared with the input before unsharp"),
        ("eq=contrast=1.1", None, "compared with the input before eq=contrast=1.1"),
    ],
)
def test_the_reference_gets_the_filters_that_keep_its_content(
    filters: str,
    shared: str | None,
    note: str | None,
    tmp_path: Path,
    encodes: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str | None] = []

    def measure_all(_: str, __: list[str], settings: QualitySettings, **___: Any) -> list[Measurement]:
        asked.append(settings.reference_filter)
        return [Measurement(GOOD, ())]

    monkeypatch.setattr("advisor.quality.measure.measure_all", measure_all)
    scenario = _run(encodes, input=InputMedia(path="/clip.mp4", loops=-1), filters=filters).scenarios[0]
    scorer = Scorer(Path("/opt/ffmpeg"), tmp_path, QualitySettings())
    (quality,) = scorer.qualities(scenario, scenario.outputs[:1], lambda done, total: None)
    assert asked == [shared]
    assert isinstance(quality, Quality)
    assert quality.notes == ([] if note is None else [note])


def test_an_interrupted_score_keeps_the_encode_for_another_time(
    tmp_path: Path, encodes: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> Quality:
        signal.raise_signal(signal.SIGINT)
        return GOOD

    monkeypatch.setattr("advisor.quality.measure.measure_all", _answers(GOOD, interrupted))
    with StopRequest() as stop:
        session = _session(tmp_path, stop, keep=False)
        runs = [_run([encode], input=InputMedia(path="/clip.mp4", loops=-1)) for encode in encodes]
        session.run = replace(runs[0], scenarios=tuple(run.scenarios[0] for run in runs))
        session.score(Scorer(Path("/opt/ffmpeg"), encodes[0].parent, QualitySettings()))
        assert stop.asked
    assert [path.exists() for path in encodes] == [False, True]
    assert list(unscored(read_run(session.path))) == [(1, 0)]


def test_an_encode_of_unknown_input_has_a_reason(tmp_path: Path, encodes: list[Path]) -> None:
    session = _session(tmp_path, StopRequest(), keep=True)
    session.run = _run(encodes[:1])
    assert session.score(Scorer(Path("/opt/ffmpeg"), encodes[0].parent, QualitySettings())) == 1
    quality = read_run(session.path).scenarios[0].outputs[0].quality
    assert quality is not None
    assert quality.reason == "a: its input is unknown"


@pytest.mark.ffmpeg
def test_a_source_that_cannot_be_drawn_again_has_a_reason(tmp_path: Path, ffmpeg: Path, clip: Path) -> None:
    """The lavfi source of the encode is a file that is gone by now."""
    folder = tmp_path / "r_outputs"
    folder.mkdir()
    encode = folder / "e.mp4"
    subprocess.run([ffmpeg, "-v", "error", "-i", clip, "-c", "copy", encode], check=True)
    session = _session(tmp_path, StopRequest(), keep=True)
    session.run = _run([encode], input=InputMedia(name="lavfi:movie=/gone.mp4", fps=25.0))
    assert session.score(Scorer(ffmpeg, folder, QualitySettings())) == 1
    quality = read_run(session.path).scenarios[0].outputs[0].quality
    assert quality is not None
    assert quality.reason is not None
    assert quality.reason.startswith("the reference could not be generated: ")
    assert [p.name for p in folder.iterdir()] == ["e.mp4"]
