"""A whole run: scenarios one after another, the result file after each, quality when all is measured."""

from __future__ import annotations

import contextlib
import datetime
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from msgspec import Struct, structs
from msgspec.structs import replace

from advisor.energy.calibration import load_calibration
from advisor.energy.gpu import GpuMeter, open_gpus
from advisor.energy.meter import Meter, includes_gpus, open_meter
from advisor.energy.meter_files import OperatorMeters
from advisor.energy.source import HostRule
from advisor.errors import FfmpegError, WorkError
from advisor.machine import host
from advisor.results import Quality, Run, Scenario, Tool, write_run
from advisor.results.derived import host_mean_watts
from runner.command import targets_of
from runner.describe import failed_scenario
from runner.display import Display
from runner.jobs import Job
from runner.measure import Laboratory, RunSettings, measure
from runner.result_files import outputs_folder
from runner.score import Scorer, is_scored, unscored, with_quality
from runner.source import Source
from runner.stop import StopRequest


class EnergySources(Struct, frozen=True, kw_only=True):
    """What an operator says of a machine's meters; see `advisor.energy.meter.open_meter`."""

    idle_watts: float | None = None
    max_watts: float | None = None
    """With ``idle_watts`` the ends of the estimate's curve."""
    meters: OperatorMeters = OperatorMeters()
    host_rule: HostRule = "cpu"
    models_dir: Path | None = None
    """Where the machine's calibration lies; None for none."""


@contextlib.contextmanager
def open_session(
    path: Path, settings: RunSettings, energy: EnergySources, stop: StopRequest, display: Display
) -> Iterator[Session]:
    """A session with this machine's meter and GPUs; behind it they are closed, and encodes can be scored.

    Raises
    ------
    InputError, EnergyError
        As `open_meter`; or a calibration that cannot be read.
    """
    meter = open_meter(
        sysfs=settings.sysfs,
        procfs=settings.procfs,
        idle_watts=energy.idle_watts,
        max_watts=energy.max_watts,
        **structs.asdict(energy.meters),
        host_rule=energy.host_rule,
    )
    # a calibration goes by the rule "cpu" and by the sensors that everybody knows; the estimate has its own
    is_usual = meter.tier == "measured" and energy.host_rule == "cpu" and not energy.meters.sensor_rules
    if energy.models_dir is not None and is_usual:
        hardware_id = host(settings.procfs, settings.sysfs).hardware_id or ""
        calibration = load_calibration(energy.models_dir, hardware_id, source=meter.source)
        # nor by the meter over the network, which counts before all that holds the whole machine
        is_asked = energy.meters.redfish is not None
        if calibration is not None and not (is_asked and includes_gpus(calibration.idle.domain_watts)):
            settings = replace(settings, calibrated_idle_watts=calibration.idle.mean_watts)
    with open_gpus(settings.sysfs, energy.meters.sensor_rules) as gpus, meter:
        yield Session(path, settings, meter, gpus, stop, display)


