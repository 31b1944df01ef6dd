"""Live streams to a real nginx with its RTMP module: seen by its statistics, refused by it, dropped by it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from advisor.errors import FfmpegError
from advisor.quality.live import read_live
from advisor.results import Run, read_run
from advisor.video.ffmpeg import find_ffmpeg
from tests.support.ports import free_ports
from tests.support.rtmp_server import RtmpServer, missing_for_rtmp, rtmp_server
from tests.support.videos import make_video
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
_MISSING = missing_for_rtmp()

pytestmark = [pytest.mark.ffmpeg, pytest.mark.skipif(_MISSING is not None, reason=_MISSING or "")]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RtmpServer]:
    with rtmp_server(tmp_path / "nginx") as running:
        yield running


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


def test_concurrent_streams_are_seen_by_the_server(server: RtmpServer, tmp_path: Path) -> None:
    """Two streams of 320x180 are published under names of their own, in real time, for the time asked for."""
    url = server.url("key")
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


def test_a_variable_rate_reaches_the_server_whole(server: RtmpServer, tmp_path: Path) -> None:
    """60 and 30 frames a second in turn, five in 14 of 120 ticks."""
    ticks = [14 * group + tick for group in range(12) for tick in (0, 2, 4, 6, 10)]
    video = make_video(find_ffmpeg(), tmp_path / "phone.mp4", ticks, size=(320, 180))
    url = server.url("key")
    process = _start(tmp_path, "single", "--rtmp", url, "--media-duration", "1.21", source=str(video.path))
    _, err = process.communicate()
    assert process.returncode == 0, err
    (scenario,) = _run(tmp_path).scenarios
    assert scenario.outputs[0].frames == video.frames_within(1.21)
    assert scenario.outputs[0].duration == pytest.approx(1.21, abs=0.04)
    assert (scenario.encode and scenario.encode.dropped_frames) == 0


def test_a_server_that_refuses_is_a_failed_scenario(server: RtmpServer, tmp_path: Path) -> None:
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
    (port,) = free_ports(1)
    process = _start(tmp_path, "single", "--rtmp", f"rtmp://127.0.0.1:{port}/live/key", "--duration", "30")
    process.communicate()
    (scenario,) = _run(tmp_path).scenarios
    assert (process.returncode, scenario.status) == (1, "failed")
    assert scenario.error is not None
    assert "Connection refused" in scenario.error


def test_a_server_killed_half_way_is_a_failed_scenario(server: RtmpServer, tmp_path: Path) -> None:
    url = server.url("key")
    process = _start(tmp_path, "single", "--rtmp", url, "--duration", "120")
    wait_until(lambda: list(server.streams()) == ["key"])
    server.kill()
    process.communicate()
    (scenario,) = _run(tmp_path).scenarios
    assert (process.returncode, scenario.status) == (1, "failed")
    assert scenario.error is not None
    assert scenario.error.startswith("ffmpeg ended with code ")
    assert scenario.power is None


def test_what_the_compose_file_transcodes_is_what_its_list_watches(server: RtmpServer) -> None:
    """The command of the profile live, with the paths and the server of this machine."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    (news,) = read_live(ROOT / "docker" / "live" / "streams.yaml").streams
    assert news.container == services["transcoder"]["container_name"]
    host = f"127.0.0.1:{server.rtmp}"
    command = [part.replace("nginx-rtmp/", f"{host}/") for part in services["transcoder"]["command"]]
    clip = command.index("-i") + 1
    command[clip] = str(ROOT / "samples" / "bigbuckbunny.mp4")
    process = subprocess.Popen([find_ffmpeg(), *command], stderr=subprocess.DEVNULL)
    try:
        wanted = {url.rpartition("/")[2] for url in news.addresses.values()}
        sizes = {"reference": "640x360", "360p": "640x360", "180p": "320x180"}
        assert wanted == sizes.keys()
        wait_until(lambda: server.streams() == sizes)
    finally:
        process.kill()
        process.wait()
