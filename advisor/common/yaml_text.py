"""YAML of an operator as plain values, and nothing that hurts: no tags that act, no value hidden or repeated
beyond measure.

PyYAML's safe loader runs no code. It still lets the second of two equal keys win in silence, lets aliases
make a billion values of ten lines, and falls over ``!!int ""`` with errors that are not its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import yaml

from advisor.common.atomic import NO_JSON
from advisor.common.json_keys import repeated_keys
from advisor.common.regular_file import read_input_text
from advisor.errors import InputError

_MOST_BYTES = 2 << 20
"""Which take six seconds."""
_MOST_WEIGHT = 32 << 20
"""Characters and values after aliases are written out: one document's worth of memory."""
_MERGE, _BOOLEAN, _TEXT = (f"tag:yaml.org,2002:{kind}" for kind in ("merge", "bool", "str"))
_NOT_DECIMAL = re.compile("[-+]?0[0_]*[1-7]_*[0-7][0-7_]*|.*:.*")
"""To base 8 or 60, as only YAML 1.1 reads ``025`` (21) and ``1:05`` (65); ``05`` is 5 to any base."""


class YamlError(ValueError):
    """Text that is no usable YAML; ``problem`` never holds more of the text than a key or a character."""

    def __init__(self, problem: str, line: int | None) -> None:
        self.problem, self.line = problem, line
        super().__init__(problem if line is None else f"line {line}: {problem}")


class _Loader(yaml.SafeLoader):
    """The safe loader with a look at the document before values are made of it."""

    root: yaml.Node | None = None

    def get_single_node(self) -> yaml.Node | None:
        self.root = super().get_single_node()
        if self.root is not None:
            _weight(self.root, {}, set())
        return self.root


def read_document(path: Path) -> Any:
    """The one document of a YAML or JSON file that somebody named.

    Whatever is JSON is read as JSON: YAML takes no tab between values, and no character in two halves. All
    else is YAML, also under the name ``.json``.

    Raises
    ------
    InputError
        It cannot be read, has a name twice, or is neither; see `parse_yaml`.
    """
    text = read_input_text(path)
    no_json = ""
    try:
        document = msgspec.json.decode(text)
    except NO_JSON as exc:
        no_json = f"JSON: {exc}" if path.suffix == ".json" else ""
    else:
        if repeated := repeated_keys(text.encode()):
            raise InputError(f"expected each name once, found {repeated[0]!r} twice", subject=path)
        return document
    try:
        return parse_yaml(text)
    except YamlError as exc:
        raise InputError(f"expected {no_json or f'YAML: {exc}'}", subject=path) from exc


def parse_yaml(text: str | bytes) -> Any:
    """The one document in ``text``; None when it is empty.

    Raises
    ------
    YamlError
        It is no YAML, holds a tag that is not plain data, a key twice or an alias inside itself, or is
        larger than any configuration.

    >>> parse_yaml("NO: {price_per_kwh: 0.21}")
    {'NO': {'price_per_kwh': 0.21}}
    """
    return parse_yaml_lines(text)[0]


def parse_yaml_lines(text: str | bytes) -> tuple[Any, dict[str, int]]:
    """The document, and the line on which each of its fields begins.

    >>> parse_yaml_lines("periods:\\n- {days: all}")
    ({'periods': [{'days': 'all'}]}, {'periods': 1, 'periods[0]': 2, 'periods[0].days': 2})
    """
    if len(text) > _MOST_BYTES:
        raise YamlError(f"expected at most {_MOST_BYTES >> 20} MiB, found {len(text) >> 20}", None)
    try:
        loader = _Loader(text)
        return loader.get_single_data(), dict(_lines(loader.root, "", set()))
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark is not None else None
        raise YamlError(exc.problem or "cannot be parsed", line) from None
    except yaml.reader.ReaderError as exc:
        raise YamlError(f"{exc.reason} at character {exc.position + 1}", None) from None
    except RecursionError:
        raise YamlError("values are nested too deeply", None) from None
    except YamlError:
        raise
    # what its constructors raise for a value that its tag does not fit, such as !!int ""
    except (ValueError, LookupError, AttributeError, TypeError, OverflowError):
        raise YamlError("a value that does not fit its type", None) from None


def _lines(node: yaml.Node | None, field: str, seen: set[int]) -> Iterator[tuple[str, int]]:
    """An alias counts where it stands first: written out, ten lines may be a billion fields."""
    if id(node) in seen:
        return
    seen.add(id(node))
    parts: list[tuple[str, yaml.Node, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        parts = [(f"{field}.{key.value}".lstrip("."), key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        parts = [(f"{field}[{index}]", item, item) for index, item in enumerate(node.value)]
    for name, mark, value in parts:
        yield name, mark.start_mark.line + 1
        yield from _lines(value, name, seen)


def _weight(node: yaml.Node, known: dict[int, int], around: set[int]) -> int:
    """What the node weighs with every alias written out; refuses what weighs too much or holds itself."""
    key, line = id(node), node.start_mark.line + 1
    if key in around:
        raise YamlError("an alias that contains itself", line)
    if key not in known:
        around.add(key)
        known[key] = 1 + _own(node, line) + sum(_weight(child, known, around) for child in _children(node))
        around.remove(key)
    if known[key] > _MOST_WEIGHT:
        raise YamlError("aliases that expand to too many values", line)
    return known[key]


def _own(node: yaml.Node, line: int) -> int:
    """The characters of a scalar, a text if it is no decimal number; looks at the keys of a mapping."""
    if isinstance(node, yaml.ScalarNode):
        if not node.value.isascii() and any("\ud800" <= character <= "\udfff" for character in node.value):
            raise YamlError("an unpaired surrogate", line)
        if node.tag.endswith((":int", ":float")) and _NOT_DECIMAL.fullmatch(node.value):
            node.tag = _TEXT
        return len(node.value)
    if isinstance(node, yaml.MappingNode):
        keys = [k for k, _ in node.value if isinstance(k, yaml.ScalarNode) and k.tag != _MERGE]
        for key in keys:
            # Norway: nobody names anything by a truth value
            key.tag = _TEXT if key.tag == _BOOLEAN else key.tag
        twice = [name for (_, name), count in Counter((k.tag, k.value) for k in keys).items() if count > 1]
        if twice:
            raise YamlError(f"the key {twice[0][:40]!r} appears twice", line)
    return 0


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        for pair in node.value:
            yield from pair
