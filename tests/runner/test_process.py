"""Running ffmpeg: ends, failures, counts, CPU time. Scripts stand in where ffmpeg would have to misbehave."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from advisor.common.death_notice import death_notice
from advisor.errors import FfmpegError
from runner.command import Command, commands
from runner.ffmpeg_log import FfmpegLog
from runner.jobs import resolve
from runner.process import EncodeGroup
from runner.spec import RungSpec, Spec
from tests.support.waiting import wait_until


def _script(tmp_path: Path, body: str) -> Command:
    path = tmp_path / "ffmpeg"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return Command((str(path),), ())


def _run(*planned: Command) -> list[FfmpegLog]:
    with EncodeGroup(planned) as group:
        group.start()
        while group.running:
            group.step(1.0)
        return group.results


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.ffmpeg
def test_a_ladder_reports_frames_and_bytes_of_each_output(ffmpeg: Path, clip: Path, tmp_path: Path) -> None:
    """2 s of a looped clip of 25 frames a second are 50 frames in each rung."""
    ladder = [RungSpec(resolution="160x90", bitrate="200k"), RungSpec(resolution="64x36", bitrate="50k")]
    spec = Spec(name="l", preset="ultrafast", ladder=ladder, input=str(clip))
    job = resolve(spec, input_path=None, duration_seconds=60, media_seconds=2)
    (ended,) = _run(*commands(job, ffmpeg=ffmpeg, folder=tmp_path))
    assert (ended.exit_code, ended.failure) == (0, None)
    assert (ended.frames, ended.dropped_frames, ended.duplicated_frames) == (50, 0, 0)
    assert ended.output_frames == {0: 50, 1: 50}
    assert 0 < ended.output_bytes[1] < ended.output_bytes[0]
    assert ended.decode_errors == 0


@pytest.mark.ffmpeg
def test_asked_to_end_ffmpeg_finishes_its_file(ffmpeg: Path, clip: Path, tmp_path: Path) -> None:
    """An endless encode that is asked to end exits with 0 and leaves a file with every frame it counted."""
    spec = Spec(name="e", preset="ultrafast", bitrate="200k", input=str(clip), realtime=True)
    job = resolve(spec, input_path=None, duration_seconds=60, media_seconds=None)
    with EncodeGroup(commands(job, ffmpeg=ffmpeg, folder=tmp_path)) as group:
        group.start()
        while group.frames < 25:
            group.step(1.0)
        group.ask_to_end()
        while group.running:
            group.step(1.0)
        (ended,) = group.results
    listing = subprocess.run(
        [ffmpeg, "-v", "error", "-i", tmp_path / "e_1.mp4", "-f", "framecrc", "-"],
        capture_output=True,
        text=True,
        check=True,
    )
    frames = [line for line in listing.stdout.splitlines() if not line.startswith("#")]
    assert ended.exit_code == 0
    assert len(frames) == ended.frames == ended.output_frames[0] >= 25


@pytest.mark.ffmpeg
def test_ffmpegs_own_words_explain_a_failure(
    ffmpeg: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In no colours, which some export for terminals."""
    monkeypatch.setenv("AV_LOG_FORCE_COLOR", "1")
    spec = Spec(name="f", bitrate="1M", input=str(clip))
    job = resolve(spec, input_path=None, duration_seconds=60, media_seconds=1)
    (ended,) = _run(*commands(job, ffmpeg=ffmpeg, folder=tmp_path / "missing"))
    assert ended.exit_code > 0
    assert ended.failure is not None
    assert ended.failure.startswith(f"ffmpeg ended with code {ended.exit_code}: ")
    assert "No such file or directory" in ended.failure
    assert "\x1b" not in ended.failure


