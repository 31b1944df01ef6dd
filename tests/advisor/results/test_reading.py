"""Result files: what is taken, what is refused and how it is said, and that a crash leaves a whole file."""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import os
import resource
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import advisor
from advisor.errors import InputError, ResultFileError
from advisor.results import (
    EncodeStats,
    GpuInfo,
    Host,
    InputMedia,
    Output,
    Power,
    Psnr,
    Quality,
    Run,
    Samples,
    Scenario,
    Ssim,
    Tool,
    Vmaf,
    json_schema,
    parse_run,
    read_run,
    result_file_name,
    write_run,
)
from advisor.results.derived import delivered_frames, output_seconds

FULL = Scenario(
    name='Ladder "x264"',
    type="multi",
    bitrate="800k,2500k",
    crf=23.5,
    resolution="1280x720",
    fps=29.97,
    encoder="libx264",
    encoder_type="cpu",
    preset="veryfast",
    threads=4,
    streams=2,
    viewers=100,
    repeat=2,
    duration=30.25,
    start_time=1772438400.125,
    end_time=1772438430.375,
    input=InputMedia(
        path="in.mp4", name="in.mp4", width=1280, height=720, fps=25.0, duration=10.0, frames=250
    ),
    outputs=[
        Output(
            resolution="640x360",
            fps=29.97,
            bitrate="800k",
            path="out.mp4",
            size_bytes=12345,
            frames=300,
            duration=10.01,
            quality=Quality(
                aligned=True,
                frames=300,
                vmaf=Vmaf(mean=91.5, harmonic_mean=91.0, min=60.0, p1=70.0, p5=75.0, model="vmaf_v0.6.1"),
                psnr_decibels=Psnr(average=40.25, y=39.5),
                ssim_ratio=Ssim(all=0.98, y=0.97),
                xpsnr_decibels=38.0,
            ),
        )
    ],
    power=Power(
        source="powercap",
        tier="measured",
        mean_watts=50.5,
        stdev_watts=1.5,
        total_energy_joules=1527.6,
        domains={"package_0": 1500.0, "dram_0": 27.6},
    ),
    samples=Samples(timestamps=[1.0, 1.5], power_watts=[50.0, None], cpu_usage_cores=[3.5, 3.25]),
    cpu_seconds=100.5,
    encode=EncodeStats(fps=60.0, speed=2.0, frames=600, dropped_frames=1, duplicated_frames=0),
    vmaf_score=91.5,
    psnr_score=40.25,
    ssim_score=0.98,
    validity=["busy_host"],
    command=["ffmpeg", "-i", "in.mp4"],
)


def file_of(*scenarios: Any, **head: Any) -> bytes:
    return json.dumps({"schema_version": 1, "scenarios": list(scenarios), **head}).encode()


def earlier(**scenario: Any) -> Scenario:
    """The one scenario of a file from before there was a schema."""
    run = parse_run(json.dumps({"scenarios": [scenario]}).encode(), run_id="r")
    assert run.refused == ()
    return run.scenarios[0]


def refusal(*scenarios: Any, schema: bool = True) -> str:
    """Why the last scenario is refused."""
    head = {"schema_version": 1} if schema else {}
    run = parse_run(json.dumps({**head, "scenarios": scenarios}).encode(), run_id="r")
    return run.refused[-1].reason


def test_what_is_written_is_read_back_to_the_last_bit(tmp_path: Path) -> None:
    run = Run(
        run_id="test_results_20260302_080000",
        scenarios=(FULL, Scenario(name="idle", type="baseline")),
        test_date="2026-03-02T08:00:00+01:00",
        tool=Tool(version="0.1.0", ffmpeg_version="7.1"),
        host=Host(hardware_id="intel-1", cores=8, gpus=[GpuInfo(name="T4", uuid="u")], virtual=False),
    )
    path = tmp_path / f"{run.run_id}.json"
    write_run(run, path)
    assert read_run(path) == run


