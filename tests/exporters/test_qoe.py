"""The quality exporter: a golden page, what is computed, what is refused, and restarts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from advisor.errors import InputError
from advisor.quality.queue import QualityJob, QualityOutcome, QualityQueue
from advisor.quality.settings import QualitySettings
from advisor.results import Quality, Vmaf
from advisor.results.folder import ResultFolder
from advisor.video.ffmpeg import find_ffmpeg
from exporters.qoe import EXPORTER, QoeCollector, ScoringWork
from exporters.runtime.logs import configure
from exporters.runtime.page import PageBuilder
from tests.support.exporter_client import page_of, render, served
from tests.support.exporter_options import parse_options
from tests.support.waiting import wait_until

RUNS = Path(__file__).parents[1] / "data" / "qoe_runs"
RUN = "test_results_20260302_080000"


def collector(folder: Path, queue: QualityQueue | None = None, **work: object) -> QoeCollector:
    results = ResultFolder(folder, runs=10, max_scenarios=1000)
    roots = work.pop("roots", (folder.resolve(),))
    return QoeCollector(results, folder, ScoringWork(queue, roots, **work))  # type: ignore[arg-type]


def samples(page: bytes) -> dict[str, float]:
    """Every line of a page: series as written, and its value."""
    lines = (line for line in page.decode().splitlines() if not line.startswith("#"))
    return {series: float(value) for series, value in (line.rsplit(" ", 1) for line in lines)}


def of(name: str, scenario: str, codec: str = "libx264", **labels: str) -> str:
    labels |= {"run_id": RUN, "scenario": scenario, "codec": codec, "encoder": "cpu"}
    inner = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{inner}}}"


class Answers:
    """Stands for ffmpeg: answers each job when it is let go, and remembers what was asked, in order."""

    def __init__(self, *, hold: bool = False) -> None:
        self.asked: list[QualityJob] = []
        self.go = threading.Event()
        if not hold:
            self.go.set()

    def __call__(self, job: QualityJob, check: Callable[[], None]) -> QualityOutcome:
        self.asked.append(job)
        while not self.go.wait(0.01):
            check()
        if "bad" in job.distorted:
            return QualityOutcome(failure="the output is cut off: 3 of 9 frames are there", kind="damaged")
        vmaf = Vmaf(mean=80.0, p1=60.0, p5=70.0, model="vmaf_v0.6.1")
        return QualityOutcome(Quality(aligned=True, frames=9, comparison_height_pixels=360, vmaf=vmaf))


@pytest.fixture
def answers() -> Iterator[Callable[[Answers, int], QualityQueue]]:
    """Queues that are closed at the end."""
    opened: list[QualityQueue] = []

    def open_queue(perform: Answers, workers: int = 1) -> QualityQueue:
        opened.append(QualityQueue(perform, workers=workers))
        return opened[-1]

    yield open_queue
    for queue in opened:
        queue.close()


def write_run(
    folder: Path, run_id: str, start: float, names: list[str], *, finished: bool | None = None, **more: object
) -> None:
    """A result file whose scenarios have one output each, `NAME.mp4`, from `clip.mp4`."""
    scenarios = [
        {
            "name": name,
            "encoder": "libx264",
            "start_time": start + i,
            "duration": 10.0,
            "input": {"path": "clip.mp4", **more},
            "outputs": [{"resolution": "640x360", "path": f"{name}.mp4", "frames": 100}],
            "power": {"mean_watts": 40.0, "total_energy_joules": 400.0, "tier": "measured"},
        }
        for i, name in enumerate(names)
    ]
    if not (folder / "clip.mp4").exists():
        (folder / "clip.mp4").write_bytes(b"reference")
    for name in names:
        (folder / f"{name}.mp4").write_bytes(name.encode())
    document = {"schema_version": 1, "finished": finished, "scenarios": scenarios}
    (folder / f"{run_id}.json").write_text(json.dumps(document))


def test_golden_page(golden: Callable[[str, bytes], None]) -> None:
    """Scores from the files as they are, and a reason for each output that has none."""
    golden("qoe.prom", render([collector(RUNS)]))


def test_quality_per_watt_and_efficiency_by_hand() -> None:
    """90 VMAF at 40 W; 1280 x 720 x 250 frames x 0.9 over 400 J. The ladder's mean VMAF is 80, at 50 W."""
    page = samples(render([collector(RUNS)]))
    name = 'x264 \\"fast\\" 2500k'
    assert page[of("qoe_quality_per_watt", name, tier="measured")] == 2.25
    assert page[of("qoe_efficiency_score", name, tier="measured")] == pytest.approx(518_400.0, rel=1e-12)
    assert page[of("qoe_quality_per_watt", "ladder", "libx265", tier="modelled")] == 1.6
    # (1280 x 720 + 640 x 360) x 100 frames x 0.8 over 1000 J
    assert page[of("qoe_efficiency_score", "ladder", "libx265", tier="modelled")] == pytest.approx(92_160.0)


