"""``wattframe tune``: the best configuration for a video of one's own, measured on this machine."""

from __future__ import annotations

import shlex
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from advisor.advice.configuration import OBJECTIVES
from advisor.advice.search import Goal
from advisor.common.exit import print_json
from advisor.common.near import did_you_mean
from advisor.common.shipped import existing_or_shipped
from advisor.cost.price_inputs import PriceOptions
from advisor.energy.meter_files import read_meter_files
from advisor.errors import InputError, WorkError
from advisor.results.derived import parse_bitrate_kbps
from advisor.video.ffmpeg import chosen_ffmpeg
from wattframe.commands.arguments import DEFAULT_RESULTS, Json, ModelsDir, Procfs, Sysfs, application
from wattframe.commands.prices import EMISSIONS_OF_MAKING, regional_models, takes_prices
from wattframe.console import console, note, print_table, shown
from wattframe.report.rows import doubts
from wattframe.tuning.answer import FrontRow, Point, TuneAnswer
from wattframe.tuning.request import TuneRequest
from wattframe.tuning.tune import TunePlan, plan, tune

app = application()


@app.command()
@takes_prices(*EMISSIONS_OF_MAKING)
def main(
    inputs: Annotated[list[str], typer.Argument(metavar="VIDEO...", help="One or more videos.")],
    min_vmaf: Annotated[float, typer.Option(min=0, max=100, help="Minimum mean VMAF.")] = 93.0,
    objective: Annotated[str, typer.Option(help="energy, cost, carbon, bitrate or speed.")] = "energy",
    encoders: Annotated[
        str | None, typer.Option(help="Comma-separated encoders (default: libx264, libx265, libsvtav1).")
    ] = None,
    presets: Annotated[str, typer.Option(help="auto, or comma-separated presets.")] = "auto",
    max_bitrate: Annotated[str | None, typer.Option(help="Maximum bitrate, such as 6M.")] = None,
    min_speed: Annotated[
        float | None, typer.Option(min=0.001, help="Minimum encode speed; 1 is real time.")
    ] = None,
    budget: Annotated[str, typer.Option(help="Maximum search time: 90s, 10m, 1h.")] = "10m",
    baseline: Annotated[
        str, typer.Option(help="Configuration to compare with: ENCODER:PRESET:CRF, or none.")
    ] = "libx264:medium:23",
    month_hours: Annotated[
        float, typer.Option("--hours", min=0, max=1e6, help="Hours of video per month, for the saving.")
    ] = 100.0,
    precision: Annotated[
        float, typer.Option(min=0.05, max=20, help="How many VMAF points the samples may be off.")
    ] = 0.5,
    whole: Annotated[bool, typer.Option("--whole", help="Encode the whole video, no samples.")] = False,
    ladder: Annotated[
        str | None, typer.Option(help="Heights of a bitrate ladder, such as 1080,720,480.")
    ] = None,
    for_all: Annotated[
        bool, typer.Option("--for-all", help="Find one configuration for all videos.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the last search on these videos.")
    ] = False,
    output_dir: Annotated[Path, typer.Option(help="Folder for the result file.")] = DEFAULT_RESULTS,
    models_dir: ModelsDir = Path("models"),
    ffmpeg: Annotated[str | None, typer.Option(help="Default: imageio-ffmpeg's, then PATH.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan without encoding.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    sensors: Annotated[Path | None, typer.Option(metavar="FILE", help="Rules for hwmon sensors.")] = None,
    redfish: Annotated[Path | None, typer.Option(metavar="FILE", help="Redfish meter, YAML.")] = None,
    sysfs: Sysfs = "/sys",
    procfs: Procfs = "/proc",
    json_: Json = False,
    *,
    prices: PriceOptions,
) -> int:
    """Find the configuration with the least energy, cost, carbon, bitrate or time that reaches a VMAF.

    Encodes, measures and scores samples of the video until the answer is reliable or the budget runs out.
    """
    if objective not in OBJECTIVES:
        raise InputError(did_you_mean(objective, OBJECTIVES), subject=f"--objective {objective!r}")
    model = regional_models("tune", prices, one_region=True).models[0]
    limits = {"min_vmaf": min_vmaf, "max_bitrate_kbps": _kbps(max_bitrate), "min_speed": min_speed}
    request = TuneRequest(
        inputs=_distinct(inputs),
        goal=Goal(objective=objective, **limits),
        encoders=encoders,
        presets=presets,
        baseline=None if baseline == "none" else baseline,
        budget=budget,
        precision=precision,
        whole=whole,
        ladder=ladder,
        for_all=for_all,
        resume=resume,
        month_hours=month_hours,
        output_dir=output_dir,
        models_dir=models_dir,
        ffmpeg=ffmpeg,
        meters=read_meter_files({"sensors": sensors, "redfish": redfish}),
        sysfs=sysfs,
        procfs=procfs,
        quiet=quiet,
    )
    # under a parent that ignores the end of its children the kernel would forget their CPU time
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if objective == "carbon" and model.planned().prices.carbon is None:
        raise InputError("carbon needs --region or --carbon-grams-per-kwh", subject="--objective")
    if dry_run:
        _print_plan(plan(request), as_json=json_)
        return 0
    answers = tune(request, model, lambda line: note("tune", line))
    if json_:
        print_json(msgspec.to_builtins(answers[0] if len(answers) == 1 else answers))
    else:
        _print(answers, model.currency, chosen_ffmpeg(ffmpeg))
    if any(answer.stopped == "interrupted" for answer in answers):
        note("tune", "interrupted: this is the best so far")
        return 130
    lacking = [answer for answer in answers if answer.choice is None]
    if lacking:
        raise WorkError(
            f"{lacking[0].input}: {lacking[0].reason}; what was encoded is in {lacking[0].results}"
        )
    return 0


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The first name of each file."""
    files: dict[Path, str] = {}
    for name in names:
        path = existing_or_shipped(Path(name))
        files.setdefault(path.resolve(), name if path == Path(name) else str(path))
    return tuple(files.values())


def _kbps(text: str | None) -> float | None:
    kbps = None if text is None else parse_bitrate_kbps(text)
    if text is not None and not kbps:
        raise InputError(f"expected a bitrate such as 6M or 2500k, found {text!r}", subject="--max-bitrate")
    return kbps


_ENDS = {
    "budget": "; the budget ran out first",
    "interrupted": "; interrupted",
}

_FIGURES: Sequence[tuple[str, str, str]] = (
    ("energy_watt_hours_per_video_hour", "Wh", "energy"),
    ("cost_per_video_hour", "{currency}", "cost"),
    ("carbon_grams_per_video_hour", "g CO2e", "carbon"),
    ("bitrate_kbps", "kbit/s", "bitrate"),
    ("encode_speed_ratio", "x real time", "speed"),
    ("vmaf", "", "VMAF"),
)
"""Value, unit and name, of an hour of video."""


def _print_plan(plan: TunePlan, *, as_json: bool) -> None:
    if as_json:
        print_json(msgspec.to_builtins(plan))
        return
    out = console()
    for video in plan.videos:
        cut = f"{video.pieces} pieces" if video.pieces > 1 else "cannot be cut: encoded as a whole"
        out.print(f"{video.input}: {video.seconds:.1f} s, {cut}", soft_wrap=True)
    families = sum(len(presets) for presets in plan.presets.values())
    count = f"{plan.configurations} configurations of {families} encoders and presets"
    out.print(f"{count}, for {plan.budget_seconds:g} s:")
    for encoder, presets in plan.presets.items():
        out.print(f"  {encoder}: {', '.join(presets)}")
    out.print(f"First: {shlex.join(plan.first_command)}", soft_wrap=True)


def _print(answers: Sequence[TuneAnswer], currency: str, ffmpeg: Path) -> None:
    for answer in answers:
        _print_one(answer, currency, ffmpeg)
    chosen = [(answer, answer.choice) for answer in answers if answer.choice is not None]
    if len(answers) > 1:
        print_table(
            ("video", "configuration", "VMAF", "kbit/s", "Wh an hour", "encodes"),
            [
                (
                    answer.input,
                    _name(choice),
                    f"{choice.values.vmaf.mean:.2f}",
                    f"{choice.bitrate_kbps:.0f}",
                    shown(_mean(choice, "energy_watt_hours_per_video_hour")),
                    str(answer.encodes),
                )
                for answer, choice in chosen
            ],
            text=("configuration",),
        )


def _print_one(answer: TuneAnswer, currency: str, ffmpeg: Path) -> None:
    out, choice = console(), answer.choice
    units = {name: unit.format(currency=currency) for _, unit, name in _FIGURES}
    if choice is None:
        out.print(f"{answer.input}: {answer.reason}", soft_wrap=True)
    else:
        out.print(answer.input, soft_wrap=True)
        out.print(answer.sentence, style="bold")
        against = answer.baseline.validity if answer.baseline is not None else ()
        for doubt in doubts(choice.validity or against):
            out.print(f"  {doubt}", soft_wrap=True)
        sure = "" if choice.probability_best is None else f", {choice.probability_best:.0%} sure"
        out.print(f"  {answer.reason}{sure}{_ENDS.get(answer.stopped, '')}")
        out.print(f"\n{shlex.join(_as_measured(choice.command, ffmpeg))}\n", soft_wrap=True)
        if choice.bitrate_kbps > answer.video_bitrate_kbps:
            now = shown(answer.video_bitrate_kbps)
            out.print(f"  more bits than the {now} kbit/s that the video has now")
        points = [("chosen", choice)]
        if answer.baseline is not None and answer.baseline.scenario != choice.scenario:
            points.append(("usual", answer.baseline))
        print_table(
            ("an hour of video", *(name for name, _ in points), *(f"{name} 90 %" for name, _ in points)),
            [
                (
                    f"{label}, {units[label]}" if units[label] else label,
                    *(shown(_mean(point, field)) for _, point in points),
                    *(_interval(point, field) for _, point in points),
                )
                for field, _, label in _FIGURES
            ],
        )
        _print_savings(answer, currency)
    _print_front(answer, units)
    _print_ladder(answer)
    share = f"{answer.sampled_seconds:.0f} of {answer.video_seconds:.0f} s in {answer.samples} samples"
    encoded = "all of the video" if answer.sampled_seconds >= answer.video_seconds else share
    count = "1 encode" if answer.encodes == 1 else f"{answer.encodes} encodes"
    out.print(f"{count} of {encoded}, {answer.encoder_cpu_seconds:.0f} CPU seconds", soft_wrap=True)
    out.print(f"With charts, as a page: wattframe report {shlex.quote(answer.results)}", soft_wrap=True)


def _as_measured(command: Sequence[str], ffmpeg: Path) -> list[str]:
    """The command with the very ffmpeg that was measured, where another one or none answers to that name."""
    on_path = shutil.which("ffmpeg")
    is_measured = on_path is not None and Path(on_path).resolve() == ffmpeg.resolve()
    return ["ffmpeg" if is_measured else str(ffmpeg), *command[1:]]


def _name(configuration: Point | FrontRow) -> str:
    return f"{configuration.encoder} {configuration.preset} crf {configuration.crf:g}"


def _mean(point: Point, field: str) -> float | None:
    interval = getattr(point.values, field)
    return None if interval is None else float(interval.mean)


def _interval(point: Point, field: str) -> str:
    interval = getattr(point.values, field)
    return "-" if interval is None else f"{shown(interval.low)} to {shown(interval.high)}"


def _print_savings(answer: TuneAnswer, currency: str) -> None:
    if answer.savings is None or answer.choice is None or answer.baseline is None:
        return
    if answer.baseline.scenario == answer.choice.scenario:
        console().print("  the choice is the baseline itself")
        return
    for saved, what in ((answer.savings.video, "this video"), (answer.savings.month, "a month")):
        amounts = [
            (saved.energy_watt_hours, "Wh"),
            (saved.cost, currency),
            (saved.carbon_grams, "g CO2e"),
            (saved.gigabytes, "GB"),
        ]
        less = [f"{shown(value)} {unit}" for value, unit in amounts if value is not None and value >= 0]
        more = [f"{shown(-value)} {unit}" for value, unit in amounts if value is not None and value < 0]
        if saved.hours:
            length = f"{shown(saved.hours)} h" if saved.hours >= 1 else f"{shown(3600 * saved.hours)} s"
            but = f"; but {', '.join(more)} more" if more else ""
            console().print(f"  saved in {what} ({length}): {', '.join(less) or 'nothing'}{but}")


def _print_front(answer: TuneAnswer, units: Mapping[str, str]) -> None:
    if len(answer.front) < 2:
        return
    what = "time" if answer.objective == "speed" else answer.objective
    unit = "s a second" if answer.objective == "speed" else units[answer.objective]
    print_table(
        ("configuration", f"{what},\n{unit}", "VMAF", "holds\nthe floor", "one VMAF\npoint more"),
        [
            (
                _name(row),
                shown(row.objective_value),
                f"{row.vmaf:.2f}",
                "yes" if row.holds else "no",
                "-" if row.next_vmaf_point_ratio is None else f"{row.next_vmaf_point_ratio:+.1%}",
            )
            for row in answer.front
        ],
        title=f"None of these is beaten in both {what} and VMAF (an hour of video)",
    )


def _print_ladder(answer: TuneAnswer) -> None:
    ladder = answer.ladder
    if ladder is None:
        return
    above = {switch.from_height: switch.kbps for switch in ladder.switches}
    print_table(
        ("rung", "crf", "kbit/s", "VMAF", "up to\nkbit/s"),
        [
            (
                rung.resolution,
                f"{rung.crf:g}",
                f"{rung.bitrate_kbps:.0f}",
                "-" if rung.vmaf is None else f"{rung.vmaf:.2f}",
                shown(above.get(int(rung.resolution.partition("x")[2]))),
            )
            for rung in ladder.rungs
        ],
        title=f"Ladder of {ladder.encoder} {ladder.preset}",
    )
    for height in ladder.never_best:
        console().print(f"  {height} lines: another size looks better at every bitrate")
    if ladder.energy_watt_hours_per_video_hour is not None:
        console().print(
            f"  all rungs together: {shown(ladder.energy_watt_hours_per_video_hour)} Wh an hour of video"
        )
