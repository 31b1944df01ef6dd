"""The dashboards by the name of their file."""

from __future__ import annotations

from grafana.boards import cost, live, overview, power, predictions, qoe, qoe_cost, results
from grafana.panels import Json

__all__ = ["BOARDS"]

BOARDS: dict[str, Json] = {
    "overview": overview.BOARD,
    "power": power.BOARD,
    "results": results.BOARD,
    "qoe": qoe.BOARD,
    "live": live.BOARD,
    "cost": cost.BOARD,
    "predictions": predictions.BOARD,
    "qoe_cost": qoe_cost.BOARD,
}
