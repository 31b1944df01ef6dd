"""What memory and time a comparison may take, from what was probed: no video takes the machine down."""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence

from msgspec import Struct

from advisor.common.control_group import memory_bytes
from advisor.errors import FfmpegError
from advisor.quality.probe import Media

_BYTES_PER_PIXEL, _BYTES_PER_PIXEL_AND_THREAD = 90, 27
"""Of ffmpeg with libvmaf, by output and by thread: 8192x8192 took 7 GiB with one thread, 17 with eight."""
_SHARE = 0.8
_PROGRAM_BYTES = 1 << 30
"""Program and libraries, whatever the pictures."""
_THREADS_PER_FILE, _MOST_DECODING_THREADS = 12, 16
"""ffmpeg's own for reading, decoding, filtering and writing one file; and its most for decoding one."""
_STACK_BYTES = 8 << 20
"""Of one thread, where the system does not say it: the kernel counts all of it, used or not."""
_LEAST_SECONDS, _SLOWEST_PIXELS_PER_SECOND = 600.0, 1e6


class ProcessLimits(Struct, frozen=True):
    """Of one ffmpeg process."""

    threads: int
    memory_bytes: int
    """Its data, as the kernel enforces it; twice of what it is thought to take."""
    seconds: float
    """What a machine takes that is far slower than any."""
    reduced: bool
    """Whether there are fewer threads than were asked for."""


def process_limits(source: Media, outputs: Sequence[Media], threads: int) -> ProcessLimits:
    """The limits of comparing ``outputs`` with ``source`` with at most so many threads.

    Raises
    ------
    FfmpegError
        Not even with one thread there is memory enough.
    """
    free = memory_bytes()[1]
    largest = max((source, *outputs), key=lambda media: media.width * media.height)
    pixels = largest.width * largest.height
    frames = max(media.frames for media in (source, *outputs))
    base = pixels * _BYTES_PER_PIXEL * len(outputs)
    fitting = int((free * _SHARE - base) / (pixels * _BYTES_PER_PIXEL_AND_THREAD))
    if fitting < 1:
        takes, there = (base + pixels * _BYTES_PER_PIXEL_AND_THREAD) / (1 << 30), free / (1 << 30)
        size = f"{largest.width}x{largest.height}"
        raise FfmpegError(f"{size} takes about {takes:.1f} GiB of memory, {there:.1f} GiB are free")
    used = min(threads, fitting)
    takes_bytes = base + used * pixels * _BYTES_PER_PIXEL_AND_THREAD
    seconds = _LEAST_SECONDS + frames * pixels * len(outputs) / _SLOWEST_PIXELS_PER_SECOND
    return ProcessLimits(
        used, _PROGRAM_BYTES + _stack_bytes(len(outputs), used) + 2 * takes_bytes, seconds, used < threads
    )


def _stack_bytes(outputs: int, threads: int) -> int:
    """Stacks of all threads: each of libvmaf, and of each file those that decode it, by the processors."""
    processors = len(os.sched_getaffinity(0))
    per_file = _THREADS_PER_FILE + min(processors, _MOST_DECODING_THREADS)
    stack = resource.getrlimit(resource.RLIMIT_STACK)[0]
    count = (outputs + 1) * per_file + max(threads, outputs) + processors
    return count * (_STACK_BYTES if stack == resource.RLIM_INFINITY else stack)
