"""Kinds of panels, and how they are laid out.

Everything is plain JSON of Grafana's dashboard schema; a panel without a unit or a description is a mistake
that the tests find.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = [
    "DATASOURCE",
    "Json",
    "columns",
    "gauge",
    "heading",
    "laid_out",
    "level_bars",
    "pie",
    "query",
    "scatter",
    "stat",
    "table",
    "thresholds",
    "timeseries",
]

Json = dict[str, Any]
DATASOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
"""The one that is chosen at the top of a dashboard, so that it works in any Grafana that it is imported into."""
_COLUMNS = 24
GREEN, ORANGE, RED, BLUE, NEUTRAL = "green", "orange", "red", "blue", "text"


def query(expr: str, legend: str = "", *, now: bool = False, table: bool = False) -> Json:
    """One PromQL query; ``now`` asks for the newest value alone, ``table`` as a row a series."""
    return {
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": " ".join(expr.split()),
        "legendFormat": legend or "__auto",
        "instant": now or table,
        "range": not (now or table),
        "format": "table" if table else "time_series",
    }


def thresholds(*steps: tuple[float, str], base: str = NEUTRAL) -> Json:
    """Colours from a value upwards, ``base`` below the first one."""
    found: list[Json] = [{"value": None, "color": base}]
    return {"mode": "absolute", "steps": found + [{"value": value, "color": c} for value, c in steps]}


def _panel(
    kind: str,
    title: str,
    description: str,
    queries: Sequence[Json],
    *,
    unit: str,
    width: int,
    height: int,
    options: Json,
    defaults: Json | None = None,
    custom: Json | None = None,
    limits: Json | None = None,
    overrides: Sequence[Json] = (),
    transformations: Sequence[Json] = (),
) -> Json:
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "gridPos": {"w": width, "h": height, "x": 0, "y": 0},
        "targets": [{**q, "refId": chr(ord("A") + i)} for i, q in enumerate(queries)],
        "fieldConfig": {
            "defaults": {
                "unit": unit,
                "noValue": "no data",
                "color": {"mode": "thresholds" if limits else "palette-classic"},
                "thresholds": limits or thresholds(),
                "mappings": [],
                "custom": custom or {},
                **(defaults or {}),
            },
            "overrides": list(overrides),
        },
        "options": options,
        "transformations": list(transformations),
    }


_LAST: Json = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_TOOLTIP: Json = {"mode": "multi", "sort": "desc"}


def timeseries(
    title: str,
    description: str,
    *queries: Json,
    unit: str,
    width: int = 12,
    height: int = 8,
    stacked: bool = False,
    limits: Json | None = None,
    **defaults: Any,
) -> Json:
    """Values over time."""
    custom = {
        "lineWidth": 1,
        "fillOpacity": 25 if stacked else 5,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "spanNulls": False,
        "showPoints": "auto",
        "thresholdsStyle": {"mode": "dashed" if limits else "off"},
    }
    panel = _panel(
        "timeseries", title, description, queries, unit=unit, width=width, height=height, custom=custom,
        options={
            "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["mean", "max"], "showLegend": True},
            "tooltip": _TOOLTIP,
        },
        limits=limits, defaults=defaults,
    )  # fmt: skip
    panel["fieldConfig"]["defaults"]["color"] = {"mode": "palette-classic"}
    return panel


def stat(
    title: str,
    description: str,
    *queries: Json,
    unit: str,
    width: int = 4,
    height: int = 4,
    limits: Json | None = None,
    text: str = "auto",
    sparkline: bool = False,
    **defaults: Any,
) -> Json:
    """One number, large."""
    options = {
        "reduceOptions": _LAST,
        "colorMode": "value" if limits else "none",
        "graphMode": "area" if sparkline else "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": text,
        "wideLayout": True,
    }
    return _panel(
        "stat", title, description, queries,
        unit=unit, width=width, height=height, options=options, limits=limits, defaults=defaults,
    )  # fmt: skip


def gauge(
    title: str,
    description: str,
    *queries: Json,
    unit: str,
    limits: Json,
    low: float = 0.0,
    high: float | None = None,
    width: int = 6,
    height: int = 6,
) -> Json:
    """One number on its scale."""
    options = {"reduceOptions": _LAST, "showThresholdLabels": False, "showThresholdMarkers": True}
    defaults = {"min": low} | ({"max": high} if high is not None else {})
    return _panel(
        "gauge", title, description, queries,
        unit=unit, width=width, height=height, options=options, limits=limits, defaults=defaults,
    )  # fmt: skip


def level_bars(
    title: str,
    description: str,
    *queries: Json,
    unit: str,
    width: int = 12,
    height: int = 8,
    limits: Json | None = None,
    **defaults: Any,
) -> Json:
    """One bar a series, its newest value."""
    options = {
        "reduceOptions": _LAST,
        "displayMode": "basic",
        "orientation": "horizontal",
        "showUnfilled": True,
        "valueMode": "color",
        "namePlacement": "left",
        "sizing": "auto",
    }
    return _panel(
        "bargauge", title, description, queries,
        unit=unit, width=width, height=height, options=options, limits=limits, defaults={"min": 0} | defaults,
    )  # fmt: skip


def pie(title: str, description: str, *queries: Json, unit: str, width: int = 6, height: int = 8) -> Json:
    """Shares of a whole."""
    options = {
        "reduceOptions": _LAST,
        "pieType": "donut",
        "displayLabels": ["percent"],
        "legend": {"displayMode": "table", "placement": "bottom", "values": ["value"], "showLegend": True},
        "tooltip": _TOOLTIP,
    }
    return _panel(
        "piechart", title, description, queries, unit=unit, width=width, height=height, options=options
    )


def _joined(names: Mapping[str, str], keep: Sequence[str]) -> list[Json]:
    """One table of several queries, a row a scenario, with columns in the order of ``names``."""
    values = [f"Value #{ref}" for ref in names] if len(names) > 1 else ["Value"]
    return [
        {"id": "merge", "options": {}},
        {"id": "filterFieldsByName", "options": {"include": {"names": [*keep, *values]}}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {},
                "includeByName": {},
                "renameByName": dict(zip(values, names.values(), strict=True)),
                "indexByName": {field: place for place, field in enumerate([*keep, *values])},
            },
        },
    ]


def _refs(names: Iterable[str]) -> dict[str, str]:
    return {chr(ord("A") + i): name for i, name in enumerate(names)}


def _overrides(units: Mapping[str, str]) -> list[Json]:
    return [
        {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "unit", "value": unit}]}
        for name, unit in units.items()
        if unit
    ]


def table(
    title: str,
    description: str,
    columns: Mapping[str, tuple[str, str]],
    *,
    keep: Sequence[str] = ("scenario",),
    sort: str | None = None,
    descending: bool = True,
    width: int = 24,
    height: int = 9,
) -> Json:
    """A row a series; ``columns`` gives (query, unit) by heading, ``keep`` the labels that are shown."""
    options: Json = {"showHeader": True, "cellHeight": "sm", "footer": {"show": False, "reducer": ["sum"]}}
    if sort:
        options["sortBy"] = [{"displayName": sort, "desc": descending}]
    return _panel(
        "table", title, description, [query(expr, table=True) for expr, _ in columns.values()],
        unit="short", width=width, height=height, options=options,
        custom={"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False, "filterable": True},
        overrides=_overrides({name: unit for name, (_, unit) in columns.items()}),
        transformations=_joined(_refs(columns), keep),
    )  # fmt: skip


def columns(
    title: str,
    description: str,
    parts: Mapping[str, str],
    *,
    unit: str,
    label: str = "scenario",
    stacked: bool = True,
    width: int = 12,
    height: int = 9,
) -> Json:
    """Bars side by side or stacked, one a value of ``label``; ``parts`` gives queries by name."""
    options = {
        "orientation": "horizontal",
        "xField": label,
        "stacking": "normal" if stacked else "none",
        "showValue": "auto",
        "groupWidth": 0.8,
        "barWidth": 0.9,
        "barRadius": 0.0,
        "xTickLabelRotation": 0,
        "xTickLabelSpacing": 0,
        "fullHighlight": False,
        "legend": {"displayMode": "list", "placement": "bottom", "calcs": [], "showLegend": True},
        "tooltip": _TOOLTIP,
    }
    return _panel(
        "barchart", title, description, [query(expr, table=True) for expr in parts.values()],
        unit=unit, width=width, height=height, options=options,
        custom={"fillOpacity": 80, "lineWidth": 0}, transformations=_joined(_refs(parts), [label]),
    )  # fmt: skip


def scatter(
    title: str,
    description: str,
    across: tuple[str, str, str],
    up: tuple[str, str, str],
    *,
    width: int = 24,
    height: int = 12,
) -> Json:
    """One point a scenario; ``across`` and ``up`` are (name, query, unit)."""
    names = (across[0], up[0])

    def by_name(name: str) -> Json:
        return {"matcher": {"id": "byName", "options": name}}

    options = {
        "mapping": "manual",
        "series": [{"x": by_name(names[0]), "y": by_name(names[1])}],
        "legend": {"displayMode": "list", "placement": "bottom", "calcs": [], "showLegend": False},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return _panel(
        "xychart", title, description, [query(across[1], table=True), query(up[1], table=True)],
        unit="short", width=width, height=height, options=options,
        custom={"show": "points", "pointSize": {"fixed": 9}, "pointShape": "circle", "fillOpacity": 70},
        overrides=_overrides({across[0]: across[2], up[0]: up[2]}),
        transformations=_joined(_refs(names), ["scenario"]),
    )  # fmt: skip


def heading(title: str) -> Json:
    """A line across the page, with what belongs together below it."""
    return {
        "type": "row",
        "title": title,
        "collapsed": False,
        "gridPos": {"w": _COLUMNS, "h": 1, "x": 0, "y": 0},
        "panels": [],
    }


def laid_out(panels: Iterable[Json]) -> list[Json]:
    """Panels from left to right, line by line, with ids from 1; none overlaps another."""
    placed: list[Json] = []
    x = y = tallest = 0
    for number, panel in enumerate(panels, 1):
        size = panel["gridPos"]
        if x + size["w"] > _COLUMNS:
            x, y, tallest = 0, y + tallest, 0
        placed.append({"id": number, **panel, "gridPos": {**size, "x": x, "y": y}})
        x += size["w"]
        tallest = max(tallest, size["h"])
    return placed
