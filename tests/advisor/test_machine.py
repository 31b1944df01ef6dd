"""Who this machine is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from advisor.machine import CpuInfo, cpu_info, hardware_id, host

XEON = """processor\t: {n}
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 85
model name\t: Intel(R) Xeon(R) Gold 6230 CPU @ 2.10GHz
stepping\t: 7
physical id\t: {socket}
core id\t\t: {core}
flags\t\t: fpu vme {flags}

"""
ARM = """processor\t: {n}
BogoMIPS\t: 243.75
Features\t: fp asimd evtstrm
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x3
CPU part\t: 0xd0c
CPU revision\t: 1

"""


def machine(root: Path, cpuinfo: str, **files: str) -> str:
    (root / "cpuinfo").write_text(cpuinfo)
    for name, text in files.items():
        (root / name).write_text(text)
    return str(root)


def two_sockets(flags: str = "") -> str:
    """Two sockets of two cores with two threads each."""
    return "".join(XEON.format(n=n, socket=n % 2, core=n // 4, flags=flags) for n in range(8))


def test_sockets_cores_and_threads_are_told_apart(tmp_path: Path) -> None:
    info = cpu_info(machine(tmp_path, two_sockets()))
    assert (info.sockets, info.cores, info.threads) == (2, 4, 8)
    assert (info.vendor, info.family, info.model, info.stepping) == ("GenuineIntel", 6, 85, 7)


def test_an_arm_part_is_known_by_its_numbers(tmp_path: Path) -> None:
    info = cpu_info(machine(tmp_path, "".join(ARM.format(n=n) for n in range(4))))
    assert (info.vendor, info.family, info.model, info.threads, info.cores) == ("0x41", 8, 0xD0C, 4, 4)
    assert info.model_name is None


def arm(part: str, count: int) -> str:
    return "".join(ARM.format(n=n).replace("0xd0c", part) for n in range(count))


def test_a_raspberry_pi_is_no_server_with_the_same_cores(tmp_path: Path) -> None:
    """Both have four Cortex-A72; the board's name is in the last lines, as the kernel writes them."""
    board = "Hardware\t: BCM2835\nRevision\t: c03111\nSerial\t\t: 10000000abcdef01\nModel\t\t: {}\n"
    pi = cpu_info(machine(tmp_path, arm("0xd08", 4) + board.format("Raspberry Pi 4 Model B Rev 1.1")))
    later = cpu_info(machine(tmp_path, arm("0xd08", 4) + board.format("Raspberry Pi 4 Model B Rev 1.5")))
    server = cpu_info(machine(tmp_path, arm("0xd08", 4)))
    assert pi.model_name == "Raspberry Pi 4 Model B"
    assert hardware_id(pi, "aarch64") == hardware_id(later, "aarch64") != hardware_id(server, "aarch64")


def test_a_part_of_two_kinds_of_cores_is_none_of_the_first_kind_alone(tmp_path: Path) -> None:
    """RK3588: four Cortex-A55 first, then four Cortex-A76, beside a part of eight A55."""
    hybrid = cpu_info(machine(tmp_path, arm("0xd05", 4) + arm("0xd0b", 4)))
    assert hybrid.model_name == "4 x 0xd05 + 4 x 0xd0b"
    assert hardware_id(hybrid) != hardware_id(cpu_info(machine(tmp_path, arm("0xd05", 8))))


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("cpu\t\t: POWER9, altivec supported", "POWER9, altivec supported"),
        ("uarch\t\t: sifive,u74-mc", "sifive,u74-mc"),
        ("Model Name\t\t: Loongson-3A6000", "Loongson-3A6000"),
    ],
)
def test_other_architectures_have_names_too(tmp_path: Path, line: str, name: str) -> None:
    assert cpu_info(machine(tmp_path, f"processor\t: 0\n{line}\n\n")).model_name == name


def test_what_cannot_be_read_is_unknown(tmp_path: Path) -> None:
    info = cpu_info(str(tmp_path))
    assert info.model_name is None
    assert info.threads >= 1


