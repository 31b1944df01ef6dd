"""``wattframe``: one command line over every room.

Each command is a module ``wattframe.commands.NAME`` with a Typer application ``app``. A module is
imported only when its command is called, so that ``wattframe cost`` does not pay for scikit-learn.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from advisor.common.exit import guarded
from advisor.common.near import did_you_mean
from advisor.errors import InputError

if TYPE_CHECKING:
    from typer import Typer

__all__ = ["COMMANDS", "main"]

COMMANDS: dict[str, str] = {
    "up": "Serve the five exporters here, and Prometheus where there is one.",
    "test": "Run real ffmpeg scenarios and measure them.",
    "quality": "VMAF, PSNR and SSIM of encodes against their reference.",
    "cost": "Cost and carbon of measured scenarios, by region.",
    "tco": "Total cost of ownership and break-even points.",
    "forecast": "Monthly cost and carbon of a planned load.",
    "when": "The cheapest and the cleanest hours for a job.",
    "regions": "Regions with their prices and carbon intensities.",
    "retrain": "Enrich results from Prometheus, fit models, validate, promote.",
    "predict": "Power and energy of scenarios, with intervals.",
    "recommend": "Which configuration to use, and why.",
    "report": "One self-contained HTML file of the results.",
    "calibrate": "Measure this machine's idle power.",
    "doctor": "What this machine can measure, and how to make it better.",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    name = args[0] if args else "--help"
    program = f"wattframe {name}" if name in COMMANDS else "wattframe"
    return guarded(program, lambda: _dispatch(name, args[1:]))


def _dispatch(name: str, args: list[str]) -> int:
    if name in ("-h", "--help"):
        sys.stdout.write(_help())
        return 0
    if name == "--version":
        from importlib.metadata import version

        sys.stdout.write(f"wattframe {version('wattframe')}\n")
        return 0
    if name not in COMMANDS:
        raise InputError(did_you_mean(name, COMMANDS), subject=f"no command {name!r}")
    try:
        module = importlib.import_module(f"wattframe.commands.{name}")
    except ModuleNotFoundError as exc:
        if exc.name is None or exc.name.partition(".")[0] in ("wattframe", "advisor", "runner", "exporters"):
            raise
        raise InputError(f"needs the package {exc.name}: pip install 'wattframe[all]'", subject=name) from exc
    return _call(module.app, args, f"wattframe {name}")


def _call(app: Typer, args: list[str], program: str) -> int:
    """Typer's own way out of a usage error is a framed page; here it is the one line of every other error."""
    from typer.exceptions import TyperException

    app.rich_markup_mode = None  # its framed help cuts the names of options off at 80 columns
    try:
        code = app(args, prog_name=program, standalone_mode=False)
    except TyperException as exc:
        raise InputError(f"{exc.format_message()} ('{program} --help' lists the options)") from exc
    return code if isinstance(code, int) else 0


def _help() -> str:
    width = max(map(len, COMMANDS))
    rows = "".join(f"  {name:<{width}}  {text}\n" for name, text in COMMANDS.items())
    return (
        "Usage: wattframe COMMAND [OPTIONS]\n\n"
        "What a transcoded frame costs in power, money and carbon, and what to change.\n\n"
        f"Commands:\n{rows}\n'wattframe COMMAND --help' lists the options; --version prints the version.\n"
    )
