"""Running ffmpeg: one or several processes, their progress, their end, their exact CPU time.

The runner ends only what it started: every process leads a group of its own, and signals go to that group.
Should the runner itself be killed, the kernel kills its ffmpeg (`setpriv --pdeathsig`, where there is one).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from advisor.common.death_notice import death_notice
from advisor.errors import FfmpegError
from runner.command import Command
from runner.ffmpeg_log import FfmpegLog

_LOOK_SECONDS = 0.25
"""Between two looks at what ffmpeg writes: it flushes every line, and waking up for each would load the
machine that is measured."""
_PIPE_BYTES = 1 << 20
"""What a pipe holds between two looks, so that a talkative ffmpeg does not wait."""
_MOST_BYTES_A_LOOK = 1 << 20
"""An ffmpeg may write faster than it is read: a look has an end all the same."""
_LONGEST_LINE_BYTES = 1 << 16


class _PipeReader:
    """Reads one pipe line by line, without ever waiting for it."""

    def __init__(self, pipe: IO[bytes], take_line: Callable[[str], None]) -> None:
        self._descriptor = pipe.fileno()
        self._take_line = take_line
        self._rest = b""
        os.set_blocking(self._descriptor, False)
        # the kernel grants a user only so many large ones: a small one serves too
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._descriptor, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def read(self) -> bool:
        """Take in what was written since the last time; whether there may be more already."""
        left = _MOST_BYTES_A_LOOK
        while left > 0 and (data := self._chunk()):
            left -= len(data)
            *lines, rest = (self._rest + data).split(b"\n")
            self._rest = rest[-_LONGEST_LINE_BYTES:]
            for line in lines:
                self._take_line(line.decode("utf-8", "replace").rstrip())
        return left <= 0

    def _chunk(self) -> bytes:
        """What is there now; empty for nothing, and at the end of the pipe."""
        try:
            return os.read(self._descriptor, 65536)
        except BlockingIOError:
            return b""


class _Process:
    """One running ffmpeg and what it has written so far."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = arguments
        self.popen = subprocess.Popen(
            [*death_notice(), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "AV_LOG_FORCE_NOCOLOR": "1"},  # its lines are read here, whatever was exported
            # a group of its own: a Ctrl-C meant for the runner does not reach it
            start_new_session=True,
        )
        self.pid = self.popen.pid
        self.pidfd = self._watched()
        self.log = FfmpegLog()
        assert self.popen.stdout is not None  # noqa: S101 - asked for above
        assert self.popen.stderr is not None  # noqa: S101
        self._pipes = (
            _PipeReader(self.popen.stdout, self.log.progress),
            _PipeReader(self.popen.stderr, self.log.stderr),
        )

    def _watched(self) -> int:
        """A descriptor that tells the end at once (Linux 5.3); what cannot be watched is not kept."""
        try:
            return os.pidfd_open(self.pid)
        except OSError:
            with self.popen:
                self.popen.kill()
            raise

    @property
    def runs(self) -> bool:
        """Whether its end was not seen yet."""
        return self.log.exit_code is None

    def look(self) -> bool:
        """Take in what it wrote and whether it was stopped; whether it writes faster than this reads."""
        # a stop that is over by now is remembered by the kernel as a continuation
        with contextlib.suppress(ChildProcessError):  # it has ended
            state = os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WCONTINUED | os.WNOHANG)
            self.log.stopped = self.log.stopped or state is not None
        return sum(pipe.read() for pipe in self._pipes) > 0

    def signal(self, number: int) -> None:
        if self.runs:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def reap(self) -> None:
        """Collect a process that has ended, with everything it still wrote."""
        # what it may have started shares its group, which is ours alone until the leader is waited for
        self.signal(signal.SIGKILL)
        self.look()
        _, status, usage = os.wait4(self.pid, 0)
        self.popen.returncode = self.log.exit_code = os.waitstatus_to_exitcode(status)
        self.log.cpu_seconds = usage.ru_utime + usage.ru_stime

    def close(self) -> None:
        for pipe in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        os.close(self.pidfd)


