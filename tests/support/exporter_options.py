"""Options of an exporter as a test gives them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from advisor.errors import InputError
from exporters.runtime import Exporter
from exporters.runtime.options import read_options


def parse_options(exporter: Exporter, argv: Sequence[str], environ: Mapping[str, str]) -> argparse.Namespace:
    """The configuration; InputError names all that is wrong with it."""
    options, problems = read_options(exporter, argv, environ)
    if problems:
        raise InputError("; ".join(problems))
    return options
