"""The store of models: whatever moment a writer dies at, and whoever reads meanwhile."""

from __future__ import annotations

import functools
import itertools
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from advisor.errors import ModelError
from advisor.regression import registry
from advisor.regression.features import Case
from advisor.regression.fitting import train
from advisor.regression.model import TrainedModel
from advisor.regression.model_file import dumps, library_versions
from advisor.regression.registry import Manifest


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    cases = [
        Case(
            run_id="r", scenario=f"s{i}", hardware="lab-1", encoder="libx264", video="clip", streams=1,
            video_seconds=10.0, numbers={"log_bitrate_kbps": 6 + i / 3}, tier="measured",
            targets={"mean_power_watts": 40.0 + 5 * i},
        )
        for i in range(8)
    ]  # fmt: skip
    return train(cases)


@pytest.fixture(autouse=True)
def _stored_bytes(trained: TrainedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model is turned into bytes once, not at each of a hundred savings."""
    data = dumps(trained)
    monkeypatch.setattr("advisor.regression.model_file.dumps", lambda _: data)


def _manifest(trained: TrainedModel) -> Manifest:
    return Manifest(
        version="", created="2026-01-01T00:00:00+00:00", created_unix_seconds=1767225600.0,
        hardware_id="lab-1", hardware_known=("lab-1",), encoders_known=("libx264",),
        feature_names=trained.matrix.columns, tier="measured", training_scenarios=8,
        training_configurations=8, training_data_sha256="", grouped_by="configuration", targets={},
        library_versions=library_versions(), files_sha256={},
    )  # fmt: skip


def _retrain(models: Path, trained: TrainedModel) -> Manifest:
    """All that a retraining writes."""
    made = registry.save(models, trained, _manifest(trained))
    promoted = registry.promote(models, "lab-1", made.version, reason="not worse")
    registry.prune(models, "lab-1", 1)
    return promoted


class _KilledError(BaseException):
    """Nothing catches it, as nothing catches a kill."""


def _killed_at(step: int, work: Callable[[], Any]) -> bool:
    """Stop ``work`` before its ``step``-th line inside the registry; False when it was done before."""
    passed = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal passed
        if frame.f_code.co_filename != registry.__file__:
            return None
        passed += event == "line"
        if passed == step:
            sys.settrace(None)
            raise _KilledError
        return trace

    former = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except _KilledError:
        return True
    finally:
        sys.settrace(former)
    return False


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # files that it left open
def test_a_writer_that_dies_at_any_step_leaves_a_model_in_service(
    tmp_path: Path, trained: TrainedModel
) -> None:
    """Before each line that it runs there, from the first to the last."""
    _retrain(tmp_path / "0", trained)
    seen = []
    for step in itertools.count(1):
        models = tmp_path / str(step)
        shutil.copytree(tmp_path / "0", models, symlinks=True)
        if not _killed_at(step, functools.partial(_retrain, models, trained)):
            break
        _, manifest = registry.load(models, "lab-1")
        seen.append(manifest.version)
        assert registry.latest_manifests(models) == ([manifest], [])
        # and the next one goes on as if nothing had been
        last = _retrain(models, trained)
        assert sorted(p.name for p in (models / "lab-1").iterdir()) == [".lock", last.version, "latest"]
        shutil.rmtree(models)
    assert len(seen) > 60
    # the former model until the link is replaced, the new one from then on
    assert seen == sorted(seen)
    assert set(seen) == {"0001", "0002"}


def test_readers_never_find_half_a_model_while_others_replace_it(
    tmp_path: Path, trained: TrainedModel
) -> None:
    _retrain(tmp_path, trained)
    done, loaded, failures = threading.Event(), [], []

    def read() -> None:
        while not done.is_set():
            try:
                loaded.append(registry.load(tmp_path, "lab-1")[1].version)
            except ModelError as exc:
                failures.append(str(exc))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(40):
        _retrain(tmp_path, trained)
    done.set()
    for reader in readers:
        reader.join()
    assert failures == []
    assert len(set(loaded)) > 1


def test_versions_are_numbers_and_not_words(tmp_path: Path, trained: TrainedModel) -> None:
    for version in ("9999", "10000"):
        made = registry.save(tmp_path, trained, _manifest(trained))
        (tmp_path / "lab-1" / made.version).rename(tmp_path / "lab-1" / version)
        manifest = tmp_path / "lab-1" / version / "manifest.json"
        manifest.write_text(manifest.read_text().replace(f'"{made.version}"', f'"{version}"'))
        registry.promote(tmp_path, "lab-1", version, reason="x")
    assert registry.versions(tmp_path, "lab-1") == ["9999", "10000"]
    assert registry.rollback(tmp_path, "lab-1").version == "9999"
    assert registry.save(tmp_path, trained, _manifest(trained)).version == "10001"


@pytest.mark.parametrize("place", [".lock", "", "0001"])
def test_nothing_is_written_through_a_link(tmp_path: Path, trained: TrainedModel, place: str) -> None:
    """Who may write models must not make the trainer overwrite what only the trainer may write."""
    models, precious = tmp_path / "models", tmp_path / "precious"
    registry.save(models, trained, _manifest(trained))
    home = models / "lab-1"
    if place == ".lock":
        precious.write_text("kept")
        (home / ".lock").unlink()
        (home / ".lock").symlink_to(precious)
    else:
        (home / place).rename(precious)
        (home / place).symlink_to(precious)
    before = sorted(path.relative_to(precious) for path in precious.rglob("*"))
    content = {path: path.read_bytes() for path in (precious, *precious.rglob("*")) if path.is_file()}
    with pytest.raises(ModelError, match=r"link|cannot be locked"):
        registry.promote(models, "lab-1", "0001", reason="")
    assert sorted(path.relative_to(precious) for path in precious.rglob("*")) == before
    assert {path: path.read_bytes() for path in content} == content


def test_a_temporary_name_cannot_be_known_before(tmp_path: Path, trained: TrainedModel) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    made = registry.save(tmp_path / "models", trained, _manifest(trained))
    (tmp_path / "models" / "lab-1" / made.version / ".manifest.json.tmp").symlink_to(precious)
    registry.promote(tmp_path / "models", "lab-1", made.version, reason="")
    assert precious.read_text() == "kept"
