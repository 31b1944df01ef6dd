"""``wattframe quality``: VMAF, PSNR and SSIM of encodes against their reference."""

from __future__ import annotations

import itertools
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import typer

from advisor.common.exit import print_json
from advisor.common.home import user_cache
from advisor.errors import InputError, MediaError, WattframeError
from advisor.quality.pairs import OwnPair, read_pairs
from advisor.quality.settings import Area, QualitySettings, RawFormat, check_settings
from advisor.results import Quality, Vmaf
from wattframe.commands.arguments import Cluster, ClusterTls, Json, application
from wattframe.console import note, print_table, progress

if TYPE_CHECKING:
    from rich.progress import TaskID

    from advisor.quality.outcome import Measurement

app = application()

_FIELDS = (
    "reference",
    "distorted",
    "aligned",
    "reason",
    "frames",
    "comparison_height_pixels",
    "vmaf",
    "psnr_decibels",
    "lossless",
    "ssim_ratio",
    "xpsnr_decibels",
    "notes",
    "crop",
    "offset_seconds",
    "computation_seconds",
)
_WORST_SCENES = 3
_HEADINGS = {"ms_ssim": "MS-SSIM", "vif": "VIF", "cambi": "CAMBI"}


@app.command()
def quality(
    reference: Annotated[
        Path | None, typer.Argument(metavar="REF", help="The original.", show_default=False)
    ] = None,
    distorted: Annotated[
        list[Path] | None, typer.Argument(metavar="DIST...", help="Encodes of the original.", readable=False)
    ] = None,
    json_: Json = False,
    pairs: Annotated[
        Path | None,
        typer.Option(help="List (YAML, JSON) or folder of originals and encodes, instead of REF DIST."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="hd, 4k, neg, phone, v1 or a libvmaf model (default: by height). Repeatable: several models "
            "in one pass."
        ),
    ] = None,
    codec_comparison: Annotated[
        bool, typer.Option(help="Use the neg model, which gives no credit for sharpening.")
    ] = False,
    xpsnr: Annotated[bool, typer.Option(help="Also compute XPSNR.")] = False,
    subsample: Annotated[int, typer.Option(help="Compute VMAF of every n-th frame; n is odd.")] = 1,
    reference_start: Annotated[
        float, typer.Option(help="Start of the encode within the reference, in seconds (ffmpeg's -ss).")
    ] = 0.0,
    reference_loops: Annotated[
        int, typer.Option(help="Loops of the reference in the encode (-stream_loop); -1: endless.")
    ] = 0,
    reference_filter: Annotated[
        str | None,
        typer.Option(help="Filters to apply to the reference: yadif; fieldmatch,decimate; crop=..."),
    ] = None,
    offset: Annotated[
        float | None,
        typer.Option(
            help="Seconds of the reference before the encode starts; negative: of the encode before the "
            "reference (default: detected)."
        ),
    ] = None,
    crop: Annotated[
        str,
        typer.Option(help="Part of the reference to compare, W:H:X:Y; auto removes black bars; none."),
    ] = "auto",
    metric: Annotated[
        list[str] | None, typer.Option(help="Also compute ms_ssim, vif or cambi. Repeatable.")
    ] = None,
    size: Annotated[str | None, typer.Option(help="Size of raw files (.yuv), such as 1920x1080.")] = None,
    rate: Annotated[
        str | None, typer.Option(help="Frames per second of raw files and numbered pictures (%04d.png).")
    ] = None,
    pixel_format: Annotated[
        str | None, typer.Option(help="Pixel format of raw files, by ffmpeg's name (default: yuv420p).")
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, help="Processes; encodes in one process share the decoded reference.")
    ] = 1,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="libvmaf threads per encode (default: CPUs divided by jobs)."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Plot VMAF over the frames to this .svg or .html file.")
    ] = None,
    frames: Annotated[
        Path | None,
        typer.Option(
            help="Write the scores of every frame to this .csv or .json file, and print the worst scenes."
        ),
    ] = None,
    ffmpeg: Annotated[str | None, typer.Option(help="ffmpeg with libvmaf.")] = None,
    cluster: Cluster = None,
    cluster_tls: ClusterTls = None,
    parts: Annotated[
        str, typer.Option(help="Parts of a long video on a cluster: a number; auto: if workers are idle.")
    ] = "auto",
) -> None:
    """Compute VMAF, PSNR and SSIM of encodes against their reference.

    Frames are paired by content and time, in any containers. If the frames of a pair do not match, it has a
    reason and no score, and the exit code is 1.
    """
    settings = QualitySettings(
        model=model[0] if model else None,
        extra_models=tuple(model[1:]) if model else (),
        codec_comparison=codec_comparison,
        xpsnr=xpsnr,
        subsample=subsample,
        reference_start=reference_start,
        reference_loops=reference_loops,
        reference_filter=reference_filter,
        offset=offset,
        crop=_crop(crop),
        metrics=tuple(metric or ()),
        raw=_raw(size, rate, pixel_format),
    )
    check_settings(settings)
    _check_suffix(plot, (".svg", ".html"), "--plot")
    _check_suffix(frames, (".csv", ".json"), "--frames")
    if cluster is not None and (jobs > 1 or threads is not None):
        raise InputError("is set by the workers: leave it out with --cluster", subject="--jobs, --threads")
    if cluster is None and parts != "auto":
        raise InputError("needs --cluster ADDRESS", subject="--parts")
    asked, problems = _asked(reference, distorted, pairs, settings)
    if pairs is None:  # the one reference of all
        _probe(asked[0], ffmpeg)
    if cluster is not None:
        scored = _score_elsewhere(
            asked, cluster, cluster_tls, parts=_parts(parts), ffmpeg=ffmpeg, frames=bool(plot or frames)
        )
    else:
        share = threads or max(1, len(os.sched_getaffinity(0)) // jobs)
        scored = _score(asked, jobs=jobs, ffmpeg=ffmpeg, threads=share)
    _show(scored, as_json=json_, extras=len(settings.extra_models) > 0, scenes=frames is not None)
    if plot is not None:
        from wattframe.report.frames import write_plot

        encodes = []
        for one in scored:
            points = [(frame.number, frame.vmaf) for frame in one.frames if frame.vmaf is not None]
            if one.frames:
                encodes.append((_name(one.quality.distorted), points))
        write_plot(plot, encodes)
    if frames is not None:
        _write_frames(frames, scored)
    if problems:
        raise InputError("; ".join(problems), subject=pairs)
    if any(s.quality.psnr_decibels is None for s in scored):
        raise typer.Exit(1)


def _asked(
    reference: Path | None, distorted: Sequence[Path] | None, pairs: Path | None, settings: QualitySettings
) -> tuple[list[OwnPair], list[str]]:
    """The pairs to score, and what in a list of them cannot be used."""
    if (pairs is None) == (reference is None) or (reference is not None and not distorted):
        raise InputError("expected REF DIST..., or --pairs LIST")
    if pairs is None:
        return [OwnPair(d.name, reference, d, settings) for d in distorted or () if reference is not None], []
    listed = read_pairs(pairs, settings)
    if not listed.pairs:
        raise InputError("; ".join(listed.problems) or "expected pairs, found none", subject=pairs)
    return listed.pairs, listed.problems


def _parts(text: str) -> int | None:
    """A number of parts; None for ``auto``."""
    if text == "auto":
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1000):
        raise InputError(f"expected auto, or a number from 1 to 1000, found {text!r}", subject="--parts")
    return int(text)


