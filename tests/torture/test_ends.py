"""Whatever hangs - a file inside the kernel, a server, an ffmpeg - a process ends when it is told to.

An exporter answers meanwhile, and nothing that a process started is left behind. Seconds are recorded and not
judged: a busy machine makes them longer.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from advisor.video.ffmpeg import find_ffmpeg
from farm.cluster import Cluster
from tests.support.exporter_client import ask, served
from tests.support.farm import scheduler
from tests.support.hanging_file import HangingFile, hanging_file
from tests.support.hwmon_tree import hwmon_device
from tests.support.powercap_tree import PowercapTree
from tests.support.processes import MARK, ffmpegs_of, marked
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "samples/bigbuckbunny.mp4"
RUN = json.dumps({"schema_version": 1, "scenarios": [{"name": "a", "duration": 1}]}).encode()
LACKING = {
    "schema_version": 1,
    "scenarios": [{"name": "a", "duration": 60, "start_time": 1.7e9, "end_time": 1.7e9 + 60}],
}
"""A scenario without power: Prometheus is asked for it."""
Place = Callable[[Path, Path], list[str]]
Record = Callable[[str, str], None]


def ended(process: subprocess.Popen[str], what: str, record: Record) -> int:
    """The exit code after SIGTERM."""
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    code = process.wait(60)
    record(what, f"ended after {time.monotonic() - begun:.2f} s")
    return code


def result(folder: Path, hanging: Path) -> list[str]:
    (folder / "test_results_1.json").symlink_to(hanging)
    return [f"--results-dir={folder}"]


def manifest(folder: Path, hanging: Path) -> list[str]:
    version = folder / "models" / "machine" / "0001"
    version.mkdir(parents=True)
    (version / "manifest.json").symlink_to(hanging)
    (version.parent / "latest").symlink_to("0001")
    return [f"--results-dir={folder}", f"--models-dir={folder / 'models'}"]


def tariff(folder: Path, hanging: Path) -> list[str]:
    (folder / "tariff.yaml").write_text(f"series: {hanging}\n")
    return [f"--results-dir={folder}", f"--tariff={folder / 'tariff.yaml'}"]


def pairs(folder: Path, hanging: Path) -> list[str]:
    return [f"--results-dir={folder}", f"--pairs={hanging}"]


def video(folder: Path, hanging: Path) -> list[str]:
    (folder / "pairs.yaml").write_text(f"- {{reference: {hanging}, distorted: {hanging}}}\n")
    return [*pairs(folder, folder / "pairs.yaml"), f"--cache-dir={folder / 'cache'}"]


def web(folder: Path, hanging: Path) -> list[str]:
    return [f"--results-dir={folder}", f"--web-config={hanging}"]


def register(folder: Path, hanging: Path) -> list[str]:
    tree = PowercapTree(folder / "sys")
    for number in range(2):
        tree.add(f"intel-rapl:{number}", f"package-{number}")
    tree["intel-rapl:1"].file.unlink()
    tree["intel-rapl:1"].file.symlink_to(hanging)
    return [f"--sysfs={folder / 'sys'}"]


def sensor(folder: Path, hanging: Path) -> list[str]:
    device = hwmon_device(folder / "sys", 0, "ina226", power1_label="board")
    (device / "power1_input").symlink_to(hanging)
    (folder / "sensors.yaml").write_text("- {driver: ina226, label: board, domain: psys}\n")
    return [f"--sysfs={folder / 'sys'}", f"--sensors={folder / 'sensors.yaml'}"]


@pytest.mark.parametrize(
    ("exporter", "place", "content"),
    [
        ("results", result, RUN),
        ("results", manifest, b"{}"),
        ("results", web, b"{}"),
        ("cost", result, RUN),
        ("cost", tariff, b"timestamp,price_per_kwh\n1700000000,0.1\n1700003600,0.2\n"),
        ("qoe", result, RUN),
        ("qoe", pairs, b"[]\n"),
        ("qoe", video, b"no video"),
        ("rapl", register, b"1000000\n"),
        ("rapl", sensor, b"1000000\n"),
    ],
)
def test_an_exporter_whose_file_hangs_answers_and_ends(
    exporter: str, place: Place, content: bytes, tmp_path: Path, record_property: Record
) -> None:
    with hanging_file(lambda: content) as file:
        with served(f"exporters.{exporter}", *place(tmp_path, file.path)) as running:
            file.hang()
            wait_until(lambda: reads(file, tmp_path))
            assert ask(running, "/metrics")[0] == 200
            assert ended(running.process, f"{exporter}, {place.__name__} hangs", record_property) == 0
        file.release()


def reads(file: HangingFile, folder: Path) -> bool:
    """Whether somebody waits; what is read when it changes is changed."""
    for link in (folder, *folder.rglob("*")):
        if link.is_file() and link.suffix == ".yaml":
            link.touch()
    return file.readers > 0


class Silent:
    """A server that takes connections and says nothing."""

    def __init__(self, family: socket.AddressFamily, address: object) -> None:
        self._server = socket.socket(family)
        self._server.bind(address)
        self._server.listen(100)
        self._server.setblocking(False)
        self._clients: list[socket.socket] = []
        self.address = self._server.getsockname()

    def is_asked(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            self._clients.append(self._server.accept()[0])
        return bool(self._clients)

    def close(self) -> None:
        for one in (self._server, *self._clients):
            one.close()


@pytest.fixture
def silent() -> Iterator[Silent]:
    with contextlib.closing(Silent(socket.AF_INET, ("127.0.0.1", 0))) as server:
        yield server


def test_rapl_ends_while_the_redfish_service_says_nothing(
    silent: Silent, tmp_path: Path, record_property: Record
) -> None:
    """And keeps its counters."""
    PowercapTree(tmp_path / "sys").add("intel-rapl:0", "package-0")
    config, state = tmp_path / "redfish.yaml", tmp_path / "state"
    url = f"http://127.0.0.1:{silent.address[1]}"
    config.write_text(f"{{url: '{url}', username: a, password: b, timeout_seconds: 60}}")
    options = (f"--sysfs={tmp_path / 'sys'}", f"--redfish={config}", f"--state-dir={state}")
    with served("exporters.rapl", *options) as running:
        wait_until(silent.is_asked)
        assert ask(running, "/metrics")[0] == 200
        for file in state.iterdir():
            file.unlink()
        assert ended(running.process, "rapl, redfish says nothing", record_property) == 0
        assert list(state.iterdir())


def test_docker_stats_ends_while_the_engine_says_nothing(tmp_path: Path, record_property: Record) -> None:
    with contextlib.closing(Silent(socket.AF_UNIX, str(tmp_path / "s"))) as engine:
        options = (f"--sysfs={tmp_path}", f"--docker-host=unix://{tmp_path / 's'}")
        with served("exporters.docker_stats", *options) as running:
            wait_until(engine.is_asked)
            assert ask(running, "/metrics")[0] == 200
            assert ended(running.process, "docker_stats, the engine says nothing", record_property) == 0


@contextlib.contextmanager
def command(folder: Path, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A command of this project; what it started is gone a moment after it."""
    with subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, MARK: str(folder), "XDG_CACHE_HOME": str(folder / "cache")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield process
            wait_until(lambda: not marked(str(folder)))
        finally:
            for pid in marked(str(folder)):
                os.kill(pid, signal.SIGKILL)


