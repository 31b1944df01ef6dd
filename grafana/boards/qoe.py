"""How the outputs look."""

from __future__ import annotations

from grafana.boards.base import OF_RUN, OF_SCENARIOS, VMAF_STEPS, board, once, vmaf
from grafana.panels import (
    GREEN,
    ORANGE,
    RED,
    gauge,
    level_bars,
    pie,
    query,
    stat,
    table,
    thresholds,
    timeseries,
)

__all__ = ["BOARD"]

BOARD = board(
    "qoe",
    "QoE",
    "Quality of the outputs, and what it costs to reach.",
    [
        timeseries(
            "VMAF",
            "Mean over the frames of each output, 0 to 100. It appears once it has been computed.",
            query(once(f"qoe_vmaf_score{OF_RUN}", "scenario, output"), "{{scenario}} {{output}}"),
            unit="none",
            limits=VMAF_STEPS,
            min=0,
            max=100,
        ),
        timeseries(
            "PSNR",
            "From the mean squared error, in decibels.",
            query(once(f"qoe_psnr_score{OF_RUN}", "scenario, output"), "{{scenario}} {{output}}"),
            unit="dB",
        ),
        level_bars(
            "Quality per watt",
            "VMAF divided by mean watts. It favours slow encoders on finite jobs, so compare joules per "
            "second of video too.",
            query(f"sort_desc({once(f'qoe_quality_per_watt{OF_RUN}')})", "{{scenario}}", now=True),
            unit="none",
        ),
        level_bars(
            "QoE efficiency",
            "Delivered pixels times VMAF/100 per joule.",
            query(f"sort_desc({once(f'qoe_efficiency_score{OF_RUN}')})", "{{scenario}}", now=True),
            unit="short",
        ),
        gauge(
            "Average VMAF",
            "Outputs of the selected scenarios, by model. Scores of different models are not comparable.",
            query(f"avg by (model) (qoe_vmaf_score{OF_RUN})", "{{model}}", now=True),
            unit="none",
            limits=VMAF_STEPS,
            high=100,
            height=8,
        ),
        gauge(
            "Average PSNR",
            "Outputs of the selected scenarios. Capped at 60 dB for 8 bit.",
            query(f"avg(qoe_psnr_score{OF_RUN})", now=True),
            unit="dB",
            limits=thresholds((30, ORANGE), (36, GREEN), base=RED),
            low=20,
            high=60,
            height=8,
        ),
        pie(
            "Computation time",
            "Seconds of scoring by scenario, never part of a power window.",
            query(
                f"sum by (scenario) ({once(f'qoe_computation_duration_seconds{OF_RUN}', 'scenario, output')})",
                "{{scenario}}",
                now=True,
            ),
            unit="s",
        ),
        table(
            "Worst frames",
            "1st and 5th percentile and minimum of each output, which a mean hides. Compare only rows "
            "with the same comparison height (lines).",
            {
                "mean": (vmaf(), "none"),
                "5 %": (
                    'min by (run_id, scenario) (qoe_vmaf_percentile_score{run_id="$run", scenario=~"$scenario", '
                    'percentile="5"})',
                    "none",
                ),
                "1 %": (
                    'min by (run_id, scenario) (qoe_vmaf_percentile_score{run_id="$run", scenario=~"$scenario", '
                    'percentile="1"})',
                    "none",
                ),
                "lowest": (f"min by (run_id, scenario) (qoe_vmaf_min_score{OF_RUN})", "none"),
                "SSIM": (f"avg by (run_id, scenario) (qoe_ssim_ratio{OF_RUN})", "none"),
                "lines": (f"max by (run_id, scenario) (qoe_comparison_height_pixels{OF_RUN})", "none"),
            },
            sort="mean",
            width=18,
        ),
        stat(
            "Waiting to be scored",
            "Pairs in the queue.",
            query("max(qoe_pending)", now=True),
            unit="none",
            width=6,
            height=5,
        ),
        stat(
            "Not aligned",
            "Outputs of the run that cannot be compared with their source.",
            query(
                'count(max by (scenario, output) (qoe_aligned{run_id="$run"}) == 0) or vector(0)', now=True
            ),
            unit="none",
            limits=thresholds((1, RED), base=GREEN),
            width=6,
            height=4,
        ),
    ],
    OF_SCENARIOS,
)
