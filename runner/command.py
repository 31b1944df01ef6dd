"""From a job to ffmpeg's argument lists.

The input is looped without end and the encode is bounded from outside (see `runner.process`) or by ``-t``.
Unless a rate is asked for, every frame is encoded with the time at which the input shows it.
"""

from __future__ import annotations

import math
import os
import re
import statistics
import zlib
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from advisor.video.encoders import Encoder
from advisor.video.ffmpeg import file_url
from runner.jobs import Job, Rung
from runner.source import LAVFI, Source

TICKS_PER_SECOND = 90_000
"""Of the times that encoders are given: all usual frame rates are whole numbers of these."""
_LONGEST_STEP_RATIO = 1.5
"""Of the longest time between two frames of an input: a longer one lies where it begins again."""


_SERVER = re.compile(r"(rtmps?://)(?:[^\s/]*@)?([^\s/?]+(?:/[^\s/?]+)?)(?:[/?]\S*)?")
_KEY_LENGTH = 8
"""From which a stream key is no word that may stand in a message by chance."""


class Target(Struct, frozen=True, kw_only=True):
    """Where one rendition goes."""

    rung: Rung
    url: str
    path: Path | None
    """The file, None for null and RTMP sinks."""
    pass_log: Path | None = None
    """The beginning of the names of what a first pass writes; None with one pass."""

    @property
    def pass_files(self) -> list[Path]:
        """What a first pass has written for the second."""
        return [] if self.pass_log is None else list(self.pass_log.parent.glob(f"{self.pass_log.name}-*"))


class Command(Struct, frozen=True):
    """One ffmpeg process, or two of which the second runs when the first has ended well."""

    arguments: tuple[str, ...]
    targets: tuple[Target, ...]
    first_pass: tuple[str, ...] = ()

    @property
    def has_statistics(self) -> bool:
        """Whether the first pass left something for the second; without, an older ffmpeg has none."""
        return all(any(file.stat().st_size for file in target.pass_files) for target in self.targets)


def commands(job: Job, *, ffmpeg: Path, folder: Path, source: Source | None = None) -> list[Command]:
    """One command per concurrent stream; files go to ``folder``, named by scenario, repeat, stream, rung.

    ``source`` is what is known of the job's input.
    """
    return [_command(job, ffmpeg, folder, source, index) for index in range(len(job.streams))]


def without_key(text: str, job: Job) -> str:
    """``text`` of an argument or a message without the password and the stream key of the job's server.

    >>> without_key("rtmp://me:pw@host/live/k3y?t=1: refused", Job(name="a", duration_seconds=1.0, rtmp=""))
    'rtmp://host/live/... refused'
    >>> without_key("sk_live_1 is in use", Job(name="a", duration_seconds=1.0, rtmp="rtmp://h/a/sk_live_1?t=1"))
    '... is in use'
    """
    if job.rtmp is None:
        return text
    text = _SERVER.sub(r"\1\2/...", text)
    # servers name a stream without what follows its key
    for word in sorted(re.split(r"[/?&=]", job.rtmp)[4:], key=len, reverse=True):
        text = text.replace(word, "...") if len(word) >= _KEY_LENGTH else text
    return text


def _command(job: Job, ffmpeg: Path, folder: Path, source: Source | None, stream: int) -> Command:
    targets = targets_of(job, folder, stream)
    head = [str(ffmpeg), *_global_arguments(job), *_input_arguments(job, source)]
    head += ["-filter_complex", _graph(job, targets, source)]
    passes = [_outputs(job, targets, source, number) for number in range(1, (job.passes or 1) + 1)]
    return Command((*head, *passes[-1]), targets, (*head, *passes[0]) if job.passes == 2 else ())


def _outputs(job: Job, targets: Sequence[Target], source: Source | None, number: int) -> list[str]:
    arguments = []
    # beside sound the video keeps its time in the file
    start = 0.0 if job.audio is None or source is None else source.start_seconds
    for index, target in enumerate(targets):
        arguments += ["-map", f"[o{index}]", *_video_arguments(job, target)]
        if target.pass_log is not None:
            arguments += ["-pass:v", str(number), "-passlogfile:v", str(target.pass_log)]
        last = number == (job.passes or 1)
        arguments += [
            *(_audio_arguments(job) if last else []),
            *_end_arguments(job, target, start, sink=last),
        ]
    return arguments


