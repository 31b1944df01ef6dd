"""What the models said, and what was measured."""

from __future__ import annotations

from grafana.boards.base import OF_RUN, OF_SCENARIOS, board
from grafana.panels import GREEN, ORANGE, RED, columns, level_bars, query, stat, table, thresholds

__all__ = ["BOARD"]

WATTS = {
    "measured": f"avg by (run_id, scenario) (results_scenario_mean_power_watts{OF_RUN})",
    "predicted": f"avg by (run_id, scenario) (results_scenario_predicted_power_watts{OF_RUN})",
    "low": f"avg by (run_id, scenario) (results_scenario_prediction_low_watts{OF_RUN})",
    "high": f"avg by (run_id, scenario) (results_scenario_prediction_high_watts{OF_RUN})",
}
BOARD = board(
    "predictions",
    "Predictions",
    "Predictions of the models compared with measurements.",
    [
        columns(
            "Measured against predicted",
            "Mean watts. Low and high are the 90 % prediction interval.",
            WATTS,
            unit="watt",
            stacked=False,
            width=16,
        ),
        stat(
            "Within the interval",
            "Share of the selected scenarios. About 90 % is right. 100 % of many scenarios means that "
            "intervals are too wide.",
            query(
                f"avg(({WATTS['measured']} >= bool {WATTS['low']}) * ({WATTS['measured']} <= bool {WATTS['high']}))",
                now=True,
            ),
            unit="percentunit",
            limits=thresholds((0.7, ORANGE), (0.85, GREEN), base=RED),
            height=9,
        ),
        stat(
            "Model age",
            "Time since the promoted model was trained.",
            query(
                "time() - max by (hardware) (results_model_trained_timestamp_seconds)",
                "{{hardware}}",
                now=True,
            ),
            unit="s",
            limits=thresholds((30 * 86400, ORANGE), (90 * 86400, RED), base=GREEN),
            height=9,
        ),
        level_bars(
            "Off by",
            "Predicted divided by measured, minus 1.",
            query(
                f"{WATTS['predicted']} / {WATTS['measured']} - 1",
                "{{scenario}}",
                now=True,
            ),
            unit="percentunit",
            limits=thresholds((-0.1, GREEN), (0.1, ORANGE), base=ORANGE),
            min=-0.5,
            max=0.5,
        ),
        level_bars(
            "Error of the models",
            "Mean absolute error relative to the value, in cross-validation on unseen content or machines.",
            query(
                "max by (target, hardware) (results_model_error_ratio)", "{{target}} {{hardware}}", now=True
            ),
            unit="percentunit",
            limits=thresholds((0.1, ORANGE), (0.3, RED), base=GREEN),
        ),
        table(
            "Models",
            "Version of each model in use.",
            {"": ("max by (model, version, hardware) (results_model_info)", "none")},
            keep=("model", "version", "hardware"),
            width=12,
        ),
        table(
            "Figures",
            "Values of the chart above.",
            {name: (expr, "watt") for name, expr in WATTS.items()},
            sort="measured",
            width=12,
        ),
    ],
    OF_SCENARIOS,
)
