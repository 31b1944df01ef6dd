"""Live streams through a real nginx: what is published beside what is true, and what watching costs.

    python -m benchmarks.live [--minutes 20] [--every 30] [--cpu 0.5] [--json]
    python -m benchmarks.live --transports [--json]

Two streams with two renditions each are encoded in real time and sent to nginx by RTMP. Every frame carries
its number as a row of blocks, and renditions get each frame so many seconds later than the reference, so that
offsets and pairs are known. All streams are also recorded. In the middle the bitrate of one falls to a fifth,
one freezes, one turns black, one is killed and begun again, and nginx is killed. Then the recordings of the
very frames of each window, found by their numbers, are scored by ffmpeg's libvmaf alone.

With ``--transports`` one rendition by each of HLS, DASH, SRT and UDP is looked at in some windows, beside a
reference by RTMP.

Needs nginx with its RTMP module and Prometheus; with root the encoders of one stream are put in a control
group, whose energy is compared with its CPU seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import yaml
from msgspec import Struct
from msgspec.structs import replace

from advisor.quality.live_process import ANSWER, Answer, Request, Window, run_window
from advisor.video.ffmpeg import file_url, find_ffmpeg
from benchmarks.figures import Figure, quantile, report, resident_mib
from benchmarks.peers import Client
from tests.support.exporter_client import samples, served
from tests.support.ports import free_ports
from tests.support.rtmp_server import RtmpServer, missing_for_rtmp, rtmp_server
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent
FFMPEG = str(find_ffmpeg())
WIDTH, HEIGHT, RATE = 320, 180, 25
BITS, BLOCK = 16, 16
"""Of a frame's number, and the side of the block that shows each."""
LOOP_SECONDS = 60
GROUP = "wattframe-live.slice"
QUIET = (FFMPEG, "-hide_banner", "-nostdin", "-loglevel", "error", "-y")


class Channel(Struct):
    """One encoder."""

    name: str
    delay: float
    kbps: int
    preset: str = "veryfast"
    sink: tuple[str, ...] = ()
    """ffmpeg's output; empty: nginx."""
    kind: str = ""
    """The fault it has now."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def key(self) -> str:
        """The stream's name in nginx."""
        return self.name.replace("/", "_")


class Fault(Struct, frozen=True):
    """What goes wrong, when (in twentieths of the whole), and how it has to be seen."""

    kind: str
    channels: tuple[str, ...]
    begin: float
    end: float
    alert: str
    shows: Callable[[Any], bool]


CHANNELS = [
    Channel("news/reference", 0.0, 1200, "ultrafast"),
    Channel("news/high", 0.5, 400),
    Channel("news/low", 3.0, 150),
    Channel("sport/reference", 0.0, 1200, "ultrafast"),
    Channel("sport/high", 6.5, 400),
    Channel("sport/low", 10.0, 200),
]
FAULTS = [
    Fault(
        "bitrate a fifth", ("news/low",), 3, 7.5, "LiveQualityLow", lambda s: s.scores and s.scores.vmaf < 75
    ),
    Fault(
        "frozen",
        ("news/high",),
        5,
        8,
        "LivePictureFrozen",
        lambda s: s.checks and s.checks.frozen_ratio > 0.75,
    ),
    Fault(
        "black",
        ("sport/high",),
        8,
        11,
        "LivePictureFrozen",
        lambda s: s.checks and s.checks.black_ratio > 0.9,
    ),
    Fault("killed", ("sport/low",), 9, 12, "LiveStreamLost", lambda s: not s.up),
    Fault("nginx killed", tuple(c.name for c in CHANNELS), 14, 16.5, "LiveStreamLost", lambda s: not s.up),
]


