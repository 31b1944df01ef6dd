"""Rows of the matrix, and the words for what training had not seen."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest

from advisor.regression.feature_matrix import FeatureMatrix
from advisor.regression.features import case
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


def test_columns_that_never_varied_are_dropped_and_named_when_they_change() -> None:
    matrix = FeatureMatrix.learn([_case(bitrate="1000k"), _case(bitrate="4000k")])
    assert matrix.columns == ("log_bitrate_kbps", "log_bits_per_pixel")
    assert matrix.unknowns(_case(fps=50.0, bitrate="4000k")) == [
        "fps never varied in training: its effect is unknown",
        "pixels per second never varied in training: its effect is unknown",
    ]


def test_a_value_outside_of_what_was_measured_is_held_at_the_edge_and_named() -> None:
    matrix = FeatureMatrix.learn([_case(bitrate="1000k"), _case(bitrate="4000k")])
    far = _case(bitrate="90000k")
    assert matrix.rows([far]).tolist() == matrix.rows([_case(bitrate="4000k")]).tolist()
    assert "bitrate kbps outside the training range" in matrix.unknowns(far)


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
    matrix = FeatureMatrix.learn([_case(bitrate="1000k"), _case(bitrate="4000k")])
    case = _case(**({"bitrate": "4000k"} | change))
    assert matrix.beyond(case, new_machine=False) == (None if beyond is None else pytest.approx(beyond))


def test_threads_of_a_new_machine_are_a_part_of_its_calibration() -> None:
    matrix = FeatureMatrix.learn([_case(bitrate="1000k"), _case(bitrate="4000k")])
    more = _case(bitrate="4000k", threads=64)
    assert matrix.beyond(more, new_machine=False) is None
    assert matrix.beyond(more, new_machine=True) == 0.0


def test_missing_values_are_the_median_with_an_indicator() -> None:
    cases = [_case(fps=25.0), _case(fps=50.0), _case(fps=30.0), _case(fps=None)]
    matrix = FeatureMatrix.learn(cases)
    column = matrix.columns.index("no_log_fps")
    assert matrix.rows(cases)[:, column].tolist() == [0, 0, 0, 1]
    filled = matrix.rows(cases)[3, matrix.columns.index("log_fps")]
    assert math.exp(filled) == pytest.approx(30.0)


def test_categories_are_columns_by_name() -> None:
    matrix = FeatureMatrix.learn([_case(), _case(encoder="libx265"), _case(encoder="libsvtav1", preset="8")])
    assert matrix.columns[-2:] == ("encoder=libx264", "encoder=libx265")
    assert matrix.rows([_case(encoder="libx265")])[0, -2:].tolist() == [0.0, 1.0]


def test_content_counts_where_half_of_the_cases_have_it_with_five_values() -> None:
    some = [_case(content={"spatial": 30.0 + i, "rare": 1.0 * i, "same": i % 4}) for i in range(5)]
    rest = [_case(content={"spatial": 60.0, "same": 1.0}), *[_case() for _ in range(6)]]
    columns = FeatureMatrix.learn([*some, *rest]).columns
    assert [name for name in columns if "content" in name] == ["content_spatial", "no_content_spatial"]


def test_rows_are_the_same_in_every_process() -> None:
    code = (
        "from advisor.regression.features import *; from advisor.results import *;"
        "from advisor.regression.feature_matrix import FeatureMatrix;"
        "a, b = (Scenario(name=n, encoder=n, bitrate='1M', duration=9.0) for n in ('libx264', 'libx265'));"
        "cases = [case(s, Run(run_id='r', scenarios=(s,))) for s in (a, b)];"
        "print(FeatureMatrix.learn(cases).columns, FeatureMatrix.learn(cases).rows(cases).tolist())"
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


def test_another_length_than_that_of_training_is_no_setting_whose_effect_is_unknown() -> None:
    """Targets are per second of video: 11 s after 10 s need no word, 60 s are said to be outside."""
    matrix = FeatureMatrix.learn([_case(bitrate="1000k"), _case(bitrate="4000k")])

    def of_length(seconds: float) -> Any:
        return _case(bitrate="4000k", outputs=[Output(resolution="1280x720", duration=seconds)])

    assert matrix.unknowns(of_length(11.0)) == []
    assert matrix.unknowns(of_length(60.0)) == ["video seconds outside the training range"]


def test_training_in_which_nothing_varied_still_has_a_column() -> None:
    matrix = FeatureMatrix.learn([_case(), _case()])
    assert matrix.columns == ("nothing_varied",)
    assert matrix.rows([_case()]).tolist() == [[0.0]]
