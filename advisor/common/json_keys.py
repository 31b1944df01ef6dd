"""Names that are there twice in an object of JSON, which decoders pass over in silence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

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


def _places(data: bytes) -> Iterator[str]:
    # of each object that is open its names and the newest of them, of each array the number of its parts
    levels: list[list[set[bytes] | bytes | int]] = []
    for token in _TOKEN.finditer(data):
        name, colon = token.groups()
        if colon is not None:
            names = levels[-1][0]
            if b"\\" in name:
                name = json.loads(b'"%b"' % name).encode(errors="replace")
            levels[-1][1] = name
            if isinstance(names, set):
                if name in names:
                    yield "".join(map(_step, levels)).lstrip(".")
                names.add(name)
        elif name is None:
            mark = token[0]
            if mark in b"]}":
                levels.pop()
                continue
            if levels and levels[-1][0] == 0:
                levels[-1][1] = int(levels[-1][1]) + 1
            levels.append([set(), b""] if mark == b"{" else [0, -1])


def _step(level: list[set[bytes] | bytes | int]) -> str:
    newest = level[1]
    return f".{newest[:100].decode(errors='replace')}" if isinstance(newest, bytes) else f"[{newest}]"