def _check_suffix(path: Path | None, suffixes: tuple[str, str], option: str) -> None:
    if path is not None and path.suffix not in suffixes:
        raise InputError(f"expected a name that ends in {' or '.join(suffixes)}", subject=path, field=option)


def _crop(text: str) -> Area | Literal["auto", "none"]:
    if text == "auto":
        return "auto"
    if text == "none":
        return "none"
    match = re.fullmatch(r"(\d{1,5}):(\d{1,5}):(\d{1,5}):(\d{1,5})", text)
    if match is None:
        raise InputError(f"expected auto, none or W:H:X:Y, found {text!r}", subject="--crop")
    return Area(*map(int, match.groups()))


def _raw(size: str | None, rate: str | None, pixel_format: str | None) -> RawFormat | None:
    """What the options say of raw files; None where they say nothing."""
    if size is None and rate is None and pixel_format is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", size or "1x1")
    if match is None:
        raise InputError(f"expected a size such as 1920x1080, found {size!r}", subject="--size")
    return RawFormat(
        size=(int(match[1]), int(match[2])) if size else None,
        pixel_format=pixel_format or "yuv420p",
        rate=rate or "25",
    )


def _write_frames(path: Path, scored: Sequence[Measurement]) -> None:
    from advisor.common.atomic import write_atomically
    from advisor.quality.frames import frames_as_csv, frames_as_json

    outputs = [(str(_text(s.quality.distorted)), s.frames) for s in scored if s.frames]
    data = frames_as_json(outputs) if path.suffix == ".json" else frames_as_csv(outputs).encode()
    write_atomically(path, data)


