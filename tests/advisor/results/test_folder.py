"""The folder of result files: only what changed is read again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from advisor.results import Run, Scenario, read_run, write_run
from advisor.results import folder as store_module
from advisor.results.folder import Changes, ResultStore


def put(folder: Path, run_id: str, *names: str, start: float | None = None) -> Path:
    path = folder / f"{run_id}.json"
    scenarios = tuple(Scenario(name=name, start_time=start) for name in names)
    write_run(Run(run_id=run_id, scenarios=scenarios), path)
    return path


def names(store: ResultStore) -> dict[str, list[str]]:
    return {run_id: [s.name for s in run.scenarios] for run_id, run in store.runs.items()}


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are read, in order."""
    seen: list[str] = []

    def counted(path: Path) -> Run:
        seen.append(path.stem)
        return read_run(path)

    monkeypatch.setattr(store_module, "read_run", counted)
    return seen


def test_only_files_that_changed_are_read_again(tmp_path: Path, reads: list[str]) -> None:
    put(tmp_path, "test_results_a", "one")
    put(tmp_path, "test_results_b", "one")
    store = ResultStore(tmp_path)
    assert store.refresh() == Changes(added=frozenset({"test_results_a", "test_results_b"}))
    assert not store.refresh()
    put(tmp_path, "test_results_b", "one", "two")
    put(tmp_path, "test_results_c", "one")
    changes = store.refresh()
    assert changes == Changes(added=frozenset({"test_results_c"}), changed=frozenset({"test_results_b"}))
    assert sorted(reads) == ["test_results_a", "test_results_b", "test_results_b", "test_results_c"]
    assert names(store)["test_results_b"] == ["one", "two"]


def test_a_file_of_the_same_size_and_time_is_known_by_its_inode(tmp_path: Path) -> None:
    path = put(tmp_path, "test_results_a", "one")
    store = ResultStore(tmp_path)
    store.refresh()
    stamp = path.stat().st_mtime_ns
    put(tmp_path, "test_results_a", "two")
    os.utime(path, ns=(stamp, stamp))
    assert store.refresh() == Changes(changed=frozenset({"test_results_a"}))
    assert names(store) == {"test_results_a": ["two"]}


def test_a_clock_that_goes_back_hides_no_change(tmp_path: Path) -> None:
    path = put(tmp_path, "test_results_a", "one")
    store = ResultStore(tmp_path)
    store.refresh()
    path.write_bytes(path.read_bytes().replace(b"one", b"two"))
    os.utime(path, ns=(0, 0))
    assert store.refresh().changed == {"test_results_a"}
    assert names(store) == {"test_results_a": ["two"]}


def test_a_deleted_file_is_forgotten(tmp_path: Path) -> None:
    path = put(tmp_path, "test_results_a", "one")
    put(tmp_path, "test_results_b", "one")
    store = ResultStore(tmp_path)
    store.refresh()
    path.unlink()
    assert store.refresh() == Changes(removed=frozenset({"test_results_a"}))
    assert list(store.runs) == ["test_results_b"]


def test_a_renamed_file_is_one_gone_and_one_new(tmp_path: Path) -> None:
    put(tmp_path, "test_results_b", "one")
    store = ResultStore(tmp_path)
    store.refresh()
    (tmp_path / "test_results_b.json").rename(tmp_path / "test_results_c.json")
    assert store.refresh() == Changes(
        added=frozenset({"test_results_c"}), removed=frozenset({"test_results_b"})
    )
    assert store.runs["test_results_c"].run_id == "test_results_c"


def test_a_broken_file_is_kept_apart_with_its_reason_and_tried_when_it_changes(
    tmp_path: Path, reads: list[str]
) -> None:
    put(tmp_path, "test_results_a", "one")
    broken = tmp_path / "test_results_b.json"
    broken.write_text("{")
    store = ResultStore(tmp_path)
    store.refresh()
    assert list(store.runs) == ["test_results_a"]
    assert store.broken["test_results_b"].reason.startswith(f"{broken}: expected a JSON result file")
    store.refresh()
    assert reads.count("test_results_b") == 1
    put(tmp_path, "test_results_b", "whole")
    assert store.refresh().changed == {"test_results_b"}
    assert (names(store)["test_results_b"], dict(store.broken)) == (["whole"], {})


