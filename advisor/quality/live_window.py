"""One window of one live stream: all its addresses fetched together, laid side by side, scored and checked.

It is done by a process of its own, ``python -m advisor.quality.live_window FOLDER``, with a `Request` as JSON
on stdin; its `Answer` is ``answer.json`` in the folder. So a stream that makes a decoder crash or a server
that never answers hurts nobody else, the CPU that it took is known to the kernel, and no memory stays.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
from msgspec.structs import replace

from advisor.errors import FfmpegError, MediaError
from advisor.quality.live import REFERENCE
from advisor.quality.live_capture import Capture, Wanted, capture, comes_in_pieces, is_recorded
from advisor.quality.live_checks import check
from advisor.quality.live_process import ANSWER, Answer, Request, Seen
from advisor.quality.matching import Decoded, paired, shift_seconds
from advisor.quality.measure import begun, measure
from advisor.quality.passes import Work, ffmpeg_command
from advisor.quality.probe import Media, probe
from advisor.quality.process import run_ffmpeg
from advisor.quality.settings import QualitySettings
from advisor.quality.tracks import read_track, track_filters, track_outputs
from advisor.results import Quality

_LAG_SECONDS = ((-2.0, 11.0), (9.0, 22.0), (-13.0, 0.0))
"""Where an unknown lag is looked for, one range after the other."""
_TRY_SECONDS = 3.5
"""How far a lag is looked for to both sides of a guess, in one comparison."""
_STEADY_SECONDS, _PIECES_SECONDS = 1.0, 5.0
"""How much a lag that was found changes until the next window: by jitter, and by a piece of a playlist."""
_LEAST_SHARE = 0.6
"""Of a window's frames that have to lie in the reference: a few may fit somewhere else by chance."""
_PATIENCE_SECONDS = 12.0
"""More than the window itself that a stream is waited for."""
_ROUNDING_SECONDS = 0.0005


def _reach(request: Request, name: str) -> tuple[float, float]:
    """Where the lag of a rendition is looked for, in seconds."""
    lag = request.lags.get(name)
    if lag is None:
        return _LAG_SECONDS[request.search % len(_LAG_SECONDS)]
    pieces = any(comes_in_pieces(request.addresses[one]) for one in (name, REFERENCE))
    spread = _PIECES_SECONDS if pieces else _STEADY_SECONDS
    return lag - spread, lag + spread


def begins(request: Request) -> dict[str, tuple[float, float]]:
    """When each address is opened, in seconds from now, and the seconds of video that are wanted of it.

    A rendition that lags is opened later, so that both hold the same pictures; the reference begins with a
    key frame before it and goes on behind it.

    >>> begins(Request(addresses={"reference": "udp://a", "x": "udp://b"}, window_seconds=4.0, ffmpeg="",
    ...                lags={"x": 6.0}, keyframe_seconds=2))
    {'reference': (0.0, 10.0), 'x': (9.0, 4.0)}
    """
    window, keys = request.window_seconds, request.keyframe_seconds
    addresses = request.addresses
    if any(is_recorded(address) for address in addresses.values()):
        return {name: (0.0, window + 2 * keys * (name == REFERENCE)) for name in addresses}
    if REFERENCE not in addresses:
        return dict.fromkeys(addresses, (0.0, window))
    reaches = {name: _reach(request, name) for name in addresses if name not in {REFERENCE, *request.absent}}
    opened = {name: keys + high for name, (_, high) in reaches.items()}
    earliest = min([0.0, *opened.values()])
    widest = max([0.0, *(high - low for low, high in reaches.values())])
    plan = {name: (opened.get(name, earliest) - earliest, window) for name in addresses}
    return plan | {REFERENCE: (abs(earliest), window + 2 * keys + widest)}


def window(request: Request, folder: Path) -> Answer:
    """Look at the stream once; leaves what it fetched in ``folder``."""
    captures = _fetched(request, folder)
    reference = captures.get(REFERENCE)
    seen = {name: _seen(request, name, captured, reference) for name, captured in captures.items()}
    intervals = [one.keyframe_interval for one in captures.values() if one.packets]
    return Answer(seen=seen, keyframe_seconds=min(10.0, max([request.keyframe_seconds / 2, 1.0, *intervals])))


def _fetched(request: Request, folder: Path) -> dict[str, Capture]:
    plan = begins(request)
    now = time.monotonic()
    wanted = [
        Wanted(
            name=f"{n}",
            address=request.addresses[name],
            begin=now + begin,
            span_seconds=span,
            deadline=now + begin + span + _PATIENCE_SECONDS,
        )
        for n, (name, (begin, span)) in enumerate((name, plan[name]) for name in request.addresses)
    ]
    # not in a with: one that is told to end does not wait for its threads
    done = ThreadPoolExecutor(len(wanted)).map(lambda one: capture(one, request.ffmpeg, folder), wanted)
    return dict(zip(request.addresses, done, strict=True))