def test_an_unaligned_output_has_no_score_and_a_reason() -> None:
    page = samples(render([collector(RUNS)]))
    lagging = [series for series in page if 'scenario="lagging"' in series]
    assert page[of("qoe_aligned", "lagging", "libsvtav1", output="")] == 0
    assert not [series for series in lagging if "vmaf" in series or "per_watt" in series]
    assert sum("qoe_unscored_info" in series for series in lagging) == 1


def test_scores_are_computed_newest_run_first(
    tmp_path: Path, answers: Callable[[Answers], QualityQueue]
) -> None:
    write_run(tmp_path, "test_results_20260301_000000", 1000.0, ["old"])
    write_run(tmp_path, "test_results_20260302_000000", 2000.0, ["new1", "new2"])
    perform = Answers(hold=True)
    exporter = collector(tmp_path, answers(perform))
    exporter.parts()
    exporter.start()
    perform.go.set()
    wait_until(lambda: len(perform.asked) == 3)
    assert [Path(job.distorted).stem for job in perform.asked] == ["new1", "new2", "old"]


def test_what_waits_is_pending_and_what_is_done_is_published(
    tmp_path: Path, answers: Callable[[Answers], QualityQueue]
) -> None:
    write_run(tmp_path, RUN, 1000.0, ["a", "b"])
    perform = Answers(hold=True)
    exporter = collector(tmp_path, answers(perform))
    exporter.start()
    page = samples(_page(exporter))
    assert page["qoe_pending"] == 2
    assert not [series for series in page if series.startswith("qoe_vmaf")]
    perform.go.set()
    wait_until(lambda: exporter._work.queue is not None and exporter._work.queue.pending == 0)
    page = samples(_page(exporter))
    assert page["qoe_pending"] == 0
    assert page['qoe_computations_total{outcome="scored"}'] == 2
    assert page[of("qoe_vmaf_score", "a", output="", model="vmaf_v0.6.1")] == 80.0
    assert page[of("qoe_vmaf_percentile_score", "b", output="", model="vmaf_v0.6.1", percentile="5")] == 70.0
    assert page[of("qoe_quality_per_watt", "a", tier="measured")] == 2.0


def test_nothing_is_begun_while_a_runner_measures(
    tmp_path: Path, answers: Callable[[Answers], QualityQueue]
) -> None:
    """Encodes of a run that goes on, and of every other, wait: the computation would be in its power."""
    other = "test_results_20260302_090000"
    write_run(tmp_path, RUN, 1000.0, ["a"])
    write_run(tmp_path, other, 2000.0, ["b"], finished=False)
    perform = Answers()
    exporter = collector(tmp_path, answers(perform))
    exporter.start()
    assert samples(_page(exporter))["qoe_pending"] == 2
    time.sleep(0.1)
    assert not perform.asked
    write_run(tmp_path, other, 2000.0, ["b"], finished=True)
    exporter.parts()
    wait_until(lambda: len(perform.asked) == 2)