def test_a_written_file_fits_the_published_schema(tmp_path: Path) -> None:
    import jsonschema  # seconds, which every worker would wait for

    write_run(Run(run_id="r", scenarios=(FULL,)), tmp_path / "r.json")
    jsonschema.Draft202012Validator(json_schema()).validate(json.loads((tmp_path / "r.json").read_bytes()))


def test_a_written_file_is_readable_by_others(tmp_path: Path) -> None:
    """The exporters' containers read results as another user."""
    write_run(Run(run_id="r", scenarios=()), tmp_path / "r.json")
    assert (tmp_path / "r.json").stat().st_mode & 0o777 == 0o644


def test_the_file_name_is_the_contracts() -> None:
    assert result_file_name(datetime.datetime(2026, 3, 2, 8, 5, 9)) == "test_results_20260302_080509.json"  # noqa: DTZ001


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "expected a JSON result file: Input data was truncated"),
        (b"{", "expected a JSON result file: Input data was truncated"),
        (b"no json", "expected a JSON result file: JSON is malformed: invalid character (byte 4)"),
        (b"[]", "expected a JSON result file: expected object, got array"),
        (b"5", "expected a JSON result file: expected object, got int"),
        (b"{}", "expected a JSON result file: object missing required field scenarios"),
        (b'{"scenarios": {}}', "scenarios: expected array, got object"),
        (
            b'{"scenarios": [], "schema_version": 2}',
            "schema_version: expected 1, or none for an earlier format; found 2",
        ),
        (b'{"scenarios": [], "schema_version": "1"}', "schema_version: expected int | null, got str"),
        (b'{"scenarios": [], "host": {"cores": -1}}', "host.cores: expected int >= 0"),
        (b"\xff\xfe\x00", "expected a JSON result file: JSON is malformed: invalid character (byte 0)"),
        (b"[" * 100_000, "expected a JSON result file: expected object, got array"),
    ],
)
def test_a_file_that_is_no_result_file_is_refused_by_name_and_field(
    tmp_path: Path, data: bytes, said: str
) -> None:
    path = tmp_path / "test_results_x.json"
    path.write_bytes(data)
    with pytest.raises(ResultFileError) as caught:
        read_run(path)
    assert str(caught.value) == f"{path}: {said}"
    assert caught.value.exit_code == 2


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(ResultFileError, match=r"x.json: cannot be read: No such file or directory$"):
        read_run(tmp_path / "x.json")
    with pytest.raises(ResultFileError, match=r"cannot be read: expected a regular file$"):
        read_run(tmp_path)


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    (tmp_path / "good.json").write_bytes(file_of())
    (tmp_path / "bad.json").write_bytes(b"{")
    (tmp_path / "folder.json").mkdir()
    before = sum(1 for _ in Path("/proc/self/fd").iterdir())
    for name in ("good", "bad", "folder", "missing"):
        with contextlib.suppress(ResultFileError):
            read_run(tmp_path / f"{name}.json")
    assert sum(1 for _ in Path("/proc/self/fd").iterdir()) == before


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "test_results_x.json")
    with pytest.raises(ResultFileError, match=r"cannot be read: expected a regular file$"):
        read_run(tmp_path / "test_results_x.json")


def test_a_file_of_unreasonable_size_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "test_results_x.json"
    with path.open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(ResultFileError, match=r"cannot be read: expected at most 128 MiB, found 1024 MiB$"):
        read_run(path)


