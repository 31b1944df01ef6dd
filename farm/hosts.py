"""A matrix of scenarios on several hosts: each measures itself, one scenario at a time, nothing beside it."""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from advisor.errors import InputError, WattframeError
from advisor.quality.settings import QualitySettings
from advisor.results import Run, write_run
from advisor.results.derived import host_mean_watts
from advisor.video.ffmpeg import capabilities
from farm import versions
from farm.cluster import HOST, Call, Cluster, ClusterError, FatalCallError, is_wanted
from farm.site import RemoteFile, file_here, remote_file, site
from runner.describe import failed_scenario
from runner.display import Display
from runner.jobs import SAMPLE, Job
from runner.measure import RunSettings
from runner.preflight import look_at_content, look_at_inputs, missing, unsuitable
from runner.result_files import new_result_path, newest_of_host, outputs_folder, remove_if_empty
from runner.score import Scorer
from runner.session import EnergySources, open_session
from runner.stop import StopRequest

_GONE_SECONDS = 60.0
"""A host that no worker lends for so long is given up."""
_CHECK_SECONDS = 5.0
_PRIORITY = 10
SAMPLE_CLIP = RemoteFile("the sample clip")
"""Every installation has it, each in its own place."""


class Order(Struct, frozen=True, kw_only=True):
    """One scenario as it travels."""

    job: Job
    input: RemoteFile | None
    """None for what is no file."""
    interval_seconds: float
    stabilization_seconds: float
    cooldown_seconds: float
    quality: QualitySettings | None
    """None: the encodes are not scored."""
    energy: EnergySources
    baseline_watts: float | None
    """Of the host, where this run has measured it idle."""


class HostRun(Struct):
    """What became of one host."""

    path: Path
    run: Run
    problem: str | None = None
    """Why the rest was not measured."""


def run_on_hosts(
    program: str,
    jobs: Sequence[Job],
    options: argparse.Namespace,
    energy: EnergySources,
    quality: QualitySettings | None,
    stop: StopRequest,
) -> dict[str, HostRun]:
    """Measure ``jobs`` on every host that was named, or is there; its result file is written after each.

    A host that goes, or fails, costs its own scenarios and no others.

    Raises
    ------
    InputError
        A host that was named is not there, or lends itself twice; an input cannot be read.
    ClusterError
        There is no worker of this version.
    """
    with Cluster(options.cluster, options.cluster_tls) as cluster:
        hosts = _chosen(cluster, options.hosts)
        orders = [_order(job, options, energy, quality) for job in jobs]
        runs = {name: _begun(name, options) for name in hosts}
        guard = threading.Lock()

        def say(name: str, number: int, text: str) -> None:
            with guard:
                if not options.quiet:
                    sys.stderr.write(f"{program}: {name}: {number}/{len(jobs)} {text}\n")

        def measure(name: str) -> None:
            try:
                _measure(cluster, name, hosts[name], orders, runs[name], say, stop)
            except (ClusterError, OSError) as exc:
                runs[name].problem = str(exc)
            except KeyboardInterrupt:
                pass
            finally:
                remove_if_empty(outputs_folder(runs[name].path))

        with ThreadPoolExecutor(len(hosts)) as pool:
            waiting = [pool.submit(measure, name) for name in hosts]
            for one in waiting:
                one.result()
    return runs


def _chosen(cluster: Cluster, names: Sequence[str] | None) -> dict[str, int]:
    """The hosts to measure on, and the calls that each takes at a time."""
    cluster.slots(versions.code(), "code ")
    there = cluster.hosts(versions.code())
    for name in names or ():
        if name not in there:
            raise InputError(
                f"expected hosts of {', '.join(sorted(there))}; found {name!r}", subject="--hosts"
            )
    chosen = {name: there[name] for name in names or sorted(there)}
    for name, slots in chosen.items():
        if len(slots) > 1:
            raise InputError(f"host {name} has {len(slots)} workers: expected one", subject="--cluster")
    return {name: slots[0] for name, slots in chosen.items()}


def _order(
    job: Job, options: argparse.Namespace, energy: EnergySources, quality: QualitySettings | None
) -> Order:
    file = SAMPLE_CLIP if job.input == str(SAMPLE) else None
    if file is None and job.input is not None and Path(job.input).exists():
        file = remote_file(job.input)
    return Order(
        job=job,
        input=file,
        interval_seconds=options.interval,
        stabilization_seconds=options.stabilization,
        cooldown_seconds=options.cooldown,
        quality=quality,
        energy=energy,
        baseline_watts=None,
    )


