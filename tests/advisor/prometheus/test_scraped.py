"""Of an answer only what is near a window is read; however the answer is written, it is the same."""

from __future__ import annotations

import json
from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from advisor.errors import PrometheusError
from advisor.prometheus.answers import RawSeries
from advisor.prometheus.scraped import near_samples
from advisor.prometheus.window_statistics import Windows

START = 1_767_600_000
# every 15 s, off the whole second; the value is its own place
POINTS = [(START + 15 * i + 0.25, str(i)) for i in range(1000)]


def _compact(points: object) -> bytes:
    return json.dumps(points, separators=(",", ":")).encode()


def _near(text: bytes, *pairs: tuple[float, float]) -> list[float]:
    starts, ends = np.array(pairs, dtype=float).reshape(-1, 2).T + START
    found = near_samples([RawSeries(metric={}, values=msgspec.Raw(text))], Windows(starts, ends))
    assert found.reach_seconds == 45
    assert found.times.tolist() == [START + 15 * v + 0.25 for v in found.values]
    return found.values.tolist()


@pytest.mark.parametrize(
    "written", [_compact, lambda points: json.dumps(points).encode()], ids=["compact", "spaced"]
)
def test_samples_within_three_scrapes_of_a_window_are_read(written: Callable[[object], bytes]) -> None:
    """A window from 150 to 180 s: from 105 to 225 s are places 7 to 14, and one more as seconds are cut."""
    text = written(POINTS)
    assert _near(text, (150, 180)) == [*range(7, 16)]
    assert _near(text, (150, 180), (9000, 9015)) == [*range(7, 16), *range(597, 605)]


def test_windows_that_touch_or_lie_in_one_another_are_read_once() -> None:
    text = _compact(POINTS)
    assert _near(text, (150, 600), (160, 180), (610, 700)) == [*range(7, 50)]
    assert _near(text, (-500, 20_000)) == [*range(1000)]


def test_answers_one_after_another_are_one_series() -> None:
    pieces = [RawSeries(metric={}, values=msgspec.Raw(_compact(p))) for p in (POINTS[:100], POINTS[500:])]
    windows = Windows(np.array([START + 1350.0, START + 9000]), np.array([START + 1400.0, START + 9015]))
    found = near_samples(pieces, windows)
    # from 1304 s to where the first answer ends, and as above
    assert found.values.tolist() == [*range(87, 97), *range(597, 605)]


def test_a_window_without_samples_brings_none() -> None:
    found = near_samples(
        [RawSeries(metric={}, values=msgspec.Raw(_compact(POINTS)))],
        Windows(np.array([START - 9000.0]), np.array([START - 8000.0])),
    )
    assert (len(found.times), len(found.values)) == (0, 0)


@pytest.mark.parametrize(
    "points",
    [
        [(t / 1e9, v) for t, v in POINTS],  # long before 2001
        [(float(f"1{t}"), v) for t, v in POINTS],  # eleven digits
    ],
)
def test_times_of_other_lengths_are_all_read(points: list[tuple[float, str]]) -> None:
    windows = Windows(np.array([0.0]), np.array([1.0]))
    found = near_samples([RawSeries(metric={}, values=msgspec.Raw(_compact(points)))], windows)
    assert found.values.tolist() == [*range(1000)]


def test_an_answer_that_somebody_has_laid_out_is_all_read() -> None:
    assert _near(json.dumps(POINTS, indent=1).encode(), (150, 180)) == [*range(1000)]


def test_values_that_are_no_json_are_read_too() -> None:
    points = [(t, "NaN" if i == 9 else "+Inf" if i == 10 else v) for i, (t, v) in enumerate(POINTS)]
    starts = np.array([START + 150.0])
    found = near_samples(
        [RawSeries(metric={}, values=msgspec.Raw(_compact(points)))], Windows(starts, starts)
    )
    assert np.isnan(found.values[2])
    assert np.isinf(found.values[3])
    assert found.values[[0, 1, 4]].tolist() == [7, 8, 11]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'[[1767600150,"1"],[1767600140,"2"]]', "times do not ascend"),
        (b'[[1767600150,"1"],[1767600150,"2"]]', "times do not ascend"),
        (b'[[1767600150,"1"],[1767600165]]', "malformed samples"),
        (b'[[1767600150,"1"],[1767600165,2]]', "malformed samples"),
        (b'[[1767600150,"1"],[1767600165,"two"]]', "malformed samples"),
    ],
)
def test_what_are_no_samples_is_said(text: bytes, said: str) -> None:
    windows = Windows(np.array([START + 100.0]), np.array([START + 200.0]))
    with pytest.raises(PrometheusError, match=said):
        near_samples([RawSeries(metric={}, values=msgspec.Raw(text))], windows)
