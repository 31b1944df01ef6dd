"""Who this machine is, the same answer in every process and container on it."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections import Counter
from pathlib import Path

from msgspec import Struct

from advisor.common.control_group import machine_memory_bytes
from advisor.results import GpuInfo, Host

_MARKETING = re.compile(r"\((?:r|tm)\)|\b(?:cpu|processor|\d+-core)\b|\b(?:with|w/) .*|@.*", re.IGNORECASE)
_HYPERVISORS = re.compile(
    r"\b(?:qemu|kvm|vmware|xen\b|virtual|kubevirt|ovirt|innotek|parallels|bochs|bhyve|hypervisor|amazon ec2|"
    r"google compute|openstack|alibaba|vserver)",
    re.IGNORECASE,
)


class CpuInfo(Struct, frozen=True):
    """What ``/proc/cpuinfo`` says of the processors; ``None`` where it does not say."""

    model_name: str | None
    vendor: str | None
    family: int | None
    model: int | None
    stepping: int | None
    sockets: int
    cores: int
    threads: int
    hypervisor: bool
    """Whether a hypervisor announces itself (x86 only)."""


def cpu_info(procfs: str = "/proc") -> CpuInfo:
    """Read ``cpuinfo`` under ``procfs``; x86, ARM and what else the kernel runs on."""
    blocks, board = _blocks(Path(procfs, "cpuinfo"))
    first = blocks[0] if blocks else {}
    packages = {b.get("physical id", "0") for b in blocks}
    cores = {(b.get("physical id", "0"), b["core id"]) for b in blocks if "core id" in b}
    threads = len(blocks) or os.cpu_count() or 1
    names = (first.get(key) for key in ("model name", "cpu model", "Model Name", "cpu", "uarch"))
    return CpuInfo(
        model_name=next(filter(None, names), None) or _board(board) or _kinds(blocks),
        vendor=first.get("vendor_id") or first.get("CPU implementer"),
        family=_number(first.get("cpu family") or first.get("CPU architecture")),
        model=_number(first.get("model") or first.get("CPU part")),
        stepping=_number(first.get("stepping") or first.get("CPU revision")),
        sockets=max(len(packages), 1),
        cores=len(cores) or threads,
        threads=threads,
        hypervisor="hypervisor" in first.get("flags", "").split(),
    )


def _blocks(path: Path) -> tuple[list[dict[str, str]], dict[str, str]]:
    """One dictionary a logical processor; and what lines before the first and after the last say of the
    machine (a Raspberry Pi's ``Model``)."""
    blocks: list[dict[str, str]] = []
    board: dict[str, str] = {}
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return blocks, board
    for paragraph in text.split("\n\n"):
        pairs = (line.partition(":") for line in paragraph.splitlines())
        block = {key.strip(): value.strip() for key, colon, value in pairs if colon}
        if "processor" in block:
            blocks.append(block)
        else:
            board |= block
    return blocks, board


def _board(board: dict[str, str]) -> str | None:
    """A Raspberry Pi's name without its revision, which draws the same."""
    return board.get("Model", "").partition(" Rev ")[0] or None


def _kinds(blocks: list[dict[str, str]]) -> str | None:
    """How many cores of each kind there are, where an ARM part has several: the first tells one alone."""
    kinds = Counter(block.get("CPU part", "") for block in blocks)
    return " + ".join(f"{count} x {part}" for part, count in kinds.items()) if len(kinds) > 1 else None


def _number(text: str | None) -> int | None:
    try:
        return None if text is None else int(text, 0)
    except ValueError:
        return None


def hardware_id(info: CpuInfo, machine: str | None = None) -> str:
    """A readable prefix and 8 hex digits over the facts that do not change between boots and containers.

    Two machines of one kind share an id, so that a model trained on one serves the other. Memory, host
    name, kernel and clock are left out: they change without the power curve changing.

    >>> hardware_id(CpuInfo("Intel(R) Xeon(R) Gold 6230 CPU @ 2.10GHz", "GenuineIntel", 6, 85, 7, 2, 40, 80,
    ...             False), "x86_64").rpartition("-")[0]
    'intel-xeon-gold-6230-80t'
    """
    machine = machine or platform.machine()
    facts = (
        info.model_name,
        info.vendor,
        info.family,
        info.model,
        info.stepping,
        info.sockets,
        info.cores,
        info.threads,
        machine,
    )
    digest = hashlib.sha256(repr(facts).encode()).hexdigest()[:8]
    name = _MARKETING.sub(" ", info.model_name or machine)
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-") or "unknown"
    return f"{slug}-{info.threads}t-{digest}"


def host(procfs: str = "/proc", sysfs: str = "/sys", gpus: tuple[GpuInfo, ...] = ()) -> Host:
    """This machine, for a result file."""
    info = cpu_info(procfs)
    return Host(
        hardware_id=hardware_id(info),
        cpu_model=info.model_name,
        cores=info.cores,
        threads=info.threads,
        memory_bytes=machine_memory_bytes(procfs),
        gpus=list(gpus),
        virtual=_virtual(info, Path(sysfs)),
        governor=_line(Path(sysfs, "devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        kernel=platform.release(),
    )


def _virtual(info: CpuInfo, sysfs: Path) -> bool | None:
    """Whether a hypervisor is below; unknown where neither the CPU nor the firmware says."""
    if info.hypervisor or _line(sysfs / "hypervisor/type"):
        return True
    vendor = _line(sysfs / "class/dmi/id/sys_vendor")
    if vendor is not None:
        product = _line(sysfs / "class/dmi/id/product_name") or ""
        bare = "metal" in product.lower()
        return not bare and _HYPERVISORS.search(f"{vendor} {product}") is not None
    # x86 hypervisors set the CPU flag, so its absence is an answer there and none on ARM
    return False if info.vendor in ("GenuineIntel", "AuthenticAMD") else None


def _line(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip() or None
    except OSError:
        return None
