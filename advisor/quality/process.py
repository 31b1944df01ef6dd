"""One ffmpeg process: started quietly, watched, and never left behind."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from advisor.common.death_notice import death_notice
from advisor.errors import FfmpegError, MediaError, WattframeError
from advisor.quality.process_limits import ProcessLimits
from advisor.video.ffmpeg import signal_name

_LOG = "ffmpeg.txt"
_MOST_LINES = 5000

_ERROR = re.compile(r"^((?:\[[^\]]+\] )*)\[(?:error|fatal|panic)\] (.+)", re.MULTILINE)
# [in#1/mov @ ...], [vist#0:0/h264 @ ...] [dec:h264 @ ...]: the first number is the input's
_INPUT = re.compile(r"\[(?:in|vist)#(\d+)")


def run_ffmpeg(
    command: Sequence[str],
    *,
    folder: Path,
    inputs: Sequence[str],
    nice: int = 0,
    progress: Callable[[int], object] | None = None,
    limits: ProcessLimits | None = None,
) -> str:
    """Run ``command`` in ``folder`` and return what it log on stderr.

    The command has the options ``-progress pipe:1 -loglevel level+info``.

    Parameters
    ----------
    inputs
        Names of the input files in ffmpeg's order, for messages.
    nice
        Added to the process's niceness.
    progress
        Called with the number of frames done.
    limits
        Memory and time that it may take.

    Raises
    ------
    MediaError
        ffmpeg could not read or decode one of the inputs.
    FfmpegError
        It could not be started, refused the graph, crashed, was killed or took too long.
    """
    log = folder / _LOG
    with log.open("wb") as stderr:
        try:
            process = subprocess.Popen(
                [*death_notice(), *command],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                # Ctrl-C is the caller's to handle, and all threads get the niceness
                process_group=0,
            )
        except OSError as exc:
            raise FfmpegError(f"{command[0]}: cannot be run: {exc.strerror}") from exc
        with process, _bounded(process, limits) as late:
            try:
                _watch(process, nice, progress)
            except BaseException:
                process.kill()
                raise
    if limits is not None and late.is_set():
        raise FfmpegError(f"ffmpeg was stopped: it took longer than {limits.seconds:.0f} s")
    text = _messages(log)
    if process.returncode:
        raise _failure(process.returncode, text, inputs)
    return text


@contextlib.contextmanager
def _bounded(process: subprocess.Popen[str], limits: ProcessLimits | None) -> Iterator[threading.Event]:
    """Hold the process to its limits; the event says that its time was over."""
    late = threading.Event()

    def end() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(limits.seconds if limits is not None else 0.0, end)
    timer.daemon = True
    if limits is not None:
        with contextlib.suppress(ProcessLookupError):  # has ended already
            resource.prlimit(process.pid, resource.RLIMIT_DATA, (limits.memory_bytes, limits.memory_bytes))
        timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def _messages(path: Path) -> str:
    """What ffmpeg said, without the line a frame that cropdetect says; the first and the last of much."""
    with path.open("rb") as stream:
        lines = [line for line in stream if not line.startswith(b"[Parsed_cropdetect")]
    if len(lines) > 2 * _MOST_LINES:
        lines[_MOST_LINES:-_MOST_LINES] = []
    return b"".join(lines).decode(errors="replace")


def _watch(process: subprocess.Popen[str], nice: int, progress: Callable[[int], object] | None) -> None:
    if nice:
        with contextlib.suppress(ProcessLookupError):  # has ended already
            before = os.getpriority(os.PRIO_PROCESS, process.pid)
            os.setpriority(os.PRIO_PGRP, process.pid, before + nice)
    assert process.stdout is not None  # noqa: S101
    for line in process.stdout:
        key, _, value = line.partition("=")
        if progress is not None and key == "frame" and value.strip().isdigit():
            progress(int(value))


def _failure(code: int, log: str, inputs: Sequence[str]) -> WattframeError:
    if code < 0 or (code > 128 and code - 128 in (signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT)):
        number = -code if code < 0 else code - 128
        why = ": out of memory?" if number == signal.SIGKILL else ""
        return FfmpegError(f"ffmpeg was killed by {signal_name(number)}{why}")
    errors = _ERROR.findall(log)
    for where, line in errors:
        about = _INPUT.search(where)
        if about is not None and int(about[1]) < len(inputs):
            return MediaError(f"is damaged or cannot be decoded: {line}", subject=inputs[int(about[1])])
    first = errors[0][1] if errors else "no message"
    return FfmpegError(f"ffmpeg ended with code {code}: {first}")
