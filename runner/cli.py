"""``run_tests.py`` and ``wattframe test``: options in, a run, an exit code out."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from advisor.common.exit import guarded, print_json
from advisor.energy.meter_files import read_meter_files
from advisor.errors import InputError, WorkError
from advisor.machine import host
from advisor.quality.settings import QualitySettings, check_settings
from advisor.results import Run
from advisor.video.encoders import ALIASES
from advisor.video.ffmpeg import capabilities, chosen_ffmpeg
from runner.arguments import NEWEST, parse
from runner.command import commands, without_key
from runner.display import Display, rows, summary_table
from runner.jobs import Job, arrange, jobs_of
from runner.measure import RunSettings
from runner.preflight import look_at_content, look_at_inputs, missing, refuse_unreadable, unsuitable
from runner.result_files import (
    claimed,
    make_folder,
    new_result_path,
    newest,
    outputs_folder,
    read_former,
    remaining,
)
from runner.score import Scorer, is_scored
from runner.session import EnergySources, open_session
from runner.source import Source
from runner.stop import StopRequest


def main(argv: Sequence[str] | None = None, program: str = "run_tests.py") -> int:
    """Run one command line; returns its exit code."""
    args = sys.argv[1:] if argv is None else list(argv)

    def work() -> int:
        # under a parent that ignores the end of its children the kernel would forget their CPU time
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        # from the first moment, so that no signal can leave a half-done state behind
        with StopRequest() as stop:
            return _run(program, parse(program, args), stop)

    return guarded(program, work)


def _run(program: str, options: argparse.Namespace, stop: StopRequest) -> int:
    if getattr(options, "cluster", None) is not None:
        return _run_elsewhere(program, options, stop)
    jobs, sources, settings = stop.obey(lambda: _prepared(program, options))
    if options.dry_run:
        return _dry_run(jobs, sources, settings, options.output_dir)
    return _measure(program, jobs, sources, settings, options, stop)


def _prepared(program: str, options: argparse.Namespace) -> tuple[list[Job], dict[str, Source], RunSettings]:
    """What will run, looked at and found good."""
    quality = _quality_settings(options)
    check_settings(quality)
    ffmpeg = chosen_ffmpeg(options.ffmpeg, quality.filters if options.compute_quality else ())
    able = capabilities(ffmpeg)
    jobs = jobs_of(options)
    for alias in dict.fromkeys(job.alias for job in jobs if job.alias is not None):
        sys.stderr.write(f"{program}: {alias} is encoded with {ALIASES[alias]}\n")
    jobs = _without(missing(jobs, ffmpeg, able), jobs, program, options)
    sources = look_at_inputs(jobs, ffmpeg)
    jobs = _without(unsuitable(jobs, sources, ffmpeg), jobs, program, options)
    for name in dict.fromkeys(job.input for job in jobs if job.input and job.media_seconds is None):
        if sources[name].media.path is not None and not sources[name].loops:
            sys.stderr.write(f"{program}: {name}: can be read only once: encodes end where it ends\n")
    refuse_unreadable(jobs, sources, ffmpeg, options.output_dir)
    jobs = _arranged(jobs, options)
    settings = RunSettings(
        ffmpeg=ffmpeg,
        capabilities=able,
        interval_seconds=options.interval,
        stabilization_seconds=options.stabilization,
        cooldown_seconds=options.cooldown,
        keep_outputs=options.keep_outputs,
        needs_outputs=options.compute_quality,
        procfs=options.procfs,
        sysfs=options.sysfs,
    )
    return jobs, sources, settings


def _arranged(jobs: Sequence[Job], options: argparse.Namespace) -> list[Job]:
    return arrange(
        jobs,
        repeats=options.repeat,
        shuffle_seed=options.seed if options.order == "random" else None,
        baseline_seconds=options.duration if options.with_baseline else None,
    )


def _run_elsewhere(program: str, options: argparse.Namespace, stop: StopRequest) -> int:
    """The batch on every host of a cluster: a result file for each."""
    from farm.hosts import run_on_hosts

    jobs = _arranged(jobs_of(options), options)
    make_folder(options.output_dir)
    quality = _quality_settings(options)
    check_settings(quality)
    energy = replace(_energy_sources(options), models_dir=None)  # a calibration is of this machine
    hosts = run_on_hosts(program, jobs, options, energy, quality if options.compute_quality else None, stop)
    reports = []
    for one in hosts.values():
        if one.run.scenarios:
            reports.append(_document(one.run, one.path))
            if not options.json:
                _report(one.run, one.path, as_json=False)
    if options.json:
        print_json(reports)
    if stop.asked:
        raise KeyboardInterrupt
    problems = [f"{name}: {one.problem}" for name, one in hosts.items() if one.problem is not None]
    if problems:
        raise WorkError("; ".join(problems))
    for one in hosts.values():
        qualities = [output.quality for s in one.run.scenarios for output in s.outputs]
        _complain(one.run, sum(not is_scored(q) for q in qualities) if options.compute_quality else 0)
    return 0


def _without(
    reasons: Mapping[str, str], jobs: list[Job], program: str, options: argparse.Namespace
) -> list[Job]:
    """The jobs that can be done here; that others cannot is an error unless they may be left out."""
    lines = list(dict.fromkeys(reasons.values()))
    if lines and not (options.skip_missing or options.subcommand == "suite"):
        raise InputError("; ".join(lines))
    for reason in lines:
        sys.stderr.write(f"{program}: left out: {reason}\n")
    jobs = [job for job in jobs if job.name not in reasons]
    if not jobs:
        raise InputError("no scenario is left to run")
    return jobs


def _dry_run(
    jobs: Sequence[Job], sources: Mapping[str, Source], settings: RunSettings, output_dir: Path
) -> int:
    """The commands that would run, and how long that takes at most."""
    folder = output_dir / "test_results_DATE_outputs"
    for job in jobs:
        print(f"# {job.name}" + (f" (repeat {job.repeat})" if job.repeat > 1 else ""))  # noqa: T201
        if not job.streams:
            print(f"# idle for {job.duration_seconds:g} s")  # noqa: T201
            continue
        for command in commands(
            job, ffmpeg=settings.ffmpeg, folder=folder, source=sources.get(job.input or "")
        ):
            for arguments in filter(None, (command.first_pass, command.arguments)):
                print(shlex.join(without_key(text, job) for text in arguments))  # noqa: T201
    print(f"# {_amount(jobs, settings)}")  # noqa: T201
    return 0


def _amount(jobs: Sequence[Job], settings: RunSettings) -> str:
    """How many scenarios run, and for how long where a clock ends them all."""
    count = "1 scenario" if len(jobs) == 1 else f"{len(jobs)} scenarios"
    if any(job.media_seconds is not None for job in jobs):
        return f"{count}; the time depends on encodes of fixed length"
    pauses = len(jobs) * (settings.stabilization_seconds + settings.cooldown_seconds)
    seconds = sum(job.duration_seconds for job in jobs) + pauses
    return (
        f"{count}, about {seconds:.0f} s" if seconds < 120 else f"{count}, about {seconds / 60:.0f} minutes"
    )


def _measure(
    program: str,
    jobs: list[Job],
    sources: dict[str, Source],
    settings: RunSettings,
    options: argparse.Namespace,
    stop: StopRequest,
) -> int:
    make_folder(options.output_dir)
    if options.compute_quality and any(job.sink != "file" for job in jobs):
        sys.stderr.write(f"{program}: encodes to null or to a server leave no file and get no score\n")
    for name, source in sources.items() if options.compute_quality else ():
        if source.hdr is not None:
            sys.stderr.write(f"{program}: {name}: VMAF has no model for HDR ({source.hdr})\n")
    # before the first window: it is work for the processor
    sources = stop.obey(
        lambda: look_at_content(
            sources,
            settings.ffmpeg,
            settings.capabilities,
            lambda line: sys.stderr.write(f"{program}: {line}\n"),
        )
    )
    energy = _energy_sources(options)
    path = _result_path(options)
    with claimed(path):
        former = None if options.resume is None else read_former(path)
        if former is not None:
            total = len(jobs)
            here = host(options.procfs, options.sysfs)
            jobs = remaining(jobs, former, here, path, ffmpeg=settings.ffmpeg, sources=sources)
            sys.stderr.write(f"{program}: {path}: {total - len(jobs)} finished before, {len(jobs)} to run\n")
        if not options.quiet and options.media_duration is None:
            scores = ", then the scores" if options.compute_quality else ""
            sys.stderr.write(f"{program}: {_amount(jobs, settings)}{scores}\n")
        with Display([job.duration_seconds for job in jobs], quiet=options.quiet) as display:
            with open_session(path, settings, energy, stop, display) as session:
                if former is not None:
                    session.resume(former)
                session.measure(jobs, sources)
            unscored = 0
            if options.compute_quality and not stop.asked:
                scorer = Scorer(settings.ffmpeg, outputs_folder(path), _quality_settings(options))
                unscored = session.score(scorer)
            session.finish()
    _report(session.run, path, as_json=options.json)
    if stop.asked:
        raise KeyboardInterrupt
    _complain(session.run, unscored)
    return 0


def _complain(run: Run, unscored: int) -> None:
    """Fail the call when a scenario failed, or a score that was asked for could not be had."""
    failed = [s for s in run.scenarios if s.status == "failed"]
    if failed:
        of_all = f"{len(failed)} of {len(run.scenarios)} scenarios failed"
        raise WorkError(f"{of_all}: {failed[0].name}: {failed[0].error}")
    if unscored:
        raise WorkError(f"{unscored} encodes could not be scored; the result file has the reasons")


def _energy_sources(options: argparse.Namespace) -> EnergySources:
    return EnergySources(
        idle_watts=options.idle_watts,
        max_watts=options.max_watts,
        meters=read_meter_files(vars(options)),
        host_rule=options.host_energy,
        models_dir=options.models_dir,
    )


def _quality_settings(options: argparse.Namespace) -> QualitySettings:
    return QualitySettings(
        codec_comparison=options.codec_comparison, xpsnr=options.xpsnr, metrics=tuple(options.metric)
    )


def _result_path(options: argparse.Namespace) -> Path:
    if options.resume is None:
        return new_result_path(options.output_dir)
    return newest(options.output_dir) if options.resume == NEWEST else Path(options.resume)


def _report(run: Run, path: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(_document(run, path))
    else:
        where = f"{path}\n" if path.exists() else ""
        sys.stdout.write(f"{summary_table(run)}\n{where}")
    sys.stdout.flush()


def _document(run: Run, path: Path) -> dict[str, Any]:
    unfinished = [
        {"scenario": s.name, "status": s.status, "error": s.error} for s in run.scenarios if s.status != "ok"
    ]
    return {"run_id": run.run_id, "file": str(path), "scenarios": rows(run), "unfinished": unfinished}
