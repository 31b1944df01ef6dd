"""Some seconds of a live stream as a file, and when each of its packets came.

ffmpeg copies the stream and decodes nothing. Its address reaches it through its standard input, as a playlist
of one line, because everybody on the machine can read a command line.
"""

from __future__ import annotations

import itertools
import os
import re
import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from msgspec import Struct

from advisor.quality.live import PROTOCOLS, scheme_of

_RETRY_SECONDS = 0.5
_JUMP_SECONDS = 10.0
_MOST_BYTES = 512 << 20
_MOST_WAIT_SECONDS = 20.0
"""Of video before a key frame; a server that sends what it has kept for hours is cut off there."""
_END_SECONDS = 5.0
"""What ffmpeg is given to finish its file."""
_CAUSES = (
    *("Connection refused", "Connection timed out", "Connection reset by peer", "Network is unreachable"),
    *("No route to host", "Failed to resolve hostname", "401 Unauthorized", "403 Forbidden", "404 Not Found"),
    *("Server returned 4XX", "Server returned 5XX", "No such file or directory", "Permission denied"),
    *("Protocol not found", "not on whitelist", "not in allowed", "Stream map '0:v:0' matches no streams"),
    *("Invalid data found", "Input/output error"),
)
"""Of what ffmpeg says, all that is ever repeated: the rest may hold the address."""


class Wanted(Struct, frozen=True, kw_only=True):
    """What is to be fetched. Times are those of `time.monotonic`."""

    name: str
    address: str
    begin: float
    span_seconds: float
    """Of video, from the first key frame on."""
    deadline: float


class Packet(Struct, frozen=True):
    """One packet of the video; times in seconds."""

    arrival: float
    dts: float
    pts: float
    size: int
    key: bool


class Capture(Struct, frozen=True, kw_only=True):
    """What came. Without packets nothing did."""

    file: Path
    packets: tuple[Packet, ...] = ()
    complete: bool = False
    """The whole span is there."""
    reconnects: int = 0
    """How often the stream ended, jumped or did not answer, and was asked again."""
    cause: str | None = None
    """Why it ended, in ffmpeg's words."""

    @property
    def shown_from(self) -> float:
        """When the first frame could be shown: a frame is there once all that came as fast as any is."""
        return min(p.pts for p in self.packets) + min(p.arrival - p.dts for p in self.packets)

    @property
    def interval(self) -> float:
        """Usual seconds between frames."""
        return statistics.median(self._steps() or [0.04])

    @property
    def seconds(self) -> float:
        """From the first frame to the end of the last that is sure to have no frame missing before it."""
        return sum(self._steps()) + self.interval

    @property
    def bitrate_kbps(self) -> float:
        """Of the video."""
        span = self.packets[-1].dts - self.packets[0].dts + self.interval
        return sum(p.size for p in self.packets) * 8 / 1000 / span

    @property
    def frame_rate(self) -> float:
        """Frames that came, a second of video."""
        return (len(self._steps()) + 1) / self.seconds

    @property
    def missing_frames(self) -> int:
        """Frames for which there is a gap."""
        usual = self.interval
        return sum(max(0, round(step / usual) - 1) for step in self._steps() if step > 1.5 * usual)

    @property
    def keyframe_age(self) -> float:
        """Seconds of video from the last key frame to the end."""
        return max(p.pts for p in self.packets) - max(p.pts for p in self.packets if p.key)

    @property
    def keyframe_interval(self) -> float:
        """The longest time without a key frame."""
        keys = [p.pts for p in self.packets if p.key]
        return max([self.keyframe_age, *(b - a for a, b in itertools.pairwise(keys))])

    def _steps(self) -> list[float]:
        # those behind the last decoding time are there in part: frames are sent in the order of decoding
        times = sorted({p.pts for p in self.packets if p.pts <= self.packets[-1].dts})
        return [b - a for a, b in itertools.pairwise(times)]


def comes_in_pieces(address: str) -> bool:
    """Whether it is a playlist of files, which come in bursts."""
    path = address.partition("?")[0].lower()
    return scheme_of(address) in ("http", "https") or path.endswith((".m3u8", ".mpd"))


def is_recorded(address: str) -> bool:
    """Whether it is a file, whose packets all come at once."""
    return scheme_of(address) == "file" and not comes_in_pieces(address)


def playlist(address: str) -> str:
    """What ffmpeg reads from its standard input."""
    quoted = address.replace("'", r"'\''")
    # an FLV never says that it has no sound; a transport stream tells its format with a key frame
    analyze = 1_000_000 if scheme_of(address).startswith("rtmp") else 10_000_000
    options = {"rw_timeout": 5_000_000, "analyzeduration": analyze, "fpsprobesize": 0}
    lines = [f"option {name} {value}" for name, value in options.items()]
    return "\n".join(["ffconcat version 1.0", f"file '{quoted}'", *lines, ""])


