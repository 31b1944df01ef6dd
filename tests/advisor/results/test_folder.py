"""The folder of result files: only what changed is read again."""

from __future__ import annotations

import contextlib
import cProfile
import errno
import json
import os
from pathlib import Path

import pytest

from advisor.errors import ResultFileError
from advisor.results import Run, Scenario, read_run, write_run
from advisor.results import folder as folder_module
from advisor.results.folder import ResultFolder


def put(folder: Path, run_id: str, *names: str, start: float | None = None) -> Path:
    path = folder / f"{run_id}.json"
    scenarios = tuple(Scenario(name=name, start_time=start) for name in names)
    write_run(Run(run_id=run_id, scenarios=scenarios), path)
    return path


def names(results: ResultFolder) -> dict[str, list[str]]:
    """The scenarios of each run after a look."""
    results.refresh()
    return {run_id: [s.name for s in one.run.scenarios] for run_id, one in results.shown.items()}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are read, in order."""
    seen: list[str] = []

    def counted(path: Path, *, keep_samples: bool) -> Run:
        seen.append(path.stem)
        return read_run(path, keep_samples=keep_samples)

    monkeypatch.setattr(folder_module, "read_run", counted)
    monkeypatch.setattr("advisor.common.regular_file._TICK_NS", 0)
    return seen


def test_only_files_that_changed_are_read_again(tmp_path: Path, reads: list[str]) -> None:
    put(tmp_path, "test_results_a", "one")
    put(tmp_path, "test_results_b", "one")
    results = ResultFolder(tmp_path)
    assert set(names(results)) == {"test_results_a", "test_results_b"}
    kept = results.shown["test_results_a"]
    put(tmp_path, "test_results_b", "one", "two")
    put(tmp_path, "test_results_c", "one")
    assert names(results)["test_results_b"] == ["one", "two"]
    assert results.shown["test_results_a"] is kept
    assert sorted(reads) == ["test_results_a", "test_results_b", "test_results_b", "test_results_c"]


def test_a_file_of_the_same_size_and_time_is_known_by_its_inode(tmp_path: Path) -> None:
    path = put(tmp_path, "test_results_a", "one")
    results = ResultFolder(tmp_path)
    results.refresh()
    stamp = path.stat().st_mtime_ns
    put(tmp_path, "test_results_a", "two")
    os.utime(path, ns=(stamp, stamp))
    assert names(results) == {"test_results_a": ["two"]}


def test_a_file_rewritten_in_place_with_its_size_and_time_is_read_again(tmp_path: Path) -> None:
    """Nothing but the change time tells."""
    path = put(tmp_path, "test_results_a", "one")
    results = ResultFolder(tmp_path)
    results.refresh()
    stamp = path.stat().st_mtime_ns
    path.write_bytes(path.read_bytes().replace(b"one", b"two"))
    os.utime(path, ns=(stamp, stamp))
    assert names(results) == {"test_results_a": ["two"]}


def test_a_clock_that_goes_back_hides_no_change(tmp_path: Path) -> None:
    path = put(tmp_path, "test_results_a", "one")
    results = ResultFolder(tmp_path)
    results.refresh()
    path.write_bytes(path.read_bytes().replace(b"one", b"two"))
    os.utime(path, ns=(0, 0))
    assert names(results) == {"test_results_a": ["two"]}


def test_a_deleted_file_is_forgotten_and_a_renamed_one_has_its_new_name(tmp_path: Path) -> None:
    path = put(tmp_path, "test_results_a", "one")
    put(tmp_path, "test_results_b", "one")
    results = ResultFolder(tmp_path)
    results.refresh()
    path.unlink()
    (tmp_path / "test_results_b.json").rename(tmp_path / "test_results_c.json")
    assert names(results) == {"test_results_c": ["one"]}


def test_a_broken_file_is_kept_apart_with_its_reason_and_tried_when_it_changes(
    tmp_path: Path, reads: list[str]
) -> None:
    put(tmp_path, "test_results_a", "one")
    broken = tmp_path / "test_results_b.json"
    broken.write_text("{")
    results = ResultFolder(tmp_path)
    assert list(names(results)) == ["test_results_a"]
    assert results.broken["test_results_b"].reason.startswith(f"{broken}: expected a JSON result file")
    results.refresh()
    assert reads.count("test_results_b") == 1
    put(tmp_path, "test_results_b", "whole")
    assert (names(results)["test_results_b"], dict(results.broken)) == (["whole"], {})


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.EMFILE, errno.ENOMEM])
def test_what_the_operating_system_refused_is_tried_at_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Though neither the file nor its times change."""
    put(tmp_path, "test_results_a", "one")
    results = ResultFolder(tmp_path)

    def refuse(path: Path, *, keep_samples: bool) -> Run:
        cause = OSError(number, os.strerror(number))
        raise ResultFileError(f"cannot be read: {cause.strerror}", subject=path) from cause

    with monkeypatch.context() as trouble:
        trouble.setattr(folder_module, "read_run", refuse)
        assert names(results) == {}
        assert results.broken["test_results_a"].reason.endswith(f"cannot be read: {os.strerror(number)}")
    assert names(results) == {"test_results_a": ["one"]}
    assert dict(results.broken) == {}


