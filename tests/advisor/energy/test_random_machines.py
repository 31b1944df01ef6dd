"""Machines at random with known joules: no counter is wrong, whatever the tree does on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.random_machines import drive


@pytest.mark.parametrize("seed", range(24))
def test_every_counter_is_right_or_counted_as_lost_and_none_too_high(tmp_path: Path, seed: int) -> None:
    """Five minutes of load with lost files, leaps, set-backs, standing zones and limits that say nothing."""
    outcome = drive(tmp_path, seed)
    assert outcome.problems == [], outcome.label


@pytest.mark.long
@pytest.mark.parametrize("seed", range(24, 500))
def test_every_counter_of_many_more_machines(tmp_path: Path, seed: int) -> None:
    outcome = drive(tmp_path, seed)
    assert outcome.problems == [], outcome.label
