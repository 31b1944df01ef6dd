"""The demonstration behind `scripts/demo`: every part of Wattframe once, on real video.

It uses the commands that a user would, says each before it runs, and checks what came out.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import msgspec

from advisor.common.exit import guarded
from advisor.errors import PrometheusError, WorkError
from advisor.prometheus.client import PrometheusClient
from advisor.prometheus.enrichment import enrich
from advisor.results import Run, read_run, write_run
from advisor.results.derived import energy, mean_watts, vmaf_mean
from exporters.catalogue import EXPORTERS

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "demo"
RESULTS, MODELS, STACK = OUT / "test_results", OUT / "models", OUT / "stack"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything serving until Ctrl-C")
    parser.add_argument("--duration", type=float, default=12.0, help="seconds of each scenario (default 12)")
    parser.add_argument("--region", default="eu-west-1", help="whose prices and grid (default eu-west-1)")
    parser.add_argument("--port-offset", type=int, default=0, help="added to the ports 9500-9504 and 9090")
    options = parser.parse_args()
    os.chdir(ROOT)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with _only_one():
        return _demo(options)


def _demo(options: argparse.Namespace) -> int:
    began = time.monotonic()
    shutil.rmtree(OUT, ignore_errors=True)
    for folder in (RESULTS, MODELS, STACK):
        folder.mkdir(parents=True)
    with _served(options) as services:
        prometheus = services.get("prometheus")
        if prometheus:
            _wait_for_targets(prometheus)
        _run_tests(options.duration)
        run = _the_run()
        if prometheus:
            _wait_for_series(prometheus, run)
            _show_enrichment(prometheus, run)
        _say("Train on everything the run measured")
        against = ["--prometheus-url", prometheus] if prometheus else []
        _call("retrain_models.py", "--results-dir", RESULTS, "--models-dir", MODELS, *against)
        _say("Ask what it costs, and what to choose")
        result, region = RESULTS / f"{run.run_id}.json", ("--region", options.region)
        _call("wattframe", "cost", result, *region)
        choice = ("--objective", "energy", "--min-vmaf", "80")
        _call("wattframe", "recommend", "--results-dir", RESULTS, *choice, *region)
        _call("wattframe", "report", result, *region, "--output", OUT / "report.html")
        _check(run)
        _conclusion(run, services, time.monotonic() - began, options.keep)
        if options.keep:
            _wait_for_interrupt()
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"\n== {line}\n")
    sys.stdout.flush()


def _argv(program: str, *arguments: object) -> list[str]:
    given = [str(a) for a in arguments]
    if program == "wattframe":
        return [sys.executable, "-m", "wattframe", *given]
    return [sys.executable, str(ROOT / program), *given]


def _call(program: str, *arguments: object) -> None:
    """Run one command as a user would; its output is the demo's."""
    shown = [str(a).replace(f"{ROOT}/", "") for a in arguments]
    sys.stdout.write(f"$ {'python3 ' * program.endswith('.py')}{program} {shlex.join(shown)}\n")
    sys.stdout.flush()
    done = subprocess.run(_argv(program, *arguments), stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise WorkError(f"{program} ended with code {done.returncode}")


@contextlib.contextmanager
def _only_one() -> Iterator[None]:
    """A second demo in this folder would clear what the first one is serving."""
    with (ROOT / ".demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise WorkError("another demo is running in this folder") from None
        yield


@contextlib.contextmanager
def _served(options: argparse.Namespace) -> Iterator[dict[str, str]]:
    """The exporters and Prometheus while the block runs: addresses by name."""
    _say("Serve the five exporters, and Prometheus where there is one")
    offset = options.port_offset
    arguments = [
        "up",
        "--region",
        options.region,
        "--results-dir",
        RESULTS,
        "--models-dir",
        MODELS,
        "--state-dir",
        STACK,
    ]
    arguments += [
        "--scrape-interval",
        1,
        "--port-offset",
        offset,
        "--prometheus-port",
        9090 + offset,
        "--json",
    ]
    with subprocess.Popen(
        _argv("wattframe", *arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    ) as stack:
        try:
            yield _addresses(stack.stdout)
        finally:
            stack.terminate()


def _addresses(stdout: IO[bytes] | None) -> dict[str, str]:
    line = stdout.readline() if stdout else b""
    if not line:
        raise WorkError("the exporters did not come up; the line above says why")
    services = {s["name"]: s["url"] for s in json.loads(line)["services"]}
    for name, url in services.items():
        sys.stdout.write(f"  {name:<13} {url}\n")
    return services


def _run_tests(duration: float) -> None:
    _say("Transcode the sample clip and measure")
    _call("run_tests.py", "--duration", f"{duration:g}", "--output-dir", RESULTS, "--compute-quality")


def _the_run() -> Run:
    paths = sorted(RESULTS.glob("test_results_*.json"))
    if not paths:
        raise WorkError(f"no result file under {RESULTS}")
    return read_run(paths[-1])


def _wait_for_targets(url: str) -> None:
    """Until every exporter has been scraped: what happens before that, Prometheus cannot know."""
    with PrometheusClient(url) as client:

        def missing() -> str:
            try:
                up = {s.metric.get("job") for s in client.query("up == 1")}
            except PrometheusError as exc:
                return str(exc)
            return ", ".join(sorted(set(EXPORTERS) - up))

        _wait_until_nothing_is(missing, "targets down")
    sys.stdout.write(f"  all {len(EXPORTERS)} targets are up\n")


def _wait_for_series(url: str, run: Run) -> None:
    """Until the whole run is in Prometheus."""
    _say("Wait until Prometheus has seen the run")
    done = [s for s in run.scenarios if s.status == "ok"]
    expected = {
        "results_scenario_duration_seconds": len(done),
        "qoe_vmaf_score": sum(1 for s in done for o in s.outputs if o.quality and o.quality.vmaf),
        "cost_total": sum(1 for s in done if energy(s) is not None),
    }
    with PrometheusClient(url) as client:

        def missing() -> str:
            found = {name: len(client.query(f'{name}{{run_id="{run.run_id}"}}')) for name in expected}
            return ", ".join(f"{n} of {expected[k]} {k}" for k, n in found.items() if n < expected[k])

        _wait_until_nothing_is(missing, "series")
    sys.stdout.write(f"  {', '.join(f'{n} {name}' for name, n in expected.items())}\n")


def _wait_until_nothing_is(missing: Callable[[], str], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while lacking := missing():
        if time.monotonic() > deadline:
            raise WorkError(f"after {seconds:g} s, {what}: {lacking}")
        time.sleep(1)


def _show_enrichment(url: str, run: Run) -> None:
    """Take the power out of a copy, and let Prometheus give it back."""
    _say("Forget the power, and retrain from Prometheus alone")
    folder = OUT / "stripped"
    folder.mkdir()
    bare = [msgspec.structs.replace(s, power=None, samples=None) for s in run.scenarios]
    stripped = msgspec.structs.replace(run, scenarios=tuple(bare))
    write_run(stripped, folder / f"{run.run_id}.json")
    _call(
        "retrain_models.py", "--results-dir", folder, "--models-dir", OUT / "models-from-prometheus",
        "--prometheus-url", url,
    )  # fmt: skip
    with PrometheusClient(url) as client:
        again = enrich([stripped], client).runs[0]
    sys.stdout.write(f"\n  {'mean watts':<34} {'runner':>8} {'Prometheus':>11} {'apart':>7}\n")
    for own, found in zip(run.scenarios, again.scenarios, strict=True):
        watts, seen = mean_watts(own), mean_watts(found)
        if watts is None or seen is None:
            sys.stdout.write(f"  {own.name[:34]:<34} {'unknown' if watts is None else f'{watts:8.2f}'}\n")
            continue
        apart = seen / watts - 1
        sys.stdout.write(f"  {own.name[:34]:<34} {watts:8.2f} {seen:11.2f} {apart:+7.1%}\n")


def _check(run: Run) -> None:
    """What a demo must have shown."""
    done = [s for s in run.scenarios if s.type != "baseline" and s.status == "ok"]
    unscored = [s.name for s in done if vmaf_mean(s) is None]
    checks = {
        "at least 6 transcodes": len(done) >= 6,
        "an idle baseline": run.baseline is not None,
        "a VMAF for each of them": not unscored,
        "energy for each of them": all(energy(s) is not None for s in done),
        "a trained model": any(MODELS.rglob("latest*")),
        "a report": (OUT / "report.html").exists(),
    }
    wrong = [name for name, holds in checks.items() if not holds]
    if wrong:
        raise WorkError(f"the demo did not show: {', '.join(wrong)}")


def _conclusion(run: Run, services: dict[str, str], seconds: float, keep: bool) -> None:
    done = [s for s in run.scenarios if s.type != "baseline" and s.status == "ok"]
    tiers = sorted({found.tier for s in done if (found := energy(s)) and found.tier})
    total = sum(found.joules for s in done if (found := energy(s)))
    _say(f"Done in {seconds / 60:.1f} minutes")
    sys.stdout.write(
        f"  {len(done)} transcodes, {total:.0f} J ({', '.join(tiers) or 'unknown source'})\n"
        f"  report        {OUT / 'report.html'}\n"
        f"  result file   {RESULTS / run.run_id}.json\n"
        f"  models        {MODELS}\n"
    )
    if keep:
        where = services.get("prometheus", services["results"])
        sys.stdout.write(f"  still serving {where} and the exporters above, until Ctrl-C\n")
    else:
        sys.stdout.write("  scripts/demo --keep leaves the exporters and Prometheus serving\n")
    sys.stdout.flush()


def _wait_for_interrupt() -> None:
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


if __name__ == "__main__":
    sys.exit(guarded("scripts/demo", main))
