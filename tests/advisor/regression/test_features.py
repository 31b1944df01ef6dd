"""What a predictor sees of a scenario."""

from __future__ import annotations

import math
from typing import Any

import pytest
from msgspec.structs import replace

from advisor.regression.features import case, video_seconds
from advisor.regression.fitting import validation_groups
from advisor.results import EncodeStats, Host, InputMedia, Output, Power, Run, Scenario


def _scenario(**more: Any) -> Scenario:
    given: dict[str, Any] = {
        "name": "s", "encoder": "libx264", "preset": "medium", "bitrate": "2000k", "resolution": "1280x720",
        "fps": 25.0, "duration": 20.0, "input": InputMedia(name="clip.mp4", duration=10.0),
        "outputs": [Output(resolution="1280x720", duration=10.0)], "encode": EncodeStats(speed=0.5),
        "power": Power(mean_watts=50.0, total_energy_joules=1000.0, tier="measured"),
    }  # fmt: skip
    return Scenario(**(given | more))


def _case(**more: Any) -> Any:
    scenario = _scenario(**more)
    return case(scenario, Run(run_id="r", scenarios=(scenario,), host=Host(hardware_id="lab-1", threads=8)))


def test_numbers_of_a_scenario_are_what_a_hand_gets() -> None:
    """2 000 000 bit/s over 1280 x 720 x 25 pixels a second are 0.0868 bits a pixel."""
    numbers = _case().numbers
    assert math.exp(numbers["log_pixels_per_second"]) == pytest.approx(23_040_000)
    assert math.exp(numbers["log_bits_per_pixel"]) == pytest.approx(2e6 / 23_040_000)
    assert math.exp(numbers["log_threads"]) == pytest.approx(8)
    assert (numbers["constant_quality"], numbers["rungs"]) == (0.0, 1.0)
    assert "quality_level" not in numbers


def test_targets_are_per_second_of_video() -> None:
    assert _case().targets == {
        "mean_power_watts": 50.0,
        "energy_joules_per_video_second": 100.0,
        "encode_speed_ratio": 0.5,
    }


@pytest.mark.parametrize(
    "more",
    [
        {"passes": 2},
        {"filters": "hqdn3d"},
        {"pixel_format": "yuv420p10le"},
        {"encoder_options": {"tune": "film"}},
        {"hardware_decoding": "vaapi"},
    ],
)
def test_what_is_asked_of_the_encoder_besides_makes_another_configuration(more: dict[str, Any]) -> None:
    assert _case(**more).configuration != _case().configuration
    assert _case(**more).encoder.startswith("libx264 ")


def test_films_of_one_name_are_told_apart_by_size_and_length() -> None:
    """In folders of their own films are called ``input.mp4``: three of them are held out one at a time."""
    hour = InputMedia(name="input.mp4", path="/a/input.mp4", width=1280, height=720, duration=3600.2)
    films = [hour, replace(hour, path="/b/input.mp4", duration=90.0), replace(hour, width=1920, height=1080)]
    cases = [_case(input=film) for film in films]
    assert validation_groups(cases) == ([c.video for c in cases], "video")
    assert len({c.video for c in cases}) == 3
    assert _case(input=replace(hour, path="/elsewhere/input.mp4", duration=3599.8)).video == cases[0].video


def test_nvenc_teaches_nothing_where_nobody_measured_its_board() -> None:
    assert _case(encoder="h264_nvenc", encoder_type="gpu").targets == {}
    board = Power(mean_watts=90.0, total_energy_joules=1800.0)
    assert _case(encoder="h264_nvenc", encoder_type="gpu", gpu_power=board).targets["mean_power_watts"] == 140


def test_what_says_nothing_new_makes_none() -> None:
    assert _case(passes=1, pixel_format="yuv420p", audio="copy").configuration == _case().configuration


def test_a_failed_scenario_has_no_targets() -> None:
    assert _case(status="failed").targets == {}


def test_five_mbps_in_the_name_are_not_five_streams() -> None:
    assert math.exp(_case(name="5 Mbps Stream").numbers["log_streams"]) == pytest.approx(1)


def test_the_length_of_the_test_does_not_enter_pixels() -> None:
    """The wall time of an encode changes no feature."""
    assert _case(duration=20.0).numbers == _case(duration=200.0).numbers


def test_a_ladder_counts_its_pixels_and_rungs() -> None:
    rungs = [Output(resolution=r, duration=10.0) for r in ("640x360", "1280x720")]
    numbers = _case(outputs=rungs, bitrate="800k,2000k").numbers
    assert math.exp(numbers["log_pixels_per_frame"]) == pytest.approx(640 * 360 + 1280 * 720)
    assert math.exp(numbers["log_bitrate_kbps"]) == pytest.approx(2800)
    assert numbers["rungs"] == 2


@pytest.mark.parametrize(
    ("scenario", "seconds"),
    [
        (_scenario(), 10.0),
        (Scenario(name="planned", input=InputMedia(duration=30.0)), 30.0),
        (Scenario(name="earlier suite, live", duration=60.0, video_seconds=60.0), 60.0),
        (Scenario(name="how much is unknown", duration=60.0, input=InputMedia(duration=30.0)), None),
        (Scenario(name="nothing"), None),
    ],
)
def test_seconds_of_video_come_from_outputs_or_of_what_is_planned(
    scenario: Scenario, seconds: float | None
) -> None:
    assert video_seconds(scenario) == seconds


def test_bits_of_the_probe_stand_as_a_logarithm() -> None:
    """ln 0.25 = -1.386294; none at all has no logarithm."""
    found = _case(content={"probe_bits_per_pixel": 0.25, "temporal_information": 7.5}).numbers
    content = {name: value for name, value in found.items() if name.startswith("content")}
    assert content == pytest.approx(
        {"content_log_probe_bits_per_pixel": -1.386294, "content_temporal_information": 7.5}
    )
    assert "content_log_probe_bits_per_pixel" not in _case(content={"probe_bits_per_pixel": 0.0}).numbers


def test_content_is_part_of_a_case_whatever_it_is_named() -> None:
    """What measures a video's content writes it into the scenario; a predictor takes it as it comes."""
    s = Scenario(name="s", content={"spatial_information": 41.5}, power=Power(mean_watts=5.0))
    assert case(s, Run(run_id="r", scenarios=(s,))).numbers["content_spatial_information"] == 41.5
