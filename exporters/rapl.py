"""Energy and power of this machine: its own counters, or an estimate that says so. Port 9500."""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct

from advisor.common.booleans import parse_boolean
from advisor.energy.calibration import Calibration, load_calibration
from advisor.energy.cpu import quota_cores
from advisor.energy.estimate import PowerModel, power_model
from advisor.energy.gpu import GpuMeter, GpuReading, open_gpus
from advisor.energy.meter import Meter, MeterReading, counters_appear, host_joules, host_zones
from advisor.energy.meter_files import read_meter_files
from advisor.energy.patience import Patience
from advisor.energy.powercap import PowercapStatus, describe
from advisor.energy.sampler import Sampler
from advisor.energy.source import SourceName, ZoneReport, shown_seconds
from advisor.errors import EnergyError, ModelError
from advisor.machine import cpu_info, hardware_id
from exporters.runtime import Exporter, Family, Metric, Option, Part, serve
from exporters.runtime.families import declared
from exporters.runtime.logs import logger, warn_of
from exporters.runtime.meter import METER_OPTIONS, meter_opener
from exporters.runtime.options import folder, number

_ZONE = ("zone", "domain")
POWER = Family("rapl_power_watts", "Mean power over the exporter's last sampling interval.", _ZONE)
ENERGY = Family("rapl_energy_joules_total", "Energy since the exporter first started on this boot.", _ZONE)
AVAILABLE = Family("rapl_available", "1 if the machine's energy is measured, 0 if not.")
SOURCE = Family(
    "rapl_source_info",
    "Source of the machine's energy: powercap (RAPL counters), hwmon (sensors) or redfish (a meter over "
    "the network), all measured; or estimate (modelled from CPU utilisation).",
    ("source", "tier"),
)
ZONE = Family(
    "rapl_zone_info",
    "Zones; those with role twin (a second meter of a domain) or mirror (a die that repeats another's "
    "counter) are not added.",
    ("zone", "path", "max_joules", "role", "duplicate_of"),
)
SENSOR = Family(
    "rapl_sensor_info",
    "Sensor of a zone without a RAPL counter; kind is counter, average, instant or volts_amperes (power "
    "is integrated).",
    ("zone", "sensor", "kind"),
)
SENSOR_AGE = Family("rapl_sensor_age_seconds", "Age of the last reading of a network meter.", ("zone",))
SYSTEM_RATIO = Family(
    "rapl_system_power_ratio",
    "Power of the whole-machine meter divided by that of packages plus dram.",
    ("zone",),
)
WRAPS = Family("rapl_counter_wraps_total", "Counter wraps of the register.", ("zone",))
MISSED_WRAPS = Family(
    "rapl_possible_missed_wraps_total",
    "Gaps between good reads long enough for an unseen counter wrap; energy may be missing.",
    ("zone",),
)
READ_ERRORS = Family(
    "rapl_read_errors_total",
    "Failed reads: permission, missing, blocked, malformed, io; standing (a register that does not move, "
    "so its energy is unknown), gap (power readings too far apart to integrate), zero (a power of 0 W, "
    "or too little, taken as unknown); for redfish also timeout, unreachable, tls, auth, http, no_meter.",
    ("zone", "reason"),
)
REJECTED = Family(
    "rapl_rejected_samples_total",
    "Rejected readings, contradicted by later ones or above what the part can draw: backwards, too_fast "
    "or out_of_range.",
    ("zone", "reason"),
)
MISSED_TICKS = Family("rapl_missed_ticks_total", "Samples skipped because the sampler was late.")
INTERVAL = Family("rapl_sample_interval_seconds", "Seconds between two samples.")
UNCERTAINTY = Family(
    "rapl_estimate_uncertainty_ratio", "Uncertainty of the estimate as a ratio (half-width)."
)
ESTIMATE_IDLE = Family("rapl_estimate_idle_watts", "Idle power used by the estimate.", ("basis",))
ESTIMATE_MAX = Family("rapl_estimate_max_watts", "Full-load power used by the estimate.", ("basis",))

QUOTA = Family(
    "rapl_cpu_quota_cores",
    "CPU limit of the exporter's control group; power and energy are still those of the whole machine.",
)
CALIBRATED_IDLE = Family(
    "rapl_calibrated_idle_watts",
    "Idle power of the machine (packages plus dram) measured by `wattframe calibrate`.",
    ("source", "tier"),
)

