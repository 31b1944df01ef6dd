"""The sections of ``wattframe doctor``: each looks at one thing and says what would make it better."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from typing import Any

from advisor.energy.cpu import CpuTimes, cpu_times
from advisor.energy.gpu import open_gpus
from advisor.energy.meter import open_meter
from advisor.energy.powercap import describe
from advisor.errors import WattframeError
from advisor.machine import host
from advisor.video.encoders import ENCODERS
from advisor.video.ffmpeg import capabilities, find_ffmpeg, vmaf_models
from runner.preflight import device_problem
from runner.validity import OTHER_LOAD_CORES, STEAL_RATIO, MachineState, read_machine_state

STEADY_GOVERNORS = ("performance", "powersave")
"""powersave is what intel_pstate calls its own steady scaling; the others react to load with a delay."""


def power(sysfs: str = "/sys", procfs: str = "/proc") -> dict[str, Any]:
    """Where energy comes from, zone by zone."""
    status = describe(sysfs, procfs)
    advice = list(status.advice)
    try:
        meter = open_meter(sysfs=sysfs, procfs=procfs)
    except WattframeError as exc:
        return {"source": None, "tier": None, "zones": [], "advice": [*advice, str(exc)]}
    if meter.tier == "modelled":
        advice.append(
            "the estimate improves with this machine's own figures: --idle-watts and --max-watts from a "
            "wall meter, or 'wattframe calibrate' on a machine with counters"
        )
    zones = [
        {
            "zone": zone.name,
            "domain": zone.domain,
            "path": zone.path,
            "readable": zone.reason is None,
            "reason": zone.reason,
            "counted": zone.role == "counted",
            "max_joules": zone.range_joules,
        }
        for zone in status.zones
    ]
    return {"source": meter.source, "tier": meter.tier, "zones": zones, "advice": advice}


def gpus() -> dict[str, Any]:
    """Cards whose energy can be read."""
    advice: list[str] = []
    with open_gpus(on_problem=advice.append) as meter:
        cards = [{"name": card.name, "uuid": card.uuid, "driver": card.driver} for card in meter.infos]
    return {"cards": cards, "advice": advice}


def machine(
    procfs: str = "/proc",
    sysfs: str = "/sys",
    *,
    seconds: float = 1.0,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """What disturbs measurements here: virtualisation, steal, other load, governor, heat, CPU limits."""
    before, busy_before = read_machine_state(procfs, sysfs), cpu_times(procfs)
    sleep(seconds)
    after, busy_after = read_machine_state(procfs, sysfs), cpu_times(procfs)
    this = host(procfs, sysfs)
    findings: dict[str, Any] = {
        "hardware_id": this.hardware_id,
        "cpu_model": this.cpu_model,
        "cores": this.cores,
        "threads": this.threads,
        "virtual": this.virtual,
        "governors": sorted(set(after.governors)),
        **_rates(before, after, busy_before, busy_after, seconds),
        "thermal_events": after.thermal_events,
    }
    return {**findings, "advice": _machine_advice(findings)}


def _rates(
    before: MachineState, after: MachineState, start: CpuTimes | None, end: CpuTimes | None, seconds: float
) -> dict[str, float | None]:
    busy = steal = throttled = None
    if start is not None and end is not None and end.total_seconds > start.total_seconds:
        busy = (end.busy_seconds - start.busy_seconds) / seconds
        if before.steal_seconds is not None and after.steal_seconds is not None:
            steal = (after.steal_seconds - before.steal_seconds) / (end.total_seconds - start.total_seconds)
    if before.throttled_seconds is not None and after.throttled_seconds is not None:
        throttled = (after.throttled_seconds - before.throttled_seconds) / seconds
    return {"busy_cores": busy, "steal_ratio": steal, "throttled_ratio": throttled}


def _machine_advice(findings: dict[str, Any]) -> list[str]:
    advice = []
    busy_cores, steal_ratio = findings["busy_cores"], findings["steal_ratio"]
    if findings["virtual"]:
        advice.append(
            "a virtual machine shares its CPU with others: measure on bare metal for figures to publish"
        )
    odd = [name for name in findings["governors"] if name not in STEADY_GOVERNORS]
    if odd:
        advice.append(
            f"governor {', '.join(odd)}: 'cpupower frequency-set -g performance' gives steadier results"
        )
    if busy_cores is not None and busy_cores > OTHER_LOAD_CORES:
        advice.append(f"{busy_cores:.2f} cores are busy now: stop other programs before measuring")
    if steal_ratio is not None and steal_ratio > STEAL_RATIO:
        advice.append(
            f"the hypervisor takes {steal_ratio:.1%} of the CPU time: windows will be marked 'steal'"
        )
    if findings["throttled_ratio"]:
        advice.append("this control group has a CPU limit that holds it back now: raise cpu.max")
    if findings["thermal_events"]:
        advice.append(f"{findings['thermal_events']} thermal throttling events since boot: check the cooling")
    return advice


def ffmpeg(explicit: str | None = None) -> dict[str, Any]:
    """The binary that would be used, and which of the encoders and models it has."""
    try:
        path = find_ffmpeg(explicit)
        able, models = capabilities(path), vmaf_models(path)
    except WattframeError as exc:
        nothing: dict[str, Any] = {
            "path": None,
            "version": None,
            "encoders": [],
            "unavailable": {},
            "vmaf_models": [],
        }
        return {**nothing, "advice": [str(exc)]}
    listed = [encoder for encoder in ENCODERS.values() if encoder.name in able.encoders]
    problems = {e.name: p for e in listed if e.kind == "gpu" and (p := device_problem(e, path)) is not None}
    missing = [
        name for name, encoder in ENCODERS.items() if encoder.kind == "cpu" and name not in able.encoders
    ]
    advice = []
    if missing:
        advice.append(f"built without {', '.join(missing)}: pip install imageio-ffmpeg brings them all")
    if not models:
        advice.append("built without libvmaf: no quality scores; pip install imageio-ffmpeg brings it")
    return {
        "path": str(path),
        "version": able.version,
        "encoders": [e.name for e in listed if e.name not in problems],
        "unavailable": problems,
        "vmaf_models": list(models),
        "advice": advice,
    }


def docker(address: str | None = None) -> dict[str, Any]:
    """Whether a Docker engine answers."""
    from advisor.containers.engine import Engine, engine_address

    section: dict[str, Any] = {"reachable": False, "host": None, "api_version": None, "advice": []}
    try:
        where = engine_address(address)
        section["host"] = where.host
        engine = Engine(where)
        try:
            info = engine.connect()
        finally:
            engine.close()
    except ModuleNotFoundError:
        return {
            **section,
            "advice": ["the package docker is not installed: pip install '.[docker]' in the checkout"],
        }
    except WattframeError as exc:
        return {**section, "advice": [f"{exc}: without an engine there are no container figures"]}
    return {**section, "reachable": True, "api_version": info.api_version}


def prometheus(url: str) -> dict[str, Any]:
    """Whether there is a Prometheus binary, and a server at ``url``."""
    section: dict[str, Any] = {
        "binary": shutil.which("prometheus"),
        "url": re.sub(r"//.*@", "//", url),  # the page is pasted into reports of bugs
        "reachable": False,
        "advice": [],
    }
    try:
        from advisor.prometheus.client import PrometheusClient

        with PrometheusClient(url, retries=0, timeout_seconds=3.0) as client:
            client.query("vector(1)")
    except ModuleNotFoundError:
        section["advice"].append(
            "the package requests is not installed: pip install '.[train]' in the checkout"
        )
    except WattframeError as exc:
        section["advice"].append(f"{exc}: 'wattframe up' starts one, --prometheus-url names another")
    else:
        section["reachable"] = True
    return section
