"""What ffmpeg reports: its progress, the counts at its end, its complaints."""

from __future__ import annotations

import re
import signal
from collections import deque

from msgspec import Struct

from advisor.video.ffmpeg import causes

_KEPT_LINES = 40
_FUTILE_REPORTS = 60
"""So many reports one after another, half a minute, without a new frame and each after `_MANY_LINES`."""
_MANY_LINES = 300
"""Of the log between two reports; a live input that is damaged makes fewer."""
_SIGNALS = {number.value: number.name for number in signal.Signals}
_SHOWN_LINES = 3
_OUTPUT = re.compile(
    r"Output stream #(\d+):\d+ \(video\): \d+ frames encoded; (\d+) packets muxed \((\d+) bytes\)"
)
_DECODED = re.compile(r"Input stream #\d+:\d+ \(video\):.* (\d+) decode errors")
_DAMAGED = re.compile(
    r"packet corrupt|corrupt decoded frame|concealing \d+|error (?:while decoding|during demuxing)"
    r"|input/output error",
    re.IGNORECASE,
)
_PROBLEM = re.compile(r"\[(?:error|fatal|panic)\] (.*\S)")


class ProcessResult(Struct, frozen=True, kw_only=True):
    """What became of one ffmpeg process."""

    exit_code: int
    """Negative when a signal ended it."""
    cpu_seconds: float
    """User and system time of the process and of the children that it waited for, from the kernel."""
    frames: int | None = None
    """Frames of the first output, as last reported."""
    seconds: float | None = None
    """Of what was written, as last reported: up to the last packet, whose reordered frames may be missing."""
    dropped_frames: int | None = None
    duplicated_frames: int | None = None
    output_frames: dict[int, int] = {}
    """Frames written to each output, by its place in the command."""
    output_bytes: dict[int, int] = {}
    """Bytes of video written to each output, without the container's."""
    decode_errors: int = 0
    """Complaints about the input: pictures that failed to decode, and packets or pictures found damaged."""
    stopped: bool = False
    """Whether it was stopped (SIGSTOP) and went on."""
    last_lines: tuple[str, ...] = ()
    """The last of ffmpeg's error lines that tell a cause, or of its lines of any kind."""

    @property
    def failure(self) -> str | None:
        """One line that says how it failed, or that it made nothing; None when all is well."""
        if self.exit_code == 0:
            nothing = ": ".join(["ffmpeg encoded no frame", *self.last_lines[:1]])
            return nothing if self.frames == 0 else None
        if self.exit_code < 0:
            number = -self.exit_code  # those of real time have no names
            end = f"ffmpeg was killed by {_SIGNALS.get(number, f'signal {number}')}"
        else:
            end = f"ffmpeg ended with code {self.exit_code}"
        return ": ".join([end, *([" | ".join(self.last_lines)] if self.last_lines else [])])


class FfmpegLog:
    """Collects what one process writes to ``-progress`` and to stderr, line by line."""

    def __init__(self) -> None:
        self._fields: dict[str, str] = {}
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._problems: deque[str] = deque(maxlen=_KEPT_LINES)
        self._output_frames: dict[int, int] = {}
        self._output_bytes: dict[int, int] = {}
        self._decode_errors = 0
        self._frames_before: int | None = None
        self._lines_since = 0
        self._futile_reports = 0

    def progress(self, line: str) -> None:
        """Take in one ``key=value`` line of a progress report; ``progress`` is the last of each."""
        key, _, value = line.partition("=")
        self._fields[key] = value.strip()
        if key == "progress":
            is_futile = self.count("frame") == self._frames_before and self._lines_since >= _MANY_LINES
            self._futile_reports = self._futile_reports + 1 if is_futile else 0
            self._decode_errors += self._futile_reports > 3  # fewer may be the many words of a start
            self._frames_before, self._lines_since = self.count("frame"), 0

    @property
    def futility(self) -> str | None:
        """Why it will not end by itself: an input that cannot be read any more is read again and again."""
        if self._futile_reports < _FUTILE_REPORTS:
            return None
        return ": ".join(["ffmpeg makes no frame any more", *causes(list(self._problems))[-1:]])

    def stderr(self, line: str) -> None:
        """Take in one line of the log, with its level."""
        self._lines_since += 1
        if match := _OUTPUT.search(line):
            self._output_frames[int(match[1])] = int(match[2])
            self._output_bytes[int(match[1])] = int(match[3])
        elif match := _DECODED.search(line):
            self._decode_errors += int(match[1])
        else:
            self._decode_errors += _DAMAGED.search(line) is not None
            if match := _PROBLEM.search(line):
                self._problems.append(match[1])
            else:
                self._lines.append(line)

    def count(self, key: str) -> int | None:
        """A whole number of the last progress report."""
        value = self._fields.get(key, "")
        return int(value) if value.isascii() and value.isdigit() else None

    def result(self, exit_code: int, cpu_seconds: float, *, stopped: bool = False) -> ProcessResult:
        """All of it, once the process is gone."""
        return ProcessResult(
            exit_code=exit_code,
            cpu_seconds=cpu_seconds,
            frames=self.count("frame"),
            seconds=None if (written := self.count("out_time_us")) is None else written / 1e6,
            dropped_frames=self.count("drop_frames"),
            duplicated_frames=self.count("dup_frames"),
            output_frames=dict(self._output_frames),
            output_bytes=dict(self._output_bytes),
            decode_errors=self._decode_errors,
            stopped=stopped,
            last_lines=tuple(causes(list(self._problems or self._lines))[-_SHOWN_LINES:]),
        )