def test_a_look_that_fails_half_way_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it had read already is read again, what it had not reached is not lost."""
    put(tmp_path, "test_results_a", "one")
    gone = put(tmp_path, "test_results_b", "one")
    results = ResultFolder(tmp_path)
    results.refresh()
    gone.unlink()
    for run_id in ("test_results_c", "test_results_d", "test_results_e"):
        put(tmp_path, run_id, "one")
    left = [2]

    def exhausted(path: Path, *, keep_samples: bool) -> Run:
        left[0] -= 1
        if left[0] == 0:
            raise MemoryError
        return read_run(path, keep_samples=keep_samples)

    with monkeypatch.context() as trouble:
        trouble.setattr(folder_module, "read_run", exhausted)
        with pytest.raises(MemoryError):
            results.refresh()
    assert set(results.shown) == {"test_results_a", "test_results_b"}
    assert set(names(results)) == {f"test_results_{letter}" for letter in "acde"}


def test_a_file_that_breaks_shows_nothing_stale(tmp_path: Path) -> None:
    path = put(tmp_path, "test_results_a", "one")
    results = ResultFolder(tmp_path)
    results.refresh()
    path.write_text("")
    assert (names(results), list(results.broken)) == ({}, ["test_results_a"])
    path.unlink()
    results.refresh()
    assert dict(results.broken) == {}


def test_other_names_are_not_looked_at(tmp_path: Path) -> None:
    """Among them the temporary files of a writer at work."""
    for name in ("results.json", "test_results_a.txt", ".test_results_a.json.x.tmp", "test_results_a.json~"):
        (tmp_path / name).write_text("{")
    results = ResultFolder(tmp_path)
    assert (names(results), dict(results.broken)) == ({}, {})


def test_a_folder_that_is_not_there_yet_is_an_empty_one(tmp_path: Path) -> None:
    results = ResultFolder(tmp_path / "later")
    assert names(results) == {}
    (tmp_path / "later").mkdir()
    put(tmp_path / "later", "test_results_a", "one")
    assert names(results) == {"test_results_a": ["one"]}


def test_a_folder_that_is_gone_is_an_error_until_it_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    put(folder, "test_results_a", "one")
    results = ResultFolder(folder)
    results.refresh()
    folder.rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError):
        results.refresh()
    (tmp_path / "elsewhere").rename(folder)
    assert names(results) == {"test_results_a": ["one"]}


def test_a_folder_that_was_removed_behind_a_mount_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container sees the removed folder itself: it can be listed, is empty, and has no name left."""
    folder = tmp_path / "results"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    with pytest.raises(OSError, match="the folder was removed"):
        ResultFolder(".").refresh()


