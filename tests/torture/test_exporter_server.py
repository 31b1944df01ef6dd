"""The server under clients that mean no good; short by default, long with --long."""

from __future__ import annotations

import base64
import contextlib
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bcrypt
import pytest

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
from tests.support.ports import free_port
from tests.support.waiting import wait_until

LAST = SCRAPE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


@pytest.fixture(scope="module")
def long(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--long"))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A page of about a megabyte: more than socket buffers take."""
    folder = tmp_path_factory.mktemp("items")
    for number in range(12_000):
        (folder / f"item-{number:05d}-{'x' * 40}").touch()
    with served(SAMPLE, "--folder", str(folder)) as exporter:
        wait_until(lambda: ask(exporter, "/-/ready")[0] == 200)
        yield exporter


def resident_kib(exporter: Served) -> int:
    status = Path(f"/proc/{exporter.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def descriptors(exporter: Served) -> int:
    return sum(1 for _ in Path(f"/proc/{exporter.process.pid}/fd").iterdir())


def whole_answers(data: bytes) -> int:
    """How many complete answers of 200 there are; fails on anything else."""
    count = 0
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK"), head[:100]
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        assert len(rest) >= length
        data, count = rest[length:], count + 1
    return count


def test_two_hundred_slow_clients_hold_up_nobody(large: Served) -> None:
    """Half of them never finish their request, half never read their answer."""
    with contextlib.ExitStack() as stack:
        for number in range(200):
            sock = stack.enter_context(connected(large))
            sock.sendall(SCRAPE if number % 2 else SCRAPE[:20])
        for _ in range(5):
            assert scrape(large)['sample_power_watts{"zone": "package_0"}'] == 12.5


def test_pipelined_and_parallel_requests_are_all_answered(large: Served, long: bool) -> None:
    clients, each = (20, 500) if long else (10, 100)
    request = SCRAPE.replace(b"/metrics", b"/metrics?collect[]=quick")
    last = LAST.replace(b"/metrics", b"/metrics?collect[]=quick")
    with ThreadPoolExecutor(clients) as pool:
        answers = pool.map(lambda _: raw(large.port, request * (each - 1) + last), range(clients))
        assert [whole_answers(data) for data in answers] == [each] * clients


def test_a_client_that_asks_without_reading_does_not_fill_the_memory(large: Served) -> None:
    """10 000 pipelined requests for a megabyte each, and not a byte read."""
    before = resident_kib(large)
    with connected(large) as sock:
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.send(SCRAPE * 10_000)
        time.sleep(1)
        assert ask(large, "/health")[0] == 200
        assert resident_kib(large) - before < 30_000


def test_resets_and_half_closed_sockets_leave_nothing_behind(large: Served) -> None:
    wait_until(lambda: descriptors(large) < 40)
    before = descriptors(large)
    for number in range(200):
        sock = connected(large)
        sock.sendall(SCRAPE[: number % len(SCRAPE)])
        if number % 2:
            # close with a reset
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        else:
            sock.shutdown(socket.SHUT_WR)
        sock.close()
    wait_until(lambda: descriptors(large) <= before + 1)


def test_random_bytes_are_refused_or_answered_and_never_crash(large: Served, long: bool) -> None:
    chance = random.Random(20260302)
    for _ in range(5000 if long else 300):
        data = bytearray(LAST)
        for _ in range(chance.randrange(1, 8)):
            place = chance.randrange(len(data))
            data[place : place + chance.randrange(3)] = chance.randbytes(chance.randrange(4))
        with connected(large) as sock, contextlib.suppress(ConnectionError):
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            answer = sock.recv(12)
            assert not answer or answer[:9] in (b"HTTP/1.1 ", b"HTTP/1.0 ")
            assert answer[9:12] != b"500"
    assert large.process.poll() is None
    assert ask(large, "/health")[0] == 200


def test_out_of_descriptors_the_exporter_recovers() -> None:
    """40 descriptors, 80 clients: those that got in are served, and everybody once the others left."""
    script = (
        "import resource, runpy, sys\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\n"
        "sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    command = [sys.executable, "-c", script, SAMPLE, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline().rpartition("port=")[2])
            exporter = Served(f"http://127.0.0.1:{port}", port, process)
            with contextlib.ExitStack() as stack:
                crowd = [stack.enter_context(connected(exporter)) for _ in range(80)]
                crowd[0].sendall(SCRAPE)
                assert crowd[0].recv(15) == b"HTTP/1.1 200 OK"
                before = cpu_seconds(process.pid)
                time.sleep(1)
                assert cpu_seconds(process.pid) - before < 0.5  # it does not spin
            wait_until(lambda: answers(exporter))
            assert scrape(exporter)['sample_power_watts{"zone": "package_0"}'] == 12.5
        finally:
            process.terminate()
            process.communicate(timeout=60)


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def answers(exporter: Served) -> bool:
    try:
        return ask(exporter, "/health")[0] == 200
    except OSError:
        return False


def test_sigterm_under_load_cuts_no_answer() -> None:
    """Every answer that began is whole; afterwards connections are refused, and the end comes in time."""
    with served(SAMPLE) as exporter:
        seen: list[bytes] = []

        def client() -> None:
            while True:
                try:
                    seen.append(raw(exporter.port, LAST))
                except OSError:
                    return

        threads = [threading.Thread(target=client) for _ in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        exporter.process.terminate()
        assert exporter.process.wait(timeout=20) == 0
        for thread in threads:
            thread.join(timeout=60)
        answered = [data for data in seen if data]
        assert len(answered) > 8
        assert all(whole_answers(data) == 1 for data in answered)


def test_wrong_passwords_at_rate_keep_nobody_out_who_is_known(tmp_path: Path) -> None:
    config = tmp_path / "web.yml"
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(9)).decode()
    config.write_text(f"basic_auth_users: {{alice: {hashed}}}")

    def header(password: str) -> dict[str, str]:
        return {"Authorization": "Basic " + base64.b64encode(f"alice:{password}".encode()).decode()}

    with served(SAMPLE, "--web-config", str(config)) as exporter:
        assert ask(exporter, "/metrics", headers=header("right"))[0] == 200
        stop = threading.Event()
        found: set[int] = set()

        def guess(number: int) -> None:
            attempt = 0
            while not stop.is_set():
                attempt += 1
                found.add(ask(exporter, "/metrics", headers=header(f"{number}-{attempt}"))[0])

        threads = [threading.Thread(target=guess, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(20):
                assert ask(exporter, "/metrics", headers=header("right"))[0] == 200
                assert ask(exporter, "/health")[0] == 200
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert found == {401, 429}


def test_a_certificate_exchanged_under_load_costs_no_request(tmp_path: Path, long: bool) -> None:
    def certificate(name: str) -> None:
        command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        command += f" -subj /CN={name} -keyout {name}.key -out {name}.crt"
        subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
        for kind in ("key", "crt"):
            (tmp_path / f"{name}.{kind}").replace(tmp_path / f"live.{kind}")

    certificate("first")
    config = tmp_path / "web.yml"
    config.write_text("tls_server_config: {cert_file: live.crt, key_file: live.key}")
    anyone = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    shown: set[bytes] = set()
    with served(SAMPLE, "--web-config", str(config)) as exporter:
        stop = threading.Event()

        def client() -> int:
            count = 0
            while not stop.is_set():
                with connected(exporter) as plain, anyone.wrap_socket(plain) as secure:
                    shown.add(secure.getpeercert(True) or b"")
                    secure.sendall(LAST)
                    data = b""
                    while chunk := secure.recv(65536):
                        data += chunk
                count += whole_answers(data)
            return count

        with ThreadPoolExecutor(4) as pool:
            clients = [pool.submit(client) for _ in range(4)]
            try:
                wait_until(lambda: shown)
                for number in range(20 if long else 2):
                    known = len(shown)
                    certificate(f"next{number}")
                    wait_until(lambda known=known: len(shown) > known)  # type: ignore[misc]
            finally:
                stop.set()
            assert sum(c.result() for c in clients) > 4
    assert len(shown) >= (21 if long else 3)


def test_memory_does_not_grow_with_scrapes(large: Served, long: bool) -> None:
    def load(count: int) -> None:
        for encoding in ("gzip", "identity"):
            for _ in range(count):
                assert ask(large, "/metrics", headers={"Accept-Encoding": encoding})[0] == 200

    load(100)
    before = resident_kib(large)
    load(5000 if long else 150)
    assert resident_kib(large) - before < 4096


def test_a_full_disk_under_the_log_stops_no_scrape() -> None:
    port = free_port()
    command = [sys.executable, SAMPLE, "--port", str(port), "--fail-file", "/"]
    with (
        Path("/dev/full").open("w") as full,
        subprocess.Popen(command, stdout=full, stderr=subprocess.PIPE, text=True) as process,
    ):
        exporter = Served(f"http://127.0.0.1:{port}", port, process)
        wait_until(lambda: answers(exporter))
        assert scrape(exporter)['sample_exporter_collector_success{"collector": "quick"}'] == 0
        process.terminate()
        assert process.communicate(timeout=60)[1] == ""
        assert process.returncode == 0


def test_without_standard_streams_it_serves() -> None:
    """A supervisor may have closed them, and the event loop takes no socket that has the number of one."""
    port = free_port()
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, SAMPLE, f"--port={port}"]
    with subprocess.Popen(command, text=True) as process:
        exporter = Served(f"http://127.0.0.1:{port}", port, process)
        wait_until(lambda: process.poll() is not None or answers(exporter))
        process.terminate()
        assert process.wait(60) == 0


def test_it_ends_with_its_terminal() -> None:
    ours, theirs = os.openpty()
    port = free_port()
    command = ["setsid", "--ctty", sys.executable, SAMPLE, f"--port={port}"]
    with subprocess.Popen(command, stdin=theirs, text=True) as process:
        os.close(theirs)
        exporter = Served(f"http://127.0.0.1:{port}", port, process)
        wait_until(lambda: process.poll() is not None or answers(exporter))
        os.close(ours)
        assert process.wait(60) == 0


def test_without_a_terminal_who_asks_for_a_reload_ends_nothing() -> None:
    port = free_port()
    command = [sys.executable, SAMPLE, f"--port={port}"]
    with subprocess.Popen(command, start_new_session=True, text=True) as process:
        exporter = Served(f"http://127.0.0.1:{port}", port, process)
        wait_until(lambda: process.poll() is not None or answers(exporter))
        process.send_signal(signal.SIGHUP)
        assert ask(exporter, "/metrics")[0] == 200
        process.terminate()
        assert process.wait(60) == 0
