"""Cost exporter, port 9504: what the scenarios cost in money and carbon, and the inputs that say so.

Series without the label ``region`` are of the first region given; those with it are of every region. All
money is in one currency. What cannot be priced has no series and is counted by its reason.
"""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path

from msgspec import Struct

from advisor.common.booleans import parse_boolean
from advisor.cost.carbon import Embodied
from advisor.cost.cost_record import UNPRICED_REASONS, Priced
from advisor.cost.price_list import (
    DEFAULT_CPU_COST_PER_HOUR,
    DEFAULT_ENERGY_COST_PER_KWH,
    PriceBook,
    PriceOptions,
)
from advisor.cost.run_cost import price_run
from advisor.cost.tariffs.schedule import Schedule, value_at
from advisor.errors import PricingError
from advisor.results.folder import ResultFolder, Shown
from exporters.runtime import Exporter, Family, Metric, Option, Part, serve
from exporters.runtime.families import IDENTITY, Row, declared
from exporters.runtime.logs import logger
from exporters.runtime.options import RESULT_OPTIONS, choice, existing_file, number

__all__ = ["EXPORTER", "CostCollector"]

_POLL_SECONDS = 0.5
_RECOMPUTE_SECONDS = 60.0
"""Ages, and prices that change over time, are those of a moment at most so long ago."""

_PRICED = (*IDENTITY, "currency")
_LOAD_AWARE = (*IDENTITY, "region", "bitrate", "encoder", "currency")


def _gauge(name: str, help: str, labels: Sequence[str] = ()) -> Family:
    return Family(name, "gauge", help, labels)


Quantity = Callable[[Priced], float | None]

ALIVE = _gauge("cost_exporter_alive", "1: the cost exporter is running.")
UNPRICED = _gauge(
    "cost_unpriced_scenarios",
    "Scenarios without a total cost in the first region, by reason; one with several counts under each.",
    ("reason",),
)
INCOMPLETE = _gauge(
    "cost_incomplete_scenarios",
    "Scenarios of which a figure is absent or too small, by reason; one with several counts under each.",
    ("reason",),
)
FILES_REFUSED = _gauge("cost_files_refused", "Result files that cannot be read.")
RELOADED = _gauge(
    "cost_pricing_reload_success",
    "1 if the pricing files were read when last looked at; 0 while former prices still hold.",
)
PRICE = _gauge(
    "cost_electricity_price_per_kwh",
    "Price of electricity used, in the process's currency; of this moment where it changes over time.",
    ("region", "source"),
)
CARBON = _gauge(
    "cost_grid_carbon_grams_per_kwh",
    "Carbon intensity of the grid used, in grams of CO2e, location-based; of this moment for a series.",
    ("region", "source", "basis", "year"),
)
PUE = _gauge(
    "cost_pue_ratio", "Power usage effectiveness used: the building's energy over the machines'.", ("region",)
)
TIME_PRICE = _gauge(
    "cost_time_price_per_hour",
    "Price of an hour of one CPU, of the whole machine, or of the GPU.",
    ("resource", "currency"),
)
AGE = _gauge(
    "cost_input_age_seconds",
    "Time since the newest value of a series of prices or intensities, or since the day of the rates.",
    ("input",),
)
INFO = Family(
    "cost_scenario_info",
    "info",
    "How a scenario was priced: mode, and where its energy is from (measured or modelled).",
    (*IDENTITY, "mode", "energy_tier", "energy_basis"),
)
UNPRICED_INFO = Family(
    "cost_scenario_unpriced_info",
    "info",
    "A scenario without a total cost in a region, and why.",
    (*IDENTITY, "region", "reason"),
)
RUNG = _gauge(
    "cost_rung_marginal",
    "What an output of a ladder adds: the ladder's cost less that of the ladder measured without it.",
    (*IDENTITY, "output", "currency"),
)
SCI = _gauge(
    "cost_sci_grams_per_unit",
    "Software Carbon Intensity: operational and embodied grams of CO2e per functional unit.",
    (*IDENTITY, "region", "unit"),
)


def _each(labels: Sequence[str], *rows: tuple[str, str, str]) -> tuple[tuple[Family, Quantity], ...]:
    """Families of one figure a scenario each: the metric, the field of `Priced`, the help."""
    return tuple((_gauge(name, text, labels), attrgetter(field)) for name, field, text in rows)


