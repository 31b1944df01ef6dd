"""Enrichment from a real Prometheus whose history was made by promtool from a known course of power."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from advisor.errors import PrometheusError
from advisor.prometheus.client import PrometheusClient
from advisor.prometheus.enrichment import ObservationCache, enrich
from advisor.results import Power, Run, Scenario, write_run
from advisor.results.derived import idle_watts, net_energy_joules
from tests.support.prometheus_server import prometheus_server
from wattframe.cli import main

pytestmark = [
    pytest.mark.prometheus,
    pytest.mark.skipif(
        not (shutil.which("prometheus") and shutil.which("promtool")),
        reason="no prometheus and promtool here",
    ),
]

# promtool refuses times that are too young for a block; two hours' blocks begin at even hours
BASE = 1_767_600_000
SCRAPE = 5
LENGTH = 3600
IDLE_WATTS = 30.0
# (start, end, watts above idle) in seconds after BASE, at moments between two scrapes
LOADS = [
    *((301.7, 333.2, 90.0), (333.2, 361.9, 55.0), (1003.4, 1010.9, 120.0), (1502.5, 1562.5, 70.0)),
    (2201.3, 2208.9, 110.0),
]


def _joules(seconds: float) -> float:
    """The package's energy since BASE."""
    loads = sum(w * max(0.0, min(seconds, end) - start) for start, end, w in LOADS if seconds > start)
    return IDLE_WATTS * seconds + loads


def _watts(seconds: float) -> float:
    return IDLE_WATTS + sum(w for start, end, w in LOADS if start <= seconds < end)


def _openmetrics() -> str:
    counters: list[str] = []
    gauges: list[str] = []
    info: list[str] = []
    for t in range(0, LENGTH + 1, SCRAPE):
        when = BASE + t
        # host b restarts its exporter at 2000 s
        since_restart = _joules(t) - (_joules(1998) if t > 1998 else 0)
        for instance, zone, domain, value in (
            ("a", "package_0", "package", _joules(t)),
            ("a", "core_0", "core", 0.8 * _joules(t)),
            ("a", "dram_0", "dram", 4.0 * t),
            ("a", "psys_0", "psys", 3 * _joules(t)),
            ("b", "package_0", "package", since_restart),
        ):
            labels = f'instance="{instance}",zone="{zone}",domain="{domain}"'
            counters.append(f"rapl_energy_joules_total{{{labels}}} {value} {when}\n")
        for zone, value in (("package_0", _watts(t)), ("core_0", 9.0), ("dram_0", 4.0), ("psys_0", 999.0)):
            gauges.append(f'rapl_power_watts{{instance="a",zone="{zone}"}} {value} {when}\n')
        info.append(f'rapl_source_info{{instance="a",source="powercap",tier="measured"}} 1 {when}\n')
        info.append(f'rapl_source_info{{instance="b",source="estimate",tier="modelled"}} 1 {when}\n')
    return "".join(
        [
            "# TYPE rapl_energy_joules counter\n",
            *sorted(counters, key=lambda line: line.split(" ")[0]),
            "# TYPE rapl_power_watts gauge\n",
            *sorted(gauges, key=lambda line: line.split(" ")[0]),
            "# TYPE rapl_source_info gauge\n",
            *sorted(info, key=lambda line: line.split(" ")[0]),
            "# EOF\n",
        ]
    )


@pytest.fixture(scope="module")
def prometheus_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "history.om").write_text(_openmetrics())
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", "history.om", "data"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    with prometheus_server(folder, "global: {scrape_interval: 5s}\n") as server:
        yield server.url


@pytest.fixture
def client(prometheus_url: str) -> Iterator[PrometheusClient]:
    with PrometheusClient(prometheus_url) as made:
        yield made


def _load(index: int) -> Scenario:
    start, end, _ = LOADS[index]
    return _window(f"load {index}", start, end)


def _window(name: str, start: float, end: float, **more: object) -> Scenario:
    return Scenario(
        name=name,
        start_time=BASE + start,
        end_time=BASE + end,
        duration=end - start,
        **more,  # type: ignore[arg-type]
    )


