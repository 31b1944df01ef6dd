"""The ffmpeg command of a scenario, as somebody would use it on a whole file."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

# what the runner adds in order to measure; -t and -stream_loop bound the encode
_SWITCHES = {"-hide_banner", "-nostats", "-y", "-re"}
_OPTIONS = {"-loglevel", "-progress", "-timelimit", "-stream_loop", "-t", "-rw_timeout", "-reinit_filter"}
_ONE_SIZE = re.compile(r"(?<=\])scale=w=\d+:h=\d+,")
# times that go on from one turn of a loop to the next, and what keeps them in the output
_LOOP_TIMES = re.compile(r"setpts='if\(isnan\(PREV_OUTPTS\)[^']*'(,settb=[0-9/]+)?")
_LOOP_OPTIONS = {"-fps_mode:v", "-enc_time_base:v"}


def reusable_command(arguments: Sequence[str]) -> str:
    """The command that was measured, for a whole file, with its sound copied and without the measuring.

    >>> reusable_command(
    ...     ["/opt/ffmpeg", "-nostats", "-stream_loop", "-1", "-i", "file:/v/a b.mp4", "-filter_complex",
    ...      "[0:V:0]null[o0]", "-map", "[o0]", "-c:v", "libx264", "-f", "mp4", "file:/tmp/x_1.mp4"]
    ... )
    "ffmpeg -i 'a b.mp4' -map 0:V:0 -map '0:a?' -c:a copy -c:v libx264 -f mp4 output.mp4"
    >>> print(reusable_command(
    ...     ["ffmpeg", "-i", "file:/v/a.mp4", "-filter_complex",
    ...      "[0:V:0]scale=w=8:h=8,setpts='if(isnan(PREV_OUTPTS),0,PREV_OUTPTS+1)',settb=1/90000,hqdn3d[o0]",
    ...      "-map", "[o0]", "-c:v", "libx264", "-fps_mode:v", "vfr", "-f", "mp4", "file:/tmp/x_1.mp4"]
    ... ).partition(" -map ")[0])
    ffmpeg -i a.mp4 -filter_complex '[0:V:0]hqdn3d[o0]'
    """
    measured = [_ONE_SIZE.sub("", word) for word in arguments[1:]]
    once = [_LOOP_TIMES.sub("null", word).replace("]null,", "]") for word in measured]
    return shlex.join(["ffmpeg", *_kept(once, _OPTIONS if once == measured else _OPTIONS | _LOOP_OPTIONS)])


def _kept(rest: list[str], left_out: set[str]) -> Iterator[str]:
    outputs = sum(before == "-f" and word != "lavfi" for before, word in itertools.pairwise(rest))
    plain = "[0:V:0]null[o0]" in rest
    written = 0
    while rest:
        word = rest.pop(0)
        if word in _SWITCHES:
            continue
        if (word in left_out and rest) or (word == "-filter_complex" and plain):
            rest.pop(0)
        elif word == "-i" and rest:
            yield from (word, _name(rest.pop(0)))
        elif word == "-map" and rest:
            stream = rest.pop(0)
            yield from (word, "0:V:0" if plain else stream, "-map", "0:a?", "-c:a", "copy")
        elif word == "-f" and rest:
            container = rest.pop(0)
            yield from (word, container)
            if rest and container != "lavfi":
                rest.pop(0)
                written += 1
                yield "output.mp4" if outputs < 2 else f"output_{written}.mp4"
        else:
            yield word


def _name(source: str) -> str:
    """The file's name: where it lay when it was measured is nobody else's business."""
    return PurePosixPath(source.removeprefix("file:")).name if source.startswith("file:") else source
