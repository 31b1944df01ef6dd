"""What the costs of a run say together: what each rung of a ladder adds, which region is worth a look."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from advisor.common.front import front
from advisor.cost.scenario_cost import ScenarioCost
from advisor.results import Scenario
from advisor.results.derived import output_seconds, settings_of


def with_rung_costs(scenarios: Sequence[Scenario], priced: Sequence[ScenarioCost]) -> list[ScenarioCost]:
    """The costs of a run's scenarios, in their order, with what each rung of a ladder adds."""
    totals = {s.name: p.cost_total for s, p in zip(scenarios, priced, strict=True) if not s.validity}
    costs = []
    for scenario, cost in zip(scenarios, priced, strict=True):
        by_rung = rung_costs(scenario, scenarios, totals)
        shared = None
        if cost.cost_total is not None and len(by_rung) == len(rungs(scenario)) > 1:
            shared = cost.cost_total - sum(by_rung.values())
        costs.append(replace(cost, cost_by_rung=by_rung, cost_shared_by_rungs=shared) if by_rung else cost)
    return costs


def rungs(scenario: Scenario) -> frozenset[str]:
    """The distinct outputs of one stream, as ``1280x720@2500k``."""
    listed = [(o.resolution or scenario.resolution, o.bitrate or scenario.bitrate) for o in scenario.outputs]
    pairs = listed or [(scenario.resolution, scenario.bitrate)]
    return frozenset(f"{resolution or '?'}@{bitrate or '?'}" for resolution, bitrate in pairs)


def rung_costs(
    scenario: Scenario, others: Sequence[Scenario], totals: Mapping[str, float | None]
) -> dict[str, float]:
    """What each rung of a ladder adds: the ladder's cost less that of the same ladder without the rung.

    Only where the run measured the ladder without it, with the same settings, and ``totals`` has both: a
    difference from what is not valid says nothing. Costs are compared for the same seconds of video. What all
    rungs share (decoding, idle power) is the rest.
    """
    ladder, total, seconds = rungs(scenario), totals.get(scenario.name), output_seconds(scenario)
    if len(ladder) < 2 or total is None or not seconds:
        return {}
    added: dict[str, float] = {}
    for other in others:
        left_out = ladder - rungs(other)
        cost, other_seconds = totals.get(other.name), output_seconds(other)
        same = len(left_out) == 1 and rungs(other) < ladder and _settings(other) == _settings(scenario)
        if same and cost is not None and other_seconds:
            added.setdefault(next(iter(left_out)), total - cost * seconds / other_seconds)
    return dict(sorted(added.items()))


def _settings(scenario: Scenario) -> tuple[object, ...]:
    return settings_of(scenario, but=("type", "bitrate", "resolution", "fps", "viewers"))


def region_front(priced: Iterable[ScenarioCost]) -> dict[str, bool]:
    """Of several regions, which are on the front of cheapest against cleanest, by region.

    Sums every scenario that has a cost and emissions in all the regions. A region is off the front when
    another one is no dearer and no dirtier, and better in one of the two. Empty when nothing can be compared.
    """
    points: dict[str, dict[tuple[str, str], tuple[float, float]]] = {}
    for p in priced:
        point = points.setdefault(p.region or "", {})
        if p.cost_total is not None and p.co2_operational_kg is not None:
            point[p.run_id, p.scenario] = (p.cost_total, p.co2_operational_kg)
    common = set.intersection(*map(set, points.values())) if points else set()
    if not common:
        return {}
    sums = {
        region: tuple(math.fsum(point[key][axis] for key in sorted(common)) for axis in (0, 1))
        for region, point in points.items()
    }
    best = front(list(sums.values()), lambda a, b: a != b and a[0] <= b[0] and a[1] <= b[1])
    return {region: sum_ in best for region, sum_ in sums.items()}