def _run(*scenarios: Scenario) -> Run:
    return Run(run_id="test_results_20260105_080000", scenarios=scenarios)


@pytest.mark.parametrize("index", range(len(LOADS)))
def test_energy_between_scrapes_is_packages_plus_dram_to_a_thousandth(
    client: PrometheusClient, index: int
) -> None:
    """Windows begin and end between scrapes, one follows another, one holds one whole interval, one none."""
    start, end, load = LOADS[index]
    done = enrich([_run(_load(index))], client, selector='instance="a"')
    power = done.runs[0].scenarios[0].power
    assert power is not None
    expected_watts = IDLE_WATTS + load + 4.0
    assert power.mean_watts == pytest.approx(expected_watts, rel=1e-3)
    assert power.total_energy_joules == pytest.approx(expected_watts * (end - start), rel=1e-3)
    assert power.max_watts == pytest.approx(expected_watts)
    assert set(power.domains) == {"package_0", "dram_0", "psys_0"}
    assert (power.source, power.tier) == ("prometheus", "measured")


def test_the_baselines_power_becomes_every_scenarios_idle_power(client: PrometheusClient) -> None:
    """34 W idle (30 + 4 of dram); the load of 70 W over 60 s is 4200 J net."""
    idle = _window("idle", 402, 432, type="baseline")
    done = enrich([_run(idle, _load(3))], client, selector='instance="a"')
    run = done.runs[0]
    assert idle_watts(run.scenarios[1], run) == pytest.approx(34.0)
    assert net_energy_joules(run.scenarios[1], run) == pytest.approx(4200, rel=1e-3)


def test_what_was_modelled_stays_modelled(client: PrometheusClient) -> None:
    done = enrich([_run(_load(0))], client, selector='instance="b"')
    power = done.runs[0].scenarios[0].power
    assert power is not None
    assert power.tier == "modelled"
    assert power.mean_watts == pytest.approx(120.0, rel=1e-3)
    assert power.max_watts is None


def test_a_restart_of_the_exporter_inside_a_window_is_bridged_and_said(client: PrometheusClient) -> None:
    """30 W all along, a counter that falls to zero: 120 s are 3600 J."""
    done = enrich([_run(_window("restart", 1931, 2051))], client, selector='instance="b"')
    (enriched,) = done.enriched
    assert enriched.total_energy_joules == pytest.approx(3600, rel=1e-3)
    assert enriched.notes == (
        "1 restart(s) of the exporter inside the window",
        "5.0 s not covered, filled with the mean of the rest",
    )


def test_windows_that_prometheus_does_not_cover_are_left_out_with_their_reason(
    client: PrometheusClient,
) -> None:
    scenarios = [
        _load(0),
        _window("before", -4000, -3900),
        _window("half", LENGTH - 30, LENGTH + 30),
        _window("blink", 1000.5, 1004.5),
        Scenario(name="timeless", duration=3.0),
        Scenario(name="endless", start_time=BASE + 10.0),
        Scenario(name="failed", status="failed", start_time=BASE + 10.0, duration=60.0),
    ]
    done = enrich([_run(*scenarios)], client, selector='instance="a"')
    assert [e.scenario for e in done.enriched] == ["load 0"]
    assert {name: why for (_, name, _), why in done.skipped.items()} == {
        "before": "Prometheus has no rapl_energy_joules_total or rapl_power_watts around this window",
        "half": "Prometheus covers 30.0 of 60.0 s",
        "blink": "the window of 4.0 s holds less than two scrapes, which come every 5.0 s",
        "timeless": "the scenario has no start_time",
        "endless": "the scenario has neither an end_time nor a duration",
    }


def test_two_machines_in_one_prometheus_are_not_added(client: PrometheusClient) -> None:
    done = enrich([_run(_load(0))], client)
    assert list(done.skipped.values()) == [
        "2 machines were measured at the time (a, b): choose one with --selector"
    ]


def test_scenarios_with_power_of_their_own_are_not_asked_for(client: PrometheusClient) -> None:
    own = _window("own", 10, 20, power=Power(mean_watts=50.0))
    done = enrich([_run(own)], client, selector='instance="a"')
    assert done.runs[0].scenarios == (own,)
    assert (done.requests, done.enriched, done.skipped) == (0, (), {})


