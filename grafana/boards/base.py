"""What the dashboards share: their frame, their variables, and queries that several ask."""

from __future__ import annotations

from collections.abc import Sequence

from grafana.panels import DATASOURCE, GREEN, ORANGE, RED, Json, laid_out, query, stat, thresholds

__all__ = [
    "ENCODER",
    "IN_REGION",
    "OF_RUN",
    "OF_SCENARIOS",
    "REGION",
    "RUN",
    "SCENARIO",
    "VMAF_STEPS",
    "board",
    "tier_stat",
    "variable",
    "vmaf",
]

# One run at a time: no panel mixes runs.
OF_RUN = '{run_id="$run", scenario=~"$scenario"}'
IN_REGION = '{run_id="$run", scenario=~"$scenario", region="$region"}'
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


RUN = variable("run", "run", "label_values(results_scenario_info, run_id)", "One test run.", several=False)
ENCODER = variable(
    "encoder",
    "encoder",
    'label_values(results_scenario_info{run_id="$run", type!="baseline"}, codec)',
    "ffmpeg's names of the encoders.",
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
    "region", "region", "label_values(cost_pue_ratio, region)", "Where the energy is bought.", several=False
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
        "templating": {"list": list(variables)},
        "panels": laid_out(panels),
    }


def vmaf(more: str = OF_RUN) -> str:
    """One VMAF a scenario: the mean over the rungs of a ladder."""
    return f"avg by (run_id, scenario) (qoe_vmaf_score{more})"


def tier_stat(width: int = 4) -> Json:
    return stat(
        "Power is",
        "Measured by energy counters, or modelled from CPU utilisation. Modelled watts make every figure that "
        "follows from them an estimate.",
        query("max by (source, tier) (rapl_source_info)", "{{tier}} ({{source}})", now=True),
        unit="none",
        width=width,
        text="name",
    )
