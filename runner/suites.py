"""The default suite: an idle baseline and real transcodes that differ in one thing at a time."""

from __future__ import annotations

from runner.spec import RungSpec, Spec

__all__ = ["DEFAULT_SUITE"]

_LADDER = [
    RungSpec(resolution="1280x720", bitrate="2500k"),
    RungSpec(resolution="854x480", bitrate="1200k"),
    RungSpec(resolution="640x360", bitrate="700k"),
]

DEFAULT_SUITE: tuple[Spec, ...] = (
    Spec(type="baseline"),
    Spec(name="x264 veryfast 2500k", encoder="libx264", preset="veryfast", bitrate="2500k"),
    Spec(name="x264 veryfast 1000k", encoder="libx264", preset="veryfast", bitrate="1000k"),
    Spec(name="x264 medium 2500k", encoder="libx264", preset="medium", bitrate="2500k"),
    Spec(name="x265 fast 1500k", encoder="libx265", preset="fast", bitrate="1500k"),
    Spec(name="svt-av1 10 1500k", encoder="libsvtav1", preset="10", bitrate="1500k"),
    Spec(name="x264 veryfast ladder", encoder="libx264", preset="veryfast", ladder=_LADDER),
    Spec(
        name="x264 veryfast 2 streams 1000k",
        encoder="libx264",
        preset="veryfast",
        bitrate="1000k",
        streams=2,
    ),
)
