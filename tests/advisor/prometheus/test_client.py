"""The query client against a server on a real socket that misbehaves as real ones do."""

from __future__ import annotations

import contextlib
import gzip
import math
import socket
import threading
import tracemalloc
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

import advisor
from advisor.errors import InputError, PrometheusError
from advisor.prometheus.client import MAX_POINTS, Connection, PrometheusClient, parse_step
from tests.support.prometheus_fake import HTML, Reply, Server, json_reply, vector
from tests.support.waiting import wait_until


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def client(server: Server, waits: list[float]) -> Iterator[PrometheusClient]:
    with advisor.PrometheusClient(server.url, sleep=waits.append, timeout_seconds=5, retries=2) as made:
        yield made


def test_an_instant_query_gives_one_point_a_series(server: Server, client: PrometheusClient) -> None:
    server.reply = lambda _: vector(
        {"metric": {"zone": "package_0"}, "value": [100.5, "12.25"]},
        {"metric": {"zone": "dram_0"}, "value": [100.5, "NaN"]},
    )
    package, dram = client.query("rapl_power_watts", at=100.5)
    assert (package.metric, package.timestamps, package.values) == ({"zone": "package_0"}, [100.5], [12.25])
    assert math.isnan(dram.values[0])
    assert server.asked[0][:2] == ("GET /api/v1/query", {"query": "rapl_power_watts", "time": "100.500"})


def test_a_scalar_is_one_series_without_labels_and_a_string_is_none(
    server: Server, client: PrometheusClient
) -> None:
    server.reply = lambda _: json_reply(
        {"status": "success", "data": {"resultType": "scalar", "result": [7, "+Inf"]}}
    )
    (one,) = client.query("1/0")
    assert (one.metric, one.values) == ({}, [math.inf])
    server.reply = lambda _: json_reply(
        {"status": "success", "data": {"resultType": "string", "result": [7, "x"]}}
    )
    assert client.query('"x"') == []


def test_nothing_is_no_series_however_it_is_written(server: Server, client: PrometheusClient) -> None:
    for result in ([], None):
        server.reply = lambda _, result=result: json_reply(
            {"status": "success", "data": {"resultType": "vector", "result": result}}
        )
        assert client.query("x") == []
    server.reply = lambda _: vector({"metric": {}, "value": [1, "5"]}, warnings=None, isPartial=None)
    (one,) = client.query("x")
    assert one.values == [5.0]


def test_infinities_and_what_is_no_number_are_values(server: Server, client: PrometheusClient) -> None:
    values = ["+Inf", "-Inf", "NaN"]
    server.reply = lambda _: vector(*({"metric": {}, "value": [1, value]} for value in values))
    high, low, none = (series.values[0] for series in client.query("x"))
    assert (high, low) == (math.inf, -math.inf)
    assert math.isnan(none)


def test_a_range_beyond_the_point_limit_is_asked_in_pieces_and_joined(
    server: Server, client: PrometheusClient
) -> None:
    """25 001 points are three requests; joined, every second is there once and in order."""

    def answer(form: dict[str, str]) -> Reply:
        start, end, step = (float(form[key]) for key in ("start", "end", "step"))
        assert round((end - start) / step) + 1 <= MAX_POINTS
        times = range(int(start), int(end) + 1)
        return vector({"metric": {"zone": "a"}, "values": [[t, str(t * 2)] for t in times]}, kind="matrix")

    server.reply = answer
    (series,) = client.query_range("x", 1000, 26_000, 1)
    assert client.requests_sent == 3
    assert series.timestamps == list(range(1000, 26_001))
    assert series.values == [2 * t for t in range(1000, 26_001)]


def test_a_long_query_is_posted(server: Server, client: PrometheusClient) -> None:
    long = "x or " * 1000 + "x"
    client.query(long)
    assert server.asked[0][:2] == ("POST /api/v1/query", {"query": long})


def test_raw_samples_are_a_range_selector_at_the_end(server: Server, client: PrometheusClient) -> None:
    client.samples("x", 10.0, 70.5)
    assert server.asked[0][1] == {"query": "x[60501ms]", "time": "70.500"}


def test_prefix_headers_tenant_and_password_are_sent(server: Server) -> None:
    with PrometheusClient(
        server.url.replace("//", "//me:s%40crt@") + "/prometheus/", headers={"X-Env": "lab"}, tenant="team-a"
    ) as client:
        client.query("up")
        assert "s@crt" not in repr(client.connection)
        assert "s%40crt" not in client.url
    path, _, headers = server.asked[0]
    assert path == "GET /prometheus/api/v1/query"
    # base64 of me:s@crt
    assert headers["Authorization"] == "Basic bWU6c0BjcnQ="
    assert (headers["X-Env"], headers["X-Scope-OrgID"]) == ("lab", "team-a")