class Session:
    """One run and its file. Everything finished is on disk at every moment."""

    def __init__(
        self,
        path: Path,
        settings: RunSettings,
        meter: Meter,
        gpus: GpuMeter,
        stop: StopRequest,
        display: Display,
    ) -> None:
        self.path = path
        self._settings = settings
        self._laboratory = Laboratory(
            settings=settings,
            meter=meter,
            gpus=gpus if gpus.infos else None,
            folder=outputs_folder(path),
            stopping=lambda: stop.asked,
            notice=display.notice,
        )
        self._stop = stop
        self._display = display
        self._unwritten: OSError | None = None
        self.run = Run(
            run_id=path.stem,
            scenarios=(),
            test_date=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            tool=Tool(
                version=_own_version(),
                ffmpeg_version=settings.capabilities.version,
                ffmpeg_path=str(settings.ffmpeg),
            ),
            host=host(settings.procfs, settings.sysfs, gpus.infos),
            finished=False,
        )

    def resume(self, former: Run) -> None:
        """Go on with what a former run finished; what failed or was cut short is done again."""
        self.run = replace(self.run, scenarios=tuple(s for s in former.scenarios if s.status == "ok"))

    def measure(self, jobs: Sequence[Job], sources: Mapping[str, Source]) -> None:
        """Run every job, whose input ``sources`` has by name. One that fails is recorded; the rest go on.

        Raises
        ------
        WorkError
            The result file could not be written, not even at the end.
        """
        self._laboratory.folder.mkdir(parents=True, exist_ok=True)
        for job in jobs:
            self._stop.wait(self._settings.stabilization_seconds)
            if self._stop.asked:
                break
            self._add(self._run_one(job, sources.get(job.input or "")))
            self._stop.wait(self._settings.cooldown_seconds)
        self.require_written()

    def score(self, scorer: Scorer) -> int:
        """Score every encode that lies on disk without one; returns how many of the run could not be scored.

        An encode that was only kept for its score is deleted after it. On the wish to stop the rest stays for
        another time, and so does an encode at which ffmpeg itself failed.
        """
        places = list(unscored(self.run))
        self._stop.raising = True
        try:
            done = 0
            for index, group in itertools.groupby(places, key=lambda place: place[0]):
                if self._stop.asked:
                    break
                outputs = [place for _, place in group]
                self._display.phase(f"quality {done + 1}/{len(places)} {self.run.scenarios[index].name}")
                self._score_scenario(scorer, index, outputs)
                done += len(outputs)
        except KeyboardInterrupt:
            pass
        finally:
            self._stop.raising = False
            scorer.close()
        remaining = len(list(unscored(self.run)))
        if remaining:
            self._display.say(
                f"{remaining} encodes are not scored yet: --resume {self.path} --compute-quality continues"
            )
        self.require_written()
        qualities = [output.quality for s in self.run.scenarios for output in s.outputs if output.quality]
        return sum(not is_scored(quality) for quality in qualities)

    def _score_scenario(self, scorer: Scorer, index: int, places: Sequence[int]) -> None:
        scenario = self.run.scenarios[index]
        outputs = [scenario.outputs[place] for place in places]
        run, done = self.run, []
        answers = scorer.qualities(scenario, outputs, self._display.advance)
        for place, output, answer in zip(places, outputs, answers, strict=True):
            quality, keep = answer, self._settings.keep_outputs
            if isinstance(quality, FfmpegError):
                quality, keep = Quality(reason=str(quality), distorted=output.path), True
            run = with_quality(run, index, place, quality, keep_path=keep)
            if not keep and output.path is not None:
                done.append(Path(output.path))
            if not is_scored(quality):
                self._display.say(f"{scenario.name}: no score: {quality.reason or 'unknown'}")
        self.save(run)
        for encode in done:
            encode.unlink(missing_ok=True)

    def _run_one(self, job: Job, source: Source | None) -> Scenario:
        self._display.begin(job)
        keeps = False
        try:
            scenario = measure(job, self._laboratory, source, self.idle_watts)
            keeps = scenario.status == "ok" and (self._settings.keep_outputs or self._settings.needs_outputs)
        except FfmpegError as exc:
            scenario = failed_scenario(job, str(exc), source)
        finally:
            self._clear(job, keeps_outputs=keeps)
        if keeps:
            return scenario
        return replace(scenario, outputs=[replace(output, path=None) for output in scenario.outputs])

    def _clear(self, job: Job, *, keeps_outputs: bool) -> None:
        """Delete what a first pass wrote, and the encodes that nobody wants; no file of anybody else."""
        for stream in range(len(job.streams)):
            for target in targets_of(job, self._laboratory.folder, stream):
                unwanted = [] if keeps_outputs or target.path is None else [target.path]
                for file in (*target.pass_files, *unwanted):
                    file.unlink(missing_ok=True)

    @property
    def idle_watts(self) -> float | None:
        """Mean power of the run's baseline, else the machine's calibration; None when neither is known."""
        baseline = self.run.baseline
        return self._settings.calibrated_idle_watts if baseline is None else host_mean_watts(baseline)

    def finish(self) -> None:
        """The run is over, also where it was cut short: others may use the machine again.

        Raises
        ------
        WorkError
            The result file could not be written.
        """
        if self.run.scenarios:
            self.save(replace(self.run, finished=True))
            self.require_written()

    def _add(self, scenario: Scenario) -> None:
        self.save(replace(self.run, scenarios=(*self.run.scenarios, scenario)))
        # after the file: a line on the screen is a promise that the scenario is kept
        self._display.end(scenario)

    def save(self, run: Run) -> None:
        """Keep ``run`` and write it; a disk that is full now may not be at the next scenario."""
        self.run = run
        try:
            write_run(run, self.path)
        except OSError as exc:
            self._unwritten = exc
            self._display.say(f"{self.path}: cannot be written now: {exc.strerror or exc}")
        else:
            self._unwritten = None

    def require_written(self) -> None:
        """Complain when the last state of the run is not on disk."""
        if self._unwritten is not None:
            self.save(self.run)
        if self._unwritten is not None:
            reason = self._unwritten.strerror or self._unwritten
            raise WorkError(f"{self.path}: the last results could not be written: {reason}")


def _own_version() -> str | None:
    from importlib.metadata import PackageNotFoundError, version  # brings the mail package

    try:
        return version("wattframe")
    except PackageNotFoundError:  # run from a copy that was not installed
        return None
