"""Live streams to a real nginx with its RTMP module: seen by its statistics, refused by it, dropped by it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from msgspec import Struct

from advisor.errors import FfmpegError
from advisor.results import Run, read_run
from advisor.video.ffmpeg import find_ffmpeg
from tests.support.videos import make_video
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
CONFIG = """
load_module {module};
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
rtmp {{
    server {{
        listen 127.0.0.1:{rtmp};
        chunk_size 4096;
        application live {{ live on; record off; }}
        application closed {{ live on; deny publish all; }}
    }}
}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{http};
        location /stat {{ rtmp_stat all; }}
    }}
}}
"""

pytestmark = [
    pytest.mark.ffmpeg,
    pytest.mark.skipif(
        shutil.which("nginx", path="/usr/sbin:/usr/bin") is None or not MODULE.exists(),
        reason="nginx with its RTMP module is not installed (Debian: nginx-light libnginx-mod-rtmp)",
    ),
]


class _Server(Struct):
    process: subprocess.Popen[bytes]
    rtmp: int
    http: int

    def statistics(self) -> ElementTree.Element:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/stat", timeout=10) as answer:
            return ElementTree.fromstring(answer.read())  # noqa: S314 - our own server's

    def streams(self) -> dict[str, str]:
        """Names of the streams that are being published, with the size of their video."""
        return {
            stream.findtext(
                "name", ""
            ): f"{stream.findtext('meta/video/width')}x{stream.findtext('meta/video/height')}"
            for stream in self.statistics().iter("stream")
            if stream.find("publishing") is not None
        }

    def ready(self) -> bool:
        try:
            self.statistics()
        except (urllib.error.URLError, ConnectionError):
            assert self.process.poll() is None, "nginx did not start"
            return False
        return True


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[_Server]:
    folder = tmp_path / "nginx"
    folder.mkdir()
    rtmp, http = _free_ports(2)
    # nginx as root would hand its worker to www-data, which may not enter the test's folder
    user = "user root;" if (tmp_path.owner() == "root") else ""
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(module=MODULE, folder=folder, rtmp=rtmp, http=http, user=user))
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin") or ""
    process = subprocess.Popen([nginx, "-p", str(folder), "-c", str(config), "-e", str(folder / "early.log")])
    try:
        found = _Server(process, rtmp, http)
        wait_until(found.ready)
        yield found
    finally:
        process.terminate()
        process.wait()


def _start(
    tmp_path: Path, *args: str, source: str = "lavfi:testsrc2=s=320x180:r=25"
) -> subprocess.Popen[str]:
    try:
        find_ffmpeg()
    except FfmpegError as exc:
        pytest.skip(str(exc))
    common = ["--preset", "ultrafast", "--bitrate", "300k", "--stabilization", "0", "--json", "--quiet"]
    return subprocess.Popen(
        [
            sys.executable,
            "run_tests.py",
            *args,
            "--input",
            source,
            *common,
            "--output-dir",
            str(tmp_path / "out"),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _run(tmp_path: Path) -> Run:
    (path,) = (tmp_path / "out").glob("*.json")
    return read_run(path)


def test_concurrent_streams_are_seen_by_the_server(server: _Server, tmp_path: Path) -> None:
    """Two streams of 320x180 are published under names of their own, in real time, for the time asked for."""
    url = f"rtmp://127.0.0.1:{server.rtmp}/live/key"
    process = _start(tmp_path, "multi", "--streams", "2", "--rtmp", url, "--duration", "4")
    try:
        both = {"key_s1": "320x180", "key_s2": "320x180"}
        wait_until(lambda: server.streams() == both, limit_seconds=30)
    finally:
        out, err = process.communicate()
    assert process.returncode == 0, err
    assert json.loads(out)["unfinished"] == []
    (scenario,) = _run(tmp_path).scenarios
    assert (scenario.status, scenario.streams) == ("ok", 2)
    assert scenario.duration is not None
    for output in scenario.outputs:
        assert output.frames is not None
        # real time: never more than the window and ffmpeg's start burst of half a second hold
        assert 50 <= output.frames <= 25 * (scenario.duration + 1)
        assert output.size_bytes
    wait_until(lambda: server.streams() == {})


def test_a_variable_rate_reaches_the_server_whole(server: _Server, tmp_path: Path) -> None:
    """60 and 30 frames a second in turn, five in 14 of 120 ticks."""
    ticks = [14 * group + tick for group in range(12) for tick in (0, 2, 4, 6, 10)]
    video = make_video(find_ffmpeg(), tmp_path / "phone.mp4", ticks, size=(320, 180))
    url = f"rtmp://127.0.0.1:{server.rtmp}/live/key"
    process = _start(tmp_path, "single", "--rtmp", url, "--media-duration", "1.21", source=str(video.path))
    _, err = process.communicate()
    assert process.returncode == 0, err
    (scenario,) = _run(tmp_path).scenarios
    assert scenario.outputs[0].frames == video.frames_within(1.21)
    assert scenario.outputs[0].duration == pytest.approx(1.21, abs=0.04)
    assert (scenario.encode and scenario.encode.dropped_frames) == 0


def test_a_server_that_refuses_is_a_failed_scenario(server: _Server, tmp_path: Path) -> None:
    process = _start(
        tmp_path, "single", "--rtmp", f"rtmp://127.0.0.1:{server.rtmp}/closed/key", "--duration", "30"
    )
    _, err = process.communicate()
    (scenario,) = _run(tmp_path).scenarios
    assert (process.returncode, scenario.status) == (1, "failed")
    assert scenario.error is not None
    assert scenario.error.startswith("ffmpeg ended with code ")
    assert err.startswith("run_tests.py: 1 of 1 scenarios failed: ")


def test_nobody_at_the_port_is_a_failed_scenario(tmp_path: Path) -> None:
    (port,) = _free_ports(1)
    process = _start(tmp_path, "single", "--rtmp", f"rtmp://127.0.0.1:{port}/live/key", "--duration", "30")
    process.communicate()
    (scenario,) = _run(tmp_path).scenarios
    assert (process.returncode, scenario.status) == (1, "failed")
    assert scenario.error is not None
    assert "Connection refused" in scenario.error


def test_a_server_killed_half_way_is_a_failed_scenario(server: _Server, tmp_path: Path) -> None:
    url = f"rtmp://127.0.0.1:{server.rtmp}/live/key"
    process = _start(tmp_path, "single", "--rtmp", url, "--duration", "120")
    wait_until(lambda: list(server.streams()) == ["key"])
    # the worker that holds the connections, and the master
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    server.process.kill()
    server.process.wait()
    for child in children:
        subprocess.run(["kill", "-9", child], check=True)
    process.communicate()
    (scenario,) = _run(tmp_path).scenarios
    assert (process.returncode, scenario.status) == (1, "failed")
    assert scenario.error is not None
    assert scenario.error.startswith("ffmpeg ended with code ")
    assert scenario.power is None
