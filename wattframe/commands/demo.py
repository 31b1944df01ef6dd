"""``wattframe demo``: every part of Wattframe once, on real video.

It uses the commands that a user would, says each before it runs, and checks what came out.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Annotated

import msgspec
import typer
from msgspec import Struct

from advisor.common.atomic import locked
from advisor.errors import InputError, PrometheusError, WorkError
from advisor.prometheus.client import PrometheusClient
from advisor.prometheus.enrichment import enrich
from advisor.results import Run, read_run, write_run
from advisor.results.derived import energy, mean_watts, vmaf_mean
from exporters.catalogue import EXPORTERS
from runner.jobs import SAMPLE
from wattframe.commands.arguments import application
from wattframe.console import print_table, shown
from wattframe.stack.services import check_ports, exporter_services, installed, parse_ports

app = application()

_MARK = ".wattframe-demo"
"""In a folder that a demo made, and that the next one may clear."""
PROMETHEUS_PORT = 9090
TUNED_VMAF, TUNED_SECONDS = 90, 120


class Demo(Struct, frozen=True):
    """Where one demo works, and how."""

    folder: Path
    duration_seconds: float
    region: str
    port_offset: int

    @property
    def results(self) -> Path:
        """Result files."""
        return self.folder / "test_results"

    @property
    def models(self) -> Path:
        """Trained models."""
        return self.folder / "models"

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.folder / "report.html"


@app.command()
def main(
    folder: Annotated[Path, typer.Option(help="Output folder; each demo empties it.")] = Path("demo"),
    duration: Annotated[float, typer.Option(min=1, help="Seconds per scenario.")] = 12.0,
    region: Annotated[str, typer.Option(envvar="REGION", help="Region of the costs.")] = "eu-west-1",
    port_offset: Annotated[
        int, typer.Option(help="Number added to the ports of the exporters and of Prometheus.")
    ] = 0,
    keep: Annotated[bool, typer.Option("--keep", help="Keep everything running until Ctrl-C.")] = False,
) -> int:
    """Run every part once on the sample clip: transcode, measure, serve, scrape, train, report."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    demo = Demo(folder.resolve(), duration, region, port_offset)
    demo.folder.parent.mkdir(parents=True, exist_ok=True)
    # a second demo in this folder would clear what the first one is serving
    lock = demo.folder.parent / f".{demo.folder.name}.lock"
    with locked(lock, busy="another demo is running in this folder"):
        _show(demo, keep)
    return 0


def _show(demo: Demo, keep: bool) -> None:
    began = time.monotonic()
    _prepare(demo)
    with contextlib.ExitStack() as serving:
        services = serving.enter_context(_served(demo))
        prometheus = services.get("prometheus")
        if prometheus:
            _wait_for_targets(prometheus)
        _say("Transcode the sample clip and measure")
        length = f"{demo.duration_seconds:g}"
        _call("test", "--duration", length, "--output-dir", demo.results, "--compute-quality")
        path = max(demo.results.glob("test_results_*.json"))
        run = read_run(path)
        if prometheus:
            _wait_for_series(prometheus, run)
            _show_enrichment(prometheus, run, demo)
        _say("Train on everything the run measured")
        against = ["--prometheus-url", prometheus] if prometheus else []
        _call("retrain", "--results-dir", demo.results, "--models-dir", demo.models, *against)
        _say("Price the run and recommend a configuration")
        region = ("--region", demo.region)
        _call("cost", path, *region)
        _call(
            "recommend", "--results-dir", demo.results, "--objective", "energy", "--min-vmaf", "80", *region
        )
        if not keep:  # its encodes are short, and what serves would be load beside them
            serving.close()
        _say("Find the best configuration for the sample clip")
        floor = ("--min-vmaf", TUNED_VMAF, "--budget", f"{TUNED_SECONDS}s")
        _call("tune", SAMPLE, *floor, "--output-dir", demo.results, "--models-dir", demo.models, *region)
        tuned = max(demo.results.glob("test_results_*.json"))
        _call("report", tuned, path, *region, "--output", demo.report)
        _check(run, demo)
        _conclusion(run, demo, services, time.monotonic() - began, keep)
        if keep:
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()


def _prepare(demo: Demo) -> None:
    """Everything that may be refused is looked at before anything is deleted."""
    ports = parse_ports((), demo.port_offset)
    check_ports(exporter_services(ports, host="127.0.0.1", environment={}))
    if demo.folder.exists() and any(demo.folder.iterdir()) and not (demo.folder / _MARK).exists():
        raise InputError("expected an empty folder or one of an earlier demo", subject=demo.folder)
    shutil.rmtree(demo.folder, ignore_errors=True)
    for folder in (demo.results, demo.models):
        folder.mkdir(parents=True)
    (demo.folder / _MARK).touch()


def _say(line: str) -> None:
    sys.stdout.write(f"\n== {line}\n")
    sys.stdout.flush()


def _argv(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "wattframe", *map(str, arguments)]