_GPU = ("gpu", "uuid")
GPU_POWER = Family(
    "gpu_power_watts",
    "Power of the GPU as it reports, otherwise from its energy over the last interval; absent while the "
    "GPU sleeps.",
    _GPU,
)
GPU_ENERGY = Family(
    "gpu_energy_joules_total",
    "Energy of the GPU since the exporter started, from its counter, otherwise from its integrated power.",
    _GPU,
)
GPU_USE = Family("gpu_utilization_ratio", "Share of time in which the GPU's compute units were busy.", _GPU)
GPU_ENCODER = Family("gpu_encoder_utilization_ratio", "Utilisation of the video encoders.", _GPU)
GPU_DECODER = Family("gpu_decoder_utilization_ratio", "Utilisation of the video decoders.", _GPU)
GPU_MEMORY = Family("gpu_memory_used_bytes", "Memory in use on the GPU.", _GPU)
GPU_ERRORS = Family("gpu_read_errors_total", "Failed queries to the GPU driver.", _GPU)
GPU_INFO = Family("gpu_info", "GPUs of this machine.", ("gpu", "uuid", "name", "driver"))
GPU_ENERGY_SOURCE = Family(
    "gpu_energy_source_info", "Source of the GPU's energy: counter or power (integrated).", (*_GPU, "source")
)

_LOOK_AGAIN_SECONDS, _LOOK_FOR_GPUS_SECONDS = 10.0, 60.0


class Survey(Struct, frozen=True):
    """What is known of this machine beside its counters."""

    powercap: PowercapStatus
    model: PowerModel
    """The estimate's curve, published where the estimate is the source."""
    calibration: Calibration | None = None
    quota_cores: float | None = None
    problem: str | None = None
    """Why a calibration that is there is not used."""


class RaplCollector:
    """Publishes what the meter's sampler last saw; a scrape touches no file.

    Parameters
    ----------
    open_meter
        Gives the meter; called at the start, and again when counters appear.
    survey
        Looks at the machine, given the source that was chosen, and what is known of powercap; called again
        every few seconds, so that a calibration that is made or mended later is used.
    appeared
        Whether a counter can be read by now; asked while there is only the estimate. Drivers may be loaded
        after the exporter: then the meter is opened again, and its counters begin at 0.
    clock
        Monotonic seconds, the meter's.
    """

    name = "rapl"
    poll_seconds = None

    def __init__(
        self,
        open_meter: Callable[[], Meter],
        survey: Callable[[SourceName, PowercapStatus | None], Survey],
        clock: Callable[[], float] = time.monotonic,
        *,
        appeared: Callable[[], bool] = lambda: False,
    ) -> None:
        self._open_meter = open_meter
        self._look = survey
        self._appeared = appeared
        self._clock = clock
        self._meter: tuple[Meter, Survey] | None = None
        self._told: set[str] = set()
        self._failed: list[tuple[str, str, Mapping[str, int]]] = []
        """The zones that were measured at the last look, and their failed reads."""
        self._watch = Sampler("machine watch", self._look_again, lambda: _LOOK_AGAIN_SECONDS)

    def start(self) -> None:
        """Open the meter, say what stands in its way, and begin to sample."""
        self._open()
        self._watch.start()

    def close(self) -> None:
        """End the samplers."""
        if self._meter is not None:
            self._meter[0].stop()
        self._watch.stop()

    def _open(self) -> Meter:
        meter = self._open_meter()
        survey = self._look(meter.source, None)
        self._tell(survey)
        meter.start()
        self._meter = meter, survey
        return meter

    def _tell(self, survey: Survey) -> None:
        """Log what stands in the way, once."""
        reasons = set(survey.powercap.advice) | ({survey.problem} if survey.problem else set())
        warn_of("energy counters", reasons - self._told)
        self._told = reasons

    def _look_again(self) -> None:
        if self._meter is None:
            return
        former, survey = self._meter
        if former.source == "estimate" and self._appeared():
            with contextlib.suppress(EnergyError):  # gone again, and the estimate goes on
                logger().info("energy counters appeared", source=self._open().source)
                former.stop()
            return
        reading, failed = former.latest(), self._failed
        zones = reading.zones if reading is not None and former.tier == "measured" else ()
        self._failed = [(zone.name, zone.path, zone.read_errors) for zone in zones]
        # where none has failed since, another look at every file would tell the same
        survey = self._look(former.source, survey.powercap if zones and self._failed == failed else None)
        self._tell(survey)
        self._meter = former, survey

    def parts(self) -> Mapping[str, Part]:
        """The newest reading.

        Raises
        ------
        EnergyError
            The sampler has not finished a sample for too long.
        """
        meter, survey = self._meter or (None, None)
        reading = meter.latest() if meter is not None else None
        if meter is None or survey is None or reading is None:
            raise EnergyError("the meter has not been started")
        _refuse_stale(self._clock() - reading.monotonic_seconds, meter.interval_seconds)
        return {"": Part(_families, (meter, survey, reading))}