@pytest.mark.parametrize(
    ("element", "mebibytes", "said"),
    [
        (b"1,", 6, r"scenarios\[0\]: expected object, got int"),
        (b"{},", 6, "scenarios: expected at most 100000, found 104857"),
        (b"1,", 1, "scenarios: expected at most 100000, found 524289"),
        (b"NaN,", 33, "expected a JSON result file: JSON is malformed"),
    ],
)
def test_a_file_that_would_fill_the_memory_is_refused_before_it_does(
    element: bytes, mebibytes: int, said: str
) -> None:
    """Refused one by one, each two bytes of the first would become 280: 36 GB of a file of 256 MiB."""
    count = (mebibytes << 20) // len(element)
    data = b'{"schema_version":1,"scenarios":[' + element * count + element[:-1] + b"]}"
    tracemalloc.start()
    try:
        with pytest.raises(ResultFileError, match=said):
            parse_run(data, run_id="test_results_x")
        assert tracemalloc.get_traced_memory()[1] < 50 * len(data)
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        ({"name": "a", "fps": "30"}, "scenarios[1].fps: expected float | null, got str"),
        ({"name": "a", "fps": 0}, "scenarios[1].fps: expected float > 0.0"),
        ({"name": 5}, "scenarios[1].name: expected str, got int"),
        ({"name": ""}, "scenarios[1].name: expected a name that is not empty"),
        ({"name": "a", "viewers": 10**300}, "scenarios[1].viewers: expected int <= 9007199254740992"),
        (
            {"name": "a", "fps": 1e-99},
            "scenarios[1].fps: expected a number of a measurable size, found 1e-99",
        ),
        (
            {"name": "a", "fps": 1e308},
            "scenarios[1].fps: expected a number of a measurable size, found 1e+308",
        ),
        ({"name": "a" * 1001}, "scenarios[1].name: expected str of length <= 1000"),
        ({"name": "a", "validity": ["b"] * 101}, "scenarios[1].validity: expected array of length <= 100"),
        ({}, "scenarios[1]: object missing required field name"),
        (5, "scenarios[1]: expected object, got int"),
        (None, "scenarios[1]: expected object, got null"),
        (
            {"name": "a", "resolution": "720p"},
            "scenarios[1].resolution: expected WIDTHxHEIGHT such as 1280x720",
        ),
        ({"name": "a", "power": {"mean_watts": -1}}, "scenarios[1].power.mean_watts: expected float >= 0.0"),
        (
            {"name": "a", "power": {"tier": "guessed"}},
            "scenarios[1].power.tier: invalid enum value 'guessed'",
        ),
        (
            {"name": "a", "outputs": [{}, {"frames": 1.5}]},
            "scenarios[1].outputs[1].frames: expected int | null, got float",
        ),
        ({"name": "a", "vmaf_score": 101}, "scenarios[1].vmaf_score: expected float <= 100.0"),
        (
            {"name": "a", "start_time": 1772323200000},
            "scenarios[1].start_time: expected seconds, got 1772323200000 (milliseconds?)",
        ),
        (
            {"name": "a", "duration": 1e15},
            "scenarios[1].duration: expected seconds, got 1000000000000000 (milliseconds?)",
        ),
        (
            {"name": "a", "samples": {"timestamps": [1772323200000, 1772323201000], "power_watts": [1, 2]}},
            "scenarios[1].samples.timestamps: expected seconds, got 1772323201000 (milliseconds?)",
        ),
        (
            {"name": "a", "start_time": 20, "end_time": 10},
            "scenarios[1].end_time: expected a time at or after start_time (20.0), got 10.0",
        ),
        (
            {"name": "a", "samples": {"timestamps": [1, 2], "power_watts": [1]}},
            "scenarios[1].samples.power_watts: expected 2 values, one a timestamp, got 1",
        ),
    ],
)
def test_a_malformed_scenario_is_refused_by_field_and_the_others_stay(scenario: Any, said: str) -> None:
    run = parse_run(file_of({"name": "good"}, scenario, {"name": "too"}), run_id="r")
    assert [s.name for s in run.scenarios] == ["good", "too"]
    (refused,) = run.refused
    assert refused.index == 1
    assert refused.reason == said


def test_a_refused_scenario_is_known_by_its_name() -> None:
    run = parse_run(file_of({"name": "bad one", "fps": []}, {"name": [1]}), run_id="r")
    assert [r.name for r in run.refused] == ["bad one", None]


def test_nan_of_pythons_json_costs_its_scenario_alone() -> None:
    scenarios = (
        b'{"name": "a", "duration": NaN}, {"name": "b", "duration": 5.5}, {"name": "c", "fps": Infinity}'
    )
    run = parse_run(b'{"scenarios": [' + scenarios + b"]}", run_id="r")
    assert [(s.name, s.duration) for s in run.scenarios] == [("b", 5.5)]
    assert [r.name for r in run.refused] == ["a", "c"]
    assert run.refused[0].reason.endswith("(NaN is no number of JSON)")
    assert run.refused[1].reason.endswith("(Infinity is no number of JSON)")