def test_a_run_whose_runner_was_killed_is_not_waited_for(
    tmp_path: Path, answers: Callable[[Answers], QualityQueue]
) -> None:
    write_run(tmp_path, RUN, 1000.0, ["a"], finished=False)
    perform = Answers()
    exporter = collector(tmp_path, answers(perform))
    exporter._clock = lambda: time.time() + 3601
    exporter.start()
    exporter.parts()
    wait_until(lambda: len(perform.asked) == 1)


def _page(exporter: QoeCollector) -> bytes:
    """What is on the page now, without starting or closing the collector."""
    return page_of(exporter)


def test_nothing_new_renders_nothing(tmp_path: Path, answers: Callable[[Answers], QualityQueue]) -> None:
    write_run(tmp_path, RUN, 1000.0, ["a"])
    queue = answers(Answers())
    exporter = collector(tmp_path, queue)
    builder = PageBuilder()
    waiting = builder.build(exporter.parts())
    assert builder.build(exporter.parts()) is waiting
    exporter.start()
    wait_until(lambda: queue.pending == 0)
    scored = builder.build(exporter.parts())
    assert scored is not waiting
    assert builder.build(exporter.parts()) is scored


def test_a_run_that_did_not_change_keeps_its_part(
    tmp_path: Path, answers: Callable[[Answers], QualityQueue]
) -> None:
    write_run(tmp_path, RUN, 1000.0, ["a"])
    exporter = collector(tmp_path, answers(Answers(hold=True)))
    before = exporter.parts()
    write_run(tmp_path, "test_results_20260303_000000", 3000.0, ["c"])
    after = exporter.parts()
    assert after[RUN].same(before[RUN])
    assert set(after) == {RUN, "test_results_20260303_000000", ""}


def test_a_file_that_cannot_be_scored_is_counted_once_and_the_others_go_on(
    tmp_path: Path, answers: Callable[[Answers], QualityQueue]
) -> None:
    write_run(tmp_path, RUN, 1000.0, ["bad", "good"])
    perform = Answers()
    queue = answers(perform)
    exporter = collector(tmp_path, queue)
    exporter.start()
    exporter.parts()
    wait_until(lambda: queue.pending == 0)
    for _ in range(3):
        page = samples(_page(exporter))
    reason = "the output is cut off: 3 of 9 frames are there"
    assert page[of("qoe_unscored_info", "bad", output="", reason=reason)] == 1
    assert page['qoe_unscored{reason="damaged"}'] == 1
    assert page['qoe_computations_total{outcome="damaged"}'] == 1
    assert page[of("qoe_vmaf_score", "good", output="", model="vmaf_v0.6.1")] == 80.0
    assert len(perform.asked) == 2


def test_an_encode_that_was_written_again_is_scored_again(
    tmp_path: Path, answers: Callable[[Answers], QualityQueue]
) -> None:
    write_run(tmp_path, RUN, 1000.0, ["a"])
    perform = Answers()
    queue = answers(perform)
    exporter = collector(tmp_path, queue)
    exporter.start()
    exporter.parts()
    wait_until(lambda: queue.pending == 0)
    (tmp_path / "a.mp4").write_bytes(b"another encode")

    def is_asked_again() -> bool:
        exporter.parts()
        return len(perform.asked) == 2

    wait_until(is_asked_again)


def test_a_deleted_run_is_gone(tmp_path: Path, answers: Callable[[Answers], QualityQueue]) -> None:
    write_run(tmp_path, RUN, 1000.0, ["a"])
    queue = answers(Answers())
    exporter = collector(tmp_path, queue)
    exporter.start()
    exporter.parts()
    wait_until(lambda: queue.pending == 0)
    assert RUN in _page(exporter).decode()
    (tmp_path / f"{RUN}.json").unlink()
    assert RUN not in _page(exporter).decode()


def test_the_loops_of_the_input_reach_the_measurement(
    tmp_path: Path, answers: Callable[[Answers], QualityQueue]
) -> None:
    write_run(tmp_path, RUN, 1000.0, ["a"], loops=-1)
    perform = Answers()
    exporter = collector(tmp_path, answers(perform))
    exporter.start()
    exporter.parts()
    wait_until(lambda: len(perform.asked) == 1)
    assert perform.asked[0].settings == QualitySettings(reference_loops=-1)


