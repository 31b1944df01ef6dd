"""``wattframe``: one command line over every room.

Each command is a module ``wattframe.commands.NAME`` with a Typer application ``app``. A module is
imported only when its command is called, so that ``wattframe cost`` does not pay for scikit-learn.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from advisor.common.exit import guarded
from advisor.common.near import did_you_mean
from advisor.errors import InputError

if TYPE_CHECKING:
    from typer import Typer

_OWN = ("wattframe", "advisor", "runner", "exporters", "farm")


class Entry(Struct, frozen=True):
    """What the lists say of one command, and a call that works after a first run."""

    summary: str
    example: str


COMMANDS: dict[str, Entry] = {
    "demo": Entry("Run every part once on the sample clip.", "wattframe demo --duration 8"),
    "up": Entry(
        "Run the five exporters here, and Prometheus if it is installed.",
        "wattframe up --results-dir test_results --region eu-west-1",
    ),
    "test": Entry(
        "Run ffmpeg scenarios and measure them.",
        "wattframe test batch scenarios/codecs.yaml --compute-quality",
    ),
    "tune": Entry(
        "Find the best configuration for a video.",
        "wattframe tune samples/bigbuckbunny.mp4 --min-vmaf 90 --budget 2m",
    ),
    "quality": Entry(
        "Compute VMAF, PSNR and SSIM of encodes against their reference.",
        "wattframe quality original.mp4 small.mp4 smaller.mp4 --json",
    ),
    "cost": Entry(
        "Show cost and carbon of measured scenarios, by region.",
        "wattframe cost test_results --region eu-north-1 --region us-east-1",
    ),
    "tco": Entry(
        "Compute total cost of ownership and break-even points.",
        "wattframe tco --purchase-price 8000 --mean-watts 300 --cloud-cost-per-hour 1",
    ),
    "forecast": Entry(
        "Project monthly cost and carbon of a planned load.",
        "wattframe forecast test_results --streams 20 --hours 400 --budget-month 500",
    ),
    "when": Entry(
        "Find the cheapest and the cleanest hours for a job.",
        "wattframe when --hours 3 --tariff prices.csv --mean-watts 250",
    ),
    "regions": Entry("List regions with their prices and carbon intensities.", "wattframe regions sweden"),
    "retrain": Entry(
        "Train models on results, validate and promote them.",
        "wattframe retrain --results-dir test_results --models-dir models",
    ),
    "predict": Entry(
        "Predict power and energy of scenarios, with intervals.",
        "wattframe predict --matrix scenarios/presets.yaml --input film.mp4",
    ),
    "recommend": Entry(
        "Recommend a configuration from measured results.",
        "wattframe recommend test_results --objective energy --min-vmaf 85",
    ),
    "report": Entry(
        "Write one self-contained HTML report.",
        "wattframe report test_results --region eu-west-1 -o report.html",
    ),
    "export": Entry("Write results as CSV or Parquet.", "wattframe export test_results --csv results.csv"),
    "worker": Entry(
        "Run a Dask worker on this machine.", "wattframe worker tcp://127.0.0.1:8786 --name attic"
    ),
    "calibrate": Entry("Measure this machine's idle power.", "wattframe calibrate --seconds 60 --full-load"),
    "doctor": Entry("Show what this machine can measure, and how to improve it.", "wattframe doctor --json"),
    "completion": Entry(
        "Print a shell completion script.",
        "source <(wattframe completion bash)",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    if os.getpid() == 1:
        # the first process of a container hears no signal that it does not handle
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if args[:1] == ["help"]:  # as other programs have it
        args = [*args[1:2], "--help"]
    name = args[0] if args else "--help"
    program = f"wattframe {name}" if name in COMMANDS else "wattframe"
    return guarded(program, lambda: _dispatch(name, args[1:]))


def _dispatch(name: str, args: list[str]) -> int:
    if name in ("-h", "--help"):
        sys.stdout.write(_help())
        return 0
    if name in ("-V", "--version", "version"):
        from importlib.metadata import version

        sys.stdout.write(f"wattframe {version('wattframe')}\n")
        return 0
    if name not in COMMANDS:
        raise InputError(
            did_you_mean(name, (*COMMANDS, "--help", "--version")), subject=f"no command {name!r}"
        )
    try:
        module = importlib.import_module(f"wattframe.commands.{name}")
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] in _OWN:
            raise
        raise InputError(f"needs the package {exc.name}: pip install '.[all]' in the checkout") from exc
    return _call(module.app, args, f"wattframe {name}")


def _call(app: Typer, args: list[str], program: str) -> int:
    """Typer's own way out of a usage error is a framed page; here it is the one line of every other error."""
    from typer.exceptions import TyperException

    app.rich_markup_mode = None  # its framed help cuts the names of options off at 80 columns
    for command in app.registered_commands:
        command.epilog = f"\b\nExample:\n  {COMMANDS[program.split()[1]].example}"
    try:
        code = app(args, prog_name=program, standalone_mode=False)
    except TyperException as exc:
        said = exc.format_message()
        errors: list[dict[str, object]] = getattr(exc.__cause__, "errors", list)()  # with the value
        found = "".join(f", found {e['input']!r}" for e in errors[:1] if repr(e["input"]) not in said)
        raise InputError(f"{said}{found} ('{program} --help' lists the options)") from exc
    return code if isinstance(code, int) else 0


def _help() -> str:
    width = max(map(len, COMMANDS))
    rows = "".join(f"  {name:<{width}}  {command.summary}\n" for name, command in COMMANDS.items())
    return (
        "Usage: wattframe COMMAND [OPTIONS]\n\n"
        "Measure the energy, cost, carbon and quality of ffmpeg encodes, and find better settings.\n\n"
        f"Commands:\n{rows}\n"
        "Begin with 'wattframe tune VIDEO'; 'wattframe COMMAND --help' lists the options of a command.\n"
    )