def source(folder: Path) -> np.ndarray:
    """A minute of the sample under a moving camera: luma and chroma of each frame, uint8."""
    path = folder / "source.raw"
    clip = ROOT / "samples" / "bigbuckbunny.mp4"
    camera = "crop=640:360:x='320+300*sin(t/7)':y='180+170*sin(t/11.3)',scale=320:180,format=yuv420p"
    command = [*QUIET, "-stream_loop", "-1", "-i", str(clip), "-t", str(LOOP_SECONDS), "-an", "-vf", camera]
    subprocess.run([*command, "-r", str(RATE), "-f", "rawvideo", str(path)], check=True)
    return np.memmap(path, dtype=np.uint8, mode="r").reshape(-1, WIDTH * HEIGHT * 3 // 2)


def numbered(frame: np.ndarray, number: int) -> bytes:
    """The frame with its number along the upper edge."""
    picture = np.array(frame)
    bits = [(number >> bit) & 1 for bit in range(BITS)]
    picture[: WIDTH * BLOCK].reshape(BLOCK, WIDTH)[:, : BITS * BLOCK] = np.repeat(
        np.array([235 if bit else 16 for bit in bits], dtype=np.uint8), BLOCK
    )
    return picture.tobytes()


def numbers(path: Path) -> list[int]:
    """The number of each frame of a video."""
    cut = f"crop={BITS * BLOCK}:{BLOCK}:0:0,scale={BITS}:1:flags=area,format=gray"
    command = [*QUIET, "-i", file_url(path), "-map", "0:v:0", "-vf", cut, "-fps_mode", "passthrough"]
    done = subprocess.run([*command, "-f", "rawvideo", "pipe:1"], check=True, capture_output=True)
    rows = np.frombuffer(done.stdout, dtype=np.uint8).reshape(-1, BITS) > 125
    return [int(row @ (1 << np.arange(BITS))) for row in rows]


class Feeder:
    """Gives every encoder its frames at their time, and starts it again when it has ended."""

    def __init__(self, server: RtmpServer, frames: np.ndarray, channels: Sequence[Channel]) -> None:
        self.begun = time.monotonic()
        self._url, self._frames, self._channels = server.url, frames, channels
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._feed, args=(one,), daemon=True) for one in channels]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._stop.set()
        for channel in self._channels:  # one whose encoder waits for a reader is not waited for
            if channel.process is not None:
                channel.process.kill()
        for thread in self._threads:
            thread.join()
        for channel in self._channels:
            self._end(channel)

    def _feed(self, channel: Channel) -> None:
        number, kbps = 0, 0
        held: bytes | None = None
        black = bytes([16]) * (WIDTH * HEIGHT) + bytes([128]) * (WIDTH * HEIGHT // 2)
        while not self._stop.is_set():
            now = time.monotonic() - self.begun - channel.delay
            if number > now * RATE:
                time.sleep(max(0.0, number / RATE - now))
                continue
            number = max(number, int(now * RATE) - RATE)  # what is long past is left out
            frame = numbered(self._frames[number % len(self._frames)], number)
            number += 1
            held = (held or frame) if channel.kind == "frozen" else None
            frame = held or (black if channel.kind == "black" else frame)
            wanted = channel.kbps // 5 if channel.kind == "bitrate a fifth" else channel.kbps
            if channel.kind == "killed" or wanted != kbps:
                self._end(channel)
                kbps = wanted
            if channel.kind == "killed":
                continue
            if channel.process is None or channel.process.poll() is not None:
                self._end(channel)
                channel.process = self._encoder(channel, wanted)
            with contextlib.suppress(OSError):
                assert channel.process.stdin is not None
                channel.process.stdin.write(frame)

    def _end(self, channel: Channel) -> None:
        if channel.process is not None:
            channel.process.kill()
            channel.process.wait()
            channel.process = None

    def _encoder(self, channel: Channel, kbps: int) -> subprocess.Popen[bytes]:
        raw = ("-f", "rawvideo", "-s", f"{WIDTH}x{HEIGHT}", "-r", str(RATE), "-i", "pipe:0")
        x264 = (
            "-c:v",
            "libx264",
            "-preset",
            channel.preset,
            "-tune",
            "zerolatency",
            "-g",
            "50",
            "-threads",
            "1",
        )
        rate = ("-b:v", f"{kbps}k", "-maxrate", f"{kbps}k", "-bufsize", f"{kbps}k")
        sink = channel.sink or ("-f", "flv", self._url(channel.key))
        command = [FFMPEG, "-loglevel", "quiet", "-y", *raw, *x264, *rate, *sink]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0)
        with contextlib.suppress(OSError):
            (group_folder() / "cgroup.procs").write_text(str(process.pid) if "news" in channel.name else "")
        return process


def group_folder() -> Path:
    """The control group of the stream news (version 1)."""
    return Path("/sys/fs/cgroup/cpuacct") / GROUP


