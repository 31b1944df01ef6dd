"""The farm beside one machine, and under kills: what docs/farm.md says of it.

python -m benchmarks.farm parts [--seconds 132] [--lines 720] [--parts 8]
python -m benchmarks.farm kills [--pairs 40] [--kills 10]    two network namespaces, TLS; as root
python -m benchmarks.farm many [--pairs 10000]
python -m benchmarks.farm matrix [--scenarios 100]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

from advisor.results import read_run
from advisor.video.ffmpeg import find_ffmpeg
from benchmarks.figures import Figure, report, resident_mib
from benchmarks.quality_pairs import SAMPLE, ffmpeg_run
from tests.support.certificates import certificates
from tests.support.farm import ROOT, cluster, running
from tests.support.processes import command_line

FFMPEG = str(find_ffmpeg())
_PARTS = """
import sys, pickle
from advisor.quality.measure import measure
from advisor.quality.parts import combine, measure_part, parts, prepare
from advisor.quality.settings import QualitySettings
from msgspec.structs import replace
count, ffmpeg, reference, output, result = sys.argv[1:]
if int(count) < 2:
    found = measure(reference, output, QualitySettings(), ffmpeg=ffmpeg, threads=2)
    extra = 0
else:
    prepared = prepare(reference, output, QualitySettings())
    cut = parts(prepared, int(count))
    found = combine(prepared, cut, [measure_part(prepared, one, ffmpeg=ffmpeg, threads=2) for one in cut])
    spans = [span for one in cut for span in (one.reference, one.output)]
    extra = sum((span.high - span.low) - (span.end - span.begin) for span in spans)
    print(len(cut), file=sys.stderr)
found = replace(found, quality=replace(found.quality, computation_seconds=None))
with open(result, "wb") as file:
    pickle.dump(found, file)