def _seen(request: Request, name: str, captured: Capture, reference: Capture | None) -> Seen:
    if not captured.packets:
        cause = captured.cause or "no data arrived"
        return Seen(outcome="unreachable", reason=cause, reconnects=captured.reconnects)
    seen = Seen(
        outcome="lost",
        reason=captured.cause or "ended before the window did",
        up=captured.complete,
        bitrate_kbps=captured.bitrate_kbps,
        frame_rate=captured.frame_rate,
        missing_frames=captured.missing_frames,
        keyframe_age_seconds=captured.keyframe_age,
        reconnects=captured.reconnects,
    )
    if not captured.complete:
        return seen
    try:
        checks = check(captured.file, request.ffmpeg, min(request.window_seconds, captured.seconds))
    except FfmpegError as exc:
        return replace(seen, outcome="damaged", reason=str(exc))
    seen = replace(seen, outcome="checked", reason=None, checks=checks)
    if name == REFERENCE or reference is None:
        return seen
    if not reference.complete:
        return replace(seen, reason="the reference did not arrive")
    if name in request.absent:
        return replace(seen, reason="it was down before")
    try:
        compared = _compared(request, name, captured, reference)
    except MediaError as exc:  # by the probe; it names the file, which is the window's own
        return replace(seen, outcome="damaged", reason=exc.problem)
    except FfmpegError as exc:
        return replace(seen, outcome="failed", reason=str(exc))
    if isinstance(compared, str):
        return replace(seen, outcome="unaligned", reason=compared)
    return replace(seen, outcome="scored", quality=compared[0], lag_seconds=compared[1])


def _compared(
    request: Request, name: str, captured: Capture, reference: Capture
) -> tuple[Quality, float] | str:
    """The quality and the lag, or why there are none."""
    source, encode = probe(reference.file), probe(captured.file)
    if not source.times:
        return "the reference has no timestamps"
    recorded = any(is_recorded(request.addresses[one]) for one in (name, REFERENCE))
    low, high = _reach(request, name)
    # one comparison can search so much; else the middles of two parts
    guesses = [low + _TRY_SECONDS, high - _TRY_SECONDS]
    if high - low <= 2 * _PIECES_SECONDS:
        guesses = [(low + high) / 2]
    reason = "the frames do not match the reference"
    for guess in [0.0] if recorded else guesses:
        apart = 0.0 if recorded else captured.shown_from - guess - reference.shown_from
        start = 0.0 if recorded else max(0.0, apart - min(_PIECES_SECONDS, (high - low) / 2))
        first = next((time for time in source.times if time >= start - _ROUNDING_SECONDS), None)
        if first is None:
            reason = "the reference ends too early"
            continue
        try:
            offset = _offset(request, source, encode, start)
            if start and not offset:
                # a picture that stands fits everywhere, also where the search begins: the former lag holds
                if name not in request.lags:
                    reason = "the picture is frozen, so its offset is unknown"
                    continue
                offset = apart - (first - source.times[0])
            quality = measure(
                reference.file,
                captured.file,
                QualitySettings(reference_start=start, offset=offset, crop="none"),
                ffmpeg=request.ffmpeg,
                threads=1,
            ).quality
        except MediaError as exc:
            reason = exc.problem
            continue
        if (
            quality.aligned
            and (quality.frames or 0) < _LEAST_SHARE * captured.frame_rate * request.window_seconds
        ):
            reason = "too little of it overlaps the reference"
            continue
        if quality.aligned:
            at = first - source.times[0] + (quality.offset_seconds or 0.0)
            lag = at if recorded else captured.shown_from - reference.shown_from - at
            return quality, lag
        reason = quality.reason or reason
    return reason


def _offset(request: Request, source: Media, encode: Media, start: float) -> float:
    """Where in the reference, from ``start`` on, the rendition begins; 0 also where every place is as good.

    Thumbnails alone: a search among scored frames would score them several times.
    """
    settings = QualitySettings(reference_start=start, crop="none")
    output = begun(source, encode, settings)
    work = Work(settings, request.ffmpeg, 1, 0, None)
    with tempfile.TemporaryDirectory(prefix="wattframe-live-") as name:
        folder = Path(name)
        tracks = ("reference", "output")
        graph = ";".join(f"[{n}:V:0]{track_filters(one, None)}" for n, one in enumerate(tracks))
        command = [*ffmpeg_command(work, source, [output], folder, graph), *track_outputs(tracks)]
        run_ffmpeg(command, folder=folder, inputs=(source.path, encode.path))
        seen = Decoded(
            source, encode, read_track(folder, "reference"), read_track(folder, "output"), settings
        )
    pairing = paired(seen)
    return shift_seconds(pairing, seen) if pairing is not None else 0.0


def main() -> int:
    """Answer the request on stdin."""
    # a parent that gives up ends the children of this process too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = Path(sys.argv[1])
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    os.nice(request.nice)
    try:
        answer = window(request, folder)
    except SystemExit:  # by the signal; Python's own way out would wait for the threads
        os._exit(1)
    (folder / ANSWER).write_bytes(msgspec.json.encode(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
