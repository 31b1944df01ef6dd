"""What an exporter is made of: collectors, and what binds them to a name, a port and options."""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct
from prometheus_client.core import Metric

from exporters.runtime.families import Family

T = TypeVar("T")


class Part(Struct, frozen=True):
    """Families that are rendered together: a pure function and what it is given.

    It is rendered again only when an input is another one, so a new file among thousands costs what it holds.
    """

    families: Callable[..., Iterable[Metric]]
    inputs: tuple[Any, ...] = ()

    def same(self, other: Part) -> bool:
        """Whether ``other`` gives the same families."""
        return (
            self.families == other.families
            and len(self.inputs) == len(other.inputs)
            and all(a is b or a == b for a, b in zip(self.inputs, other.inputs, strict=True))
        )


class Collector(Protocol):
    """Gives families by part, for instance by run. One that holds nothing open inherits `start` and `close`.

    ``name`` is the value of the label ``collector``. With ``poll_seconds`` None, `parts` is called at each
    scrape, right in the event loop, and must not wait: for samplers that hold a newest reading. Else it is
    called in a thread of its own, about so often, and a scrape sends what it gave last.

    `parts` says everything that is known now, not what changed since: nothing is "as before". So a call that
    fails loses nothing. What a collector keeps between calls is a memory of results by their inputs, or of
    files by their stamps, and is entered only once the work is done.

    An exception means that nothing is known: the collector's series vanish until a call succeeds; other
    collectors stay. Two series with the same labels, or a family that another collector has, are never
    published: the part is left out, and the collector counts as failed.
    """

    @property
    def name(self) -> str: ...

    @property
    def poll_seconds(self) -> float | None: ...

    def start(self) -> None:
        """Take what the collector needs (threads, sockets); called once before the port is opened."""
        return

    def close(self) -> None:
        """Give it back; called once at the end."""
        return

    def parts(self) -> Mapping[str, Part]:
        """What there is to publish now, in the order of the page."""
        ...


class Errand(Generic[T]):
    """Slow work of a collector, in a thread of its own; a look takes the outcome once it is there.

    So a collector's state changes in its looks alone, and needs no lock. The end of the exporter does not
    wait for the thread.
    """

    def __init__(self, name: str, work: Callable[[], T]) -> None:
        self.outcome: T | Exception | None = None
        """What came of it; None for as long as it is under way."""
        self.ended_at = 0.0
        """When, monotonic seconds."""
        self._work = work
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        try:
            self._thread.start()
        except RuntimeError as exc:  # no more threads: the work has failed, not the look that wants it
            self.ended_at, self.outcome = time.monotonic(), exc

    def _run(self) -> None:
        outcome: T | Exception
        try:
            outcome = self._work()
        except Exception as exc:
            outcome = exc
        self.ended_at = time.monotonic()
        self.outcome = outcome

    def join(self) -> None:
        """Wait for the end."""
        if self._thread.ident is not None:
            self._thread.join()


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
    parse_env: Callable[[str], Any] | None = None
    """For a variable's text, where another program reads it otherwise; None for ``parse``."""


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
    families: Sequence[Family] = ()
    """Every metric family the exporter can publish; docs/metrics.md is made from it."""
