"""Shares of the host's energy by CPU time; expected values are worked out by hand."""

from __future__ import annotations

import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.energy.attribution import POLICIES, HostUse, Policy, active_joules, attribute, share

# 4 CPUs over 10 s: 40 CPU seconds, 8 of them busy, 500 J drawn
HOST = HostUse(joules=500.0, busy_seconds=8.0, total_seconds=40.0)


def test_active_energy_is_the_busy_part_of_the_window() -> None:
    """500 J * 8/40 = 100 J."""
    assert active_joules(HOST) == 100.0


def test_active_leaves_idle_energy_to_nobody() -> None:
    """6 of 8 busy seconds get 6/8 of 100 J; the 400 idle joules and the rest stay unattributed."""
    result = attribute(HOST, {"a": 4.0, "b": 2.0}, "active")
    assert result.shares == {"a": 50.0, "b": 25.0}
    assert result.unattributed == 425.0


def test_full_shares_idle_energy_by_cpu_time() -> None:
    """4/8 and 2/8 of all 500 J."""
    result = attribute(HOST, {"a": 4.0, "b": 2.0}, "full")
    assert result.shares == {"a": 250.0, "b": 125.0}
    assert result.unattributed == 125.0


def test_a_consumer_never_draws_more_than_the_machine() -> None:
    """Ticks said 8 busy seconds, the cgroups 10: the 100 active joules are shared 7:3 and not exceeded."""
    result = attribute(HOST, {"a": 7.0, "b": 3.0}, "active")
    assert result.shares == pytest.approx({"a": 70.0, "b": 30.0})
    assert result.unattributed == pytest.approx(400.0)


def test_an_idle_window_is_all_unattributed() -> None:
    idle = HostUse(joules=30.0, busy_seconds=0.0, total_seconds=4.0)
    for policy in POLICIES:
        result = attribute(idle, {"a": 0.0}, policy)
        assert (result.shares, result.unattributed) == ({"a": 0.0}, 30.0)


def test_a_window_without_cpu_time_gives_nobody_anything() -> None:
    """Unknown busy time is not zero busy time: a single share is absent, the whole stays unattributed."""
    blind = HostUse(joules=30.0, busy_seconds=None, total_seconds=None)
    assert active_joules(blind) is None
    for policy in POLICIES:
        assert share(blind, 1.0, policy) is None
        assert attribute(blind, {"a": 1.0}, policy).unattributed == 30.0


def test_a_window_of_no_length_has_no_active_energy() -> None:
    assert active_joules(HostUse(joules=0.0, busy_seconds=0.0, total_seconds=0.0)) is None


def test_the_share_of_one_process_is_active_by_default() -> None:
    """2 of 8 busy seconds of 100 active joules."""
    assert share(HOST, 2.0) == 25.0
    assert share(HOST, 2.0, "full") == 125.0


@given(
    joules=st.floats(0, 1e9),
    busy=st.one_of(st.none(), st.floats(0, 1e6)),
    idle=st.floats(0, 1e6),
    seconds=st.lists(st.floats(0, 1e5), max_size=40),
    policy=st.sampled_from(get_args(Policy)),
)
def test_shares_and_the_rest_are_the_whole(
    joules: float, busy: float | None, idle: float, seconds: list[float], policy: Policy
) -> None:
    """Sum of the shares + unattributed = joules, and no share is below 0 or above the whole."""
    window = HostUse(joules, busy, None if busy is None else busy + idle)
    result = attribute(window, {str(i): s for i, s in enumerate(seconds)}, policy)
    total = math.fsum([*result.shares.values(), result.unattributed])
    assert total == pytest.approx(joules, rel=1e-12, abs=1e-12)
    assert all(0 <= value <= joules * (1 + 1e-12) for value in result.shares.values())
    assert len(result.shares) == len(seconds)
