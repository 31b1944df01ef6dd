"""``wattframe calibrate``: the idle power that net energies are against, and full load on request."""

from __future__ import annotations

import contextlib
import datetime
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Annotated

import typer

from advisor.common.exit import print_json
from advisor.energy.calibration import Calibration, LoadPoint, measure_point, save_calibration
from advisor.energy.cpu import quota_cores
from advisor.energy.meter import Meter, open_meter
from advisor.errors import InputError, WorkError
from advisor.machine import cpu_info, hardware_id
from wattframe.commands.arguments import Json, Procfs, Sysfs, application
from wattframe.console import console, note, progress

app = application()

# integer work, memory traffic and the vector units' hashing: near what an encoder draws; it ends with the
# command, however that ends
_BURN = """
import hashlib, os, sys, zlib
block, parent = os.urandom(1 << 20), int(sys.argv[1])
while os.getppid() == parent:
    zlib.compress(block, 1)
    hashlib.sha256(block)
"""


@app.command()
def calibrate(
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="Length of each window.")] = 60.0,
    settle: Annotated[float, typer.Option(min=0, max=600, help="Seconds to wait before each window.")] = 5.0,
    full_load: Annotated[bool, typer.Option(help="Also measure with every CPU busy.")] = False,
    max_busy: Annotated[
        float, typer.Option(min=0, max=1, help="Busy share of CPU time that still counts as idle.")
    ] = 0.05,
    models_dir: Annotated[
        str, typer.Option(envvar="MODELS_DIR", help="Saved in <models-dir>/<hardware id>/calibration.json.")
    ] = "./models",
    sysfs: Sysfs = "/sys",
    procfs: Procfs = "/proc",
    idle_watts: Annotated[
        float | None, typer.Option(envvar="RAPL_IDLE_WATTS", help="Idle power for the estimate, watts.")
    ] = None,
    max_watts: Annotated[
        float | None, typer.Option(envvar="RAPL_MAX_WATTS", help="Full-load power for the estimate, watts.")
    ] = None,
    json_: Json = False,
) -> int:
    """Measure this machine's idle power and save it for net energy."""
    meter = open_meter(sysfs=sysfs, procfs=procfs, idle_watts=idle_watts, max_watts=max_watts)
    note("calibrate", f"source {meter.source} ({meter.tier}); do not use the machine meanwhile")
    if meter.tier == "modelled":
        note(
            "calibrate",
            "no energy counter is readable: this is the idle power of the estimate, not a measurement",
        )
    idle = _measured(meter, "idle", seconds, settle)
    if idle.busy_ratio is not None and idle.busy_ratio > max_busy:
        raise WorkError(
            f"the machine was not idle: {idle.busy_ratio:.1%} busy, expected at most {max_busy:.1%} "
            "(stop what runs, or raise --max-busy); nothing was saved"
        )
    calibration = Calibration(
        hardware_id=hardware_id(cpu_info(procfs)),
        source=meter.source,
        tier=meter.tier,
        measured_at=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        idle=idle,
        full_load=_full_load(meter, seconds, settle, procfs, sysfs) if full_load else None,
    )
    path = save_calibration(calibration, models_dir)
    note("calibrate", f"saved in {path}")
    if json_:
        print_json(calibration)
    else:
        console().print(_summary(calibration))
    return 0


def _full_load(meter: Meter, seconds: float, settle: float, procfs: str, sysfs: str) -> LoadPoint:
    cpus = cpu_info(procfs).threads
    quota = quota_cores(procfs, sysfs)
    allowed = min(len(os.sched_getaffinity(0)), quota or cpus)
    if allowed < cpus:
        raise InputError(
            f"expected permission to use all {cpus} CPUs, found {allowed:g}", subject="--full-load"
        )
    with every_cpu_busy(cpus):
        return _measured(meter, "full load", seconds, settle)


@contextlib.contextmanager
def every_cpu_busy(cpus: int) -> Iterator[list[int]]:
    """One process a CPU that computes until the block ends; gives their ids."""
    burners = [subprocess.Popen([sys.executable, "-c", _BURN, str(os.getpid())]) for _ in range(cpus)]
    try:
        yield [burner.pid for burner in burners]
    finally:
        for burner in burners:
            burner.kill()
        for burner in burners:
            burner.wait()


def _measured(meter: Meter, what: str, seconds: float, settle: float) -> LoadPoint:
    with progress() as bar:
        bar.add_task(f"{what}: settling", total=None)
        time.sleep(settle)
        task = bar.add_task(f"{what}: measuring", total=1.0)
        return measure_point(meter, seconds, progress=lambda done: bar.update(task, completed=done))


def _summary(calibration: Calibration) -> str:
    lines = [f"{calibration.hardware_id}: {calibration.source}, {calibration.tier}"]
    for name, point in (("idle", calibration.idle), ("full load", calibration.full_load)):
        if point is not None:
            spread = "" if point.stdev_watts is None else f" +- {point.stdev_watts:.2f} W"
            busy = "" if point.busy_ratio is None else f", {point.busy_ratio:.1%} busy"
            lines.append(
                f"{name:10} {point.mean_watts:.2f} W{spread} over {point.duration_seconds:.0f} s{busy}"
            )
    return "\n".join(lines)
