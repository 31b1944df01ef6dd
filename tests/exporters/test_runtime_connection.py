"""What one client may hold, with the limits made short: time for a request, time without reading, number."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from exporters.runtime import Exporter, Family, Metric, Part, connection
from exporters.runtime.scrape import Scraper
from exporters.runtime.server import Server, bind
from exporters.runtime.web_config import Web

BIG = Family("x_size_bytes", "Size.", ("item",))
GET = b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
SCRAPE = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"


class Big:
    """A page of some megabytes."""

    name = "big"
    poll_seconds = None

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def parts(self) -> dict[str, Part]:
        return {"": Part(big_families)}


def big_families() -> list[Metric]:
    return [BIG([((f"{i:06d}" + "x" * 150,), i) for i in range(40_000)])]


class Listener:
    """What a scenario sees of the server."""

    def __init__(self, server: Server, port: int) -> None:
        self._server = server
        self.port = port

    @property
    def connections(self) -> int:
        return len(self._server.server_state.connections)


def run(scenario: Callable[[Listener], Awaitable[Any]]) -> Any:
    """Run a scenario beside a server, in one loop."""
    exporter = Exporter("x", "X", 0, (), lambda _: ())

    async def both() -> Any:
        with bind("127.0.0.1", 0) as sock:
            server = Server(exporter, Scraper(exporter, [Big()]), Web(None), sock)
            serving = asyncio.ensure_future(server.serve())
            while not server.started:
                await asyncio.sleep(0.01)
            try:
                return await asyncio.wait_for(scenario(Listener(server, sock.getsockname()[1])), 120)
            finally:
                server.should_exit = True
                await serving

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(both())


async def exchange(listener: Listener, data: bytes) -> bytes:
    """Send, then read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
    writer.write(data)
    try:
        return await reader.read()
    finally:
        writer.close()


def reluctant(listener: Listener) -> socket.socket:
    """A client with a small buffer, so that what it does not read stays with the server."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    sock.connect(("127.0.0.1", listener.port))
    sock.setblocking(False)
    return sock


def test_an_unfinished_request_is_ended_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.1)
    answer = run(lambda listener: exchange(listener, b"GET /health HTTP/1.1\r\nHost: "))
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_silent_client_is_closed_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.1)
    assert run(lambda listener: exchange(listener, b"")) == b""


def test_a_body_that_never_ends_is_ended_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.1)
    data = b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nxxx"
    answer = run(lambda listener: exchange(listener, data))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert (
        answer.count(b"HTTP/1.1 ") == 1
    )  # it has its answer: there is no second one to say that it was late


@pytest.mark.parametrize("count", [1, 2])
def test_a_half_closed_client_gets_all_its_answers(count: int) -> None:
    async def half(listener: Listener) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(SCRAPE * count)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer

    answer = run(half)
    assert answer.count(b'\nx_size_bytes{item="039999') == count


def test_what_is_no_http_behind_a_slow_request_ends_the_connection_after_its_answer() -> None:
    answer = run(lambda listener: exchange(listener, SCRAPE + b"nonsense\r\n\r\n"))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_answers_come_in_the_order_of_their_requests() -> None:
    """A health check behind a slow scrape could be answered at once, and waits for its turn."""
    last = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    answer = run(lambda listener: exchange(listener, SCRAPE + GET + last))
    assert answer.index(b"x_size_bytes") < answer.index(b"\r\n\r\nOK")
    assert answer.endswith(b"\r\n\r\nOK")
    assert answer.count(b"HTTP/1.1 200 ") == 3


def test_a_client_that_waits_for_continue_gets_the_answer_and_the_end() -> None:
    """It may or may not send its body now, so nothing that follows can be understood."""
    head = b"POST /metrics HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"
    answer = run(lambda listener: exchange(listener, head))
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert answer.count(b"HTTP/1.1 ") == 1


def test_an_idle_connection_is_closed_and_a_busy_one_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "IDLE_SECONDS", 0.3)

    async def idle(listener: Listener) -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        for _ in range(4):
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\nOK")
            await asyncio.sleep(0.15)
        kept, rest = listener.connections, await reader.read()
        writer.close()
        return kept, rest

    assert run(idle) == (1, b"")


def test_a_connection_outlives_who_uses_it_again() -> None:
    """Prometheus after its default interval, nginx and the load balancers of clouds after up to a minute: one
    that is just being closed would be a 502.
    """
    assert connection.IDLE_SECONDS > 60


def test_the_time_counts_for_one_request_and_not_for_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.3)

    async def several(listener: Listener) -> list[bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        answers = []
        for _ in range(4):
            writer.write(GET)
            answers.append(await reader.readuntil(b"OK"))
            answers[-1] += await reader.readuntil(b"\r\n\r\nOK") if b"\r\n\r\nOK" not in answers[-1] else b""
            await asyncio.sleep(0.15)
        writer.close()
        return answers

    assert all(b"200 OK" in answer for answer in run(several))


def test_a_client_that_stops_reading_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.2)

    async def stuck(listener: Listener) -> int:
        sock = reluctant(listener)
        await asyncio.get_running_loop().sock_sendall(sock, b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        for _ in range(100):
            await asyncio.sleep(0.05)
            if listener.connections == 0:
                break
        sock.close()
        return listener.connections

    assert run(stuck) == 0


def test_a_slow_reader_gets_everything_in_its_time() -> None:
    async def slowly(listener: Listener) -> int:
        loop = asyncio.get_running_loop()
        sock = reluctant(listener)
        await loop.sock_sendall(sock, b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        total = 0
        while chunk := await loop.sock_recv(sock, 300_000):
            total += len(chunk)
            await asyncio.sleep(0.02)
        sock.close()
        return total

    assert run(slowly) > 40_000 * 150


def test_what_does_not_fit_into_an_answer_s_end_is_cut_off_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is to be closed behind the answer, of which the last bytes are never taken."""
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.2)

    async def stuck(listener: Listener) -> int:
        sock = reluctant(listener)
        last = SCRAPE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        await asyncio.get_running_loop().sock_sendall(sock, last)
        for _ in range(100):
            await asyncio.sleep(0.05)
            if listener.connections == 0:
                break
        sock.close()
        return listener.connections

    assert run(stuck) == 0


