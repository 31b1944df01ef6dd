"""The ffmpeg at hand."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from advisor.errors import FfmpegError, InputError
from advisor.video import ffmpeg


def _script(path: Path, body: str) -> Path:
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def test_an_explicit_path_wins(tmp_path: Path) -> None:
    mine = _script(tmp_path / "my-ffmpeg", "exit 0")
    assert ffmpeg.find_ffmpeg(str(mine)) == mine


def test_an_explicit_name_is_looked_up_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = _script(tmp_path / "ffmpeg-of-mine", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ffmpeg.find_ffmpeg("ffmpeg-of-mine") == mine


def test_an_explicit_path_that_is_no_program_is_refused_by_name(tmp_path: Path) -> None:
    plain = tmp_path / "notes.txt"
    plain.write_text("no program")
    with pytest.raises(FfmpegError, match=r"notes\.txt: expected the path of an executable ffmpeg"):
        ffmpeg.find_ffmpeg(str(plain))


@pytest.mark.parametrize("body", [None, "echo 'cat (GNU coreutils) 9.1'", "exit 2"])
def test_what_a_user_named_wrongly_is_their_input(tmp_path: Path, body: str | None) -> None:
    named = tmp_path / "my-ffmpeg"
    if body is not None:
        _script(named, body)
    with pytest.raises(InputError, match=rf"^--ffmpeg: {re.escape(str(named))}: "):
        ffmpeg.chosen_ffmpeg(str(named))


def test_without_the_package_the_one_on_path_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = _script(tmp_path / "ffmpeg", "exit 0")
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ffmpeg.find_ffmpeg() == mine


def test_no_ffmpeg_at_all_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FfmpegError, match="pip install imageio-ffmpeg, or name one with --ffmpeg PATH"):
        ffmpeg.find_ffmpeg()


@pytest.mark.ffmpeg
def test_the_real_binary_tells_its_encoders_filters_and_models() -> None:
    found = ffmpeg.capabilities(ffmpeg.find_ffmpeg())
    assert {"libx264", "libx265", "libsvtav1", "rawvideo"} <= found.encoders
    assert {"scale", "psnr", "ssim", "loop", "testsrc2"} <= found.filters
    assert not {"=", "decoder", "|"} & found.encoders
    assert found.version[0] == "n" or found.version[0].isdigit()
    models = ffmpeg.vmaf_models(ffmpeg.find_ffmpeg())
    assert {"vmaf_v0.6.1", "vmaf_v0.6.1neg", "vmaf_4k_v0.6.1"} <= set(models)


def test_a_binary_without_libvmaf_has_no_models(tmp_path: Path) -> None:
    """What ``-filters`` does not list is not tried."""
    plain = _script(
        tmp_path / "ffmpeg",
        'case "$*" in *-version) echo "ffmpeg version 7.1 Copyright";;'
        ' *-filters) echo " TS psnr              VV->V      Calculate the PSNR";;'
        ' *-encoders) echo " V....D libx264              libx264 H.264";; *) exit 9;; esac',
    )
    found = ffmpeg.capabilities(plain)
    assert found.encoders == {"libx264"}
    assert found.filters == {"psnr"}
    assert ffmpeg.vmaf_models(plain) == ()
    with pytest.raises(
        InputError, match=r"expected an ffmpeg with libvmaf and xpsnr, 7\.1 was built without"
    ):
        ffmpeg.chosen_ffmpeg(str(plain), ("libvmaf", "psnr", "xpsnr"))


@pytest.mark.ffmpeg
def test_a_model_that_does_not_load_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg, "VMAF_MODELS", ("vmaf_v0.6.1", "vmaf_no_such_model"))
    assert ffmpeg.vmaf_models(ffmpeg.find_ffmpeg()) == ("vmaf_v0.6.1",)


def test_capabilities_are_asked_for_again_when_the_file_changes(tmp_path: Path) -> None:
    program = _script(tmp_path / "ffmpeg", 'echo "ffmpeg version 8.0"')
    assert ffmpeg.capabilities(program).version == "8.0"
    _script(program, 'echo "ffmpeg version 9.0"')
    os.utime(program, (1, 1))
    assert ffmpeg.capabilities(program).version == "9.0"


@pytest.mark.parametrize("version", ["4.4.2-0ubuntu0.22.04.1", "n5.0.3"])
def test_an_ffmpeg_that_is_too_old_is_named(tmp_path: Path, version: str) -> None:
    program = _script(tmp_path / "ffmpeg", f'echo "ffmpeg version {version} Copyright"')
    with pytest.raises(FfmpegError, match=f"expected ffmpeg 5.1 or newer, found {re.escape(version)}"):
        ffmpeg.capabilities(program)


def test_another_program_is_not_taken_for_ffmpeg(tmp_path: Path) -> None:
    program = _script(tmp_path / "cat", 'echo "cat (GNU coreutils) 9.1"')
    with pytest.raises(FfmpegError, match="expected ffmpeg, but '-version' answered 'cat"):
        ffmpeg.capabilities(program)


def test_a_binary_that_fails_is_named_with_its_last_line(tmp_path: Path) -> None:
    program = _script(tmp_path / "ffmpeg", "echo cannot load libx264.so >&2; exit 127")
    with pytest.raises(FfmpegError, match=r"ffmpeg: ended with code 127: cannot load libx264\.so"):
        ffmpeg.capabilities(program)


def test_a_missing_binary_is_an_ffmpeg_error(tmp_path: Path) -> None:
    with pytest.raises(FfmpegError, match="gone: cannot be run: No such file"):
        ffmpeg.capabilities(tmp_path / "gone")


def test_a_file_that_the_kernel_cannot_run_is_an_ffmpeg_error(tmp_path: Path) -> None:
    program = tmp_path / "ffmpeg"
    program.write_bytes(b"\x7fELF not really")
    program.chmod(0o755)
    with pytest.raises(FfmpegError, match="cannot be run: Exec format error"):
        ffmpeg.capabilities(program)


def test_a_binary_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg, "_TIMEOUT_SECONDS", 0.05)
    program = _script(tmp_path / "ffmpeg", f"exec {shutil.which('sleep')} 30")
    with pytest.raises(FfmpegError, match=r"did not answer within 0\.05 s"):
        ffmpeg.capabilities(program)
