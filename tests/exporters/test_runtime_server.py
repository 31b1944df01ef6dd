"""A real exporter process over real sockets."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from exporters.runtime.server import bind
from tests.support.exporter_client import (
    SAMPLE,
    SCRAPE,
    Served,
    ask,
    connected,
    raw,
    scrape,
    served,
)
from tests.support.waiting import wait_until

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture(scope="module")
def items(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("items")
    (folder / "a").write_bytes(b"x" * 10)
    return folder


@pytest.fixture(scope="module")
def fail_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fail") / "now"


@pytest.fixture(scope="module")
def sample(items: Path, fail_file: Path) -> Iterator[Served]:
    arguments = ("--folder", str(items), "--fail-file", str(fail_file), "--slow-seconds", "0")
    with served(SAMPLE, *arguments) as exporter:
        wait_until(lambda: ask(exporter, "/-/ready")[0] == 200)
        yield exporter


def test_metrics_are_the_text_format_by_default(sample: Served) -> None:
    status, headers, body = ask(sample, "/metrics")
    assert (status, headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert b'# HELP sample_power_watts Power of a zone, "now".\n# TYPE sample_power_watts gauge\n' in body
    assert b'sample_power_watts{zone="package_0"} 12.5\n' in body
    assert b"# TYPE sample_energy_joules_total counter\n" in body
    assert b"dram_0" not in body


def test_openmetrics_is_sent_when_asked_for(sample: Served) -> None:
    status, headers, body = ask(sample, "/metrics", headers={"Accept": OPENMETRICS})
    assert status == 200
    assert headers["content-type"].startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    families = {f.name: f for f in parse_openmetrics(body.decode())}
    assert families["sample_energy_joules"].type == "counter"
    assert families["sample_energy_joules"].samples[0].value == 1e6 / 3
    assert families["sample_power_watts"].documentation == 'Power of a zone, "now".'
    assert body.endswith(b"\n# EOF\n")
    assert headers["vary"] == "Accept, Accept-Encoding"


@pytest.mark.parametrize("accept", [OPENMETRICS, "text/plain"])
def test_gzip_holds_the_same_page(sample: Served, accept: str) -> None:
    _, headers, packed = ask(sample, "/metrics", headers={"Accept": accept, "Accept-Encoding": "gzip"})
    assert headers["content-encoding"] == "gzip"
    _, _, plain = ask(sample, "/metrics", headers={"Accept": accept})

    def steady(page: bytes) -> list[bytes]:
        return [line for line in page.splitlines() if line.startswith(b"sample_") and b"seconds" not in line]

    assert steady(gzip.decompress(packed)) == steady(plain)


def test_head_has_headers_and_no_body(sample: Served) -> None:
    status, headers, body = ask(sample, "/metrics", "HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["content-length"]) > 1000
    with socket.create_connection(("127.0.0.1", sample.port)) as sock:
        sock.sendall(b"HEAD /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = sock.makefile("rb").read()
    assert answer.endswith(b"\r\n\r\n")


def test_health_is_ok_and_does_not_collect(sample: Served, fail_file: Path) -> None:
    before = scrape(sample)['sample_exporter_collector_failures_total{"collector": "quick"}']
    fail_file.touch()
    try:
        assert ask(sample, "/health")[::2] == (200, b"OK")
        assert ask(sample, "/-/healthy")[::2] == (200, b"OK")
    finally:
        fail_file.unlink()
    assert scrape(sample)['sample_exporter_collector_failures_total{"collector": "quick"}'] == before


def test_landing_page_names_links_and_escapes(sample: Served) -> None:
    status, headers, body = ask(sample, "/")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"Sample &lt;exporter&gt;" in body
    assert b"<exporter>" not in body
    assert b'href="metrics"' in body


@pytest.mark.parametrize("path", ["/nope", "/metrics/", "//metrics", "/metrics%00", "/%ff"])
def test_other_paths_are_404(sample: Served, path: str) -> None:
    assert ask(sample, path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_other_methods_are_405_and_say_what_is_allowed(sample: Served, method: str) -> None:
    status, headers, _ = ask(sample, "/metrics", method)
    assert (status, headers["allow"]) == (405, "GET, HEAD")


def test_collect_restricts_to_named_collectors(sample: Served) -> None:
    only = scrape(sample, "/metrics?collect[]=folder")
    assert 'sample_item_size_bytes{"item": "a"}' in only
    assert not [name for name in only if name.startswith("sample_power")]
    both = scrape(sample, "/metrics?collect%5B%5D=folder&collect[]=quick")
    assert 'sample_power_watts{"zone": "package_0"}' in both
    assert "sample_slow{}" not in both


def test_an_unknown_collector_is_one_line_of_400(sample: Served) -> None:
    status, _, body = ask(sample, "/metrics?collect[]=nope")
    assert (status, body) == (400, b"no collector 'nope': expected one of slow, folder, quick\n")


def test_a_failing_collector_leaves_the_others_and_nothing_stale(sample: Served, fail_file: Path) -> None:
    assert scrape(sample)['sample_exporter_collector_success{"collector": "quick"}'] == 1
    fail_file.touch()
    try:
        failed = scrape(sample)
    finally:
        fail_file.unlink()
    assert failed['sample_exporter_collector_success{"collector": "quick"}'] == 0
    assert failed['sample_exporter_collector_success{"collector": "slow"}'] == 1
    assert not [name for name in failed if name.startswith(("sample_power", "sample_energy"))]
    assert failed["sample_slow{}"] == 1
    assert scrape(sample)['sample_exporter_collector_success{"collector": "quick"}'] == 1


def test_a_snapshot_follows_its_data_and_forgets_what_is_gone(sample: Served, items: Path) -> None:
    (items / "b").write_bytes(b"12345")
    wait_until(lambda: scrape(sample).get('sample_item_size_bytes{"item": "b"}') == 5)
    (items / "b").write_bytes(b"1234567")
    wait_until(lambda: scrape(sample).get('sample_item_size_bytes{"item": "b"}') == 7)
    (items / "b").unlink()
    wait_until(lambda: 'sample_item_size_bytes{"item": "b"}' not in scrape(sample))
    assert scrape(sample)['sample_item_size_bytes{"item": "a"}'] == 10


def test_every_exporter_says_what_it_is_and_uses(sample: Served) -> None:
    page = scrape(sample)
    (build,) = [name for name in page if name.startswith("sample_exporter_build_info")]
    assert json.loads(build.removeprefix("sample_exporter_build_info"))["version"]
    assert 0 < page["process_resident_memory_bytes{}"] < 2**30
    assert page["process_start_time_seconds{}"] <= time.time() + 1
    assert 'sample_exporter_collector_duration_seconds{"collector": "folder"}' in page


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("application/openmetrics-text; version=soon", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=0.0.4;q=0.3, */*;q=0.1", "text/plain; version=0.0.4; charset=utf-8"),
        ("\xff\xfe", "text/plain; version=0.0.4; charset=utf-8"),
        # opentelemetry-specification 5136: the library passes over weights
        (
            "text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5,*/*;q=0.4",
            "text/plain; version=0.0.4; charset=utf-8",
        ),
        ("application/openmetrics-text;q=0", "text/plain; version=0.0.4; charset=utf-8"),
        # what comes after 1.0.0 has other names for counters
        ("application/openmetrics-text;version=2.0.0", "text/plain; version=0.0.4; charset=utf-8"),
        (
            "application/openmetrics-text;version=2.0.0,application/openmetrics-text;version=1.0.0;q=0.9",
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores",
        ),
    ],
)
def test_what_is_not_understood_or_liked_less_gets_the_text_format(
    sample: Served, accept: str, content_type: str
) -> None:
    status, headers, _ = ask(sample, "/metrics", headers={"Accept": accept})
    assert (status, headers["content-type"]) == (200, content_type)


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [("gzip;q=0", False), ("br, gzip;q=0.5", True), ("gzip;q=0.2, identity;q=0.7", False), ("", False)],
)
def test_gzip_is_sent_to_those_alone_who_take_it(sample: Served, encoding: str, packed: bool) -> None:
    _, headers, _ = ask(sample, "/metrics", headers={"Accept-Encoding": encoding})
    assert ("content-encoding" in headers) is packed


def test_sigterm_finishes_the_answer_in_flight(tmp_path: Path) -> None:
    """A page of several megabytes of which the client has read only the beginning."""
    for number in range(10_000):
        (tmp_path / f"{number:05d}-{'x' * 200}").touch()
    with served(SAMPLE, "--folder", str(tmp_path)) as exporter:
        wait_until(lambda: ask(exporter, "/-/ready")[0] == 200)
        with connected(exporter) as sock:
            sock.sendall(SCRAPE)
            answer = sock.recv(1000)
            exporter.process.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            answer += sock.makefile("rb").read()
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert f"content-length: {len(body)}" in head.decode()
        assert len(body) > 2_000_000
        assert exporter.process.wait(timeout=60) == 0


def test_sigterm_ends_soon_whatever_hangs() -> None:
    """A collector hangs in its look and would in its end; a client has 10 s for its request."""
    with served(SAMPLE, "--slow-seconds", "600") as exporter, connected(exporter) as sock:
        sock.sendall(SCRAPE[:20])
        time.sleep(0.1)
        exporter.process.send_signal(signal.SIGTERM)
        assert exporter.process.wait(timeout=9) == 0


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    for number in range(10_000):
        (tmp_path / f"{number:05d}-{'x' * 200}").touch()
    with served(SAMPLE, "--folder", str(tmp_path)) as exporter, connected(exporter) as sock:
        wait_until(lambda: ask(exporter, "/-/ready")[0] == 200)
        sock.sendall(SCRAPE * 5)
        time.sleep(0.2)
        exporter.process.send_signal(signal.SIGTERM)
        exporter.process.send_signal(signal.SIGINT)  # of one kind, two that wait would be one
        assert exporter.process.wait(timeout=20) == 130


def test_ready_waits_for_the_first_data() -> None:
    with served(SAMPLE, "--slow-seconds", "600") as exporter:
        status, headers, body = ask(exporter, "/-/ready")
        assert (status, headers["retry-after"], body) == (503, "1", b"loading\n")
        assert ask(exporter, "/health")[0] == 200
        page = scrape(exporter)
        assert page['sample_exporter_collector_success{"collector": "slow"}'] == 0
        assert page['sample_power_watts{"zone": "package_0"}'] == 12.5


def test_a_taken_port_is_one_line_that_names_it(sample: Served) -> None:
    done = run_sample("--port", str(sample.port))
    assert done.returncode == 1
    assert done.stderr == (
        f"exporters.sample: port {sample.port} is in use (127.0.0.1:{sample.port}): "
        "choose another with --port\n"
    )


def test_every_wrong_option_is_named_at_once() -> None:
    done = run_sample(
        "--port", "70000", "--nope", env={"EXPORTER_LOG_LEVEL": "loud", "SAMPLE_SLOW_SECONDS": "-1"}
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "exporters.sample: --nope: no such option; "
        "--port: expected a whole number from 0 to 65535, found '70000'; "
        "EXPORTER_LOG_LEVEL: expected one of debug, info, warning, error, found 'loud'; "
        "SAMPLE_SLOW_SECONDS: expected a number of at least 0, found '-1'\n"
    )


def test_a_wrong_option_hides_no_fault_of_the_web_configuration(tmp_path: Path) -> None:
    (tmp_path / "web.yml").write_text("rate_limit: 3\n")
    done = run_sample("--port", "70000", "--web-config", str(tmp_path / "web.yml"))
    assert done.returncode == 2
    assert done.stderr == (
        "exporters.sample: --port: expected a whole number from 0 to 65535, found '70000'; "
        f"{tmp_path}/web.yml: rate_limit: not supported\n"
    )


def run_sample(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SAMPLE, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=30, env={**os.environ, **(env or {})}, check=False
    )


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="no IPv6 on this host")
def test_ipv6_works() -> None:
    with served(SAMPLE, "--host", "::1") as exporter:
        assert exporter.url == f"http://[::1]:{exporter.port}"
        connection = http.client.HTTPConnection("::1", exporter.port, timeout=60)
        connection.request("GET", "/health")
        assert connection.getresponse().read() == b"OK"
        connection.close()


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="no IPv6 on this host")
def test_every_address_is_of_both_families() -> None:
    with served(SAMPLE, "--host", "::") as exporter:
        for address in ("127.0.0.1", "::1"):
            connection = http.client.HTTPConnection(address, exporter.port, timeout=60)
            connection.request("GET", "/health")
            assert connection.getresponse().read() == b"OK"
            connection.close()


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="no IPv6 on this host")
def test_every_address_is_of_both_families_whatever_the_kernel_is_set_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Alone(socket.socket):
        """As net.ipv6.bindv6only makes one."""

        def __init__(self, family: int = -1, *arguments: int) -> None:
            super().__init__(family, *arguments)
            if family == socket.AF_INET6:
                self.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)

    monkeypatch.setattr(socket, "socket", Alone)
    with bind("::", 0) as sock:
        sock.listen()
        socket.create_connection(("127.0.0.1", sock.getsockname()[1]), timeout=60).close()


def test_every_address_is_ipv4_where_the_kernel_has_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with bind("::", 0) as sock:
        assert sock.family is socket.AF_INET
        assert sock.getsockname()[0] == "0.0.0.0"


def test_logs_can_be_json() -> None:
    with served(SAMPLE, "--log-format", "json") as exporter:
        exporter.process.terminate()
        rest = exporter.process.communicate()[0].splitlines()
    assert [json.loads(line)["event"] for line in rest] == ["stopping"]


def test_keep_alive_serves_many_requests_on_one_connection(sample: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", sample.port, timeout=60)
    for _ in range(50):
        connection.request("GET", "/metrics")
        assert connection.getresponse().read().startswith(b"# HELP")
    connection.close()


def test_pipelined_requests_are_answered_in_order(sample: Served) -> None:
    one = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
    last = b"GET /nope HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    answer = raw(sample.port, one * 100 + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 100
    assert answer.rindex(b"HTTP/1.1 404") > answer.rindex(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"nonsense\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
    ],
    ids=["tls", "words", "space before colon", "version"],
)
def test_what_is_no_http_gets_400_and_is_closed(sample: Served, data: bytes) -> None:
    assert raw(sample.port, data).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "data",
    [
        b"GET /health HTTP/1.1\r\nHost: a\r\nX-Long: " + b"a" * 200_000,
        b"GET /health HTTP/1.1\r\n" + b"X-Many: a\r\n" * 20_000,
        b"GET /" + b"a" * 100_000,
    ],
    ids=["long header", "many headers", "long path"],
)
def test_oversized_headers_get_431_and_are_closed(sample: Served, data: bytes) -> None:
    with socket.create_connection(("127.0.0.1", sample.port), timeout=60) as sock:
        try:
            sock.sendall(data)
            answer = sock.recv(100)
        except ConnectionError:
            return  # closed while more was on its way: as good
    assert answer.startswith(b"HTTP/1.1 431 ")


def test_a_half_closed_client_gets_its_answer(sample: Served) -> None:
    answer = raw(
        sample.port, b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", half_close=True
    )
    assert answer.endswith(b"\r\n\r\nOK")


def test_slow_clients_do_not_hold_up_others(sample: Served) -> None:
    slow = [socket.create_connection(("127.0.0.1", sample.port)) for _ in range(100)]
    try:
        for sock in slow:
            sock.sendall(b"GET /metrics HTTP/1.1\r\nHos")
        assert scrape(sample)['sample_power_watts{"zone": "package_0"}'] == 12.5
    finally:
        for sock in slow:
            sock.close()