def command(ffmpeg: str, wanted: Wanted) -> list[str]:
    """ffmpeg's, without the address."""
    protocols, formats = PROTOCOLS[scheme_of(wanted.address)]
    bursts = comes_in_pieces(wanted.address) or is_recorded(wanted.address)
    # elsewhere what comes before the first key frame counts, although it is left out
    most = wanted.span_seconds if bursts else wanted.span_seconds + _MOST_WAIT_SECONDS
    end = ("-t", f"{most:.3f}")
    return [
        *(ffmpeg, "-hide_banner", "-nostats", "-loglevel", "error", "-y"),
        *("-protocol_whitelist", f"pipe,{protocols}", "-format_whitelist", f"concat,{formats}"),
        *("-analyzeduration", "0", "-fpsprobesize", "0", "-safe", "0", "-f", "concat", "-i", "pipe:0"),
        *("-map", "0:v:0", "-map", "0:a:0?", "-c", "copy", *end, "-max_interleave_delta", "500000"),
        *("-fs", str(_MOST_BYTES), "-f", "matroska", f"{wanted.name}.mkv"),
        *("-map", "0:v:0", "-c", "copy", *end, "-f", "framecrc", "-flush_packets", "1", "pipe:1"),
    ]


def capture(wanted: Wanted, ffmpeg: str, folder: Path) -> Capture:
    """Fetch ``wanted`` into ``folder``; a stream that ends or jumps is asked again until the deadline."""
    time.sleep(max(0.0, wanted.begin - time.monotonic()))
    reconnects = 0
    cause: str | None = None
    while True:
        packets, complete, last_cause = _attempt(wanted, ffmpeg, folder)
        # the last attempt may be cut off by the deadline before it can say anything
        cause = last_cause or (None if packets else cause)
        if complete or time.monotonic() + _RETRY_SECONDS > wanted.deadline:
            break
        time.sleep(_RETRY_SECONDS)
        reconnects += 1
    file = folder / f"{wanted.name}.mkv"
    return Capture(file=file, packets=tuple(packets), complete=complete, reconnects=reconnects, cause=cause)


def _attempt(wanted: Wanted, ffmpeg: str, folder: Path) -> tuple[list[Packet], bool, str | None]:
    said = folder / f"{wanted.name}.txt"
    with said.open("wb") as stderr:
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            command(ffmpeg, wanted), cwd=folder, stdin=pipe, stdout=pipe, stderr=stderr
        )
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018
    late = threading.Timer(max(0.1, wanted.deadline - time.monotonic()), process.kill)
    late.daemon = True
    late.start()
    packets: list[Packet] = []
    complete = False
    with process:
        try:
            os.write(process.stdin.fileno(), playlist(wanted.address).encode())
            process.stdin.close()
        except OSError:  # it has ended already
            pass
        for packet in packets_of(process.stdout):
            if packets and not -_JUMP_SECONDS < packet.dts - packets[-1].dts < _JUMP_SECONDS:
                complete = False
                process.kill()
                break
            packets.append(packet)
            if not complete and packet.dts - packets[0].dts >= wanted.span_seconds:
                complete = True
                process.send_signal(signal.SIGINT)
                late.cancel()
                late = threading.Timer(_END_SECONDS, process.kill)
                late.start()
        process.stdout.close()
    late.cancel()
    text = said.read_text(errors="replace")
    ended_well = process.returncode in (0, 255)  # 255 after SIGINT
    # bursts end by themselves, a frame short of the span; a file may end before
    spanned = packets[-1].dts - packets[0].dts if packets else 0.0
    whole = spanned >= 0.9 * wanted.span_seconds or (bool(packets) and is_recorded(wanted.address))
    return packets, whole and ended_well, next((cause for cause in _CAUSES if cause in text), None)


def packets_of(lines: Iterable[bytes]) -> Iterator[Packet]:
    """The packets in the text of ffmpeg's ``framecrc``, as they come."""
    base = 0.0
    for line in lines:
        arrival = time.monotonic()
        text = line.decode("ascii", "replace")
        head = re.match(r"#tb 0: (\d+)/(\d+)", text)
        if head is not None:
            base = int(head[1]) / int(head[2])
        fields = [field.strip() for field in text.split(",")]
        if text.startswith("#") or len(fields) < 6:
            continue
        # flags are told where they are others than those of a key frame alone
        flags = next((field[2:] for field in fields[6:] if field.startswith("F=")), "0x1")
        dts, pts, _, size = (int(field) for field in fields[1:5])
        yield Packet(arrival, dts * base, pts * base, size, bool(int(flags, 16) & 1))