def test_empty_lines_do_not_keep_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """They begin no request, and the time for one runs all the same."""
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 0.2)

    async def drip(listener: Listener) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\nOK")
        while listener.connections:
            writer.write(b"\r\n")
            await asyncio.sleep(0.05)
        writer.close()
        with contextlib.suppress(ConnectionResetError):  # a line was under way when the server closed
            return await reader.read()
        return b""

    assert run(drip) == b""


def test_more_requests_at_once_than_are_kept_end_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_PIPELINED", 10)
    answer = run(lambda listener: exchange(listener, GET * 1000))
    assert answer.count(b"HTTP/1.1 200 OK") == 11
    assert answer.endswith(b"\r\n\r\nOK")


def test_one_client_too_many_is_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_CONNECTIONS", 3)

    async def crowd(listener: Listener) -> tuple[bytes, bytes]:
        kept = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(3)]
        await asyncio.sleep(0.05)
        refused = await exchange(listener, b"")
        kept[0][1].write(GET)
        served = await kept[0][0].readuntil(b"\r\n\r\n")
        for _, writer in kept:
            writer.close()
        return refused, served

    refused, served = run(crowd)
    assert refused.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1\r\n" in refused
    assert served.startswith(b"HTTP/1.1 200 ")


def test_the_fields_behind_a_body_in_chunks_are_not_waited_for() -> None:
    """They would be kept whatever their length."""
    head = b"GET /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Long: "
    answer = run(lambda listener: exchange(listener, head))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nconnection: close\r\n" in answer


def test_an_upgrade_is_not_offered() -> None:
    data = b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n\r\n"
    assert run(lambda listener: exchange(listener, data)).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"http://host/health", b"200"),
        (b"http://docker_stats:9501/health", b"200"),
        (b"HTTP://[::1]:9501/health?a=b", b"200"),
        (b"http://host", b"200"),
        (b"http://host:80?collect[]=big", b"200"),
        (b"http://docker_stats:9501/nothing", b"404"),
        (b"http://host//health", b"404"),
        (b"//host/health", b"404"),
        (b"http://a:b@host/health", b"200"),
        (b"http:///health", b"400"),
        (b"http://", b"400"),
        (b"http://:80/health", b"400"),
        (b"http://[::1/health", b"400"),
        (b"http://host:port/health", b"400"),
        (b"http://a@b@host/health", b"400"),
    ],
)
def test_a_request_that_names_the_host_is_for_its_path(target: bytes, status: bytes) -> None:
    """RFC 9112, 3.2.2: what a proxy may send, every server has to take."""
    assert requests(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")[9:12] == status


def test_many_small_fields_are_a_large_header_too() -> None:
    """The limit counts what is sent: 4 000 fields of five bytes each are 20 000, their letters 8 000."""
    fields = b"a:b\r\n"
    assert requests(b"GET /health HTTP/1.1\r\n" + fields * 2600 + b"\r\n").startswith(b"HTTP/1.1 200")
    assert requests(b"GET /health HTTP/1.1\r\n" + fields * 4000 + b"\r\n").startswith(b"HTTP/1.1 431")


def test_headers_of_several_requests_are_not_added_up() -> None:
    """30 of a thousand bytes each, in one go."""
    one = GET.replace(b"\r\n\r\n", b"\r\nX-Some: " + b"a" * 950 + b"\r\n\r\n")
    assert requests(one * 30).count(b"HTTP/1.1 200") == 30


def requests(data: bytes) -> bytes:
    """What is answered to it."""

    async def scenario(listener: Listener) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(data)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer

    answer: bytes = run(scenario)
    return answer


def test_a_client_that_reads_a_little_now_and_then_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is for the whole answer, and does not begin anew with each piece that is taken."""
    monkeypatch.setattr(connection, "ANSWER_SECONDS", 0.5)

    async def scenario(listener: Listener) -> None:
        client = reluctant(listener)
        loop = asyncio.get_running_loop()
        client.sendall(SCRAPE)
        end = loop.time() + 20
        with contextlib.suppress(ConnectionError):
            while listener.connections and loop.time() < end:
                await asyncio.sleep(0.05)
                with contextlib.suppress(BlockingIOError):
                    client.recv(20_000)
        assert not listener.connections
        client.close()

    run(scenario)
