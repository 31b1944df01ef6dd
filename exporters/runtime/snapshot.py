"""Snapshot collectors: rendered and compressed when their data change, piece by piece.

The series of a part (a result file) are rendered once. Parts are grouped in blocks; per block and family
there is one compressed piece, and a page is the pieces one after the other. A new part costs its own
rendering and the compression of the one block that it goes to.
"""

from __future__ import annotations

import threading
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec import Struct

from exporters.runtime.collector import Part, SnapshotCollector
from exporters.runtime.families import header, render
from exporters.runtime.gzips import Piece, join, piece

__all__ = ["Page", "PageBuilder", "SnapshotSource"]

# a block this large per family compresses nearly as well as the whole and takes some milliseconds
_BLOCK_BYTES = 131_072
_GROUP_BLOCKS = 8

_Lines = dict[str, bytes]


class _Frozen(Struct, frozen=True):
    """A block as pages hold it: the compressed pieces by family, and the texts by part and family."""

    pieces: dict[str, Piece]
    texts: tuple[_Lines, ...]


class _Block:
    """Parts that are compressed together."""

    def __init__(self) -> None:
        self.parts: dict[str, _Lines] = {}
        self.largest = 0
        self.frozen = _Frozen({}, ())
        self.stale = True

    def put(self, key: str, lines: _Lines) -> None:
        self.parts[key] = lines
        self._changed()

    def drop(self, key: str) -> None:
        del self.parts[key]
        self._changed()

    def _changed(self) -> None:
        self.stale = True
        sizes: dict[str, int] = {}
        for lines in self.parts.values():
            for name, text in lines.items():
                sizes[name] = sizes.get(name, 0) + len(text)
        self.largest = max(sizes.values(), default=0)

    def freeze(self) -> _Frozen:
        if self.stale:
            texts = tuple(self.parts.values())
            names = dict.fromkeys(name for lines in texts for name in lines)
            joined = {name: b"".join([lines[name] for lines in texts if name in lines]) for name in names}
            self.frozen = _Frozen({name: piece(text) for name, text in joined.items()}, texts)
            self.stale = False
        return self.frozen


class _Group(Struct, frozen=True):
    """Blocks whose pieces are joined once, so that a page of thousands is joined from few."""

    blocks: tuple[_Frozen, ...]
    pieces: dict[str, Piece]

    @classmethod
    def of(cls, blocks: tuple[_Frozen, ...]) -> _Group:
        names = dict.fromkeys(name for block in blocks for name in block.pieces)
        return cls(blocks, {name: join(b.pieces[name] for b in blocks if name in b.pieces) for name in names})


class Page:
    """One state of a snapshot, ready to be sent; never changes."""

    def __init__(self, heads: Mapping[str, tuple[str, str]], groups: Sequence[_Group]) -> None:
        self.names = frozenset(heads)
        self._heads = dict(heads)
        self._groups = tuple(groups)
        self._plain: dict[bool, bytes] = {}
        self._piece: dict[bool, Piece] = {}

    def plain(self, openmetrics: bool) -> bytes:
        """The text, without the end mark of OpenMetrics."""
        if openmetrics not in self._plain:
            self._plain[openmetrics] = b"".join(self._text(openmetrics))
        return self._plain[openmetrics]

    def _text(self, openmetrics: bool) -> Iterator[bytes]:
        for name, (kind, help_text) in self._heads.items():
            yield header(name, kind, help_text, openmetrics=openmetrics).encode()
            for group in self._groups:
                if name in group.pieces:
                    yield from (t[name] for block in group.blocks for t in block.texts if name in t)

    def piece(self, openmetrics: bool) -> Piece:
        """The same, compressed."""
        if openmetrics not in self._piece:
            self._piece[openmetrics] = join(self._pieces(openmetrics))
        return self._piece[openmetrics]

    def _pieces(self, openmetrics: bool) -> Iterator[Piece]:
        for name, (kind, help_text) in self._heads.items():
            yield piece(header(name, kind, help_text, openmetrics=openmetrics).encode())
            yield from (group.pieces[name] for group in self._groups if name in group.pieces)

    def prepare(self, former: Page) -> None:
        """Make ready what was asked of the former page."""
        for openmetrics in list(former._plain):
            self.plain(openmetrics)
        for openmetrics in list(former._piece):
            self.piece(openmetrics)


