"""Reasons not to trust a window: each condition just inside and just outside its limit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from runner.validity import REASONS, MachineState, WindowConditions, read_machine_state, reasons

QUIET = WindowConditions(
    window_seconds=60.0,
    wall_clock_seconds=60.0,
    samples=120,
    longest_gap_seconds=0.5,
    interval_seconds=0.5,
    energy_lost=False,
    host_busy_seconds=100.0,
    host_total_seconds=120.0,
    encoder_cpu_seconds=100.0,
    before=MachineState(),
    after=MachineState(),
)


def test_an_undisturbed_window_has_no_reasons() -> None:
    assert reasons(QUIET) == []


def _conditions(**after: Any) -> dict[str, Any]:
    zero = {"steal_seconds": 0.0, "throttled_seconds": 0.0, "thermal_events": 0, "governors": ("powersave",)}
    return {"before": MachineState(**zero), "after": MachineState(**(zero | after))}


def _lasting(seconds: float) -> dict[str, Any]:
    return {"window_seconds": seconds, "wall_clock_seconds": seconds}


def _busy(*, own: float, host: float) -> dict[str, Any]:
    return {"encoder_cpu_seconds": own, "host_busy_seconds": host}


@pytest.mark.parametrize(
    ("reason", "fine", "bad"),
    [
        ("too_short", _lasting(3.0), _lasting(2.9)),
        ("undersampled", {"samples": 5}, {"samples": 4}),
        ("undersampled", {"longest_gap_seconds": 1.5}, {"longest_gap_seconds": 1.6}),
        ("energy_lost", {}, {"energy_lost": True}),
        # 6 s is a tenth of a core over the window, and more than 5 % of 100 s
        ("other_load", {"host_busy_seconds": 106.0}, {"host_busy_seconds": 106.1}),
        # for an encoder of 200 CPU seconds 5 % are 10 s
        ("other_load", _busy(own=200.0, host=210.0), _busy(own=200.0, host=210.1)),
        ("steal", _conditions(steal_seconds=1.2), _conditions(steal_seconds=1.3)),
        ("throttled", _conditions(throttled_seconds=0.6), _conditions(throttled_seconds=0.7)),
        ("thermal", _conditions(thermal_events=0), _conditions(thermal_events=1)),
        ("governor_changed", _conditions(), _conditions(governors=("performance",))),
        # 2 % of 60 s are 1.2 s
        ("realtime_not_held", {"realtime_seconds": 58.85}, {"realtime_seconds": 58.7}),
        ("frames_dropped", {"dropped_frames": 0}, {"dropped_frames": 1}),
        ("decode_errors", {"decode_errors": 0}, {"decode_errors": 1}),
        ("encoder_stopped", {"stopped": False}, {"stopped": True}),
        ("clock_changed", {"wall_clock_seconds": 60.2}, {"wall_clock_seconds": 60.5}),
    ],
)  # fmt: skip
def test_each_reason_starts_where_its_limit_says(
    reason: str, fine: dict[str, Any], bad: dict[str, Any]
) -> None:
    assert reasons(msgspec.structs.replace(QUIET, **fine)) == []
    assert reasons(msgspec.structs.replace(QUIET, **bad)) == [reason]


def test_every_reason_has_an_explanation_and_a_test() -> None:
    marks = test_each_reason_starts_where_its_limit_says.pytestmark  # type: ignore[attr-defined]
    assert {case[0] for case in marks[0].args[1]} == set(REASONS)


def test_a_machine_that_does_not_tell_gives_no_reason() -> None:
    unknown = msgspec.structs.replace(QUIET, host_busy_seconds=None, host_total_seconds=None)
    assert reasons(unknown) == []


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_conditions_come_from_proc_and_sys(tmp_path: Path) -> None:
    """Steal is the eighth figure of /proc/stat in ticks of 10 ms; throttled time is the control group's."""
    proc, sys = tmp_path / "proc", tmp_path / "sys"
    _write(proc / "stat", "cpu  10 0 10 100 0 0 0 250 0 0\ncpu0 10 0 10 100 0 0 0 250 0 0\n")
    _write(proc / "self/cgroup", "0::/system.slice/run.scope\n")
    _write(sys / "fs/cgroup/system.slice/run.scope/cpu.stat", "usage_usec 5\nthrottled_usec 1500000\n")
    _write(sys / "fs/cgroup/system.slice/cpu.stat", "usage_usec 5\nthrottled_usec 2500000\n")
    for cpu, count in ((0, 3), (1, 4)):
        _write(sys / f"devices/system/cpu/cpu{cpu}/thermal_throttle/core_throttle_count", f"{count}\n")
        _write(sys / f"devices/system/cpu/cpufreq/policy{cpu}/scaling_governor", "schedutil\n")
    assert read_machine_state(str(proc), str(sys)) == MachineState(
        steal_seconds=2.5,
        throttled_seconds=2.5,
        thermal_events=7,
        governors=("schedutil", "schedutil"),
    )


def test_version_1_control_groups_count_nanoseconds(tmp_path: Path) -> None:
    proc, sys = tmp_path / "proc", tmp_path / "sys"
    _write(proc / "self/cgroup", "4:memory:/x\n3:cpu,cpuacct:/docker/abc\n")
    _write(sys / "fs/cgroup/cpu,cpuacct/docker/abc/cpu.stat", "nr_throttled 2\nthrottled_time 750000000\n")
    assert read_machine_state(str(proc), str(sys)).throttled_seconds == 0.75


def test_a_machine_without_these_files_has_no_conditions(tmp_path: Path) -> None:
    assert read_machine_state(str(tmp_path), str(tmp_path)) == MachineState()


def test_the_documentation_has_every_reason_in_the_same_words() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs/runner.md").read_text()
    listed = page.partition("## Reasons in `validity`")[2]
    rows = [line for line in listed.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{reason}` | {meaning} |" for reason, meaning in REASONS.items()]
