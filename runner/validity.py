"""Why a measurement should not be trusted: the conditions that are watched, their limits, and the reasons.

`REASONS` is the one list of the words that ``validity`` in a result file may hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from advisor.energy.cpu import cpu_times

__all__ = ["REASONS", "Conditions", "Observed", "read_conditions", "reasons"]

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
    "clock_changed": "the wall clock was set during the window: start and end do not match its length",
}


class Conditions(Struct, frozen=True):
    """Counters and settings that tell whether a window was undisturbed; None where the machine has none."""

    steal_seconds: float | None = None
    throttled_seconds: float | None = None
    thermal_events: int | None = None
    governors: tuple[str, ...] = ()


class Observed(Struct, frozen=True, kw_only=True):
    """What is known of one window besides its energy. Seconds of CPU are summed over all CPUs."""

    window_seconds: float
    wall_clock_seconds: float
    samples: int
    longest_gap_seconds: float
    interval_seconds: float
    energy_lost: bool
    host_busy_seconds: float | None
    host_total_seconds: float | None
    own_seconds: float
    """CPU seconds of the encoders and of the runner."""
    before: Conditions
    after: Conditions
    realtime_seconds: float | None = None
    """Seconds of video that the slowest live stream made; None when not live."""
    dropped_frames: int = 0
    decode_errors: int = 0


def reasons(observed: Observed) -> list[str]:
    """The reasons against one window, in the order of `REASONS`; empty when there are none."""
    found = {*_timing(observed), *_disturbance(observed), *_encode(observed)}
    return [reason for reason in REASONS if reason in found]


def _timing(o: Observed) -> Iterator[str]:
    if o.window_seconds < SHORT_SECONDS:
        yield "too_short"
    if o.samples < FEWEST_SAMPLES or o.longest_gap_seconds > LONGEST_GAP_STEPS * o.interval_seconds:
        yield "undersampled"
    if o.energy_lost:
        yield "energy_lost"
    if abs(o.wall_clock_seconds - o.window_seconds) > max(0.05, 0.005 * o.window_seconds):
        yield "clock_changed"


def _disturbance(o: Observed) -> Iterator[str]:
    if o.host_busy_seconds is not None:
        other = o.host_busy_seconds - o.own_seconds
        if other > max(OTHER_LOAD_CORES * o.window_seconds, OTHER_LOAD_RATIO * o.own_seconds):
            yield "other_load"
    steal = _grown(o.before.steal_seconds, o.after.steal_seconds)
    if o.host_total_seconds and steal > STEAL_RATIO * o.host_total_seconds:
        yield "steal"
    throttled = _grown(o.before.throttled_seconds, o.after.throttled_seconds)
    if throttled > THROTTLED_RATIO * o.window_seconds:
        yield "throttled"
    if _grown(o.before.thermal_events, o.after.thermal_events) > 0:
        yield "thermal"
    if o.before.governors != o.after.governors:
        yield "governor_changed"


def _encode(o: Observed) -> Iterator[str]:
    lag = max(REALTIME_LAG_SECONDS, REALTIME_LAG_RATIO * o.window_seconds)
    if o.realtime_seconds is not None and o.window_seconds - o.realtime_seconds > lag:
        yield "realtime_not_held"
    if o.dropped_frames:
        yield "frames_dropped"
    if o.decode_errors:
        yield "decode_errors"


def _grown(before: float | None, after: float | None) -> float:
    return 0.0 if before is None or after is None else after - before


def read_conditions(procfs: str = "/proc", sysfs: str = "/sys") -> Conditions:
    """The conditions of this moment."""
    times = cpu_times(procfs)
    cpus = Path(sysfs, "devices/system/cpu")
    throttle_counts = cpus.glob("cpu[0-9]*/thermal_throttle/*_throttle_count")
    thermal = [int(text) for path in throttle_counts if (text := _text(path)).isdigit()]
    governors = sorted(cpus.glob("cpufreq/policy*/scaling_governor"))
    return Conditions(
        steal_seconds=times.steal_seconds if times else None,
        throttled_seconds=_throttled_seconds(Path(procfs), Path(sysfs)),
        thermal_events=sum(thermal) if thermal else None,
        governors=tuple(_text(path) for path in governors),
    )


def _throttled_seconds(procfs: Path, sysfs: Path) -> float | None:
    """Time that this process's control group, or one above it, was held back by its CPU limit."""
    most: float | None = None
    for line in _text(procfs / "self/cgroup").splitlines():
        _, controllers, place = [*line.split(":", 2), "", ""][:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = sysfs / "fs/cgroup" / controllers
        folder = mount / place.lstrip("/")
        # inside a container the group's own path may not be visible: its files are then at the mount itself
        levels = [folder, *folder.parents] if folder.is_dir() else [mount]
        for level in levels:
            seconds = _throttled(_text(level / "cpu.stat"))
            if seconds is not None:
                most = max(most or 0.0, seconds)
            if level == mount:
                break
    return most


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