def test_unknown_fields_are_left_alone() -> None:
    assert parse_run(file_of({"name": "a", "mood": {"x": 1}}, weather=5), run_id="r").scenarios[0].name == "a"


def test_a_number_beyond_a_double_is_refused() -> None:
    run = parse_run(b'{"scenarios": [{"name": "a", "duration": 1e999}, {"name": "b"}]}', run_id="r")
    assert [s.name for s in run.scenarios] == ["b"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2500k", "2500k"),
        ("5M", "5M"),
        ("0k", "0k"),
        ("1000k,2500k", "1000k,2500k"),
        (2500, "2500k"),
        (1500.5, "1500.5k"),
    ],
)
def test_earlier_bitrates_are_text_and_a_bare_number_is_kbit(written: object, read: str) -> None:
    assert earlier(name="a", bitrate=written).bitrate == read


def test_a_large_bare_bitrate_keeps_its_digits() -> None:
    assert earlier(name="a", bitrate=12345678).bitrate == "12345678k"


def test_earlier_series_become_samples() -> None:
    found = earlier(
        name="a", start_time=100, power_watts=[10, 20, None], cpu_usage_cores=[1, 2, 3], step_seconds=0.5
    )
    assert found.samples == Samples(
        timestamps=[100.0, 100.5, 101.0], power_watts=[10.0, 20.0, None], cpu_usage_cores=[1.0, 2.0, 3.0]
    )


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        ({"power_watts": [1, 2]}, "scenarios[0].step_seconds: expected float > 0 beside power_watts"),
        (
            {"power_watts": [1, 2], "step_seconds": 0},
            "scenarios[0].step_seconds: expected float > 0 beside power_watts",
        ),
        (
            {"power_watts": [1, 2], "step_seconds": True},
            "scenarios[0].step_seconds: expected float > 0 beside power_watts",
        ),
        ({"power_watts": 5, "step_seconds": 1}, "scenarios[0].power_watts: expected array, got int"),
        (
            {"power_watts": [1, 2], "cpu_usage_cores": [1], "step_seconds": 1},
            "scenarios[0].samples.cpu_usage_cores: expected 2 values, one a timestamp, got 1",
        ),
    ],
)
def test_earlier_series_that_do_not_fit_are_refused(scenario: dict[str, Any], said: str) -> None:
    assert refusal({"name": "a", **scenario}, schema=False) == said


def test_earlier_outputs_may_be_null_and_stand_for_every_stream() -> None:
    assert earlier(name="a", outputs=None).outputs == []
    ladder = [
        {"name": "low", "resolution": "640x360", "bitrate": 800},
        {"resolution": "1280x720", "bitrate": "2500k"},
    ]
    found = earlier(name="3 streams", outputs=ladder).outputs
    assert [o.bitrate for o in found] == ["800k", "2500k"] * 3


def test_a_stream_count_that_is_absurd_does_not_fill_the_memory() -> None:
    assert len(earlier(name="a", streams=10**9, outputs=[{"bitrate": "1k"}]).outputs) == 1


def test_few_bytes_stand_for_no_more_outputs_than_a_file_may_have() -> None:
    """30 scenarios of "10000 streams" with a ladder of two: the first five fit."""
    ladder = [{"resolution": "640x360"}] * 2
    scenarios = [{"name": f"{i} 10000 streams", "outputs": ladder} for i in range(30)]
    run = parse_run(json.dumps({"scenarios": scenarios}).encode(), run_id="test_results_x")
    assert [len(s.outputs) for s in run.scenarios] == [20_000] * 5
    assert len(run.refused) == 25
    assert run.refused[0].reason == "scenarios[5].outputs: expected at most 100000 outputs in a file"


