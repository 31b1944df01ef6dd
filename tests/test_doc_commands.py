"""Every command line of the documentation works: run where that is quick, else read by its own parser."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import typer.main
import yaml
from distributed.cli import dask_scheduler

from exporters.catalogue import EXPORTERS
from runner.arguments import parse as parse_run_tests
from tests.support.exporter_options import parse_options
from wattframe import cli

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
RUN = {"cost", "tco", "forecast", "recommend", "report", "regions", "export"}
"""Commands of `wattframe` that only read results: they are run."""


class Line(NamedTuple):
    """One command of a page."""

    page: Path
    text: str


def shell_blocks(page: Path) -> Iterator[Line]:
    """Commands of the blocks for a shell and of indented blocks."""
    text = page.read_text()
    blocks = re.findall(r"^```(?:sh|bash|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    blocks += re.findall(r"^((?:    (?:wattframe|python|scripts/).*\n(?:    .*\n)*)+)", text, re.MULTILINE)
    for line in "\n".join(blocks).replace("\\\n", " ").splitlines():
        if line.strip():
            yield Line(page, line.strip())


def command_lines(page: Path) -> Iterator[Line]:
    """Those, and commands in the text that are whole."""
    yield from shell_blocks(page)
    text = page.read_text()
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for inline in re.findall(r"`([^`\n]+)`", prose):
        words = inline.split()
        # with an argument and its value, and without a word that stands for another
        whole = len(words) > 2 and not re.search(r"\.\.\.|\b[A-Z]{2,}\b|\[|\|| -X ", inline)
        if whole and words[0] in ("wattframe", "run_tests.py", "retrain_models.py", "python", "python3"):
            yield Line(page, inline)


LINES = [line for page in PAGES for line in command_lines(page)]
LINES += [Line(Path("help"), command.example) for command in cli.COMMANDS.values()]


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The repository's folders beside a folder of results: what a reader has after a first run."""
    for name in ("docker", "samples", "scenarios", "prometheus.yml", ".env.example"):
        (tmp_path / name).symlink_to(ROOT / name)
    results = tmp_path / "test_results"
    results.mkdir()
    scenarios = [
        {
            "name": name,
            "encoder": "libx264",
            "preset": name,
            "bitrate": f"{rate}k",
            "resolution": "1280x720",
            "fps": 25,
            "duration": 10.0,
            "start_time": 1.7e9 + 20 * rate,
            "end_time": 1.7e9 + 20 * rate + 10,
            "vmaf_score": 85 + rate / 1000,
            "power": {
                "tier": "measured",
                "mean_watts": 30.0 + rate / 100,
                "total_energy_joules": 300.0 + rate / 10,
            },
            "encode": {"speed": 3.0},
            "outputs": [
                {"resolution": "1280x720", "fps": 25, "frames": 750, "duration": 30, "bitrate": f"{rate}k"}
            ],
        }
        for name, rate in (("veryfast", 2600), ("medium", 2000))
    ]
    document = {"schema_version": 1, "host": {"hardware_id": "h", "threads": 2}, "scenarios": scenarios}
    (results / "test_results_20260301_120000.json").write_text(json.dumps(document))
    for name in ("before", "after"):
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    (tmp_path / "prices.csv").write_text(
        "timestamp,price_per_kwh\n2023-11-14T00:00:00Z,0.20\n2023-11-15T00:00:00Z,0.30\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("line", LINES, ids=[f"{page.name}: {text[:60]}" for page, text in LINES])
def test_a_command_of_the_docs_works(line: Line, workplace: Path) -> None:
    words = shlex.split(line.text, comments=True)
    if ">" in words:
        words = words[: words.index(">")]
    for command in _split(words, "|"):
        check(command, line.page)


def _split(words: list[str], at: str) -> Iterator[list[str]]:
    part: list[str] = []
    for word in [*words, at]:
        if word == at:
            yield part
            part = []
        else:
            part.append(word)


def check(words: list[str], page: Path) -> None:
    """Run or read one command."""
    program, *rest = words
    if program in ("python", "python3") and rest[:1] == ["-m"]:
        check_module(rest[1], rest[2:])
    elif program in ("python", "python3"):
        check(rest, page)
    elif program == "wattframe":
        check_wattframe(rest)
    elif program == "run_tests.py":
        parse_run_tests("run_tests.py", rest)
    elif program == "retrain_models.py":
        check_wattframe(["retrain", *rest])
    elif program.startswith("scripts/"):
        assert os.access(ROOT / program, os.X_OK), program
    elif program == "docker":
        check_compose(rest)
    elif program == "cp" and not rest[0].startswith("tls/"):  # made by the line before
        source = next(word for word in rest if not word.startswith("-"))
        assert list(ROOT.glob(source)), source
    elif program == "kubectl":
        assert (ROOT / rest[-1] / "kustomization.yaml").exists()
    elif program.startswith("/opt/wattframe/bin/"):
        check([program.removeprefix("/opt/wattframe/bin/"), *rest], page)
    elif program == "grep":
        check_pattern(rest, page)
    elif program == "dask":
        known = {name for parameter in dask_scheduler.main.params for name in parameter.opts}
        assert {word for word in rest if word.startswith("-")} <= known
    else:
        assert program in (
            ".",
            "source",
            "cp",
            "curl",
            "mkdir",
            "openssl",
            "sed",
            "cosign",
            "systemctl",
            "systemd-sysusers",
            "systemd-tmpfiles",
            "uv",
            "uvx",
            "pip",
            "pipx",
            "git",
            "cd",
        ), f"{program}: no check for it"


def check_wattframe(words: list[str]) -> None:
    name, *arguments = words
    if name.startswith("-") or "--help" in arguments:
        assert cli.main(words) == 0
        return
    if name == "test":
        parse_run_tests("wattframe test", arguments)
        return
    assert name in cli.COMMANDS
    for argument in arguments:
        if "/" in argument and argument.endswith((".yaml", ".mp4", ".json")):
            assert Path(argument).exists(), argument
    if name in RUN:
        assert cli.main(words) == 0
    else:
        command = typer.main.get_command(importlib.import_module(f"wattframe.commands.{name}").app)
        command.make_context(name, arguments)


def check_module(module: str, arguments: list[str]) -> None:
    package, _, name = module.partition(".")
    if package == "exporters" and name in EXPORTERS:
        if "--help" not in arguments:
            Path("models").mkdir(exist_ok=True)
            parse_options(importlib.import_module(module).EXPORTER, arguments, {})
    else:
        assert importlib.util.find_spec(module) is not None, module


def check_compose(words: list[str]) -> None:
    assert words[0] in ("compose", "build", "run", "stats", "inspect")
    if words[:3] == ["compose", "run", "--rm"]:
        assert words[3] in SERVICES


def check_pattern(words: list[str], page: Path) -> None:
    """A pattern that is looked for in a page of an exporter finds something in one of the golden pages."""
    pattern = next(word for word in words if not word.startswith("-"))
    pages = [path.read_text() for path in (ROOT / "tests" / "exporters" / "golden").glob("*.prom")]
    assert any(re.search(pattern, text, re.MULTILINE) for text in pages), f"{page.name}: {pattern}"


def test_commands_are_found() -> None:
    """A change of the pages' form must not empty the list."""
    assert len(LINES) > 40
    assert {page.name for page, _ in LINES} >= {
        "README.md",
        "cost.md",
        "EXPORTER_INTEGRATION.md",
        "prediction.md",
    }
