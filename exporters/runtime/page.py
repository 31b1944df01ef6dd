"""Pages: what a collector shows, rendered once and kept as bytes.

`prometheus_client` writes the lines. A part is rendered once; a page is the lines of its parts, family by
family, and is never changed. A scrape only puts its last lines behind it.
"""

from __future__ import annotations

import functools
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from advisor.common.control_group import memory_bytes
from exporters.runtime.collector import Part

END = b"# EOF\n"
"""The last line of OpenMetrics."""
_LEVEL = 3
_MOST_BYTES = 96 << 20
"""Less than the ``body_size_limit`` of prometheus.yml."""
_MEMORY_RATIO = 8
_GZIP = 31
"""zlib's window of 32 KiB, as gzip."""


class _Families:
    """Families as `prometheus_client` asks a registry for them."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families


def text_of(families: Sequence[Metric], openmetrics: bool) -> bytes:
    """Families in one of the two formats, without the end mark of OpenMetrics."""
    generate = generate_openmetrics if openmetrics else generate_latest
    return generate(_Families(families)).removesuffix(END)


@functools.lru_cache(maxsize=1024)
def _head(name: str, kind: str, documentation: str, openmetrics: bool) -> bytes:
    """The HELP and TYPE lines, in which the formats differ; the lines of the samples are the same."""
    return text_of([Metric(name, documentation, kind)], openmetrics)


class _Rendered(Struct, frozen=True):
    """One part as text, or why it is not shown."""

    part: Part
    heads: Mapping[str, tuple[str, str, str]] = {}
    lines: Mapping[str, bytes] = {}
    series: array[int] = array("q")
    """A hash of each series' name and labels."""
    error: str | None = None

    @property
    def bytes(self) -> int:
        """Of its lines."""
        return sum(map(len, self.lines.values()))


class Page:
    """One state of a collector, ready to be sent.

    ``error`` says which parts were left out and why, None when all are there.
    """

    def __init__(self, parts: Sequence[_Rendered] = (), error: str | None = None) -> None:
        self.error = error
        self._parts = parts
        self._heads: dict[str, tuple[str, str, str]] = {}
        for part in parts:
            for name, head in part.heads.items():
                self._heads.setdefault(name, head)
        self._text: dict[bool, bytes] = {}
        self._packed: dict[bool, tuple[bytes, zlib._Compress]] = {}

    def _chunks(self, openmetrics: bool) -> Iterator[bytes]:
        for name, head in self._heads.items():
            yield _head(*head, openmetrics) + b"".join(
                [p.lines[name] for p in self._parts if name in p.lines]
            )

    def text(self, openmetrics: bool) -> bytes:
        """The whole, without the end mark of OpenMetrics."""
        if openmetrics not in self._text:
            self._text[openmetrics] = b"".join(self._chunks(openmetrics))
        return self._text[openmetrics]

    def packed(self, openmetrics: bool) -> tuple[bytes, zlib._Compress]:
        """The same as the beginning of a gzip file, and a compressor that goes on from there."""
        if openmetrics not in self._packed:
            compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
            begun = b"".join([compressor.compress(chunk) for chunk in self._chunks(openmetrics)])
            self._packed[openmetrics] = begun, compressor
        begun, compressor = self._packed[openmetrics]
        return begun, compressor.copy()

    def prepare(self, former: Page) -> None:
        """Make ready what was asked of the former page, so that no scrape waits for it."""
        for openmetrics in list(former._text):
            self.text(openmetrics)
        for openmetrics in list(former._packed):
            self.packed(openmetrics)


def compressed(pages: Sequence[Page], tail: bytes, openmetrics: bool) -> tuple[bytes, bytes]:
    """One gzip file in two pieces: pages, of which the first is compressed once, and ``tail``."""
    first, *others = pages or (Page(),)
    begun, compressor = first.packed(openmetrics)
    rest = [compressor.compress(page.text(openmetrics)) for page in others]
    return begun, b"".join([*rest, compressor.compress(tail), compressor.flush()])


