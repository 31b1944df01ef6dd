"""What the scenarios of one run drew and delivered."""

from __future__ import annotations

from grafana.boards.base import OF_RUN, OF_SCENARIOS, board, once, vmaf
from grafana.panels import GREEN, ORANGE, RED, columns, level_bars, query, stat, table, thresholds

__all__ = ["BOARD"]

_MEAN = once(f"results_scenario_mean_power_watts{OF_RUN}")
_NET = once(f"results_scenario_net_power_watts{OF_RUN}")
_INFO = "codec, preset, resolution, bitrate, fps, streams, output_ladder, tier"
BOARD = board(
    "results",
    "Results",
    "Power, energy and output of one run's scenarios.",
    [
        columns(
            "Baseline against test",
            "Mean power: idle power of the machine, and what the scenario adds.",
            {
                "idle": f"{_MEAN} - {_NET}",
                "added": _NET,
            },
            unit="watt",
        ),
        table(
            "Leaderboard",
            "Energy of the host per second of video, lowest first.",
            {
                "J/s of video": (
                    f"avg by (run_id, scenario) (results_scenario_energy_joules_per_output_second{OF_RUN})",
                    "joule",
                ),
                "VMAF": (vmaf(), "none"),
                "speed": (f"max by (run_id, scenario) (results_scenario_encode_speed_ratio{OF_RUN})", "none"),
            },
            sort="J/s of video",
            descending=False,
            width=12,
        ),
        level_bars(
            "Joules per frame",
            "Energy of the host per delivered frame.",
            query(f"sort({once(f'results_scenario_energy_joules_per_frame{OF_RUN}')})", "{{scenario}}", now=True),
            unit="joule",
        ),
        level_bars(
            "Joules per megapixel",
            "Energy of the host per million delivered pixels: comparable between resolutions and ladders.",
            query(f"sort({once(f'results_scenario_energy_joules_per_megapixel{OF_RUN}')})", "{{scenario}}", now=True),
            unit="joule",
        ),
        level_bars(
            "Energy",
            "Energy of the host over the scenario, including idle. Compare only scenarios of equal work.",
            query(once(f"results_scenario_total_energy_joules{OF_RUN}"), "{{scenario}}", now=True),
            unit="joule",
        ),
        level_bars(
            "Power over the baseline",
            "0 % equals idle power.",
            query(once(f"results_scenario_power_increase_ratio{OF_RUN}"), "{{scenario}}", now=True),
            unit="percentunit",
        ),
        level_bars(
            "CPU time",
            "CPU time of ffmpeg and its child processes.",
            query(once(f"results_scenario_cpu_seconds{OF_RUN}"), "{{scenario}}", now=True),
            unit="s",
        ),
        level_bars(
            "Encoding speed",
            "Seconds of video per second. Below 1, the scenario is too slow for live encoding.",
            query(once(f"results_scenario_encode_speed_ratio{OF_RUN}"), "{{scenario}}", now=True),
            unit="none",
            limits=thresholds((1, GREEN), base=RED),
        ),
        table(
            "Scenarios and their ladders",
            "Requested settings, one row per scenario.",
            {
                "duration": (
                    f"{once(f'results_scenario_duration_seconds{OF_RUN}')} * on (run_id, scenario) "
                    f"group_left ({_INFO}) {once(f'results_scenario_info{OF_RUN}', f'run_id, scenario, {_INFO}')}",
                    "s",
                )
            },
            keep=("scenario", "codec", "preset", "resolution", "bitrate", "fps", "streams", "output_ladder", "tier"),
        ),
        table(
            "Scenarios that are not valid",
            "Scenarios with unreliable figures, with the reason. Ideally empty.",
            {"": (once('results_scenario_invalid_info{run_id="$run"}', "scenario, reason"), "none")},
            keep=("scenario", "reason"),
            width=12,
            height=6,
        ),
        stat(
            "Files refused",
            "Result files that are not readable.",
            query("max(results_files_refused)", now=True),
            unit="none",
            limits=thresholds((1, RED), base=GREEN),
            width=6,
            height=6,
        ),
        stat(
            "Scenarios left out",
            "Older scenarios beyond the cap on series.",
            query("max(results_scenarios_dropped)", now=True),
            unit="none",
            limits=thresholds((1, ORANGE), base=GREEN),
            width=6,
            height=6,
        ),
    ],
    OF_SCENARIOS,
)  # fmt: skip
