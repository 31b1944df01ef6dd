"""Windows of live streams: packets, filters, the plan, and real ffmpeg on files, UDP and a playlist."""

from __future__ import annotations

import contextlib
import http.server
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from advisor.quality.live_capture import Capture, Packet, Wanted, capture, command, packets_of, playlist
from advisor.quality.live_checks import read_checks
from advisor.quality.live_process import Request, run_window
from advisor.quality.live_window import begins
from advisor.video.ffmpeg import find_ffmpeg
from tests.support.ports import free_ports
from tests.support.waiting import wait_until

FRAMECRC = b"""#software: Lavf63.1.102
#tb 0: 1/90000
#media_type 0: video
#codec_id 0: h264
0,          0,       3600,     3600,    13690, 0x682812b7, S=1, MPEGTS Stream ID,        1, 0x00e000e0
0,       3600,      10800,     3600,     2445, 0x84519442, F=0x0, S=1, MPEGTS Stream ID,        1, 0x00e000e0
0,       7200,       7200,     3600,      300, 0x2a4b90a0, F=0x0
"""


def test_packets_are_what_ffmpeg_prints() -> None:
    packets = packets_of(FRAMECRC.splitlines())
    assert [(p.dts, p.pts, p.size, p.key) for p in packets] == [
        (0.0, pytest.approx(0.04), 13690, True),
        (pytest.approx(0.04), pytest.approx(0.12), 2445, False),
        (pytest.approx(0.08), pytest.approx(0.08), 300, False),
    ]


def taken(*packets: tuple[float, float, float, int, bool]) -> Capture:
    return Capture(file=Path("a.mkv"), packets=tuple(Packet(*packet) for packet in packets))


def test_packets_tell_bitrate_rate_gaps_and_key_frames() -> None:
    """Frames at 0, 1, 2, 5, 6 of 25 a second: seven periods, two frames missing, the second key at 5."""
    times = [0, 1, 2, 5, 6]
    of = taken(*((10 + t / 25, t / 25, t / 25, 700, t in (0, 5)) for t in times))
    assert of.seconds == pytest.approx(7 / 25)
    assert of.bitrate_kbps == pytest.approx(5 * 700 * 8 / 1000 / (7 / 25))
    assert of.frame_rate == pytest.approx(5 / (7 / 25))
    assert of.missing_frames == 2
    assert of.keyframe_age == pytest.approx(1 / 25)
    assert of.keyframe_interval == pytest.approx(5 / 25)


def test_when_a_frame_could_be_shown_is_told_by_the_fastest_packet() -> None:
    """The first two came late, in a burst; the third at once: its decoding time 2.0 is the clock's 102."""
    of = taken((101.9, 0.0, 0.1, 1, True), (101.9, 1.0, 1.3, 1, False), (102.0, 2.0, 2.0, 1, False))
    assert of.shown_from == pytest.approx(100.1)


def test_frames_that_are_sent_ahead_leave_no_gap_at_the_end() -> None:
    """Frames 0 3 1 2 6: the last came before 4 and 5, which are shown before it."""
    of = taken(*((n / 25, n / 25, pts / 25, 1, n == 0) for n, pts in enumerate((0, 3, 1, 2, 6))))
    assert (of.missing_frames, of.frame_rate) == (0, pytest.approx(25))


def test_a_variable_rate_has_no_missing_frames() -> None:
    of = taken(*((t, t, t, 1, True) for t in (0.0, 0.04, 0.08, 0.13, 0.17, 0.22)))
    assert of.missing_frames == 0


FILTERS = """  Stream #0:0: Video: h264 (High), yuv420p(tv, progressive), 640x360, 25 fps, 25 tbr
  Stream #0:1: Audio: aac (LC), 48000 Hz, stereo, fltp
[Parsed_freezedetect_1 @ 0x7f] lavfi.freezedetect.freeze_start: 0
[Parsed_freezedetect_1 @ 0x7f] lavfi.freezedetect.freeze_duration: 1
[Parsed_freezedetect_1 @ 0x7f] lavfi.freezedetect.freeze_end: 1
[Parsed_freezedetect_1 @ 0x7f] lavfi.freezedetect.freeze_start: 3
[Parsed_blackdetect_0 @ 0x7f] black_start:1 black_end:2 black_duration:1
[Parsed_silencedetect_0 @ 0x7f] silence_start: 0
[Parsed_silencedetect_0 @ 0x7f] silence_end: 4.02 | silence_duration: 4.02
[Parsed_blockdetect_2 @ 0x7f] block mean: 1.25
"""


def test_filters_tell_shares_of_the_window() -> None:
    """Frozen in the first of four seconds and from the third to the end; black for one; silent throughout."""
    checks = read_checks(FILTERS, 4.0)
    assert (checks.frozen_ratio, checks.black_ratio, checks.silence_ratio) == (0.5, 0.25, 1.0)
    assert (checks.blockiness, checks.width, checks.height) == (1.25, 640, 360)


def test_what_filters_cannot_tell_is_unknown() -> None:
    checks = read_checks("[Parsed_blockdetect_2 @ 0x7f] block mean: -nan\n", 4.0)
    assert (checks.blockiness, checks.silence_ratio) == (None, None)


def test_nobody_waits_for_a_rendition_that_did_not_come() -> None:
    request = Request(
        addresses={"reference": "udp://a", "x": "udp://b", "gone": "udp://c"},
        window_seconds=4,
        ffmpeg="",
        lags={"x": 1.0},
        absent=frozenset({"gone"}),
        keyframe_seconds=2,
    )
    assert begins(request) == {"reference": (0.0, 10.0), "x": (4.0, 4.0), "gone": (0.0, 4.0)}


