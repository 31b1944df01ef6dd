"""A register that wraps, fails and lies, against the true energy behind it."""

from __future__ import annotations

import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from advisor.energy.counter import EnergyCounter, SavedRegister
from advisor.energy.explanations import Bounds, Doubt

RANGE_UJ = 65_532_610_987


def limits(possible_watts: float, doubt: Doubt = "rises") -> Bounds:
    return Bounds(possible_watts, doubt=doubt)


def observed(counter: EnergyCounter, *values: tuple[int, float]) -> EnergyCounter:
    for raw, seconds in values:
        counter.observe(raw, seconds)
    return counter


def test_the_first_value_only_sets_the_base() -> None:
    assert observed(EnergyCounter(RANGE_UJ, limits(400)), (60_000_000_000, 0.0)).joules == 0.0


def test_a_wrap_adds_the_range() -> None:
    """From 65 532.5 J to 100.0 J in a range of 65 532.610987 J: 0.110987 J to the end and 100 J more."""
    counter = observed(EnergyCounter(RANGE_UJ, limits(400)), (65_532_500_000, 0.0), (100_000_000, 1.0))
    assert counter.microjoules == 100_110_987
    assert counter.wraps == 1


def test_a_glitch_backwards_costs_nothing() -> None:
    """One low value among good ones is counted and the next good one brings everything."""
    counter = observed(
        EnergyCounter(RANGE_UJ, limits(400)),
        (10_000_000_000, 0.0),
        (9_000_000_000, 1.0),
        (10_200_000_000, 2.0),
        (10_300_000_000, 3.0),
    )
    assert counter.joules == 300.0
    assert counter.rejected == {"backwards": 1}


def test_a_register_that_was_set_back_goes_on_from_there() -> None:
    """Only the energy between the last good and the first low value is lost."""
    counter = observed(
        EnergyCounter(RANGE_UJ, limits(400)),
        (10_000_000_000, 0.0),
        (0, 1.0),
        (150_000_000, 2.0),
        (250_000_000, 3.0),
        (350_000_000, 4.0),
    )
    assert counter.joules == 350.0
    assert counter.rejected == {"backwards": 1}
    assert counter.wraps == 0


def test_a_jump_above_what_the_part_can_draw_is_rejected() -> None:
    """5 000 J within a second from a part of at most 400 W; 300 W are believed when they
    go on."""
    counter = observed(
        EnergyCounter(RANGE_UJ, limits(400)),
        (0, 0.0),
        (5_000_000_000, 1.0),
        *((second * 300_000_000, float(second)) for second in range(2, 7)),
    )
    assert counter.rejected == {"too_fast": 1}
    assert counter.settled_joules(1.0) == 300.0


def test_backwards_without_a_range_is_no_wrap() -> None:
    values = [(5_000_000, 0.0), *((4_000_000 + second * 500_000, second + 1.0) for second in range(4))]
    counter = observed(EnergyCounter(None, limits(400)), *values)
    assert counter.rejected == {"backwards": 1}
    assert counter.joules == 1.5


def test_a_value_beyond_the_range_is_nonsense() -> None:
    counter = observed(
        EnergyCounter(1_000_000, limits(400)), (0, 0.0), (1_000_001, 1.0), (900_000, 2.0), (950_000, 3.0)
    )
    assert counter.rejected == {"out_of_range": 1}
    assert counter.joules == 0.95


def test_a_gap_in_which_the_register_may_have_come_round_is_counted_and_not_guessed() -> None:
    """400 W come round 65.5 kJ in 164 s: after 200 s what the register shows is the least there was."""
    counter = observed(EnergyCounter(RANGE_UJ, limits(400)), (0, 0.0), (1_000_000, 200.0))
    assert counter.possible_missed_wraps == 1
    assert counter.joules == 1.0


def test_a_gap_too_short_for_a_round_is_not_counted() -> None:
    counter = observed(EnergyCounter(RANGE_UJ, limits(400)), (0, 0.0), (60_000_000_000, 163.0))
    assert counter.possible_missed_wraps == 0
    assert counter.joules == 60_000.0


