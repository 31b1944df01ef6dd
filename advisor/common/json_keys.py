"""Names that are there twice in an object of JSON, which decoders pass over in silence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from msgspec import Struct

__all__ = ["repeated_keys"]

_MOST_VALUES = 1_000_000
"""Of which the decoder makes 40 MB at most."""
_TOKEN = re.compile(rb'"((?:[^"\\]|\\.)*)"(\s*:)?|[{}\[\]]', re.DOTALL)


def repeated_keys(data: bytes) -> list[str]:
    """The places in ``data``, valid JSON, of names that their objects have already.

    Raises
    ------
    RecursionError
        Values lie too deep in one another.

    >>> repeated_keys(b'{"a": [{"b": 1, "c": {}}, {"b": 1, "b": 2}]}')
    ['a[1].b']
    """
    if data.count(b",") > _MOST_VALUES:
        return list(_places(data))
    counts: list[int] = []

    def count(pairs: list[tuple[str, object]]) -> None:
        if len({name for name, _ in pairs}) != len(pairs):
            counts.append(len(pairs))

    # the decoder in C only tells whether; which they are takes ten times as long
    json.loads(data, object_pairs_hook=count, parse_int=float)
    return list(_places(data)) if counts else []


class _Level(Struct):
    """An object or an array that is open."""

    names: set[bytes] | None
    """Those that an object has so far; None for an array."""
    newest: bytes = b""
    index: int = -1
    """Of the part of an array that began last, counting objects and arrays."""

    @property
    def step(self) -> str:
        if self.names is None:
            return f"[{self.index}]"
        return f".{self.newest[:100].decode(errors='replace')}"


def _places(data: bytes) -> Iterator[str]:
    levels: list[_Level] = []
    for token in _TOKEN.finditer(data):
        name, colon = token.groups()
        if colon is not None and (names := levels[-1].names) is not None:
            if b"\\" in name:
                name = json.loads(b'"%b"' % name).encode(errors="replace")
            levels[-1].newest = name
            if name in names:
                yield "".join(level.step for level in levels).lstrip(".")
            names.add(name)
        elif name is None:
            if token[0] in b"]}":
                levels.pop()
                continue
            if levels:
                levels[-1].index += 1
            levels.append(_Level(set() if token[0] == b"{" else None))
