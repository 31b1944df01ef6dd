"""Pairs of videos whose frames are known by construction, and their true score.

Each pair is made by ffmpeg commands from the sample clip. The truth does not come from timestamps: both
videos are written as raw frames in an order that is known (`Truth`), and libvmaf compares the n-th with the
n-th.
"""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

from msgspec import Struct

from advisor.quality.settings import Area, RawFormat

SAMPLE = Path(__file__).resolve().parent.parent / "samples" / "bigbuckbunny.mp4"
WIDTH, HEIGHT, FRAMES = 480, 270, 50


class Truth(Struct, frozen=True):
    """How to write both videos as raw frames that belong together one by one."""

    reference: str = "null"
    """Filters over the reference's frames."""
    distorted: str = "null"
    pixel_format: str = "yuv420p"
    width: int = WIDTH
    height: int = HEIGHT
    reference_file: str | None = None
    """Another file than the pair's, where the pair's own was changed without loss."""
    distorted_file: str | None = None
    model: str = "vmaf_v0.6.1"


class Pair(Struct, frozen=True):
    """One pair; ``truth`` None means that a score would be wrong."""

    name: str
    commands: tuple[str, ...]
    """Arguments of ffmpeg; ``@`` stands for the sample's first frames as a lossless file."""
    reference: str
    distorted: str
    truth: Truth | None
    options: dict[str, Any] = {}
    """For ``compute_quality``."""


