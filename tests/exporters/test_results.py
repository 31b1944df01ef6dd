"""The results exporter: each number against one worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from advisor.results.folder import ResultFolder
from exporters.predictions import Predictor
from exporters.results import EXPORTER, ResultsCollector
from exporters.runtime.logs import configure
from tests.support.exporter_client import render, served
from tests.support.waiting import wait_until

RUN = "test_results_20260302_080000"
START = 1_772_438_400.0


def scenario(name: str, **fields: Any) -> dict[str, Any]:
    """60 s of 1280x720 at 30 fps in 30 s: 3000 J, 100 W, of which 40 W are idle."""
    return {
        "name": name,
        "type": "single",
        "status": "ok",
        "bitrate": "2500k",
        "resolution": "1280x720",
        "fps": 30,
        "encoder": "libx264",
        "encoder_type": "cpu",
        "preset": "veryfast",
        "duration": 30.0,
        "start_time": START,
        "end_time": START + 30,
        "outputs": [
            {
                "resolution": "1280x720",
                "fps": 30,
                "bitrate": "2500k",
                "frames": 1800,
                "duration": 60.0,
                "size_bytes": 18_000_000,
            }
        ],
        "power": {
            "source": "powercap",
            "tier": "measured",
            "mean_watts": 100.0,
            "stdev_watts": 2.5,
            "total_energy_joules": 3000.0,
            "idle_watts": 40.0,
            "net_energy_joules": 1800.0,
        },
        "cpu_seconds": 55.5,
        "encode": {"speed": 2.0, "frames": 1800, "dropped_frames": 3},
        "vmaf_score": 90.0,
        **fields,
    }


BASELINE = {
    "name": "idle",
    "type": "baseline",
    "duration": 30.0,
    "start_time": START - 60,
    "power": {"tier": "measured", "mean_watts": 40.0, "total_energy_joules": 1200.0},
}


def write(folder: Path, run_id: str, *scenarios: Any, **fields: Any) -> Path:
    path = folder / f"{run_id}.json"
    document = {
        "schema_version": 1,
        "test_date": "2026-03-02T08:00:00+00:00",
        "scenarios": list(scenarios),
        **fields,
    }
    path.write_text(json.dumps(document))
    return path


def collector(folder: Path, runs: int = 10, max_scenarios: int = 10_000) -> ResultsCollector:
    predictor = Predictor(folder / "no models", folder)
    return ResultsCollector(ResultFolder(folder, runs=runs, max_scenarios=max_scenarios), predictor)


def samples(page: bytes) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Values by family and labels; fails on a series that is there twice."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in parse_text(page.decode()):
        for sample in family.samples:
            series = found.setdefault(sample.name, {})
            key = tuple(sorted(sample.labels.items()))
            assert key not in series
            series[key] = sample.value
    return found


def of(page: bytes, name: str, **labels: str) -> float | None:
    """The one value of a family with these labels; None when there is none."""
    values = [v for k, v in samples(page).get(name, {}).items() if labels.items() <= dict(k).items()]
    assert len(values) < 2
    return values[0] if values else None


def publish(folder: Path, **limits: int) -> bytes:
    return render([collector(folder, **limits)])


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("duration_seconds", 30.0),
        ("mean_power_watts", 100.0),
        ("power_stdev_watts", 2.5),
        ("total_energy_joules", 3000.0),
        ("net_energy_joules", 1800.0),
        ("net_power_watts", 60.0),  # 100 - 40
        ("power_increase_ratio", 1.5),  # 100 / 40 - 1
        ("energy_joules_per_frame", 3000 / 1800),
        ("energy_joules_per_output_second", 50.0),  # 3000 J for 60 s of video
        ("energy_joules_per_megapixel", 3000 / 1658.88),  # 1280 * 720 * 1800 = 1658.88 million
        ("total_pixels", 1_658_880_000),
        ("cpu_seconds", 55.5),
        ("encode_speed_ratio", 2.0),
        ("dropped_frames", 3),
        ("start_timestamp_seconds", START),
        ("valid", 1),
        ("repeats", 1),
    ],
)
def test_each_figure_of_a_scenario(tmp_path: Path, metric: str, expected: float) -> None:
    write(tmp_path, RUN, BASELINE, scenario("720p"))
    found = of(publish(tmp_path), f"results_scenario_{metric}", run_id=RUN, scenario="720p")
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("throughput_per_watt", 144 / 30 / 100),  # 18 MB are 144 Mbit
        ("pixels_per_joule", 1_658_880_000 / 3000),
        ("pixels_per_net_joule", 1_658_880_000 / 1800),
        ("quality_per_watt", 0.9),
        ("qoe_efficiency", 1_658_880_000 * 0.9 / 3000),
    ],
)
def test_efficiency_scores_by_algorithm(tmp_path: Path, algorithm: str, expected: float) -> None:
    write(tmp_path, RUN, scenario("720p"))
    found = of(publish(tmp_path), "results_scenario_efficiency_score", algorithm=algorithm)
    assert found == pytest.approx(expected, rel=1e-12)


def test_what_is_unknown_is_absent_and_never_zero(tmp_path: Path) -> None:
    write(tmp_path, RUN, {"name": "bare"})
    about = {name for name in samples(publish(tmp_path)) if name.startswith("results_scenario_")}
    assert about == {"results_scenario_info", "results_scenario_valid", "results_scenario_repeats"}


def test_info_describes_a_scenario_once(tmp_path: Path) -> None:
    ladder = [
        {"resolution": "640x360", "bitrate": "800k"},
        {"resolution": "1280x720", "bitrate": "2500k"},
    ]
    gpu = scenario(
        "nvenc", encoder="h264_nvenc", encoder_type="gpu", streams=2, type="multi", outputs=ladder * 2
    )
    write(tmp_path, RUN, gpu, host={"hardware_id": "intel-xeon-16t-1a2b3c4d"})
    (labels,) = samples(publish(tmp_path))["results_scenario_info"]
    assert dict(labels) == {
        "run_id": RUN,
        "scenario": "nvenc",
        "bitrate": "2500k",
        "resolution": "1280x720",
        "fps": "30",
        "streams": "2",
        "output_ladder": "640x360@800k,1280x720@2500k",
        "codec": "h264_nvenc",
        "encoder": "gpu",
        "preset": "veryfast",
        "hardware": "intel-xeon-16t-1a2b3c4d",
        "type": "multi",
        "tier": "measured",
    }


def test_a_modelled_watt_is_not_a_measured_one(tmp_path: Path) -> None:
    modelled = {"tier": "modelled", "mean_watts": 70.0}
    write(
        tmp_path, RUN, scenario("a"), scenario("b", power=modelled), scenario("c", power={"mean_watts": 60.0})
    )
    page = publish(tmp_path)
    tiers = {dict(k)["scenario"]: dict(k)["tier"] for k in samples(page)["results_scenario_mean_power_watts"]}
    assert tiers == {"a": "measured", "b": "modelled", "c": "unknown"}


def test_names_are_published_as_written(tmp_path: Path) -> None:
    name = 'Ladder "720p"\\n {a="b"} é 日本\n2'
    write(tmp_path, RUN, scenario(name))
    assert of(publish(tmp_path), "results_scenario_mean_power_watts", scenario=name) == 100.0


def test_a_baseline_is_nothing_above_itself(tmp_path: Path) -> None:
    write(tmp_path, RUN, BASELINE)
    page = publish(tmp_path)
    assert of(page, "results_scenario_mean_power_watts", scenario="idle") == 40.0
    for metric in ("net_energy_joules", "net_power_watts", "power_increase_ratio", "total_pixels"):
        assert of(page, f"results_scenario_{metric}", scenario="idle") is None


def test_a_baseline_of_another_tier_is_no_baseline(tmp_path: Path) -> None:
    """A modelled mean less a measured idle is neither."""
    write(tmp_path, RUN, BASELINE, scenario("a", power={"tier": "modelled", "mean_watts": 100.0}))
    page = publish(tmp_path)
    for metric in ("power_increase_ratio", "net_power_watts", "net_energy_joules"):
        assert of(page, f"results_scenario_{metric}", scenario="a") is None


def test_a_baseline_without_the_gpus_is_no_baseline_of_what_has_them(tmp_path: Path) -> None:
    """100 W of the host and 80 W of its GPUs are 180 W; over 40 W of the host alone they are nothing."""
    gpu = {"tier": "measured", "mean_watts": 80.0, "total_energy_joules": 2400.0}
    write(tmp_path, RUN, BASELINE, scenario("a", gpu_power=gpu))
    page = publish(tmp_path)
    assert of(page, "results_scenario_mean_power_watts", scenario="a") == 180.0
    assert of(page, "results_scenario_total_energy_joules", scenario="a") == 5400.0
    for metric in ("power_increase_ratio", "net_power_watts", "net_energy_joules"):
        assert of(page, f"results_scenario_{metric}", scenario="a") is None


def test_without_a_baseline_there_is_no_increase(tmp_path: Path) -> None:
    write(tmp_path, RUN, scenario("a", power={"tier": "measured", "mean_watts": 100.0}))
    page = publish(tmp_path)
    assert of(page, "results_scenario_power_increase_ratio") is None
    assert of(page, "results_scenario_net_power_watts") is None
    assert of(page, "results_scenario_total_energy_joules") == 3000.0  # 100 W for 30 s


def test_a_failed_scenario_is_named_and_has_no_figures(tmp_path: Path) -> None:
    write(
        tmp_path,
        RUN,
        scenario("a", status="failed", error="ffmpeg died", validity=["busy_host"]),
        scenario("b"),
    )
    page = publish(tmp_path)
    assert of(page, "results_scenario_valid", scenario="a") == 0
    reasons = [dict(k)["reason"] for k in samples(page)["results_scenario_invalid_info"]]
    assert reasons == ["failed", "busy_host"]
    assert of(page, "results_scenario_total_energy_joules", scenario="a") is None
    assert of(page, "results_scenario_valid", scenario="b") == 1


def test_of_repeats_the_median_one_stands_for_all(tmp_path: Path) -> None:
    """Energies 3300, 3000, 3060: the median is 3060, the standard deviation 158.745 J."""
    repeats = [
        scenario("a", repeat=i + 1, power={"tier": "measured", "total_energy_joules": joules})
        for i, joules in enumerate((3300.0, 3000.0, 3060.0))
    ]
    write(tmp_path, RUN, *repeats)
    page = publish(tmp_path)
    assert of(page, "results_scenario_total_energy_joules", scenario="a") == 3060.0
    assert of(page, "results_scenario_repeats", scenario="a") == 3
    assert of(page, "results_scenario_repeat_energy_stdev_joules") == pytest.approx(158.74507866, rel=1e-9)


def test_another_scenario_under_a_name_that_is_taken_is_left_out_and_counted(tmp_path: Path) -> None:
    write(tmp_path, RUN, scenario("a"), scenario("a", preset="slow", cpu_seconds=999.0))
    page = publish(tmp_path)
    assert of(page, "results_scenario_cpu_seconds", scenario="a") == 55.5
    assert of(page, "results_scenarios_refused", reason="duplicate_name") == 1


def test_broken_files_and_scenarios_hide_nothing_else(tmp_path: Path) -> None:
    write(tmp_path, RUN, scenario("a"), {"name": "b", "fps": "thirty"}, 5)
    (tmp_path / "test_results_20260303_080000.json").write_text("{")
    (tmp_path / "test_results_20260304_080000.json").mkdir()
    page = publish(tmp_path)
    assert of(page, "results_scenario_mean_power_watts", scenario="a") == 100.0
    assert of(page, "results_scenarios_refused", reason="malformed") == 2
    assert of(page, "results_files_refused") == 2
    said = {dict(k)["run_id"]: dict(k)["reason"] for k in samples(page)["results_file_refused_info"]}
    assert said["test_results_20260303_080000"].startswith("expected a JSON result file")
    assert said["test_results_20260304_080000"] == "cannot be read: expected a regular file"
    assert str(tmp_path) not in page.decode()


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: None], ids=["empty", "missing"])
def test_a_folder_without_files_is_an_empty_page(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "results")
    page = publish(tmp_path / "results")
    assert of(page, "results_exporter_up") == 1
    assert of(page, "results_runs") == 0
    assert "results_scenario_info" not in samples(page)


def test_the_newest_runs_by_start_are_published_whatever_their_names(tmp_path: Path) -> None:
    for run_id, start in (("test_results_b", 300.0), ("test_results_c", 100.0), ("test_results_a", 200.0)):
        write(tmp_path, run_id, scenario("x", start_time=start, end_time=start + 30))
    page = publish(tmp_path, runs=2)
    shown = [dict(k)["run_id"] for k in samples(page)["results_scenario_info"]]
    assert shown == ["test_results_a", "test_results_b"]


def test_the_limit_of_scenarios_drops_the_oldest_run_and_says_so(tmp_path: Path) -> None:
    for i in range(3):
        started = [scenario(f"s{n}", start_time=100.0 * i, end_time=100.0 * i + 30) for n in range(4)]
        write(tmp_path, f"test_results_{i}", *started)
    page = publish(tmp_path, max_scenarios=8)
    assert {dict(k)["run_id"] for k in samples(page)["results_scenario_info"]} == {
        "test_results_1",
        "test_results_2",
    }
    assert of(page, "results_scenarios_dropped") == 4


def test_an_old_run_does_not_slip_in_behind_a_large_one(tmp_path: Path) -> None:
    """What is dropped is dropped from the old end, with no hole."""
    for i, count in enumerate((1, 5, 2)):
        started = [scenario(f"s{n}", start_time=100.0 * i, end_time=100.0 * i + 30) for n in range(count)]
        write(tmp_path, f"test_results_{i}", *started)
    page = publish(tmp_path, max_scenarios=4)
    assert {dict(k)["run_id"] for k in samples(page)["results_scenario_info"]} == {"test_results_2"}
    assert of(page, "results_scenarios_dropped") == 6


def test_a_run_that_did_not_change_has_the_same_part(tmp_path: Path) -> None:
    write(tmp_path, RUN, scenario("a"))
    source = collector(tmp_path)
    first = source.parts()
    write(tmp_path, "test_results_20260305_080000", scenario("b"))
    second = source.parts()
    assert second[RUN].same(first[RUN])
    assert not second[""].same(first[""])
    (tmp_path / f"{RUN}.json").unlink()
    assert set(source.parts()) == {"", "models", "test_results_20260305_080000"}


def test_the_page_is_the_golden_one(tmp_path: Path, golden: Callable[[str, bytes], None]) -> None:
    repeats = [
        scenario("x264 720p", repeat=n, power={**scenario("")["power"], "total_energy_joules": 3000.0 + n})
        for n in (1, 2, 3)
    ]
    estimated = {"tier": "modelled", "mean_watts": 55.0, "idle_watts": 20.0}
    gpu = scenario("nvenc", encoder="h264_nvenc", encoder_type="gpu", power=estimated)
    broken = {"name": "broken", "fps": "thirty"}
    failed = scenario("died", status="failed", error="exit code 1")
    host = {"hardware_id": "intel-xeon-16t-1a2b3c4d"}
    write(tmp_path, RUN, BASELINE, *repeats, gpu, failed, broken, host=host)
    earlier = {
        "scenarios": [
            {
                "name": '4 streams "old" @ 2500k',
                "bitrate": 2500,
                "resolution": "1280x720",
                "fps": 30,
                "duration": 60,
                "start_time": 1.5e9,
                "end_time": 1.5e9 + 60,
                "outputs": None,
                "power": {"mean_watts": 80.0},
            }
        ]
    }
    (tmp_path / "test_results_20170714_024000.json").write_text(json.dumps(earlier))
    (tmp_path / "test_results_20180101_000000.json").write_text("[]")
    golden("results.prom", publish(tmp_path))


def test_a_real_exporter_serves_a_folder_as_it_grows(tmp_path: Path) -> None:
    import requests

    write(tmp_path, RUN, scenario("a"))
    with served("exporters.results", "--results-dir", str(tmp_path)) as exporter:

        def page() -> bytes:
            return requests.get(f"{exporter.url}/metrics", timeout=60).content

        wait_until(lambda: requests.get(f"{exporter.url}/-/ready", timeout=60).status_code == 200)
        write(tmp_path, "test_results_20260305_080000", scenario("b"))
        wait_until(lambda: b'scenario="b"' in page())
        assert of(page(), "results_scenario_mean_power_watts", scenario="a") == 100.0
        assert of(page(), "results_exporter_collector_success", collector="results") == 1


def test_every_family_on_the_golden_page_is_declared() -> None:
    declared = {family.name for family in EXPORTER.families}
    page = (Path(__file__).parent / "golden" / "results.prom").read_text()
    assert {line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")} <= declared


def test_an_empty_folder_is_said_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configure("logfmt", "info")
    source = collector(tmp_path)
    source.parts()
    source.parts()
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith(f'event="no results yet" folder={tmp_path} expected=test_results_*.json')