@pytest.mark.parametrize("how", ["absolute", "dots", "link"])
def test_a_path_outside_the_allowed_folders_is_never_read(
    tmp_path: Path, answers: Callable[[Answers], QualityQueue], how: str
) -> None:
    results, outside = tmp_path / "results", tmp_path / "private.mp4"
    results.mkdir()
    outside.write_bytes(b"secret")
    (results / "link.mp4").symlink_to(outside)
    path = {"absolute": str(outside), "dots": "../private.mp4", "link": "link.mp4"}[how]
    write_run(results, RUN, 1000.0, ["a"])
    document = json.loads((results / f"{RUN}.json").read_text())
    document["scenarios"][0]["outputs"][0]["path"] = path
    (results / f"{RUN}.json").write_text(json.dumps(document))
    perform = Answers()
    exporter = collector(results, answers(perform))
    exporter.start()
    page = samples(_page(exporter))
    assert page['qoe_unscored{reason="refused"}'] == 1
    assert page["qoe_pending"] == 0
    assert perform.asked == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("x" * 300, "missing"),
        ("x/" * 3000, "missing"),
        pytest.param("/x" * 10_000_000, "missing", id="20 MB"),  # following its links would take hours
        ("loop.mp4", "missing"),
        ("loop.mp4/x", "missing"),
        ("pipe.mp4", "missing"),
        ("file:/etc/passwd", "missing"),
        ("concat:/etc/passwd|a.mp4", "missing"),
        ("folder/passwd", "refused"),
        ("folder/../passwd", "refused"),
        ("/proc/self/environ", "refused"),
        ("/dev/zero", "refused"),
        ("..", "refused"),
        ("a\0.mp4", "refused"),
    ],
)
def test_a_path_of_any_kind_costs_its_own_output_alone(
    tmp_path: Path, answers: Callable[[Answers], QualityQueue], path: str, kind: str
) -> None:
    """What the result file names is not a video inside the folder; the other scenario is scored."""
    (tmp_path / "loop.mp4").symlink_to("loop.mp4")
    (tmp_path / "folder").symlink_to("/etc")
    os.mkfifo(tmp_path / "pipe.mp4")
    write_run(tmp_path, RUN, 1000.0, ["a", "b"])
    document = json.loads((tmp_path / f"{RUN}.json").read_text())
    document["scenarios"][0]["outputs"][0]["path"] = path
    (tmp_path / f"{RUN}.json").write_text(json.dumps(document))
    perform = Answers()
    exporter = collector(tmp_path, answers(perform))
    exporter.start()
    page = samples(_page(exporter))
    assert page[f'qoe_unscored{{reason="{kind}"}}'] == 1
    wait_until(lambda: [Path(job.distorted).name for job in perform.asked] == ["b.mp4"])


def test_a_media_folder_allows_its_files(tmp_path: Path, answers: Callable[[Answers], QualityQueue]) -> None:
    """The input lies elsewhere, and its folder was allowed."""
    results, media = tmp_path / "results", tmp_path / "media"
    results.mkdir()
    media.mkdir()
    write_run(results, RUN, 1000.0, ["a"])
    shutil.move(results / "clip.mp4", media / "clip.mp4")
    document = json.loads((results / f"{RUN}.json").read_text())
    document["scenarios"][0]["input"]["path"] = str(media / "clip.mp4")
    (results / f"{RUN}.json").write_text(json.dumps(document))
    assert samples(render([collector(results)]))['qoe_unscored{reason="refused"}'] == 1
    perform = Answers()
    exporter = collector(results, answers(perform), roots=(results.resolve(), media.resolve()))
    exporter.start()
    exporter.parts()
    wait_until(lambda: len(perform.asked) == 1)
    assert perform.asked[0].reference == str(media / "clip.mp4")