def ffmpeg_run(ffmpeg: str, arguments: list[str], folder: Path) -> None:
    """Run ffmpeg in ``folder``; raises with its last words."""
    done = subprocess.run(
        [ffmpeg, "-nostdin", "-v", "error", "-y", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"ffmpeg {shlex.join(arguments)}: {done.stderr[-400:]}")


def base(ffmpeg: str, folder: Path) -> None:
    """The lossless start of all pairs: ``base.mkv``, 50 frames 480x270 of the sample."""
    scale = f"scale={WIDTH}:{HEIGHT}:flags=lanczos,format=yuv420p"
    ffmpeg_run(
        ffmpeg,
        ["-i", str(SAMPLE), "-an", "-vf", scale, "-frames:v", str(FRAMES), "-c:v", "ffv1", "base.mkv"],
        folder,
    )


def make(pair: Pair, ffmpeg: str, folder: Path) -> tuple[Path, Path]:
    """Run the pair's commands in ``folder``, which holds ``base.mkv``; the reference and the output."""
    for command in pair.commands:
        ffmpeg_run(ffmpeg, shlex.split(command.replace("@", "base.mkv")), folder)
    return folder / pair.reference, folder / pair.distorted


def true_vmaf(pair: Pair, ffmpeg: str, folder: Path) -> tuple[float, int]:
    """VMAF of the raw frames, and their number."""
    assert pair.truth is not None
    truth = pair.truth
    reference = _raw(ffmpeg, folder, truth.reference_file or pair.reference, truth.reference, truth, "r.yuv")
    distorted = _raw(ffmpeg, folder, truth.distorted_file or pair.distorted, truth.distorted, truth, "d.yuv")
    if reference != distorted:
        raise RuntimeError(f"{pair.name}: {reference} and {distorted} frames")
    shape = [
        "-f",
        "rawvideo",
        "-pix_fmt",
        truth.pixel_format,
        "-s",
        f"{truth.width}x{truth.height}",
        "-r",
        "25",
    ]
    graph = f"[0:v][1:v]libvmaf=log_fmt=json:log_path=true.json:model=version={truth.model}"
    inputs = [*shape, "-i", "d.yuv", *shape, "-i", "r.yuv"]
    ffmpeg_run(ffmpeg, [*inputs, "-filter_complex", graph, "-f", "null", "-"], folder)
    log = json.loads((folder / "true.json").read_text())
    if len(log["frames"]) != reference:
        raise RuntimeError(f"{pair.name}: {len(log['frames'])} of {reference} frames compared")
    return float(log["pooled_metrics"]["vmaf"]["mean"]), reference


def _raw(ffmpeg: str, folder: Path, source: str, filters: str, truth: Truth, target: str) -> int:
    """Write raw frames in the order in which they are decoded; how many."""
    chain = f"{filters},format={truth.pixel_format}"
    ffmpeg_run(
        ffmpeg,
        ["-i", source, "-an", "-vf", chain, "-fps_mode", "passthrough", "-f", "rawvideo", target],
        folder,
    )
    samples = {"yuv420p": 1.5, "yuvj420p": 1.5, "yuv422p": 2, "yuv444p": 3, "yuv420p10le": 3}[
        truth.pixel_format
    ]
    chroma_width, chroma_height = -(-truth.width // 2), -(-truth.height // 2)
    frame = int(truth.width * truth.height * samples)
    if truth.pixel_format == "yuv420p":
        frame = truth.width * truth.height + 2 * chroma_width * chroma_height
    size = (folder / target).stat().st_size
    if size % frame:
        raise RuntimeError(f"{target}: {size} bytes are no frames of {frame}")
    return size // frame


_X264 = "-c:v libx264 -preset veryfast -crf 30 -threads 2"
_LOSSLESS = "-c:v ffv1"


def _same(
    name: str,
    rate: str,
    reference: str,
    distorted: str,
    codec: str = _X264,
    *,
    extra: str = "",
    truth: Truth | None = None,
) -> Pair:
    """The same frames in two files, at a rate."""
    lossless = _LOSSLESS if reference.endswith(".mkv") else "-c:v libx264 -qp 0 -preset ultrafast"
    return Pair(
        name,
        (
            f"-r {rate} -i @ {lossless} {reference}",
            f"-r {rate} -i @ {codec} {extra} {distorted}",
        ),
        reference,
        distorted,
        truth or Truth(),
    )


def _of(name: str, commands: tuple[str, ...], truth: Truth | None, **options: Any) -> Pair:
    """A pair named ``r.mkv`` (or another ``r.`` that a command makes) and as the last command says."""
    made = [command.split()[-1] for command in commands]
    reference = next((target for target in made if target.startswith("r.")), "r.mkv")
    return Pair(name, commands, reference, made[-1], truth, options)


def _tagged(name: str, reference: str, output: str) -> Pair:
    """The same pictures with other tags: nothing is converted."""
    ours, theirs = (f"-vf setparams={tags}" if tags else "" for tags in (reference, output))
    commands = (f"-i @ {ours} {_LOSSLESS} r.mkv", f"-i @ {theirs} {_X264} d.mp4")
    return Pair(f"tags: {name}", commands, "r.mkv", "d.mp4", Truth(reference=_UNTAGGED, distorted=_UNTAGGED))


def _hdr(name: str, transfer: str) -> Pair:
    tags = f"setparams=color_trc={transfer}:color_primaries=bt2020:colorspace=bt2020nc"
    return _of(
        f"HDR ({name})",
        (
            f"-i @ -vf {tags} -pix_fmt yuv420p10le {_LOSSLESS} r.mkv",
            "-i r.mkv -c:v libx265 -preset ultrafast -x265-params log-level=none d.mp4",
        ),
        None,
    )


_UNTAGGED = "setparams=range=tv:colorspace=unknown:color_primaries=unknown:color_trc=unknown"
_REF = f"-i @ {_LOSSLESS} r.mkv"
_REF30 = f"-r 30 -i @ {_LOSSLESS} r.mkv"

PAIRS: tuple[Pair, ...] = (
    _same("MKV and MKV, 25", "25", "r.mkv", "d.mkv"),
    _same("MP4 and MKV, 30", "30", "r.mkv", "d.mp4"),
    _same("MKV and MP4, 30", "30", "r.mp4", "d.mkv"),
    _same("TS and MKV, 30", "30", "r.mkv", "d.ts"),
    _same("WebM (VP9) and MP4, 24", "24", "r.mp4", "d.webm", "-c:v libvpx-vp9 -crf 50 -b:v 0 -cpu-used 8"),
    _same("29.97 fps", "30000/1001", "r.mkv", "d.mp4"),
    _same("23.976 fps", "24000/1001", "r.mkv", "d.mp4"),
    _same("50 fps", "50", "r.mkv", "d.mp4"),
    _same("59.94 fps", "60000/1001", "r.mkv", "d.mp4"),
    _same("output starts at 1.3 s", "30", "r.mkv", "d.mkv", extra="-output_ts_offset 1.3"),
    Pair(
        "reference starts at 1.3 s",
        (f"-r 30 -i @ {_LOSSLESS} -output_ts_offset 1.3 r.mkv", f"-r 30 -i @ {_X264} d.mp4"),
        "r.mkv",
        "d.mp4",
        Truth(),
    ),
    _of(
        "one frame dropped",
        (_REF30, f"-r 30 -i @ -vf select='not(eq(n\\,20))' -fps_mode passthrough {_X264} d.mp4"),
        Truth(reference=r"select=not(eq(n\,20))"),
    ),
    _of(
        "every tenth frame dropped",
        (_REF30, f"-r 30 -i @ -vf select='mod(n\\,10)-4' -fps_mode passthrough {_X264} d.mp4"),
        Truth(reference=r"select=mod(n\,10)-4"),
    ),
    _of(
        "a frame shown twice, the next dropped",
        (
            _REF30,
            f"-r 30 -i @ -vf loop=1:1:19,select='not(eq(n\\,21))',setpts=N/30/TB -r 30 {_X264} d.mp4",
        ),
        Truth(),
    ),
    _of(
        "output ends early",
        (_REF30, f"-r 30 -i @ -frames:v 30 {_X264} d.mp4"),
        Truth(reference="trim=end_frame=30"),
    ),
    _of(
        "50 to 25 fps by filter",
        (f"-r 50 -i @ {_LOSSLESS} r.mkv", f"-i r.mkv -vf fps=25 {_X264} d.mp4"),
        Truth(reference="fps=25"),
    ),
    _of("25 to 50 fps by filter", (_REF, f"-i r.mkv -vf fps=50 {_X264} d.mp4"), Truth(reference="fps=50")),
    _of(
        "30 to 24 fps by filter",
        (f"-r 30 -i @ {_LOSSLESS} r.mkv", f"-i r.mkv -vf fps=24 {_X264} d.mp4"),
        Truth(reference="fps=24"),
    ),
    _of(
        "scaled to 240x136",
        (_REF, f"-i @ -vf scale=240:136:flags=bicubic {_X264} d.mp4"),
        Truth(distorted="scale=480:270:flags=bicubic"),
    ),
    _of(
        "10 bit",
        (f"-i @ -pix_fmt yuv420p10le {_LOSSLESS} r.mkv", f"-i @ -pix_fmt yuv420p10le {_X264} d.mp4"),
        Truth(pixel_format="yuv420p10le"),
    ),
    _of(
        "8 bit to 10 bit",
        (_REF, f"-i @ -pix_fmt yuv420p10le {_X264} d.mp4"),
        Truth(pixel_format="yuv420p10le"),
    ),
    _of(
        "4:2:2 to 4:2:0",
        (f"-i @ -pix_fmt yuv422p {_LOSSLESS} r.mkv", f"-i r.mkv -pix_fmt yuv420p {_X264} d.mp4"),
        Truth(pixel_format="yuv422p"),
    ),
    _of(
        "4:4:4",
        (f"-i @ -pix_fmt yuv444p {_LOSSLESS} r.mkv", f"-i r.mkv {_X264} d.mp4"),
        Truth(pixel_format="yuv444p"),
    ),
    _of(
        "full range, both",
        (
            f"-i @ -vf scale=in_range=tv:out_range=pc -color_range pc {_LOSSLESS} r.mkv",
            f"-i r.mkv -color_range pc {_X264} d.mp4",
        ),
        Truth(),
    ),
    _of(
        "full range, output only",
        (
            _REF,
            f"-i @ {_X264} lossy.mp4",
            f"-i lossy.mp4 -vf scale=in_range=tv:out_range=pc -color_range pc {_LOSSLESS} d.mkv",
        ),
        Truth(distorted_file="lossy.mp4"),
    ),
    Pair(
        "rotated phone video",
        (
            "-i @ -c:v libx264 -qp 0 -preset ultrafast flat.mp4",
            "-display_rotation 90 -i flat.mp4 -c copy r.mp4",
            f"-i r.mp4 {_X264} d.mp4",
        ),
        "r.mp4",
        "d.mp4",
        Truth(width=HEIGHT, height=WIDTH),
    ),
    _of(
        "anamorphic",
        (
            f"-i @ -vf scale=360:270,setsar=4/3 {_LOSSLESS} r.mkv",
            f"-i r.mkv -vf scale=480:270:flags=bicubic,setsar=1 {_X264} d.mp4",
        ),
        Truth(distorted="scale=360:270:flags=bicubic", width=360),
    ),
    _of(
        "odd size",
        (
            f"-i @ -vf scale=427:241 {_LOSSLESS} r.mkv",
            f"-i r.mkv -vf scale=426:240:flags=bicubic {_X264} d.mp4",
        ),
        Truth(distorted="scale=427:241:flags=bicubic", width=427, height=241),
    ),
    _of(
        "looped reference",
        (_REF, f"-stream_loop 2 -i r.mkv -t 4.5 {_X264} d.mp4"),
        Truth(reference="loop=loop=2:size=50:start=0,trim=end_frame=113", distorted="trim=end_frame=113"),
        reference_loops=2,
    ),
    _of(
        "starved encode of a reference without end",
        (_REF, f"-stream_loop 2 -i r.mkv -vf scale=128:72 -t 4 {_X264} -crf 42 d.mp4"),
        Truth(
            reference="loop=loop=2:size=50:start=0,trim=end_frame=100",
            distorted="scale=480:270:flags=bicubic",
        ),
        reference_loops=-1,
    ),
    _of(
        "cut reference",
        ("-i @ -c:v libx264 -qp 0 -preset ultrafast -g 12 c.mp4", _REF, f"-ss 0.8 -i r.mkv {_X264} d.mp4"),
        Truth(reference="trim=start_frame=20"),
        reference_start=0.8,
    ),
    Pair(
        "retimed from 25 to 23.976",
        (_REF, f"-r 24000/1001 -i @ {_X264} d.mp4"),
        "r.mkv",
        "d.mp4",
        Truth(),
    ),
    _of(
        "50 to 25 fps by -r",
        (
            f"-r 50 -i @ {_LOSSLESS} r.mkv",
            f"-i r.mkv -r 25 {_LOSSLESS} shown.mkv",
            f"-i r.mkv -r 25 {_X264} d.mp4",
        ),
        Truth(reference_file="shown.mkv"),
    ),
    _of(
        "30 to 24 fps by -r",
        (
            f"-r 30 -i @ {_LOSSLESS} r.mkv",
            f"-i r.mkv -r 24 {_LOSSLESS} shown.mkv",
            f"-i r.mkv -r 24 {_X264} d.mp4",
        ),
        Truth(reference_file="shown.mkv"),
    ),
    _of(
        "60 to 24 fps by -r",
        (
            f"-r 60 -i @ {_LOSSLESS} r.mkv",
            f"-i r.mkv -r 24 {_LOSSLESS} shown.mkv",
            f"-i r.mkv -r 24 {_X264} d.mp4",
        ),
        Truth(reference_file="shown.mkv"),
    ),
    _of(
        "24 to 30 fps by -r",
        (
            f"-r 24 -i @ {_LOSSLESS} r.mkv",
            f"-i r.mkv -r 30 {_LOSSLESS} shown.mkv",
            f"-i r.mkv -r 30 {_X264} d.mp4",
        ),
        Truth(reference_file="shown.mkv"),
    ),
    _of(
        "25 to 30 fps by -r, as the filter",
        (_REF, f"-i r.mkv -r 30 {_X264} d.mp4"),
        Truth(reference="fps=30"),
    ),
    _same("AV1 (SVT) in MP4", "25", "r.mkv", "d.mp4", "-c:v libsvtav1 -preset 10 -crf 55"),
    _same(
        "HEVC in MKV",
        "25",
        "r.mp4",
        "d.mkv",
        "-c:v libx265 -preset veryfast -crf 32 -x265-params log-level=none",
    ),
    _same(
        "VVC in MP4",
        "25",
        "r.mkv",
        "d.mp4",
        "-c:v libvvenc -preset faster -qp 38",
        truth=Truth(pixel_format="yuv420p10le"),
    ),
    _same(
        "MPEG-2 interlaced in TS", "25", "r.mkv", "d.ts", "-c:v mpeg2video -flags +ildct+ilme -b:v 800k -bf 2"
    ),
    _same("MPEG-4 in AVI", "25", "r.mkv", "d.avi", "-c:v mpeg4 -q:v 10 -bf 2"),
    _same("AV1 (SVT) in WebM", "30000/1001", "r.mkv", "d.webm", "-c:v libsvtav1 -preset 10 -crf 55"),
    _same("FLV", "30", "r.mkv", "d.flv"),
    _same("fragmented MP4", "30", "r.mkv", "d.mp4", extra="-movflags frag_keyframe+empty_moov"),
    _of(
        "MPEG-2 4:2:2 in MXF",
        ("-i @ -c:v mpeg2video -pix_fmt yuv422p -q:v 1 r.mxf", f"-i r.mxf -pix_fmt yuv420p {_X264} d.mp4"),
        Truth(pixel_format="yuv422p"),
    ),
    Pair("raw H.264 stream", (_REF, f"-i @ {_X264} d.h264"), "r.mkv", "d.h264", Truth()),
    _of(
        "variable rate",
        (
            f"-i @ -vf setpts='(N*40+13*mod(N\\,3))/1000/TB' -fps_mode passthrough "
            f"-enc_time_base 1/1000 {_LOSSLESS} r.mkv",
            f"-i r.mkv -fps_mode passthrough {_X264} d.mp4",
        ),
        Truth(),
    ),
    _of(
        "first frame missing",
        (_REF30, f"-r 30 -i @ -vf trim=start_frame=1,setpts=N/30/TB {_X264} d.mp4"),
        Truth(reference="trim=start_frame=1"),
    ),
    _of(
        "first 20 frames missing",
        (_REF30, f"-r 30 -i @ -vf trim=start_frame=20,setpts=N/30/TB {_X264} d.mp4"),
        Truth(reference="trim=start_frame=20"),
    ),
    _of(
        "20 frames missing in the middle",
        (_REF30, f"-r 30 -i @ -vf select='not(between(n\\,15\\,34))',setpts=N/30/TB {_X264} d.mp4"),
        None,
    ),
    _of(
        "first frame twice",
        (_REF30, f"-r 30 -i @ -vf loop=1:1:0,setpts=N/30/TB,trim=end_frame=50 {_X264} d.mp4"),
        Truth(reference="trim=end_frame=49", distorted="trim=start_frame=1"),
    ),
    _of(
        "a frame twice in the middle",
        (_REF30, f"-r 30 -i @ -vf loop=1:1:25,setpts=N/30/TB,trim=end_frame=50 {_X264} d.mp4"),
        None,
    ),
    _of(
        "reference ends early",
        (f"-r 30 -i @ -frames:v 30 {_LOSSLESS} r.mkv", f"-r 30 -i @ {_X264} d.mp4"),
        None,
    ),
    _of(
        "50 to 25 fps, the other frames",
        (
            f"-r 50 -i @ {_LOSSLESS} r.mkv",
            f"-i r.mkv -vf select='mod(n\\,2)',setpts=N/25/TB -r 25 {_X264} d.mp4",
        ),
        Truth(reference=r"select=mod(n\,2)"),
    ),
    _hdr("PQ", "smpte2084"),
    _hdr("HLG", "arib-std-b67"),
    # what one side does not say of its colours
    _tagged("bt709 on the output", "", "colorspace=bt709:color_primaries=bt709:color_trc=bt709"),
    _tagged("bt709 on the reference", "colorspace=bt709:color_primaries=bt709:color_trc=bt709", ""),
    _tagged(
        "smpte170m on the output", "", "colorspace=smpte170m:color_primaries=smpte170m:color_trc=smpte170m"
    ),
    _tagged("bt2020 on the output", "", "colorspace=bt2020nc:color_primaries=bt2020"),
    _tagged("limited range on the output", "", "range=tv"),
    _tagged("full range on the output", "", "range=pc"),
    _of(
        "full range made limited, which no tag says",
        (
            "-i @ -vf scale=out_range=pc -color_range pc -c:v libx264 -qp 0 -preset ultrafast r.mkv",
            f"-i r.mkv -vf scale=out_range=tv -color_range tv {_X264} d.mp4",
        ),
        Truth(pixel_format="yuvj420p", distorted="scale=in_range=tv:out_range=pc"),
    ),
    _of(
        "limited, which no tag says, made full range",
        (
            "-i @ -c:v libx264 -qp 0 -preset ultrafast t.mp4",
            "-i t.mp4 -c:v libx264 -qp 0 -preset ultrafast r.mp4",
            f"-i r.mp4 -vf scale=in_range=tv:out_range=pc -color_range pc {_X264} d.mp4",
        ),
        Truth(distorted="scale=in_range=pc:out_range=tv"),
    ),
    _of(
        "full range, which no tag says",
        (
            "-i @ -vf scale=out_range=pc -color_range pc -c:v libx264 -qp 0 -preset ultrafast r.mkv",
            "-i r.mkv -pix_fmt yuvj420p -f rawvideo x.yuv",
            f"-f rawvideo -video_size 480x270 -pixel_format yuv420p -framerate 25 -i x.yuv {_X264} d.mp4",
        ),
        Truth(pixel_format="yuvj420p", distorted="setparams=range=pc"),
    ),
    _tagged("primaries that differ", "color_primaries=bt709", "color_primaries=smpte170m"),
    _of(
        "Y4M beside a tagged file",
        (
            f"-i @ -vf setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709 {_LOSSLESS} t.mkv",
            f"-i t.mkv -vf setparams=colorspace=bt709 {_X264} d.mp4",
            "-i t.mkv -pix_fmt yuv420p -f yuv4mpegpipe r.y4m",
            "-i d.mp4 -c copy d.mov",
        ),
        Truth(reference=_UNTAGGED, distorted=_UNTAGGED),
    ),
    _of(
        "DNxHR beside H.264",
        (
            "-i @ -c:v dnxhd -profile:v dnxhr_sq -pix_fmt yuv422p r.mov",
            f"-i r.mov -pix_fmt yuv420p {_X264} -color_primaries bt709 -color_trc bt709 d.mp4",
        ),
        Truth(pixel_format="yuv422p"),
    ),
    _of(
        "raw video in AVI",
        ("-i @ -c:v rawvideo r.avi", f"-i @ {_X264} d.mp4"),
        Truth(),
    ),
    # frames that were filled, dropped or moved
    _of(
        "a gap filled at a fixed rate",
        (
            f"-i @ -vf settb=1/1000,setpts='if(lt(N\\,20)\\,N*40\\,2000+N*40)' -fps_mode passthrough "
            f"-enc_time_base 1/1000 {_LOSSLESS} r.mkv",
            f"-i r.mkv -vf fps=25 {_X264} d.mp4",
        ),
        Truth(reference="fps=25"),
    ),
    _of(
        "a gap filled by -r",
        (
            f"-i @ -vf settb=1/1000,setpts='if(lt(N\\,20)\\,N*40\\,1500+N*40)' -fps_mode passthrough "
            f"-enc_time_base 1/1000 {_LOSSLESS} r.mkv",
            f"-i r.mkv -r 25 {_LOSSLESS} shown.mkv",
            f"-i r.mkv -r 25 {_X264} d.mp4",
        ),
        Truth(reference_file="shown.mkv"),
    ),
    _of(
        "a screen that stands between, made even by -r",
        (
            "-i @ -vf settb=1/1000,setpts='if(eq(N\\,0)\\,0\\,1500+N*17+floor(N/9)*200)' "
            f"-fps_mode passthrough -enc_time_base 1/1000 {_LOSSLESS} r.mkv",
            f"-i r.mkv -r 30 {_LOSSLESS} shown.mkv",
            f"-i r.mkv -r 30 {_X264} d.mp4",
        ),
        Truth(reference_file="shown.mkv"),
    ),
    _of(
        "jitter of a phone made even",
        (
            f"-i @ -vf settb=1/1000,setpts='N*40+mod(N*7\\,5)*3' -fps_mode passthrough "
            f"-enc_time_base 1/1000 {_LOSSLESS} r.mkv",
            f"-i r.mkv -r 25 {_LOSSLESS} shown.mkv",
            f"-i r.mkv -r 25 {_X264} d.mp4",
        ),
        Truth(reference_file="shown.mkv"),
    ),
    _of(
        "a phone that drops a frame now and then",
        (
            "-r 60 -i @ -vf select='mod(n\\,19)-7' -fps_mode passthrough -enc_time_base 1/90000 "
            "-c:v libx264 -qp 0 -preset ultrafast r.mp4",
            f"-i r.mp4 -vf scale=240:136:flags=bicubic -fps_mode vfr {_X264} d.mp4",
        ),
        Truth(distorted="scale=480:270:flags=bicubic"),
    ),
    _of(
        "both rates vary",
        (
            f"-r 60 -i @ -vf select='mod(n\\,5)-3' -fps_mode passthrough {_LOSSLESS} r.mkv",
            f"-r 60 -i @ -vf select='mod(n\\,5)-3',select='mod(n\\,7)-2' -fps_mode passthrough {_X264} d.mp4",
        ),
        Truth(reference=r"select=mod(n\,7)-2"),
    ),
    _same("7 fps, copied from MP4 to MKV", "7", "r.mkv", "d.mkv", "-c:v ffvhuff"),
    _same("MP4 to FLV with B-frames", "25", "r.mp4", "d.flv", f"{_X264} -bf 3"),
    _of(
        "one frame more than the reference",
        (
            f"-r 30 -i @ -frames:v 49 {_LOSSLESS} r.mkv",
            f"-r 30 -i @ -frames:v 49 -vf tpad=stop=1:stop_mode=clone {_X264} d.mp4",
        ),
        Truth(distorted="trim=end_frame=49"),
    ),
    _of(
        "reference begins later",
        (f"-r 30 -i @ -vf trim=start_frame=11,setpts=N/30/TB {_LOSSLESS} r.mkv", f"-r 30 -i @ {_X264} d.mp4"),
        Truth(distorted="trim=start_frame=11"),
    ),
    _of(
        "an offset given by hand",
        (_REF, f"-i @ -vf tpad=start=10:color=black,trim=end_frame=50 {_X264} d.mp4"),
        Truth(reference="trim=end_frame=40", distorted="trim=start_frame=10"),
        offset=-0.4,
    ),
    _of(
        "black in front", (_REF, f"-i @ -vf tpad=start=20:color=black,trim=end_frame=50 {_X264} d.mp4"), None
    ),
    _of("a slate in front", (_REF, f"-i @ -vf tpad=start=25:color=gray {_X264} d.mp4"), None),
    _of(
        "a slate in the middle",
        (_REF, f"-i @ -vf drawbox=t=fill:color=navy:enable='between(n\\,20\\,35)' {_X264} d.mp4"),
        None,
    ),
    _of(
        "a lead that holds the first picture",
        (_REF, f"-i @ -vf tpad=start=20:start_mode=clone {_X264} d.mp4"),
        Truth(distorted="trim=start_frame=20"),
    ),
    _of("another video", (_REF, f"-f lavfi -i testsrc2=s=480x270:r=25:d=2 {_X264} d.mp4"), None),
    _of("mirrored", (_REF, f"-i @ -vf hflip {_X264} d.mp4"), None),
    _of("upside down", (_REF, f"-i @ -vf vflip {_X264} d.mp4"), None),
    _of("turned by 180 degrees", (_REF, f"-i @ -vf hflip,vflip {_X264} d.mp4"), None),
    _of("turned by 90 degrees", (_REF, f"-i @ -vf transpose {_X264} d.mp4"), None),
    # bars and parts of the picture
    _of(
        "cut by more on one side",
        (_REF, f"-i @ -vf crop=462:260:4:2 {_X264} d.mp4"),
        None,
    ),
    _of(
        "filled up to whole blocks",
        (_REF, f"-i @ -vf pad=480:272 {_X264} d.mp4"),
        Truth(distorted="crop=480:270:0:0"),
    ),
    _of("zoomed by a fiftieth", (_REF, f"-i @ -vf crop=470:264,scale=480:270 {_X264} d.mp4"), None),
    _of("stretched from a part", (_REF, f"-i @ -vf crop=480:256:0:0,scale=480:270 {_X264} d.mp4"), None),
    _of(
        "letterbox cut off",
        (
            f"-i @ -vf crop=480:204,pad=480:270:0:33 {_LOSSLESS} r.mkv",
            f"-i r.mkv -vf crop=480:204:0:33 {_X264} d.mp4",
        ),
        Truth(reference="crop=480:204:0:33", height=204),
    ),
    _of(
        "letterbox cut off, and smaller",
        (
            f"-i @ -vf crop=480:204,pad=480:270:0:34 {_LOSSLESS} r.mkv",
            f"-i r.mkv -vf crop=480:204:0:34,scale=320:136:flags=bicubic {_X264} d.mp4",
        ),
        Truth(reference="crop=480:204:0:34", distorted="scale=480:204:flags=bicubic", height=204),
    ),
    _of(
        "pillarbox added",
        (_REF, f"-i @ -vf pad=600:270:60:0 {_X264} d.mp4"),
        Truth(distorted="crop=480:270:60:0"),
    ),
    _of(
        "letterbox on both sides",
        (f"-i @ -vf crop=480:204,pad=480:270:0:32 {_LOSSLESS} r.mkv", f"-i r.mkv {_X264} d.mp4"),
        Truth(reference="crop=480:204:0:32", distorted="crop=480:204:0:32", height=204),
    ),
    _of(
        "letterbox brought into another shape",
        (
            f"-i @ -vf crop=480:204,pad=480:270:0:32 {_LOSSLESS} r.mkv",
            "-i r.mkv -vf crop=480:204:0:32,scale=320:240:force_original_aspect_ratio=decrease,"
            f"pad=320:240:0:52,setsar=1 {_X264} d.mp4",
        ),
        Truth(
            reference="crop=480:204:0:32",
            distorted="crop=320:136:0:52,scale=480:204:flags=bicubic",
            height=204,
        ),
    ),
    _of(
        "two black lines that a coder added",
        (_REF, f"-i @ -vf pad=480:272:0:0 {_X264} d.mp4"),
        Truth(distorted="crop=480:270:0:0"),
    ),
    _of(
        "a part given by hand",
        (_REF, f"-i @ -vf crop=320:240:40:10 {_X264} d.mp4"),
        Truth(reference="crop=320:240:40:10", width=320, height=240),
        crop=Area(320, 240, 40, 10),
    ),
    # fields
    _of(
        "interlaced, and yadif on the output",
        (
            "-r 50 -i @ -vf tinterlace=interleave_top,fieldorder=tff,setfield=tff -c:v libx264 -qp 0 "
            "-preset ultrafast -flags +ilme+ildct -f matroska r.mkv",
            f"-i r.mkv -vf yadif=0 {_X264} d.mp4",
        ),
        Truth(reference="yadif=0"),
        reference_filter="yadif=0",
    ),
    _of(
        "interlaced, and every field a frame",
        (
            "-r 50 -i @ -vf tinterlace=interleave_top,fieldorder=tff,setfield=tff -c:v libx264 -qp 0 "
            "-preset ultrafast -flags +ilme+ildct -f matroska r.mkv",
            f"-i r.mkv -vf bwdif=1 {_X264} d.mp4",
        ),
        Truth(reference="bwdif=1"),
        reference_filter="bwdif=1",
    ),
    _of(
        "telecined, and its film brought back",
        (
            "-r 24000/1001 -i @ -vf telecine -c:v libx264 -qp 0 -preset ultrafast r.mp4",
            f"-i r.mp4 -vf fieldmatch,decimate {_X264} d.mp4",
        ),
        Truth(reference="fieldmatch,decimate"),
        reference_filter="fieldmatch,decimate",
    ),
    # the encode's own filters on the reference
    _of(
        "a part of the picture, smaller",
        (_REF, f"-i r.mkv -vf crop=iw-101:200:20:10,scale=190:100:flags=bicubic {_X264} d.mp4"),
        Truth(
            reference="crop=iw-101:200:20:10", distorted="scale=378:200:flags=bicubic", width=378, height=200
        ),
        reference_filter="crop=iw-101:200:20:10",
    ),
    _of(
        "turned by 90 degrees, and the reference too",
        (_REF, f"-i r.mkv -vf transpose {_X264} d.mp4"),
        Truth(reference="transpose", width=HEIGHT, height=WIDTH),
        reference_filter="transpose",
    ),
    # samples
    _of(
        "grey",
        (
            f"-i @ -pix_fmt gray {_LOSSLESS} r.mkv",
            "-i r.mkv -c:v libx265 -crf 30 -x265-params log-level=none d.mp4",
        ),
        Truth(pixel_format="yuv420p"),
    ),
    _of(
        "full range in 10 bit, smaller",
        (
            f"-i @ -vf scale=out_range=pc -pix_fmt yuv420p10le -color_range pc {_LOSSLESS} r.mkv",
            f"-i r.mkv -vf scale=240:136:flags=bicubic:out_range=pc -color_range pc {_X264} d.mp4",
        ),
        Truth(pixel_format="yuv420p10le", distorted="scale=480:270:flags=bicubic"),
    ),
    _of(
        "raw 4:2:0 samples",
        ("-i @ -f rawvideo r.yuv", f"-i @ {_X264} d.mp4"),
        Truth(reference_file="base.mkv"),
        raw=RawFormat(size=(WIDTH, HEIGHT)),
    ),
    # whole files that look broken
    _of(
        "streams joined",
        (
            "-i @ -c:v libx264 -qp 0 -preset ultrafast 1.ts",
            "-i concat:1.ts|1.ts -c copy r.ts",
            f"-i @ {_X264} d.mp4",
        ),
        Truth(reference_file="base.mkv"),
    ),
    _of(
        "a size that changes inside",
        (
            _REF,
            f"-i @ -frames:v 25 {_X264} -bf 0 1.ts",
            "-i @ -vf trim=start_frame=25,setpts=PTS-STARTPTS,scale=240:136 "
            f"{_X264} -bf 0 -output_ts_offset 1 2.ts",
            "-i concat:1.ts|2.ts -c copy d.ts",
        ),
        Truth(distorted="scale=480:270:flags=bicubic"),
    ),
)