def test_an_earlier_baseline_is_known_by_its_name_and_its_zeros_are_nothing() -> None:
    found = earlier(name="Baseline (idle)", fps=0, resolution="0x0", vmaf_score=0, bitrate="0k")
    assert (found.type, found.fps, found.resolution, found.vmaf_score) == ("baseline", None, None, None)


@pytest.mark.parametrize(
    ("written", "encoder", "kind"),
    [
        ("libx264", "libx264", "cpu"),
        ("h264_nvenc", "h264_nvenc", "gpu"),
        ("hevc_rkmpp", "hevc_rkmpp", "gpu"),
        ("av1_vulkan", "av1_vulkan", "gpu"),
        ("h264_v4l2m2m", "h264_v4l2m2m", "gpu"),
        ("NVIDIA", None, "gpu"),
        ("GPU", None, "gpu"),
        ("CPU", None, "cpu"),
        ("cpu (no gpu)", None, "cpu"),
        ("software, nvenc not available", None, "cpu"),
        ("No GPU", None, "cpu"),
        ("hevc_vaapi", "hevc_vaapi", "gpu"),
        ("none", None, "cpu"),
        ("gpu", None, "gpu"),
    ],
)
def test_an_earlier_encoder_type_may_be_an_encoders_name(
    written: str, encoder: str | None, kind: str
) -> None:
    found = earlier(name="a", encoder_type=written)
    assert (found.encoder, found.encoder_type) == (encoder, kind)


def test_a_run_starts_with_its_first_scenario_else_at_its_date() -> None:
    assert (
        parse_run(
            file_of({"name": "a", "start_time": 20}, {"name": "b", "start_time": 10}), run_id="r"
        ).start_time
        == 10
    )
    assert parse_run(file_of(test_date="2026-03-02T08:00:00+00:00"), run_id="r").start_time == 1_772_438_400
    assert parse_run(file_of(test_date="soon"), run_id="r").start_time is None
    assert parse_run(file_of(), run_id="r").start_time is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=15,
)
FIELDS = st.sampled_from(
    [*Scenario.__struct_fields__, "power_watts", "cpu_usage_cores", "step_seconds", "mean_watts"]
)
SCENARIOS = st.dictionaries(FIELDS, JSON | st.dictionaries(FIELDS, JSON, max_size=3), max_size=6)


@given(
    st.binary(max_size=300) | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_any_bytes_are_a_run_or_one_line(data: bytes) -> None:
    try:
        parse_run(data, run_id="r")
    except ResultFileError as exc:
        assert "\n" not in str(exc)  # noqa: PT017


@given(st.lists(SCENARIOS | JSON, max_size=4), st.booleans(), JSON)
def test_any_scenarios_are_taken_or_refused_and_none_is_lost(
    scenarios: list[Any], schema: bool, host: Any
) -> None:
    head = {"schema_version": 1} if schema else {}
    data = json.dumps({**head, "scenarios": scenarios, "host": host}).encode()
    try:
        run = parse_run(data, run_id="r")
    except ResultFileError as exc:
        assert exc.field is None or exc.field.startswith("host")  # noqa: PT017
        return
    assert len(run.scenarios) + len(run.refused) == len(scenarios)
    assert all("\n" not in refused.reason for refused in run.refused)


@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=3))
def test_a_damaged_file_is_a_run_or_one_line(place: int, damage: bytes) -> None:
    whole = msgspec.json.encode({"schema_version": 1, "scenarios": [FULL, FULL]})
    at = place % len(whole)
    for data in (whole[:at], whole[:at] + damage + whole[at + len(damage) :]):
        try:
            run = parse_run(data, run_id="r")
        except ResultFileError as exc:
            assert "\n" not in str(exc)  # noqa: PT017
        else:
            assert len(run.scenarios) + len(run.refused) <= 2


def test_a_full_disk_leaves_the_former_file_and_no_rest(tmp_path: Path) -> None:
    """The limit on a file's size stands for the disk's end: the write fails half way."""
    path = tmp_path / "test_results_x.json"
    write_run(Run(run_id="r", scenarios=(Scenario(name="former"),)), path)
    large = Run(run_id="r", scenarios=tuple(Scenario(name=f"s{i}" * 50) for i in range(200)))
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_run(large, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, former)
    assert [s.name for s in read_run(path).scenarios] == ["former"]
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_folder_that_is_missing_is_an_oserror_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        write_run(Run(run_id="r", scenarios=()), tmp_path / "gone" / "x.json")


