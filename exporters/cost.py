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

from advisor.common.regular_file import Stamp, stamp_of
from advisor.cost.model import CostModel, RegionalModels
from advisor.cost.price_inputs import PRICE_OPTIONS, PriceOptions
from advisor.cost.scenario_cost import UNPRICED_REASONS, ScenarioCost
from advisor.cost.tariffs.schedule import value_at
from advisor.errors import PricingError
from advisor.results.folder import ResultFolder, Shown
from exporters.runtime import Collector, Exporter, Family, Metric, Option, Part, serve
from exporters.runtime.families import IDENTITY, declared
from exporters.runtime.logs import logger
from exporters.runtime.options import RESULT_OPTIONS, number

_POLL_SECONDS = 0.5
_RECOMPUTE_SECONDS = 60.0
"""Ages, and prices that change over time, are those of a moment at most so long ago."""

_PRICED = (*IDENTITY, "currency")
_LOAD_AWARE = (*IDENTITY, "region", "bitrate", "encoder", "currency")


Quantity = Callable[[ScenarioCost], float | None]

ALIVE = Family("cost_exporter_alive", "1 while the cost exporter is running.")
UNPRICED = Family(
    "cost_unpriced_scenarios",
    "Scenarios without a total cost in the first region, by each of their reasons.",
    ("reason",),
)
INCOMPLETE = Family(
    "cost_incomplete_scenarios",
    "Scenarios with a figure that is absent or too small, by each of their reasons.",
    ("reason",),
)
INVALID = Family(
    "cost_invalid_scenarios",
    "Priced scenarios that are not valid, by each of their reasons.",
    ("reason",),
)
FILES_REFUSED = Family("cost_files_refused", "Result files that are not readable.")
RELOADED = Family(
    "cost_pricing_reload_success",
    "1 if the pricing files are valid; 0 if they are not and the previous prices are in use.",
)
PRICE = Family(
    "cost_electricity_price_per_kwh",
    "Electricity price used, in the exporter's currency; the current one if it changes over time.",
    ("region", "source"),
)
CARBON = Family(
    "cost_grid_carbon_grams_per_kwh",
    "Grid carbon intensity used, in grams of CO2e, location-based; the current one if it changes over time.",
    ("region", "source", "basis", "year"),
)
PUE = Family("cost_pue_ratio", "Power usage effectiveness used.", ("region",))
TIME_PRICE = Family(
    "cost_time_price_per_hour",
    "Price per hour of one CPU, of the whole machine or of the GPU.",
    ("resource", "currency"),
)
AGE = Family(
    "cost_input_age_seconds",
    "Age of the newest value of a price or intensity series, or of the exchange rates.",
    ("input",),
)
INFO = Family(
    "cost_scenario_info",
    "How a scenario was priced: mode, and tier of its energy (measured or modelled).",
    (*IDENTITY, "mode", "energy_tier", "energy_basis"),
)
UNPRICED_INFO = Family(
    "cost_scenario_unpriced_info",
    "A scenario without a total cost in a region, with the reason.",
    (*IDENTITY, "region", "reason"),
)
RUNG = Family(
    "cost_rung_marginal",
    "Marginal cost of an output: the ladder's cost minus that of the same ladder measured without it.",
    (*IDENTITY, "output", "currency"),
)
SCI = Family(
    "cost_sci_grams_per_unit",
    "Software Carbon Intensity: operational and embodied grams of CO2e per functional unit.",
    (*IDENTITY, "region", "unit"),
)


def _each(labels: Sequence[str], *rows: tuple[str, str, str]) -> tuple[tuple[Family, Quantity], ...]:
    """Families of one figure a scenario each: the metric, the field of `ScenarioCost`, the help."""
    return tuple((Family(name, text, labels, kind="gauge"), attrgetter(field)) for name, field, text in rows)