print(extra)
"""


def parts(options: argparse.Namespace) -> list[Figure]:
    """One long video in parts beside one pass: equal to the bit, and what it costs."""
    with tempfile.TemporaryDirectory(prefix="farm-") as name:
        folder = Path(name)
        scale = f"scale=-2:{options.lines}"
        source = ["-stream_loop", "-1", "-i", str(SAMPLE), "-t", str(options.seconds), "-an", "-vf", scale]
        coder = ["-c:v", "libx264", "-preset", "veryfast", "-g", "50"]
        ffmpeg_run(FFMPEG, [*source, *coder, "-crf", "16", "r.mp4"], folder)
        ffmpeg_run(FFMPEG, ["-i", "r.mp4", *coder, "-crf", "32", "o.mp4"], folder)
        values = {}
        for count in (1, options.parts):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            code = _PARTS + "import resource; print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
            files = (str(folder / "r.mp4"), str(folder / "o.mp4"), str(folder / f"{count}"))
            command = [sys.executable, "-c", code, str(count), FFMPEG, *files]
            done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            extra, peak = map(int, done.stdout.split())
            values[count] = cpu, peak / 1024, extra
        equal = (folder / "1").read_bytes() == (folder / f"{options.parts}").read_bytes()
        frames = 2 * 25 * options.seconds
    one, cut = values[1], values[options.parts]
    size: dict[str, Any] = {"size": options.parts, "of": "parts"}
    return [
        Figure("equal to one pass to the bit", float(equal), "", goal=1, at_least=True, **size),
        Figure("CPU", cut[0], "s", "one pass", one[0], 1.08, **size),
        Figure("memory of one ffmpeg", cut[1], "MiB", "one pass", one[1], 1.2, **size),
        Figure("frames decoded twice", 100 * cut[2] / frames, "%", goal=8, **size),
    ]


@contextlib.contextmanager
def namespaces(names: Sequence[str]) -> Iterator[str]:
    """Network namespaces with an address each; gives the address at which all reach this one."""
    ip = ["ip"]
    try:
        for number, name in enumerate(names, 1):
            net, inside = f"10.77.{number}", ["ip", "netns", "exec", name, "ip"]
            for command in (
                [*ip, "netns", "add", name],
                [*ip, "link", "add", f"{name}0", "type", "veth", "peer", "name", "eth0", "netns", name],
                [*ip, "addr", "add", f"{net}.1/24", "dev", f"{name}0"],
                [*ip, "link", "set", f"{name}0", "up"],
                [*inside, "addr", "add", f"{net}.2/24", "dev", "eth0"],
                [*inside, "link", "set", "eth0", "up"],
                [*inside, "link", "set", "lo", "up"],
                [*inside, "route", "add", "default", "via", f"{net}.1"],
            ):
                subprocess.run(command, check=True)
        yield "10.77.1.1"
    finally:
        for name in names:
            subprocess.run([*ip, "netns", "del", name], check=False)


def descendants(pid: int) -> list[int]:
    """Every process below ``pid``."""
    below: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):
            for child in map(int, (task / "children").read_text().split()):
                below += [child, *descendants(child)]
    return below


def ffmpegs(pids: Sequence[int]) -> set[int]:
    """Those of ``pids`` that measure."""
    return {pid for pid in pids if b"-progress" in command_line(pid)}


def kills(options: argparse.Namespace) -> list[Figure]:
    """Pairs over two hosts with addresses of their own and TLS, while workers are killed."""
    with tempfile.TemporaryDirectory(prefix="farm-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        source = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=4", "-pix_fmt", "yuv420p"]
        ffmpeg_run(FFMPEG, [*source, "-c:v", "ffv1", "r.mkv"], folder)
        names = [f"{number}.mp4" for number in range(options.pairs)]
        for number, file in enumerate(names):
            coder = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", str(10 + number)]
            ffmpeg_run(FFMPEG, ["-i", "r.mkv", *coder, file], folder)
        (folder / "poison.mp4").write_bytes((folder / names[0]).read_bytes() + b"\0")
        lines = [{"reference": "r.mkv", "distorted": file} for file in (*names[:3], "poison.mp4", *names[3:])]
        (folder / "pairs.json").write_text(json.dumps(lines))
        # the crash of a decoder inside a worker, as the kernel would see it
        deadly = folder / "ffmpeg"
        deadly.write_text(f'#!/bin/sh\ncase "$*" in *poison*) kill -9 $PPID;; esac\nexec "{FFMPEG}" "$@"\n')
        deadly.chmod(0o755)
        tls = certificates(folder)
        hosts = ("wfa", "wfb")
        gateway = stack.enter_context(namespaces(hosts))
        address = f"tls://{gateway}:18790"
        scheduler = _scheduler(gateway, 18790, tls)
        stack.callback(lambda: _end(scheduler[0]))
        workers = []
        for host in hosts:
            command = [sys.executable, "-m", "wattframe", "worker", address, "--cluster-tls", str(tls)]
            command += ["--name", host, "--ffmpeg", str(deadly)]
            process = subprocess.Popen(["ip", "netns", "exec", host, *command], cwd=ROOT)
            stack.callback(_end, process)
            workers.append(process.pid)
        pairs = ["--pairs", str(folder / "pairs.json"), "--json"]
        here = [*pairs, "--jobs", "2", "--threads", "1"]
        alone, _ = _scored(here, folder / "alone")
        elsewhere = [*pairs, "--cluster", address, "--cluster-tls", str(tls)]
        client = _client(elsewhere, folder / "cache")
        left: set[int] = set()
        chosen = random.Random(19)
        for number in range(options.kills + 1):
            time.sleep(chosen.uniform(2.0, 5.0))
            if number == options.kills // 2:
                scheduler[0].kill()
                _, said = client.communicate(timeout=60)
                lost = client.returncode, said.strip().splitlines()
                scheduler[0] = _scheduler(gateway, 18790, tls)[0]
                client = _client(elsewhere, folder / "cache")
                continue
            victims = [p for w in workers for p in descendants(w) if b"spawn_main" in command_line(p)]
            if victims:
                victim = chosen.choice(victims)
                measuring = ffmpegs(descendants(victim))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
                time.sleep(2)
                left |= {pid for pid in measuring if command_line(pid)}
        out, said = client.communicate(timeout=600)
        found = json.loads(out)
        print(f"scheduler killed: exit code {lost[0]}, {lost[1]}", file=sys.stderr)
        print(f"poison: {[d['reason'] for d in found if 'poison' in d['distorted']]}", file=sys.stderr)
        kept = len(list((folder / "cache").rglob("*.json")))
        same = sum(_plain(a) == _plain(b) for a, b in zip(alone, found, strict=True) if a["vmaf"])
        failed = Counter("poison" in d["distorted"] for d in found if d["vmaf"] is None)
    return [
        Figure("pairs as on one machine", same, "", goal=options.pairs, at_least=True),
        Figure("poison pairs without a score", failed[True], "", goal=1),
        Figure("other pairs without a score", failed[False], "", goal=0),
        Figure("records that are kept", kept, "", goal=options.pairs),
        Figure("ffmpeg left 2 s after a kill", len(left), "", goal=0),
        Figure("lines when the scheduler went", len(lost[1]), "", goal=1),
    ]


def _scheduler(host: str, port: int, tls: Path) -> list[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", host, "--port", str(port)]
    command += ["--dashboard-address", "127.0.0.1:0", "--protocol", "tls"]
    for role in ("ca-file", "cert", "key"):
        command += [f"--tls-{role}", str(tls / f"{role.partition('-')[0]}.pem")]
    return [subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)]


def _end(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(20)
    process.kill()


def _client(arguments: Sequence[str], cache: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "wattframe", "quality", *arguments]
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)


def _scored(arguments: Sequence[str], cache: Path) -> tuple[list[dict[str, Any]], str]:
    out, said = _client(arguments, cache).communicate()
    return json.loads(out), said


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != "computation_seconds"}


def many(options: argparse.Namespace) -> list[Figure]:
    """What the farm adds to each pair, by pairs that are no work."""
    from advisor.quality.settings import QualitySettings
    from farm import versions
    from farm.cluster import Call, Cluster
    from farm.scoring import Pair
    from farm.site import RemoteFile

    with cluster() as address, Cluster(address) as workers:
        slots = workers.slots(versions.code(), "code ")
        needs = {versions.code(): 1.0}

        def one(number: int) -> int:
            pair = Pair(RemoteFile(f"/r/{number}"), RemoteFile(f"/o/{number}"), QualitySettings())
            (answer,) = workers.run([Call(f"quality-{number}", str, (pair,), needs)])
            return len(answer)

        begun = time.monotonic()
        with ThreadPoolExecutor(2 * slots) as pool:
            total = len(list(pool.map(one, range(options.pairs))))
        each = (time.monotonic() - begun) / total
        schedulers = [p for p in descendants(os.getpid()) if b"dask_scheduler" in command_line(p)]
        memory = max(map(resident_mib, schedulers))
    size: dict[str, Any] = {"size": options.pairs, "of": "pairs"}
    return [
        Figure("overhead of a pair", each * 1000, "ms", goal=20, **size),
        Figure("scheduler's memory", memory, "MiB", goal=150, **size),
    ]


def matrix(options: argparse.Namespace) -> list[Figure]:
    """A batch on two hosts: nothing beside a scenario, files right, and Ctrl-C leaves nothing."""
    with tempfile.TemporaryDirectory(prefix="farm-") as name, cluster() as address:
        folder = Path(name)
        rates = [f"{100 + number}k" for number in range(options.scenarios)]
        batch = {"defaults": {"resolution": "64x36", "preset": "ultrafast"}, "matrix": {"bitrate": rates}}
        (folder / "batch.json").write_text(json.dumps(batch))
        command = ["run_tests", "batch", str(folder / "batch.json"), "--cluster", address, "--quiet"]
        command += [
            "--media-duration",
            "0.5",
            "--stabilization",
            "0",
            "--output-dir",
            str(folder / "results"),
        ]
        subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        runs = [read_run(path) for path in sorted((folder / "results").glob("*.json"))]
        overlaps = 0
        for run in runs:
            windows = sorted((s.start_time or 0.0, s.end_time or 0.0) for s in run.scenarios)
            overlaps += sum(end > begin for (_, end), (begin, _) in pairwise(windows))
        statuses = Counter(s.status for run in runs for s in run.scenarios)
        command[command.index("0.5")] = "600"
        with running(*command) as client:
            _wait_for_ffmpeg(folder)
            client.send_signal(signal.SIGINT)
            code = client.wait(60)
        time.sleep(2)
        left = len(_measuring(folder))
    return [
        Figure("scenarios measured", statuses["ok"], "", goal=2 * options.scenarios, at_least=True),
        Figure("result files", len(runs), "", goal=2),
        Figure("scenarios that overlap on a host", overlaps, "", goal=0),
        Figure("exit code of Ctrl-C", code, "", goal=130),
        Figure("ffmpeg left 2 s after Ctrl-C", left, "", goal=0),
    ]


def _measuring(folder: Path) -> set[int]:
    return ffmpegs(descendants(os.getpid()))


def _wait_for_ffmpeg(folder: Path) -> None:
    deadline = time.monotonic() + 60
    while not _measuring(folder) and time.monotonic() < deadline:
        time.sleep(0.1)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    options: dict[str, dict[str, int]] = {
        "parts": {"seconds": 132, "lines": 720, "parts": 8},
        "kills": {"pairs": 40, "kills": 10},
        "many": {"pairs": 10_000},
        "matrix": {"scenarios": 100},
    }
    for name, defaults in options.items():
        sub = commands.add_parser(name)
        sub.add_argument("--json", action="store_true")
        for option, value in defaults.items():
            sub.add_argument(f"--{option}", type=int, default=value)
    chosen = parser.parse_args(argv)
    work = {"parts": parts, "kills": kills, "many": many, "matrix": matrix}[chosen.command]
    return report(work(chosen), as_json=chosen.json)


if __name__ == "__main__":
    sys.exit(main())
