"""The command line of ``run_tests.py``: four subcommands over one set of options."""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

from advisor.energy.meter_files import METER_FILES
from advisor.errors import InputError
from advisor.quality.settings import METRICS
from runner.spec import RungSpec, Spec, is_text

SUBCOMMANDS = ("single", "multi", "suite", "batch")
DEFAULT_DURATION_SECONDS = 60.0
NEWEST = "newest"

_EPILOG = """\
--duration limits the wall time of each scenario. The input is looped, and
ffmpeg is asked to finish when the time is up. All windows are then equally
long: compare mean power and energy per frame. --media-duration encodes exactly
that much video instead: compare total energies. The first limit reached counts.
Exit codes: 0 done, 1 a scenario failed, 2 bad usage or input, 130 interrupted
(finished work is kept).

Example: {example}
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message} (--help lists the options)")


def parse(program: str, argv: Sequence[str]) -> argparse.Namespace:
    """Options of one call; without a subcommand it is ``suite``.

    Raises
    ------
    InputError
        Bad usage, in one line.
    SystemExit
        After ``--help``.
    """
    args = list(argv)
    for number, text in enumerate(args, 1):
        if not is_text(text):
            raise InputError(f"expected UTF-8, found {os.fsencode(text)!r}", subject=f"argument {number}")
    if not args or (args[0] not in SUBCOMMANDS and args[0] not in ("-h", "--help")):
        if args and not args[0].startswith("-"):
            raise InputError(f"expected one of {', '.join(SUBCOMMANDS)}, found {args[0]!r}")
        args.insert(0, "suite")
    options = _parser(program).parse_args(args)
    if getattr(options, "cluster", None) is not None:
        _refuse_with_cluster(options)
    if options.duration is None:
        # a fixed amount of video needs no wall clock to end
        options.duration = DEFAULT_DURATION_SECONDS if options.media_duration is None else 86_400.0
    return options


def _refuse_with_cluster(options: argparse.Namespace) -> None:
    """What is of this machine alone has no meaning on others."""
    usual: dict[str, object] = {"ffmpeg": None}
    usual |= {file.option: None for file in METER_FILES if file.of_one_machine}
    usual |= {"sysfs": "/sys", "procfs": "/proc", "keep_outputs": False, "dry_run": False}
    given = [
        f"--{name.replace('_', '-')}" for name, value in usual.items() if getattr(options, name) != value
    ]
    if options.resume not in (None, NEWEST):
        given.append("--resume FILE")
    if given:
        raise InputError(f"cannot be combined with --cluster: {', '.join(given)}")


def flags() -> dict[str, str]:
    """The long options of all subcommands with their help, for the completion of shells."""
    parser = argparse.ArgumentParser()
    _scenario_options(parser, several=True)
    _cluster_options(parser)
    _run_options(parser)
    return {flag: action.help or "" for action in parser._actions for flag in action.option_strings[-1:]}


def _parser(program: str) -> argparse.ArgumentParser:
    shape = argparse.RawDescriptionHelpFormatter
    parser = _Parser(
        prog=program,
        description="Run real ffmpeg scenarios and measure their energy, CPU time and speed.",
        epilog="Without a subcommand: suite. SUBCOMMAND --help lists the options.\n"
        + _EPILOG.format(example=f"{program} batch scenarios/codecs.yaml --compute-quality"),
        formatter_class=shape,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="subcommand", required=True, metavar="{single,multi,suite,batch}")
    about = {
        "single": (
            "one scenario: one ffmpeg process, with one output or a ladder",
            "--encoder libx265 --crf 28 --input film.mp4",
        ),
        "multi": ("one scenario of concurrent streams, one ffmpeg process each", "--streams 4 --preset fast"),
        "suite": ("a baseline and real transcodes with several encoders", "--duration 20"),
        "batch": ("the scenarios of a YAML or JSON file", "scenarios/codecs.yaml --compute-quality"),
    }
    for name, (text, example) in about.items():
        sub = commands.add_parser(
            name,
            help=text,
            usage=f"{program} {name} [OPTIONS]" + " FILE" * (name == "batch"),
            description=text[0].upper() + text[1:] + ".",
            epilog=_EPILOG.format(example=f"{program} {name} {example}"),
            formatter_class=shape,
            allow_abbrev=False,
        )
        if name in ("single", "multi"):
            _scenario_options(sub, several=name == "multi")
        if name == "batch":
            sub.add_argument("file", metavar="FILE", type=Path, help="list or matrix of scenarios")
            _cluster_options(sub)
        _run_options(sub)
    return parser


def _cluster_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("cluster")
    group.add_argument(
        "--cluster", metavar="ADDRESS", help="measure the whole batch on every host of this Dask cluster"
    )
    group.add_argument(
        "--hosts", metavar="NAME,...", type=_names, help="hosts to use (default: all with a worker)"
    )
    group.add_argument(
        "--cluster-tls", metavar="DIR", type=Path, help="folder with ca.pem, cert.pem and key.pem, for tls://"
    )


def _scenario_options(parser: argparse.ArgumentParser, *, several: bool) -> None:
    group = parser.add_argument_group("scenario")
    group.add_argument("--name", help="name of the scenario (default: made from its settings)")
    group.add_argument(
        "--encoder", default="libx264", help="ffmpeg's name, or a format such as hevc (libx264)"
    )
    group.add_argument("--preset", help="preset, on the encoder's own scale")
    rate = group.add_mutually_exclusive_group()
    rate.add_argument("--bitrate", help="such as 2500k or 2.5M; a bare number is kbit/s (2500k)")
    rate.add_argument("--crf", type=_real, help="constant quality (CRF) on the encoder's own scale")
    rate.add_argument("--ladder", metavar="WxH@RATE,...", help="several renditions from one decode")
    if several:
        rate.add_argument("--bitrates", metavar="RATE,...", help="one stream per bitrate")
        group.add_argument("--streams", type=_whole, help="number of identical concurrent streams (2)")
    group.add_argument("--resolution", metavar="WxH", help="scale to this size (default: the input's)")
    group.add_argument("--fps", metavar="R", help="a constant frame rate, such as 25 or 30000/1001")
    group.add_argument("--filters", metavar="F,...", help="ffmpeg filters before the encode, such as yadif")
    group.add_argument("--pixel-format", metavar="NAME", help="output format, such as yuv420p10le")
    group.add_argument(
        "--encoder-option",
        action="append",
        type=_option,
        default=[],
        metavar="NAME=VALUE",
        help="another option of the encoder, such as tune=film; repeatable",
    )
    group.add_argument("--passes", type=_whole, default=1, metavar="N", help="number of passes: 1 or 2 (1)")
    group.add_argument("--audio", metavar="NAME", help="copy, or an encoder such as aac (default: no audio)")
    group.add_argument("--audio-bitrate", metavar="RATE", help="audio bitrate, such as 128k")
    group.add_argument("--hardware-decoding", metavar="NAME", help="cuda, qsv, vaapi or vulkan")
    group.add_argument("--threads", type=_whole, help="threads of the encoder (default: its own choice)")
    group.add_argument("--realtime", action="store_true", help="read the input at its own frame rate")
    group.add_argument("--rtmp", metavar="URL", help="stream in real time to rtmp://HOST/APP/STREAM")
    group.add_argument(
        "--sink", choices=("file", "null"), default="file", help="where the encode goes: file or null (file)"
    )
    group.add_argument("--viewers", type=_whole, help="number of viewers, for costs per viewer")


def _run_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("run")
    _time(group, "--duration", "wall seconds of each scenario (60)", None)
    _time(group, "--media-duration", "exact seconds of video to encode", None)
    group.add_argument("--input", metavar="FILE", help="video, or lavfi:SOURCE (default: the sample clip)")
    group.add_argument(
        "--output-dir",
        type=Path,
        default=Path("test_results"),
        metavar="DIR",
        help="folder for result files (./test_results)",
    )
    group.add_argument(
        "--repeat", type=_count, default=1, metavar="N", help="measure each scenario N times (1)"
    )
    group.add_argument(
        "--order", choices=("given", "random"), default="given", help="of scenarios in each round"
    )
    group.add_argument("--seed", type=_whole, default=0, help="seed of the random order (0)")
    for flag, when, default in (("--stabilization", "before", 1.0), ("--cooldown", "after", 0.0)):
        text = f"idle seconds {when} each window ({default:g})"
        group.add_argument(flag, type=_pause, metavar="S", default=default, help=text)
    group.add_argument("--with-baseline", action="store_true", help="measure an idle baseline first")
    group.add_argument("--compute-quality", action="store_true", help="VMAF, PSNR, SSIM after the run")
    group.add_argument("--codec-comparison", action="store_true", help="use VMAF's neg model")
    group.add_argument("--xpsnr", action="store_true", help="also compute XPSNR")
    group.add_argument(
        "--metric",
        action="append",
        choices=tuple(METRICS),
        default=[],
        help="also compute this score, slower than VMAF, such as --metric ms_ssim; repeatable",
    )
    group.add_argument("--keep-outputs", action="store_true", help="keep the encodes beside the result file")
    group.add_argument(
        "--resume", nargs="?", const=NEWEST, metavar="FILE", help="continue a result file (the newest)"
    )
    group.add_argument("--skip-missing", action="store_true", help="leave out scenarios that cannot run here")
    group.add_argument("--dry-run", action="store_true", help="only print the ffmpeg commands and total time")
    group.add_argument("--json", action="store_true", help="print the summary as one JSON document")
    group.add_argument("--quiet", action="store_true", help="show no progress")
    meter = parser.add_argument_group("measurement")
    meter.add_argument("--ffmpeg", metavar="PATH", help="binary (default: imageio-ffmpeg's, then PATH)")
    _time(meter, "--interval", "seconds between power samples (0.5)", 0.5)
    meter.add_argument(
        "--idle-watts", type=_real, metavar="W", help="idle power for the estimate, without a counter"
    )
    meter.add_argument("--max-watts", type=_real, metavar="W", help="full-load power for the estimate")
    meter.add_argument(
        "--models-dir",
        type=Path,
        default=Path("models"),
        metavar="DIR",
        help="folder with the idle power from 'wattframe calibrate', for runs without a baseline (./models)",
    )
    meter.add_argument(
        "--host-energy",
        choices=("cpu", "system"),
        default="cpu",
        help="energy of the host if both are measured: cpu (packages plus dram) or system (whole machine)",
    )
    for file in METER_FILES:
        meter.add_argument(file.flag, type=Path, metavar="FILE", help=f"{file.help} (docs/energy.md)")
    meter.add_argument("--sysfs", default="/sys", metavar="DIR", help="root of sysfs (/sys)")
    meter.add_argument("--procfs", default="/proc", metavar="DIR", help="root of procfs (/proc)")


def _time(group: argparse._ArgumentGroup, flag: str, text: str, default: float | None) -> None:
    group.add_argument(flag, type=_seconds, metavar="S", default=default, help=text)


def _number(
    what: str, kind: Callable[[str], float], low: float = -math.inf, high: float = math.inf
) -> Callable[[str], float]:
    """A parser of finite numbers from ``low`` to ``high``, which are ``what`` was expected."""

    def parse_value(text: str) -> float:
        try:
            value = kind(text)
            fits = math.isfinite(value) and low <= value <= high
        except (ValueError, ZeroDivisionError, OverflowError):
            fits = False
        if not fits:
            raise argparse.ArgumentTypeError(f"expected {what}, found {text!r}")
        return value

    return parse_value


def _decimal(text: str) -> float:
    return float(Fraction(text)) if "/" in text else float(text)


_real = _number("a finite number", _decimal)
_whole = _number("a whole number", int)
_count = _number("a whole number from 1 to 1000", int, 1, 1000)
_seconds = _number("seconds from 0.1 to 86400", _decimal, 0.1, 86_400)
_pause = _number("seconds from 0 to 86400", _decimal, 0, 86_400)


def _names(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    if not names:
        raise argparse.ArgumentTypeError("expected names with commas between them")
    return list(dict.fromkeys(names))


def _option(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE such as tune=film, found {text!r}")
    return name, value


def spec_of(options: argparse.Namespace) -> Spec:
    """The scenario of ``single`` or ``multi``.

    Raises
    ------
    InputError
        A ladder that cannot be read.
    """
    several = options.subcommand == "multi"
    bitrates = options.bitrates.split(",") if several and options.bitrates is not None else None
    ladder = None if options.ladder is None else [_rung(part) for part in options.ladder.split(",")]
    unsaid = options.bitrate is None and options.crf is None and ladder is None and bitrates is None
    streams = (1 if bitrates is not None else 2) if several else 1
    apart = {"input", "duration", "media_duration", "bitrate", "ladder", "bitrates", "streams"}
    fields = {*Spec.__struct_fields__} - apart
    named: dict[str, Any] = {name: value for name, value in vars(options).items() if name in fields}
    named |= {"type": "multi" if several else "single", "encoder_options": dict(options.encoder_option)}
    return Spec(
        **named,
        bitrate="2500k" if unsaid else options.bitrate,
        ladder=ladder,
        bitrates=bitrates,
        streams=options.streams if several and options.streams is not None else streams,
    )


def _rung(text: str) -> RungSpec:
    resolution, at, rate = text.strip().partition("@")
    if not at:
        raise InputError(f"expected WxH@RATE such as 1280x720@2500k, found {text!r}", subject="--ladder")
    return RungSpec(resolution=resolution, bitrate=rate)