def runner(folder: Path, video: object, *more: object) -> tuple[object, ...]:
    options = ("--output-dir", folder / "out", "--stabilization", 0, *more)
    return "run_tests.py", "single", "--input", video, *options


def tune(folder: Path, video: object, *more: object) -> tuple[object, ...]:
    options = ("--encoders", "libx264", "--presets", "ultrafast", "--output-dir", folder / "out", *more)
    return "-m", "wattframe", "tune", video, *options


Words = Callable[..., tuple[object, ...]]


@pytest.mark.ffmpeg
@pytest.mark.parametrize("words", [runner, tune])
def test_a_command_whose_video_hangs_ends(words: Words, tmp_path: Path, record_property: Record) -> None:
    with hanging_file(lambda: b"no video") as file:
        file.hang()
        with command(tmp_path, *words(tmp_path, file.path)) as process:
            wait_until(lambda: file.readers > 0)
            what = f"{words.__name__}, the video hangs"
            assert ended(process, what, record_property) in (130, -signal.SIGTERM)
        file.release()


STOPPED = "kill -STOP $$"
DEAF = (
    f"exec {sys.executable} -S -c 'import signal; signal.signal(15, signal.SIG_IGN); signal.pause()' \"$@\""
)
FLOODING = f'exec {sys.executable} -S -c \'while True: print("x" * 60000)\' "$@"'


