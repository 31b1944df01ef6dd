"""Pairs of videos made by chance, whose frames are known by construction: is every score right or refused?

    python benchmarks/quality_random.py [--count 300] [--seed 1] [--only NUMBER]

A pair is a few dozen small frames that go into a reference and, changed in some ways, into an output: other
codec, container, rate, depth, sampling, tags, frames dropped, held or missing at either end, gaps, bars,
sizes, turned pictures. The truth comes from raw frames in the order in which they are decoded, never from
timestamps: libvmaf compares those that show the same.
"""

from __future__ import annotations

import argparse
import json
import random
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from msgspec import Struct

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from advisor.errors import WattframeError
from advisor.quality import compute_quality
from advisor.video.ffmpeg import find_ffmpeg
from benchmarks.quality_pairs import SAMPLE, ffmpeg_run

TOLERANCE = 0.05

_SIZES = ((160, 90), (192, 108), (256, 144), (320, 180), (214, 120), (120, 214))
_RATES = ("24", "25", "30", "30000/1001", "24000/1001", "50", "60")
_REFERENCES = (
    ("mkv", "-c:v ffv1"),
    ("mp4", "-c:v libx264 -qp 0 -preset ultrafast"),
    ("mov", "-c:v libx264 -qp 2 -preset ultrafast -bf 2"),
    ("nut", "-c:v ffv1"),
    ("avi", "-c:v ffv1"),
    ("ts", "-c:v libx264 -qp 4 -preset veryfast"),
)
_OUTPUTS = (
    ("mp4", "-c:v libx264 -preset veryfast -crf {crf}"),
    ("mkv", "-c:v libx264 -preset veryfast -crf {crf} -bf 3"),
    ("ts", "-c:v libx264 -preset veryfast -crf {crf}"),
    ("flv", "-c:v libx264 -preset veryfast -crf {crf} -pix_fmt yuv420p"),
    ("mp4", "-c:v libx265 -preset ultrafast -crf {crf} -x265-params log-level=none"),
    ("mkv", "-c:v libx265 -preset ultrafast -crf {crf} -x265-params log-level=none"),
    ("webm", "-c:v libvpx-vp9 -crf {crf} -b:v 0 -cpu-used 8 -pix_fmt yuv420p"),
    ("mkv", "-c:v libsvtav1 -preset 12 -crf {crf} -pix_fmt yuv420p"),
    ("ts", "-c:v mpeg2video -q:v 6 -bf 2 -pix_fmt yuv420p"),
    ("avi", "-c:v mpeg4 -q:v 6 -pix_fmt yuv420p"),
    ("mov", "-c:v libx264 -preset veryfast -crf {crf}"),
)
_FORMATS = ("yuv420p",) * 6 + ("yuv422p", "yuv444p", "yuv420p10le", "gray")
_TAGS = (
    "",
    "",
    "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709",
    "setparams=colorspace=smpte170m:color_primaries=smpte170m:color_trc=smpte170m",
    "setparams=colorspace=bt2020nc:color_primaries=bt2020",
    "setparams=range=tv",
)
_FRACTIONAL = ("30000/1001", "24000/1001")


class Made(Struct, frozen=True, kw_only=True):
    """One pair: how it is made, and which frames belong together."""

    what: str
    commands: tuple[str, ...]
    reference: str
    output: str
    reference_truth: str = "null"
    """Filters that leave the frames and the area of the reference that are compared, in order."""
    output_truth: str = "null"
    shown: str | None = None
    """The frames that an output shows, where ffmpeg itself chose them: a lossless file."""
    pixel_format: str
    size: tuple[int, int]
    grey_output: bool = False
    refused: bool = False
    """A score would be wrong."""