def test_a_reader_sees_the_former_or_the_new_file_whatever_kills_the_writer(tmp_path: Path) -> None:
    """A writer that rewrites without end is killed at random moments."""
    path = tmp_path / "test_results_x.json"
    script = (
        "import sys\n"
        "from advisor.results import Run, Scenario, write_run\n"
        "for n in range(10**9):\n"
        "    scenarios = tuple(Scenario(name=f'{n}') for _ in range(300))\n"
        "    write_run(Run(run_id='r', scenarios=scenarios), sys.argv[1])\n"
        "    n == 0 and print('begun', flush=True)\n"
    )
    for pause in (0.0, 0.003, 0.011, 0.023, 0.04):
        with subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(pause)
            writer.kill()
        run = read_run(path)
        assert len(run.scenarios) == 300
        assert len({s.name for s in run.scenarios}) == 1


def test_null_in_the_place_of_a_list_or_a_value_is_as_if_absent() -> None:
    """What other programs write for "nothing": lists, maps and parts that are null, in every depth."""
    scenario = {
        "name": "a",
        "outputs": None,
        "validity": None,
        "power": {"mean_watts": 50.0, "domains": None},
        "samples": {"timestamps": [0.0, 1.0], "power_watts": [None, 2.0], "gpu_usage": None},
    }
    host = {"hardware_id": "h", "gpus": None}
    document = {"schema_version": 1, "scenarios": [scenario], "host": host, "tool": None, "finished": None}
    run = parse_run(json.dumps(document).encode(), run_id="r")
    assert run.refused == ()
    (read,) = run.scenarios
    assert (read.outputs, read.validity) == ([], [])
    assert read.power == Power(mean_watts=50.0)
    assert read.samples == Samples(timestamps=[0.0, 1.0], power_watts=[None, 2.0])
    assert run.host == Host(hardware_id="h")


def test_null_in_the_place_of_a_name_is_still_refused() -> None:
    document = {"schema_version": 1, "scenarios": [{"name": None, "outputs": None}]}
    (refused,) = parse_run(json.dumps(document).encode(), run_id="r").refused
    assert refused.reason.startswith("scenarios[0]")


def test_wall_time_is_video_time_in_files_of_earlier_suites_alone() -> None:
    """60 s of 30 frames: an earlier suite ran in real time, a file of today says how much it made, or not."""
    scenario = {"name": "4 streams", "fps": 30, "resolution": "1280x720", "start_time": 10, "end_time": 70}
    earlier = parse_run(json.dumps({"scenarios": [scenario]}).encode(), run_id="r").scenarios[0]
    today = parse_run(json.dumps({"schema_version": 1, "scenarios": [scenario]}).encode(), run_id="r")
    assert output_seconds(earlier) == 240
    assert delivered_frames(earlier) == 7200
    assert output_seconds(today.scenarios[0]) is None


def _written(folder: Path, name: str, start: float) -> None:
    write_run(Run(run_id=name, scenarios=(Scenario(name="a", start_time=start),)), folder / f"{name}.json")


def test_a_folder_is_read_in_the_order_of_its_starts_and_names_what_it_refused(tmp_path: Path) -> None:
    """By name the second comes first: its clock had been set back in between."""
    _written(tmp_path, "test_results_20251026_023000", 1000.0)
    _written(tmp_path, "test_results_20251026_022000", 2000.0)
    (tmp_path / "test_results_20251027_000000.json").write_text("{")
    runs = advisor.read_folder(tmp_path)
    assert [run.run_id[-6:] for run in runs] == ["023000", "022000"]
    assert (len(runs), runs[1].start_time) == (2, 2000.0)
    (name,) = runs.refused
    assert name == "test_results_20251027_000000.json"
    assert runs.to_dict()["runs"][0]["scenarios"][0]["start_time"] == 1000.0


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected test_results_\*\.json, found none"):
        advisor.read_folder(tmp_path)
    with pytest.raises(InputError, match="expected a folder of result files"):
        advisor.read_folder(tmp_path / "absent")


