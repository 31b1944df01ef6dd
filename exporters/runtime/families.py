"""Metric families: declared once as constants, filled with values as families of `prometheus_client`.

    POWER = Family("rapl_power_watts", "Power of a zone.", ("zone", "domain"))

    POWER([(("package_0", "package"), 12.5), (("dram_0", "dram"), None)])

A row is the label values, in the order of the label names, and a number. ``None`` means unknown and publishes
nothing; a family without any number does not appear on the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, TypeAlias

from prometheus_client.core import Metric

Kind = Literal["counter", "gauge", "info"]
Row: TypeAlias = tuple[tuple[str, ...], float | None]
_KINDS: Mapping[str, Kind] = {"total": "counter", "info": "info"}

IDENTITY = ("run_id", "scenario")
"""Labels of every series of a scenario on all exporters of result files, so that they join."""


_MOST_LETTERS = 1000
"""Of a label's value, as names have at most; paths and reasons of others' making may have any number."""


class Family:
    """One metric family: ``name`` as on the wire, help and label names.

    ``kind`` is what the name says where it is None: ``_total`` ends a counter, ``_info`` an info, anything
    else a gauge.
    """

    def __init__(self, name: str, help: str, labels: Sequence[str] = (), *, kind: Kind | None = None) -> None:
        self.name, self.help, self.labels = name, help, tuple(labels)
        self.kind = kind or _KINDS.get(name.rpartition("_")[2], "gauge")

    def __call__(self, rows: Iterable[Row]) -> Metric:
        """This family with the values of now.

        Raises
        ------
        ValueError
            A row has not as many label values as there are label names.
        """
        # as OpenMetrics names them: without _total and _info
        stem = self.name if self.kind == "gauge" else self.name.rpartition("_")[0]
        family = Metric(stem, self.help, self.kind)
        for values, number in rows:
            if len(values) != len(self.labels):
                raise ValueError(f"{self.name}: expected {len(self.labels)} label values, got {values!r}")
            if number is None:
                continue
            labels: Sequence[str] = values
            if max(map(len, values), default=0) > _MOST_LETTERS:
                labels = [_bounded(value) for value in values]
            family.add_sample(self.name, dict(zip(self.labels, labels, strict=True)), number)
        return family

    def one(self, value: float | None) -> Metric:
        """This family of no labels with its one value."""
        return self([((), value)])


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