@given(st.lists(st.tuples(st.integers(0, 2 * RANGE_UJ), st.floats(0.0, 1000.0)), max_size=50))
def test_joules_never_decrease_whatever_is_read_and_when(steps: list[tuple[int, float]]) -> None:
    counter, seconds, before = EnergyCounter(RANGE_UJ, limits(400)), 0.0, 0.0
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
    """Any power up to 400 W, any start, any second read failing: at most 160 s between two values."""
    counter = EnergyCounter(RANGE_UJ, limits(401, doubt="nothing"))  # sums of seconds round
    counter.observe(start, 0.0)
    seconds, read_seconds, true, read, failed = 0.0, 0.0, 0, 0, False
    powers: list[float] = []
    for pause, load, fails in steps:
        seconds += pause
        true += int(pause * load * 400e6)
        failed = fails and not failed
        if not failed:
            gap = seconds - read_seconds
            power = (true - read) / gap
            comes_round = (start + true) // RANGE_UJ > (start + read) // RANGE_UJ
            # within seconds, a rise just where it comes round looks like a register that was set back
            assume(gap > 10.0 or not comes_round or power <= max(powers[-10:], default=power))
            powers += [power] if gap >= 0.5 else []
            counter.observe((start + true) % RANGE_UJ, seconds)
            read, read_seconds = true, seconds
    assert counter.microjoules == read
    assert counter.rejected.total() == counter.possible_missed_wraps == 0


def watched(counter: EnergyCounter, values: list[tuple[float, int]]) -> list[float]:
    """Joules after each value of (seconds, microjoules)."""
    joules = []
    for seconds, raw in values:
        counter.observe(raw, seconds)
        joules.append(counter.joules)
    return joules


def test_a_value_that_leaps_ahead_adds_nothing_at_any_moment() -> None:
    """6 W; the second and third second read 700 J ahead. From then on each value waits for the next."""
    values = [(0, 0), (1, 6_000_000), (2, 712_000_000), (3, 718_000_000), (4, 24_000_000), (5, 30_000_000)]
    counter = EnergyCounter(RANGE_UJ, limits(400))
    assert watched(counter, [*values, (6, 36_000_000)]) == [0.0, 6.0, 6.0, 6.0, 6.0, 24.0, 30.0]
    assert counter.rejected == {"too_fast": 2}


def test_leaps_of_another_size_each_second_add_nothing() -> None:
    """Three false values in a row, none of which goes on from the one before."""
    values = [(0, 0), (1, 6_000_000), (2, 512_000_000), (3, 318_000_000), (4, 900_000_000), (5, 30_000_000)]
    joules = watched(EnergyCounter(RANGE_UJ, limits(400)), [*values, (6, 36_000_000), (7, 42_000_000)])
    assert joules == [0.0, 6.0, 6.0, 6.0, 6.0, 6.0, 30.0, 36.0]


@pytest.mark.parametrize("doubt", ["everything", "rises"])
def test_a_leap_that_the_part_could_have_drawn_is_never_published(doubt: Doubt) -> None:
    """6 W, and 100 J ahead in one second of three: what a second read adds waits for those after it."""
    values = [(s, s * 6_000_000 + (100_000_000 if s % 3 == 2 else 0)) for s in range(60)]
    joules = watched(EnergyCounter(RANGE_UJ, limits(400, doubt=doubt)), values)
    assert all(published <= second * 6.0 for second, published in enumerate(joules))
    assert joules[57] >= 51 * 6.0


def test_a_rise_of_a_register_that_may_leap_is_published_three_values_later() -> None:
    """6 W, then 80 W: 3 s late, and at once when that is what it draws."""
    counter = EnergyCounter(RANGE_UJ, limits(400, doubt="everything"))
    values = [(s, (s * 6 + max(s - 4, 0) * 74) * 1_000_000) for s in range(9)]
    assert watched(counter, values) == [0.0, 0.0, 12.0, 18.0, 24.0, 24.0, 24.0, 24.0, 344.0]


def test_a_rise_is_published_two_values_later_and_all_else_at_once() -> None:
    """6 W, 80 W from the fifth second, 6 W from the tenth."""
    values = [(s, (s * 6 + min(max(s - 4, 0), 5) * 74) * 1_000_000) for s in range(13)]
    joules = watched(EnergyCounter(RANGE_UJ, limits(400, doubt="rises")), values)
    assert joules == [0.0, 6.0, 12.0, 18.0, 24.0, 24.0, 24.0, 264.0, 344.0, 424.0, 430.0, 436.0, 442.0]


def test_the_joules_of_a_moment_are_told_ten_minutes_later() -> None:
    """6 W and a rise to 80 W at the beginning of a window of 600 s."""
    counter = EnergyCounter(RANGE_UJ, limits(400, doubt="rises"))
    watched(counter, [(s, (s * 6 + max(s - 4, 0) * 74) * 1_000_000) for s in range(606)])
    assert counter.settled_joules(5) == 104.0


