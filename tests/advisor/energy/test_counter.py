"""A register that wraps, fails and lies, against the true energy behind it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from advisor.energy.counter import EnergyCounter

RANGE_UJ = 65_532_610_987


def observed(counter: EnergyCounter, *values: tuple[int, float]) -> EnergyCounter:
    for raw, seconds in values:
        counter.observe(raw, seconds)
    return counter


def test_the_first_value_only_sets_the_base() -> None:
    assert observed(EnergyCounter(RANGE_UJ, 400), (60_000_000_000, 0.0)).joules == 0.0


def test_a_wrap_adds_the_range() -> None:
    """From 65 532.5 J to 100.0 J in a range of 65 532.610987 J: 0.110987 J to the end and 100 J more."""
    counter = observed(EnergyCounter(RANGE_UJ, 400), (65_532_500_000, 0.0), (100_000_000, 1.0))
    assert counter.microjoules == 100_110_987
    assert counter.wraps == 1


def test_a_glitch_backwards_costs_nothing() -> None:
    """One low value among good ones is counted and the next good one brings everything."""
    counter = observed(
        EnergyCounter(RANGE_UJ, 400), (10_000_000_000, 0.0), (9_000_000_000, 1.0), (10_200_000_000, 2.0)
    )
    assert counter.joules == 200.0
    assert counter.rejected == {"backwards": 1}


def test_a_register_that_was_set_back_goes_on_from_there() -> None:
    """Only the energy between the last good and the first low value is lost."""
    counter = observed(
        EnergyCounter(RANGE_UJ, 400), (10_000_000_000, 0.0), (0, 1.0), (150_000_000, 2.0), (250_000_000, 3.0)
    )
    assert counter.joules == 250.0
    assert counter.rejected == {"backwards": 1}
    assert counter.wraps == 0


def test_a_jump_above_what_the_part_can_draw_is_rejected() -> None:
    """5 000 J within a second from a part of at most 400 W; 600 J within two seconds are believed."""
    counter = observed(EnergyCounter(RANGE_UJ, 400), (0, 0.0), (5_000_000_000, 1.0), (600_000_000, 2.0))
    assert counter.rejected == {"too_fast": 1}
    assert counter.joules == 600.0


def test_backwards_without_a_range_is_no_wrap() -> None:
    counter = observed(EnergyCounter(None, 400), (5_000_000, 0.0), (4_000_000, 1.0), (4_500_000, 2.0))
    assert counter.rejected == {"backwards": 1}
    assert counter.joules == 0.5


def test_a_value_beyond_the_range_is_nonsense() -> None:
    counter = observed(EnergyCounter(1_000_000, 400), (0, 0.0), (1_000_001, 1.0), (900_000, 2.0))
    assert counter.rejected == {"out_of_range": 1}
    assert counter.joules == 0.9


def test_a_gap_in_which_the_register_may_have_come_round_is_counted_and_not_guessed() -> None:
    """400 W come round 65.5 kJ in 164 s: after 200 s what the register shows is the least there was."""
    counter = observed(EnergyCounter(RANGE_UJ, 400), (0, 0.0), (1_000_000, 200.0))
    assert counter.possible_missed_wraps == 1
    assert counter.joules == 1.0


def test_a_gap_too_short_for_a_round_is_not_counted() -> None:
    counter = observed(EnergyCounter(RANGE_UJ, 400), (0, 0.0), (60_000_000_000, 163.0))
    assert counter.possible_missed_wraps == 0
    assert counter.joules == 60_000.0


@given(st.lists(st.tuples(st.integers(0, 2 * RANGE_UJ), st.floats(0.0, 1000.0)), max_size=50))
def test_joules_never_decrease_whatever_is_read_and_when(steps: list[tuple[int, float]]) -> None:
    counter, seconds, before = EnergyCounter(RANGE_UJ, 400), 0.0, 0.0
    for raw, pause in steps:
        seconds += pause
        counter.observe(raw, seconds)
        assert counter.joules >= before
        before = counter.joules


@given(
    start=st.integers(0, RANGE_UJ - 1),
    steps=st.lists(st.tuples(st.floats(0.1, 80.0), st.floats(0.0, 1.0), st.booleans()), max_size=60),
)
def test_joules_equal_the_truth_while_no_gap_is_too_long(
    start: int, steps: list[tuple[float, float, bool]]
) -> None:
    """Any power up to 400 W, any start, any second read failing: never more than 160 s between two values."""
    counter = EnergyCounter(RANGE_UJ, 400)
    counter.observe(start, 0.0)
    seconds, true, read, failed = 0.0, 0, 0, False
    for pause, load, fails in steps:
        seconds += pause
        true += int(pause * load * 400e6)
        failed = fails and not failed
        if not failed:
            counter.observe((start + true) % RANGE_UJ, seconds)
            read = true
    assert counter.microjoules == read
    assert counter.rejected.total() == counter.possible_missed_wraps == 0
