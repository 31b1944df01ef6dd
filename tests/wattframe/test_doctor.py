"""``wattframe doctor``: what it finds, and that each trouble comes with a way out."""

from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.moving import moving
from tests.support.powercap_tree import PowercapTree
from wattframe.cli import main
from wattframe.doctor import sections

NOBODY = "http://127.0.0.1:9"
NO_ENGINE = "unix:///nonexistent/docker.sock"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _roots(tmp_path: Path) -> tuple[str, str]:
    """A quiet machine of two CPUs: roots of its proc and sys."""
    _write(tmp_path / "proc/stat", "cpu  100 0 0 900 0 0 0 0 0 0\ncpu0 50 0 0 450\ncpu1 50 0 0 450\n")
    _write(
        tmp_path / "proc/cpuinfo",
        "processor\t: 0\nvendor_id\t: GenuineIntel\nflags\t\t: fpu\n\nprocessor\t: 1\n",
    )
    (tmp_path / "sys").mkdir(exist_ok=True)
    return str(tmp_path / "proc"), str(tmp_path / "sys")


def test_counters_are_measured_and_listed_by_zone(tmp_path: Path) -> None:
    proc, sys = _roots(tmp_path)
    tree = PowercapTree(tmp_path / "sys")
    tree.add("intel-rapl:0", "package-0", range_uj=262_143_328_850)
    tree.add("intel-rapl:0:0", "dram")
    with moving(tree):
        found = sections.power(sys, proc)
    assert (found["source"], found["tier"], found["advice"]) == ("powercap", "measured", [])
    assert [(z["zone"], z["readable"], z["max_joules"]) for z in found["zones"]] == [
        ("package_0", True, pytest.approx(262_143.328_85)),
        ("dram_0", True, pytest.approx(262_143.328_85)),
    ]


def test_without_counters_power_is_modelled_and_advice_given(tmp_path: Path) -> None:
    proc, sys = _roots(tmp_path)
    found = sections.power(sys, proc)
    assert (found["source"], found["tier"], found["zones"]) == ("estimate", "modelled", [])
    assert any("no energy counters" in line for line in found["advice"])
    assert any("--idle-watts" in line for line in found["advice"])


def test_a_machine_that_tells_nothing_has_no_source(tmp_path: Path) -> None:
    found = sections.power(str(tmp_path), str(tmp_path))
    assert (found["source"], found["tier"]) == (None, None)
    assert found["advice"]


def test_what_disturbs_is_named_with_a_way_out(tmp_path: Path) -> None:
    """In 2 s of two CPUs: 1.2 s busy, 0.4 s of 4 stolen (10 %), 0.5 s held back by the CPU limit."""
    proc, sys = _roots(tmp_path)
    _write(tmp_path / "sys/devices/system/cpu/cpufreq/policy0/scaling_governor", "ondemand\n")
    _write(tmp_path / "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", "3\n")
    _write(tmp_path / "sys/hypervisor/type", "xen\n")
    _write(tmp_path / "proc/self/cgroup", "0::/box\n")
    _write(tmp_path / "sys/fs/cgroup/box/cpu.stat", "throttled_usec 0\n")

    def two_seconds(_: float) -> None:
        _write(tmp_path / "proc/stat", "cpu  220 0 0 1140 0 0 0 40 0 0\ncpu0 0 0 0 0\ncpu1 0 0 0 0\n")
        _write(tmp_path / "sys/fs/cgroup/box/cpu.stat", "throttled_usec 500000\n")

    found = sections.machine(proc, sys, seconds=2.0, sleep=two_seconds)
    assert found["virtual"] is True
    assert (found["governors"], found["thermal_events"]) == (["ondemand"], 3)
    assert found["busy_cores"] == pytest.approx(0.6)
    assert found["steal_ratio"] == pytest.approx(0.1)
    assert found["throttled_ratio"] == pytest.approx(0.25)
    told = " ".join(found["advice"])
    for word in ("virtual machine", "ondemand", "0.60 cores", "10.0%", "cpu.max", "3 thermal"):
        assert word in told


def test_a_quiet_machine_needs_no_advice(tmp_path: Path) -> None:
    proc, sys = _roots(tmp_path)

    def idle(_: float) -> None:
        _write(tmp_path / "proc/stat", "cpu  100 0 0 1100 0 0 0 0 0 0\ncpu0 0 0 0 0\ncpu1 0 0 0 0\n")

    found = sections.machine(proc, sys, sleep=idle)
    assert (found["busy_cores"], found["steal_ratio"], found["advice"]) == (0.0, 0.0, [])