def test_a_rendition_that_comes_first_lets_the_reference_wait() -> None:
    request = Request(
        addresses={"reference": "udp://a", "x": "udp://b"},
        window_seconds=4,
        ffmpeg="",
        lags={"x": -8.0},
        keyframe_seconds=2,
    )
    assert begins(request) == {"reference": (5.0, 10.0), "x": (0.0, 4.0)}


def test_an_address_is_no_argument_and_cannot_leave_its_line() -> None:
    address = "rtmp://user:it's@host/live/key"
    wanted = Wanted(name="0", address=address, begin=0, span_seconds=4, deadline=9)
    assert not [argument for argument in command("ffmpeg", wanted) if "host" in argument]
    assert r"file 'rtmp://user:it'\''s@host/live/key'" in playlist(address).splitlines()


def command_lines(folder: Path) -> list[str]:
    """Of the processes that work in ``folder``, as everybody can read them."""
    lines = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            if (process / "cwd").readlink() == folder:
                lines.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return lines


@pytest.mark.ffmpeg
def test_a_stream_that_never_comes_is_nowhere_to_be_read_and_leaves_nothing(tmp_path: Path) -> None:
    """While ffmpeg waits its address is in no process list; when it is given up, no process is left."""
    (port,) = free_ports(1)
    address = f"udp://127.0.0.1:{port}?localaddr=127.0.0.1&s3cret=s3cret"
    request = Request(addresses={"x": address}, window_seconds=1, ffmpeg=str(find_ffmpeg()))
    seen: list[str] = []

    def stopped() -> bool:
        seen.extend(command_lines(tmp_path))
        return any("pipe:0" in line for line in seen)

    window = run_window(request, tmp_path, stopped=stopped)
    assert (window.answer, window.problem) == (None, "it was stopped")
    assert not [line for line in seen if "s3cret" in line or f"{port}" in line]
    wait_until(lambda: not command_lines(tmp_path))


@pytest.fixture
def playlists() -> Iterator[str]:
    """A server whose playlist leads to a file of the machine that reads it; another one is plain text."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile:///etc/hostname.ts\n#EXT-X-ENDLIST\n"
            if "text" in self.path:
                text = b"FAILED TO CONNECT"
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.ffmpeg
@pytest.mark.parametrize(
    ("path", "cause"), [("a.m3u8", "not on whitelist"), ("text.m3u8", "Invalid data found")]
)
def test_a_playlist_from_the_network_opens_no_file(
    playlists: str, tmp_path: Path, path: str, cause: str
) -> None:
    for seconds in (5, 60):  # on a busy machine ffmpeg may not have begun in the first
        begin = time.monotonic()
        deadline = begin + seconds
        wanted = Wanted(
            name="0", address=f"{playlists}/{path}", begin=begin, span_seconds=1, deadline=deadline
        )
        captured = capture(wanted, str(find_ffmpeg()), tmp_path)
        if captured.cause is not None:
            break
    assert (captured.packets, captured.complete, captured.cause) == ((), False, cause)


@pytest.mark.ffmpeg
def test_a_window_of_files(tmp_path: Path) -> None:
    """One rendition begins 10 frames later, one is a still picture, one begins shortly before the clock of
    its transport stream turns over, and one is sent in twice the size from the middle on.
    """
    ffmpeg = str(find_ffmpeg())
    source, h264 = "testsrc2=s=160x90:r=25:d=4", ("-c:v", "libx264", "-preset", "ultrafast", "-threads", "1")
    made = {
        "reference.mkv": [source, "-c:v", "ffv1"],
        "low.mkv": [f"{source},trim=start_frame=10,setpts=PTS-STARTPTS", *h264, "-crf", "30"],
        "still.mkv": ["color=gray:s=160x90:r=25:d=4", *h264],
        "turns.ts": [source, *h264, "-output_ts_offset", "95442"],
        "grows.flv": [f"{source},trim=end=2", *h264],
        "rest.flv": [
            f"{source},trim=start=2,scale=320:180,setpts=PTS-STARTPTS",
            *h264,
            "-output_ts_offset",
            "2",
        ],
    }
    for name, (graph, *encode) in made.items():
        run = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", graph, *encode, str(tmp_path / name)]
        subprocess.run(run, check=True)
    rest = (tmp_path / "rest.flv").read_bytes()[13:]  # behind the head of an FLV
    (tmp_path / "grows.flv").write_bytes((tmp_path / "grows.flv").read_bytes() + rest)
    addresses = {Path(name).stem: f"file:{tmp_path / name}" for name in made if name != "rest.flv"}
    folder = tmp_path / "window"
    folder.mkdir()
    request = Request(addresses=addresses, window_seconds=3, ffmpeg=ffmpeg, nice=0)
    window = run_window(request, folder, stopped=lambda: False)
    assert window.answer is not None, window.problem
    seen = window.answer.seen
    assert {name: one.outcome for name, one in seen.items()} == {
        "reference": "checked",
        "low": "scored",
        "still": "unaligned",
        "turns": "scored",
        "grows": "scored",
    }
    low = seen["low"]
    assert low.quality is not None and low.checks is not None  # noqa: PT018
    assert low.lag_seconds == pytest.approx(0.4)
    assert low.quality.vmaf is not None and 30 < low.quality.vmaf.mean < 100  # noqa: PT018
    assert (low.checks.frozen_ratio, low.frame_rate, low.missing_frames) == (0.0, pytest.approx(25), 0)
    assert (seen["turns"].frame_rate, seen["turns"].missing_frames) == (pytest.approx(25), 0)
    grows = seen["grows"].quality
    assert grows is not None
    assert "the picture of the output changes its size to 320x180" in grows.notes
    assert seen["still"].checks is not None
    assert seen["still"].checks.frozen_ratio == pytest.approx(1.0, abs=0.05)
    assert window.cpu_seconds > 0
