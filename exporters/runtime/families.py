"""Metric families: declared once as constants, filled with values as families of `prometheus_client`.

    POWER = Family("rapl_power_watts", "gauge", "Power of a zone.", ("zone", "domain"))

    POWER([(("package_0", "package"), 12.5), (("dram_0", "dram"), None)])

A row is the label values, in the order of the label names, and a number. ``None`` means unknown and publishes
nothing; a family without any number does not appear on the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

Kind = Literal["counter", "gauge", "info"]
Row: TypeAlias = tuple[tuple[str, ...], float | None]

IDENTITY = ("run_id", "scenario")
"""Labels of every series of a scenario on all exporters of result files, so that they join."""
_SUFFIX = {"counter": "_total", "info": "_info", "gauge": ""}


_MOST_LETTERS = 1000
"""Of a label's value, as names have at most; paths and reasons of others' making may have any number."""


class Family:
    """One metric family: ``name`` as on the wire (with ``_total`` or ``_info``), kind, help and label names.

    Raises
    ------
    ValueError
        A counter that does not end in ``_total``, an info that does not end in ``_info``.
    """

    def __init__(self, name: str, kind: Kind, help: str, labels: Sequence[str] = ()) -> None:
        if not name.endswith(_SUFFIX[kind]):
            raise ValueError(f"{name!r}: expected a name that ends in {_SUFFIX[kind]!r} for the kind {kind}")
        self.name, self.kind, self.help, self.labels = name, kind, help, tuple(labels)

    def __call__(self, rows: Iterable[Row]) -> Metric:
        """This family with the values of now.

        Raises
        ------
        ValueError
            A row has not as many label values as there are label names.
        """
        family = self._empty()
        for values, number in rows:
            if len(values) != len(self.labels):
                raise ValueError(f"{self.name}: expected {len(self.labels)} label values, got {values!r}")
            if number is None:
                continue
            labels: Sequence[str] = values
            if max(map(len, values), default=0) > _MOST_LETTERS:
                labels = [_bounded(value) for value in values]
            if isinstance(family, InfoMetricFamily):
                family.add_metric(labels, {})
            else:
                family.add_metric(labels, number)
        return family

    def one(self, value: float | None) -> Metric:
        """This family of no labels with its one value."""
        return self([((), value)])

    def _empty(self) -> CounterMetricFamily | GaugeMetricFamily | InfoMetricFamily:
        if self.kind == "counter":
            return CounterMetricFamily(self.name, self.help, labels=self.labels)
        if self.kind == "info":
            return InfoMetricFamily(self.name.removesuffix("_info"), self.help, labels=self.labels)
        return GaugeMetricFamily(self.name, self.help, labels=self.labels)

    def __repr__(self) -> str:
        return f"Family({self.name!r}, {self.kind!r})"


def _bounded(value: str) -> str:
    return value if len(value) <= _MOST_LETTERS else f"{value[:_MOST_LETTERS]}..."


def declared(module: Mapping[str, object]) -> tuple[Family, ...]:
    """Every family that a module holds, as a constant or in a table: ``declared(globals())``."""
    return tuple(dict.fromkeys(family for value in module.values() for family in _within(value)))


def _within(value: object) -> Iterator[Family]:
    if isinstance(value, Family):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _within(item)
