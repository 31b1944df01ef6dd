"""Small videos whose frames and times are known because they were chosen, in containers that people have."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

__all__ = ["GRID", "KnownVideo", "make_video", "random_video"]

GRID = 120
"""Ticks a second on which frames lie: 24, 25 (nearly), 30, 40 and 60 frames a second and all between."""


class KnownVideo(Struct, frozen=True, kw_only=True):
    """A file, and what is true of its first video."""

    path: Path
    times: tuple[float, ...]
    """Seconds of each frame from the first."""
    size: tuple[int, int]
    """As it is shown."""
    described: str

    def frames_within(self, seconds: float) -> int:
        """Frames that begin within the first ``seconds``."""
        return sum(time < seconds - 1e-4 for time in self.times)


def make_video(
    ffmpeg: Path,
    path: Path,
    ticks: Sequence[int],
    *,
    size: tuple[int, int] = (64, 48),
    encode: Sequence[str] = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2"),
    sound_first_seconds: float | None = None,
    cover: bool = False,
    rotation: int = 0,
) -> KnownVideo:
    """A video with one frame at each of ``ticks`` (120 a second, ascending, from 0).

    ``sound_first_seconds`` adds sound that begins so much earlier, ``cover`` a picture of another size, and
    ``rotation`` turns the picture by the display matrix as phones do (MP4 and MOV only).
    """
    chosen = "+".join(f"eq(n,{tick})" for tick in ticks)
    source = f"testsrc2=s={size[0]}x{size[1]}:r={GRID}:d={(ticks[-1] + 1) / GRID:.6f}"
    # the source itself draws even sizes only
    graph = f"[0:v]select='{chosen}',format=yuv420p,scale={size[0]}:{size[1]}[v]"
    plain = path.with_name(f"plain_{path.name}")
    run = [str(ffmpeg), "-v", "error", "-nostdin", "-y"]
    subprocess.run(
        [
            *(*run, "-f", "lavfi", "-i", source, "-filter_complex", graph, "-map", "[v]", *encode),
            # AVI has one rate in its head instead of times
            *(
                "-fps_mode",
                "passthrough",
                "-enc_time_base",
                f"{ticks[1] if path.suffix == '.avi' else 1}:{GRID}",
            ),
            plain,
        ],
        check=True,
    )
    if sound_first_seconds is None and not cover and not rotation:
        plain.rename(path)
    else:
        inputs = ["-display_rotation", str(rotation)] if rotation else []
        inputs += ["-itsoffset", str(sound_first_seconds)] if sound_first_seconds else []
        inputs += ["-i", str(plain)]
        maps = ["-map", "0:v"]
        if sound_first_seconds is not None:
            inputs += ["-f", "lavfi", "-i", f"sine=d={ticks[-1] / GRID + sound_first_seconds + 0.2:.3f}"]
            maps += ["-map", "1:a", "-c:a", "mp2" if path.suffix in (".ts", ".avi", ".mpg") else "aac"]
        if cover:
            inputs += ["-f", "lavfi", "-i", "color=red:s=128x128:d=0.04"]
            number = 2 if sound_first_seconds is not None else 1
            maps += ["-map", f"{number}:v", "-c:v:1", "mjpeg", "-disposition:v:1", "attached_pic"]
        subprocess.run([*run, *inputs, *maps, "-c:v:0", "copy", path], check=True)
        plain.unlink()
    shown = size if rotation % 180 == 0 else size[::-1]
    words = f"{path.name} {len(ticks)} frames {size} rotation {rotation} cover {cover} {sound_first_seconds}"
    times = tuple((tick - ticks[0]) / GRID for tick in ticks)
    return KnownVideo(path=path, times=times, size=shown, described=words)


_KINDS = (
    (".mp4", ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "3")),
    (".mp4", ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none")),
    (".mov", ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2")),
    (".mkv", ("-c:v", "ffv1")),
    (".mkv", ("-c:v", "libx264", "-preset", "veryfast", "-bf", "3")),
    (".webm", ("-c:v", "libvpx-vp9", "-cpu-used", "8", "-deadline", "realtime")),
    (".flv", ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2")),
    (".ts", ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2")),
    (".avi", ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2")),
    (".avi", ("-c:v", "mjpeg")),
)


def random_video(chance: random.Random, ffmpeg: Path, folder: Path) -> KnownVideo:
    """One of the kinds that phones, screens, cameras and downloads give."""
    suffix, encode = chance.choice(_KINDS)
    # AVI has one rate and no times
    steps = (
        [chance.choice((2, 4, 5))] if suffix == ".avi" else chance.choice(([4], [5], [2, 4], [2, 3, 5, 12]))
    )
    ticks = [0]
    for _ in range(chance.randint(12, 40)):
        ticks.append(ticks[-1] + chance.choice(steps))
    if suffix not in (".avi", ".ts") and chance.random() < 0.2:
        gap = chance.randint(30, 90)
        half = len(ticks) // 2
        ticks = [*ticks[:half], *(tick + gap for tick in ticks[half:])]
    odd = "ffv1" in encode or "libvpx-vp9" in encode
    size = chance.choice(((64, 48), (90, 50), (48, 64), *(((65, 49),) if odd else ())))
    mp4 = suffix in (".mp4", ".mov")
    return make_video(
        ffmpeg,
        folder / f"input{suffix}",
        ticks,
        size=size,
        encode=encode,
        sound_first_seconds=chance.choice((None, 0.0, 0.4, 1.5))
        if suffix in (".mp4", ".mov", ".mkv")
        else None,
        cover=suffix in (".mp4", ".mkv") and chance.random() < 0.3,
        rotation=chance.choice((0, 0, 90, 180, 270)) if mp4 else 0,
    )