def test_a_container_finds_the_encodes_under_its_own_mount(
    tmp_path: Path, answers: Callable[[Answers], QualityQueue]
) -> None:
    """The file names the paths of the machine that wrote it; the same folder is mounted elsewhere here."""
    write_run(tmp_path, RUN, 1000.0, ["a"])
    outputs = tmp_path / f"{RUN}_outputs"
    outputs.mkdir()
    shutil.move(tmp_path / "a.mp4", outputs / "a.mp4")
    document = json.loads((tmp_path / f"{RUN}.json").read_text())
    document["scenarios"][0]["outputs"][0]["path"] = f"/home/who/test_results/{RUN}_outputs/a.mp4"
    (tmp_path / f"{RUN}.json").write_text(json.dumps(document))
    perform = Answers()
    exporter = collector(tmp_path, answers(perform))
    exporter.start()
    exporter.parts()
    wait_until(lambda: len(perform.asked) == 1)
    assert perform.asked[0].distorted == str(outputs / "a.mp4")


def test_own_pairs_are_scored_beside_the_results(
    tmp_path: Path, answers: Callable[[Answers], QualityQueue]
) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"reference")
    (tmp_path / "mine.mp4").write_bytes(b"encode")
    pairs = tmp_path / "library.yaml"
    mine = "{reference: clip.mp4, distorted: mine.mp4, name: my encode}"
    pairs.write_text(f"- {mine}\n- {{reference: clip.mp4, distorted: gone.mp4}}\n")
    queue = answers(Answers())
    exporter = collector(tmp_path / "none", queue, pairs=pairs)
    exporter.start()
    exporter.parts()
    wait_until(lambda: queue.pending == 0)
    page = samples(_page(exporter))
    labels = 'codec="",encoder="",model="vmaf_v0.6.1",output="",run_id="library",scenario="my encode"'
    assert page[f"qoe_vmaf_score{{{labels}}}"] == 80.0
    assert page['qoe_unscored{reason="missing"}'] == 1


def test_a_folder_of_pairs_is_scored_and_followed(
    tmp_path: Path, answers: Callable[[Answers], QualityQueue]
) -> None:
    """An encode that is put into the folder later is found; its name is the path below the folder."""
    library = tmp_path / "library"
    (library / "x265").mkdir(parents=True)
    (library / "reference.mkv").write_bytes(b"reference")
    (library / "a.mp4").write_bytes(b"encode")
    queue = answers(Answers())
    exporter = collector(tmp_path / "none", queue, pairs=library)
    exporter.start()
    exporter.parts()
    wait_until(lambda: queue.pending == 0)
    (library / "x265" / "b.mp4").write_bytes(b"another")
    exporter.parts()
    wait_until(lambda: queue.pending == 0)
    page = samples(_page(exporter))
    for name in ("a.mp4", "x265/b.mp4"):
        labels = f'codec="",encoder="",model="vmaf_v0.6.1",output="",run_id="library",scenario="{name}"'
        assert page[f"qoe_vmaf_score{{{labels}}}"] == 80.0


