"""One screen for a wall."""

from __future__ import annotations

from exporters.catalogue import EXPORTERS as CATALOGUE
from grafana.boards.base import REGION, RUN, VMAF_STEPS, board, cost_in_region, vmaf
from grafana.panels import GREEN, ORANGE, RED, gauge, query, stat, table, thresholds, timeseries

__all__ = ["BOARD"]

# the region's hosts, and those that name none: these are priced in each
_HOSTS = '{region=~"$region|"}'
_RUN = '{run_id="$run"}'
EXPORTERS = f'job=~"{"|".join(CATALOGUE)}"'
BOARD = board(
    "overview",
    "Overview",
    "Overview for a wall screen: health, power, cost and the current run.",
    [
        stat(
            "Exporters down",
            "Scraped exporters that do not answer.",
            query(f"count(up{{{EXPORTERS}}}) - sum(up{{{EXPORTERS}}})", now=True),
            unit="none",
            limits=thresholds((1, RED), base=GREEN),
        ),
        stat(
            "Alerts firing",
            "Warning and critical alerts, without informational ones.",
            query('count(ALERTS{alertstate="firing", severity=~"warning|critical"}) or vector(0)', now=True),
            unit="none",
            limits=thresholds((1, ORANGE), (5, RED), base=GREEN),
        ),
        stat(
            "Hosts by power source",
            "Measured by energy counters, or modelled from CPU utilisation. Every figure based on "
            "modelled power is an estimate.",
            query(
                f"count by (tier) (max by (instance, tier) (rapl_source_info{_HOSTS}))", "{{tier}}", now=True
            ),
            unit="none",
        ),
        stat(
            "Power now",
            "Hosts of the region: packages plus memory.",
            query(f"sum(instance:rapl_power_watts:sum{_HOSTS})"),
            unit="watt",
            sparkline=True,
        ),
        stat(
            "Energy, 24 hours",
            "Hosts of the region: packages plus memory over the last day.",
            query(f"sum(instance:rapl_energy_joules:increase1d{_HOSTS}) / 3.6e6", now=True),
            unit="kwatth",
        ),
        stat(
            "Electricity, 24 hours",
            "Electricity of the region's hosts and GPUs including PUE, each minute at its own price, in "
            "the cost exporter's currency. Hosts without a region are priced in every region.",
            query('region:host_energy_cost:per_day{region="$region"}', now=True),
            unit="none",
            decimals=3,
        ),
        timeseries(
            "Power by host",
            "Packages plus memory.",
            query(f"instance:rapl_power_watts:sum{_HOSTS}", "{{instance}}"),
            unit="watt",
            width=16,
            height=9,
            min=0,
        ),
        stat(
            "Carbon, 24 hours",
            "Emissions of the region's hosts with its carbon intensity.",
            query('region:host_carbon_kg:per_day{region="$region"} * 1000', now=True),
            unit="massg",
            width=4,
            height=9,
        ),
        gauge(
            "Average VMAF",
            "Mean over the outputs of the run.",
            query('avg by (model) (qoe_vmaf_score{run_id="$run"})', "{{model}}", now=True),
            unit="none",
            limits=VMAF_STEPS,
            high=100,
            width=4,
            height=9,
        ),
        table(
            "The run at a glance",
            "One line per scenario, sorted by energy per second of video.",
            {
                "VMAF": (vmaf('{run_id="$run"}'), "none"),
                "power": (
                    'avg by (run_id, scenario) (results_scenario_mean_power_watts{run_id="$run"})',
                    "watt",
                ),
                "J/s of video": (
                    'avg by (run_id, scenario) (results_scenario_energy_joules_per_output_second{run_id="$run"})',
                    "joule",
                ),
                "cost an hour of video": (
                    "max by (run_id, scenario) ("
                    + cost_in_region("cost_per_stream_hour", _RUN, '{run_id="$run", region="$region"}')
                    + ")",
                    "none",
                ),
                "valid": ('min by (run_id, scenario) (results_scenario_valid{run_id="$run"})', "bool_yes_no"),
            },
            sort="J/s of video",
            descending=False,
            height=10,
        ),
    ],
    [RUN, REGION],
    refresh="10s",
)
