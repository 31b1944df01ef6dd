"""What the dashboards share: their frame, their variables, and queries that several ask."""

from __future__ import annotations

from collections.abc import Sequence

from grafana.panels import DATASOURCE, GREEN, ORANGE, RED, Json, laid_out, thresholds

__all__ = [
    "ENCODER",
    "HOST",
    "IN_REGION",
    "OF_RUN",
    "OF_SCENARIOS",
    "REGION",
    "RUN",
    "SCENARIO",
    "VMAF_STEPS",
    "board",
    "cost_in_region",
    "once",
    "total_in_region",
    "variable",
    "vmaf",
]

# One run at a time: no panel mixes runs.
OF_RUN = '{run_id="$run", scenario=~"$scenario"}'
IN_REGION = '{run_id="$run", scenario=~"$scenario", region="$region"}'
_PRICED = "run_id, scenario, currency"
VMAF_STEPS = thresholds((60, ORANGE), (80, GREEN), base=RED)


def variable(name: str, label: str, expr: str, description: str, *, several: bool) -> Json:
    return {
        "type": "query",
        "name": name,
        "label": label,
        "description": description,
        "datasource": DATASOURCE,
        "query": {"query": expr, "refId": name},
        "refresh": 2,
        "sort": 1 if several else 2,  # single ones begin at the newest run
        "multi": several,
        "includeAll": several,
        "hide": 0,
        "skipUrlSync": False,
        "options": [],
        "current": {"text": ["All"], "value": ["$__all"]} if several else {},
    }


SOURCE: Json = {
    "type": "datasource",
    "name": "datasource",
    "label": "data source",
    "description": "The Prometheus that scrapes the exporters.",
    "query": "prometheus",
    "regex": "",
    "refresh": 1,
    "multi": False,
    "includeAll": False,
    "hide": 0,
    "skipUrlSync": False,
    "options": [],
    "current": {},
}
RUN = variable("run", "run", "label_values(results_scenario_info, run_id)", "One test run.", several=False)
ENCODER = variable(
    "encoder",
    "encoder",
    'label_values(results_scenario_info{run_id="$run", type!="baseline"}, codec)',
    "Encoders, by ffmpeg's name.",
    several=True,
)
SCENARIO = variable(
    "scenario",
    "scenario",
    'label_values(results_scenario_info{run_id="$run", codec=~"$encoder", type!="baseline"}, scenario)',
    "Scenarios of the run, without its idle baseline.",
    several=True,
)
REGION = variable(
    "region",
    "region",
    "label_values(cost_pue_ratio, region)",
    "Region of the electricity price and carbon intensity.",
    several=False,
)
HOST = variable(
    "host",
    "host",
    'label_values(up{job=~"rapl|gpu|docker_stats|node"}, instance)',
    "Scraped hosts.",
    several=True,
)
OF_SCENARIOS = [RUN, ENCODER, SCENARIO]


def board(
    uid: str,
    title: str,
    description: str,
    panels: Sequence[Json],
    variables: Sequence[Json] = (),
    *,
    since: str = "now-6h",
    refresh: str = "30s",
) -> Json:
    return {
        "uid": f"wattframe-{uid}",
        "title": f"Wattframe: {title}",
        "description": description,
        "tags": ["wattframe"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "time": {"from": since, "to": "now"},
        "refresh": refresh,
        "fiscalYearStartMonth": 0,
        "liveNow": False,
        "weekStart": "",
        "timepicker": {},
        "annotations": {"list": []},
        "links": [
            {
                "type": "dashboards",
                "tags": ["wattframe"],
                "asDropdown": True,
                "title": "Wattframe",
                "icon": "external link",
                "includeVars": True,
                "keepTime": True,
                "targetBlank": False,
                "tooltip": "",
                "url": "",
            }
        ],
        "templating": {"list": [SOURCE, *variables]},
        "panels": laid_out(panels),
    }


def once(series: str, labels: str = "run_id, scenario") -> str:
    """One series a scenario, however many exporters publish the same result files."""
    return f"max by ({labels}) ({series})"


def vmaf(more: str = OF_RUN) -> str:
    """One VMAF a scenario: the mean over the rungs of a ladder."""
    return f"avg by (run_id, scenario) (qoe_vmaf_score{more})"


def total_in_region(run: str = OF_RUN, region: str = IN_REGION) -> str:
    """Cost of a scenario where its electricity is bought in the region chosen.

    `cost_total` is of the exporter's first region. Regions differ in electricity alone, which has a series for
    each: added to the machine's time, alone where no machine is priced, and inside the price of an instance.
    """
    machine = once(f"cost_compute{run}", _PRICED)
    rented = f'cost_scenario_info{run[:-1]}, mode="cloud"}}'
    return (
        f"({once(f'cost_energy_load_aware{region}', _PRICED)} + {machine} "
        f"or {once(f'cost_total_load_aware{region}', _PRICED)} unless on ({_PRICED}) {machine} "
        f"or {machine} and on (run_id, scenario) {rented})"
    )


def cost_in_region(metric: str, run: str = OF_RUN, region: str = IN_REGION) -> str:
    """A cost per something of the first region, at the prices of the one chosen: both follow the total."""
    first = once(f"cost_total{run}", _PRICED)
    return f"{once(f'{metric}{run}', _PRICED)} * {total_in_region(run, region)} / ({first} > 0)"