def removed() -> bool:
    """Whether the group is gone; its processes take a moment to be."""
    with contextlib.suppress(OSError):
        group_folder().rmdir()
    return not group_folder().exists()


class Recorder:
    """Every stream as files, one for each connection."""

    def __init__(self, server: RtmpServer, folder: Path) -> None:
        self._folder, self._url, self._stop = folder, server.url, threading.Event()
        folder.mkdir()
        self._threads = [threading.Thread(target=self._record, args=(c.key,), daemon=True) for c in CHANNELS]
        for thread in self._threads:
            thread.start()

    def _record(self, key: str) -> None:
        for part in range(10000):
            path = self._folder / f"{key}_{part}.mkv"
            command = [*QUIET, "-analyzeduration", "1000000", "-rw_timeout", "5000000", "-i", self._url(key)]
            process = subprocess.Popen([*command, "-c", "copy", str(path)], stderr=subprocess.DEVNULL)
            while process.poll() is None:
                if self._stop.wait(0.2):
                    process.terminate()
                    process.wait()
            if self._stop.wait(0.3):
                return

    def close(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def keeping(folder: Path, live: Path, cpu: float) -> None:
    """The exporter, with every window kept in ``folder`` (this process serves until it is ended)."""
    from exporters import qoe
    from exporters.live import LiveCollector
    from exporters.runtime import serve

    def run(request: Request, _: Path, stopped: Callable[[], bool]) -> Window:
        place = folder / f"{time.monotonic():.3f}"
        place.mkdir()
        window = run_window(request, place, stopped=stopped)
        (place / "ended").write_text(f"{time.monotonic():.3f} {json.dumps(list(request.addresses.items()))}")
        return window

    def build(options: argparse.Namespace) -> list[Any]:
        return [*qoe.EXPORTER.build(options), LiveCollector(live, FFMPEG, cpu, run)]

    sys.exit(serve(replace(qoe.EXPORTER, build=build), sys.argv[sys.argv.index("--") + 1 :]))


class Kept(Struct, frozen=True):
    """One window as it was kept; times in seconds since the feeder began."""

    folder: Path
    stream: str
    begun: float
    ended: float
    answer: Answer
    files: dict[str, Path]


def kept_windows(folder: Path, begun: float) -> list[Kept]:
    windows = []
    for place in sorted(folder.iterdir()):
        if not (place / ANSWER).exists() or not (place / "ended").exists():
            continue
        ended, _, text = (place / "ended").read_text().partition(" ")
        addresses = json.loads(text)
        stream = addresses[0][1].rpartition("/")[2].partition("_")[0]
        windows.append(
            Kept(
                folder=place,
                stream=stream,
                begun=float(place.name) - begun,
                ended=float(ended) - begun,
                answer=msgspec.json.decode((place / ANSWER).read_bytes(), type=Answer),
                files={name: place / f"{n}.mkv" for n, (name, _) in enumerate(addresses)},
            )
        )
    return windows


class Recordings:
    """Where each frame lies in what was recorded."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._where: dict[str, dict[int, tuple[Path, int]]] = {}
        for path in sorted(folder.iterdir()):
            key = path.stem.rpartition("_")[0]
            with contextlib.suppress(subprocess.CalledProcessError, ValueError):
                found = {number: (path, n) for n, number in enumerate(numbers(path))}
                self._where.setdefault(key, {}).update(found)

    def vmaf(self, key: str, reference: str, wanted: Sequence[int]) -> float | None:
        """Of the frames with these numbers, which follow each other; None where one was not recorded."""
        try:
            pieces = [self._piece(one, wanted) for one in (reference, key)]
            shown = [[] if piece is None else numbers(piece) for piece in pieces]
        except subprocess.CalledProcessError:  # nothing can be decoded there: a stream was broken off
            return None
        cuts = []
        for held in shown:
            if wanted[0] not in held or held[(at := held.index(wanted[0])) :][: len(wanted)] != list(wanted):
                return None
            cuts.append(cut(at, len(wanted)))
        return libvmaf(*pieces, *cuts)  # type: ignore[arg-type]

    def _piece(self, key: str, wanted: Sequence[int]) -> Path | None:
        """What was recorded around these frames, decoded: a recording is long to read from its beginning."""
        path, first = self._where.get(key, {}).get(wanted[0], (None, 0))
        if path is None:
            return None
        span = ("-ss", f"{max(0.0, first / RATE - 4):.3f}", "-t", f"{len(wanted) / RATE + 8:.3f}")
        piece = self._folder / f"piece_{key}.mkv"
        subprocess.run([*QUIET, *span, "-i", file_url(path), "-an", "-c:v", "ffv1", str(piece)], check=True)
        return piece


def cut(first: int, frames: int) -> str:
    """So many frames from the first one on, at times that the filters pair by number."""
    return f"trim=start_frame={first}:end_frame={first + frames},settb=1/{RATE},setpts=N"


def libvmaf(
    reference: Path, rendition: Path, cut: str, rendition_cut: str = f"settb=1/{RATE},setpts=N"
) -> float:
    """The score by ffmpeg alone."""
    graph = f"[0:v]{cut}[r];[1:v]{rendition_cut}[d];[d][r]libvmaf=model=version=vmaf_v0.6.1"
    inputs = ("-i", file_url(reference), "-i", file_url(rendition))
    command = [*(FFMPEG, "-hide_banner", "-nostdin", "-nostats"), *inputs, "-filter_complex", graph]
    done = subprocess.run([*command, "-f", "null", "-"], capture_output=True, text=True, check=True)
    return float(re.findall(r"VMAF score: ([0-9.]+)", done.stderr)[-1])


def accuracy(windows: Sequence[Kept], recordings: Recordings) -> Iterator[Figure]:
    delays = {channel.name: channel.delay for channel in CHANNELS}
    differences, offsets, lacking = [], [], 0
    for window in windows:
        for name, seen in window.answer.seen.items():
            if seen.outcome not in ("scored", "checked") or seen.reason:
                sys.stderr.write(
                    f"{window.begun:7.1f}-{window.ended:.1f} {window.stream}/{name}: "
                    f"{seen.outcome}, {seen.reason}\n"
                )
            if seen.scores is None or seen.scores.vmaf is None:
                continue
            offsets.append((abs(seen.scores.lag_seconds - delays[f"{window.stream}/{name}"]), window, name))
            wanted = numbers(window.files[name])[: seen.scores.frames]
            keys = f"{window.stream}_{name}", f"{window.stream}_reference"
            offline = (
                recordings.vmaf(*keys, wanted)
                if wanted == list(range(wanted[0], wanted[0] + len(wanted)))
                else None
            )
            if offline is None:
                lacking += 1
                continue
            differences.append((abs(seen.scores.vmaf - offline), window, name))
            sys.stderr.write(
                f"{window.begun:7.1f} {window.stream}/{name}: VMAF {seen.scores.vmaf:.3f} live, "
                f"{offline:.3f} offline; offset {seen.scores.lag_seconds:.3f} s\n"
            )
    yield Figure("renditions' windows called aligned", len(offsets), "windows")
    yield Figure("of them not recorded whole", lacking, "windows")
    if differences:
        yield Figure("VMAF live beside offline, worst difference", max(differences)[0], "points", goal=0.5)
    if offsets:
        yield Figure("offset beside the delay, worst difference", max(offsets)[0], "s", goal=0.5)
        yield Figure(
            "offset beside the delay, median difference", quantile([o[0] for o in offsets], 0.5), "s"
        )


def seen_faults(windows: Sequence[Kept], minute: float) -> Iterator[Figure]:
    """Whether the first window that lies in a fault shows it, and how long after its beginning that was."""
    for fault in FAULTS:
        late, missed = 0.0, 0
        for channel in fault.channels:
            stream, _, name = channel.partition("/")
            delay = next(c.delay for c in CHANNELS if c.name == channel)
            begin, end = fault.begin * minute, fault.end * minute
            # the encoder's and the server's own buffers: a second
            inside = [w for w in windows if w.stream == stream and w.begun >= begin + 1 and w.ended <= end]
            first = inside[0] if inside else None
            shown = first is not None and bool(fault.shows(first.answer.seen[name]))
            missed += not shown
            late = max(late, first.ended - begin if first else 0.0)
            if not shown:
                sys.stderr.write(f"{fault.kind} of {channel} (delay {delay}): {first}\n")
        yield Figure(
            f"{fault.kind}: renditions whose first window does not show it", missed, "renditions", goal=0
        )
        yield Figure(f"{fault.kind}: seen after", late, "s")


def alerts(port: int, begun_unix: float, minute: float, end_unix: float) -> Iterator[Figure]:
    """When each alert fired and was resolved, from Prometheus."""
    query = urllib.parse.urlencode(
        {"query": 'ALERTS{alertstate="firing"}', "start": begun_unix, "end": end_unix, "step": 5}
    )
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query_range?{query}", timeout=30) as answer:
        series = json.load(answer)["data"]["result"]
    for fault in FAULTS:
        fired, resolved = [], []
        for one in series:
            labels = one["metric"]
            if labels["alertname"] != fault.alert:
                continue
            if f"{labels.get('stream')}/{labels.get('rendition')}" not in fault.channels:
                continue
            times = [float(at) - begun_unix for at, _ in one["values"]]
            during = [t for t in times if fault.begin * minute <= t <= (fault.end + 2.5) * minute]
            if during:
                fired.append(during[0] - fault.begin * minute)
                resolved.append(during[-1] - fault.end * minute)
        yield Figure(f"{fault.kind}: {fault.alert} fired for", len(fired), f"of {len(fault.channels)}")
        if fired:
            yield Figure(f"{fault.kind}: fired after its beginning, at the latest", max(fired), "s")
            yield Figure(f"{fault.kind}: resolved after its end, at the latest", max(resolved), "s")


class Watch(Struct):
    """What is read from the exporters as time goes by."""

    with_live: list[float] = []
    without: list[float] = []
    memory: list[float] = []


class Energy(Struct, frozen=True):
    """Counters at one moment: of the encoders of the stream news, and of the whole host."""

    at: float
    joules: float
    host_joules: float
    cpu_seconds: float
    host_cpu_seconds: float


def energy_now(page: str) -> Energy:
    """From the exporter's page (policy active) and the kernel's own counters."""
    found = samples(page)

    def of(*names: str) -> float:
        return sum(v for k, v in found.items() if k.startswith(names) and '"policy": "active"' in k)

    group = of("cgroup_energy_joules_total")
    busy = [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:]]
    return Energy(
        at=time.monotonic(),
        joules=group,
        host_joules=group
        + of("cgroup_exited_energy_joules_total", "cgroup_unattributed_energy_joules_total"),
        cpu_seconds=int((group_folder() / "cpuacct.usage").read_text()) / 1e9,
        # all but idle and iowait
        host_cpu_seconds=(sum(busy[:3]) + sum(busy[5:8])) / os.sysconf("SC_CLK_TCK"),
    )


def energy(begin: Energy, end: Energy) -> Iterator[Figure]:
    """What the exporter gives the stream beside its part of the host's CPU seconds."""
    hours = (end.at - begin.at) / 3600
    cpu = end.cpu_seconds - begin.cpu_seconds
    each = (end.host_joules - begin.host_joules) / (end.host_cpu_seconds - begin.host_cpu_seconds)
    yield Figure("CPU of the encoders of one stream, an hour", cpu / hours, "s")
    yield Figure(
        "energy of the encoders of one stream, an hour (active, modelled)",
        (end.joules - begin.joules) / hours,
        "J",
        "by hand from the kernel's CPU seconds",
        cpu * each / hours,
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--every", type=float, default=30.0)
    parser.add_argument("--cpu", type=float, default=0.5)
    parser.add_argument("--transports", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.keep is not None:
        keeping(options.keep, options.keep.parent / "streams.yaml", options.cpu)
    lacks = missing_for_rtmp()
    if lacks:
        sys.stderr.write(f"{lacks}\n")
        return 1
    with tempfile.TemporaryDirectory(prefix="wattframe-bench-live-") as name:
        made = transports(Path(name)) if options.transports else measured(Path(name), options)
        return report(list(made), as_json=options.json)


def transports(folder: Path) -> Iterator[Figure]:
    """Some windows of a rendition by each transport."""
    web, srt, udp = free_ports(3)
    listing = ("-hls_time", "2", "-hls_list_size", "6", "-hls_flags", "delete_segments")
    pieces = ("-seg_duration", "2", "-window_size", "6", "-streaming", "0")
    sinks = {
        "hls": (("-f", "hls", *listing, str(folder / "web" / "a.m3u8")), f"http://127.0.0.1:{web}/a.m3u8"),
        "dash": (("-f", "dash", *pieces, str(folder / "web" / "a.mpd")), f"http://127.0.0.1:{web}/a.mpd"),
        "srt": ((), f"srt://127.0.0.1:{srt}"),
        "udp": (("-f", "mpegts", f"udp://127.0.0.1:{udp}?pkt_size=1316"), f"udp://127.0.0.1:{udp}"),
    }
    channels = [Channel("all/reference", 0.0, 1200, "ultrafast")]
    channels += [Channel(f"all/{name}", 2.0, 300, sink=sink) for name, (sink, _) in sinks.items()]
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(rtmp_server(folder / "nginx"))
        (folder / "web").mkdir()
        serve = [sys.executable, "-m", "http.server", str(web), "--bind", "127.0.0.1"]
        process = stack.enter_context(
            subprocess.Popen(serve, cwd=folder / "web", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )
        stack.callback(process.terminate)
        feeder = Feeder(server, source(folder), channels)
        stack.callback(feeder.close)
        time.sleep(12)
        addresses = {"reference": server.url("all_reference")} | {n: url for n, (_, url) in sinks.items()}
        lags: dict[str, float] = {}
        for round_number in range(4):
            place = folder / f"window{round_number}"
            place.mkdir()
            request = Request(
                addresses=addresses, window_seconds=4, ffmpeg=FFMPEG, lags=lags, search=round_number
            )
            # ffmpeg as an SRT server keeps what it has read until somebody calls: it begins with the window
            listen = ["-f", "mpegts", f"srt://127.0.0.1:{srt}?mode=listener"]
            quiet = [*QUIET, "-loglevel", "quiet"]
            with subprocess.Popen([*quiet, "-i", server.url("all_srt"), "-c", "copy", *listen]) as relay:
                answer = run_window(request, place, stopped=lambda: False).answer
                relay.kill()
            assert answer is not None
            for name, seen in answer.seen.items():
                sys.stderr.write(f"{round_number} {name}: {seen.outcome} {seen.reason or ''} {seen.scores}\n")
                if seen.scores is None or seen.scores.vmaf is None:
                    continue
                lags[name] = seen.scores.lag_seconds
                files = [place / "0.mkv", place / f"{list(addresses).index(name)}.mkv"]
                sides = [numbers(path) for path in files]
                shared = [number for number in sides[1] if number in sides[0]]
                offline = libvmaf(*files, *(cut(side.index(shared[0]), len(shared)) for side in sides))
                what = f"{name}, window {round_number}: "
                yield Figure(f"{what}VMAF", seen.scores.vmaf, "", "offline", offline)
                yield Figure(f"{what}offset where the encoder lags 2 s", lags[name], "s")


def measured(folder: Path, options: argparse.Namespace) -> Iterator[Figure]:
    minute = options.minutes / 20 * 60
    frames = source(folder)
    with contextlib.ExitStack() as stack:
        ports = free_ports(3)
        server = stack.enter_context(rtmp_server(folder / "nginx", ports[:2]))
        meter = None
        with contextlib.suppress(OSError):  # without root
            group_folder().mkdir(exist_ok=True)
            stack.callback(lambda: wait_until(removed))
            watts = ("--idle-watts", "10", "--max-watts", "50")
            meter = stack.enter_context(served("exporters.docker_stats", "--units", GROUP, *watts))
        feeder = Feeder(server, frames, CHANNELS)
        stack.callback(feeder.close)
        recorder = Recorder(server, folder / "recorded")
        streams = [
            {
                "name": stream,
                "reference": server.url(f"{stream}_reference"),
                "group": GROUP,
                "renditions": [
                    {"name": one, "url": server.url(f"{stream}_{one}")} for one in ("high", "low")
                ],
            }
            for stream in ("news", "sport")
        ]
        listed = {"streams": streams, "every_seconds": options.every}
        (folder / "streams.yaml").write_text(yaml.safe_dump(listed))
        (folder / "kept").mkdir()
        (folder / "none").mkdir()
        begun_unix = time.time() - (time.monotonic() - feeder.begun)
        arguments = ["--results-dir", str(folder / "none")]
        watched = stack.enter_context(served_keeping(folder, options.cpu, arguments))
        plain = stack.enter_context(served("exporters.qoe", *arguments))
        prometheus(stack, folder, ports[2], [one.port for one in (watched, meter) if one is not None])
        ended = time.monotonic()
        watch = Watch()
        clients = Client(watched.port), Client(plain.port)
        energies = [] if meter is None else [energy_now(Client(meter.port).scrape().decode())]
        cpu_before, begun_at = cpu_of_tree(watched.process.pid), time.monotonic()
        for server_now in timeline(server, folder, ports, feeder, minute, stack):
            for client in clients:
                client.scrape()
            watch.memory.append(resident_mib(watched.process.pid))
            ended = time.monotonic()
            assert server_now
        share = (cpu_of_tree(watched.process.pid) - cpu_before) / (ended - begun_at)
        if meter is not None:
            energies.append(energy_now(Client(meter.port).scrape().decode()))
        recorder.close()
        figures = list(alerts(ports[2], begun_unix, minute, time.time()))
        watch.with_live, watch.without = clients[0].seconds, clients[1].seconds
    windows = kept_windows(folder / "kept", feeder.begun)
    yield Figure("windows", len(windows), "windows")
    yield from accuracy(windows, Recordings(folder / "recorded"))
    yield from seen_faults(windows, minute)
    yield from figures
    yield Figure("CPU of the exporter and its windows", share, "cores", goal=options.cpu)
    if energies:
        yield from energy(*energies)
    for q in (0.5, 0.99):
        with_live, without = quantile(watch.with_live, q) * 1e3, quantile(watch.without, q) * 1e3
        yield Figure(f"scrape p{q * 100:.0f}", with_live, "ms", "without live streams", without)
    quarter = max(1, len(watch.memory) // 4)
    yield Figure(
        "memory of the exporter in the last quarter",
        quantile(watch.memory[-quarter:], 0.5),
        "MiB",
        "in the second",
        quantile(watch.memory[quarter : 2 * quarter] or watch.memory, 0.5),
    )


def cpu_of_tree(pid: int) -> float:
    """CPU seconds of a process, and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def served_keeping(folder: Path, cpu: float, arguments: Sequence[str]) -> Iterator[Any]:
    """This file as the exporter."""
    command = [sys.executable, "-m", "benchmarks.live", "--cpu", str(cpu), "--keep", str(folder / "kept")]
    with subprocess.Popen(
        [*command, "--", "--port", "0", *arguments], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        try:
            from tests.support.exporter_client import _listening

            found = _listening(process)
            drain = threading.Thread(target=lambda: [None for _ in process.stdout or ()], daemon=True)
            drain.start()
            yield found
        finally:
            process.terminate()
            process.wait()


def prometheus(stack: contextlib.ExitStack, folder: Path, port: int, targets: Sequence[int]) -> None:
    """Scrape the exporter every five seconds under the project's rules."""
    addresses = [f"127.0.0.1:{target}" for target in targets]
    config = {
        "global": {"scrape_interval": "5s", "evaluation_interval": "5s"},
        "rule_files": [str(ROOT / "prometheus" / "rules" / "*.yml")],
        "scrape_configs": [{"job_name": "qoe", "static_configs": [{"targets": addresses}]}],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    process = stack.enter_context(
        subprocess.Popen(
            [
                *(
                    "prometheus",
                    f"--config.file={folder}/prometheus.yml",
                    f"--storage.tsdb.path={folder}/tsdb",
                ),
                *(f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    )
    stack.callback(process.terminate)


def timeline(
    server: RtmpServer,
    folder: Path,
    ports: Sequence[int],
    feeder: Feeder,
    minute: float,
    stack: contextlib.ExitStack,
) -> Iterator[bool]:
    """Let the faults come and go; yields once a second until the end."""
    down = False
    while (now := time.monotonic() - feeder.begun) < 20 * minute:
        for channel in CHANNELS:
            channel.kind = ""
        for fault in FAULTS:
            if fault.begin * minute <= now < fault.end * minute and fault.kind != "nginx killed":
                for channel in CHANNELS:
                    channel.kind = fault.kind if channel.name in fault.channels else channel.kind
        killed = next(f for f in FAULTS if f.kind == "nginx killed")
        if killed.begin * minute <= now < killed.end * minute:
            if not down:
                server.kill()
                down = True
        elif down:
            stack.enter_context(rtmp_server(folder / "nginx", ports[:2]))
            down = False
        yield True
        time.sleep(1.0)


if __name__ == "__main__":
    sys.exit(main())