def made(chance: random.Random) -> Made:
    """Draw a pair."""
    width, height = chance.choice(_SIZES)
    frames, rate = chance.randrange(40, 90), chance.choice(_RATES)
    pixels = chance.choice(_FORMATS)
    suffix, coder = chance.choice(_REFERENCES)
    if pixels in ("gray", "yuv420p10le") and suffix in ("avi", "ts", "mov"):
        suffix, coder = _REFERENCES[0]
    out_suffix, out_coder = chance.choice(_OUTPUTS)
    out_coder = out_coder.format(crf=chance.randrange(22, 42))
    if pixels == "yuv444p" and out_suffix in ("ts", "flv"):
        out_coder += " -pix_fmt yuv420p"
    time = _time(chance, frames, rate)
    if time["keeps"] and "mpeg" in out_coder:  # these know no such times
        out_suffix, out_coder = "mkv", "-c:v libx264 -preset veryfast -crf 30"
    reference, output = f"r.{suffix}", f"d.{out_suffix}"
    tags = chance.choice(_TAGS), chance.choice(_TAGS)
    if tags[0] and tags[1]:
        tags = tags[0], tags[0]
    picture = _picture(chance, width, height)
    ours = ",".join(f for f in (time["reference"], picture["reference"], tags[0], f"format={pixels}") if f)
    theirs = ",".join(f for f in (time["output"], picture["output"], tags[1]) if f) or "null"
    start = chance.uniform(0, 1.6)
    scaled = f"scale={width}:{height}:flags=lanczos,setsar=1,format=yuv444p"
    base = (
        f"-ss {start:.2f} -i {shlex.quote(str(SAMPLE))} -an -vf {scaled} -frames:v {frames} -c:v ffv1 b.mkv"
    )
    keep = "-fps_mode passthrough -enc_time_base 1/90000" if time["keeps"] else ""
    into = f"-i {reference}" if time["from_reference"] else f"-r {rate} -i b.mkv"
    if time["from_reference"]:
        theirs = ",".join(f for f in (time["output"], picture["from_reference"], tags[1]) if f) or "null"
    commands = [
        base,
        f"-r {rate} -i b.mkv -vf {shlex.quote(ours)} {keep} {coder} {reference}",
    ]
    shown = None
    if time["from_reference"]:
        shown = "shown.mkv"
        lossless = time["output"] or "null"
        commands.append(f"-i {reference} -vf {shlex.quote(lossless)} {time['options']} -c:v ffv1 {shown}")
    own = keep if not time["from_reference"] else ""
    offset = f"-output_ts_offset {chance.uniform(0, 3):.3f}" if chance.random() < 0.15 else ""
    depth = f"-pix_fmt {pixels}" if "-pix_fmt" not in out_coder and pixels != "gray" else ""
    depth = (
        "-pix_fmt gray" if pixels == "gray" and "libx26" in out_coder and "flv" not in out_suffix else depth
    )
    if "mpeg" in out_coder or "flv" in out_suffix:
        depth = ""
    commands.append(
        f"{into} -vf {shlex.quote(theirs)} {time['options']} {own} {out_coder} {depth} {offset} {output}"
    )
    size = picture["size"]
    back = f"scale={size[0]}:{size[1]}:flags=bicubic"
    return Made(
        what=f"{time['what']}; {picture['what']}; {width}x{height} {pixels} {rate}; {suffix} {out_suffix} "
        f"{out_coder.split()[1]}; tags {tags}",
        commands=tuple(commands),
        reference=reference,
        output=output,
        reference_truth=",".join(f for f in (time["reference_truth"], picture["reference_truth"]) if f)
        or "null",
        output_truth=",".join(f for f in (time["output_truth"], picture["output_truth"], back) if f),
        shown=shown,
        pixel_format=pixels,
        size=size,
        grey_output="gray" in depth,
        refused=time["refused"] or picture["refused"],
    )


