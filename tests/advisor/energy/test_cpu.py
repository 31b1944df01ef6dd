"""CPU times of the machine and the limit of the control group."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.energy.cpu import (
    CpuTimes,
    cpu_times,
    parse_cpu_times,
    quota_cores,
    tells_whole_machine,
    utilisation,
)

# user nice system idle iowait irq softirq steal guest guest_nice, in hundredths of a second
STAT = b"cpu  1000 200 300 5000 400 50 50 600 700 100\ncpu0 1 2\ncpu1 1 2\nintr 123 4\n"


def test_busy_is_what_these_cpus_worked(tmp_path: Path) -> None:
    """user + nice + system + irq + softirq = 1600 ticks; guests lie inside user and nice."""
    (tmp_path / "stat").write_bytes(STAT)
    times = cpu_times(str(tmp_path))
    assert times is not None
    assert times.busy_seconds == 16.0


def test_total_is_all_time_once(tmp_path: Path) -> None:
    """1600 busy, 5000 idle, 400 waiting for disks, 600 taken by the hypervisor: 7600 ticks."""
    (tmp_path / "stat").write_bytes(STAT)
    times = cpu_times(str(tmp_path))
    assert times is not None
    assert times.total_seconds == 76.0


def test_an_old_kernel_with_four_numbers_is_understood() -> None:
    times = parse_cpu_times(b"cpu  100 0 50 850")
    assert times is not None
    assert (times.busy_seconds, times.total_seconds) == (1.5, 10.0)


@pytest.mark.parametrize("text", [b"", b"cpu", b"cpu  a b c d", b"intr 1 2 3 4", b"cpu  1 2 -3 4 5"])
def test_nonsense_is_unknown_and_not_zero(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "stat").write_bytes(text)
    assert cpu_times(str(tmp_path)) is None


def test_no_file_is_unknown(tmp_path: Path) -> None:
    assert cpu_times(str(tmp_path)) is None


def test_utilisation_takes_no_nonsense_from_clocks_that_run_back() -> None:
    assert utilisation(CpuTimes(10.0, 100.0), CpuTimes(9.0, 110.0)) == 0.0
    assert utilisation(CpuTimes(10.0, 100.0), CpuTimes(10.0, 90.0)) == 0.0
    assert utilisation(CpuTimes(10.0, 100.0), CpuTimes(30.0, 110.0)) == 1.0


def group(root: Path, lines: str, files: dict[str, str]) -> tuple[str, str]:
    """A proc and a sys with this process in a control group."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(lines)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(root / "proc"), str(root / "sys")


def test_version_2_limit(tmp_path: Path) -> None:
    assert quota_cores(*group(tmp_path, "0::/app\n", {"app/cpu.max": "150000 100000\n"})) == 1.5


def test_the_tightest_limit_above_counts(tmp_path: Path) -> None:
    files = {"a/cpu.max": "50000 100000\n", "a/b/cpu.max": "200000 100000\n"}
    assert quota_cores(*group(tmp_path, "0::/a/b\n", files)) == 0.5


def test_version_2_without_a_limit(tmp_path: Path) -> None:
    assert quota_cores(*group(tmp_path, "0::/app\n", {"app/cpu.max": "max 100000\n"})) is None


def test_version_1_limit(tmp_path: Path) -> None:
    files = {"cpu,cpuacct/app/cpu.cfs_quota_us": "50000\n", "cpu,cpuacct/app/cpu.cfs_period_us": "100000\n"}
    assert quota_cores(*group(tmp_path, "4:cpu,cpuacct:/app\n0::/\n", files)) == 0.5


def test_version_1_without_a_limit(tmp_path: Path) -> None:
    files = {"cpu/app/cpu.cfs_quota_us": "-1\n", "cpu/app/cpu.cfs_period_us": "100000\n"}
    assert quota_cores(*group(tmp_path, "4:cpu:/app\n", files)) is None


def test_inside_a_container_the_files_are_at_the_mount(tmp_path: Path) -> None:
    """The path names the host's group, which the container cannot see."""
    lines = "0::/system.slice/docker-0123.scope\n"
    assert quota_cores(*group(tmp_path, lines, {"cpu.max": "100000 100000\n"})) == 1.0


def test_no_control_groups_at_all(tmp_path: Path) -> None:
    assert quota_cores(str(tmp_path), str(tmp_path)) is None


@pytest.mark.parametrize(
    ("mount", "whole"),
    [
        ("36 35 0:33 /proc/stat /proc/stat rw,nosuid - fuse.lxcfs lxcfs rw,user_id=0", False),
        ("36 35 0:33 /proc/stat /proc/stat rw shared:7 master:1 - fuse sysboxfs rw", False),
        ("36 35 0:33 /proc/stat /host/proc/stat rw - fuse.lxcfs lxcfs rw", True),
        ("36 35 0:5 /stat /proc/stat ro,relatime - proc proc rw", True),
        ("36 35 0:33 /proc/stat /proc/swaps rw - fuse.lxcfs lxcfs rw", True),
        ("36 35 0:33", True),
    ],
)
def test_a_stat_of_a_container_alone_is_told_by_its_mount(tmp_path: Path, mount: str, whole: bool) -> None:
    """LXC lays a file of lxcfs over it, Sysbox one of its own; a bind mount of the kernel's stays one."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"35 30 0:5 / /proc rw,nosuid - proc proc rw\n{mount}\n")
    assert tells_whole_machine("/proc", str(mounts)) is whole
