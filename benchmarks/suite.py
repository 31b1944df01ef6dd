"""The benchmarks one after another, and what they found: ``scripts/bench``.

    scripts/bench                        every benchmark, short
    scripts/bench --full                 the sizes of docs/benchmarks.md, more than an hour
    scripts/bench scrape rebuild         these
    scripts/bench --list                 their names, and what each needs
    scripts/bench --full --record        also keeps the figures and refreshes docs/benchmarks.md and its plots

Each runs as a process of its own, ``python -m benchmarks.NAME --json``. One that lacks a program is
skipped and says so.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version

import msgspec
from msgspec import Struct

from advisor.machine import cpu_info
from benchmarks import page
from benchmarks.figures import Figure, report
from benchmarks.record import ROOT, Machine, Record, keep, kept

__all__ = ["BENCHES", "Bench", "main"]


class Bench(Struct, frozen=True):
    """One benchmark: its module, arguments of a short and of a full run, and what it needs."""

    name: str
    short: tuple[str, ...] = ()
    full: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    module: str = ""

    def command(self, full: bool) -> list[str]:
        """Arguments of the process."""
        module = f"benchmarks.{self.module or self.name}"
        return [sys.executable, "-m", module, *(self.full if full else self.short), "--json"]


_NODE, _ENGINE = ("prometheus-node-exporter",), ("docker", "dockerd", "debootstrap")
_MATRIX = ("--matrix", "scenarios/repeatability.yaml")
BENCHES = (
    Bench("first_answer", (), (), ("/usr/bin/pipx",)),
    Bench("scrape", ("--rounds", "10"), (), _NODE),
    Bench("snapshots", ("--scenarios", "10,1000", "--scrapes", "50"), (), ("nginx",)),
    Bench("hostile", ("--scrapes", "50")),
    Bench("rebuild", ("--scenarios", "10,1000"), ("--scenarios", "10,100,1000,3000,10000")),
    Bench("start", ("--rounds", "3"), (), _NODE),
    Bench("docker_scrape", ("--containers", "1,10", "--idle-seconds", "5"), (), _ENGINE),
    Bench("together", ("--minutes", "0.5", "--containers", "3"), (), _NODE),
    Bench("rapl_cpu", ("--minutes", "0.5"), (), _NODE),
    Bench("rapl_accuracy", ("--hours", "1"), (), _NODE),
    Bench("rapl_prometheus", ("--speed", "120"), (), (*_NODE, "prometheus")),
    Bench("runner_exporter", ("--seconds", "20")),
    Bench("quality_truth", ("--no-peer",), ()),
    Bench("quality_speed", ("--rounds", "1", "--seconds", "4", "--pairs", "4", "--no-peer"), ()),
    Bench("quality_ladder", ("--seconds", "1", "--lines", "720"), ()),
    Bench("quality_restart", ("--pairs", "9"), ()),
    Bench("live", ("--minutes", "2.5", "--every", "8"), (), ("nginx", "prometheus")),
    Bench("live_transports", ("--transports",), ("--transports",), ("nginx",), "live"),
    Bench("runner_overhead", ("--rounds", "1", "--duration", "10"), (), ("/usr/bin/time",)),
    Bench(
        "runner_matrix", (*_MATRIX, "--duration", "2"), (*_MATRIX, "--duration", "80"), (), "runner_overhead"
    ),
    Bench("tariff_year"),
    Bench("enrichment", ("--scenarios", "200", "--days", "3"), (), ("prometheus", "promtool")),
    Bench("training", ("--scenarios", "300"), ("--kills", "100")),
)


def machine() -> Machine:
    """This one, without anything that names it."""
    info = cpu_info()
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(
        cpu=info.model_name or "unknown",
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(memory_bytes / 2**30, 1),
        kernel=platform.release().partition("-")[0],
        python=platform.python_version(),
        wattframe=_commit() or version("wattframe"),
        peers=_versions(),
    )


def _commit() -> str | None:
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def _versions() -> dict[str, str]:
    """Of the peers that are here."""
    asked = {
        "node_exporter": ("prometheus-node-exporter", "--version"),
        "nginx": ("nginx", "-v"),
        "docker": ("docker", "--version"),
        "prometheus": ("prometheus", "--version"),
    }
    found = {"prometheus_client": version("prometheus_client")}
    for name, (program, flag) in asked.items():
        if shutil.which(program):
            done = subprocess.run([program, flag], capture_output=True, text=True, check=False)
            words = (done.stdout + done.stderr).replace("/", " ").replace(",", " ").split()
            found[name] = next((word for word in words if word[0].isdigit()), "?")
    return found


def run(bench: Bench, *, full: bool) -> Record | str:
    """What it found, or why it did not run."""
    missing = [program for program in bench.needs if shutil.which(program) is None]
    if missing:
        return f"{', '.join(missing)} not installed"
    load, begin, start = os.getloadavg()[0], datetime.datetime.now(datetime.UTC), time.monotonic()
    done = subprocess.run(bench.command(full), cwd=ROOT, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        return f"ended with code {done.returncode}"
    figures = msgspec.json.decode(done.stdout, type=dict[str, list[Figure]])["figures"]
    return Record(
        benchmark=bench.name,
        arguments=" ".join(bench.full if full else bench.short),
        date=begin.isoformat(timespec="minutes"),
        seconds=round(time.monotonic() - start, 1),
        load_before=round(load, 2),
        load_after=round(os.getloadavg()[0], 2),
        machine=machine(),
        figures=figures,
    )


def _chosen(names: Sequence[str]) -> list[Bench]:
    known = {bench.name: bench for bench in BENCHES}
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.stderr.write(f"no benchmark {unknown[0]!r}: expected {', '.join(known)}\n")
        raise SystemExit(2)
    return [known[name] for name in names] if names else list(BENCHES)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; all of them when none is named")
    parser.add_argument("--full", action="store_true", help="the full sizes")
    parser.add_argument("--record", action="store_true", help="keep the figures, refresh docs/benchmarks.md")
    parser.add_argument("--render", action="store_true", help="only refresh docs/benchmarks.md")
    parser.add_argument("--list", action="store_true", help="names, and what each needs")
    options = parser.parse_args(argv)
    chosen = _chosen(options.names)
    if options.list:
        for bench in chosen:
            print(f"{bench.name:16} {', '.join(bench.needs)}")
        return 0
    failed = 0
    for bench in () if options.render else chosen:
        print(f"== {bench.name}", flush=True)
        outcome = run(bench, full=options.full)
        if isinstance(outcome, str):
            failed += outcome.startswith("ended")
            print(f"  not run: {outcome}")
            continue
        report(outcome.figures, as_json=False)
        if options.record:
            keep(outcome)
    if options.record or options.render:
        page.refresh(kept(), [bench.name for bench in BENCHES])
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
