"""What the commands share: the flags of prices, the files that they read, how they print numbers."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from advisor.common.exit import printable
from advisor.cost.model import RegionalModels
from advisor.cost.price_inputs import PRICE_OPTIONS, PriceOption, PriceOptions
from advisor.errors import InputError, ResultFileError
from advisor.results import RESULT_GLOB, Run, read_run
from wattframe import tables

if TYPE_CHECKING:
    from rich.table import Table

__all__ = [
    "EMISSIONS_OF_MAKING",
    "Json",
    "Results",
    "Viewers",
    "new_table",
    "note",
    "print_json",
    "print_table",
    "read_runs",
    "regional_models",
    "shown",
    "takes_prices",
]

Results = Annotated[list[Path], typer.Argument(help="Result files, or folders of them.")]
Viewers = Annotated[
    float | None, typer.Option(min=0, help="How many watch; else each scenario's own number.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Command = Callable[..., int]
_OLD_SECONDS = 180 * 86_400
"""Older exchange rates, prices and intensities are used, and said to be old."""

EMISSIONS_OF_MAKING = (
    *("embodied_kg", "embodied_minimum_kg", "embodied_maximum_kg", "lifetime_years", "functional_unit"),
)
"""Options that only ``wattframe cost`` has a use for."""


def takes_prices(*without: str) -> Callable[[Command], Command]:
    """A command whose keyword ``prices`` (`PriceOptions`) is filled from a flag for each of its fields.

    ``without`` names those that the command does not have.
    """
    flags = [_flag(option) for option in PRICE_OPTIONS if option.name not in without]

    def decorate(command: Command) -> Command:
        def run(**given: Any) -> int:
            prices = PriceOptions(**{flag.name: given.pop(flag.name) for flag in flags})
            return command(prices=prices, **given)

        own = [p for p in signature(command, eval_str=True).parameters.values() if p.name != "prices"]
        run.__signature__ = Signature([*own, *flags])  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in [*own, *flags]}
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        return run

    return decorate


def _flag(option: PriceOption) -> Parameter:
    kind = list[str] if option.kind is tuple else option.kind
    about = typer.Option(
        option.flag, envvar=option.env, help=option.help, show_default=option.kind is not tuple
    )
    annotation = Annotated[kind if option.default is not None else kind | None, about]  # type: ignore[valid-type]
    default = list(option.default) if option.kind is tuple else option.default
    return Parameter(option.name, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def regional_models(command: str, prices: PriceOptions, *, one_region: bool = False) -> RegionalModels:
    """The models of the regions, with a note for the person where what they rest on is old.

    ``one_region`` is for a command that prices in one region alone.
    """
    if one_region and len(prices.region) > 1:
        raise InputError(f"expected one region, found {', '.join(prices.region)}", subject="--region")
    models = RegionalModels.load(prices)
    for name, seconds in models.ages_seconds(time.time()).items():
        if seconds > _OLD_SECONDS:
            note(command, f"{name.replace('_', ' ')}: the newest is {seconds / 86_400:.0f} days old")
    return models


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

    >>> shown(0.00001500412), shown(1234.5678), shown(12345678.9), shown(0.0), shown(None)
    ('1.5e-05', '1235', '12345679', '0', '-')
    """
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 10**digits else f"{value:.{digits}g}"


def new_table(title: str, texts: Sequence[str], numbers: Sequence[str]) -> Table:
    """A table whose texts may be folded and whose numbers are never cut."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in texts:
        table.add_column(heading, overflow="fold", no_wrap=heading in ("run", "region", "of"))
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def print_table(table: Table, caption: Sequence[str] = ()) -> None:
    """The table as wide as its numbers need, and lines of text under it."""
    console = tables.console(160)
    console.width = max(console.width, console.measure(table).minimum)
    console.print(table)
    for line in caption:
        console.print(line)
