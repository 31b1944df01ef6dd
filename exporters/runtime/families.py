"""Metric families, defined once and filled with values: the fast way to publish.

A `Family` is a module-level constant: name as on the wire, kind, help, label names. Calling it with rows
gives a `Filled` family for a scrape::

    POWER = Family("rapl_power_watts", "gauge", "Power of a zone.", ("zone", "domain"))

    def collect(self):
        yield POWER([(("package_0", "package"), 12.5), (("dram_0", "dram"), None)])

A row is the label values, in the order of the label names, and a number. ``None`` means unknown and publishes
nothing; a family without any number publishes nothing at all. What is constant in a line is rendered once and
kept, so a scrape only formats numbers, in about a tenth of the time that a family of `prometheus_client`
takes. Those are taken as well.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

__all__ = ["Block", "Family", "Filled", "Kind", "Rendered", "Row", "format_value", "header", "render"]

Kind = Literal["counter", "gauge", "info", "unknown", "histogram", "summary"]
Row = tuple[tuple[str, ...], float | None]

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
_SUFFIX = {"counter": "_total", "info": "_info"}
# what the text format 0.0.4 calls the kinds that it does not know
_TEXT_KIND = {"info": "gauge", "unknown": "untyped", "stateset": "gauge", "gaugehistogram": "histogram"}
_LABEL_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})
_HELP_ESCAPES = str.maketrans({"\\": "\\\\", "\n": "\\n"})
# label sets that are kept rendered beyond twice those in use (containers come and go)
_SPARE_PREFIXES = 64


class Family:
    """One metric family: ``name`` as on the wire (with ``_total`` or ``_info``), kind, help and label names.

    Raises
    ------
    ValueError
        A name that the formats do not allow, a counter that does not end in ``_total``, an info that does not
        end in ``_info``.
    """

    __slots__ = ("_prefixes", "help", "kind", "labels", "name")

    def __init__(self, name: str, kind: Kind, help: str, labels: Sequence[str] = ()) -> None:
        suffix = _SUFFIX.get(kind, "")
        if not _NAME.fullmatch(name) or not name.endswith(suffix):
            raise ValueError(f"{name!r}: expected a metric name that ends in {suffix!r} for the kind {kind}")
        for label in labels:
            if not _LABEL.fullmatch(label):
                raise ValueError(f"{name}: {label!r} is no label name")
        self.name, self.kind, self.help, self.labels = name, kind, help, tuple(labels)
        self._prefixes: dict[tuple[str, ...], str] = {}

    def __call__(self, rows: Iterable[Row]) -> Filled:
        """This family with the values of now."""
        return Filled(self, rows if isinstance(rows, (list, tuple)) else list(rows))

    def one(self, value: float | None) -> Filled:
        """This family of no labels with its one value."""
        return Filled(self, [((), value)])

    def __repr__(self) -> str:
        return f"Family({self.name!r}, {self.kind!r})"

    def prefix(self, values: tuple[str, ...]) -> str:
        """The part of a line before its number: ``name{a="b"} ``."""
        if len(values) != len(self.labels):
            raise ValueError(f"{self.name}: expected {len(self.labels)} label values, got {values!r}")
        return _prefix(self.name, zip(self.labels, values, strict=True))

    def _kept_prefix(self, values: tuple[str, ...], in_use: int) -> str:
        if len(self._prefixes) > 2 * in_use + _SPARE_PREFIXES:
            self._prefixes.clear()
        return self._prefixes.setdefault(values, self.prefix(values))


class Filled(Struct, frozen=True):
    """A family and its rows of one moment."""

    family: Family
    rows: Sequence[Row]


class Rendered(Struct, frozen=True):
    """A family as text, without its header; the lines are the same in both formats."""

    name: str
    kind: str
    help: str
    prefixes: Sequence[str]
    """What identifies each series: its name and labels, as rendered."""
    lines: str


class Block:
    """Families of one moment as text, made once for each format that is asked for."""

    __slots__ = ("_families", "_text", "names")

    def __init__(self, families: Iterable[Rendered]) -> None:
        self._families = [f for f in families if f.prefixes]
        self.names = tuple(f.name for f in self._families)
        self._text: dict[bool, str] = {}

    def text(self, openmetrics: bool) -> str:
        """Headers and lines."""
        found = self._text.get(openmetrics)
        if found is None:
            parts = (
                header(f.name, f.kind, f.help, openmetrics=openmetrics) + f.lines for f in self._families
            )
            found = self._text[openmetrics] = "".join(parts)
        return found


def render(filled: Filled | Metric, *, keep: bool = True) -> Rendered:
    """One family as text.

    ``keep`` keeps the constant part of the lines for the next time: right for the few series of a live
    collector, wrong for the many of a snapshot that are rendered once.

    Raises
    ------
    ValueError
        Two series with the same labels, or label values that do not fit the label names.
    """
    if not isinstance(filled, Filled):
        return _from_metric(filled)
    family, rows = filled.family, filled.rows
    kept = family._prefixes if keep else {}
    prefixes: list[str] = []
    lines: list[str] = []
    for values, number in rows:
        if number is None:
            continue
        prefix = kept.get(values)
        if prefix is None:
            prefix = family._kept_prefix(values, len(rows)) if keep else family.prefix(values)
        text = repr(number)
        # a repr that does not end in a digit is nan, inf, a bool or another type's
        lines.append(f"{prefix}{text if text[-1] in _DIGITS else format_value(number)}\n")
        prefixes.append(prefix)
    _refuse_twins(prefixes)
    return Rendered(family.name, family.kind, family.help, prefixes, "".join(lines))


def _refuse_twins(prefixes: Sequence[str]) -> None:
    if len(prefixes) > 1 and len(set(prefixes)) != len(prefixes):
        twin = next(p for i, p in enumerate(prefixes) if p in prefixes[:i])
        raise ValueError(f"two series with the same labels: {twin.strip()}")


_DIGITS = frozenset("0123456789")


def format_value(number: float) -> str:
    """A number as both text formats write it, exact to the last bit.

    >>> format_value(0.1), format_value(float("inf")), format_value(True), format_value(1e21)
    ('0.1', '+Inf', '1', '1e+21')
    """
    if isinstance(number, int):
        return str(int(number))
    number = float(number)
    if math.isfinite(number):
        return repr(number)
    return "NaN" if math.isnan(number) else "+Inf" if number > 0 else "-Inf"


@functools.lru_cache(maxsize=1024)
def header(name: str, kind: str, help: str, *, openmetrics: bool) -> str:
    """The HELP and TYPE lines of a family.

    >>> header("a_joules_total", "counter", "Joules.", openmetrics=True)
    '# HELP a_joules Joules.\\n# TYPE a_joules counter\\n'
    """
    text = help.translate(_HELP_ESCAPES)
    if openmetrics:
        name = name.removesuffix(_SUFFIX.get(kind, ""))
        text = text.replace('"', '\\"')
    else:
        kind = _TEXT_KIND.get(kind, kind)
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


def _from_metric(metric: Metric) -> Rendered:
    """A `prometheus_client` family as text."""
    # OpenMetrics allows _created, Prometheus ignores it, the text format does not know it
    samples = [s for s in metric.samples if not s.name.endswith("_created")]
    prefixes = [_prefix(s.name, sorted(s.labels.items())) for s in samples]
    _refuse_twins(prefixes)
    lines = [f"{p}{format_value(s.value)}\n" for p, s in zip(prefixes, samples, strict=True)]
    name = metric.name + _SUFFIX.get(metric.type, "")
    return Rendered(name, metric.type, metric.documentation, prefixes, "".join(lines))


def _prefix(name: str, labels: Iterable[tuple[str, str]]) -> str:
    inner = ",".join(f'{label}="{str(value).translate(_LABEL_ESCAPES)}"' for label, value in labels)
    return f"{name}{{{inner}}} " if inner else f"{name} "