def _probe(pair: OwnPair, ffmpeg: str | None) -> None:
    """A reference, or an ffmpeg, that cannot be used is an error of the whole."""
    from advisor.quality.probe import probe
    from advisor.video.ffmpeg import chosen_ffmpeg

    chosen_ffmpeg(ffmpeg, pair.settings.filters)
    probe(pair.reference, pair.settings.raw)


def _score(pairs: Sequence[OwnPair], *, jobs: int, ffmpeg: str | None, threads: int) -> list[Measurement]:
    """Every encode in order. An ffmpeg that cannot be used is an error of the whole."""
    from advisor.video.ffmpeg import chosen_ffmpeg, shown

    program = str(chosen_ffmpeg(ffmpeg, pairs[0].settings.filters))
    stop = threading.Event()
    together: dict[tuple[Path, bytes], list[int]] = {}
    for place, pair in enumerate(pairs):
        together.setdefault((pair.reference, msgspec.json.encode(pair.settings)), []).append(place)
    groups = [
        places[at : at + each]
        for places in together.values()
        for each in [-(-len(places) // jobs)]
        for at in range(0, len(places), each)
    ]

    with progress("{task.completed}/{task.total}") as bars:
        tasks = []
        for first, *others in groups:
            more = f" and {len(others)} more" if others else ""
            tasks.append(bars.add_task(f"{Path(shown(pairs[first].distorted)).name}{more}", total=None))

        def group(places: Sequence[int], task: TaskID) -> list[Measurement]:
            def advance(done: int, total: int) -> None:
                if stop.is_set():
                    raise KeyboardInterrupt
                bars.update(task, completed=done, total=total)

            return _group([pairs[place] for place in places], program, threads, advance)

        parts = _in_threads(group, groups, tasks, workers=jobs, stop=stop)
    scored = dict(zip(itertools.chain(*groups), itertools.chain(*parts), strict=True))
    return [scored[place] for place in range(len(pairs))]


def _in_threads(
    work: Callable[..., Any], *arguments: Sequence[Any], workers: int, stop: threading.Event
) -> list[Any]:
    """``map`` in threads; an error or Ctrl-C sets ``stop`` for what runs, and what waits is not begun."""
    with ThreadPoolExecutor(workers) as pool:
        try:
            return list(pool.map(work, *arguments))
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def _group(
    pairs: Sequence[OwnPair], ffmpeg: str, threads: int, report: Callable[[int, int], None]
) -> list[Measurement]:
    """Of pairs of one reference."""
    from advisor.quality.measure import measure_all

    first, distorted = pairs[0], [pair.distorted for pair in pairs]
    outcomes: Sequence[Measurement | WattframeError]
    try:
        outcomes = measure_all(
            first.reference, distorted, first.settings, ffmpeg=ffmpeg, threads=threads, progress=report
        )
    except MediaError as exc:
        outcomes = [exc] * len(pairs)
    return [_scored(pair, outcome) for pair, outcome in zip(pairs, outcomes, strict=True)]


def _scored(pair: OwnPair, outcome: Measurement | WattframeError) -> Measurement:
    if not isinstance(outcome, WattframeError):
        return outcome
    from advisor.quality.outcome import Measurement
    from advisor.video.ffmpeg import shown

    reference, distorted = shown(pair.reference), shown(pair.distorted)
    return Measurement(Quality(aligned=False, reason=str(outcome), reference=reference, distorted=distorted))


def _score_elsewhere(
    pairs: Sequence[OwnPair],
    address: str,
    tls: Path | None,
    *,
    parts: int | None,
    ffmpeg: str | None,
    frames: bool,
) -> list[Measurement]:
    """Every encode in order, on a cluster; what was scored before is not scored again."""
    from advisor.quality.cache import QualityCache
    from advisor.video.ffmpeg import chosen_ffmpeg
    from farm.cluster import Cluster, ClusterError
    from farm.scoring import Scoring

    stop = threading.Event()

    def check() -> None:
        if stop.is_set():
            raise KeyboardInterrupt

    with Cluster(address, tls) as workers, progress("{task.completed}/{task.total}") as bars:
        scoring = Scoring(
            workers,
            chosen_ffmpeg(ffmpeg),
            pairs=len(pairs),
            parts=parts,
            cache=QualityCache(user_cache(os.environ.get("XDG_CACHE_HOME")) / "quality"),
        )
        task = bars.add_task("pairs", total=len(pairs))

        def score(pair: OwnPair) -> Measurement:
            names = str(pair.reference), str(pair.distorted)
            outcome: Measurement | WattframeError
            try:
                outcome = scoring.measure(*names, pair.settings, check, frames=frames)
            except ClusterError:
                raise
            except WattframeError as exc:
                outcome = exc
            bars.advance(task)
            return _scored(pair, outcome)

        return _in_threads(score, pairs, workers=2 * scoring.slots, stop=stop)


def _show(scored: Sequence[Measurement], *, as_json: bool, extras: bool, scenes: bool) -> None:
    for one in scored:
        for line in _lines(one, scenes=scenes):
            note("quality", _text(f"{one.quality.distorted}: {line}"))
    qualities = [one.quality for one in scored]
    if as_json:
        print_json([_document(quality, extras=extras) for quality in qualities])
    else:
        _table(qualities)


def _lines(scored: Measurement, *, scenes: bool) -> Iterator[str]:
    """What is to be said of one encode beside its numbers."""
    quality = scored.quality
    yield from quality.notes
    if quality.psnr_decibels is None:
        yield f"no score: {(quality.reason or '').removeprefix(f'{quality.distorted}: ')}"
    elif quality.reason is not None:
        yield quality.reason
    if scenes and scored.frames:
        from advisor.quality.frames import worst_scenes

        for scene in worst_scenes(scored.frames, _WORST_SCENES):
            score = (
                f"VMAF {scene.vmaf:.2f}" if scene.vmaf is not None else f"PSNR {scene.psnr_decibels:.2f} dB"
            )
            span = f"{scene.begin_seconds:.2f} to {scene.end_seconds:.2f} s"
            yield f"worst scene from {span}: {score} over {scene.frames} frames"


def _document(quality: Quality, *, extras: bool) -> dict[str, Any]:
    built = msgspec.to_builtins(quality)
    further = [*(["vmaf_extra"] if extras else []), *(["metrics"] if quality.metrics else [])]
    return {name: _text(built[name]) for name in (*_FIELDS, *further)}


def _text(value: Any) -> Any:
    """``value``, where it is text as UTF-8, which a file's name need not be."""
    return os.fsencode(value).decode("utf-8", "replace") if isinstance(value, str) else value


def _name(path: str | None) -> str:
    """The file's name on one line."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in Path(path or "").name)


def _table(qualities: Sequence[Quality]) -> None:
    further = list(dict.fromkeys(name for quality in qualities for name in quality.metrics))
    headings = ("encode", "VMAF", "5 %", "1 %", "worst", "PSNR\ndB", "SSIM", "XPSNR\ndB")
    compared = dict.fromkeys(
        f"{q.frames} frames at {q.comparison_height_pixels} lines" for q in qualities if q.frames
    )
    print_table(
        [*headings, *(_HEADINGS[name] for name in further), "model"],
        [
            [_name(quality.distorted), *_cells(quality, vmaf, further)]
            for quality in qualities
            for vmaf in [quality.vmaf, *quality.vmaf_extra.values()]
        ],
        text=("model",),
        caption=f"Compared: {', '.join(compared)}." if compared else None,
    )


def _cells(quality: Quality, vmaf: Vmaf | None, further: Sequence[str]) -> list[str]:
    psnr, ssim = quality.psnr_decibels, quality.ssim_ratio
    decibels = _number(psnr.average if psnr else None, 2)
    return [
        *(_number(value, 2) for value in ((vmaf.mean, vmaf.p5, vmaf.p1, vmaf.min) if vmaf else (None,) * 4)),
        f"{decibels}\n(lossless)" if quality.lossless else decibels,
        _number(ssim.all if ssim else None, 4),
        _number(quality.xpsnr_decibels, 2),
        *(_number(quality.metrics.get(name), 4) for name in further),
        vmaf.model or "" if vmaf else "no VMAF" if psnr else "no score",
    ]


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
