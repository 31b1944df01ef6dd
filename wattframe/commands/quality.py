"""``wattframe quality``: VMAF, PSNR and SSIM of encodes against their reference."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from msgspec import Struct

from advisor.errors import InputError, WattframeError
from advisor.quality.settings import Settings, check_settings
from advisor.results import Quality, Vmaf
from wattframe.commands.arguments import Json, application
from wattframe.console import note, print_json, print_table, progress

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

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
    "computation_seconds",
)

Report = Callable[[int, int], None]


class Scored(Struct, frozen=True):
    """One line of the answer, and the VMAF of each frame where there is one."""

    quality: Quality
    frames: tuple[tuple[int, float], ...] = ()


@app.command()
def quality(
    reference: Annotated[Path, typer.Argument(metavar="REF", help="The original.")],
    distorted: Annotated[list[Path], typer.Argument(metavar="DIST...", help="One or more encodes of it.")],
    json_: Json = False,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="hd, 4k, neg, phone, v1 or a model of libvmaf; default: by the height. "
            "Repeat it to score by several in one pass."
        ),
    ] = None,
    codec_comparison: Annotated[
        bool, typer.Option(help="Use the model for comparing encoders, which sharpening does not fool.")
    ] = False,
    xpsnr: Annotated[bool, typer.Option(help="Also XPSNR.")] = False,
    subsample: Annotated[int, typer.Option(help="VMAF of every n-th frame; odd.")] = 1,
    reference_start: Annotated[
        float, typer.Option(help="Seconds to seek into the reference, as the encode did.")
    ] = 0.0,
    reference_loops: Annotated[
        int, typer.Option(help="Repetitions of the reference, as the encode had them; -1: without end.")
    ] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Encodes that are scored at a time.")] = 1,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Threads of libvmaf an encode; default: CPUs shared by the jobs."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Write VMAF over the frames to this .svg or .html file.")
    ] = None,
    ffmpeg: Annotated[str | None, typer.Option(help="ffmpeg with libvmaf.")] = None,
) -> None:
    """VMAF, PSNR and SSIM of encodes against their reference.

    The frames of the two are paired by time, whatever their containers; a pair whose frames do not belong
    together has a reason and no score, and the exit code is 1.
    """
    settings = Settings(
        model=model[0] if model else None,
        extra_models=tuple(model[1:]) if model else (),
        codec_comparison=codec_comparison,
        xpsnr=xpsnr,
        subsample=subsample,
        reference_start=reference_start,
        reference_loops=reference_loops,
    )
    check_settings(settings)
    _check_plot(plot)
    share = threads or max(1, len(os.sched_getaffinity(0)) // jobs)
    scored = _score(reference, distorted, settings, jobs=jobs, ffmpeg=ffmpeg, threads=share)
    _show([s.quality for s in scored], as_json=json_, extras=len(settings.extra_models) > 0)
    if plot is not None:
        from wattframe.report.frames import write_plot

        write_plot(plot, [(_name(s.quality.distorted), s.frames) for s in scored if s.frames])
    if any(s.quality.vmaf is None for s in scored):
        raise typer.Exit(1)


def _check_plot(plot: Path | None) -> None:
    if plot is not None and plot.suffix not in (".svg", ".html"):
        raise InputError("expected a name that ends in .svg or .html", subject=plot, field="--plot")


def _score(
    reference: Path,
    distorted: Sequence[Path],
    settings: Settings,
    *,
    jobs: int,
    ffmpeg: str | None,
    threads: int,
) -> list[Scored]:
    """Every encode in order. A reference or an ffmpeg that cannot be used is an error of the whole."""
    from advisor.quality.probe import probe
    from advisor.video.ffmpeg import chosen_ffmpeg

    program = str(chosen_ffmpeg(ffmpeg))
    probe(reference)
    stop = threading.Event()

    def one(path: Path, report: Report) -> Scored:
        def advance(done: int, total: int) -> None:
            if stop.is_set():
                raise KeyboardInterrupt
            report(done, total)

        return _one(reference, path, settings, program, threads, advance)

    with _progress(distorted) as reports, ThreadPoolExecutor(jobs) as pool:
        try:
            return list(pool.map(one, distorted, reports))
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise


def _one(
    reference: Path, distorted: Path, settings: Settings, ffmpeg: str, threads: int, report: Report
) -> Scored:
    from advisor.quality.measure import measure

    try:
        measured = measure(reference, distorted, settings, ffmpeg=ffmpeg, threads=threads, progress=report)
    except WattframeError as exc:
        return Scored(
            Quality(aligned=False, reason=str(exc), reference=str(reference), distorted=str(distorted))
        )
    frames = tuple((f.number, f.vmaf) for f in measured.frames if f.vmaf is not None)
    return Scored(measured.quality, frames if measured.quality.aligned else ())


@contextlib.contextmanager
def _progress(distorted: Sequence[Path]) -> Iterator[list[Report]]:
    """A function per encode that moves its bar."""
    with progress("{task.completed}/{task.total}") as bars:
        tasks = [bars.add_task(path.name, total=None) for path in distorted]
        yield [partial(_advance, bars, task) for task in tasks]


def _advance(bars: Progress, task: TaskID, done: int, total: int) -> None:
    bars.update(task, completed=done, total=total)


def _show(qualities: Sequence[Quality], *, as_json: bool, extras: bool) -> None:
    for quality in qualities:
        for line in [*quality.notes, *([] if quality.vmaf else [f"no score: {quality.reason}"])]:
            note("quality", _text(f"{quality.distorted}: {line}"))
    if as_json:
        print_json([_document(quality, extras=extras) for quality in qualities])
    else:
        _table(qualities)


def _document(quality: Quality, *, extras: bool) -> dict[str, Any]:
    built = msgspec.to_builtins(quality)
    fields = (*_FIELDS, "vmaf_extra") if extras else _FIELDS
    return {name: _text(built[name]) for name in fields}


def _text(value: Any) -> Any:
    """``value``, where it is text as UTF-8, which a file's name need not be."""
    return os.fsencode(value).decode("utf-8", "replace") if isinstance(value, str) else value


def _name(path: str | None) -> str:
    """The file's name on one line."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in Path(path or "").name)


def _table(qualities: Sequence[Quality]) -> None:
    headings = ("encode", "VMAF", "5 %", "1 %", "worst", "PSNR\ndB", "SSIM", "XPSNR\ndB", "model")
    compared = dict.fromkeys(
        f"{q.frames} frames at {q.comparison_height_pixels} lines" for q in qualities if q.frames
    )
    print_table(
        headings,
        [
            [_name(quality.distorted), *_cells(quality, vmaf)]
            for quality in qualities
            for vmaf in [quality.vmaf, *quality.vmaf_extra.values()]
        ],
        text=("model",),
        caption=f"Compared: {', '.join(compared)}." if compared else None,
    )


def _cells(quality: Quality, vmaf: Vmaf | None) -> list[str]:
    psnr, ssim = quality.psnr_decibels, quality.ssim_ratio
    decibels = _number(psnr.average if psnr else None, 2)
    return [
        *(_number(value, 2) for value in ((vmaf.mean, vmaf.p5, vmaf.p1, vmaf.min) if vmaf else (None,) * 4)),
        f"{decibels}\n(lossless)" if quality.lossless else decibels,
        _number(ssim.all if ssim else None, 4),
        _number(quality.xpsnr_decibels, 2),
        vmaf.model or "" if vmaf else "no score",
    ]


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
