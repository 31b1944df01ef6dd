"""Completion as a shell does it."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from wattframe.cli import COMMANDS, main


def complete(line: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What bash offers at the end of ``line``."""
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    words = line.split(" ")
    script += f"COMP_WORDS=({' '.join(repr(word) for word in words)}); COMP_CWORD={len(words) - 1}\n"
    script += '_wattframe; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_bash_completes_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert complete("wattframe re", capsys) == ["regions", "retrain", "recommend", "report"]
    assert set(complete("wattframe ", capsys)) == set(COMMANDS)


def test_bash_completes_the_options_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert complete("wattframe export --p", capsys) == ["--parquet"]


def test_what_is_no_option_is_left_to_the_names_of_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert complete("wattframe cost te", capsys) == []


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_a_script_is_one_of_its_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(name in script for name in COMMANDS)
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    subprocess.run([shell, "-n"], input=script, text=True, check=True)