class PageBuilder:
    """From parts to pages; renders only what is new.

    Parameters
    ----------
    collector
        Whose families these are.
    owners
        Family to collector, shared by all builders of an exporter: a family belongs to one of them.
    most_bytes
        Of a page as text; parts beyond it are left out, the first ones first.
    """

    def __init__(
        self,
        collector: str = "",
        owners: dict[str, str] | None = None,
        *,
        most_bytes: int | None = None,
    ) -> None:
        self._most_bytes = most_bytes or min(_MOST_BYTES, memory_bytes()[0] // _MEMORY_RATIO)
        self._collector = collector
        self._owners = {} if owners is None else owners
        self._rendered: dict[str, _Rendered] = {}
        self._page = Page()

    def build(self, parts: Mapping[str, Part]) -> Page:
        """The page of these parts; the same object when nothing changed."""
        former = self._rendered
        rendered = {}
        for key, part in parts.items():
            kept = former.get(key)
            rendered[key] = kept if kept is not None and kept.part.same(part) else self._render(part)
        if list(former) != list(rendered) or any(former[k] is not new for k, new in rendered.items()):
            self._page = _page(rendered, self._most_bytes)
        # a failure that was not the part's own may pass: it is rendered again
        self._rendered = {k: new for k, new in rendered.items() if not isinstance(new, _Passing)}
        return self._page

    def _render(self, part: Part) -> _Rendered:
        try:
            return self._text_of(part)
        except ValueError as exc:
            return _Rendered(part, error=f"{exc}")
        except Exception as exc:  # whatever a family holds, the other parts are published
            return _Passing(part, error=f"{type(exc).__name__}: {exc}")

    def _text_of(self, part: Part) -> _Rendered:
        heads: dict[str, tuple[str, str, str]] = {}
        lines: dict[str, bytes] = {}
        series = array("q")
        for family in part.families(*part.inputs):
            if not family.samples:
                continue
            if family.name in lines:
                raise ValueError(f"two families with the name {family.name}")
            owner = self._owners.setdefault(family.name, self._collector)
            if owner != self._collector:
                raise ValueError(f"the family {family.name} is the {owner} collector's")
            lines[family.name] = text_of([family], openmetrics=False).split(b"\n", 2)[2]
            if sum(map(len, lines.values())) > self._most_bytes:
                raise ValueError(_too_large(self._most_bytes))
            heads[family.name] = family.name, family.type, family.documentation
            series.extend(_series(lines[family.name]))
        return _Rendered(part, heads, lines, series)


class _Passing(_Rendered, frozen=True):
    """A part that could not be rendered for a reason that may pass."""


def _series(lines: bytes) -> Iterator[int]:
    """A hash of each line without its value.

    Raises
    ------
    ValueError
        Two lines have the same labels.
    """
    seen = set()
    for line in lines.split(b"\n")[:-1]:
        labels = line.rpartition(b" ")[0]
        if labels in seen:
            raise ValueError(f"two series with the same labels: {labels.decode()}")
        seen.add(labels)
        yield hash(labels)


def _too_large(most_bytes: int) -> str:
    return f"the page would hold more than {most_bytes >> 20} MiB"


def _beyond(rendered: dict[str, _Rendered], most_bytes: int) -> set[str]:
    """The parts that do not fit onto the page beside those behind them, which are newer."""
    left, beyond = most_bytes, set()
    for key, part in reversed(rendered.items()):
        if part.bytes <= left:
            left -= part.bytes
        elif key:  # what is said of the whole stays
            beyond.add(key)
    return beyond


def _page(rendered: dict[str, _Rendered], most_bytes: int) -> Page:
    """The page of all parts but those with a series that an earlier one has, and those beyond the limit."""
    shown, refused, beyond = [], [], _beyond(rendered, most_bytes)
    seen: set[int] = set()
    for key, part in rendered.items():
        error = part.error
        if error is None and not seen.isdisjoint(part.series):
            error = "another part has series with the same labels"
        if key in beyond:
            error = _too_large(most_bytes)
        if error is not None:
            refused.append(f"{key}: {error}" if key else error)
            continue
        seen.update(part.series)
        shown.append(part)
    return Page(shown, "; ".join(refused) or None)
