"""The list of live streams: who is watched, how often, and what their addresses may make ffmpeg open.

An address may hold a password, a token or a stream key. It is taken from the operator's file and given to
ffmpeg alone (`advisor.quality.live_capture`); no message here repeats it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from advisor.common.regular_file import read_regular
from advisor.errors import InputError
from advisor.video.ffmpeg import MEDIA_FORMATS

REFERENCE = "reference"
"""What a stream's reference is called beside its renditions."""
_MOST_BYTES = 1 << 20
_PIECES = "hls,dash,webvtt,aac,ac3,eac3,mp3,mpegts,mov,matroska"

PROTOCOLS: dict[str, tuple[str, str]] = {
    "rtmp": ("rtmp,tcp", "flv,live_flv"),
    "rtmps": ("rtmps,tls,tcp", "flv,live_flv"),
    "srt": ("srt", "mpegts"),
    "udp": ("udp", "mpegts"),
    "rtp": ("rtp,udp", "rtp,mpegts"),
    "http": ("http,https,tls,tcp,crypto", f"flv,{_PIECES}"),
    "https": ("https,tls,tcp,crypto", f"flv,{_PIECES}"),
    "file": ("file,crypto", f"hls,dash,webvtt,{MEDIA_FORMATS}"),
}
"""By the scheme of an address: the protocols and formats that ffmpeg may use for it and what it leads to. A
playlist from the network opens no file, and one behind TLS nothing without it."""

_Name = Annotated[str, Meta(min_length=1, max_length=200)]
_Address = Annotated[str, Meta(min_length=1, max_length=4000)]


class Rendition(Struct, frozen=True, forbid_unknown_fields=True):
    """One output of a transcoder."""

    name: _Name
    url: _Address


class Stream(Struct, frozen=True, forbid_unknown_fields=True):
    """A source, and what is made of it."""

    name: _Name
    renditions: Annotated[tuple[Rendition, ...], Meta(min_length=1)]
    reference: _Address | None = None
    """None: there is nothing to compare with, and the renditions are checked alone."""
    container: _Name | None = None
    """Name of the container that makes it, as the exporter of containers has it."""
    group: _Name | None = None
    """Name of the control group that makes it, instead of a container."""

    @property
    def addresses(self) -> dict[str, str]:
        """All that is fetched, by name; the reference comes first."""
        first = {} if self.reference is None else {REFERENCE: self.reference}
        return first | {rendition.name: rendition.url for rendition in self.renditions}


class Live(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    streams: tuple[Stream, ...]
    window_seconds: Annotated[float, Meta(ge=1, le=60)] = 4.0
    """Of video in each rendition that are looked at together."""
    every_seconds: Annotated[float, Meta(ge=1, le=86400)] = 30.0
    """From the beginning of one window of a stream to that of the next, or more where CPU is short."""
    cpu: Annotated[float, Meta(gt=0, le=1024)] = 0.5
    """CPU seconds a second that all windows may take, on average."""


def read_live(path: Path) -> Live:
    """The streams of ``path``; addresses without a scheme are files, relative to its folder.

    Raises
    ------
    InputError
        It cannot be used. Names the line; never shows an address.
    """
    from advisor.common.yaml_text import YamlError, parse_yaml_lines

    try:
        document, lines = parse_yaml_lines(read_regular(path, _MOST_BYTES))
    except (OSError, YamlError) as exc:
        reason = (exc.strerror or exc.__class__.__name__) if isinstance(exc, OSError) else exc
        raise InputError(f"expected a YAML file of streams: {reason}", subject=path) from None
    try:
        live = msgspec.convert(document, Live)
    except msgspec.ValidationError as exc:
        # what msgspec says of a value is its type, and never the value
        message, _, place = str(exc).partition(" - at `$")
        raise _refused(message.replace("`", ""), place.rstrip("`").lstrip("."), path, lines) from None
    for field, problem in _problems(live):
        raise _refused(problem, field, path, lines)
    streams = [_located(stream, path.absolute().parent) for stream in live.streams]
    return replace(live, streams=tuple(streams))


def scheme_of(address: str) -> str:
    """The scheme in small letters; ``file`` for what has none.

    >>> scheme_of("RTMP://host/live/key"), scheme_of("clips/a.ts")
    ('rtmp', 'file')
    """
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", address)
    return match[1].lower() if match else "file"


def _refused(problem: str, field: str, path: Path, lines: dict[str, int]) -> InputError:
    line = lines.get(field)
    where = field if line is None else f"line {line}: {field}"
    return InputError(problem[:1].lower() + problem[1:], subject=path, field=where or None)


def _problems(live: Live) -> Iterator[tuple[str, str]]:
    """What is wrong, with the field."""
    if live.every_seconds < live.window_seconds:
        yield "every_seconds", "expected no less than window_seconds"
    yield from _twice([stream.name for stream in live.streams], "streams[{}].name")
    for n, stream in enumerate(live.streams):
        here = f"streams[{n}]"
        if stream.container is not None and stream.group is not None:
            yield f"{here}.group", "expected a container or a group, found both"
        yield from _twice([one.name for one in stream.renditions], here + ".renditions[{}].name")
        places = {f"{here}.renditions[{k}].url": one.url for k, one in enumerate(stream.renditions)}
        if any(one.name == REFERENCE for one in stream.renditions):
            yield f"{here}.renditions", f"expected another name than {REFERENCE}"
        if stream.reference is not None:
            places[f"{here}.reference"] = stream.reference
        for place, address in places.items():
            if scheme_of(address) not in PROTOCOLS:
                yield place, f"expected one of {', '.join(PROTOCOLS)} before the colon of an address"
            if not address.isprintable():
                yield place, "expected an address without control characters"


def _twice(names: list[str], place: str) -> Iterator[tuple[str, str]]:
    counts: Counter[str] = Counter()
    for n, name in enumerate(names):
        counts[name] += 1
        if counts[name] == 2:
            yield place.format(n), f"expected names that differ, found {name!r} twice"


def _located(stream: Stream, folder: Path) -> Stream:
    def whole(address: str) -> str:
        if scheme_of(address) != "file":
            return address
        return f"file:{folder / re.sub('^file:(//)?', '', address, flags=re.IGNORECASE)}"

    renditions = [replace(one, url=whole(one.url)) for one in stream.renditions]
    reference: Any = None if stream.reference is None else whole(stream.reference)
    return replace(stream, reference=reference, renditions=tuple(renditions))