def test_a_file_that_breaks_shows_nothing_stale(tmp_path: Path) -> None:
    path = put(tmp_path, "test_results_a", "one")
    store = ResultStore(tmp_path)
    store.refresh()
    path.write_text("")
    store.refresh()
    assert (dict(store.runs), list(store.broken)) == ({}, ["test_results_a"])
    path.unlink()
    store.refresh()
    assert dict(store.broken) == {}


def test_other_names_are_not_looked_at(tmp_path: Path) -> None:
    """Among them the temporary files of a writer at work."""
    for name in ("results.json", "test_results_a.txt", ".test_results_a.json.x.tmp", "test_results_a.json~"):
        (tmp_path / name).write_text("{")
    store = ResultStore(tmp_path)
    assert not store.refresh()


def test_a_folder_that_comes_and_goes_is_an_empty_one(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    store = ResultStore(folder)
    assert not store.refresh()
    folder.mkdir()
    path = put(folder, "test_results_a", "one")
    assert store.refresh().added == {"test_results_a"}
    path.unlink()
    folder.rmdir()
    assert store.refresh().removed == {"test_results_a"}


def test_what_is_no_file_is_broken_and_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "test_results_folder.json").mkdir()
    os.mkfifo(tmp_path / "test_results_pipe.json")
    (tmp_path / "test_results_loop.json").symlink_to("test_results_loop.json")
    (tmp_path / "test_results_gone.json").symlink_to("nowhere")
    store = ResultStore(tmp_path)
    store.refresh()
    assert set(store.broken) == {"test_results_folder", "test_results_pipe"}


def test_a_link_whose_target_changes_is_read_again(tmp_path: Path) -> None:
    target = put(tmp_path, "elsewhere", "one")
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "test_results_a.json").symlink_to(target)
    store = ResultStore(folder)
    store.refresh()
    put(tmp_path, "elsewhere", "two")
    assert store.refresh().changed == {"test_results_a"}
    assert names(store) == {"test_results_a": ["two"]}


def test_runs_are_ordered_by_start_and_not_by_name(tmp_path: Path) -> None:
    for run_id, start in (("a", 300.0), ("b", 100.0), ("c", None), ("d", 200.0)):
        put(tmp_path, f"test_results_{run_id}", "x", start=start)
    store = ResultStore(tmp_path)
    store.refresh()
    assert [r.run_id[-1] for r in store.ordered()] == ["c", "b", "d", "a"]
    assert [r.run_id[-1] for r in store.newest(2)] == ["a", "d"]
    put(tmp_path, "test_results_b", "x", start=400.0)
    store.refresh()
    assert [r.run_id[-1] for r in store.newest(2)] == ["b", "a"]


def test_a_file_that_goes_while_it_is_read_is_broken_until_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path, "test_results_a", "one")
    store = ResultStore(tmp_path)

    def late(path: Path) -> Run:
        path.unlink()
        return read_run(path)

    monkeypatch.setattr(store_module, "read_run", late)
    store.refresh()
    assert list(store.broken) == ["test_results_a"]
    assert not path.exists()
    store.refresh()
    assert dict(store.broken) == {}


def test_a_file_changed_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stamp is taken before the content, so that the newer content is never missed."""
    put(tmp_path, "test_results_a", "one")
    store = ResultStore(tmp_path)

    def overtaken(path: Path) -> Run:
        run = read_run(path)
        put(tmp_path, "test_results_a", "two")
        return run

    monkeypatch.setattr(store_module, "read_run", overtaken)
    store.refresh()
    monkeypatch.setattr(store_module, "read_run", read_run)
    assert store.refresh().changed == {"test_results_a"}
    assert names(store) == {"test_results_a": ["two"]}


def test_the_views_cannot_be_changed(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    with pytest.raises(TypeError):
        store.runs["x"] = Run(run_id="x", scenarios=())  # type: ignore[index]


def test_a_folder_that_may_not_be_read_is_an_error_that_names_it(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read any folder")
    tmp_path.chmod(0)
    try:
        with pytest.raises(PermissionError, match=str(tmp_path)):
            ResultStore(tmp_path).refresh()
    finally:
        tmp_path.chmod(0o700)


def test_json_of_another_kind_beside_is_broken_not_fatal(tmp_path: Path) -> None:
    for number, document in enumerate(
        (5, "x", None, [], {"scenarios": 5}, {"scenarios": [{"name": "good"}, 5]})
    ):
        (tmp_path / f"test_results_{number}.json").write_text(json.dumps(document))
    store = ResultStore(tmp_path)
    store.refresh()
    assert len(store.broken) == 5
    assert names(store) == {"test_results_5": ["good"]}
