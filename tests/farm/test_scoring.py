"""Quality on a real cluster of two workers beside quality on this machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from advisor.quality.settings import QualitySettings
from advisor.video.ffmpeg import find_ffmpeg
from farm import versions
from farm.cluster import Call, Cluster
from farm.scoring import Pair, PatientScoring, measure_pair
from farm.site import RemoteFile, Site, remote_file
from tests.support.farm import ROOT
from tests.support.ports import free_port
from tests.support.processes import command_line
from tests.support.waiting import wait_until
from wattframe.cli import main

pytestmark = pytest.mark.ffmpeg


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``ref.mkv``, three encodes of it, one that begins with nothing in common, and a list of them all."""
    folder = tmp_path_factory.mktemp("videos")

    def ffmpeg(*arguments: str) -> None:
        subprocess.run([find_ffmpeg(), "-nostdin", "-v", "error", "-y", *arguments], cwd=folder, check=True)

    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=160x120:r=25:d=1", "-c:v", "ffv1", "ref.mkv")
    for crf in (20, 30, 40):
        ffmpeg("-i", "ref.mkv", "-c:v", "libx264", "-crf", str(crf), f"{crf}.mp4")
    (folder / "broken.mp4").write_bytes(b"no video")
    lines = [{"reference": "ref.mkv", "distorted": f"{name}.mp4"} for name in (20, "broken", 30, "gone", 40)]
    (folder / "pairs.json").write_text(json.dumps(lines))
    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def scored(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    code = main(["quality", "--json", *arguments])
    documents = json.loads(capsys.readouterr().out)
    for document in documents:
        del document["computation_seconds"]
    return code, documents


def test_pairs_on_a_cluster_are_as_on_one_machine(
    address: str, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Order, values, reasons, exit code, and the scores of each frame."""
    pairs = ("--pairs", str(videos / "pairs.json"))
    here = scored(capsys, *pairs, "--frames", str(tmp_path / "here.csv"))
    elsewhere = scored(capsys, *pairs, "--frames", str(tmp_path / "elsewhere.csv"), "--cluster", address)
    assert elsewhere == here
    assert here[0] == 1
    assert [Path(d["distorted"]).stem for d in here[1]] == ["20", "broken", "30", "gone", "40"]
    assert (tmp_path / "here.csv").read_text() == (tmp_path / "elsewhere.csv").read_text()


def test_what_was_scored_before_is_not_sent_again(
    address: str, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A copy of the encode is scored from what is kept, under its own name."""
    _, first = scored(capsys, str(videos / "ref.mkv"), str(videos / "20.mp4"), "--cluster", address)
    kept = list(tmp_path.rglob("*.json"))
    assert len(kept) == 1
    record = json.loads(kept[0].read_text())
    record["quality"]["frames"] = 7
    kept[0].write_text(json.dumps(record))
    copy = shutil.copy(videos / "20.mp4", tmp_path / "copy.mp4")
    _, second = scored(capsys, str(videos / "ref.mkv"), str(copy), "--cluster", address)
    assert second == [first[0] | {"distorted": str(copy), "frames": 7}]


def test_a_worker_of_another_version_is_named_and_given_nothing(
    address: str, tmp_path: Path, videos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An ffmpeg that calls itself otherwise may score otherwise."""
    other = tmp_path / "ffmpeg"
    renamed = 'sed "s/^ffmpeg version [^ ]*/ffmpeg version 99.1/"'
    other.write_text(f'#!/bin/sh\n"{find_ffmpeg()}" "$@" | {renamed}\n')
    other.chmod(0o755)
    pair = (str(videos / "ref.mkv"), str(videos / "20.mp4"))
    assert main(["quality", *pair, "--cluster", address, "--ffmpeg", str(other)]) == 1
    said = capsys.readouterr().err
    assert re.search(
        r"expected a worker with scores .* ffmpeg 99\.1 .*; there is a: scores .*; b: scores .*", said
    )


def test_ctrl_c_ends_the_ffmpeg_of_the_workers(address: str, tmp_path: Path) -> None:
    long = tmp_path / "long.mkv"
    source = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=60", "-c:v", "libx264", "-preset", "ultrafast"]
    subprocess.run([find_ffmpeg(), "-v", "error", *source, str(long)], check=True)
    command = [sys.executable, "-m", "wattframe", "quality", str(long), str(long), "--cluster", address]
    client = subprocess.Popen(command, cwd=ROOT)

    def ffmpegs() -> list[int]:
        pids = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]
        return [pid for pid in pids if os.fsencode(f"file:{long}") in command_line(pid)]

    wait_until(ffmpegs)
    client.send_signal(signal.SIGINT)
    assert client.wait(60) == 130
    wait_until(lambda: not ffmpegs())


def test_an_exporter_waits_for_a_cluster_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so once, and goes on waiting until it is to end."""
    monkeypatch.setattr("farm.cluster._CONNECT_SECONDS", 0.5)
    told: list[str] = []
    scoring = PatientScoring(f"tcp://127.0.0.1:{free_port()}", None, find_ffmpeg(), told.append)

    def check() -> None:
        assert told
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        scoring.measure("ref.mkv", "out.mkv", QualitySettings(), check)
    assert len(told) == 1
    assert "no scheduler answers" in told[0]


def test_a_file_of_another_content_under_the_same_name_is_refused(
    address: str, videos: Path, tmp_path: Path
) -> None:
    """As a worker sees it whose folder was not brought up to date: here the file changes on its way."""
    ours = remote_file(str(videos / "20.mp4"))
    other = RemoteFile(str(videos / "30.mp4"), (videos / "30.mp4").stat().st_size, ours.digest)
    pair = Pair(remote_file(str(videos / "ref.mkv")), other, QualitySettings())
    with Cluster(address) as workers:
        (answer,) = workers.run([Call("quality-other", measure_pair, (pair,), {versions.code(): 1})])
    assert re.fullmatch(r".*/30\.mp4: is another file on host [ab]", str(answer))


def test_the_longest_beginning_of_a_path_decides_where_it_is_here() -> None:
    paths = (("/media", "/mnt"), ("/media/new", "/fast"))
    site = Site("ffmpeg", threads=1, nice=0, paths=paths, host_name="a", prometheus_instance=None)
    names = ("/media/new/a.mp4", "/media/newer/a.mp4", "/media/../etc/a.mp4", "/other/a.mp4")
    assert [site.local(name) for name in names] == [
        "/fast/a.mp4",
        "/mnt/newer/a.mp4",
        "/mnt/../etc/a.mp4",
        "/other/a.mp4",
    ]