def test_a_read_of_0_right_after_a_set_back_to_0_is_left_out() -> None:
    """Caught with a leap, set back to 0, 60 s at 6 W; a read of 0 just where the power rises to 300 W."""
    counter = EnergyCounter(RANGE_UJ, limits(600))
    values = [(0, 10**10), (1, 10**10 + 6_000_000), (2, 10**10 + 912_000_000), (3, 10**10 + 18_000_000)]
    values += [(s, (s - 4) * 6_000_000) for s in range(4, 65)]
    values += [(65, 0), *((s, (360 + (s - 64) * 300) * 1_000_000) for s in range(66, 76))]
    watched(counter, values)
    # the last second before the set-back is lost; the last value waits for the next
    assert counter.joules == 6 + 360 + 10 * 300


def test_what_a_register_that_leaps_showed_just_before_a_set_back_is_lost() -> None:
    """6 W; 100 J ahead in the tenth second and set back in the next: nobody can tell the two apart."""
    counter = EnergyCounter(RANGE_UJ, limits(400, doubt="everything"))
    values = [(s, 10**9 + s * 6_000_000) for s in range(10)]
    values += [(10, 10**9 + 160_000_000), *((s, (s - 10) * 6_000_000) for s in range(11, 20))]
    joules = watched(counter, values)
    assert all(published <= second * 6.0 for second, published in enumerate(joules))
    assert joules[-1] >= 17 * 6.0
    assert counter.rejected == {"backwards": 1, "too_fast": 1}


def test_a_saved_value_is_one_that_nothing_denies() -> None:
    """Saved while 100 J ahead: another process goes on from what was certain."""
    counter = EnergyCounter(RANGE_UJ, limits(400, doubt="everything"))
    watched(counter, [*((s, s * 6_000_000) for s in range(10)), (10, 160_000_000)])
    saved = counter.saved()
    assert saved is not None
    later = EnergyCounter(RANGE_UJ, limits(400, doubt="everything"))
    later.restore(saved)
    assert watched(later, [(s, s * 6_000_000) for s in range(30, 36)])[-1] == 35 * 6.0


def test_two_leaps_right_after_a_gap_are_left_out() -> None:
    """50 W; after a gap of 30 s two reads are 696 J ahead, as 150 W over the gap allow."""
    counter = EnergyCounter(RANGE_UJ, limits(400, doubt="everything"))
    watched(counter, [(s, s * 50_000_000) for s in range(10)])
    saved = counter.saved()
    assert saved is not None
    later = EnergyCounter(RANGE_UJ, limits(400, doubt="everything"))
    later.restore(saved)
    values = [(40, 2_696_000_000), (41, 2_746_000_000), *((s, s * 50_000_000) for s in range(42, 50))]
    joules = watched(later, values)
    assert all(published <= second * 50.0 for (second, _), published in zip(values, joules, strict=True))
    assert joules[-1] >= 43 * 50.0
    assert later.rejected == {"too_fast": 2}


def test_a_leap_small_enough_to_be_believed_is_taken_back() -> None:
    """100 J ahead at once is possible; back on the line a second later it was false."""
    values = [(0, 0), (1, 6_000_000), (2, 112_000_000), *((s, s * 6_000_000) for s in range(3, 30))]
    joules = watched(EnergyCounter(RANGE_UJ, limits(400)), values)
    assert joules[-1] == 28 * 6.0


def test_a_register_that_was_caught_is_judged_by_what_it_drew_lately() -> None:
    """After one leap was denied, 100 J in a second beside 6 W wait for what follows."""
    values = [(0, 0), (1, 6_000_000), (2, 712_000_000), (3, 18_000_000), (4, 118_000_000), (5, 30_000_000)]
    joules = watched(EnergyCounter(RANGE_UJ, limits(400)), [*values, (6, 36_000_000)])
    assert joules == [0.0, 6.0, 6.0, 6.0, 6.0, 18.0, 30.0]


def test_a_first_value_that_was_ahead_costs_the_time_until_it_is_clear() -> None:
    values = [(0, 700_000_000), *((s, s * 6_000_000) for s in range(1, 11))]
    counter = EnergyCounter(RANGE_UJ, limits(400))
    assert watched(counter, values)[-1] == 9 * 6.0
    assert counter.rejected == {"backwards": 1}
    assert counter.broken_seconds == 1