@pytest.mark.ffmpeg
def test_cpu_seconds_are_those_that_gnu_time_sees(ffmpeg: Path, clip: Path, tmp_path: Path) -> None:
    """The kernel's account of one process is the same for both: user plus system time from wait4."""
    time_tool = shutil.which("time", path="/usr/bin:/bin")
    if time_tool is None:
        pytest.skip("GNU time is not installed")
    spec = Spec(name="t", preset="ultrafast", bitrate="1M", input=str(clip))
    job = resolve(spec, input_path=None, duration_seconds=60, media_seconds=20)
    (command,) = commands(job, ffmpeg=ffmpeg, folder=tmp_path)
    report = tmp_path / "time.txt"
    around = (time_tool, "-f", "%U %S", "-o", str(report), *command.arguments)
    (ended,) = _run(Command(around, command.targets))
    user, system = map(float, report.read_text().split())
    # GNU time prints hundredths, cut off; it and its own few milliseconds lie around the process
    assert ended.cpu_seconds == pytest.approx(user + system, abs=0.04)


def test_cpu_seconds_include_children_that_were_waited_for(tmp_path: Path) -> None:
    busy = f"{sys.executable} -S -c 'import time\nwhile time.process_time() < 0.3: pass'"
    (ended,) = _run(_script(tmp_path, f"{busy}\nexit 0"))
    assert ended.cpu_seconds >= 0.3


@pytest.mark.parametrize(("number", "name"), [(signal.SIGKILL, "SIGKILL"), (35, "signal 35")])
def test_a_killed_process_is_named_by_its_signal(tmp_path: Path, number: int, name: str) -> None:
    (ended,) = _run(_script(tmp_path, f"echo '[error] last words' >&2; kill -{int(number)} $$"))
    assert ended.exit_code == -number
    assert ended.failure == f"ffmpeg was killed by {name}: last words"


def test_an_input_that_is_read_again_and_again_in_vain_is_told() -> None:
    """As of a drive that was unplugged: 800 errors a second, and a report every half second."""
    log = FfmpegLog()

    def report(frames: int) -> None:
        for _ in range(400):
            log.stderr("[in#0/mov @ 0x1] [error] Error during demuxing: Input/output error")
        log.progress(f"frame={frames}")
        log.progress("progress=continue")

    for frames in (40, 42, *[46] * 60):
        report(frames)
        assert log.failure is None
    report(46)
    assert log.failure == "ffmpeg makes no frame any more: Error during demuxing: Input/output error"
    report(47)
    assert log.failure is None
    assert log.decode_errors == 64 * 400 + 57


def test_without_error_lines_the_last_lines_are_kept(tmp_path: Path) -> None:
    body = 'for n in 1 2 3 4; do echo "[info] line $n" >&2; done; exit 3'
    (ended,) = _run(_script(tmp_path, body))
    assert ended.failure == "ffmpeg ended with code 3: line 2 | line 3 | line 4"


def test_much_output_is_no_deadlock(tmp_path: Path) -> None:
    """More than a pipe holds, on both pipes, before the end."""
    say = f'echo frame=$i; echo "[verbose] $i {"." * 40}" >&2'
    body = f"i=0; while [ $i -lt 3000 ]; do {say}; i=$((i+1)); done"
    (ended,) = _run(_script(tmp_path, body))
    assert (ended.exit_code, ended.frames) == (0, 2999)


@pytest.mark.parametrize("line_end", ["", "\\n"])
def test_an_ffmpeg_that_writes_faster_than_it_is_read_can_be_ended(line_end: str) -> None:
    """Lines, or one line without an end: each look has an end, so that the clock and the user are obeyed."""
    flood = f"import os\nwhile True: os.write(2, b'x' * 60000 + b'{line_end}')"
    command = Command((sys.executable, "-S", "-c", flood), ())
    with EncodeGroup([command]) as group:
        group.start()
        for _ in range(20):
            group.step(1.0)
        assert group.running
        group.end(patience_seconds=5.0)
        assert group.results[0].exit_code == -signal.SIGTERM