def test_a_frame_has_a_row_a_scenario_with_what_follows_from_it(tmp_path: Path) -> None:
    """600 J over 60 s of 2 streams of 120 s of video: 10 W, 2.5 J a second of video."""
    power = Power(mean_watts=10.0, total_energy_joules=600.0, tier="measured")
    scenario = Scenario(
        name="a",
        duration=60.0,
        streams=2,
        video_seconds=120.0,
        power=power,
        start_time=0.0,
        validity=["steal"],
    )
    write_run(Run(run_id="r", scenarios=(scenario,)), tmp_path / "test_results_1.json")
    frame = advisor.read_run(tmp_path / "test_results_1.json").to_frame()
    assert frame.equals(advisor.read_folder(tmp_path).to_frame())
    (row,) = frame.to_dict("records")
    assert (row["scenario"], row["run_id"], row["validity"]) == ("a", "test_results_1", "steal")
    assert (row["energy_joules_per_video_second"], row["mean_power_watts"]) == (2.5, 10.0)
    assert str(row["start_time"]) == "1970-01-01 00:00:00+00:00"
    assert math.isnan(row["vmaf"])


def test_a_name_that_is_twice_refuses_its_scenario_alone() -> None:
    """Of two values one reader takes the first, another the last."""
    text = """{"schema_version": 1, "scenarios": [
        {"name": "a", "duration": 1}, {"name": "b", "power": {"mean_watts": 1, "mean_\\u0077atts": 2}},
        {"name": "c", "outputs": [{"frames": 1}, {"frames": 1, "x": {"y": 1, "y": 1}}]}]}"""
    run = parse_run(text.encode(), run_id="r")
    assert [s.name for s in run.scenarios] == ["a"]
    assert [refused.reason for refused in run.refused] == [
        "scenarios[1].power.mean_watts: expected each name once, found it twice",
        "scenarios[2].outputs[1].x.y: expected each name once, found it twice",
    ]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('{"schema_version": 1, "scenarios": [], "scenarios": []}', "scenarios"),
        ('{"scenarios": [], "tool": {"name": "a", "name": "b"}}', "tool.name"),
    ],
)
def test_a_name_of_the_file_that_is_twice_refuses_the_file(text: str, field: str) -> None:
    with pytest.raises(ResultFileError, match=f"{field}: expected each name once, found it twice"):
        parse_run(text.encode(), run_id="r")


def test_what_fits_into_memory_is_read_beside_what_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 MiB there are, and three tenths of them for one file: 400 000 samples take 40 bytes each or more."""
    monkeypatch.setattr("advisor.results.reading.memory_bytes", lambda: (64 << 20, 64 << 20))
    large = {"timestamps": list(range(400_000)), "power_watts": [50] * 400_000}
    document = {"schema_version": 1, "scenarios": [{"name": "a", "samples": large}, {"name": "b"}]}
    run = parse_run(json.dumps(document).encode(), run_id="r")
    assert [s.name for s in run.scenarios] == ["b"]
    assert run.refused[0].reason.startswith(
        "scenarios[0]: expected a size that fits into memory: takes up to "
    )


def test_without_samples_each_scenario_has_the_memory_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("advisor.results.reading.memory_bytes", lambda: (64 << 20, 64 << 20))
    samples = {"timestamps": list(range(60_000)), "power_watts": [50] * 60_000}
    power = {"mean_watts": 50, "total_energy_joules": 100, "tier": "measured"}
    scenarios = [{"name": f"{i}", "samples": samples, "power": power} for i in range(8)]
    data = json.dumps({"schema_version": 1, "scenarios": scenarios}).encode()
    assert len(parse_run(data, run_id="r", keep_samples=False).scenarios) == 8
    assert len(parse_run(data, run_id="r").scenarios) < 8