def test_a_file_that_says_the_same_again_is_the_same_run(tmp_path: Path) -> None:
    """Predictions are of a run: they would be gone until made anew."""
    put(tmp_path, "test_results_a", "one")
    results = ResultFolder(tmp_path)
    results.refresh()
    before = results.shown["test_results_a"].run
    put(tmp_path, "test_results_a", "one")
    results.refresh()
    assert results.shown["test_results_a"].run is before
    put(tmp_path, "test_results_a", "two")
    results.refresh()
    assert names(results) == {"test_results_a": ["two"]}


def test_a_file_system_that_counts_no_links_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As some in user space do: each stat says 0."""
    put(tmp_path, "test_results_a", "one")
    real = Path.stat
    monkeypatch.setattr(
        Path,
        "stat",
        lambda path, **kwargs: os.stat_result([*(real(path, **kwargs)[:3]), 0, *(real(path, **kwargs)[4:])]),
    )
    assert names(ResultFolder(tmp_path)) == {"test_results_a": ["one"]}


def test_what_is_no_file_is_broken_and_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "test_results_folder.json").mkdir()
    os.mkfifo(tmp_path / "test_results_pipe.json")
    (tmp_path / "test_results_gone.json").symlink_to("nowhere")
    (tmp_path / "test_results_loop.json").symlink_to("test_results_loop.json")
    results = ResultFolder(tmp_path)
    results.refresh()
    assert set(results.broken) == {"test_results_folder", "test_results_pipe", "test_results_loop"}


def test_a_name_that_is_no_text_is_refused_in_words(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/test_results_\xff.json"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    results = ResultFolder(tmp_path)
    results.refresh()
    (broken,) = results.broken.values()
    assert broken.reason == f"{tmp_path}/test_results_\\udcff.json: expected a name in UTF-8"


def test_a_folder_whose_files_may_not_be_looked_at_is_not_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mode 0744: names can be listed, files not."""
    put(tmp_path, "test_results_a", "one")
    results = ResultFolder(tmp_path)

    class Entry:
        name = "test_results_a.json"

        def stat(self) -> os.stat_result:
            raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as trouble:
        trouble.setattr(os, "scandir", lambda _: contextlib.nullcontext([Entry()]))
        assert names(results) == {}
    assert results.broken["test_results_a"].reason.endswith(": cannot be read: Permission denied")
    assert names(results) == {"test_results_a": ["one"]}


def test_a_link_whose_target_changes_is_read_again(tmp_path: Path) -> None:
    target = put(tmp_path, "elsewhere", "one")
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "test_results_a.json").symlink_to(target)
    results = ResultFolder(folder)
    results.refresh()
    put(tmp_path, "elsewhere", "two")
    assert names(results) == {"test_results_a": ["two"]}


def test_runs_are_ordered_by_start_and_not_by_name(tmp_path: Path) -> None:
    for run_id, start in (("a", 300.0), ("b", 100.0), ("c", None), ("d", 200.0)):
        put(tmp_path, f"test_results_{run_id}", "x", start=start)
    results = ResultFolder(tmp_path, runs=2)
    assert [run_id[-1] for run_id in names(ResultFolder(tmp_path))] == ["c", "b", "d", "a"]
    assert [run_id[-1] for run_id in names(results)] == ["d", "a"]
    put(tmp_path, "test_results_b", "x", start=400.0)
    results.refresh()
    assert [run_id[-1] for run_id in results.shown] == ["a", "b"]


def test_runs_too_old_to_be_shown_are_not_held(tmp_path: Path, reads: list[str]) -> None:
    """One is read again when it is to be shown, also where it came last to the folder."""
    for number in (3, 0, 2, 1):
        put(tmp_path, f"test_results_{number}", "x", start=100.0 * number)
    results = ResultFolder(tmp_path, runs=1)
    results.refresh()
    assert len(reads) == 4
    (tmp_path / "test_results_3.json").unlink()
    assert names(results) == {"test_results_2": ["x"]}
    assert reads[4:] == ["test_results_2"]


def test_beyond_the_limit_the_oldest_runs_are_left_out_and_counted(tmp_path: Path) -> None:
    for number in range(4):
        put(tmp_path, f"test_results_{number}", "x", "y", start=100.0 * number)
    results = ResultFolder(tmp_path, runs=3, max_scenarios=5)
    results.refresh()
    assert (list(results.shown), results.dropped) == (["test_results_2", "test_results_3"], 2)


