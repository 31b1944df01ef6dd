"""The pages as a reader works through them: each page's commands in order, in a folder of their own.

`test_doc_commands` reads every line by its own parser, quickly. Here they run, in an environment that was
installed from a fresh clone as the README says it. A command that serves is left running while the page's
next lines are tried.
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from runner.jobs import SAMPLE
from tests.support.waiting import wait_until
from tests.test_doc_commands import PAGES, ROOT, shell_blocks

LEFT_OUT: Mapping[str, str] = {
    r"scripts/demo": "tests/stack/test_demo.py runs it",
    r"scripts/(test|bench|audit)": "the tests themselves, benchmarks, and databases of the network",
    r"docker ": "tests/stack/test_compose.py runs the whole stack",
    r"(python3 -m venv )?/opt/|systemctl|systemd-|cp (-r )?deploy/": "changes the system; test_deploy.py",
    r"kubectl|cosign": "needs a cluster, or a published image",
    r"pipx? install": "done once before, in the environment of all pages",
    r".*(10\.0\.0\.1|attic,cellar)": "needs a second machine; tests/farm runs two network namespaces",
    r"python -m exporters.qoe --live": "needs the streams of the profile `live`; test_compose.py has them",
    r"python -m exporters.docker_stats|curl -s localhost:9501": "needs an engine; test_docker_engine.py",
    r"wattframe calibrate": "refuses a machine that does something else; test_calibrate.py",
    r"wattframe tune .*--ladder 1080": "needs a film of 1080 lines; test_tune.py has ladders",
    r"wattframe predict --models-dir": "needs a trained model; README.md trains one and predicts",
    r"python3 retrain_models.py .*--prometheus-url": "test_enrichment_prometheus.py has a Prometheus",
}
"""What is not run here, by how it begins, and why."""
_SERVES = re.compile(r"python -m exporters\.|wattframe (up|worker)\b|dask scheduler")
_NOTHING = ("README.md", "index.md", "tutorial.md")
"""Pages that begin from nothing; to the others a reader comes with results."""


def commands() -> dict[str, list[str]]:
    """By page, what is run of it."""
    lines = [line for page in PAGES for line in shell_blocks(page)]
    pages: dict[str, list[str]] = {}
    for page, text in lines:
        if not any(re.match(start, text) for start in LEFT_OUT):
            pages.setdefault(page.name, []).append(text)
    return pages


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is committed, installed into ``.venv`` beside it as the README's first line does."""
    folder = tmp_path_factory.mktemp("reader") / "wattframe"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder / ".venv")], check=True)
    install = [str(folder / ".venv/bin/pip"), "install", "--quiet", ".[all]", "pandas"]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode and "Could not find a version" in done.stderr:
        pytest.skip("PyPI cannot be reached")
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def place(checkout: Path, tmp_path: Path) -> Path:
    """The checkout as a reader of one page has it, without what the pages before have written."""
    folder = tmp_path / "wattframe"
    subprocess.run(["git", "clone", "--quiet", str(checkout), str(folder)], check=True)
    return folder


