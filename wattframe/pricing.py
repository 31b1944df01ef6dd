"""What the commands of money share: their options, the files they read, how they print numbers."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from advisor.errors import InputError, ResultFileError
from advisor.results import RESULT_GLOB, Run, read_run

__all__ = [
    "AcceptUnusual",
    "Carbon",
    "CpuPrice",
    "Currency",
    "EnergyPrice",
    "GpuPrice",
    "HostPrice",
    "InstancePrice",
    "Json",
    "Mode",
    "Pue",
    "Rates",
    "RegionNames",
    "Regions",
    "Results",
    "Tariff",
    "Viewers",
    "note",
    "print_json",
    "read_runs",
    "regions_of",
    "shown",
]

Results = Annotated[list[Path], typer.Argument(help="Result files, or folders of them.")]
RegionNames = Annotated[
    list[str] | None,
    typer.Option("--region", envvar="REGION", help="Region of price, carbon and PUE; several side by side."),
]
Mode = Annotated[
    str, typer.Option(envvar="COST_MODE", help="owned: machine and electricity; cloud: the rate alone.")
]
EnergyPrice = Annotated[
    float | None, typer.Option(envvar="ENERGY_COST_PER_KWH", help="Electricity, per kWh; else the region's.")
]
CpuPrice = Annotated[
    float | None, typer.Option(envvar="CPU_COST_PER_HOUR", help="One CPU for an hour (owned: 0.50).")
]
GpuPrice = Annotated[float | None, typer.Option(envvar="GPU_COST_PER_HOUR", help="The GPU for an hour.")]
InstancePrice = Annotated[
    float | None, typer.Option(envvar="INSTANCE_COST_PER_HOUR", help="Cloud: the instance for an hour.")
]
HostPrice = Annotated[
    float | None, typer.Option(envvar="HOST_COST_PER_HOUR", help="Owned: the amortised host for an hour.")
]
Pue = Annotated[
    float | None, typer.Option(envvar="PUE", help="Power usage effectiveness; else the region's, else 1.")
]
Carbon = Annotated[
    float | None,
    typer.Option(envvar="CARBON_GRAMS_PER_KWH", help="Grams of CO2e per kWh; else the region's."),
]
Tariff = Annotated[
    Path | None, typer.Option("--tariff", envvar="TARIFF_FILE", help="Tariff over time, YAML or CSV.")
]
Regions = Annotated[Path | None, typer.Option(envvar="REGIONS_FILE", help="Own regions and figures, YAML.")]
Rates = Annotated[
    Path | None,
    typer.Option("--exchange-rates", envvar="EXCHANGE_RATES_FILE", help="Exchange rates with date, YAML."),
]
Currency = Annotated[str, typer.Option(envvar="CURRENCY", help="Of every price and cost, three letters.")]
Viewers = Annotated[
    float | None, typer.Option(min=0, help="How many watch; else each scenario's own number.")
]
AcceptUnusual = Annotated[
    bool, typer.Option("--accept-unusual-prices", help="Keep prices that look like a slip of the unit.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def regions_of(names: Sequence[str] | None) -> tuple[str, ...]:
    """The names of ``--region``, given several times or with commas."""
    return tuple(part.strip() for name in names or () for part in name.split(",") if part.strip())


def note(command: str, line: str) -> None:
    """A line for the person, beside the result."""
    sys.stderr.write(f"wattframe {command}: {line}\n")


def print_json(document: Any) -> None:
    """The one document on stdout."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")


def read_runs(command: str, paths: Sequence[Path]) -> tuple[list[Run], int]:
    """Every run of the files and folders, and the exit code of what could not be read.

    A file that cannot be read is named and does not keep the others from being used.
    """
    runs: list[Run] = []
    code = 0
    for path in _files(paths):
        try:
            runs.append(read_run(path))
        except ResultFileError as exc:
            note(command, str(exc))
            code = exc.exit_code
    for run in runs:
        for refused in run.refused:
            note(command, f"{run.run_id}: left out {refused.reason}")
    if not runs and not code:
        raise InputError(f"expected {RESULT_GLOB}, found none", subject=", ".join(map(str, paths)))
    return runs, code


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(path.glob(RESULT_GLOB)) if path.is_dir() else [path]


def shown(value: float | None, digits: int = 4) -> str:
    """A number for a table: significant digits, no zeros that hide a small price, a dash for unknown.

    >>> shown(0.00001500412), shown(1234.5678), shown(0.0), shown(None)
    ('1.5e-05', '1235', '0', '-')
    """
    return "-" if value is None else f"{value:.{digits}g}"