def test_a_bearer_token_is_sent(server: Server) -> None:
    with PrometheusClient(server.url, bearer_token="t0ken") as client:
        client.query("up")
        assert "t0ken" not in repr(client.connection)
    assert server.asked[0][2]["Authorization"] == "Bearer t0ken"


def test_a_passing_failure_is_tried_again_with_growing_waits(
    server: Server, client: PrometheusClient, waits: list[float]
) -> None:
    replies = iter([(503, {}, b"busy"), (502, {}, HTML), vector({"metric": {}, "value": [1, "5"]})])
    server.reply = lambda _: next(replies)
    assert client.query("x")[0].values == [5.0]
    assert waits == [0.25, 0.5]


def test_the_server_says_how_long_to_wait(
    server: Server, client: PrometheusClient, waits: list[float]
) -> None:
    replies = iter([(429, {"Retry-After": "2"}, b""), vector()])
    server.reply = lambda _: next(replies)
    client.query("x")
    assert waits == [2.0]


@pytest.mark.parametrize(
    ("reply", "said", "tries"),
    [
        ((502, {}, HTML), "answered HTTP 502: an HTML page (502 Bad Gateway) (tried 3 times)", 3),
        ((200, {}, HTML), "expected Prometheus' JSON, got an HTML page (502 Bad Gateway)", 1),
        ((200, {}, b"<!doctype html><p>hi"), "expected Prometheus' JSON, got an HTML page", 1),
        ((200, {}, b""), "expected Prometheus' JSON, got an empty answer", 1),
        ((200, {}, b"\xff\xfe plain"), "expected Prometheus' JSON, got", 1),
        ((401, {}, b"Unauthorized"), "HTTP 401: 'Unauthorized' (check user, password, token or tenant)", 1),
        (
            (403, {}, b'{"message":"Missing Authentication Token"}'),
            "answered HTTP 403: Missing Authentication Token",
            1,
        ),
        ((404, {}, b""), "answered HTTP 404: Not Found", 1),
        (
            json_reply({"status": "error", "errorType": "bad_data", "error": "parse error: unexpected"}, 400),
            "answered HTTP 400: parse error: unexpected",
            1,
        ),
        (
            json_reply({"status": "error", "errorType": "timeout", "error": ""}),
            "refused the query: timeout",
            1,
        ),
        (vector(warnings=["store b: timeout"]), "answered only in part: store b: timeout", 1),
        (vector(isPartial=True), "answered only in part: isPartial", 1),
        (vector({"metric": {}, "value": [1, "many"]}), "answered with malformed samples", 1),
        (vector({"metric": {}, "value": [1, 5]}), "answered with malformed samples", 1),
        (
            vector({"metric": {"__name__": "h"}, "histogram": [1, {"count": "3", "sum": "1"}]}),
            "h holds native histograms: ask for numbers, such as histogram_sum()",
            1,
        ),
        (
            vector({"metric": {}, "values": [[1, "2"]], "histograms": [[2, {}]]}, kind="matrix"),
            "a series holds native histograms",
            1,
        ),
        ((200, {"Content-Length": "500"}, b"{"), "cannot be reached", 3),
    ],
)
def test_a_bad_answer_is_one_line_that_names_the_server(
    server: Server, reply: Reply, said: str, tries: int
) -> None:
    if "500" in reply[1].values():
        server.http.RequestHandlerClass.protocol_version = "HTTP/1.0"  # closes early: an answer cut short
    server.reply = lambda _: reply
    with (
        PrometheusClient(server.url, sleep=lambda _: None, retries=2) as client,
        pytest.raises(PrometheusError) as caught,
    ):
        client.query("x")
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"{server.url}: ")
    assert "\n" not in str(caught.value)
    assert client.requests_sent == tries


def test_a_server_that_is_down_is_named(server: Server) -> None:
    server.close()
    with (
        PrometheusClient(server.url, retries=0) as client,
        pytest.raises(PrometheusError, match=r"cannot be reached: Connection refused$"),
    ):
        client.query("up")


