"""Enrichment from a server that answers badly: what it did say is kept, the rest has its reason."""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from advisor.prometheus.client import PrometheusClient
from advisor.prometheus.enrichment import Enrichment, ObservationCache, enrich
from advisor.results import Run, Scenario
from tests.support.prometheus_fake import HTML, Reply, Server, vector

DAY = 86_400
BASE = 1_767_571_200
WATTS = 120.0
NOTHING = vector(kind="matrix")


def _joules(moment: float) -> str:
    return str(WATTS * (moment - BASE))


def _history(form: dict[str, str], value: Callable[[float], str] = _joules) -> Reply:
    """A package at 120 W, scraped every 15 s: the raw samples of the range that is asked for."""
    end = float(form["time"])
    reach = re.search(r"\[(\d+)ms\]$", form["query"])
    assert reach is not None
    first = math.ceil((end - int(reach[1]) / 1000) / 15) * 15
    points = [[t, value(t)] for t in range(first, int(end) + 1, 15)]
    labels = {"__name__": "rapl_energy_joules_total", "instance": "a", "zone": "package_0"}
    return vector({"metric": labels, "values": points}, kind="matrix")


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    running.reply = _history
    yield running
    running.close()


# a week apart: too far for one request
SCENARIOS = tuple(
    Scenario(name=f"day {7 * i}", start_time=BASE + 7.0 * DAY * i + 1000, duration=60.0) for i in range(4)
)
RUN = Run(run_id="test_results_20260105_000000", scenarios=SCENARIOS)


def _enrich(server: Server, run: Run = RUN, **options: object) -> Enrichment:
    with PrometheusClient(server.url, sleep=lambda _: None, retries=1, timeout_seconds=5) as client:
        return enrich([run], client, **options)  # type: ignore[arg-type]


def _watts(done: Enrichment) -> list[float | None]:
    return [s.power.mean_watts if s.power else None for run in done.runs for s in run.scenarios]


def test_windows_far_apart_are_asked_for_apart(server: Server) -> None:
    done = _enrich(server)
    assert _watts(done) == pytest.approx([WATTS] * 4)
    assert done.requests == 4
    reaches = [float(re.findall(r"\[(\d+)ms\]", form["query"])[-1]) for _, form, _ in server.asked]
    assert max(reaches) < 1e6


def test_windows_of_six_hours_share_a_request(server: Server) -> None:
    """Every 15 minutes for 7.5 hours: the first 23 end within six hours."""
    scenarios = [Scenario(name=str(i), start_time=BASE + 900.0 * i, duration=60.0) for i in range(30)]
    done = _enrich(server, Run(run_id=RUN.run_id, scenarios=tuple(scenarios)))
    assert _watts(done) == pytest.approx([WATTS] * 30)
    assert done.requests == 2


def test_a_pause_of_more_than_an_hour_is_not_asked_for(server: Server) -> None:
    scenarios = [Scenario(name=str(i), start_time=BASE + s, duration=60.0) for i, s in enumerate((0, 3700))]
    done = _enrich(server, Run(run_id=RUN.run_id, scenarios=tuple(scenarios)))
    assert done.requests == 2


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ((502, {}, HTML), "answered HTTP 502: an HTML page (502 Bad Gateway) (tried 2 times)"),
        ((200, {}, HTML), "expected Prometheus' JSON, got an HTML page (502 Bad Gateway)"),
        ((200, {}, b'{"status":"success","data":{"resultType":"matr'), "expected Prometheus' JSON, got"),
        ((401, {}, b""), "answered HTTP 401: Unauthorized (check user, password, token or tenant)"),
        ((422, {}, b'{"status":"error","error":"too many samples"}'), "answered HTTP 422: too many samples"),
        (vector(kind="matrix", warnings=["store b is away"]), "answered only in part: store b is away"),
    ],
)
def test_what_came_before_a_bad_answer_is_kept_and_the_rest_has_its_reason(
    server: Server, bad: Reply, said: str
) -> None:
    server.reply = lambda form: _history(form) if float(form["time"]) < BASE + 8 * DAY else bad
    done = _enrich(server)
    assert _watts(done) == [pytest.approx(WATTS), pytest.approx(WATTS), None, None]
    assert said in (done.failure or "")
    assert [name for _, name, _ in done.skipped] == ["day 14", "day 21"]
    assert all(why.startswith("no power, and ") and said in why for why in done.skipped.values())


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (lambda form: _history(form, lambda _: "many"), "malformed samples"),
        (
            lambda _: (422, {}, b'{"status":"error","error":"too many samples"}'),
            "answered HTTP 422: too many samples",
        ),
    ],
)
def test_one_bad_answer_loses_its_own_windows_and_no_others(
    server: Server, bad: Callable[[dict[str, str]], Reply], said: str
) -> None:
    server.reply = lambda form: (
        bad(form) if 14 * DAY < float(form["time"]) - BASE < 15 * DAY else _history(form)
    )
    done = _enrich(server)
    assert _watts(done) == [pytest.approx(WATTS), pytest.approx(WATTS), None, pytest.approx(WATTS)]
    (((_, name, _), reason),) = done.skipped.items()
    assert name == "day 14"
    assert reason.startswith("no power, and ")
    assert said in reason
    assert said in (done.failure or "")
    assert done.failures == 0


