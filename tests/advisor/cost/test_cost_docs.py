"""docs/cost.md cannot lag: its files load, its options and reasons exist (its examples run as doctests)."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from advisor import CostModel, RegionalPricing
from advisor.cost.exchange_rates import read_rates
from advisor.cost.price_inputs import PRICE_OPTIONS
from advisor.cost.tariffs.provider_files import FORMATS
from advisor.cost.tariffs.tariff_files import read_tariff

PAGE = (Path(__file__).parents[3] / "docs" / "cost.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_every_file_on_the_page_loads(tmp_path: Path, block: str) -> None:
    for name, column in (("day_ahead.csv", "price_per_kwh"), ("carbon.csv", "carbon_grams_per_kwh")):
        (tmp_path / name).write_text(f"timestamp,{column}\n0,1.1\n3600,1.2\n")
    path = tmp_path / "file.yaml"
    path.write_text(block)
    if "regions:" in block:
        assert "basement" in RegionalPricing(path, currency="EUR").names("operator")
    elif "rates:" in block:
        assert read_rates(path).per_base == {"USD": 1.08}
    else:
        assert read_tariff(path).schedule is not None


def test_every_provider_whose_files_are_read_is_on_the_page() -> None:
    assert [form.provider for forms in FORMATS.values() for form in forms if form.provider not in PAGE] == []


def rows_of_prices() -> list[str]:
    """The table of prices, from what declares them."""
    rows = []
    for option in PRICE_OPTIONS:
        default = "none" if option.default in (None, ()) else f"`{str(option.default).lower()}`"
        default = f"`{option.default}`" if isinstance(option.default, str) else default
        rows.append(f"| `{option.flag}` | `{option.env}` | {default} | {option.help} |")
    return ["| flag | variable | default | what it sets |", "|---|---|---|---|", *rows]


def test_the_table_of_prices_is_what_declares_them() -> None:
    """On failure put this in its place."""
    assert "\n".join(rows_of_prices()) in PAGE


def test_every_public_method_is_in_the_tables() -> None:
    public = [(name, value) for cls in (CostModel, RegionalPricing) for name, value in vars(cls).items()]
    methods = [name for name, value in public if inspect.isfunction(value) and not name.startswith("_")]
    assert [name for name in methods if f"`{name}" not in PAGE] == []


def test_every_constructor_parameter_is_in_the_table() -> None:
    parameters = set(inspect.signature(CostModel.__init__).parameters) - {
        "self",
        "options",
        "energy_cost_source",
    }
    parameters |= {"mode", "instance_cost_per_hour", "host_cost_per_hour", "pue", "functional_unit"}
    assert [p for p in parameters if f"`{p}`" not in PAGE] == []
