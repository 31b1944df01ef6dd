"""The one command line over every room."""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import pytest
import typer

from advisor.errors import NotEnoughDataError
from wattframe import cli


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    """A command ``report`` whose behaviour the test gives."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    monkeypatch.setitem(sys.modules, "wattframe.commands.report", SimpleNamespace(app=app))
    return app


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in cli.COMMANDS)


def test_no_argument_is_a_call_for_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    assert capsys.readouterr().out.startswith("Usage: wattframe COMMAND")


def test_version_is_the_package_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"wattframe {version('wattframe')}\n"


def test_a_misspelt_command_is_one_line_with_the_near_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["recomend"]) == 2
    assert capsys.readouterr().err == "wattframe: no command 'recomend': did you mean recommend?\n"


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["--size", "tall"], "Invalid value for '--size'"),
        (["--sizes"], "No such option: --sizes"),
        (["--size"], "Option '--size' requires an argument"),
    ],
)
def test_bad_usage_is_one_line_and_code_2(
    command: typer.Typer, capsys: pytest.CaptureFixture[str], args: list[str], line: str
) -> None:
    @command.command()
    def work(size: int = 1) -> None: ...

    assert cli.main(["report", *args]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"wattframe report: {line}")
    assert captured.err.count("\n") == 1


def test_a_value_that_does_not_fit_is_named(command: typer.Typer, capsys: pytest.CaptureFixture[str]) -> None:
    @command.command()
    def work(price: float = 1.0) -> None: ...

    assert cli.main(["report", "--price", "0,21"]) == 2
    assert ", found '0,21' (" in capsys.readouterr().err


def test_a_value_that_the_words_name_is_named_once(
    command: typer.Typer, capsys: pytest.CaptureFixture[str]
) -> None:
    @command.command()
    def work(kind: Annotated[Literal["a"], typer.Option()] = "a") -> None: ...

    assert cli.main(["report", "--kind", "watt"]) == 2
    assert capsys.readouterr().err.count("'watt'") == 1


def _raise(exc: BaseException) -> None:
    raise exc


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (NotEnoughDataError("two scenarios are too few"), 1),
        (typer.Exit(1), 1),
        (KeyboardInterrupt(), 130),
        (ValueError("a mistake in the program"), 1),
    ],
    ids=["work failed", "exit code", "interrupted", "internal error"],
)
def test_how_a_command_ends_is_the_exit_code(
    command: typer.Typer, capsys: pytest.CaptureFixture[str], outcome: BaseException, code: int
) -> None:
    @command.command()
    def work() -> None:
        _raise(outcome)

    assert cli.main(["report"]) == code
    assert "Traceback" not in capsys.readouterr().err


def test_a_missing_extra_is_named_with_its_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'skops'", name="skops.io")

    monkeypatch.setattr(importlib, "import_module", absent)
    assert cli.main(["retrain"]) == 2
    assert capsys.readouterr().err == (
        "wattframe retrain: needs the package skops.io: pip install '.[all]' in the checkout\n"
    )


@pytest.mark.parametrize("script", ["run_tests.py", "retrain_models.py"])
def test_a_script_without_its_packages_says_where_they_are(script: str) -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-S", root / script, "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"{script}: needs the package msgspec: '. .venv/bin/activate'")
    assert done.stderr.count("\n") == 1


def test_the_help_of_a_command_loads_no_heavy_package() -> None:
    """``wattframe up --help`` must not pay for numpy or scikit-learn."""
    code = (
        "import sys; from wattframe.cli import main; main(['up', '--help']);"
        "print([m for m in ('numpy', 'sklearn', 'av', 'docker') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("words", [*cli.COMMANDS, "test single", "test multi", "test suite", "test batch"])
def test_help_fits_and_ends_with_an_example_in_one_piece(
    words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main([*words.split(), "--help"]) == 0
    lines = capsys.readouterr().out.rstrip().splitlines()
    assert max(map(len, lines)) <= 80
    assert f"wattframe {words}" in lines[-1]


@pytest.mark.parametrize("name", [name for name in cli.COMMANDS if name != "test"])
def test_help_names_every_option_in_full(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in the narrowest terminal that is common."""
    monkeypatch.setenv("COLUMNS", "80")
    module = importlib.import_module(f"wattframe.commands.{name}")
    options = [o for p in typer.main.get_command(module.app).params for o in p.opts if o.startswith("--")]
    assert cli.main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert options or name == "completion"
    assert [option for option in options if option not in shown] == []
