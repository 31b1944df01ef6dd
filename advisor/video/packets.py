"""Video files by PyAV: opened, and their packets at the times that ffmpeg gives them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from advisor.video.ffmpeg import MEDIA_FORMATS

if TYPE_CHECKING:
    from av import Packet
    from av.container import Container, InputContainer
    from av.video.stream import VideoStream

_TS_DISCONT = 0x0200  # AVFMT_TS_DISCONT
_JUMPS = (-0.1, 10.0)
"""Seconds by which a time may differ from the one that is due."""


def opened(url: str, form: str | None = None, options: Mapping[str, str] | None = None) -> InputContainer:
    """A file, whose format holds its pictures itself unless ``form`` names one."""
    import av  # what only names packets does without

    # a list of other files is refused before they are opened
    only = {"protocol_whitelist": "file", "format_whitelist": form or MEDIA_FORMATS, **(options or {})}
    return av.open(url, format=form, metadata_errors="replace", options=only)


def first_video(container: InputContainer) -> VideoStream:
    """The first film, and the only stream that is read from then on; LookupError where there is none."""
    from av.stream import Discard

    film = films(container)[0]
    for other in container.streams:
        if other.index != film.index:
            other.discard = Discard.all
    return film


def films(container: Container) -> list[VideoStream]:
    """The video streams; cover art is one of one picture, and none of these."""
    from av.stream import Disposition

    return [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]


def clock_may_jump(container: InputContainer) -> bool:
    """Whether times are known only from the packets before: transport streams can be joined."""
    return bool(container.format.flags & _TS_DISCONT)


def demuxed(container: InputContainer, stream: VideoStream) -> Iterator[Packet[Any]]:
    """The packets of a stream; where transport streams were joined, at the times that ffmpeg gives them.

    It takes out jumps of their clock, ahead or back (``-dts_delta_threshold``).
    """
    base, shift, due = float(stream.time_base or 1), 0, None
    jumps = clock_may_jump(container)
    for packet in container.demux(stream):
        if jumps and packet.dts is not None:
            if due is not None and not _JUMPS[0] < (packet.dts + shift - due) * base < _JUMPS[1]:
                shift = due - packet.dts
            packet.dts += shift
            due = packet.dts + (packet.duration or 0)
            if packet.pts is not None:
                packet.pts += shift
        yield packet
