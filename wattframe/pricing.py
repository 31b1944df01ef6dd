"""What the commands of money share: their options, the files they read, how they print numbers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, cast

import msgspec
import typer

from advisor.common.exit import printable
from advisor.cost.price_inputs import Mode
from advisor.cost.price_list import PriceOptions
from advisor.errors import InputError, ResultFileError
from advisor.results import RESULT_GLOB, Run, read_run

__all__ = [
    "Json",
    "Results",
    "Viewers",
    "note",
    "price_options",
    "print_json",
    "read_runs",
    "shown",
    "takes_prices",
]

Results = Annotated[list[Path], typer.Argument(help="Result files, or folders of them.")]
Viewers = Annotated[
    float | None, typer.Option(min=0, help="How many watch; else each scenario's own number.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Command = Callable[..., int]


def price_options(
    region: Annotated[
        list[str] | None,
        typer.Option(envvar="REGION", help="Region of price, carbon and PUE; several side by side."),
    ] = None,
    mode: Annotated[
        str, typer.Option(envvar="COST_MODE", help="owned: machine and electricity; cloud: the rate alone.")
    ] = "owned",
    energy_cost_per_kwh: Annotated[
        float | None,
        typer.Option(envvar="ENERGY_COST_PER_KWH", help="Electricity, per kWh; else the region's."),
    ] = None,
    cpu_cost_per_hour: Annotated[
        float | None, typer.Option(envvar="CPU_COST_PER_HOUR", help="One CPU for an hour (owned: 0.50).")
    ] = None,
    gpu_cost_per_hour: Annotated[
        float | None, typer.Option(envvar="GPU_COST_PER_HOUR", help="The GPU for an hour.")
    ] = None,
    instance_cost_per_hour: Annotated[
        float | None, typer.Option(envvar="INSTANCE_COST_PER_HOUR", help="Cloud: the instance for an hour.")
    ] = None,
    host_cost_per_hour: Annotated[
        float | None,
        typer.Option(envvar="HOST_COST_PER_HOUR", help="Owned: the amortised host for an hour."),
    ] = None,
    pue: Annotated[
        float | None, typer.Option(envvar="PUE", help="Power usage effectiveness; else the region's, else 1.")
    ] = None,
    carbon_grams_per_kwh: Annotated[
        float | None,
        typer.Option(envvar="CARBON_GRAMS_PER_KWH", help="Grams of CO2e per kWh; else the region's."),
    ] = None,
    tariff: Annotated[
        Path | None, typer.Option(envvar="TARIFF_FILE", help="Tariff over time, YAML or CSV.")
    ] = None,
    regions_file: Annotated[
        Path | None, typer.Option(envvar="REGIONS_FILE", help="Own regions and figures, YAML.")
    ] = None,
    exchange_rates: Annotated[
        Path | None, typer.Option(envvar="EXCHANGE_RATES_FILE", help="Exchange rates with date, YAML.")
    ] = None,
    currency: Annotated[
        str, typer.Option(envvar="CURRENCY", help="Of every price and cost, three letters.")
    ] = "USD",
    accept_unusual_prices: Annotated[
        bool,
        typer.Option("--accept-unusual-prices", help="Keep prices that look like a slip of the unit."),
    ] = False,
) -> PriceOptions:
    """The flags of prices as one value; `takes_prices` gives them to a command."""
    return PriceOptions(
        regions=tuple(part.strip() for name in region or () for part in name.split(",") if part.strip()),
        mode=cast(Mode, mode),
        currency=currency,
        energy_cost_per_kwh=energy_cost_per_kwh,
        cpu_cost_per_hour=cpu_cost_per_hour,
        gpu_cost_per_hour=gpu_cost_per_hour,
        instance_cost_per_hour=instance_cost_per_hour,
        host_cost_per_hour=host_cost_per_hour,
        pue=pue,
        carbon_grams_per_kwh=carbon_grams_per_kwh,
        tariff_file=tariff,
        regions_file=regions_file,
        exchange_rates_file=exchange_rates,
        accept_unusual_prices=accept_unusual_prices,
    )


def takes_prices(*without: str) -> Callable[[Command], Command]:
    """A command whose keyword ``prices`` (`PriceOptions`) is filled from the flags of `price_options`.

    ``without`` names those that the command does not have.
    """
    flags = [p for p in signature(price_options, eval_str=True).parameters.values() if p.name not in without]
    flags = [flag.replace(kind=Parameter.KEYWORD_ONLY) for flag in flags]

    def decorate(command: Command) -> Command:
        def run(**given: Any) -> int:
            prices = price_options(**{flag.name: given.pop(flag.name) for flag in flags})
            return command(prices=prices, **given)

        own = [p for p in signature(command, eval_str=True).parameters.values() if p.name != "prices"]
        run.__signature__ = Signature([*own, *flags])  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in [*own, *flags]}
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        return run

    return decorate


def note(command: str, line: str) -> None:
    """A line for the person, beside the result."""
    sys.stderr.write(f"wattframe {command}: {printable(line)}\n")


def print_json(document: Any) -> None:
    """The one document on stdout."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")


def read_runs(command: str, paths: Sequence[Path]) -> tuple[list[Run], int]:
    """Every run of the files and folders, and the exit code of what could not be read.

    What cannot be read is named, and does not keep the others from being used.
    """
    runs: list[Run] = []
    code = 0
    for path in _files(paths):
        try:
            run = read_run(path)
        except ResultFileError as exc:
            note(command, str(exc))
            code = exc.exit_code
            continue
        runs.append(run)
        for refused in run.refused:
            note(command, f"{path}: left out {refused.reason}")
            code = ResultFileError.exit_code
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
