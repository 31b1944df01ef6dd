"""Pages: what a collector shows, rendered once and kept as bytes.

`prometheus_client` writes the lines. A part is rendered once; a page is the lines of its parts, family by
family, and is never changed. An answer is pages, one behind the other: those of the collectors that are asked
for, and the exporter's own.
"""

from __future__ import annotations

import functools
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, TypeAlias

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
_JOINED_BYTES = 65_536
_GZIP = 31
"""zlib's window of 32 KiB, as gzip."""

Head: TypeAlias = tuple[str, str, str]
"""Name, kind and documentation of a family."""


def text_of(families: Sequence[Metric], openmetrics: bool) -> bytes:
    """Families in one of the two formats, without the end mark of OpenMetrics."""
    generate = generate_openmetrics if openmetrics else generate_latest
    registry: Any = SimpleNamespace(collect=lambda: families)
    return generate(registry).removesuffix(END)


@functools.lru_cache(maxsize=1024)
def _head(head: Head, openmetrics: bool) -> bytes:
    """The HELP and TYPE lines, in which the formats differ; the lines of the samples are the same."""
    name, kind, documentation = head
    return text_of([Metric(name, documentation, kind)], openmetrics)


class _Rendered(Struct, frozen=True):
    """One part as text, or why it is not shown."""

    part: Part
    lines: Mapping[Head, bytes] = {}
    series: array[int] = array("q")
    """A hash of each series' name and labels."""
    error: str | None = None

    @property
    def bytes(self) -> int:
        """Of its lines."""
        return sum(map(len, self.lines.values()))

    def shows_the_same(self, former: _Rendered) -> bool:
        """Whether nothing is seen of the difference."""
        return self is former or (self.error is not None and self.error == former.error)


class Page:
    """One state of a collector, ready to be sent.

    ``error`` says which parts were left out and why, None when all are there.
    """

    def __init__(self, lines: Mapping[Head, Iterable[bytes]] | None = None, error: str | None = None) -> None:
        self.error = error
        self._lines = lines or {}
        self._text: dict[bool, bytes] = {}
        self._packed: dict[bool, tuple[bytes, zlib._Compress]] = {}

    def _chunks(self, openmetrics: bool) -> Iterator[bytes]:
        for head, lines in self._lines.items():
            yield _head(head, openmetrics) + b"".join(lines)

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


def answer(pages: Sequence[Page], *, openmetrics: bool, compress: bool) -> tuple[bytes, ...]:
    """The pages as the body of an answer, in chunks; with ``compress`` as one gzip file.

    Of that the first page is compressed once and not for every answer.
    """
    end = END if openmetrics else b""
    if compress:
        begun, compressor = pages[0].packed(openmetrics)
        rest = [compressor.compress(page.text(openmetrics)) for page in pages[1:]]
        chunks: tuple[bytes, ...] = begun, b"".join([*rest, compressor.compress(end), compressor.flush()])
    else:
        chunks = (*[page.text(openmetrics) for page in pages], end)
    return chunks if sum(map(len, chunks)) >= _JOINED_BYTES else (b"".join(chunks),)


class PageBuilder:
    """From parts to pages; renders only what is new, and anew what could not be rendered.

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
            is_current = kept is not None and kept.error is None and kept.part.same(part)
            rendered[key] = kept if is_current and kept is not None else self._render(part)
        self._rendered = rendered
        if list(former) != list(rendered) or not all(
            new.shows_the_same(former[key]) for key, new in rendered.items()
        ):
            page = self._page_of(rendered)
            page.prepare(self._page)
            self._page = page
        return self._page

    def _render(self, part: Part) -> _Rendered:
        try:
            return self._text_of(part)
        except Exception as exc:  # whatever a family holds, the other parts are published
            kind = "" if isinstance(exc, ValueError) else f"{type(exc).__name__}: "
            return _Rendered(part, error=f"{kind}{exc}")

    def _text_of(self, part: Part) -> _Rendered:
        lines: dict[Head, bytes] = {}
        series = array("q")
        names, size = set(), 0
        for family in part.families(*part.inputs):
            if not family.samples:
                continue
            if family.name in names:
                raise ValueError(f"two families with the name {family.name}")
            owner = self._owners.setdefault(family.name, self._collector)
            if owner != self._collector:
                raise ValueError(f"the family {family.name} is the {owner} collector's")
            names.add(family.name)
            text = text_of([family], openmetrics=False).split(b"\n", 2)[2]
            lines[family.name, family.type, family.documentation] = text
            size += len(text)
            if size > self._most_bytes:
                raise ValueError(_too_large(self._most_bytes))
            series.extend(_series(text))
        return _Rendered(part, lines, series)

    def _page_of(self, rendered: dict[str, _Rendered]) -> Page:
        """The page of all parts but those with a series that an earlier one has, and those beyond the limit:
        the parts behind them are newer."""
        left, beyond = self._most_bytes, set()
        for key, part in reversed(rendered.items()):
            if part.bytes <= left:
                left -= part.bytes
            elif key:  # what is said of the whole stays
                beyond.add(key)
        lines: dict[Head, list[bytes]] = {}
        refused, seen = [], set[int]()
        for key, part in rendered.items():
            error = _too_large(self._most_bytes) if key in beyond else part.error
            if error is None and not seen.isdisjoint(part.series):
                error = "another part has series with the same labels"
            if error is not None:
                refused.append(f"{key}: {error}" if key else error)
                continue
            seen.update(part.series)
            for head, text in part.lines.items():
                lines.setdefault(head, []).append(text)
        return Page(lines, "; ".join(refused) or None)


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