def _global_arguments(job: Job) -> list[str]:
    # the level in each line tells errors from the rest; verbose brings the frames of every output
    arguments = ["-hide_banner", "-nostats", "-loglevel", "level+verbose", "-progress", "pipe:1", "-y"]
    # a second bound, in CPU seconds, should nobody be left to end an endless input
    limit = math.ceil(60 + 4 * (os.cpu_count() or 1) * max(job.duration_seconds, job.media_seconds or 0))
    return [*arguments, "-timelimit", str(limit), *job.table.device]


def trial(job: Job, source: Source) -> list[str]:
    """Arguments that encode the first frame as the job would, to nowhere."""
    targets = targets_of(job, Path(), 0)
    arguments = ["-nostdin", "-v", "warning", "-y", *job.table.device, *_input_arguments(job, source)]
    arguments += ["-filter_complex", _graph(job, targets, source)]
    muxer = {"file": "mp4", "null": "null", "rtmp": "flv"}[job.sink]
    for index, target in enumerate(targets):
        arguments += ["-map", f"[o{index}]", *_video_arguments(job, target), *_audio_arguments(job)]
        # this header names the streams before their frames, so that a codec that cannot go in is found
        arguments += ["-movflags", "+empty_moov"] if muxer == "mp4" else []
        arguments += ["-frames:v", "1", "-t", "1", "-f", muxer, os.devnull]
    return arguments


def hardware_trial(job: Job) -> list[str]:
    """Arguments that decode the first frame by hardware alone; a decode as usual falls back to the CPU."""
    name = job.hardware_decoding or ""
    decoder = ["-hwaccel", name, "-hwaccel_output_format", name, "-i", file_url(job.input or "")]
    to_memory = "hwdownload,format=nv12|p010le|yuv444p|yuv444p16le"
    picture = ["-map", "0:V:0", "-vf", to_memory, "-frames:v", "1", "-f", "null", "-"]
    return ["-nostdin", "-v", "error", *decoder, *picture]


def _input_arguments(job: Job, source: Source | None) -> list[str]:
    """The input of a job, without end where it is a file that can be read again from its start."""
    name = job.input or ""
    pace = ["-re"] if job.realtime else []
    if name.startswith(LAVFI):
        return [*pace, "-f", "lavfi", "-i", name.removeprefix(LAVFI)]
    decoding = [] if job.hardware_decoding is None else ["-hwaccel", job.hardware_decoding]
    loop = ["-stream_loop", "-1"] if source is None or source.loops else []
    # begun anew, where size or colours of the pictures change, the graph would begin its times anew
    return ["-reinit_filter", "0", *pace, *decoding, *loop, "-i", file_url(name)]


def _graph(job: Job, targets: Sequence[Target], source: Source | None) -> str:
    """One decode; times, filters and a change of frame rate before the split, sizes and uploads after it."""
    # pictures whose size changes get that of the first; all others pass as they are
    media = None if source is None else source.media
    common = ["setparams=colorspace=unknown"] if source is not None and source.has_foreign_matrix else []
    common += [f"scale=w={media.width}:h={media.height}"] if media is not None and media.width else []
    common += [*_times(job, source), *([job.filters] if job.filters is not None else [])]
    if job.fps is not None:
        common.append(f"fps={job.fps}")
    # where the encode ends is rounded to these: AVI's are whole frames
    common.append(f"settb=1/{TICKS_PER_SECOND}")
    chains = [_chain(job, target.rung) for target in targets]
    if len(chains) == 1:
        return f"[0:V:0]{','.join([*common, *chains[0]])}[o0]"
    split = ",".join([*common, f"split={len(chains)}"])
    heads = "".join(f"[s{index}]" for index in range(len(chains)))
    tails = [f"[s{index}]{','.join(chain) or 'null'}[o{index}]" for index, chain in enumerate(chains)]
    return ";".join([f"[0:V:0]{split}{heads}", *tails])


def _times(job: Job, source: Source | None) -> list[str]:
    """The filter that lets the first frame begin at 0 and the next pass follow the one before.

    Several containers have no times where they begin again, or a gap: after the last of the input's frames
    its own length is taken, and elsewhere the usual step. Beside sound both keep the times of the file.
    """
    if job.audio is not None:
        return []
    if source is None or source.seconds is None:
        return ["setpts=PTS-STARTPTS"]
    usual, longest = statistics.median(source.steps), _LONGEST_STEP_RATIO * max(source.steps)
    # a frame with the time of the one before follows it at once, so that those behind keep theirs
    step = (
        f"if(gte(PTS,PREV_INPTS)*lte((PTS-PREV_INPTS)*TB,{longest:.6f}),max(1,PTS-PREV_INPTS),"
        f"round({usual:.6f}/TB))"
    )
    last = f"round({source.seconds - source.times[-1]:.6f}/TB)"
    step = f"if(mod(N,{len(source.times)}),{step},{last})"
    return [f"setpts='if(isnan(PREV_OUTPTS),0,PREV_OUTPTS+{step})'"]


