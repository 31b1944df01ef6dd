"""Completion as a shell does it."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.waiting import wait_until
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
    assert complete("wattframe test single --compute", capsys) == ["--compute-quality"]


def test_bash_completes_the_subcommands_of_test(capsys: pytest.CaptureFixture[str]) -> None:
    assert complete("wattframe test s", capsys) == ["single", "suite"]


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


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes_as_bash_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Commands without the files that lie there, options of the command, and files after it."""
    assert main(["completion", "fish"]) == 0
    (tmp_path / "wattframe.fish").write_text(capsys.readouterr().out)
    (tmp_path / "regular.mp4").touch()
    offered = []
    for line in ("wattframe reg", "wattframe export --p", "wattframe tune reg", "wattframe test mul"):
        script = f"source wattframe.fish; complete -C '{line}'"
        done = subprocess.run(
            ["fish", "--no-config", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        offered.append([entry.partition("\t")[0] for entry in done.stdout.splitlines()])
    assert offered == [["regions"], ["--parquet"], ["regular.mp4"], ["multi"]]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
def test_zsh_completes_without_any_set_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In a terminal, as its completion runs nowhere else; the script is sourced and nothing before it."""
    assert main(["completion", "zsh"]) == 0
    echo = 'wattframe() { print "<$*>"; }\n'
    (tmp_path / "script").write_text(f"{capsys.readouterr().out}{echo}print loaded\n")
    ours, terminal = pty.openpty()
    os.set_blocking(ours, False)
    shown = b""

    def shows(text: bytes) -> bool:
        nonlocal shown
        with contextlib.suppress(BlockingIOError):
            shown += os.read(ours, 65536)
        return text in shown

    with subprocess.Popen(
        ["zsh", "-f", "-i"],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path), "TERM": "xterm"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    ) as zsh:
        try:
            os.write(ours, b". ./script\n")
            wait_until(lambda: shows(b"loaded\r\n"))
            os.write(ours, b"wattframe expo\t--p\t\n")
            wait_until(lambda: shows(b"<export --parquet>"))
        finally:
            zsh.kill()
    os.close(ours)
    os.close(terminal)