def _call(*arguments: object) -> None:
    """Run one command as a user would; its output is the demo's."""
    here = f"{Path.cwd()}/"
    shown = [str(argument).removeprefix(here) for argument in arguments]
    sys.stdout.write(f"$ wattframe {shlex.join(shown)}\n")
    sys.stdout.flush()
    done = subprocess.run(_argv(*arguments), stdin=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        raise WorkError(f"wattframe {shown[0]} ended with code {done.returncode}")


@contextlib.contextmanager
def _served(demo: Demo) -> Iterator[dict[str, str]]:
    """The exporters and Prometheus while the block runs: addresses by name."""
    _say("Run the five exporters, and Prometheus if it is installed")
    arguments: list[object] = ["up", "--region", demo.region, "--json", "--scrape-interval", 1]
    arguments += ["--results-dir", demo.results, "--models-dir", demo.models]
    arguments += ["--state-dir", demo.folder / "stack", "--port-offset", demo.port_offset]
    arguments += ["--prometheus-port", PROMETHEUS_PORT + demo.port_offset]
    with subprocess.Popen(_argv(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as stack:
        try:
            yield _addresses(stack.stdout)
        finally:
            stack.terminate()


def _addresses(stdout: IO[bytes] | None) -> dict[str, str]:
    line = stdout.readline() if stdout else b""
    if not line:
        raise WorkError("the exporters did not start; the line above has the reason")
    services = {s["name"]: s["url"] for s in json.loads(line)["services"]}
    for name, url in services.items():
        sys.stdout.write(f"  {name:<13} {url}\n")
    return services


def _wait_for_targets(url: str) -> None:
    """Until every exporter has been scraped: what happens before that, Prometheus cannot know."""
    with PrometheusClient(url) as client:

        def missing() -> str:
            try:
                up = {s.metric.get("job") for s in client.query("up == 1")}
            except PrometheusError as exc:
                return str(exc)
            return ", ".join(sorted({name for name in EXPORTERS if installed(name)} - up))

        _wait_until_nothing_is(missing, "targets down")
    sys.stdout.write(f"  all {sum(map(installed, EXPORTERS))} targets are up\n")


def _wait_for_series(url: str, run: Run) -> None:
    """Until the whole run is in Prometheus."""
    _say("Wait until Prometheus has scraped the run")
    done = [s for s in run.scenarios if s.status == "ok"]
    expected = {
        "results_scenario_duration_seconds": len(done),
        "qoe_vmaf_score": sum(1 for s in done for o in s.outputs if o.quality and o.quality.vmaf),
        "cost_total": sum(1 for s in done if energy(s) is not None),
    }
    with PrometheusClient(url) as client:

        def missing() -> str:
            counts = {name: len(client.query(f'{name}{{run_id="{run.run_id}"}}')) for name in expected}
            return ", ".join(f"{n} of {expected[k]} {k}" for k, n in counts.items() if n < expected[k])

        _wait_until_nothing_is(missing, "series")
    sys.stdout.write(f"  {', '.join(f'{n} {name}' for name, n in expected.items())}\n")


def _wait_until_nothing_is(missing: Callable[[], str], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while lacking := missing():
        if time.monotonic() > deadline:
            raise WorkError(f"after {seconds:g} s, {what}: {lacking}")
        time.sleep(1)


def _show_enrichment(url: str, run: Run, demo: Demo) -> None:
    """Take the power out of a copy, and let Prometheus give it back."""
    _say("Delete the measured power and retrain from Prometheus alone")
    folder = demo.folder / "stripped"
    folder.mkdir()
    bare = [msgspec.structs.replace(s, power=None, samples=None) for s in run.scenarios]
    stripped = msgspec.structs.replace(run, scenarios=tuple(bare))
    write_run(stripped, folder / f"{run.run_id}.json")
    models = demo.folder / "models-from-prometheus"
    _call("retrain", "--results-dir", folder, "--models-dir", models, "--prometheus-url", url)
    with PrometheusClient(url) as client:
        again = enrich([stripped], client).runs[0]
    rows = []
    for measured, enriched in zip(run.scenarios, again.scenarios, strict=True):
        watts, enriched_watts = mean_watts(measured), mean_watts(enriched)
        apart = f"{enriched_watts / watts - 1:+.1%}" if watts and enriched_watts else "-"
        rows.append((measured.name, shown(watts), shown(enriched_watts), apart))
    print_table(("mean watts", "runner", "Prometheus", "apart"), rows)


def _check(run: Run, demo: Demo) -> None:
    """What a demo must have shown."""
    done = [s for s in run.scenarios if s.type != "baseline" and s.status == "ok"]
    unscored = [s.name for s in done if vmaf_mean(s) is None]
    checks = {
        "at least 6 transcodes": len(done) >= 6,
        "an idle baseline": bool(run.baselines),
        "a VMAF for each of them": not unscored,
        "energy for each of them": all(energy(s) is not None for s in done),
        "a trained model": any(demo.models.rglob("latest*")),
        "a report that begins with what was tuned": demo.report.exists()
        and "Found by wattframe tune" in demo.report.read_text(),
    }
    wrong = [name for name, holds in checks.items() if not holds]
    if wrong:
        raise WorkError(f"the demo did not show: {', '.join(wrong)}")


def _conclusion(run: Run, demo: Demo, services: dict[str, str], seconds: float, keep: bool) -> None:
    done = [s for s in run.scenarios if s.type != "baseline" and s.status == "ok"]
    tiers = sorted({used.tier for s in done if (used := energy(s)) and used.tier})
    total = sum(used.joules for s in done if (used := energy(s)))
    _say(f"Done in {seconds / 60:.1f} minutes")
    sys.stdout.write(
        f"  {len(done)} transcodes, {total:.0f} J ({', '.join(tiers) or 'unknown source'})\n"
        f"  report        {demo.report}\n"
        f"  result file   {demo.results / run.run_id}.json\n"
        f"  models        {demo.models}\n"
    )
    if any(s.validity for s in run.scenarios):
        sys.stdout.write("  something else kept the machine busy: decide on figures of a quiet one\n")
    if keep:
        where = services.get("prometheus", services["results"])
        sys.stdout.write(f"  still serving {where} and the exporters above, until Ctrl-C\n")
    else:
        sys.stdout.write("  --keep leaves the exporters and Prometheus running\n")
    sys.stdout.flush()