def _time(chance: random.Random, frames: int, rate: str) -> dict:
    """What happens to the frames."""
    nothing = {
        "what": "all frames",
        "reference": "",
        "output": "",
        "reference_truth": "",
        "output_truth": "",
        "options": "",
        "keeps": False,
        "from_reference": False,
        "refused": False,
    }
    fps = float(Fraction(rate))
    kind = chance.choice(
        ("all",) * 5
        + (
            "drop",
            "drop",
            "later",
            "later",
            "earlier",
            "filter",
            "filter",
            "rate",
            "rate",
            "gap",
            "jitter",
            "ends",
        )
        + ("lead", "splice", "double", "lag")
    )
    lost = sorted(chance.sample(range(1, frames - 1), chance.randrange(1, 6)))
    some = chance.randrange(1, frames // 2)
    if kind == "drop":
        left = "+".join(f"eq(n\\,{n})" for n in lost)
        pick = f"select='not({left})'"
        return nothing | {
            "what": f"frames {lost} dropped",
            "output": pick,
            "reference_truth": pick,
            "keeps": True,
        }
    if kind == "later":
        cut = f"trim=start_frame={some}"
        again = f"{cut},setpts=PTS-STARTPTS"
        return nothing | {
            "what": f"output begins {some} frames later",
            "output": again,
            "reference_truth": cut,
        }
    if kind == "earlier":
        cut = f"trim=start_frame={some}"
        return nothing | {
            "what": f"reference begins {some} frames later",
            "reference": f"{cut},setpts=PTS-STARTPTS",
            "output_truth": cut,
        }
    if kind in ("filter", "rate"):
        target = chance.choice([r for r in _RATES if r != rate])
        options = {"output": f"fps={target}"} if kind == "filter" else {"options": f"-r {target}"}
        return nothing | {"what": f"to {target} by {kind}", "from_reference": True} | options
    if kind == "gap":
        begin = chance.randrange(10, frames - 10)
        gap = f"setpts='PTS+gte(N\\,{begin})*{chance.uniform(0.3, 2.5):.2f}/TB'"
        return nothing | {
            "what": f"gap at {begin}, filled",
            "reference": gap,
            "keeps": True,
            "from_reference": True,
            "output": f"fps={rate}",
        }
    if kind == "jitter":
        jitter = f"setpts='PTS+{0.3 / fps:.5f}*mod(N*7\\,5)/4/TB'"
        return nothing | {"what": "jitter on both", "reference": jitter, "output": jitter, "keeps": True}
    if kind == "ends":
        cut = f"trim=end_frame={frames - some}"
        return nothing | {"what": f"output ends {some} early", "output": cut, "reference_truth": cut}
    if kind == "lead":
        lead = f"tpad=start={chance.randrange(3, 30)}:color=black"
        return nothing | {"what": "black in front", "output": lead, "refused": True}
    if kind == "splice":
        begin = chance.randrange(8, frames - 26)
        cut = f"select='not(between(n\\,{begin}\\,{begin + 14}))',setpts=N/FRAME_RATE/TB"
        return nothing | {"what": f"15 frames missing at {begin}", "output": cut, "refused": True}
    if kind == "double":
        twice = f"loop=1:1:{chance.randrange(5, 15)},setpts=N/FRAME_RATE/TB,trim=end_frame={frames}"
        return nothing | {"what": "a frame twice", "output": twice, "refused": True}
    if kind == "lag":
        twice = f"loop=1:1:0,setpts=N/FRAME_RATE/TB,trim=end_frame={frames}"
        return nothing | {"what": "first frame twice", "output": twice, "refused": True}
    return nothing


def _picture(chance: random.Random, width: int, height: int) -> dict:
    """What happens to the picture."""
    nothing = {
        "what": "whole picture",
        "reference": "",
        "output": "",
        "from_reference": "",
        "reference_truth": "",
        "output_truth": "",
        "size": (width, height),
        "refused": False,
    }
    kind = chance.choice(("whole",) * 8 + ("smaller",) * 3 + ("bars", "boxed", "mirror", "both"))
    bar = 2 * chance.randrange(4, 10)
    inner = f"crop={width}:{height - 2 * bar}:0:{bar}"
    if kind == "smaller":
        small = f"scale={width * 3 // 8 * 2}:{height * 3 // 8 * 2}:flags=bicubic"
        return nothing | {"what": "smaller", "output": small, "from_reference": small}
    boxed = f"pad={width}:{height}:0:{bar}:black"
    if kind == "bars":  # the reference has them
        return nothing | {
            "what": f"bars of {bar} cut off",
            "reference": f"{inner},{boxed}",
            "output": inner,
            "from_reference": inner,
            "reference_truth": inner,
            "size": (width, height - 2 * bar),
        }
    if kind == "boxed":
        padded = f"pad={width}:{height + 2 * bar}:0:{bar}:black"
        return nothing | {
            "what": f"bars of {bar} added",
            "output": padded,
            "from_reference": padded,
            "output_truth": f"crop={width}:{height}:0:{bar}",
        }
    if kind == "both":
        return nothing | {
            "what": f"bars of {bar} on both",
            "reference": f"{inner},{boxed}",
            "output": f"{inner},{boxed}",
            "reference_truth": inner,
            "output_truth": inner,
            "size": (width, height - 2 * bar),
        }
    if kind == "mirror":
        return nothing | {"what": "mirrored", "output": "hflip", "from_reference": "hflip", "refused": True}
    return nothing


def truth(pair: Made, ffmpeg: str, folder: Path) -> float:
    """VMAF of the frames that belong together, by their numbers."""
    depth = "yuv420p10le" if pair.pixel_format == "yuv420p10le" else pair.pixel_format
    grey = pair.pixel_format == "gray"
    depth = "yuv420p" if grey else depth
    sides = (
        (pair.shown or pair.reference, pair.reference_truth, "r.raw", grey),
        (pair.output, pair.output_truth, "d.raw", grey and pair.grey_output),
    )
    inputs = ["-i", folder / pair.output, "-i", folder / pair.reference]
    banner = subprocess.run([ffmpeg, *inputs], capture_output=True, text=True, check=False)
    stays = "yuvj420p" in banner.stderr  # what ffmpeg makes of grey for some coders: full range
    rest = "colorspace=unknown:color_primaries=unknown:color_trc=unknown"
    for source, filters, target, full in sides:
        # grey is full range, and is brought to what libvmaf and coders of colour take
        limits, end = ("pc", "scale=in_range=pc:out_range=tv,") if full else ("tv", "")
        limits, end = ("pc", "") if grey and stays else (limits, end)
        chain = (
            f"setparams=range={limits}:{rest},{filters},setparams=range={limits}:{rest},{end}format={depth}"
        )
        raw = ["-i", source, "-an", "-vf", chain, "-fps_mode", "passthrough", "-f", "rawvideo", target]
        ffmpeg_run(ffmpeg, raw, folder)
    sizes = [(folder / target).stat().st_size for _, _, target, _ in sides]
    shape = ["-f", "rawvideo", "-pix_fmt", depth, "-s", f"{pair.size[0]}x{pair.size[1]}", "-r", "25"]
    graph = "[0:v][1:v]libvmaf=log_fmt=json:log_path=true.json:shortest=1"
    inputs = [*shape, "-i", "d.raw", *shape, "-i", "r.raw"]
    ffmpeg_run(ffmpeg, [*inputs, "-filter_complex", graph, "-f", "null", "-"], folder)
    log = json.loads((folder / "true.json").read_text())
    if abs(sizes[0] - sizes[1]) > 2 * max(sizes) / len(log["frames"]) and not pair.shown:
        print(f"    {sizes[0]} and {sizes[1]} bytes are not the same frames", flush=True)
    return float(log["pooled_metrics"]["vmaf"]["mean"])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args(argv)
    ffmpeg = str(find_ffmpeg())
    counts = {"right": 0, "refused rightly": 0, "refused though comparable": 0, "wrong": 0}
    for number in range(options.count) if options.only is None else [options.only]:
        pair = made(random.Random(f"{options.seed}-{number}"))
        with tempfile.TemporaryDirectory(prefix="quality-random-") as name:
            folder = options.keep or Path(name)
            folder.mkdir(exist_ok=True)
            try:
                for command in pair.commands:
                    ffmpeg_run(ffmpeg, shlex.split(command), folder)
            except RuntimeError as exc:
                print(f"{number} cannot be made: {pair.what}: {str(exc)[-200:]}", flush=True)
                continue
            try:
                verdict, text = _judged(pair, ffmpeg, folder)
            except RuntimeError as exc:
                print(f"{number} has no truth: {pair.what}: {str(exc)[-300:]}", flush=True)
                continue
        counts[verdict] += 1
        if verdict not in ("right", "refused rightly") or options.only is not None:
            print(f"{number} {verdict}: {pair.what}: {text}", flush=True)
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()))
    return 1 if counts["wrong"] else 0


def _judged(pair: Made, ffmpeg: str, folder: Path) -> tuple[str, str]:
    try:
        quality = compute_quality(folder / pair.reference, folder / pair.output, ffmpeg=ffmpeg)
    except WattframeError as exc:
        return ("refused rightly" if pair.refused else "refused though comparable"), str(exc)
    how = (quality.notes, quality.crop, quality.offset_seconds)
    text = f"{quality.frames} frames, {quality.reason}, {how}"
    if quality.vmaf is None:
        return ("refused rightly" if pair.refused else "refused though comparable"), text
    if pair.refused:
        return "wrong", f"VMAF {quality.vmaf.mean:.3f} where there is none; {text}"
    expected = truth(pair, ffmpeg, folder)
    text = f"VMAF {quality.vmaf.mean:.3f} for {expected:.3f}; {text}"
    return ("right" if abs(quality.vmaf.mean - expected) <= TOLERANCE else "wrong"), text


if __name__ == "__main__":
    sys.exit(main())