def test_a_broken_list_of_pairs_hides_no_result(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.json"
    pairs.write_text('[{"reference": "a.mp4"}]')
    page = samples(render([collector(RUNS, pairs=pairs)]))
    reason = "pairs[0].distorted: expected a value, found none"
    assert page[f'qoe_pairs_error_info{{reason="{reason}"}}'] == 1
    assert page["qoe_files_refused"] == 2
    assert page[of("qoe_aligned", "lagging", "libsvtav1", output="")] == 0


def test_without_ffmpeg_the_scores_of_the_files_are_published(tmp_path: Path) -> None:
    write_run(tmp_path, RUN, 1000.0, ["a"])
    page = samples(render([collector(tmp_path)]))
    assert page['qoe_unscored{reason="no_ffmpeg"}'] == 1
    assert page["qoe_pending"] == 0


def test_mistakes_of_configuration_are_named() -> None:
    arguments = ["--workers", "0", "--model", "best", "--nice", "-5"]
    with pytest.raises(InputError) as caught:
        parse_options(EXPORTER, arguments, {})
    text = str(caught.value)
    assert "--workers: expected a whole number from 1 to 256" in text
    assert "--model: expected one of hd, 4k, neg, phone, v1" in text
    assert "--nice" in text


def test_two_ways_to_choose_a_model_contradict(tmp_path: Path) -> None:
    options = parse_options(EXPORTER, ["--model", "hd", "--codec-comparison"], {"RESULTS_DIR": str(tmp_path)})
    with pytest.raises(InputError, match="give only one of the two"):
        EXPORTER.build(options)


def _built(tmp_path: Path, *arguments: str) -> QoeCollector:
    options = parse_options(EXPORTER, arguments, {"RESULTS_DIR": str(tmp_path)})
    (built,) = EXPORTER.build(options)
    assert isinstance(built, QoeCollector)
    return built


def test_files_are_read_from_the_results_and_the_folders_that_were_named(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "media")
    built = _built(tmp_path, "--media-dir", f"{link}:{tmp_path / 'later'}")
    resolved = tmp_path.resolve()
    assert built._work.roots == (resolved, resolved / "media", resolved / "later")


def test_without_a_name_the_samples_may_be_read(tmp_path: Path) -> None:
    samples_folder = Path(__file__).parents[2] / "samples"
    assert _built(tmp_path)._work.roots == (tmp_path.resolve(), samples_folder.resolve())


def test_the_settings_of_the_scores_are_options(tmp_path: Path) -> None:
    built = _built(tmp_path, "--xpsnr", "--codec-comparison", "yes")
    assert built._work.settings == QualitySettings(xpsnr=True, codec_comparison=True)


def test_scores_are_kept_in_the_user_s_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_run(tmp_path, RUN, 1000.0, ["a"])
    built = _built(tmp_path)
    built.start()
    try:
        built.parts()
        wait_until(lambda: built._work.queue is not None and built._work.queue.pending == 0)
    finally:
        built.close()
    kept = list((tmp_path / "cache" / "wattframe" / "quality").iterdir())
    assert [path.suffix for path in kept] == [".json"]
    page = samples(_page(built))
    assert page['qoe_unscored{reason="damaged"}'] == 1  # its files are a few letters


def test_a_cache_that_cannot_be_written_is_said_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("logfmt", "info")
    assert _built(tmp_path, "--cache-dir", "/proc/none")._work.queue is not None
    (line,) = capsys.readouterr().out.splitlines()
    assert 'event="scores are kept in memory only" folder=/proc/none' in line


def test_a_machine_without_ffmpeg_still_publishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _built(tmp_path)._work.queue is None


def test_an_ffmpeg_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="/none: expected the path of an executable ffmpeg"):
        _built(tmp_path, "--ffmpeg", "/none")


@pytest.mark.ffmpeg
def test_a_restart_computes_nothing_again(tmp_path: Path) -> None:
    """The real exporter with the real ffmpeg, twice over one cache."""

    def ffmpeg(*arguments: str) -> None:
        subprocess.run([find_ffmpeg(), "-nostdin", "-v", "error", *arguments], cwd=tmp_path, check=True)

    write_run(tmp_path, RUN, 1000.0, ["a"])
    (tmp_path / "clip.mp4").unlink()
    (tmp_path / "a.mp4").unlink()
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=128x72:r=25:d=0.4", "-c:v", "libx264", "-qp", "0", "clip.mp4")
    ffmpeg("-i", "clip.mp4", "-c:v", "libx264", "-crf", "35", "a.mp4")
    arguments = ("--results-dir", str(tmp_path), "--cache-dir", str(tmp_path / "cache"))
    pages = []
    for _ in range(2):
        with served("exporters.qoe", *arguments) as exporter:
            url = f"{exporter.url}/metrics"
            wait_until(lambda url=url: "qoe_vmaf_score" in requests.get(url, timeout=60).text)  # type: ignore[misc]
            pages.append(samples(requests.get(url, timeout=60).content))
    score = of("qoe_vmaf_score", "a", output="", model="vmaf_v0.6.1")
    assert pages[0][score] == pages[1][score]
    counted = [
        [p[f'qoe_computations_total{{outcome="{kind}"}}'] for kind in ("scored", "cached")] for p in pages
    ]
    assert counted == [[1, 0], [0, 1]]