class PageBuilder:
    """From parts to pages; keeps what did not change.

    ``refused`` holds, by part, why it is not on the page: a part with a series that another part has, or that
    cannot be rendered, is left out as a whole.
    """

    def __init__(self) -> None:
        self.refused: dict[str, str] = {}
        self._sources: dict[str, Part] = {}
        self._heads: dict[str, tuple[str, str]] = {}
        self._blocks: list[_Block] = []
        self._groups: list[_Group] = []
        self._home: dict[str, _Block] = {}
        self._hashes: dict[str, array[int]] = {}
        self._series: set[int] = set()

    def build(self, parts: Mapping[str, Part]) -> Page:
        """The page of these parts."""
        gone = [key for key, source in self._sources.items() if parts.get(key) is not source]
        for key in gone:
            self._remove(key)
        self.refused = {}
        for key, source in parts.items():
            if key not in self._sources:
                self._add(key, source)
        self._blocks = [block for block in self._blocks if block.parts]
        self._groups = self._grouped([block.freeze() for block in self._blocks])
        used = {name for group in self._groups for name in group.pieces}
        self._heads = {name: head for name, head in self._heads.items() if name in used}
        return Page(self._heads, self._groups)

    def _grouped(self, blocks: Sequence[_Frozen]) -> list[_Group]:
        """The groups as they were, as far as their blocks are the same objects."""
        former = {tuple(map(id, group.blocks)): group for group in self._groups}
        slices = [tuple(blocks[i : i + _GROUP_BLOCKS]) for i in range(0, len(blocks), _GROUP_BLOCKS)]
        return [former.get(tuple(map(id, part))) or _Group.of(part) for part in slices]

    def _remove(self, key: str) -> None:
        del self._sources[key]
        self._home.pop(key).drop(key)
        self._series.difference_update(self._hashes.pop(key))

    def _add(self, key: str, source: Part) -> None:
        try:
            lines, hashes = self._render(source)
        except Exception as exc:  # whatever a family holds, the other parts are published
            self.refused[key] = f"{type(exc).__name__}: {exc}"
            return
        self._sources[key] = source
        self._hashes[key] = hashes
        self._series.update(hashes)
        self._place(key, lines)

    def _render(self, source: Part) -> tuple[_Lines, array[int]]:
        lines: _Lines = {}
        hashes = array("q")
        heads = {}
        for family in source() if callable(source) else source:
            rendered = render(family, keep=False)
            head = (rendered.kind, rendered.help)
            if not rendered.prefixes:
                continue
            if rendered.name in lines or self._heads.get(rendered.name, head)[0] != rendered.kind:
                raise ValueError(f"two families with the name {rendered.name}")
            for prefix in rendered.prefixes:
                key = hash(prefix)
                if key in self._series:
                    raise ValueError(f"two series with the same labels: {prefix.strip()}")
                hashes.append(key)
            heads[rendered.name] = head
            lines[rendered.name] = rendered.lines.encode()
        for name, head in heads.items():
            self._heads.setdefault(name, head)
        return lines, hashes

    def _place(self, key: str, lines: _Lines) -> None:
        block = self._blocks[-1] if self._blocks and self._blocks[-1].largest < _BLOCK_BYTES else None
        if block is None:
            block = next((b for b in self._blocks if b.largest < _BLOCK_BYTES // 4), None)
        if block is None:
            block = _Block()
            self._blocks.append(block)
        block.put(key, lines)
        self._home[key] = block


class SnapshotSource:
    """One snapshot collector and its thread.

    ``page`` is what a scrape sends: replaced as a whole, None as long as nothing is known. ``error`` is
    the last refresh's failure.
    """

    def __init__(self, collector: SnapshotCollector, changed: Callable[[SnapshotSource], None]) -> None:
        self.name = collector.name
        self.page: Page | None = None
        self.error: str | None = None
        self.seconds = 0.0
        self.loaded = False
        self._changed = changed
        self._collector = collector
        self._builder = PageBuilder()
        self._built: Page | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=f"refresh-{self.name}", daemon=True)

    def open(self) -> None:
        """Begin to refresh."""
        self._thread.start()

    def _serve(self) -> None:
        while not self._stop.is_set():
            self.refresh()
            self._stop.wait(self._collector.poll_seconds)

    def refresh(self) -> None:
        """Once, here and now."""
        start = time.perf_counter()
        try:
            parts = self._collector.refresh()
            if parts is not None:
                page = self._builder.build(parts)
                if self._built is not None:
                    page.prepare(self._built)
                self._built = page
            refused = self._builder.refused
            error = "; ".join(f"{key}: {why}" for key, why in refused.items()) or None
            self.page, self.loaded = self._built, True
        except Exception as exc:
            self.page, error = None, f"{type(exc).__name__}: {exc}"
        self.error, self.seconds = error, time.perf_counter() - start
        self._changed(self)

    def close(self) -> None:
        """Stop refreshing; a refresh that hangs is left behind (its thread is a daemon)."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=0.2)
