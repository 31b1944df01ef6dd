"""Reading an operator's files: YAML documents, with errors that name file, line, field and need."""

from __future__ import annotations

import os
from typing import Any

from msgspec.structs import replace

from advisor.common.regular_file import read_input_text
from advisor.cost.checks import Checker
from advisor.errors import PricingError

_MOST_BYTES = 32 << 20
"""A year of prices each five minutes, in a wordy JSON."""


def read_text(path: str | os.PathLike[str]) -> str:
    """The text of a file, or a `PricingError` that names it."""
    return read_input_text(path, _MOST_BYTES, PricingError)


def read_yaml(path: str | os.PathLike[str], check: Checker | None = None) -> tuple[dict[str, Any], Checker]:
    """A YAML file whose top level is a mapping, and what checks it: ``check`` for this file and its lines."""
    from advisor.common.yaml_text import YamlError, parse_yaml_lines

    text = read_text(path)
    try:
        document, lines = parse_yaml_lines(text)
    except YamlError as exc:
        raise PricingError(f"expected YAML: {exc}", subject=path) from exc
    if not isinstance(document, dict) or not all(isinstance(key, str) for key in document):
        raise PricingError("expected a mapping of names to values at the top level", subject=path)
    return document, replace(check or Checker(), subject=path, lines=lines)
