"""What a predictor sees, and the words for what it has not seen."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest

from advisor.regression.features import Encoding, case, video_seconds
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
        (Scenario(name="earlier suite, live", duration=60.0), 60.0),
        (Scenario(name="nothing"), None),
    ],
)
def test_seconds_of_video_come_from_outputs_input_or_window(
    scenario: Scenario, seconds: float | None
) -> None:
    assert video_seconds(scenario) == seconds


def test_columns_that_never_varied_are_dropped_and_named_when_they_change() -> None:
    encoding = Encoding.learn([_case(bitrate="1000k"), _case(bitrate="4000k")])
    assert encoding.columns == ("log_bitrate_kbps", "log_bits_per_pixel")
    assert encoding.unknowns(_case(fps=50.0, bitrate="4000k")) == [
        "fps never varied in training: its effect is not known",
        "pixels per second never varied in training: its effect is not known",
    ]


def test_a_value_outside_of_what_was_measured_is_held_at_the_edge_and_named() -> None:
    encoding = Encoding.learn([_case(bitrate="1000k"), _case(bitrate="4000k")])
    far = _case(bitrate="90000k")
    assert encoding.matrix([far]).tolist() == encoding.matrix([_case(bitrate="4000k")]).tolist()
    assert "bitrate kbps outside of what was measured" in encoding.unknowns(far)


@pytest.mark.parametrize(
    ("change", "beyond"),
    [
        ({}, 0.0),
        # ln 16 over ln 4 is two spans, of bitrate and of bits a pixel alike: one of them lies outside, twice
        ({"bitrate": "16000k"}, math.hypot(1.0, 1.0)),
        ({"bitrate": None}, math.hypot(0.5, 0.5)),
        ({"fps": 50.0}, None),
        ({"outputs": [Output(resolution="1280x720", duration=99.0)]}, 0.0),
    ],
)
def test_how_far_a_case_is_from_what_was_measured(change: dict[str, Any], beyond: float | None) -> None:
    """In spans of each column; None where something changed that never did, but for the length."""
    encoding = Encoding.learn([_case(bitrate="1000k"), _case(bitrate="4000k")])
    case = _case(**({"bitrate": "4000k"} | change))
    assert encoding.beyond(case, new_machine=False) == (None if beyond is None else pytest.approx(beyond))


def test_threads_of_a_new_machine_are_a_part_of_its_calibration() -> None:
    encoding = Encoding.learn([_case(bitrate="1000k"), _case(bitrate="4000k")])
    more = _case(bitrate="4000k", threads=64)
    assert encoding.beyond(more, new_machine=False) is None
    assert encoding.beyond(more, new_machine=True) == 0.0


def test_missing_values_are_the_median_with_an_indicator() -> None:
    cases = [_case(fps=25.0), _case(fps=50.0), _case(fps=30.0), _case(fps=None)]
    encoding = Encoding.learn(cases)
    column = encoding.columns.index("no_log_fps")
    assert encoding.matrix(cases)[:, column].tolist() == [0, 0, 0, 1]
    filled = encoding.matrix(cases)[3, encoding.columns.index("log_fps")]
    assert math.exp(filled) == pytest.approx(30.0)


def test_categories_are_columns_by_name() -> None:
    encoding = Encoding.learn([_case(), _case(encoder="libx265"), _case(encoder="libsvtav1", preset="8")])
    assert encoding.columns[-2:] == ("encoder=libx264", "encoder=libx265")
    assert encoding.matrix([_case(encoder="libx265")])[0, -2:].tolist() == [0.0, 1.0]


def test_content_counts_where_half_of_the_cases_have_it_with_five_values() -> None:
    some = [_case(content={"spatial": 30.0 + i, "rare": 1.0 * i, "same": i % 4}) for i in range(5)]
    rest = [_case(content={"spatial": 60.0, "same": 1.0}), *[_case() for _ in range(6)]]
    columns = Encoding.learn([*some, *rest]).columns
    assert [name for name in columns if "content" in name] == ["content_spatial", "no_content_spatial"]


def test_bits_of_the_probe_stand_as_a_logarithm() -> None:
    """ln 0.25 = -1.386294; none at all has no logarithm."""
    found = _case(content={"probe_bits_per_pixel": 0.25, "temporal_information": 7.5}).numbers
    content = {name: value for name, value in found.items() if name.startswith("content")}
    assert content == pytest.approx(
        {"content_log_probe_bits_per_pixel": -1.386294, "content_temporal_information": 7.5}
    )
    assert "content_log_probe_bits_per_pixel" not in _case(content={"probe_bits_per_pixel": 0.0}).numbers


def test_rows_are_the_same_in_every_process() -> None:
    code = (
        "from advisor.regression.features import *; from advisor.results import *;"
        "a, b = (Scenario(name=n, encoder=n, bitrate='1M', duration=9.0) for n in ('libx264', 'libx265'));"
        "cases = [case(s, Run(run_id='r', scenarios=(s,))) for s in (a, b)];"
        "print(Encoding.learn(cases).columns, Encoding.learn(cases).matrix(cases).tolist())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    }
    assert seen == {"('encoder=libx265',) [[0.0], [1.0]]\n"}