def test_a_rise_is_held_for_a_moment_and_all_of_it_is_counted() -> None:
    """10 W, then 300 W: more than the 150 W that are believed at once, less than the part's 400 W."""
    values = [(0, 0), (1, 10_000_000), (2, 310_000_000), (3, 610_000_000), (4, 910_000_000)]
    counter = EnergyCounter(RANGE_UJ, limits(400))
    assert watched(counter, values) == [0.0, 10.0, 10.0, 10.0, 910.0]
    assert counter.rejected == {}
    assert [counter.settled_joules(s) for s in (2, 3, 4)] == [310.0, 610.0, 910.0]


def test_a_burst_of_a_second_that_the_part_can_draw_is_counted() -> None:
    values = [(0, 0), (1, 10_000_000), (2, 310_000_000), (3, 320_000_000), (4, 330_000_000)]
    assert watched(EnergyCounter(RANGE_UJ, limits(400)), values)[-1] == 330.0


def test_values_that_stay_too_fast_prove_the_bound_wrong() -> None:
    """250 W from a part of at most 100 W: late by three seconds, and from then on at once."""
    values = [(s, s * 250_000_000) for s in range(10)]
    joules = watched(EnergyCounter(RANGE_UJ, limits(100)), values)
    assert joules == [0.0] * 4 + [1000.0, 1250.0, 1500.0, 1750.0, 2000.0, 2250.0]


def test_a_leap_that_stays_beyond_what_the_part_can_draw_is_lost_and_counted() -> None:
    """700 J within a second and 6 W after it."""
    values = [(s, s * 6_000_000 + (694_000_000 if s > 5 else 0)) for s in range(20)]
    counter = EnergyCounter(RANGE_UJ, limits(400))
    assert watched(counter, values)[-1] == 5 * 6.0 + 13 * 6.0
    assert counter.rejected == {"too_fast": 1}


def test_values_that_stay_beyond_the_range_prove_the_range_wrong() -> None:
    """A range of 1 J and a register that goes on past it at 0.2 W."""
    values = [(s, s * 200_000) for s in range(20)]
    counter = EnergyCounter(1_000_000, limits(400))
    assert watched(counter, values)[-1] == 3.8
    assert counter.range_microjoules is None
    assert counter.rejected == {"out_of_range": 1}


def test_what_was_drawn_while_the_machine_slept_is_counted() -> None:
    """Asleep for an hour at 1 W: 3 600 J within a second of the clock that stands meanwhile."""
    counter = EnergyCounter(RANGE_UJ, limits(400))
    counter.observe(0, 0.0)
    counter.observe(3_600_000_000, 1.0, 3600.0)
    assert counter.joules == 3600.0


def test_a_register_that_sleep_set_back_did_not_come_round() -> None:
    """From 50 kJ to 10 J over an hour of sleep: 15.5 kJ would be a power of 4 W, and were not drawn."""
    counter = EnergyCounter(RANGE_UJ, limits(400))
    counter.observe(50_000_000_000, 0.0)
    for second in range(1, 6):
        counter.observe(second * 10_000_000, float(second), 3600.0)
    assert counter.joules == 40.0
    assert counter.wraps == 0


def test_a_register_that_came_round_in_sleep_is_told_from_one_that_was_set_back() -> None:
    """From 60 kJ over the end at 65.5 kJ to 4 kJ in eight hours: no machine draws 4 kJ in a second."""
    counter = EnergyCounter(RANGE_UJ, limits(400))
    counter.observe(60_000_000_000, 0.0)
    for second in range(1, 4):
        counter.observe(4_000_000_000 + second * 10_000_000, float(second), 28_800.0)
    assert counter.joules == pytest.approx(RANGE_UJ / 1e6 - 56_000 + 30)


def test_a_register_of_nonsense_is_no_failure() -> None:
    """Values may be final, by breaks alone, before any step is: what the part draws least is unknown then."""
    numbers = random.Random(1)
    counter = EnergyCounter(65_532_610_987, Bounds(300.0, 3000.0))
    for second in range(60):
        counter.observe(numbers.randrange(65_532_610_987), float(second))
        assert counter.ahead_microjoules >= 0


def test_a_jump_of_a_counter_does_not_make_a_later_one_likely() -> None:
    """100 W, and two leaps of a megajoule that stay, twenty minutes apart: each costs a second."""
    counter = EnergyCounter(None, limits(3000, "nothing"))
    for second in range(1500):
        leaps = (second >= 10) + (second >= 1210)
        counter.observe(second * 100_000_000 + leaps * 10**12, float(second))
    assert counter.joules == 149_700.0
    assert counter.rejected == {"too_fast": 2}