_OF_SCENARIO = _each(
    _PRICED,
    ("cost_total", "cost_total", "Cost of the scenario in the mode given."),
    ("cost_energy", "cost_energy", "Cost of electricity, the building's included; owned machines only."),
    ("cost_compute", "cost_compute", "Cost of the machine's wall time."),
    ("cost_gpu", "cost_gpu", "The GPU's part of cost_compute."),
    ("cost_per_pixel", "cost_per_pixel", "Total cost per pixel delivered, over all outputs."),
    ("cost_per_watch_hour", "cost_per_watch_hour", "Total cost per hour that one viewer watches."),
    ("cost_per_stream", "cost_per_stream", "Total cost over the concurrent streams."),
    ("cost_per_stream_hour", "cost_per_stream_hour", "Total cost per hour of video of one stream."),
    ("cost_rate_per_hour", "rate_per_hour", "Total cost per hour of wall time."),
    ("cost_monthly_projection", "monthly_projection", "What 730 hours of the scenario cost."),
    (
        "cost_rungs_shared",
        "cost_shared_by_rungs",
        "What the outputs of a ladder share: its cost less all they add.",
    ),
)
_OF_MAKING = _each(
    IDENTITY,
    ("co2_embodied_kg", "co2_embodied_kg", "Share of making the machine, by time of its lifetime."),
    ("co2_embodied_minimum_kg", "co2_embodied_minimum_kg", "The same of the lowest figure given."),
    ("co2_embodied_maximum_kg", "co2_embodied_maximum_kg", "The same of the highest figure given."),
)
_OF_REGION = _each(
    _LOAD_AWARE,
    ("cost_total_load_aware", "cost_total_load_aware", "Total cost with CPU time in place of wall time."),
    (
        "cost_energy_load_aware",
        "cost_energy_load_aware",
        "Cost of electricity; energy follows the load anyway.",
    ),
    ("cost_compute_load_aware", "cost_compute_load_aware", "Cost of the CPU time used, GPUs by wall time."),
    ("co2_emissions_kg", "co2_operational_kg", "Operational emissions of CO2e, the building's included."),
)
STREAM_HOUR_CO2 = _gauge(
    "co2_per_stream_hour_kg", "Operational emissions per hour of video of one stream.", (*IDENTITY, "region")
)


class _RunCosts(Struct, frozen=True):
    """A run priced with a price list, in every region."""

    shown: Shown
    book: PriceBook
    by_region: Sequence[Sequence[Priced]]
    unpriced: Counter[str]
    incomplete: Counter[str]


