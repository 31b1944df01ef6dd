"""Stored models: ``models/<hardware_id>/<version>/`` with a manifest, and ``latest`` on the one in service.

A version is written into a folder of its own, synced and renamed into place; ``latest`` is a symbolic link
that is replaced in one step. A crash or a kill at any moment leaves the former model or the new one, never
half of one. Models are skops files: loading one runs no code of it, and types that are not on the list in
`advisor.regression.model_file` are refused.

Reading manifests needs neither numpy nor scikit-learn.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from advisor.common.atomic import NO_JSON, locked, sync_folder, write_atomically
from advisor.common.regular_file import read_input
from advisor.errors import InputError, ModelError

if TYPE_CHECKING:
    from advisor.regression.model import TrainedModel

Loaded = tuple["TrainedModel", "Manifest"]
LATEST = "latest"
MANIFEST_FILE = "manifest.json"
FEATURES_VERSION = 7
"""Counts changes of what features and model files mean; a model of another version is refused."""
_MODEL_FILE = "model.skops"
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,199}\Z")
_VERSION = re.compile(r"^[0-9]{4,}\Z")


class TargetReport(Struct, frozen=True, kw_only=True):
    """How well one target is predicted; ratios, all on rows that were held out."""

    model: tuple[str, ...]
    """What was chosen; several names are averaged."""
    candidate_error_ratios: dict[str, float]
    error_ratios: dict[str, float]
    """Mean absolute error by situation, as in `advisor.regression.interval_bins`: ``plain``, ``familiar``,
    ``probed_1`` to ``probed_3``, ``calibrated_1`` to ``calibrated_3``."""
    coverage_ratios: dict[str, float]
    """Share of values inside their 90 % prediction interval, by situation."""
    rows: int
    own_error_ratio: float | None = None
    """Standard deviation of the errors that configurations of one video do not have in common."""


class Manifest(Struct, frozen=True, kw_only=True):
    """What is known of a stored model without opening it."""

    version: str
    created: str
    """ISO 8601 with offset."""
    created_unix_seconds: float
    hardware_id: str
    hardware_known: tuple[str, ...]
    encoders_known: tuple[str, ...]
    feature_names: tuple[str, ...]
    tier: str | None
    training_scenarios: int
    training_configurations: int
    training_data_sha256: str
    grouped_by: str
    """What was held out together in validation: ``video``, else ``configuration``."""
    targets: dict[str, TargetReport]
    library_versions: dict[str, str]
    files_sha256: dict[str, str]
    promoted: bool = False
    reason: str = ""
    """Why it was promoted, or why not."""
    notes: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    """The runs that it was trained on."""
    features_version: int = FEATURES_VERSION
    schema_version: int = 1

    @property
    def error_ratio(self) -> float | None:
        """The grouped error that promotion looks at: power's, None where nothing could be held out."""
        report = self.targets.get("mean_power_watts")
        return None if report is None else report.error_ratios.get("plain")


def _home(models_dir: str | os.PathLike[str], hardware_id: str) -> Path:
    if not _NAME.match(hardware_id):
        raise InputError(
            f"expected letters, digits and any of . _ @ + -, got {hardware_id!r}", subject="hardware id"
        )
    return Path(models_dir) / hardware_id


def versions(models_dir: str | os.PathLike[str], hardware_id: str) -> list[str]:
    """Complete versions, oldest first."""
    home = _home(models_dir, hardware_id)
    if not home.is_dir():
        return []
    names = (p.name for p in home.iterdir() if _VERSION.match(p.name) and (p / MANIFEST_FILE).is_file())
    return sorted(names, key=int)


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    """One writer at a time, in a folder that is no link: who may write beside it could lead elsewhere."""
    _refuse_link(home)
    home.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(locked(home / ".lock"))
        except OSError as exc:
            raise ModelError(f"cannot be locked: {exc.strerror}", subject=home / ".lock") from exc
        for left in home.glob(".new-*"):  # of a writer that was killed
            shutil.rmtree(left, ignore_errors=True)
        for left in home.glob(".latest-*"):
            left.unlink(missing_ok=True)
        yield


def _refuse_link(folder: Path) -> None:
    if folder.is_symlink():
        raise ModelError("expected a folder, found a link: nothing is written through it", subject=folder)


def save(models_dir: str | os.PathLike[str], trained: TrainedModel, manifest: Manifest) -> Manifest:
    """Store a model as a new version that is not yet in service; returns its manifest as written.

    ``version`` and ``files_sha256`` of the given manifest are replaced.
    """
    from advisor.regression.model_file import dumps

    home = _home(models_dir, manifest.hardware_id)
    data = dumps(trained)
    with _locked(home):
        numbers = [int(v) for v in versions(models_dir, manifest.hardware_id)]
        version = f"{max(numbers, default=0) + 1:04d}"
        complete = msgspec.structs.replace(
            manifest, version=version, files_sha256={_MODEL_FILE: hashlib.sha256(data).hexdigest()}
        )
        temporary = Path(tempfile.mkdtemp(dir=home, prefix=".new-"))
        # mkdtemp makes 0700; exporters read models as another user
        temporary.chmod(0o755)
        write_atomically(temporary / _MODEL_FILE, data)
        write_atomically(temporary / MANIFEST_FILE, _json(complete))
        sync_folder(temporary)
        temporary.rename(home / version)
        sync_folder(home)
    return complete