def test_what_is_ahead_is_ahead_of_what_was_published() -> None:
    """1500 J were published of 1000 J; what is drawn since is in them until it is more."""
    counter = EnergyCounter(None, limits(300, "everything"))
    counter.restore(SavedRegister(0, 0.0, 0.0, 1_000_000_000, 1_500_000_000))
    raw = 0
    for second in range(1, 17):
        raw += 20_000_000 if second < 15 else 100_000_000
        counter.observe(raw, float(second))
        assert counter.microjoules + counter.ahead_microjoules == 1_500_000_000


def test_a_counter_goes_on_from_what_another_process_saved() -> None:
    counter = EnergyCounter(RANGE_UJ, limits(400))
    watched(counter, [(0, 0), (1, 50_000_000), (2, 100_000_000)])
    saved = counter.saved()
    assert saved is not None
    later = EnergyCounter(RANGE_UJ, limits(400))
    later.restore(saved)
    later.observe(3_100_000_000, 62.0)
    assert later.joules == 3100.0


def test_a_register_that_was_set_back_while_nobody_looked_begins_at_0() -> None:
    """To go on a little below what was published would look like a restart that drew everything again."""
    counter = EnergyCounter(None, limits(400))
    watched(counter, [(0, 0), (1, 100_000_000)])
    saved = counter.saved()
    assert saved is not None
    later = EnergyCounter(None, limits(400))
    later.restore(saved)
    assert watched(later, [(s, (s * 10 - 95) * 1_000_000) for s in range(10, 15)])[-1] == 40.0


@given(
    leaps=st.lists(st.one_of(st.just(0), st.integers(1_000_000, 900_000_000)), min_size=5, max_size=60),
    watts=st.floats(1.0, 100.0),
)
def test_leaps_of_any_size_in_every_second_leave_no_false_joule(leaps: list[int], watts: float) -> None:
    """The register is right every second value and anything up to 900 J ahead in the others."""
    counter, seconds = EnergyCounter(RANGE_UJ, limits(400)), 0
    for leap in leaps:
        counter.observe(int(seconds * watts * 1e6), float(seconds))
        counter.observe(int((seconds + 1) * watts * 1e6) + leap, seconds + 1.0)
        seconds += 2
    for _ in range(20):
        counter.observe(int(seconds * watts * 1e6), float(seconds))
        seconds += 20
    assert counter.joules <= (seconds - 20) * watts + 1e-3


def test_a_second_of_false_values_at_ten_reads_a_second_adds_nothing() -> None:
    """6 W; from the third to the fourth second 500 J ahead."""
    counter = EnergyCounter(RANGE_UJ, limits(400))
    values = [(t / 10, t * 600_000 + (500_000_000 if 30 <= t < 40 else 0)) for t in range(100)]
    joules = watched(counter, values)
    assert all(shown <= raw / 1e6 for shown, (_, raw) in zip(joules, values, strict=True))
    assert all(shown <= 0.6 * t + 1e-6 for t, shown in enumerate(joules))
    assert joules[-1] == pytest.approx(99 * 0.6, abs=0.7)


def test_a_wrap_of_a_register_that_leaps_is_told_from_a_set_back() -> None:
    """6 W over the end of the range, one read in three 100 J ahead: the range is added once."""
    counter = EnergyCounter(RANGE_UJ, limits(240, "everything"))
    values = [
        (s, (RANGE_UJ - 60_000_000 + s * 6_000_000 + (100_000_000 if s % 3 == 2 else 0)) % RANGE_UJ)
        for s in range(30)
    ]
    assert watched(counter, values)[-1] == pytest.approx(28 * 6.0, abs=6.0)
    assert (counter.wraps, counter.broken_seconds) == (1, None)


@pytest.mark.parametrize("every", [5, 10])
@pytest.mark.parametrize("seconds", [0.1, 0.2, 0.5])
def test_leaps_under_fast_readings_do_not_make_all_of_them_doubtful(seconds: float, every: int) -> None:
    """30 W for a minute, and one value in five or ten 696 J ahead: all was held false, for ever."""
    counter, joules = EnergyCounter(RANGE_UJ, Bounds(580.0, doubt="everything")), 0.0
    for number in range(round(60 / seconds)):
        joules += 30.0 * seconds
        ahead = 696.0 if number % every == every - 1 else 0.0
        counter.observe(round((1000.0 + joules + ahead) * 1e6), number * seconds)
        assert counter.joules <= joules
    # what was drawn before the first value, and in the last seconds, is not counted yet
    assert counter.joules == pytest.approx(1800.0, abs=5 * 30.0)