_OF_SCENARIO = _each(
    _PRICED,
    ("cost_total", "cost_total", "Total cost of the scenario in the configured mode."),
    ("cost_energy", "cost_energy", "Electricity cost including PUE; owned machines only."),
    ("cost_compute", "cost_compute", "Machine cost by wall time."),
    ("cost_gpu", "cost_gpu", "GPU share of cost_compute."),
    ("cost_per_pixel", "cost_per_pixel", "Total cost per pixel delivered, over all outputs."),
    ("cost_per_watch_hour", "cost_per_watch_hour", "Total cost per hour that one viewer watches."),
    ("cost_per_stream", "cost_per_stream", "Total cost per concurrent stream."),
    ("cost_per_stream_hour", "cost_per_stream_hour", "Total cost per hour of video of one stream."),
    (
        "cost_planned_per_stream_hour",
        "planned_cost_per_stream_hour",
        "cost_per_stream_hour at one mean price for all runs, for comparing and projecting.",
    ),
    ("cost_rate_per_hour", "rate_per_hour", "Total cost per hour of wall time."),
    ("cost_monthly_projection", "monthly_projection", "Cost of 730 hours at one mean price."),
    (
        "cost_rungs_shared",
        "cost_shared_by_rungs",
        "Shared cost of a ladder's outputs: its cost minus all marginal costs.",
    ),
)
_OF_MAKING = _each(
    IDENTITY,
    ("co2_embodied_kg", "co2_embodied_kg", "Embodied carbon for the time used of the machine's lifetime."),
    ("co2_embodied_minimum_kg", "co2_embodied_minimum_kg", "Embodied carbon by the minimum figure given."),
    ("co2_embodied_maximum_kg", "co2_embodied_maximum_kg", "Embodied carbon by the maximum figure given."),
)
_OF_REGION = _each(
    _LOAD_AWARE,
    ("cost_total_load_aware", "cost_total_load_aware", "Total cost by CPU time instead of wall time."),
    (
        "cost_energy_load_aware",
        "cost_energy_load_aware",
        "Electricity cost; equal to cost_energy, because energy follows the load.",
    ),
    ("cost_compute_load_aware", "cost_compute_load_aware", "Machine cost by CPU time; GPUs by wall time."),
    ("co2_emissions_kg", "co2_operational_kg", "Operational emissions of CO2e, including PUE."),
)
_OF_VIDEO = _each(
    (*IDENTITY, "region"),
    (
        "co2_per_stream_hour_kg",
        "co2_per_stream_hour_kg",
        "Operational emissions per hour of video of one stream.",
    ),
    (
        "co2_planned_per_stream_hour_kg",
        "planned_co2_per_stream_hour_kg",
        "co2_per_stream_hour_kg at one mean intensity for all runs, for comparing and projecting.",
    ),
)


class _RunCosts(Struct, frozen=True):
    """A run priced with a price list, in every region."""

    shown: Shown
    planned: Sequence[CostModel]
    """The models of the mean prices to come, which are others every day and when a price changes."""
    by_region: Sequence[Sequence[ScenarioCost]]
    reasons: Counter[tuple[str, str]]
    """Scenarios of the first region that are ``unpriced``, ``incomplete`` or ``invalid``, by each reason."""


class CostCollector(Collector):
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
        self._book = RegionalModels.load(options)
        self._stamps: dict[Path, Stamp | None] = {}
        self._refusal: str | None = None
        self._moment = float("-inf")
        self._runs: dict[str, _RunCosts] = {}

    def parts(self) -> dict[str, Part]:
        """One part for the inputs and one a run."""
        self._reload()
        self._results.refresh()
        planned = [model.planned() for model in self._book.models]
        self._runs = {run_id: self._priced(shown, planned) for run_id, shown in self._results.shown.items()}
        now = self._clock()
        if not 0 <= now - self._moment < _RECOMPUTE_SECONDS:
            self._moment = now
        reasons: Counter[tuple[str, str]] = sum((run.reasons for run in self._runs.values()), Counter())
        inputs = self._book, self._moment, self._refusal is None, len(self._results.broken), reasons
        runs = {run_id: Part(run_part, (run.shown, run.by_region)) for run_id, run in self._runs.items()}
        return {"": Part(input_part, inputs), **runs}

    def _reload(self) -> None:
        """Read the pricing files again when they changed; broken ones leave the former prices standing.

        Stamps are taken before the files are read, and those of files that cannot be used are not kept: so
        these are tried at every look.
        """
        stamps = {path: _stamp(path) for path in self._book.files}
        if stamps == self._stamps and None not in stamps.values() and self._refusal is None:
            return
        try:
            book = RegionalModels.load(self._options)
        except PricingError as exc:
            if str(exc) != self._refusal:
                logger().error("pricing files refused, previous prices stay in use", reason=str(exc))
            self._refusal = str(exc)
            return
        # a file that is named for the first time has no stamp yet: the next look reads once more
        self._stamps = {path: stamps.get(path) for path in book.files}
        self._refusal = None
        self._book = book

    def _priced(self, shown: Shown, planned: Sequence[CostModel]) -> _RunCosts:
        former = self._runs.get(shown.run.run_id)
        if former is not None and former.shown is shown and former.planned == planned:
            return former
        by_region = [
            model.price_run(shown.run, viewers=self._viewers, scenarios=shown.scenarios)
            for model in self._book.models
        ]
        reasons = Counter({("unpriced", "malformed"): len(shown.run.refused)})
        for one in by_region[0]:
            reasons.update(("unpriced", reason) for reason in one.unpriced)
            reasons.update(("incomplete", reason) for reason in set(one.missing) - set(one.unpriced))
            reasons.update(("invalid", reason) for reason in one.validity)
        return _RunCosts(shown, planned, by_region, reasons)


