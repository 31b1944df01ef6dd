"""The cache by content, the queue, and lists of pairs."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from advisor.errors import FfmpegError, MediaError
from advisor.quality.cache import QualityCache, Record, content_key, file_digest
from advisor.quality.entries import answered, entries_of, with_scores
from advisor.quality.pairs import read_pairs
from advisor.quality.queue import QualityJob, QualityOutcome, QualityQueue, perform, stamped
from advisor.quality.settings import QualitySettings
from advisor.results import InputMedia, Output, Quality, Run, Scenario, Vmaf
from advisor.video.ffmpeg import find_ffmpeg
from tests.support.waiting import wait_until


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    (tmp_path / "ref").write_bytes(b"reference")
    (tmp_path / "out").write_bytes(b"encode")
    return tmp_path / "ref", tmp_path / "out"


@pytest.fixture
def queues() -> Iterator[Callable[..., QualityQueue]]:
    opened: list[QualityQueue] = []

    def open_queue(
        answer: Callable[[QualityJob, Callable[[], None]], QualityOutcome],
        workers: int = 1,
        retry_seconds: float = 10.0,
    ) -> QualityQueue:
        opened.append(QualityQueue(answer, workers=workers, retry_seconds=retry_seconds))
        opened[-1].start()
        return opened[-1]

    yield open_queue
    for queue in opened:
        queue.close()


SCORED = Record(quality=Quality(aligned=True, vmaf=Vmaf(mean=80.0)))


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    """BLAKE2b of 20 bytes, as b2sum -l 160 prints it."""
    (tmp_path / "a").write_bytes(b"abc")
    said = subprocess.run(["b2sum", "-l", "160", tmp_path / "a"], capture_output=True, text=True, check=True)
    assert file_digest(tmp_path / "a") == said.stdout.split()[0]


def test_a_key_depends_on_both_files_and_every_setting() -> None:
    base = content_key("r", "d", QualitySettings())
    others = [
        content_key("d", "r", QualitySettings()),
        content_key("r", "d2", QualitySettings()),
        *(content_key("r", "d", s) for s in (QualitySettings(model="hd"), QualitySettings(xpsnr=True))),
        content_key("r", "d", QualitySettings(reference_loops=-1)),
    ]
    assert len({base, *others}) == 6
    assert content_key("r", "d", QualitySettings()) == base


def test_a_record_outlives_the_process_that_wrote_it(tmp_path: Path) -> None:
    assert QualityCache(tmp_path / "c").put("k", SCORED)
    assert QualityCache(tmp_path / "c").get("k") == SCORED
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["k.json"]


def test_a_broken_record_is_no_record(tmp_path: Path) -> None:
    (tmp_path / "k.json").write_text('{"quality": {"aligned"')
    assert QualityCache(tmp_path).get("k") is None


def test_a_cache_that_cannot_be_written_still_remembers(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = QualityCache(tmp_path / "file" / "below")
    assert cache.put("k", SCORED) is False
    assert cache.get("k") == SCORED


def test_a_record_holds_no_path(tmp_path: Path) -> None:
    quality = Quality(aligned=True, vmaf=Vmaf(mean=80.0), reference="/home/me/a", distorted="/home/me/b")
    QualityCache(tmp_path).put("k", Record(quality=quality))
    assert "/home" not in (tmp_path / "k.json").read_text()


def test_copies_are_answered_from_the_cache_under_their_own_names(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    cache = QualityCache(tmp_path / "c")
    key = content_key(file_digest(pair[0]), file_digest(pair[1]), QualitySettings())
    cache.put(key, SCORED)
    copy = shutil.copy(pair[1], tmp_path / "copy")
    outcome = perform(stamped(pair[0], Path(copy), QualitySettings()), cache, ffmpeg="/none")
    assert outcome.cached
    assert outcome.quality is not None
    assert outcome.quality.distorted == str(copy)


def test_a_damaged_file_is_tried_once(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """The files are no videos."""
    job, cache = stamped(*pair, QualitySettings()), QualityCache(tmp_path / "c")
    first = perform(job, cache, ffmpeg=str(find_ffmpeg()))
    assert (first.kind, first.cached) == ("damaged", False)
    assert first.failure is not None
    assert first.failure.startswith("the reference expected a video file")
    assert perform(job, cache).cached


def test_an_ffmpeg_that_is_not_there_is_waited_for(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """While it is exchanged, for instance; however often it was tried."""
    job, cache = stamped(*pair, QualitySettings()), QualityCache(tmp_path / "c")
    tries = [perform(job, cache, ffmpeg="/no/ffmpeg") for _ in range(4)]
    assert {(outcome.kind, outcome.passing, outcome.cached) for outcome in tries} == {("failed", True, False)}
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (FfmpegError("ffmpeg: cannot be run"), errno.EAGAIN),
        (FfmpegError("ffmpeg: cannot be run"), errno.ENOMEM),
        (MediaError("expected a video file", subject="x"), errno.EMFILE),
    ],
)
def test_what_the_system_refused_is_tried_again_and_not_kept(
    error: Exception, refusal: int, pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise error from OSError(refusal, os.strerror(refusal))

    monkeypatch.setattr("advisor.quality.measure.measure", refused)
    job, cache = stamped(*pair, QualitySettings()), QualityCache(tmp_path / "c")
    tries = [perform(job, cache) for _ in range(4)]
    assert {(outcome.passing, outcome.cached) for outcome in tries} == {(True, False)}


def test_a_file_that_vanished_is_a_failure_that_is_not_kept(pair: tuple[Path, Path], tmp_path: Path) -> None:
    job = stamped(*pair, QualitySettings())
    pair[1].unlink()
    outcome = perform(job, QualityCache(tmp_path / "c"))
    assert (outcome.kind, outcome.failure) == ("damaged", "cannot be read: No such file or directory")
    assert not (tmp_path / "c").exists()


def test_a_file_that_was_exchanged_while_it_waited_is_not_read(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    """A link to elsewhere that is put in the place of an output after it was looked at."""
    job = stamped(*pair, QualitySettings())
    elsewhere = tmp_path / "elsewhere.mp4"
    elsewhere.write_bytes(b"private")
    pair[1].unlink()
    pair[1].symlink_to(elsewhere)
    found = perform(job, QualityCache(tmp_path / "cache"))
    assert (found.kind, found.failure) == ("damaged", "was replaced while it waited")


def test_a_job_travels_between_processes(pair: tuple[Path, Path]) -> None:
    job = stamped(*pair, QualitySettings(extra_models=("neg",)))
    assert pickle.loads(pickle.dumps(job)) == job  # noqa: S301 -- our own bytes


def _jobs(count: int) -> list[QualityJob]:
    return [QualityJob("r", f"d{n}", QualitySettings(), (1, 1, 1), (1, 1, n)) for n in range(count)]


def test_every_job_is_answered_once_by_several_workers(queues: Callable[..., QualityQueue]) -> None:
    asked: list[str] = []
    queue = queues(
        lambda job, check: (asked.append(job.distorted), QualityOutcome(kind="scored"))[1], workers=4
    )
    jobs = _jobs(50)
    for _ in range(5):
        queue.want(jobs)
    wait_until(lambda: queue.pending == 0)
    queue.want(jobs)
    assert sorted(asked) == sorted(job.distorted for job in jobs)
    assert queue.counts == {"scored": 50}


def test_what_is_wanted_first_is_done_first(queues: Callable[..., QualityQueue]) -> None:
    asked: list[QualityJob] = []
    gate = threading.Event()

    def answer(job: QualityJob, check: Callable[[], None]) -> QualityOutcome:
        asked.append(job)
        gate.wait(60)
        return QualityOutcome(kind="scored")

    queue = queues(answer)
    jobs = _jobs(3)
    queue.want(jobs[:2])
    wait_until(lambda: len(asked) == 1)
    queue.want([jobs[2], *jobs[:2]])
    gate.set()
    wait_until(lambda: queue.pending == 0)
    assert asked == [jobs[0], jobs[2], jobs[1]]


def test_an_answer_that_nobody_wants_any_more_is_forgotten(queues: Callable[..., QualityQueue]) -> None:
    queue = queues(lambda job, check: QualityOutcome(kind="scored"))
    jobs = _jobs(2)
    queue.want(jobs)
    wait_until(lambda: queue.pending == 0)
    queue.want(jobs[:1])
    assert queue.outcome(jobs[0]) is not None
    assert queue.outcome(jobs[1]) is None


def test_an_unexpected_failure_does_not_end_the_worker(queues: Callable[..., QualityQueue]) -> None:
    def answer(job: QualityJob, check: Callable[[], None]) -> QualityOutcome:
        if job.distorted == "d0":
            raise ZeroDivisionError("by chance")
        return QualityOutcome(kind="scored")

    queue = queues(answer)
    jobs = _jobs(2)
    queue.want(jobs)
    wait_until(lambda: queue.pending == 0)
    failed = queue.outcome(jobs[0])
    assert failed is not None
    assert (failed.kind, failed.failure) == ("failed", "ZeroDivisionError: by chance")


def test_closing_ends_a_measurement_in_its_middle(queues: Callable[..., QualityQueue]) -> None:
    inside = threading.Event()

    def answer(job: QualityJob, check: Callable[[], None]) -> QualityOutcome:
        inside.set()
        while True:
            check()
            time.sleep(0.005)

    queue = queues(answer)
    queue.want(_jobs(1))
    assert inside.wait(60)
    queue.close()
    assert not any(thread.is_alive() for thread in queue._threads)
    assert queue.counts == {}


def test_one_content_is_never_measured_twice_at_a_time(tmp_path: Path) -> None:
    """Two names of the same bytes, asked for at the same moment."""
    cache = QualityCache(tmp_path)
    inside = 0
    most = 0

    def work() -> None:
        nonlocal inside, most
        with cache.only_one("k"):
            inside += 1
            most = max(most, inside)
            time.sleep(0.01)
            inside -= 1

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_list_of_pairs_is_relative_to_its_folder(tmp_path: Path) -> None:
    lines = (
        "- {reference: a.mkv, distorted: sub/b.mp4, name: mine, codec_comparison: true}",
        "- {reference: a.mkv, distorted: /c.mp4, reference_loops: -1}",
    )
    (tmp_path / "list.yaml").write_text("\n".join(lines))
    first, second = read_pairs(tmp_path / "list.yaml", QualitySettings(xpsnr=True)).pairs
    assert (first.name, first.distorted) == ("mine", tmp_path / "sub" / "b.mp4")
    assert first.settings == QualitySettings(xpsnr=True, codec_comparison=True)
    assert (second.name, second.distorted) == ("/c.mp4", Path("/c.mp4"))
    assert second.settings == QualitySettings(xpsnr=True, reference_loops=-1)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[{reference: a}]", "pairs[0].distorted: expected a value, found none"),
        ("[{reference: a, distorted: b, nmae: c}]", "pairs[0].nmae: did you mean name?"),
        ("[{reference: a, distorted: 3}]", "pairs[0].distorted: expected a text, found 3"),
        ("[7]", "pairs[0]: expected a mapping, found 7"),
        (
            "[{reference: a, distorted: b, reference_loops: -2}]",
            "pairs[0].reference_loops: expected -1 or more, found -2",
        ),
        ("{a: 1}", "expected a list of pairs"),
    ],
)
def test_a_broken_list_names_the_place(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "l.yaml").write_text(text)
    found = read_pairs(tmp_path / "l.yaml", QualitySettings())
    assert (found.pairs, found.problems) == ([], [problem])


def test_a_list_is_json_as_other_programs_write_it(tmp_path: Path) -> None:
    """With tabs, and a character outside the first plane in its two halves."""
    text = json.dumps([{"reference": "a", "distorted": "\U0001f600"}], indent="\t")
    (tmp_path / "l.json").write_text(text)
    found = read_pairs(tmp_path / "l.json", QualitySettings())
    assert [pair.distorted.name for pair in found.pairs] == ["\U0001f600"]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ('[{"reference": "a", "distorted": "b"},]', 1),
        ('# ours\n[{"reference": "a", "distorted": "b"}]', 1),
    ],
)
def test_a_list_that_is_json_by_name_may_be_as_yaml_has_it(tmp_path: Path, text: str, count: int) -> None:
    (tmp_path / "l.json").write_text(text)
    found = read_pairs(tmp_path / "l.json", QualitySettings())
    assert (len(found.pairs), found.problems) == (count, [])


def test_a_name_that_is_there_twice_is_told(tmp_path: Path) -> None:
    (tmp_path / "l.json").write_text('[{"reference": "a", "reference": "c", "distorted": "b"}]')
    (problem,) = read_pairs(tmp_path / "l.json", QualitySettings()).problems
    assert problem.endswith("expected each name once, found 'reference' twice")


def test_text_that_is_no_yaml_has_one_problem(tmp_path: Path) -> None:
    (tmp_path / "l.yaml").write_text("[")
    (problem,) = read_pairs(tmp_path / "l.yaml", QualitySettings()).problems
    assert problem.startswith("expected a YAML or JSON list of pairs: ")


def test_a_wrong_entry_hides_none_beside_it(tmp_path: Path) -> None:
    (tmp_path / "l.yaml").write_text(
        "- {reference: a, distorted: one}\n- {reference: a}\n"
        "- {reference: a, distorted: two, name: same}\n- {reference: a, distorted: three, name: same}\n"
        "- {reference: a, distorted: four, model: vmaf_none}\n- {reference: a, distorted: five}\n"
    )
    found = read_pairs(tmp_path / "l.yaml", QualitySettings())
    assert [pair.name for pair in found.pairs] == ["one", "five"]
    assert [problem.partition(":")[0] for problem in found.problems] == [
        *("pairs[1].distorted", "pairs[4].model", "same"),
    ]


def test_in_a_folder_the_nearest_reference_counts(tmp_path: Path) -> None:
    """``reference.*`` beside a video or in the nearest folder above; other files than videos do not count."""
    names = (
        "reference.mkv",
        "a.mp4",
        "notes.txt",
        ".hidden.mp4",
        "x265/b.MP4",
        "other/reference.y4m",
        "other/deep/c.webm",
    )
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = read_pairs(tmp_path, QualitySettings(xpsnr=True))
    assert [(pair.name, pair.reference.relative_to(tmp_path).as_posix()) for pair in found.pairs] == [
        ("a.mp4", "reference.mkv"),
        ("other/deep/c.webm", "other/reference.y4m"),
        ("x265/b.MP4", "reference.mkv"),
    ]
    assert found.problems == []
    assert {pair.settings for pair in found.pairs} == {QualitySettings(xpsnr=True)}


def test_a_folder_says_where_a_reference_is_missing_or_one_too_many(tmp_path: Path) -> None:
    for name in (
        "none/a.mp4",
        "two/reference.mp4",
        "two/reference.mkv",
        "two/b.mp4",
        "good/reference.mp4",
        "good/c.mp4",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = read_pairs(tmp_path, QualitySettings())
    assert [pair.name for pair in found.pairs] == ["good/c.mp4"]
    assert found.problems == [
        "none: expected a video named reference, found none",
        "two: expected one reference, found reference.mkv, reference.mp4",
    ]


def test_a_file_name_that_is_no_text_is_shown_as_far_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "reference.mkv").touch()
    (tmp_path / os.fsdecode(b"caf\xe9.mp4")).touch()
    (pair,) = read_pairs(tmp_path, QualitySettings()).pairs
    assert pair.name == "caf\N{REPLACEMENT CHARACTER}.mp4"
    assert pair.distorted.is_file()


def _scenario(**more: object) -> Scenario:
    return Scenario(name="s", **more)  # type: ignore[arg-type]


def _entries(scenario: Scenario, folder: Path) -> list[tuple[str, str | None]]:
    run = Run(run_id="r", scenarios=(scenario,))
    found = entries_of(run, scenario, folder, (folder.resolve(),), QualitySettings())
    return [(entry.output, entry.kind) for entry in found]


def test_scores_of_the_whole_scenario_are_taken_as_they_are(tmp_path: Path) -> None:
    scenario = _scenario(vmaf_score=90.0, outputs=[Output(path="gone.mp4")])
    run = Run(run_id="r", scenarios=(scenario,))
    (entry,) = entries_of(run, scenario, tmp_path, (tmp_path,), QualitySettings())
    assert entry.job is None
    assert entry.quality is not None
    assert entry.quality.vmaf == Vmaf(mean=90.0)
    assert entry.quality.aligned is None


def test_failed_scenarios_and_baselines_have_no_entries(tmp_path: Path) -> None:
    assert _entries(_scenario(status="failed", vmaf_score=90.0), tmp_path) == []
    assert _entries(_scenario(type="baseline"), tmp_path) == []


def test_the_reference_is_read_and_filtered_as_the_encode_was(pair: tuple[Path, Path]) -> None:
    reference, distorted = pair
    scenario = _scenario(
        input=InputMedia(path=str(reference), loops=-1),
        filters="crop=iw:100, hqdn3d, yadif",
        outputs=[Output(path=str(distorted))],
    )
    run, folder = Run(run_id="r", scenarios=(scenario,)), reference.parent
    (entry,) = entries_of(run, scenario, folder, (folder.resolve(),), QualitySettings())
    expected = QualitySettings(reference_loops=-1, reference_filter="crop=iw:100,yadif")
    assert entry.job == stamped(reference, distorted, expected)


def test_each_rung_of_a_ladder_has_an_entry(tmp_path: Path) -> None:
    quality = Quality(aligned=True, vmaf=Vmaf(mean=70.0))
    rungs = [
        Output(resolution="640x360", bitrate="800k", quality=quality),
        Output(resolution="1280x720", bitrate="2M"),
    ]
    found = _entries(_scenario(outputs=rungs), tmp_path)
    assert found == [("640x360@800k", None), ("1280x720@2M", "not_kept")]


def test_a_scenario_has_a_score_only_when_every_output_has(tmp_path: Path) -> None:
    good = Quality(aligned=True, vmaf=Vmaf(mean=70.0))
    scenario = _scenario(outputs=[Output(quality=good), Output()])
    run = Run(run_id="r", scenarios=(scenario,))
    entries = entries_of(run, scenario, tmp_path, (tmp_path,), QualitySettings())
    assert with_scores(scenario, entries) is None
    whole = _scenario(outputs=[Output(quality=good), Output(quality=good)])
    entries = entries_of(run, whole, tmp_path, (tmp_path,), QualitySettings())
    assert with_scores(whole, entries) == whole


def test_an_answer_without_scores_keeps_its_reason(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    from advisor.quality.entries import Entry

    entry = Entry("", job=stamped(*pair, QualitySettings()))
    unaligned = QualityOutcome(Quality(aligned=False, reason="it lags"), kind="unaligned")
    found = answered(entry, lambda job: unaligned)
    assert (found.kind, found.reason, found.job) == ("unaligned", "it lags", None)
    assert answered(entry, lambda job: None) is entry


def test_a_failure_that_may_pass_is_tried_again_and_shown_meanwhile(
    queues: Callable[..., QualityQueue],
) -> None:
    tries: list[str] = []

    def answer(job: QualityJob, check: Callable[[], None]) -> QualityOutcome:
        tries.append(job.distorted)
        if len(tries) < 3:
            return QualityOutcome(failure="cannot be read", kind="damaged", passing=True)
        return QualityOutcome(kind="scored")

    queue = queues(answer, retry_seconds=0.01)
    (job,) = _jobs(1)
    seen: set[str] = set()

    def scored() -> bool:
        queue.want([job])
        outcome = queue.outcome(job)
        seen.update([outcome.kind] if outcome is not None else [])
        return outcome is not None and outcome.kind == "scored"

    wait_until(scored)
    assert tries == ["d0"] * 3
    assert seen <= {"damaged", "scored"}


def test_a_score_whose_ffmpeg_was_killed_is_tried_three_times(
    pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the documentation says; the record on disk counts."""
    tries: list[str] = []

    def killed(*_: object, **__: object) -> None:
        tries.append("killed")
        raise FfmpegError("ffmpeg was killed by SIGKILL")

    monkeypatch.setattr("advisor.quality.measure.measure", killed)
    job, cache = stamped(*pair, QualitySettings()), QualityCache(tmp_path / "cache")
    assert [perform(job, cache).passing for _ in range(4)] == [True, True, False, False]
    assert len(tries) == 3