class EncodeGroup:
    """The concurrent ffmpeg processes of one scenario; nothing of them is left after ``with``.

    Start it from the main thread: the kernel's death notice follows the thread that started a process.
    """

    def __init__(self, commands: Sequence[Command]) -> None:
        self._commands = commands
        self._processes: list[_Process] = []
        self._earlier_cpu_seconds = 0.0
        self._asked_to_end = False
        self._selector = selectors.DefaultSelector()
        self._behind = False

    def __enter__(self) -> EncodeGroup:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            if process.runs:
                process.signal(signal.SIGKILL)
                process.reap()
            process.close()
        self._selector.close()

    def start(self) -> None:
        """Start all processes.

        Raises
        ------
        FfmpegError
            The binary cannot be started.
        """
        for command in self._commands:
            self._processes.append(self._started(command.first_pass or command.arguments))

    def _started(self, arguments: Sequence[str]) -> _Process:
        try:
            process = _Process(arguments)
        except OSError as exc:
            raise FfmpegError(f"{arguments[0]}: cannot be run: {exc.strerror}") from exc
        self._selector.register(process.pidfd, selectors.EVENT_READ, process)
        return process

    def step(self, timeout_seconds: float) -> None:
        """Wait for the end of a process, at most so long and at most until it is time to look at them all."""
        longest = 0.0 if self._behind else _LOOK_SECONDS
        for key, _ in self._selector.select(max(0.0, min(timeout_seconds, longest))):
            self._selector.unregister(key.fileobj)
            key.data.reap()
            self._go_on(key.data)
        self._behind = sum(process.look() for process in self._processes if process.runs) > 0

    def _go_on(self, process: _Process) -> None:
        """Start the second pass of a command whose first has ended well."""
        index = self._processes.index(process)
        first, second = self._commands[index].first_pass, self._commands[index].arguments
        if process.log.exit_code != 0 or process.arguments != first:
            return
        if not self._asked_to_end and self._commands[index].has_statistics:
            self._earlier_cpu_seconds += process.log.cpu_seconds
            process.close()
            self._processes[index] = self._started(second)

    @property
    def running(self) -> bool:
        """Whether any process has not ended."""
        return any(process.runs for process in self._processes)

    @property
    def failure(self) -> str | None:
        """One line on the first process that failed, encoded nothing or is stuck; None when there is none."""
        for index, process in enumerate(self._processes):
            failure = process.log.failure
            # several encoders write no frame in it
            if process.arguments == self._commands[index].first_pass and process.log.exit_code == 0:
                failure = "the time limit was reached in the first pass"
                if not self._asked_to_end:
                    failure = "the first pass wrote nothing: this ffmpeg has no two-pass mode for the encoder"
            if failure is not None:
                return f"stream {index + 1}: {failure}" if len(self._processes) > 1 else failure
        return None

    @property
    def results(self) -> list[FfmpegLog]:
        """What became of the processes that have ended, in the order of the commands."""
        return [process.log for process in self._processes if not process.runs]

    @property
    def frames(self) -> int:
        """Frames so far over all processes, by their first outputs."""
        return sum(process.log.frames or 0 for process in self._processes)

    def cpu_seconds(self) -> float:
        """CPU seconds so far: exact for what has ended, in clock ticks for what runs."""
        return self._earlier_cpu_seconds + sum(
            _cpu_seconds(process.pid) if process.runs else process.log.cpu_seconds
            for process in self._processes
        )

    def ask_to_end(self) -> None:
        """Tell ffmpeg to stop reading and to finish its files, as a user's ``q`` does."""
        self._asked_to_end = True
        for process in self._processes:
            if process.runs and process.popen.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    os.write(process.popen.stdin.fileno(), b"q")

    def send(self, number: int) -> None:
        """A signal to every process that runs, and to what it started."""
        for process in self._processes:
            process.signal(number)

    def end(self, patience_seconds: float = 1.0) -> None:
        """End all: SIGTERM first, SIGKILL to what does not follow in time."""
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)  # one that was stopped hears nothing else
        deadline = time.monotonic() + patience_seconds
        while self.running and (left := deadline - time.monotonic()) > 0:
            self.step(left)
        self.send(signal.SIGKILL)
        while self.running:
            self.step(1.0)


def _cpu_seconds(pid: int) -> float:
    """User and system seconds of a running process and its ended children; 0 once it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    # the name in parentheses may hold anything, so count from the last one
    fields = text.rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")
