"""Names that are there twice in an object of JSON, which decoders pass over in silence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from msgspec import Struct

_MOST_VALUES = 1_000_000
"""Of which the decoder makes 40 MB at most."""
_TOKEN = re.compile(rb'"((?:[^"\\]|\\.)*)"(\s*:)?|[{}]', re.DOTALL)


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
    """An object that is open."""

    names: set[bytes]
    newest: bytes = b""
    is_array: bool = False
    """Whether the value of the newest name is one."""
    index: int = -1
    """Of the object in that array that began last."""

    @property
    def step(self) -> str:
        name = self.newest[:100].decode(errors="replace")
        return f"{name}[{self.index}]" if self.is_array and self.index >= 0 else name


def _places(data: bytes) -> Iterator[str]:
    """Looks at names and braces alone: a file may hold any number of numbers and of arrays."""
    levels: list[_Level] = []
    for token in _TOKEN.finditer(data):
        name, colon = token.groups()
        if colon is not None:
            level = levels[-1]
            if b"\\" in name:
                name = json.loads(b'"%b"' % name).encode(errors="replace")
            level.newest, level.index = name, -1
            level.is_array = data[token.end() : token.end() + 100].lstrip()[:1] == b"["
            if name in level.names:
                yield ".".join(level.step for level in levels)
            level.names.add(name)
        elif name is None:
            if token[0] == b"}":
                levels.pop()
                continue
            if levels:
                levels[-1].index += 1
            levels.append(_Level(set()))