def test_near_windows_share_requests_and_a_second_run_asks_only_for_what_is_new(
    client: PrometheusClient, tmp_path: Path
) -> None:
    cache = ObservationCache(tmp_path / "cache" / "observed.sqlite")
    first = _run(*(_load(i) for i in range(3)))
    done = enrich([first], client, selector='instance="a"', cache=cache)
    assert (done.requests, done.from_cache, len(done.enriched)) == (1, 0, 3)
    again = enrich([first], client, selector='instance="a"', cache=cache)
    assert (again.requests, again.from_cache) == (0, 3)
    assert again.runs == done.runs
    more = enrich([first, _run(_load(3))], client, selector='instance="a"', cache=cache)
    assert (more.requests, more.from_cache, len(more.enriched)) == (1, 3, 4)
    other = enrich([first], client, selector='instance="b"', cache=cache)
    assert other.from_cache == 0


def test_a_window_that_has_just_ended_is_not_cached(client: PrometheusClient, tmp_path: Path) -> None:
    cache = ObservationCache(tmp_path / "observed.sqlite")
    run = _run(_load(0))
    soon = BASE + LOADS[0][1] + 30
    enrich([run], client, selector='instance="a"', cache=cache, now=soon)
    assert enrich([run], client, selector='instance="a"', cache=cache).from_cache == 0


def test_progress_counts_windows(client: PrometheusClient) -> None:
    said: list[tuple[int, int]] = []
    report: Callable[[int, int], None] = lambda done, total: said.append((done, total))  # noqa: E731
    enrich([_run(_load(0), _load(1))], client, selector='instance="a"', progress=report)
    assert said[-1] == (2, 2)


def test_a_range_beyond_the_servers_limit_is_the_range_it_would_not_answer(
    client: PrometheusClient,
) -> None:
    """3600 s at 0.25 s are 14 401 points: refused in one piece by the server itself, joined from two here."""
    query = 'rapl_energy_joules_total{instance="a",zone="package_0"}'
    with pytest.raises(PrometheusError, match="exceeded maximum resolution of 11,000 points"):
        client._ask(
            "query_range", {"query": query, "start": str(BASE), "end": str(BASE + 3600), "step": "0.25"}
        )
    (series,) = client.query_range(query, BASE, BASE + 3600, 0.25)
    assert len(series.timestamps) == 14_401
    assert series.values[-1] == pytest.approx(_joules(3600))


def test_a_query_that_does_not_parse_is_refused_in_the_servers_words(client: PrometheusClient) -> None:
    with pytest.raises(PrometheusError, match=r"HTTP 400: invalid parameter .*parse error"):
        client.query("sum(")


def test_results_without_power_are_trained_on_from_prometheus_alone(
    prometheus_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A result file as it is with power and samples taken out, through the command."""
    folder = tmp_path / "results"
    folder.mkdir()
    settings = {"encoder": "libx264", "preset": "fast", "resolution": "1280x720", "fps": 30.0}
    scenarios = [
        msgspec.structs.replace(_load(i), bitrate=f"{i + 1}M", **settings) for i in range(len(LOADS))
    ]
    idle = _window("idle", 402, 432, type="baseline")
    write_run(_run(idle, *scenarios), folder / "test_results_20260105_080000.json")
    arguments = ["--results-dir", folder, "--models-dir", tmp_path / "models"]
    arguments += ["--prometheus-url", prometheus_url, "--selector", 'instance="a"', "--json"]
    assert main(["retrain", *map(str, arguments)]) == 0
    account = json.loads(capsys.readouterr().out)
    watts = {row["scenario"]: row["mean_power_watts"] for row in account["enriched"]}
    # 30 W of the package and 4 W of the dram, and the load
    expected = {"idle": 34.0} | {f"load {i}": 34.0 + above for i, (_, _, above) in enumerate(LOADS)}
    assert watts == pytest.approx(expected, rel=1e-3)
    assert account["skipped"] == []
    assert account["manifest"]["training_scenarios"] == 5
    assert account["manifest"]["tier"] == "measured"