def test_a_server_that_does_not_answer_in_time_is_left(server: Server) -> None:
    leave = threading.Event()

    def wait(_: dict[str, str]) -> Reply:
        leave.wait(60)
        return vector()

    server.reply = wait
    with (
        PrometheusClient(server.url, retries=0, timeout_seconds=0.1) as client,
        pytest.raises(PrometheusError, match=r"did not answer within 0.1 s$"),
    ):
        client.query("up")
    leave.set()


@pytest.mark.parametrize(
    ("begin", "drop"),
    [
        (b"", b"H"),
        (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99999\r\n\r\n", b" "),
        (b"HTTP/1.1 302 Found\r\nlocation: /\r\n", b"a: b\r\n"),
    ],
    ids=["status", "headers", "body", "redirection"],
)
def test_a_server_that_drips_is_left_in_time(begin: bytes, drop: bytes) -> None:
    """Each drop comes well within the socket's own time-out, the answer never ends."""
    over = threading.Event()

    def drip(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(begin)
            while not over.wait(0.05):
                connection.sendall(drop)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=drip, args=(listener,), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            with pytest.raises(PrometheusError, match=r"within 0\.4 s"):
                PrometheusClient(url, timeout_seconds=0.4, retries=0).query("up")
        finally:
            over.set()


def test_requests_that_were_left_behind_take_no_threads_without_end() -> None:
    """Sixteen at most; when the server lets go, there is room again."""
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while not over.wait(0.02):
                connection.sendall(b"H")

    def left_behind() -> int:
        return sum(thread.name == "http" for thread in threading.enumerate())

    def accept(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=drip, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        for _ in range(18):
            with pytest.raises(PrometheusError, match="did not answer within"):
                PrometheusClient(url, timeout_seconds=0.1, retries=0).query("up")
        assert left_behind() <= 16
        over.set()
        wait_until(lambda: left_behind() == 0)
        listener.shutdown(socket.SHUT_RDWR)


def _zeros(count: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(1 << 20)
    return b"".join(packer.compress(block) for _ in range(count >> 20)) + packer.flush()


def test_the_body_of_a_redirection_is_left_alone(server: Server, client: PrometheusClient) -> None:
    packed = _zeros(1 << 30)
    server.reply = lambda _: (302, {"Location": f"{server.url}/x?a=b", "Content-Encoding": "gzip"}, packed)
    tracemalloc.start()
    try:
        with pytest.raises(PrometheusError, match=rf"give the address that it sends to, {server.url}/x$"):
            client.query("up")
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_what_unpacks_to_more_than_is_taken_is_refused_before_it_is_there(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("advisor.prometheus.client._MOST_BYTES", 8 << 20)
    packed = _zeros(256 << 20)
    server.reply = lambda _: (200, {"Content-Encoding": "gzip"}, packed)
    tracemalloc.start()
    try:
        with (
            PrometheusClient(server.url, timeout_seconds=60, retries=0) as client,
            pytest.raises(PrometheusError, match="more than 8 MiB"),
        ):
            client.query("up")
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()


def test_a_server_that_packs_without_being_asked_is_understood(
    server: Server, client: PrometheusClient
) -> None:
    status, headers, body = vector({"metric": {}, "value": [1, "2"]})
    server.reply = lambda _: (status, {**headers, "Content-Encoding": "gzip"}, gzip.compress(body))
    assert client.query("up")[0].values == [2.0]
    server.reply = lambda _: (status, {**headers, "Content-Encoding": "br"}, body)
    with pytest.raises(PrometheusError, match="encoding 'br', which was not requested"):
        client.query("up")


def test_plain_http_on_a_tls_port_is_named() -> None:
    """The other way round: https asked of a server that speaks http."""
    plain = Server()
    try:
        with (
            PrometheusClient(plain.url.replace("http:", "https:"), retries=0) as client,
            pytest.raises(PrometheusError, match="TLS failed"),
        ):
            client.query("up")
    finally:
        plain.close()


def test_a_certificate_file_that_is_missing_is_named() -> None:
    with (
        PrometheusClient("https://127.0.0.1:1", ca_file="/nowhere/ca.pem", retries=0) as client,
        pytest.raises(PrometheusError, match=r"/nowhere/ca.pem"),
    ):
        client.query("up")


@pytest.mark.parametrize(
    ("part", "is_taken"),
    [
        (b'{"metric":{"a":"b"},"values":[[1767571200.123,"12345.678"]]}', True),
        (b'{"metric":{},"values":[%s]}' % b",".join([b'[1,"1"]'] * 50_000), False),
        (b"{}", False),
        (b"1", False),
    ],
)
def test_an_answer_that_takes_more_memory_than_there_is_is_refused(
    server: Server, client: PrometheusClient, monkeypatch: pytest.MonkeyPatch, part: bytes, is_taken: bool
) -> None:
    """400 KB where 12 MiB are free: decoded, the shortest samples are 26 times larger, empty series 111."""
    monkeypatch.setattr("advisor.prometheus.client.memory_bytes", lambda: (12 << 20, 12 << 20))
    results = b",".join([part] * (400_000 // (len(part) + 1) or 1))
    body = b'{"status":"success","data":{"resultType":"matrix","result":[%s]}}' % results
    server.reply = lambda _: (200, {}, body)
    if is_taken:
        assert len(client.query("up")) > 6000
    else:
        with pytest.raises(PrometheusError, match="more than fits into memory"):
            client.query("up")


@pytest.mark.parametrize("url", ["localhost:9090", "ftp://host", "http://", "http://host:port", ""])
def test_what_is_no_http_address_is_bad_input(url: str) -> None:
    with pytest.raises(InputError, match="Prometheus URL: expected an address like"):
        PrometheusClient(url)


def test_a_refused_address_does_not_show_its_password() -> None:
    with pytest.raises(InputError) as caught:
        PrometheusClient("ftp://me:secret@host")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"bearer_token": "s3cret\nabc"}, "bearer token: expected one line of ASCII text"),
        ({"bearer_token": "s3cret\u2026"}, "bearer token: expected one line of ASCII text"),
        ({"tenant": "s3cret\r"}, "tenant: expected one line of ASCII text"),
        ({"headers": {"X-Key": "s3cret\n"}}, "header 'X-Key': expected one line of ASCII text"),
        ({"headers": {"X Key": "s3cret"}}, "header 'X Key': expected a header's name"),
        ({"url": "http://me:s3@cret/x@127.0.0.1:9"}, "expected / in a password to be written as %2F"),
        ({"url": "http://me:s3cret/x@127.0.0.1:9"}, "got 'http://127.0.0.1:9'"),
        ({"url": "http://me:s3cret@127.0.0.1:port"}, "got 'http://127.0.0.1:port'"),
    ],
)
def test_a_secret_that_cannot_be_sent_is_refused_and_not_shown(given: dict[str, Any], said: str) -> None:
    """HTTP libraries put the value that they refuse into their error."""
    with pytest.raises(InputError) as caught:
        PrometheusClient(Connection(**({"url": "http://127.0.0.1:9"} | given)))
    assert said in str(caught.value)
    assert "s3" not in str(caught.value)


def test_a_connection_shows_no_password() -> None:
    connection = Connection(url="http://me:s3cret@host:9090", bearer_token="s3cret", password="s3cret")
    assert repr(connection) == "Connection('http://host:9090')"
    assert connection.shown_url == "http://host:9090"


def test_a_password_may_be_of_any_letters(server: Server) -> None:
    """RFC 7617 with UTF-8: base64 of "me:pä…"."""
    PrometheusClient(server.url, username="me", password="pä…").query("up")
    assert server.asked[0][2]["Authorization"] == "Basic bWU6cMOk4oCm"


def test_secrets_do_not_follow_a_redirection(server: Server) -> None:
    other = Server()
    try:
        server.reply = lambda _: (307, {"Location": f"{other.url}/api/v1/query"}, b"")
        with (
            PrometheusClient(server.url, username="me", password="s3cret") as client,
            pytest.raises(PrometheusError, match=rf"answered HTTP 307: .* {other.url}/api/v1/query$"),
        ):
            client.query("up")
        assert other.asked == []
    finally:
        other.close()


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("15s", 15), ("1h", 3600), ("1d", 86400), (7, 7)]
)
def test_steps_in_words(text: float | str, seconds: float) -> None:
    assert parse_step(text) == seconds


@pytest.mark.parametrize("step", [0, -1, "15", "s", float("nan"), float("inf")])
def test_a_step_that_is_no_positive_duration_is_refused(step: float | str) -> None:
    with pytest.raises(InputError, match="step: expected a positive duration"):
        parse_step(step)


def test_a_range_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(InputError, match="expected start <= end"):
        PrometheusClient("http://127.0.0.1:1").query_range("x", 10, 5, 1)


def test_a_whole_connection_may_be_given() -> None:
    client = PrometheusClient(Connection(url="http://[::1]:9090/x/"))
    assert client.url == "http://[::1]:9090/x"