def input_part(
    book: RegionalModels,
    now: float,
    reloaded: bool,
    files_refused: int,
    reasons: Mapping[tuple[str, str], int],
) -> Iterator[Metric]:
    """The inputs that were used at a moment, and what could not be priced, by reason."""
    prices = [model.prices for model in book.models]
    first = prices[0]
    rates = {"cpu": first.cpu_per_hour, "machine": first.machine_per_hour, "gpu": first.gpu_per_hour}
    electricity = [(p.region, p.electricity) for p in prices if p.electricity is not None]
    carbon = [(p.region, p.carbon) for p in prices if p.carbon is not None]
    yield ALIVE.one(1)
    yield UNPRICED([((reason,), reasons.get(("unpriced", reason), 0)) for reason in UNPRICED_REASONS])
    for family, kind in ((INCOMPLETE, "incomplete"), (INVALID, "invalid")):
        yield family([((reason,), count) for (of, reason), count in sorted(reasons.items()) if of == kind])
    yield FILES_REFUSED.one(files_refused)
    yield RELOADED.one(int(reloaded))
    yield PRICE([((region, price.source), value_at(price.schedule, now)) for region, price in electricity])
    yield CARBON(
        [
            ((region, grams.source, grams.basis or "", grams.period or ""), value_at(grams.schedule, now))
            for region, grams in carbon
        ]
    )
    yield PUE([((p.region,), p.pue_ratio) for p in prices])
    yield TIME_PRICE([((resource, first.currency), rate) for resource, rate in rates.items()])
    yield AGE([((name,), age) for name, age in book.ages_seconds(now).items()])


def _stamp(path: Path) -> Stamp | None:
    try:
        return stamp_of(path.stat())
    except OSError:
        return None


def run_part(shown: Shown, by_region: Sequence[Sequence[ScenarioCost]]) -> list[Metric]:
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
    regional = [((*_id(p), p.region or ""), p) for priced in by_region for p in priced]
    families.append(UNPRICED_INFO([((*row, reason), 1) for row, p in regional for reason in p.unpriced]))
    encodes = [(s.bitrate or "", s.encoder_type) for s in shown.scenarios] * len(by_region)
    labelled = [((*row, *of, p.currency), p) for (row, p), of in zip(regional, encodes, strict=True)]
    families += [family([(row, of(p)) for row, p in labelled]) for family, of in _OF_REGION]
    families += [family([(row, of(p)) for row, p in regional]) for family, of in _OF_VIDEO]
    return [*families, SCI([((*row, p.functional_unit or ""), p.sci_grams_per_unit) for row, p in regional])]


def _id(priced: ScenarioCost) -> tuple[str, str]:
    return priced.run_id, priced.scenario


_OPTIONS = (
    *RESULT_OPTIONS,
    Option("--viewers", "VIEWERS", None, number(0), "viewers of every scenario, overriding its own number"),
    *(Option(o.flag, o.env, o.default, o.parse, o.help) for o in PRICE_OPTIONS),
)


def price_options(options: Namespace) -> PriceOptions:
    """The options as prices."""
    return PriceOptions(**{option.name: getattr(options, option.name) for option in PRICE_OPTIONS})


def _build(options: Namespace) -> list[CostCollector]:
    results = ResultFolder(options.results_dir, runs=options.runs, max_scenarios=options.max_scenarios)
    return [CostCollector(results, price_options(options), viewers=options.viewers)]


EXPORTER = Exporter(
    name="cost",
    title="Wattframe cost exporter",
    port=9504,
    options=_OPTIONS,
    build=_build,
    families=declared(globals()),
)

if __name__ == "__main__":
    sys.exit(serve(EXPORTER))
