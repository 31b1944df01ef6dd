"""Every reader of a file that somebody else wrote: pipes, devices, files without end, in every room."""

from __future__ import annotations

import ast
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from advisor.common import regular_file
from advisor.common.regular_file import read_regular, stamp_of
from advisor.containers.engine import engine_address
from advisor.cost.checks import Checker
from advisor.cost.exchange_rates import read_rates
from advisor.cost.regions.region_files import read_regions
from advisor.cost.tariffs.series_files import read_series
from advisor.cost.tariffs.tariff_files import read_tariff
from advisor.energy.calibration import calibration_path, load_calibration
from advisor.energy.hwmon import read_sensor_rules
from advisor.energy.redfish import read_redfish_config
from advisor.energy.state import StateFile
from advisor.errors import InputError
from advisor.quality.cache import QualityCache, file_digest
from advisor.quality.pairs import read_pairs
from advisor.quality.probe import probe
from advisor.quality.settings import QualitySettings
from advisor.regression.registry import latest_manifests
from advisor.results import read_run
from advisor.video.complexity import ContentCache
from exporters.runtime.web_config import Web
from runner.batch import read_batch
from wattframe.commands.retrain import _token

ROOT = Path(__file__).resolve().parents[3]

Read = Callable[[Path], object]


def _web_with_key(path: Path) -> Web:
    """The key of a web configuration; the other files are as they should be."""
    certificate = path.with_name("tls.crt")
    certificate.write_text("")
    config = path.with_name("web.yml")
    config.write_text(f"tls_server_config: {{cert_file: {certificate}, key_file: {path}}}\n")
    return Web(config)


def _engine_key(path: Path) -> object:
    folder = path.parent / "engine"
    folder.mkdir()
    for name in ("ca.pem", "cert.pem"):
        (folder / name).touch()
    (folder / "key.pem").symlink_to(path)
    return engine_address("tcp://localhost:2376", tls_verify=True, cert_path=str(folder))


def _manifest(path: Path) -> object:
    home = path.parent / "models" / "machine"
    (home / "0001").mkdir(parents=True)
    (home / "0001" / "manifest.json").symlink_to(path)
    (home / "latest").symlink_to("0001")
    _, problems = latest_manifests(home.parent)
    return _said(problems)


def _calibration(path: Path) -> object:
    place = calibration_path(path.parent / "models", "machine")
    place.parent.mkdir(parents=True)
    place.symlink_to(path)
    return load_calibration(path.parent / "models", "machine", source="powercap")


def _state(path: Path) -> object:
    """What cannot be used is as if it were not there."""
    return _said(["none"] if StateFile(path, dict, boot_id="b", place="p").load() is None else [])


def _score(path: Path) -> object:
    cache = QualityCache(path.parent / "cache")
    cache.folder.mkdir()
    (cache.folder / "key.json").symlink_to(path)
    return _said(["none"] if cache.get("key") is None else [])


def _said(problems: list[str]) -> None:
    if problems:
        raise InputError("; ".join(problems), subject="x")


READERS: dict[str, Read] = {
    "result": read_run,
    "tariff": read_tariff,
    "series": lambda path: read_series([path], "price", Checker()),
    "regions": read_regions,
    "rates": read_rates,
    "sensors": read_sensor_rules,
    "redfish": read_redfish_config,
    "batch": read_batch,
    "web": Web,
    "key": _web_with_key,
    "engine's key": _engine_key,
    "token": _token,
    "pairs": lambda path: _said(read_pairs(path, QualitySettings()).problems),
    "video": probe,
    "digest": file_digest,
    "manifest": _manifest,
    "calibration": _calibration,
    "complexity": lambda path: _said([] if ContentCache(path)._measured else ["none"]),
    "state": _state,
    "score": _score,
}
TROUBLES: dict[str, Callable[[Path], None]] = {
    "pipe": os.mkfifo,
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "terminal": lambda path: path.symlink_to("/dev/ptmx"),
    "folder": lambda path: path.mkdir(),
    "sparse": lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 1 << 42),
    "itself": lambda path: path.symlink_to(path.name),
}


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("room", READERS)
def test_what_is_no_file_of_its_kind_is_refused_and_not_waited_for(
    room: str, trouble: str, tmp_path: Path
) -> None:
    if (room, trouble) in {("digest", "sparse"), ("pairs", "folder")}:
        pytest.skip("taken")  # by its parts; as a folder of pairs
    path = tmp_path / "file.mp4"
    TROUBLES[trouble](path)
    outcome: list[BaseException | None] = []

    def read() -> None:
        try:
            READERS[room](path)
        except (InputError, OSError) as exc:
            outcome.append(exc)
        else:
            outcome.append(None)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(60)
    assert outcome, "waits"
    assert outcome[0] is not None, "taken"


def test_a_sparse_file_of_terabytes_is_identified_by_its_parts(tmp_path: Path) -> None:
    for name, size in (("a", 1 << 42), ("b", 1 << 42), ("c", (1 << 42) + 1)):
        TROUBLES["sparse"](tmp_path / name)
        os.truncate(tmp_path / name, size)
    with (tmp_path / "b").open("r+b") as file:
        file.seek(-100, os.SEEK_END)
        file.write(b"x")
    assert len({file_digest(tmp_path / name) for name in "abc"}) == 3


_OWN = {
    "advisor/common/regular_file.py",
    "advisor/common/atomic.py",
    "advisor/common/control_group.py",
    "advisor/machine.py",
    "advisor/energy/cpu.py",
    "advisor/energy/state.py",
    "advisor/energy/zones.py",
    "advisor/containers/cgroups.py",
    "advisor/containers/exits.py",
    "advisor/cost/regions/table.py",
    "advisor/quality/completeness.py",
    "advisor/quality/live_capture.py",
    "advisor/quality/live_process.py",
    "advisor/quality/logs.py",
    "advisor/quality/process.py",
    "advisor/quality/registration.py",
    "advisor/quality/tracks.py",
    "runner/process.py",
    "runner/result_files.py",
    "runner/validity.py",
    "wattframe/commands/demo.py",
    "wattframe/stack/prometheus.py",
    "wattframe/stack/supervisor.py",
}
"""They open the kernel's files, what comes with the project, or what they or their ffmpeg wrote."""


def test_every_room_reads_through_the_one_reader() -> None:
    """A module that opens a file for reading in its own way is found here."""
    found = set()
    for room in ("advisor", "runner", "exporters", "wattframe"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and _reads(node):
                    found.add(path.relative_to(ROOT).as_posix())
    assert found - _OWN == set()


def _reads(call: ast.Call) -> bool:
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    modes = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    if name in {"read_bytes", "read_text"}:
        return not (isinstance(function, ast.Name) or "files" in ast.unparse(function))
    return name == "open" and bool(modes) and modes[-1].startswith("r")


def test_a_file_that_changed_a_moment_ago_has_no_stamp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written twice within a tick of the kernel's clock, its times are the same."""
    path = tmp_path / "a"
    path.write_text("1")
    info = path.stat()
    for seconds, known in ((0.05, False), (-0.05, False), (0.2, True), (-0.2, True)):
        now = info.st_ctime_ns + int(seconds * 1e9)
        monkeypatch.setattr(regular_file.time, "time_ns", lambda now=now: now)
        assert (stamp_of(info) is not None) == known


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * 1000)
    assert read_regular(path, 1000) == b"x" * 1000
    with pytest.raises(OSError, match="expected at most"):
        read_regular(path, 999)
