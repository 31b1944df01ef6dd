"""The flags of prices, made from what declares them, and the models that they come to."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from inspect import Parameter, Signature, signature
from typing import Annotated, Any

import typer

from advisor.cost.model import RegionalModels
from advisor.cost.price_inputs import BUILT_IN_PRICES, PRICE_OPTIONS, PriceOption, PriceOptions
from advisor.errors import InputError
from wattframe.console import note

Viewers = Annotated[
    float | None, typer.Option(min=0, help="Number of viewers (default: each scenario's own number).")
]
Command = Callable[..., int]
_OLD_SECONDS = 180 * 86_400
"""Older exchange rates, prices and intensities are used, and said to be old."""

MACHINE_TIME = (
    *("mode", "cpu_cost_per_hour", "gpu_cost_per_hour", "instance_cost_per_hour", "host_cost_per_hour"),
)
"""Options of commands that price what was measured."""
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

        own_parameters = [
            p for p in signature(command, eval_str=True).parameters.values() if p.name != "prices"
        ]
        run.__signature__ = Signature([*own_parameters, *flags])  # type: ignore[attr-defined]
        run.__annotations__ = {p.name: p.annotation for p in [*own_parameters, *flags]}
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


def regional_models(
    command: str,
    prices: PriceOptions,
    *,
    one_region: bool = False,
    defaults: Collection[str] = BUILT_IN_PRICES,
) -> RegionalModels:
    """The models of the regions, with a note for the person where what they rest on is old.

    ``one_region`` is for a command that prices in one region alone; ``defaults`` are the built-in prices that
    it has a use for.
    """
    if one_region and len(prices.region) > 1:
        raise InputError(f"expected one region, found {', '.join(prices.region)}", subject="--region")
    models = RegionalModels.load(prices, defaults=defaults)
    for name, seconds in models.ages_seconds(time.time()).items():
        if seconds > _OLD_SECONDS:
            note(command, f"{name.replace('_', ' ')}: the newest is {seconds / 86_400:.0f} days old")
    return models