def test_a_stop_is_remembered_also_when_it_is_over(tmp_path: Path) -> None:
    """Stopped and continued between two looks, once while another process runs on undisturbed."""
    wait_for_end = "trap 'exit 0' USR1; while true; do sleep 0.05; done"
    with EncodeGroup([_script(tmp_path, wait_for_end)] * 2) as group:
        group.start()
        first, second = group._processes
        os.kill(first.pid, signal.SIGSTOP)
        wait_until(lambda: Path(f"/proc/{first.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        os.kill(first.pid, signal.SIGCONT)
        group.step(0.0)
        group.send(signal.SIGTERM)
        while group.running:
            group.step(1.0)
        assert [result.stopped for result in group.results] == [True, False]
        assert not second.runs


def test_a_process_that_ignores_sigterm_is_killed_and_so_is_its_child(tmp_path: Path) -> None:
    """Everything in the process group is ended, and the group is not ours."""
    pids = tmp_path / "pids"
    tell = f"echo $$ $! > {pids}.new; mv {pids}.new {pids}"
    body = f"trap '' TERM; sleep 1000 & {tell}; while true; do sleep 0.1; done"
    with EncodeGroup([_script(tmp_path, body)]) as group:
        group.start()
        wait_until(pids.exists)
        parent, child = map(int, pids.read_text().split())
        assert os.getpgid(parent) == os.getpgid(child) != os.getpgid(0)
        group.end(patience_seconds=0.2)
        assert group.results[0].exit_code == -signal.SIGKILL
    assert not _alive(parent)
    # the child belongs to init now, which may take a moment to collect it
    wait_until(lambda: not _alive(child))


def test_nothing_is_left_when_the_runner_fails_inside(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), EncodeGroup([_script(tmp_path, "exec sleep 1000")]) as group:  # noqa: PT012
        group.start()
        pid = group._processes[0].pid
        raise ZeroDivisionError
    assert not _alive(pid)


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="util-linux's setpriv is not installed")
def test_nothing_is_started_for_a_runner_that_is_gone() -> None:
    """The notice comes too late for a parent that died since the fork; the shell then sees another one."""
    *prefix, runner = death_notice()
    here = subprocess.run([*prefix, runner, "echo", "started"], capture_output=True, text=True, check=False)
    gone = subprocess.run(
        [*prefix, "999999999", "echo", "started"], capture_output=True, text=True, check=False
    )
    assert (here.stdout, here.returncode) == ("started\n", 0)
    assert (gone.stdout, gone.returncode) == ("", 1)


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="util-linux's setpriv is not installed")
def test_the_kernel_ends_ffmpeg_when_its_runner_is_killed(tmp_path: Path) -> None:
    """A runner that gets SIGKILL cannot clean up; its ffmpeg dies with it all the same."""
    pid_file = tmp_path / "pid"
    script = _script(tmp_path, f"echo $$ > {pid_file}.new; mv {pid_file}.new {pid_file}; exec sleep 1000")
    code = (
        "import sys, time\n"
        "from runner.command import Command\n"
        "from runner.process import EncodeGroup\n"
        f"group = EncodeGroup([Command(({script.arguments[0]!r},), ())])\n"
        "group.start()\n"
        "time.sleep(1000)\n"
    )
    root = Path(__file__).resolve().parents[2]
    runner = subprocess.Popen([sys.executable, "-c", code], cwd=root)
    try:
        wait_until(pid_file.exists)
        pid = int(pid_file.read_text())
        assert _alive(pid)
    finally:
        runner.kill()
        runner.wait()
    wait_until(lambda: not _alive(pid))


def test_a_program_that_cannot_be_started_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.process.death_notice", tuple)
    with (
        pytest.raises(FfmpegError, match=r"nothing-here: cannot be run: No such file or directory"),
        EncodeGroup([Command((str(tmp_path / "nothing-here"),), ())]) as group,
    ):
        group.start()