def furnish(folder: Path, variables: Mapping[str, str]) -> None:
    """Files of the reader's own that pages speak of, and the results of a first run."""
    for name in ("film.mp4", "original.mp4"):
        shutil.copy(SAMPLE, folder / name)
    encodes = "".join(
        f"ffmpeg -v error -y -i film.mp4 -crf {crf} {name}.mp4; "
        for name, crf in (("encoded", 30), ("small", 34), ("smaller", 40))
    )
    raw = "ffmpeg -v error -y -i film.mp4 -vf scale=1920:1080 -t 1 -r 25 -pix_fmt yuv420p clip.yuv; "
    raw += "ffmpeg -v error -y -f rawvideo -s 1920x1080 -r 25 -i clip.yuv clip.mp4"
    subprocess.run(["bash", "-ec", f"{encodes}{raw}"], cwd=folder, env=variables, check=True)
    hours = "".join(f"2026-11-27T{hour:02}:00:00Z,{0.2 + hour / 100}\n" for hour in range(24))
    (folder / "prices.csv").write_text(f"timestamp,price_per_kwh\n{hours}")
    forecasts_of_services(folder)
    run = ["wattframe", "test", "batch", "matrix.json", "--input", "film.mp4", "--compute-quality"]
    matrix = [
        {"name": preset, "encoder": "libx264", "preset": preset, "crf": 24, "media_duration": 5}
        for preset in ("ultrafast", "veryfast", "medium")
    ]
    (folder / "matrix.json").write_text(json.dumps({"scenarios": matrix}))
    subprocess.run(run, cwd=folder, env=variables, check=True, capture_output=True)
    (result,) = (folder / "test_results").glob("test_results_*.json")
    for name in ("before", "after"):
        shutil.copy(result, folder / f"{name}.json")


def forecasts_of_services(folder: Path) -> None:
    """Two days from now as aWATTar and the Carbon Intensity API answer."""
    now = int(time.time()) // 3600 * 3600
    hours = [
        {
            "start_timestamp": (now + 3600 * hour) * 1000,
            "end_timestamp": (now + 3600 * (hour + 1)) * 1000,
            "marketprice": 120 - hour,
            "unit": "Eur/MWh",
        }
        for hour in range(48)
    ]
    (folder / "prices.json").write_text(json.dumps({"object": "list", "data": hours}))
    ends = [time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime(now + 1800 * half)) for half in range(97)]
    halves = [
        {"from": begin, "to": end, "intensity": {"forecast": 200 - half, "actual": None, "index": "low"}}
        for half, (begin, end) in enumerate(itertools.pairwise(ends))
    ]
    (folder / "carbon.json").write_text(json.dumps({"data": halves}))


@pytest.fixture
def variables(checkout: Path, tmp_path: Path) -> dict[str, str]:
    """An empty home, and the environment's programs before the system's."""
    home = tmp_path / "home"
    programs = home / "bin"
    programs.mkdir(parents=True)
    (programs / "ffmpeg").symlink_to(get_ffmpeg_exe())
    return {
        "HOME": str(home),
        "PATH": f"{checkout}/.venv/bin:{programs}:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
    }


def test_what_is_left_out_is_still_in_the_pages() -> None:
    texts = [line.text for page in PAGES for line in shell_blocks(page)]
    assert [start for start in LEFT_OUT if not any(re.match(start, text) for text in texts)] == []


@pytest.mark.long
@pytest.mark.ffmpeg
@pytest.mark.parametrize("page", sorted(commands()))
def test_the_commands_of_a_page_run_in_order(page: str, place: Path, variables: dict[str, str]) -> None:
    if page not in _NOTHING:
        furnish(place, variables)
    serving: list[subprocess.Popen[bytes]] = []
    log = place.parent / "log"
    try:
        for text in commands()[page]:
            with log.open("ab") as out:
                if _SERVES.match(text):
                    serving.append(
                        subprocess.Popen(
                            ["bash", "-c", f"exec {text}"], cwd=place, env=variables, stdout=out, stderr=out
                        )
                    )
                    continue

                def works(text: str = text, out: object = out) -> bool:
                    done = subprocess.run(
                        ["bash", "-c", text],
                        cwd=place,
                        env=variables,
                        stdin=subprocess.DEVNULL,
                        stdout=out,
                        stderr=out,
                    )
                    return done.returncode == 0

                if serving:  # until it answers
                    wait_until(works, limit_seconds=600)
                else:
                    assert works(), f"{text}\n{log.read_text()[-3000:]}"
        assert all(process.poll() is None for process in serving), log.read_text()[-3000:]
    finally:
        for process in serving:
            process.send_signal(signal.SIGINT)
        for process in serving:
            process.wait()