@pytest.mark.ffmpeg
@pytest.mark.parametrize(
    ("words", "deed"),
    [
        pytest.param(runner, STOPPED, id="runner-stopped"),
        pytest.param(runner, DEAF, id="runner-deaf"),
        pytest.param(runner, FLOODING, id="runner-flooding", marks=pytest.mark.long),
        pytest.param(tune, STOPPED, id="tune-stopped", marks=pytest.mark.long),
        pytest.param(tune, DEAF, id="tune-deaf", marks=pytest.mark.long),
    ],
)
def test_a_command_ends_whatever_its_ffmpeg_does(
    words: Words, deed: str, tmp_path: Path, request: pytest.FixtureRequest, record_property: Record
) -> None:
    """One that encodes, that is: it is told by its reports of progress."""
    ffmpeg = tmp_path / "ffmpeg"
    ffmpeg.write_text(f'#!/bin/sh\ncase "$*" in *-progress*) {deed};; esac\nexec {find_ffmpeg()} "$@"\n')
    ffmpeg.chmod(0o755)
    source = "lavfi:testsrc2=s=64x64" if words is runner else SAMPLE
    with command(tmp_path, *words(tmp_path, source, "--ffmpeg", ffmpeg)) as process:
        wait_until(lambda: ffmpegs_of(tmp_path))
        code = ended(process, request.node.callspec.id, record_property)
        assert code == 130 if words is runner else code in (1, 130)


def test_retraining_ends_while_prometheus_says_nothing(
    silent: Silent, tmp_path: Path, record_property: Record
) -> None:
    (tmp_path / "test_results_1.json").write_text(json.dumps(LACKING))
    url = f"http://127.0.0.1:{silent.address[1]}"
    words = ("retrain_models.py", "--results-dir", tmp_path, "--models-dir", tmp_path)
    with command(tmp_path, *words, "--prometheus-url", url) as process:
        wait_until(silent.is_asked)
        assert ended(process, "retrain, Prometheus says nothing", record_property) == -signal.SIGTERM


def test_the_first_process_of_a_container_ends(
    silent: Silent, tmp_path: Path, record_property: Record
) -> None:
    """It hears no signal that it does not handle; without Docker's --init the command is that one."""
    space = ["unshare", "--pid", "--fork", "--kill-child"]
    if os.geteuid() or subprocess.run([*space, "true"], capture_output=True, check=False).returncode:
        pytest.skip("a process space of one's own needs root")
    (tmp_path / "test_results_1.json").write_text(json.dumps(LACKING))
    url = f"http://127.0.0.1:{silent.address[1]}"
    words = [
        "retrain_models.py",
        "--results-dir",
        tmp_path,
        "--models-dir",
        tmp_path,
        "--prometheus-url",
        url,
    ]
    command = [*space, sys.executable, *map(str, words)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            wait_until(silent.is_asked)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
            begun = time.monotonic()
            os.kill(int(children), signal.SIGTERM)
            assert process.wait(60) == 128 + signal.SIGTERM
            record_property("retrain, first process", f"ended after {time.monotonic() - begun:.2f} s")
        finally:
            process.kill()


def test_retraining_ends_while_a_file_hangs(tmp_path: Path, record_property: Record) -> None:
    with hanging_file(lambda: RUN) as file:
        file.hang()
        options = result(tmp_path, file.path)
        with command(tmp_path, "retrain_models.py", *options, "--models-dir", tmp_path) as process:
            wait_until(lambda: file.readers > 0)
            assert ended(process, "retrain, a file hangs", record_property) == -signal.SIGTERM
        file.release()


@pytest.mark.long
def test_a_worker_ends_while_the_scheduler_says_nothing(
    silent: Silent, tmp_path: Path, record_property: Record
) -> None:
    with command(tmp_path, "-m", "wattframe", "worker", f"tcp://127.0.0.1:{silent.address[1]}") as process:
        wait_until(silent.is_asked)
        assert ended(process, "worker, the scheduler says nothing", record_property) in (0, -signal.SIGTERM)


@pytest.mark.long
def test_a_worker_that_waits_ends(tmp_path: Path, record_property: Record) -> None:
    with (
        scheduler() as address,
        command(tmp_path, "-m", "wattframe", "worker", address) as process,
        Cluster(address) as cluster,
    ):
        wait_until(cluster.resources)
        assert ended(process, "worker, nothing to do", record_property) in (0, -signal.SIGTERM)