class CostCollector:
    """Prices a folder of result files, again when a file or a price changes.

    ``clock`` gives Unix seconds: ages and prices of this moment follow it.
    """

    name = "cost"
    poll_seconds = _POLL_SECONDS

    def __init__(
        self,
        results: ResultFolder,
        options: PriceOptions,
        *,
        viewers: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._results = results
        self._options = options
        self._viewers = viewers
        self._clock = clock
        self._book = PriceBook.load(options)
        self._stamps: dict[Path, _Stamp] = {}
        self._refusal: str | None = None
        self._moment = float("-inf")
        self._runs: dict[str, _RunCosts] = {}

    def start(self) -> None:
        """Nothing is held open."""

    def close(self) -> None:
        """Nothing is held open."""

    def parts(self) -> dict[str, Part]:
        """One part for the inputs and one a run."""
        self._reload()
        self._results.refresh()
        self._runs = {run_id: self._priced(shown) for run_id, shown in self._results.shown.items()}
        now = self._clock()
        if not 0 <= now - self._moment < _RECOMPUTE_SECONDS:
            self._moment = now
        unpriced: Counter[str] = sum((run.unpriced for run in self._runs.values()), Counter())
        incomplete: Counter[str] = sum((run.incomplete for run in self._runs.values()), Counter())
        refused = len(self._results.broken)
        inputs = self._book, self._moment, self._refusal is None, refused, unpriced, incomplete
        runs = {run_id: Part(run_part, (run.shown, run.by_region)) for run_id, run in self._runs.items()}
        return {"": Part(input_part, inputs), **runs}

    def _reload(self) -> None:
        """Read the pricing files again when they changed; broken ones leave the former prices standing.

        Stamps are taken before the files are read, and those of files that cannot be used are not kept: so
        these are tried at every look.
        """
        stamps = {path: _stamp(path) for path in self._book.files}
        if stamps == self._stamps and self._refusal is None:
            return
        try:
            book = PriceBook.load(self._options)
        except PricingError as exc:
            if str(exc) != self._refusal:
                logger().error("pricing files refused, former prices hold", reason=str(exc))
            self._refusal = str(exc)
            return
        # a file that is named for the first time has no stamp yet: the next look reads once more
        self._stamps = {path: stamps.get(path) for path in book.files}
        self._book, self._refusal = book, None

    def _priced(self, shown: Shown) -> _RunCosts:
        former = self._runs.get(shown.run.run_id)
        if former is not None and former.shown is shown and former.book is self._book:
            return former
        by_region = [
            price_run(shown.run, model, viewers=self._viewers, scenarios=shown.scenarios)
            for model in self._book.models
        ]
        unpriced = Counter(reason for priced in by_region[0] for reason in priced.unpriced)
        unpriced["malformed"] = len(shown.run.refused)
        incomplete = Counter(reason for priced in by_region[0] for reason in priced.missing)
        return _RunCosts(shown, self._book, by_region, unpriced, incomplete - unpriced)


def input_part(
    book: PriceBook,
    now: float,
    reloaded: bool,
    files_refused: int,
    unpriced: Mapping[str, int],
    incomplete: Mapping[str, int],
) -> Iterator[Metric]:
    """The inputs that were used at a moment, and what could not be priced, by reason."""
    prices = [model.prices for model in book.models]
    first = prices[0]
    rates = {"cpu": first.cpu_per_hour, "machine": first.machine_per_hour, "gpu": first.gpu_per_hour}
    carbon_labels = [
        (p.region, p.carbon_source or "", p.carbon_basis or "", p.carbon_year or "") for p in prices
    ]
    yield ALIVE.one(1)
    yield UNPRICED([((reason,), unpriced.get(reason, 0)) for reason in UNPRICED_REASONS])
    yield INCOMPLETE([((reason,), count) for reason, count in sorted(incomplete.items())])
    yield FILES_REFUSED.one(files_refused)
    yield RELOADED.one(int(reloaded))
    yield PRICE([((p.region, p.electricity_source or ""), _now(p.electricity, now)) for p in prices])
    yield CARBON([(row, _now(p.carbon, now)) for row, p in zip(carbon_labels, prices, strict=True)])
    yield PUE([((p.region,), p.pue_ratio) for p in prices])
    yield TIME_PRICE([((resource, first.currency), rate) for resource, rate in rates.items()])
    yield AGE([((name,), age) for name, age in book.ages_seconds(now).items()])


def _now(schedule: Schedule | None, now: float) -> float | None:
    return None if schedule is None else value_at(schedule, now)


_Stamp = tuple[int, ...] | None


def _stamp(path: Path) -> _Stamp:
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino, info.st_dev


def run_part(shown: Shown, by_region: Sequence[Sequence[Priced]]) -> list[Metric]:
    """Every family of one run; the first region's figures are those without a region."""
    first = by_region[0]
    families = [
        INFO(
            [((*_id(p), p.mode, p.energy_tier or "unknown", p.energy_basis or "unknown"), 1) for p in first]
        ),
        RUNG(
            [((*_id(p), output, p.currency), cost) for p in first for output, cost in p.cost_by_rung.items()]
        ),
    ]
    families += [family([((*_id(p), p.currency), of(p)) for p in first]) for family, of in _OF_SCENARIO]
    families += [family([(_id(p), of(p)) for p in first]) for family, of in _OF_MAKING]
    families.append(
        UNPRICED_INFO(
            [
                ((*_id(p), p.region or "", reason), 1)
                for priced in by_region
                for p in priced
                for reason in p.unpriced
            ]
        )
    )
    everywhere = [(p, s) for priced in by_region for p, s in zip(priced, shown.scenarios, strict=True)]
    labels = [(*_id(p), p.region or "", s.bitrate or "", s.encoder_type, p.currency) for p, s in everywhere]
    for family, of in _OF_REGION:
        families.append(family([(row, of(p)) for row, (p, _) in zip(labels, everywhere, strict=True)]))
    regional: list[Row] = [((*_id(p), p.region or ""), p.co2_per_stream_hour_kg) for p, _ in everywhere]
    sci: list[Row] = [
        ((*_id(p), p.region or "", p.functional_unit or ""), p.sci_grams_per_unit) for p, _ in everywhere
    ]
    return [*families, STREAM_HOUR_CO2(regional), SCI(sci)]


def _id(priced: Priced) -> tuple[str, str]:
    return priced.run_id, priced.scenario


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


_price = number(0)
_OPTIONS = (
    *RESULT_OPTIONS,
    Option("--region", "REGION", (), _names, "region of price, carbon and PUE; several with commas"),
    Option(
        "--mode",
        "COST_MODE",
        "owned",
        choice("owned", "cloud"),
        "owned: machine and electricity; cloud: rate",
    ),
    Option(
        "--energy-cost-per-kwh",
        "ENERGY_COST_PER_KWH",
        None,
        _price,
        f"electricity; unset: the tariff's or the region's, {DEFAULT_ENERGY_COST_PER_KWH} without both",
    ),
    Option(
        "--cpu-cost-per-hour",
        "CPU_COST_PER_HOUR",
        None,
        _price,
        f"one CPU for an hour; unset: {DEFAULT_CPU_COST_PER_HOUR:.2f} where nothing else prices time",
    ),
    Option("--gpu-cost-per-hour", "GPU_COST_PER_HOUR", None, _price, "price of the GPU for an hour"),
    Option(
        "--instance-cost-per-hour", "INSTANCE_COST_PER_HOUR", None, _price, "cloud: price of the instance"
    ),
    Option("--host-cost-per-hour", "HOST_COST_PER_HOUR", None, _price, "owned: amortised price of the host"),
    Option("--currency", "CURRENCY", "USD", str, "currency of every price and cost, three letters"),
    Option("--pue", "PUE", None, number(1, 3), "power usage effectiveness; unset it is the region's, else 1"),
    Option(
        "--carbon-grams-per-kwh", "CARBON_GRAMS_PER_KWH", None, _price, "intensity in place of the region's"
    ),
    Option("--tariff", "TARIFF_FILE", None, existing_file, "tariff, YAML or CSV"),
    Option("--regions-file", "REGIONS_FILE", None, existing_file, "own regions and figures, YAML"),
    Option("--exchange-rates", "EXCHANGE_RATES_FILE", None, existing_file, "exchange rates with date, YAML"),
    Option("--viewers", "VIEWERS", None, number(0), "viewers of every scenario in place of its own number"),
    Option("--embodied-kg", "EMBODIED_KG", None, number(0), "CO2e of making the machine"),
    Option("--embodied-minimum-kg", "EMBODIED_MINIMUM_KG", None, number(0), "its lowest figure"),
    Option("--embodied-maximum-kg", "EMBODIED_MAXIMUM_KG", None, number(0), "its highest figure"),
    Option(
        "--lifetime-years", "LIFETIME_YEARS", 4.0, number(0, above=True), "years that the machine is used"
    ),
    Option(
        "--functional-unit",
        "FUNCTIONAL_UNIT",
        None,
        choice("video_minute", "watch_hour", "gigapixel"),
        "what the Software Carbon Intensity is per",
    ),
    Option(
        "--accept-unusual-prices",
        "ACCEPT_UNUSUAL_PRICES",
        False,
        parse_boolean,
        "keep prices that look like a slip",
    ),
)


def price_options(options: Namespace) -> PriceOptions:
    """The options as prices."""
    making = None
    if options.embodied_kg is not None:
        making = Embodied(
            options.embodied_kg,
            options.lifetime_years,
            options.embodied_minimum_kg,
            options.embodied_maximum_kg,
        )
    return PriceOptions(
        regions=options.region,
        mode=options.mode,
        currency=options.currency,
        energy_cost_per_kwh=options.energy_cost_per_kwh,
        cpu_cost_per_hour=options.cpu_cost_per_hour,
        gpu_cost_per_hour=options.gpu_cost_per_hour,
        instance_cost_per_hour=options.instance_cost_per_hour,
        host_cost_per_hour=options.host_cost_per_hour,
        pue=options.pue,
        carbon_grams_per_kwh=options.carbon_grams_per_kwh,
        tariff_file=options.tariff,
        regions_file=options.regions_file,
        exchange_rates_file=options.exchange_rates,
        embodied=making,
        functional_unit=options.functional_unit,
        accept_unusual_prices=options.accept_unusual_prices,
    )


def _build(options: Namespace) -> list[CostCollector]:
    results = ResultFolder(options.results_dir, runs=options.runs, max_scenarios=options.max_scenarios)
    return [CostCollector(results, price_options(options), viewers=options.viewers)]


EXPORTER = Exporter(
    name="cost",
    title="Wattframe cost exporter",
    port=9504,
    port_env="COST_EXPORTER_PORT",
    options=_OPTIONS,
    build=_build,
    families=declared(globals()),
)

if __name__ == "__main__":
    sys.exit(serve(EXPORTER))