def test_the_last_answer_lost_is_one_failure_and_not_the_end(server: Server) -> None:
    """Others are asked afterwards, of other files; only two in a row end it."""
    server.reply = lambda form: (422, {}, b"no") if float(form["time"]) > BASE + 20 * DAY else _history(form)
    done = _enrich(server)
    assert (len(done.enriched), done.failures) == (3, 1)
    server.reply = _history
    assert (_watts(_enrich(server, failures=1)), _enrich(server, failures=1).failures) == (
        pytest.approx([WATTS] * 4),
        0,
    )
    server.reply = lambda _: (422, {}, b"no")
    done = _enrich(server, failures=1)
    assert (done.requests, done.failures, len(done.skipped)) == (1, 2, 4)
    assert all("HTTP 422" in why for why in done.skipped.values())


def test_a_server_that_stumbles_and_gets_up_loses_nothing(server: Server) -> None:
    """Each query is refused the first time."""
    refused: set[str] = set()

    def stumble(form: dict[str, str]) -> Reply:
        key = f"{form['query']} {form.get('time')}"
        if key not in refused:
            refused.add(key)
            return (503, {}, b"busy")
        return _history(form)

    server.reply = stumble
    done = _enrich(server)
    assert (_watts(done), done.failure) == (pytest.approx([WATTS] * 4), None)
    assert done.requests == 8


def test_a_server_that_never_answers_is_left_with_a_reason(server: Server) -> None:
    leave = threading.Event()

    def wait(_: dict[str, str]) -> Reply:
        leave.wait(60)
        return NOTHING

    server.reply = wait
    with PrometheusClient(server.url, retries=0, timeout_seconds=0.1) as client:
        done = enrich([RUN], client)
    leave.set()
    assert done.failure is not None
    assert done.failure.endswith("did not answer within 0.1 s")
    assert len(done.skipped) == 4


def test_samples_that_are_no_numbers_are_not_energy(server: Server) -> None:
    """One NaN is bridged by its neighbours; a window of nothing else is left out."""

    def value(t: float) -> str:
        one, all_of_it = t == BASE + 1020, BASE + 7 * DAY < t < BASE + 8 * DAY
        return "NaN" if one or all_of_it else _joules(t)

    server.reply = lambda form: _history(form, value)
    done = _enrich(server)
    assert _watts(done) == [pytest.approx(WATTS), None, pytest.approx(WATTS), pytest.approx(WATTS)]
    assert list(done.skipped.values()) == ["Prometheus has no samples of package_0 inside this window"]


@pytest.mark.parametrize("content", [b"", b"this was never a database", b"SQLite format 3\0 cut off"])
def test_a_damaged_cache_is_made_anew(server: Server, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cache").write_bytes(content)
    cache = ObservationCache(tmp_path / "cache")
    assert _watts(_enrich(server, cache=cache)) == pytest.approx([WATTS] * 4)
    assert _enrich(server, cache=ObservationCache(tmp_path / "cache")).from_cache == 4


def test_a_cache_that_cannot_be_written_only_costs_requests(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = ObservationCache(tmp_path / "file" / "cache")
    assert _watts(_enrich(server, cache=cache)) == pytest.approx([WATTS] * 4)


def test_what_was_seen_before_a_failure_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    answering, cache = server.reply, ObservationCache(tmp_path / "cache")
    server.reply = lambda form: (
        (500, {}, b"out of memory") if float(form.get("time", 0)) > BASE + 15 * DAY else answering(form)
    )
    done = _enrich(server, cache=cache)
    assert (len(done.enriched), len(done.skipped)) == (3, 1)
    server.reply = answering
    done = _enrich(server, cache=cache)
    assert (done.from_cache, len(done.enriched), done.requests) == (3, 4, 1)


@pytest.mark.parametrize(
    "other",
    [{"tenant": "team-b"}, {"username": "4711", "password": "x"}, {"headers": {"AccountID": "7"}}],
)
def test_another_tenants_power_is_not_read_from_the_cache(
    server: Server, tmp_path: Path, other: dict[str, object]
) -> None:
    """Mimir tells tenants apart by X-Scope-OrgID, Grafana Cloud by user, VictoriaMetrics by AccountID."""
    cache = ObservationCache(tmp_path / "cache")
    assert _enrich(server, cache=cache).from_cache == 0
    with PrometheusClient(server.url, **other) as client:  # type: ignore[arg-type]
        assert [enrich([RUN], client, cache=cache).from_cache for _ in range(2)] == [0, 4]


def test_progress_reaches_the_number_of_windows(server: Server) -> None:
    said: list[tuple[int, int]] = []
    _enrich(server, progress=lambda done, total: said.append((done, total)))
    assert said == sorted(said)
    assert said[-1] == (4, 4)


def test_samples_of_two_servers_one_after_the_other_are_those_of_one(server: Server) -> None:
    """A store that merges an HA pair answers each time twice, with two values; the second lags by 2.5 s."""

    def both(form: dict[str, str]) -> Reply:
        status, _, body = _history(form)
        answer = json.loads(body)
        (series,) = answer["data"]["result"]
        second = [[t, str(float(joules) - 2.5 * WATTS)] for t, joules in series["values"]]
        series["values"] = series["values"] + second
        return status, {}, json.dumps(answer).encode()

    server.reply = both
    assert _watts(_enrich(server)) == pytest.approx([WATTS] * 4)
