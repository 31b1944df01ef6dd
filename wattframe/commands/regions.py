"""``wattframe regions``: the regions that prices and intensities are known for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from advisor.common.exit import print_json
from advisor.cost.regions.pricing import RegionalPricing
from advisor.cost.regions.table import Region
from advisor.errors import InputError
from wattframe.commands.arguments import Json, application
from wattframe.console import print_table, shown

app = application()


@app.command()
def regions(
    word: Annotated[str | None, typer.Argument(help="Part of a region's name, country or provider.")] = None,
    regions_file: Annotated[
        Path | None, typer.Option(envvar="REGIONS_FILE", help="File with your own regions and figures, YAML.")
    ] = None,
    json_: Json = False,
) -> int:
    """List regions with electricity price (USD/kWh), carbon intensity, PUE and their sources."""
    listed = RegionalPricing(regions_file).search(word or "")
    if not listed:
        raise InputError("expected part of the name of a region, country or provider", subject=word)
    if json_:
        print_json([_document(region) for region in listed])
        return 0
    rows = []
    for region in listed:
        price = shown(region.price_per_kwh)
        if region.price_per_kwh is not None and region.price is not None:
            price += f" {region.price.currency}"
        year = region.carbon.period if region.carbon is not None else None
        figures = (price, shown(region.carbon_grams_per_kwh), year or "-", shown(region.pue_ratio))
        rows.append((region.name, region.provider, region.country or "-", *figures))
    headings = ("region", "provider", "country", "price/kWh", "g/kWh", "year", "PUE")
    print_table(
        headings,
        rows,
        text=("provider", "country"),
        caption="--json adds the basis and source of each figure.",
    )
    return 0


def _document(region: Region) -> dict[str, Any]:
    price, carbon = region.price, region.carbon
    return {
        "region": region.name,
        "provider": region.provider,
        "country": region.country,
        "price_per_kwh": region.price_per_kwh,
        "price_currency": None if price is None else price.currency,
        "price_source": None if price is None else price.source,
        "carbon_grams_per_kwh": region.carbon_grams_per_kwh,
        "carbon_basis": None if carbon is None else carbon.basis,
        "carbon_year": None if carbon is None else carbon.period,
        "carbon_source": None if carbon is None else carbon.source,
        "pue": region.pue_ratio,
    }