def _chain(job: Job, rung: Rung) -> list[str]:
    chain = []
    if rung.resolution is not None:
        width, height = rung.resolution.split("x")
        # bicubic by name, since the quality measurement undoes it with the same
        chain.append(f"scale=w={width}:h={height}:flags=bicubic")
    if job.pixel_format is not None:
        chain.append(f"format={job.pixel_format}")
    if job.table.upload is not None:
        chain.append(job.table.upload)
    return chain


def _video_arguments(job: Job, target: Target) -> list[str]:
    encoder = job.table
    options = _filled(encoder.preset, job.preset or "")
    options += encoder.live if job.realtime else encoder.offline
    options += encoder.fixed
    if target.rung.bitrate is not None:
        options += _filled(encoder.bitrate, target.rung.bitrate)
    if target.rung.crf is not None:
        options += _filled(encoder.constant_quality, f"{target.rung.crf:g}")
    if job.threads is not None:
        options += _filled(encoder.threads, str(job.threads))
    for name, value in job.encoder_options.items():
        option = f"-{name}"
        options += [option if option == encoder.parameters else f"{option}:v", value]
    arguments = ["-c:v", encoder.name, *_with_one_list(options, encoder), "-fps_mode:v", "vfr"]
    if job.fps is None and not encoder.constant_rate_only:
        arguments += ["-enc_time_base:v", f"1:{TICKS_PER_SECOND}"]
    return arguments


def _with_one_list(options: Sequence[str], encoder: Encoder) -> list[str]:
    """The options, with the library's parameters in one list: of several ffmpeg heeds the last."""
    values: dict[str, str] = {}
    for option, value in zip(options[::2], options[1::2], strict=True):
        before = values.get(option) if option == encoder.parameters else None
        values[option] = value if before is None else f"{before}{encoder.parameter_separator}{value}"
    return [word for pair in values.items() for word in pair]


def _audio_arguments(job: Job) -> list[str]:
    if job.audio is None:
        return []
    rate = [] if job.audio_bitrate is None else ["-b:a", job.audio_bitrate]
    return ["-map", "0:a:0?", "-c:a", job.audio, *rate]


def _end_arguments(job: Job, target: Target, start_seconds: float, *, sink: bool) -> list[str]:
    arguments = [] if job.media_seconds is None else ["-t", f"{job.media_seconds + start_seconds:.10g}"]
    if not sink:
        return [*arguments, "-f", "null", "-"]
    if job.sink == "rtmp":
        # a server that stops answering is a failure after this many microseconds, not a wait without end
        arguments += ["-rw_timeout", "10000000"]
    return [*arguments, "-f", {"file": "mp4", "null": "null", "rtmp": "flv"}[job.sink], target.url]


def _filled(template: Sequence[str], value: str) -> list[str]:
    return [part.replace("{}", value) for part in template]


def targets_of(job: Job, folder: Path, stream: int) -> tuple[Target, ...]:
    """Where the renditions of one of a job's streams go: no other job's files have these names."""
    return tuple(_target(job, folder, stream, index) for index in range(len(job.streams[stream])))


def _target(job: Job, folder: Path, stream: int, index: int) -> Target:
    rung = job.streams[stream][index]
    several = len(job.streams) > 1, len(job.streams[stream]) > 1
    suffix = (f"_s{stream + 1}" if several[0] else "") + (f"_r{index + 1}" if several[1] else "")
    stem = f"{slug(job.name)}_{job.repeat}{suffix}"
    pass_log = folder.absolute() / f"{stem}_pass" if job.passes == 2 else None
    if job.sink == "file":
        path = folder / f"{stem}.mp4"
        return Target(rung=rung, url=file_url(path), path=path, pass_log=pass_log)
    url = "-" if job.sink == "null" else f"{job.rtmp}{suffix}"
    return Target(rung=rung, url=url, path=None, pass_log=pass_log)


def slug(name: str) -> str:
    """A file name for a scenario: letters, digits, dots, dashes, and a checksum if that loses something.

    >>> slug("x264-720p"), slug("x264: 720p")
    ('x264-720p', 'x264-720p-b82d2313')
    """
    plain = "".join(c if c.isascii() and (c.isalnum() or c == ".") else "-" for c in name)
    short = "-".join(part for part in plain.split("-") if part)[:80]
    return short if short == name and not name.startswith(".") else f"{short}-{zlib.crc32(name.encode()):08x}"
