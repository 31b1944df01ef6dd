"""Why a measurement should not be trusted: the conditions that are watched, their limits, and the reasons.

`REASONS` is the one list of the words that ``validity`` in a result file may hold.
"""

from __future__ import annotations

import math
from pathlib import Path

from msgspec import Struct

from advisor.common.control_group import group_folders
from advisor.energy.cpu import cpu_times

SHORT_SECONDS = 3.0
"""Below it starting and flushing the encoder are a large part of the window."""
FEWEST_SAMPLES = 5
LONGEST_GAP_STEPS = 3.0
"""A gap between samples, in sampling intervals, that hides what happened."""
OTHER_LOAD_RATIO = 0.05
OTHER_LOAD_CORES = 0.1
STEAL_RATIO = 0.01
THROTTLED_RATIO = 0.01
REALTIME_LAG_SECONDS = 0.5
REALTIME_LAG_RATIO = 0.02

REASONS: dict[str, str] = {
    "too_short": f"the window was shorter than {SHORT_SECONDS:g} s",
    "undersampled": f"fewer than {FEWEST_SAMPLES} power samples, or a gap of "
    f"over {LONGEST_GAP_STEPS:g} sampling intervals",
    "energy_lost": "an energy zone could not be read at both ends of the window, so no total is given",
    "other_load": f"other processes used over {OTHER_LOAD_CORES:g} cores and over "
    f"{OTHER_LOAD_RATIO:.0%} of the encoder's CPU time",
    "steal": f"the hypervisor took over {STEAL_RATIO:.0%} of the CPU time",
    "throttled": "the control group's CPU limit held processes back for over "
    f"{THROTTLED_RATIO:.0%} of the window",
    "thermal": "a CPU lowered its clock because of its temperature",
    "governor_changed": "the CPU frequency governor changed",
    "realtime_not_held": f"a live encode fell behind by over {REALTIME_LAG_SECONDS:g} s and "
    f"{REALTIME_LAG_RATIO:.0%} of the window",
    "frames_dropped": "ffmpeg dropped frames",
    "decode_errors": "the input could not be read and decoded without errors",
    "encoder_stopped": "a signal stopped ffmpeg for some time within the window",
    "clock_changed": "the wall clock was set during the window: start and end do not match its length",
}


class MachineState(Struct, frozen=True):
    """Counters and settings that tell whether a window was undisturbed; None where the machine has none."""

    steal_seconds: float | None = None
    throttled_seconds: float | None = None
    thermal_events: int | None = None
    governors: tuple[str, ...] = ()
    runner_cpu_seconds: float = 0.0
    """What the runner itself has used."""


class WindowConditions(Struct, frozen=True, kw_only=True):
    """What is known of one window besides its energy. Seconds of CPU are summed over all CPUs."""

    window_seconds: float
    wall_clock_seconds: float
    samples: int
    longest_gap_seconds: float
    interval_seconds: float = 0.5
    """Between samples, as planned."""
    energy_lost: bool
    host_busy_seconds: float | None
    host_total_seconds: float | None
    encoder_cpu_seconds: float = 0.0
    before: MachineState
    after: MachineState
    realtime_seconds: float | None = None
    """Seconds of video that the slowest live stream made; None when not live."""
    dropped_frames: int = 0
    decode_errors: int = 0
    stopped: bool = False
    """Whether an encoder was stopped by a signal and went on."""


def reasons(window: WindowConditions) -> list[str]:
    """The reasons against one window, in the order of `REASONS`; empty when there are none."""
    before, after, seconds = window.before, window.after, window.window_seconds
    expected_busy = window.encoder_cpu_seconds + after.runner_cpu_seconds - before.runner_cpu_seconds
    other_busy = (window.host_busy_seconds or 0.0) - expected_busy
    lag = 0.0 if window.realtime_seconds is None else seconds - window.realtime_seconds
    clock_error = abs(window.wall_clock_seconds - seconds)
    steal = _grown(before.steal_seconds, after.steal_seconds)
    longest_gap = LONGEST_GAP_STEPS * window.interval_seconds
    applies = {
        "too_short": seconds < SHORT_SECONDS,
        "undersampled": window.samples < FEWEST_SAMPLES or window.longest_gap_seconds > longest_gap,
        "energy_lost": window.energy_lost,
        "other_load": other_busy > max(OTHER_LOAD_CORES * seconds, OTHER_LOAD_RATIO * expected_busy),
        "steal": steal > STEAL_RATIO * (window.host_total_seconds or math.inf),
        "throttled": _grown(before.throttled_seconds, after.throttled_seconds) > THROTTLED_RATIO * seconds,
        "thermal": _grown(before.thermal_events, after.thermal_events) > 0,
        "governor_changed": before.governors != after.governors,
        "realtime_not_held": lag > max(REALTIME_LAG_SECONDS, REALTIME_LAG_RATIO * seconds),
        "frames_dropped": window.dropped_frames > 0,
        "decode_errors": window.decode_errors > 0,
        "encoder_stopped": window.stopped,
        "clock_changed": clock_error > max(0.05, 0.005 * seconds),
    }
    return [reason for reason in REASONS if applies[reason]]


def _grown(before: float | None, after: float | None) -> float:
    return 0.0 if before is None or after is None else after - before


def read_machine_state(procfs: str = "/proc", sysfs: str = "/sys") -> MachineState:
    """The conditions of this moment."""
    times = cpu_times(procfs)
    cpus = Path(sysfs, "devices/system/cpu")
    throttle_counts = cpus.glob("cpu[0-9]*/thermal_throttle/*_throttle_count")
    thermal = [int(text) for path in throttle_counts if (text := _text(path)).isdigit()]
    governors = sorted(cpus.glob("cpufreq/policy*/scaling_governor"))
    return MachineState(
        steal_seconds=times.steal_seconds if times else None,
        throttled_seconds=_throttled_seconds(procfs, sysfs),
        thermal_events=sum(thermal) if thermal else None,
        governors=tuple(_text(path) for path in governors),
    )


def _throttled_seconds(procfs: str, sysfs: str) -> float | None:
    """Time that this process's control group, or one above it, was held back by its CPU limit."""
    levels = [_throttled(_text(folder / "cpu.stat")) for folder in group_folders("cpu", procfs, sysfs)]
    return max((seconds for seconds in levels if seconds is not None), default=None)


def _throttled(cpu_stat: str) -> float | None:
    values = dict(line.split() for line in cpu_stat.splitlines() if len(line.split()) == 2)
    if "throttled_usec" in values:
        return int(values["throttled_usec"]) / 1e6
    # version 1 counts nanoseconds
    return int(values["throttled_time"]) / 1e9 if "throttled_time" in values else None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