def promote(models_dir: str | os.PathLike[str], hardware_id: str, version: str, *, reason: str) -> Manifest:
    """Put ``version`` into service: ``latest`` points to it from one moment to the next."""
    home = _home(models_dir, hardware_id)
    with _locked(home):
        return _promote(home, version, reason)


def _promote(home: Path, version: str, reason: str) -> Manifest:
    _refuse_link(home / version)
    manifest = _read_manifest(home / version)
    promoted = msgspec.structs.replace(manifest, promoted=True, reason=reason)
    write_atomically(home / version / MANIFEST_FILE, _json(promoted))
    link = Path(tempfile.mktemp(dir=home, prefix=".latest-"))  # noqa: S306 - the lock is held
    link.symlink_to(version)
    link.replace(home / LATEST)
    sync_folder(home)
    return promoted


def rollback(models_dir: str | os.PathLike[str], hardware_id: str) -> Manifest:
    """Put the version that was in service before back into service.

    Raises
    ------
    ModelError
        There is none.
    """
    home = _home(models_dir, hardware_id)
    with _locked(home):
        current = _current(home)
        earlier = [
            v
            for v in versions(models_dir, hardware_id)
            if int(v) < int(current) and _read_manifest(home / v).promoted
        ]
        if not earlier:
            raise ModelError(f"no version before {current} was in service", subject=home)
        return _promote(home, earlier[-1], f"rolled back from {current}")


def _current(home: Path) -> str:
    try:
        return str((home / LATEST).readlink())
    except OSError as exc:
        raise ModelError("no model is in service: run 'wattframe retrain' first", subject=home) from exc


def prune(models_dir: str | os.PathLike[str], hardware_id: str, keep: int) -> list[str]:
    """Delete all but the newest ``keep`` versions, never the one in service; returns what was deleted."""
    home = _home(models_dir, hardware_id)
    with _locked(home):
        stored = versions(models_dir, hardware_id)
        current = str((home / LATEST).readlink()) if (home / LATEST).is_symlink() else None
        doomed = [v for v in stored[: max(len(stored) - keep, 0)] if v != current]
        for version in doomed:
            # first out of sight, so that no reader finds a version that is half gone
            hidden = Path(tempfile.mkdtemp(dir=home, prefix=".new-"))
            (home / version).rename(hidden / version)
            shutil.rmtree(hidden, ignore_errors=True)
        return doomed


def latest_manifest(models_dir: str | os.PathLike[str], hardware_id: str) -> Manifest:
    """The manifest of the model in service.

    Raises
    ------
    ModelError
        There is none, or it cannot be read.
    """
    home = _home(models_dir, hardware_id)
    return _read_manifest(home / _current(home))


def latest_manifests(models_dir: str | os.PathLike[str]) -> tuple[list[Manifest], list[str]]:
    """The manifests of all models in service, by hardware, and the problems of those that cannot be read."""
    manifests: list[Manifest] = []
    problems: list[str] = []
    root = Path(models_dir)
    for home in sorted(root.iterdir()) if root.is_dir() else []:
        if home.is_dir() and _NAME.match(home.name) and (home / LATEST).is_symlink():
            try:
                manifests.append(_read_manifest(home / LATEST))
            except ModelError as exc:
                problems.append(str(exc))
    return manifests, problems


def choose_hardware(models_dir: str | os.PathLike[str], hardware_id: str | None) -> str:
    """Which folder of models serves this machine: its own, one trained with it, else the one of most data.

    Raises
    ------
    ModelError
        No model is in service at all.
    """
    manifests, problems = latest_manifests(models_dir)
    if hardware_id is not None and any(m.hardware_id == hardware_id for m in manifests):
        return hardware_id
    if not manifests:
        raise ModelError(
            problems[0] if problems else f"{models_dir}: no model in service: run 'wattframe retrain' first"
        )
    with_it = [m for m in manifests if hardware_id in m.hardware_known]
    return max(with_it or manifests, key=lambda m: m.training_scenarios).hardware_id


def load(models_dir: str | os.PathLike[str], hardware_id: str) -> Loaded:
    """The model in service and its manifest.

    Raises
    ------
    ModelError
        It is missing, half written, was changed after it was written, holds a type that is not trusted, or
        was made for other features or library versions.
    """
    home = _home(models_dir, hardware_id)
    while True:
        current = _current(home)
        try:
            return _load(home / current)
        except ModelError:
            # another came into service, and this one was pruned, while it was being read
            if _current(home) == current:
                raise


def _load(folder: Path) -> Loaded:
    from advisor.regression.model_file import MODEL_BYTES, check_versions, loads

    manifest = _read_manifest(folder)
    path = folder / _MODEL_FILE
    data = read_input(path, MODEL_BYTES, ModelError)
    if manifest.features_version != FEATURES_VERSION:
        raise ModelError(
            f"expected features version {FEATURES_VERSION}, found {manifest.features_version}: retrain",
            subject=folder / MANIFEST_FILE,
            field="features_version",
        )
    if hashlib.sha256(data).hexdigest() != manifest.files_sha256.get(_MODEL_FILE):
        raise ModelError("does not match its manifest: it was changed after it was written", subject=path)
    check_versions(manifest.library_versions, path)
    trained = loads(data, path)
    if trained.matrix.columns != manifest.feature_names:
        raise ModelError("its features are not those of its manifest", subject=path)
    return trained, manifest


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST_FILE
    try:
        return msgspec.json.decode(read_input(path, error=ModelError), type=Manifest)
    except NO_JSON as exc:
        raise ModelError(f"expected a model's manifest: {exc}", subject=path) from exc


def _json(manifest: Manifest) -> bytes:
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1)
