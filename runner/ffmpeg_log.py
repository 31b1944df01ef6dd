"""What ffmpeg reports: its progress, the counts at its end, its complaints; and how it ended."""

from __future__ import annotations

import re
from collections import deque

from advisor.video.ffmpeg import causes, signal_name

_KEPT_LINES = 40
_FUTILE_REPORTS = 60
"""So many reports one after another, half a minute, without a new frame and each after `_MANY_LINES`."""
_MANY_LINES = 300
"""Of the log between two reports; a live input that is damaged makes fewer."""
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


class FfmpegLog:
    """What one process wrote to ``-progress`` and to stderr so far, line by line, and how it ended."""

    def __init__(self) -> None:
        self.exit_code: int | None = None
        """Negative when a signal ended it; None while it runs."""
        self.cpu_seconds = 0.0
        """At its end, of it and of the children that it waited for: user and system time, from the kernel."""
        self.stopped = False
        """Whether it was stopped (SIGSTOP) and went on."""
        self.output_frames: dict[int, int] = {}
        """Frames written to each output, by its place in the command."""
        self.output_bytes: dict[int, int] = {}
        """Bytes of video written to each output, without the container's."""
        self.decode_errors = 0
        """Complaints about the input: what failed to be read or to decode, and what was found damaged."""
        self._fields: dict[str, str] = {}
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._problems: deque[str] = deque(maxlen=_KEPT_LINES)
        self._frames_before: int | None = None
        self._lines_since = 0
        self._futile_reports = 0

    def progress(self, line: str) -> None:
        """Take in one ``key=value`` line of a progress report; ``progress`` is the last of each."""
        key, _, value = line.partition("=")
        self._fields[key] = value.strip()
        if key == "progress":
            is_futile = self.frames == self._frames_before and self._lines_since >= _MANY_LINES
            self._futile_reports = self._futile_reports + 1 if is_futile else 0
            self.decode_errors += self._futile_reports > 3  # fewer may be the many words of a start
            self._frames_before, self._lines_since = self.frames, 0

    def stderr(self, line: str) -> None:
        """Take in one line of the log, with its level."""
        self._lines_since += 1
        if match := _OUTPUT.search(line):
            self.output_frames[int(match[1])] = int(match[2])
            self.output_bytes[int(match[1])] = int(match[3])
        elif match := _DECODED.search(line):
            self.decode_errors += int(match[1])
        else:
            self.decode_errors += _DAMAGED.search(line) is not None
            if match := _PROBLEM.search(line):
                self._problems.append(match[1])
            else:
                self._lines.append(line)

    def _count(self, key: str) -> int | None:
        """A whole number of the last progress report."""
        value = self._fields.get(key, "")
        return int(value) if value.isascii() and value.isdigit() else None

    @property
    def frames(self) -> int | None:
        """Frames of the first output."""
        return self._count("frame")

    @property
    def seconds(self) -> float | None:
        """Of what was written: up to the last packet, whose reordered frames may be missing."""
        written = self._count("out_time_us")
        return None if written is None else written / 1e6

    @property
    def dropped_frames(self) -> int:
        """Frames that were left out to keep the rate."""
        return self._count("drop_frames") or 0

    @property
    def duplicated_frames(self) -> int:
        """Frames that were shown again to keep the rate."""
        return self._count("dup_frames") or 0

    @property
    def failure(self) -> str | None:
        """One line that says how it failed, made nothing or is stuck; None when all is well.

        Stuck is one whose input cannot be read any more: it is read again and again.
        """
        is_well = self._futile_reports < _FUTILE_REPORTS if self.exit_code is None else self.frames != 0
        if not self.exit_code and is_well:
            return None
        # the last of the error lines that tell a cause, or of lines of any kind
        lines = causes(list(self._problems or self._lines))[-_SHOWN_LINES:]
        if self.exit_code is None:
            return ": ".join(["ffmpeg makes no frame any more", *lines[-1:]])
        if self.exit_code == 0:
            return ": ".join(["ffmpeg encoded no frame", *lines[:1]])
        if self.exit_code < 0:
            end = f"ffmpeg was killed by {signal_name(-self.exit_code)}"
        else:
            end = f"ffmpeg ended with code {self.exit_code}"
        return ": ".join([end, *([" | ".join(lines)] if lines else [])])