@pytest.mark.ffmpeg
def test_ffmpeg_lists_what_really_works_here() -> None:
    """libx264 is built in; an encoder whose device is missing is listed apart, with ffmpeg's reason."""
    found = sections.ffmpeg()
    if found["path"] is None:
        pytest.skip(found["advice"][0])
    assert "libx264" in found["encoders"]
    assert set(found["encoders"]).isdisjoint(found["unavailable"])
    if not Path("/dev/dri/renderD128").exists():
        assert "h264_vaapi" not in found["encoders"]


def test_an_ffmpeg_that_is_none_is_said() -> None:
    found = sections.ffmpeg("/nonexistent/ffmpeg")
    assert (found["path"], found["encoders"]) == (None, [])
    assert found["advice"] == ["/nonexistent/ffmpeg: expected the path of an executable ffmpeg"]


def test_an_ffmpeg_without_vmaf_is_said(tmp_path: Path) -> None:
    poor = tmp_path / "ffmpeg"
    listing = " V....D libx264 x264\\n"
    poor.write_text(
        '#!/bin/sh\ncase "$*" in\n'
        "-version) echo 'ffmpeg version 7.1 of mine';;\n"
        f"*-encoders*) printf '{listing}';;\n"
        "*-filters*) printf ' .. scale V->V scale\\n';;\nesac\n"
    )
    poor.chmod(0o755)
    found = sections.ffmpeg(str(poor))
    assert (found["version"], found["encoders"], found["vmaf_models"]) == ("7.1", ["libx264"], [])
    assert found["advice"] == [
        "built without libx265, libsvtav1, libvpx-vp9, libaom-av1, libvvenc: "
        "pip install imageio-ffmpeg brings them all",
        "built without libvmaf: no quality scores; pip install imageio-ffmpeg brings it",
    ]


def test_no_engine_is_said() -> None:
    found = sections.docker(NO_ENGINE)
    assert (found["reachable"], found["host"]) == (False, NO_ENGINE)
    assert found["advice"][0].endswith("without an engine there are no container figures")


def test_an_address_that_is_none_is_said() -> None:
    assert "expected unix:///PATH or tcp://HOST:PORT" in sections.docker("http://x")["advice"][0]


def test_no_prometheus_is_said() -> None:
    found = sections.prometheus(NOBODY)
    assert found["reachable"] is False
    assert "'wattframe up' starts one" in found["advice"][0]


@pytest.fixture
def prometheus() -> Iterator[str]:
    """What answers queries as Prometheus does."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def do_GET(self) -> None:
            body = b'{"status":"success","data":{"resultType":"vector","result":[]}}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_prometheus_that_answers_is_reachable(prometheus: str) -> None:
    found = sections.prometheus(prometheus)
    assert (found["reachable"], found["url"], found["advice"]) == (True, prometheus, [])


def test_json_is_one_document_with_the_contracts_sections(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor", "--json", "--prometheus-url", NOBODY, "--docker-host", NO_ENGINE])
    document = json.loads(capsys.readouterr().out)
    assert code == 0
    assert list(document) == ["power", "gpu", "machine", "ffmpeg", "docker", "prometheus"]
    assert {"source", "tier", "zones", "advice"} <= document["power"].keys()
    assert {"path", "version", "encoders", "vmaf_models"} <= document["ffmpeg"].keys()
    assert document["machine"]["threads"] == os.cpu_count()


def test_the_page_has_a_line_for_each_finding(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["doctor", "--prometheus-url", NOBODY, "--docker-host", NO_ENGINE])
    page = capsys.readouterr().out.splitlines()
    assert code == 0
    assert [line for line in page if not line.startswith(" ")] == [
        *("power", "gpu", "machine", "ffmpeg", "docker", "prometheus"),
    ]
    assert "  reachable: no" in page
    assert any(line.startswith("  -> ") for line in page)


def test_the_page_says_of_each_zone_why_it_does_not_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = PowercapTree(tmp_path)
    tree.add("intel-rapl:0", "package-0")
    tree.add("intel-rapl-mmio:0", "package-0")
    tree.add("intel-rapl:0:0", "dram").show_instead("nonsense")
    with moving(tree):
        main(["doctor", "--sysfs", str(tmp_path), "--prometheus-url", NOBODY, "--docker-host", NO_ENGINE])
    page = capsys.readouterr().out
    assert "  zones: package_0, package_0 (listed twice), dram_0 (malformed)\n" in page