def test_a_file_that_goes_while_it_is_read_is_broken_until_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path, "test_results_a", "one")
    results = ResultFolder(tmp_path)

    def late(path: Path, *, keep_samples: bool) -> Run:
        path.unlink()
        return read_run(path, keep_samples=keep_samples)

    monkeypatch.setattr(folder_module, "read_run", late)
    results.refresh()
    assert list(results.broken) == ["test_results_a"]
    assert not path.exists()
    results.refresh()
    assert dict(results.broken) == {}


def test_a_file_changed_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stamp is taken before the content, so that the newer content is never missed."""
    put(tmp_path, "test_results_a", "one")
    results = ResultFolder(tmp_path)

    def overtaken(path: Path, *, keep_samples: bool) -> Run:
        run = read_run(path, keep_samples=keep_samples)
        put(tmp_path, "test_results_a", "two")
        return run

    monkeypatch.setattr(folder_module, "read_run", overtaken)
    results.refresh()
    monkeypatch.setattr(folder_module, "read_run", read_run)
    assert names(results) == {"test_results_a": ["two"]}


def test_the_views_cannot_be_changed(tmp_path: Path) -> None:
    results = ResultFolder(tmp_path)
    with pytest.raises(TypeError):
        results.shown["x"] = None  # type: ignore[index]


def test_a_folder_that_may_not_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read any folder")
    tmp_path.chmod(0)
    try:
        with pytest.raises(PermissionError, match=str(tmp_path)):
            ResultFolder(tmp_path).refresh()
    finally:
        tmp_path.chmod(0o700)


def test_json_of_another_kind_beside_is_broken_not_fatal(tmp_path: Path) -> None:
    for number, document in enumerate(
        (5, "x", None, [], {"scenarios": 5}, {"scenarios": [{"name": "good"}, 5]})
    ):
        (tmp_path / f"test_results_{number}.json").write_text(json.dumps(document))
    results = ResultFolder(tmp_path)
    assert names(results) == {"test_results_5": ["good"]}
    assert len(results.broken) == 5


def test_of_more_runs_than_memory_the_newest_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten scenarios are thought to take 20 kB; a fifth of 250 kB holds two such runs."""
    monkeypatch.setattr(folder_module, "memory_bytes", lambda: (250_000, 0))
    for letter in "abc":
        put(tmp_path, f"test_results_{letter}", *map(str, range(10)))
    results = ResultFolder(tmp_path)
    assert set(names(results)) == {"test_results_b", "test_results_c"}
    assert "left beside newer files" in results.broken["test_results_a"].reason
    (tmp_path / "test_results_c.json").unlink()
    assert set(names(results)) == {"test_results_a", "test_results_b"}
    assert dict(results.broken) == {}


def test_a_folder_that_rests_costs_one_listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exporters look twice a second: the memory there is matters when there is something to read."""
    put(tmp_path, "test_results_a", "x")
    results = ResultFolder(tmp_path)
    asked: list[int] = []
    monkeypatch.setattr(folder_module, "memory_bytes", lambda: asked.append(1) or (1 << 30, 0))
    monkeypatch.setattr("advisor.common.regular_file.time.time_ns", lambda: 0)  # long after the last change
    for _ in range(3):
        assert names(results) == {"test_results_a": ["x"]}
    assert len(asked) == 1


def test_the_work_for_a_file_is_the_same_among_many(tmp_path: Path) -> None:
    """Counted in calls, which no load of the machine changes."""

    def calls(count: int) -> int:
        folder = tmp_path / str(count)
        folder.mkdir()
        for number in range(count):
            put(folder, f"test_results_20260101_{number:06d}", "s", start=float(number))
        profile = cProfile.Profile()
        profile.runcall(ResultFolder(folder, runs=2).refresh)
        return sum(entry.callcount for entry in profile.getstats())

    calls(10)  # what is imported at first use
    assert calls(600) < 8 * calls(100)