class GpuCollector:
    """Publishes what the GPU sampler last saw; where there is no GPU, it looks again now and then: a driver
    may be loaded later."""

    name = "gpu"
    poll_seconds = None

    def __init__(
        self, open_gpus: Callable[[], GpuMeter], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._open_gpus = open_gpus
        self._clock = clock
        self._meter: GpuMeter | None = None
        self._watch = Sampler("gpu watch", self._look_again, lambda: _LOOK_FOR_GPUS_SECONDS)

    def start(self) -> None:
        """Look for the boards and begin to sample them."""
        self._open()
        self._watch.start()

    def close(self) -> None:
        """End the samplers."""
        self._watch.stop()
        if self._meter is not None:
            self._meter.stop()

    def _open(self) -> None:
        meter = self._open_gpus()
        meter.start()
        self._meter = meter

    def _look_again(self) -> None:
        former = self._meter
        if former is not None and not former.infos:
            self._open()
            former.stop()

    def parts(self) -> Mapping[str, Part]:
        """The newest reading; nothing before the first.

        Raises
        ------
        EnergyError
            The driver has not answered for too long.
        """
        if self._meter is None or self._meter.sampled_seconds is None:
            return {}
        _refuse_stale(self._clock() - self._meter.sampled_seconds, self._meter.interval_seconds)
        return {"": Part(_gpu_families, (self._meter.latest(),))}


def _gpu_families(readings: Sequence[GpuReading]) -> Iterator[Metric]:
    gpus = [((str(gpu.index), gpu.uuid), gpu) for gpu in readings]
    for family, value in _GPU_VALUES:
        yield family([(labels, value(gpu)) for labels, gpu in gpus])
    yield GPU_INFO([((*labels, gpu.name, gpu.driver or ""), 1) for labels, gpu in gpus])
    yield GPU_ENERGY_SOURCE([((*labels, gpu.energy_source), 1) for labels, gpu in gpus])


_GPU_VALUES: tuple[tuple[Family, Callable[[GpuReading], float | None]], ...] = (
    (GPU_POWER, lambda gpu: gpu.power_watts),
    (GPU_ENERGY, lambda gpu: gpu.joules),
    (GPU_USE, lambda gpu: gpu.utilization_ratio),
    (GPU_ENCODER, lambda gpu: gpu.encoder_utilization_ratio),
    (GPU_DECODER, lambda gpu: gpu.decoder_utilization_ratio),
    (GPU_MEMORY, lambda gpu: gpu.memory_used_bytes),
    (GPU_ERRORS, lambda gpu: gpu.errors),
)


def _refuse_stale(age_seconds: float, interval_seconds: float) -> None:
    if age_seconds > shown_seconds(interval_seconds):
        raise EnergyError(f"no sample for {age_seconds:.0f} s: a counter does not answer")


def _families(meter: Meter, survey: Survey, reading: MeterReading) -> Iterator[Metric]:
    measured = meter.tier == "measured"
    yield from _energy(reading)
    yield AVAILABLE.one(int(measured and bool(host_zones(reading.joules, reading.host_rule))))
    yield SOURCE([((meter.source, meter.tier), 1)])
    # the estimate does not hide zones that are there and cannot be read
    yield from _diagnostics(reading.zones if measured else survey.powercap.zones)
    yield from _sensors(reading)
    yield MISSED_TICKS.one(reading.missed_ticks)
    yield INTERVAL.one(meter.interval_seconds)
    yield QUOTA.one(survey.quota_cores)
    if (calibration := survey.calibration) is not None:
        yield CALIBRATED_IDLE([((calibration.source, calibration.tier), calibration.idle.mean_watts)])
    if not measured:
        yield UNCERTAINTY.one(reading.uncertainty_ratio)
        yield ESTIMATE_IDLE([((survey.model.basis,), survey.model.idle_watts)])
        yield ESTIMATE_MAX([((survey.model.basis,), survey.model.max_watts)])


def _energy(reading: MeterReading) -> Iterator[Metric]:
    labels = [(z.name, z.domain) for z in reading.zones if z.role == "counted" and z.name in reading.joules]
    yield POWER([(zone, reading.power_watts[zone[0]]) for zone in labels])
    yield ENERGY([(zone, reading.joules[zone[0]]) for zone in labels])


def _sensors(reading: MeterReading) -> Iterator[Metric]:
    sensors = [zone for zone in reading.zones if zone.sensor]
    yield SENSOR([((zone.name, zone.sensor, zone.kind), 1) for zone in sensors])
    yield SENSOR_AGE(
        [
            ((zone.name,), max(reading.monotonic_seconds - zone.read_seconds, 0.0))
            for zone in sensors
            if zone.interval_seconds is not None and zone.read_seconds is not None
        ]
    )
    watts = {zone: value for zone, value in reading.power_watts.items() if value is not None}
    packages = {zone: value for zone, value in watts.items() if zone.startswith(("package", "dram"))}
    cpu = host_joules(packages)
    if cpu:
        meters = [zone for zone in reading.zones if zone.domain == "psys" and zone.name in watts]
        yield SYSTEM_RATIO([((zone.name,), watts[zone.name] / cpu) for zone in meters])


def _diagnostics(zones: tuple[ZoneReport, ...]) -> Iterator[Metric]:
    yield ZONE([(_zone_labels(z), 1) for z in zones if z.present])
    counted = [z for z in zones if z.role != "twin"]
    registers = [z for z in counted if z.sampled_seconds is not None and z.range_joules is not None]
    yield WRAPS([((z.name,), z.wraps) for z in registers])
    yield MISSED_WRAPS([((z.name,), z.possible_missed_wraps) for z in registers])
    yield READ_ERRORS([((z.name, why), n) for z in counted for why, n in z.read_errors.items()])
    yield REJECTED([((z.name, why), n) for z in counted for why, n in z.rejected.items()])


def _zone_labels(zone: ZoneReport) -> tuple[str, ...]:
    largest = "" if zone.range_joules is None else repr(zone.range_joules)
    return zone.name, zone.path, largest, zone.role, zone.duplicate_of or ""


def _build(options: argparse.Namespace) -> list[RaplCollector | GpuCollector]:
    sysfs, procfs = str(options.sysfs), str(options.procfs)
    watts = {"idle_watts": options.idle_watts, "max_watts": options.max_watts}
    info = cpu_info(procfs)
    model, hardware = power_model(info, **watts), hardware_id(info)

    opened = meter_opener(options, "rapl", estimate=not options.no_estimate)
    opened_gpus = functools.partial(
        open_gpus,
        sysfs,
        read_meter_files(vars(options)).sensor_rules,
        interval_seconds=options.interval,
        on_problem=functools.cache(lambda problem: warn_of("GPUs", {problem})),  # once each
    )

    patience = Patience()

    def survey(source: SourceName, known: PowercapStatus | None) -> Survey:
        calibration, problem = None, None
        try:
            calibration = load_calibration(options.models_dir, hardware, source=source)
        except ModelError as exc:
            problem = f"calibration not used: {exc}"
        status = known or describe(sysfs, procfs, patience)
        return Survey(status, model, calibration, quota_cores(procfs, sysfs), problem)

    measured = RaplCollector(opened, survey, appeared=counters_appear(sysfs, procfs))
    return [measured, GpuCollector(opened_gpus)]


EXPORTER = Exporter(
    name="rapl",
    title="Energy and power of this machine (RAPL)",
    port=9500,
    options=[
        *METER_OPTIONS,
        Option(
            "--interval",
            "RAPL_SAMPLE_INTERVAL_SECONDS",
            1.0,
            number(0.01, 60),
            "seconds between samples; shortened if a register could wrap twice within it",
        ),
        Option(
            "--no-estimate",
            "RAPL_NO_ESTIMATE",
            False,
            parse_boolean,
            "publish no power if no counter is readable",
        ),
        Option(
            "--models-dir",
            "MODELS_DIR",
            "./models",
            folder,
            "folder with the results of `wattframe calibrate`",
        ),
    ],
    build=_build,
    families=declared(globals()),
)


if __name__ == "__main__":
    sys.exit(serve(EXPORTER))