def test_the_id_is_readable_and_the_same_in_every_process(tmp_path: Path) -> None:
    root = machine(tmp_path, two_sockets())
    code = f"from advisor.machine import *; print(hardware_id(cpu_info({root!r})))"
    command = [sys.executable, "-c", code]
    told = [
        subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed})
        for seed in ("1", "2")
    ]
    ids = [done.stdout.strip() for done in told]
    assert ids == [hardware_id(cpu_info(root))] * 2
    assert ids[0].startswith("intel-xeon-gold-6230-8t-")


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("AMD EPYC 7763 64-Core Processor", "amd-epyc-7763-8t-"),
        ("AMD Ryzen 7 5800U with Radeon Graphics", "amd-ryzen-7-5800u-8t-"),
        ("12th Gen Intel(R) Core(TM) i7-1260P", "12th-gen-intel-core-i7-1260p-8t-"),
        ("Intel(R) Xeon(R) Processor @ 2.20GHz", "intel-xeon-8t-"),
        ("日本語", "unknown-8t-"),
    ],
)
def test_the_prefix_is_the_part_without_the_marketing(name: str, prefix: str) -> None:
    assert hardware_id(CpuInfo(name, "X", 6, 1, 1, 1, 4, 8, False)).startswith(prefix)


def test_machines_that_differ_in_threads_alone_have_two_ids() -> None:
    one, two = (CpuInfo("CPU", "X", 6, 1, 1, 1, 4, threads, False) for threads in (4, 8))
    assert hardware_id(one, "x86_64").rpartition("-")[2] != hardware_id(two, "x86_64").rpartition("-")[2]


def test_the_host_of_a_result_file(tmp_path: Path) -> None:
    root = machine(tmp_path, two_sockets(), meminfo="MemTotal:       16384 kB\nMemFree: 1 kB\n")
    governor = tmp_path / "devices/system/cpu/cpu0/cpufreq/scaling_governor"
    governor.parent.mkdir(parents=True)
    governor.write_text("performance\n")
    found = host(root, str(tmp_path))
    assert found.memory_bytes == 16384 * 1024
    assert (found.cores, found.threads, found.governor) == (4, 8, "performance")
    assert found.hardware_id == hardware_id(cpu_info(root))


def test_unknown_memory_and_governor_are_absent(tmp_path: Path) -> None:
    found = host(machine(tmp_path, two_sockets(), meminfo="nonsense\n"), str(tmp_path))
    assert found.memory_bytes is None
    assert found.governor is None


def test_a_hypervisor_s_flag_says_virtual(tmp_path: Path) -> None:
    assert host(machine(tmp_path, two_sockets("hypervisor lahf_lm")), str(tmp_path)).virtual is True


def test_an_intel_part_without_the_flag_is_no_guest(tmp_path: Path) -> None:
    assert host(machine(tmp_path, two_sockets()), str(tmp_path)).virtual is False


@pytest.mark.parametrize(
    ("vendor", "product", "virtual"),
    [
        ("QEMU", "KVM Virtual Machine", True),
        ("Amazon EC2", "m6g.metal", False),
        ("Dell Inc.", "R650", False),
        # systemd 23116 and 43347, landscape-client 52
        ("OpenStack Foundation", "OpenStack Nova", True),
        ("Alibaba Cloud", "Alibaba Cloud ECS", True),
        ("Hetzner", "vServer", True),
        ("Apple Inc.", "Apple Virtualization Generic Platform", True),
        ("GIGABYTE", "R272-P30-JG", False),
        # what libvirt's managers name themselves, and machines whose names only hold the letters
        ("oVirt", "RHEL-AV", True),
        ("KubeVirt", "None", True),
        ("FreeBSD", "BHYVE", True),
        ("Cloud Hypervisor", "cloud-hypervisor", True),
        ("Microsoft Corporation", "Virtual Machine", True),
        ("XENON Systems", "Radon Duo", False),
        ("Virtium", "StorFly", False),
    ],
)
def test_arm_is_told_by_its_firmware(tmp_path: Path, vendor: str, product: str, virtual: bool) -> None:
    folder = tmp_path / "class/dmi/id"
    folder.mkdir(parents=True)
    (folder / "sys_vendor").write_text(f"{vendor}\n")
    (folder / "product_name").write_text(f"{product}\n")
    assert host(machine(tmp_path, ARM.format(n=0)), str(tmp_path)).virtual is virtual


def test_arm_without_firmware_tables_is_unknown(tmp_path: Path) -> None:
    assert host(machine(tmp_path, ARM.format(n=0)), str(tmp_path)).virtual is None
