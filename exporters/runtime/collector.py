"""What an exporter is made of: collectors, and what binds them to a name, a port and options.

A collector yields families. The fast and usual way is `exporters.runtime.families.Family`, a constant that
is filled with rows at each scrape; a family of `prometheus_client` is taken as well, at about ten times the
cost. A value of ``None`` is not published. Two series with the same labels, or two families of one name,
make the collector fail: duplicates are never published.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

from msgspec import Struct

from exporters.runtime.families import Family, Filled

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

__all__ = ["AnyFamily", "Collector", "Exporter", "LiveCollector", "Option", "Part", "SnapshotCollector"]

AnyFamily: TypeAlias = "Filled | Metric"
Part: TypeAlias = "Sequence[AnyFamily] | Callable[[], Sequence[AnyFamily]]"
"""A list of families, or a function that makes it: then the rows need not be kept between refreshes."""


@runtime_checkable
class LiveCollector(Protocol):
    """Reads at the scrape.

    ``name`` is the value of the label ``collector``. ``blocking`` says whether ``collect`` may wait (files on
    slow disks, sockets): then it runs in a thread of its own within the scrape's time budget, else right in
    the event loop. An exception is counted, logged once and leaves the other collectors standing.
    """

    name: str
    blocking: bool

    def start(self) -> None:
        """Take what the collector needs (threads, sockets); called once before the port is opened."""

    def close(self) -> None:
        """Give it back; called once at the end."""

    def collect(self) -> Iterable[AnyFamily]:
        """Families of this moment; where nothing is new, the same object as last time is not rendered."""
        ...


@runtime_checkable
class SnapshotCollector(Protocol):
    """Publishes when its data change; a scrape sends bytes that are ready.

    ``refresh`` runs in a thread of its own every ``poll_seconds``, first as soon as the port is open. It
    returns the families by part (for instance by run id), or None when nothing changed. A part that is the
    same object as last time is not rendered again, so a new file among thousands costs what it holds.
    Families of one name are joined over the parts, under the first part's HELP. The order of parts on the
    page is the order in which they came.

    An exception means that nothing is known: the collector's series vanish until a refresh succeeds.
    """

    name: str
    poll_seconds: float

    def start(self) -> None:
        """Take what the collector needs; called once before the port is opened."""

    def close(self) -> None:
        """Give it back; called once at the end."""

    def refresh(self) -> Mapping[str, Part] | None:
        """Families by part, or None for "as before"."""
        ...


Collector: TypeAlias = LiveCollector | SnapshotCollector


class Option(Struct, frozen=True):
    """One setting: a flag, its environment variable, its default with unit, and how text becomes a value.

    ``parse`` raises ValueError with what was expected. ``default`` None means unset. The value's name in the
    namespace is the flag's: ``--results-dir`` is ``results_dir``.
    """

    flag: str
    env: str
    default: Any
    parse: Callable[[str], Any]
    help: str


class Exporter(Struct, frozen=True):
    """One exporter, as data: everything the runtime needs to serve it."""

    name: str
    """The one word: module, service, job, metric prefix of the runtime's own series, test, golden file."""
    title: str
    port: int
    options: Sequence[Option]
    build: Callable[[argparse.Namespace], Sequence[Collector]]
    """Configuration in, collectors out. Raises InputError; opens nothing (that is ``start``'s)."""
    port_env: str = ""
    """Environment variable of ``--port``; empty means ``<NAME>_EXPORTER_PORT``."""
    metrics: Mapping[str, str] = {}
    """Every metric family the exporter can publish, with its meaning; docs/metrics.md is made from it."""
    families: Sequence[Family] = ()
    """The same as constants, where the exporter has them; they need not be in ``metrics`` again."""