def _begun(name: str, options: argparse.Namespace) -> HostRun:
    """A new file, or with ``--resume`` the newest that this host has in the folder."""
    if options.resume is not None:
        former = newest_of_host(options.output_dir, name)
        if former is not None:
            finished = tuple(s for s in former.scenarios if s.status == "ok")
            return HostRun(options.output_dir / f"{former.run_id}.json", replace(former, scenarios=finished))
    return HostRun(new_result_path(options.output_dir, host=name), Run(run_id="", scenarios=()))


def _measure(
    cluster: Cluster,
    name: str,
    slots: int,
    orders: Sequence[Order],
    host_run: HostRun,
    say: Callable[[str, int, str], None],
    stop: StopRequest,
) -> None:
    """All scenarios of one host, one after another."""
    done = {(s.name, s.repeat) for s in host_run.run.scenarios}
    check = _presence(cluster, name, stop)
    resources = {versions.code(): float(slots), f"{HOST}{name}": 1.0}
    token = secrets.token_hex(8)
    for number, order in enumerate(orders, 1):
        if (order.job.name, order.job.repeat) in done:
            continue
        run, baseline = host_run.run, host_run.run.baseline
        order = replace(order, baseline_watts=None if baseline is None else host_mean_watts(baseline))
        call = Call(f"measure-{token}-{number}", measure_scenario, (order,), resources, _PRIORITY)
        try:
            (answer,) = cluster.run([call], check, again_alone=False)
        except FatalCallError as exc:
            answer = exc
        if isinstance(answer, Run):
            part = answer
        else:
            part = Run(run_id="", scenarios=(failed_scenario(order.job, str(answer)),))
        # the first that was measured says which machine it was
        about = part if run.host is None else run
        _keep(host_run, replace(about, scenarios=(*run.scenarios, *part.scenarios), finished=False))
        statuses = ", ".join(scenario.status for scenario in part.scenarios)
        say(name, number, f"{order.job.name}: {statuses or 'not measured'}")
    if host_run.run.scenarios:
        _keep(host_run, replace(host_run.run, finished=True))


def _keep(host_run: HostRun, run: Run) -> None:
    host_run.run = replace(run, run_id=host_run.path.stem)
    write_run(host_run.run, host_run.path)


def _presence(cluster: Cluster, name: str, stop: StopRequest) -> Callable[[], None]:
    """A check that raises when the user wants the end, or when a host is gone for long."""
    seen = looked = time.monotonic()

    def check() -> None:
        nonlocal seen, looked
        if stop.asked:
            raise KeyboardInterrupt
        now = time.monotonic()
        if now - looked < _CHECK_SECONDS:
            return
        looked = now
        if name in cluster.hosts(versions.code()):
            seen = now
        elif now - seen > _GONE_SECONDS:
            raise ClusterError(f"host {name} is gone")

    return check


def measure_scenario(order: Order) -> Run | WattframeError:
    """Runs on a worker that has the machine for itself: a run of one scenario."""
    machine = site()
    ffmpeg = Path(machine.ffmpeg)
    try:
        job = order.job
        if order.input is not None:
            job = replace(job, input=str(SAMPLE) if order.input == SAMPLE_CLIP else file_here(order.input))
        able = capabilities(ffmpeg)
        sources = look_at_inputs([job], ffmpeg)
        problems = {**missing([job], ffmpeg, able), **unsuitable([job], sources, ffmpeg)}
        if problems:
            return InputError(problems[job.name])
        sources = look_at_content(sources, ffmpeg, able, lambda _line: None)
        settings = RunSettings(
            ffmpeg=ffmpeg,
            capabilities=able,
            interval_seconds=order.interval_seconds,
            stabilization_seconds=order.stabilization_seconds,
            cooldown_seconds=order.cooldown_seconds,
            needs_outputs=order.quality is not None,
            calibrated_idle_watts=order.baseline_watts,
        )
        with (
            tempfile.TemporaryDirectory(prefix="wattframe-") as folder,
            Display([job.duration_seconds], quiet=True) as display,
        ):
            path, stop = Path(folder) / "run.json", StopRequest(wanted=is_wanted)
            with open_session(path, settings, order.energy, stop, display) as session:
                session.measure([job], sources)
            if order.quality is not None:
                session.score(Scorer(ffmpeg, outputs_folder(session.path), order.quality))
            names = {"name": machine.host_name, "prometheus_instance": machine.prometheus_instance}
            host = session.run.host
            return replace(session.run, host=host and replace(host, **names))
    except WattframeError as exc:
        return exc
