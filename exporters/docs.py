"""``docs/metrics.md`` and ``docs/result-file.schema.json``, made from what the code declares.

``python -m exporters.docs docs`` writes both; a test fails when they are not current.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import exporters
from advisor.common.exit import guarded
from advisor.errors import InputError
from advisor.results import json_schema
from exporters.runtime.collector import Exporter
from exporters.runtime.families import Family
from exporters.runtime.options import common_options
from exporters.runtime.scrape import own_families, process_families


def all_exporters() -> list[Exporter]:
    """Every module of the package that has an ``EXPORTER``, by port."""
    names = [m.name for m in pkgutil.iter_modules(exporters.__path__) if not m.ispkg]
    modules = [importlib.import_module(f"exporters.{name}") for name in names]
    return sorted((m.EXPORTER for m in modules if hasattr(m, "EXPORTER")), key=lambda e: e.port)


def documents() -> dict[str, str]:
    """File name to content."""
    return {
        "metrics.md": _metrics_page(all_exporters()),
        "result-file.schema.json": json.dumps(json_schema(), indent=2) + "\n",
    }


def _metrics_page(exporters: Sequence[Exporter]) -> str:
    sections = [
        "# Metrics and options of the exporters",
        "Reference for dashboards, alerts and configuration, generated from the code by `python -m "
        "exporters.docs docs`. A series whose value is unknown is absent, never 0.",
    ]
    for exporter in exporters:
        sections += [
            f"## {exporter.title}, port {exporter.port}",
            f"`python -m exporters.{exporter.name}`",
            _table(("Metric", "Kind", "Labels", "Meaning"), map(_family_row, exporter.families)),
            _table(("Option", "Environment", "Default", "Meaning"), _option_rows(exporter)),
        ]
    sections += ["## Every exporter", "`NAME` is the name of the exporter, for example `rapl`."]
    shared = [_family_row(family) for family in own_families("NAME").values()]
    shared += [(f"`{m.samples[0].name}`", m.type, "", m.documentation) for m in process_families()]
    sections.append(_table(("Metric", "Kind", "Labels", "Meaning"), shared))
    common = common_options(Exporter("NAME", "", 0, (), lambda _: ()))
    rows = ((f"`{o.flag}`", f"`{o.env}`", _default(o.default), o.help) for o in common if o.flag != "--port")
    sections.append(_table(("Option", "Environment", "Default", "Meaning"), rows))
    return "\n\n".join(sections) + "\n"


def _family_row(family: Family) -> Sequence[str]:
    labels = ", ".join(f"`{label}`" for label in family.labels)
    return f"`{family.name}`", family.kind, labels, family.help


def _option_rows(exporter: Exporter) -> Iterator[Sequence[str]]:
    (port,) = (o for o in common_options(exporter) if o.flag == "--port")
    for option in (port, *exporter.options):
        yield f"`{option.flag}`", f"`{option.env}`", _default(option.default), option.help


def _default(value: object) -> str:
    return "" if value is None else f"`{value}`"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def main(argv: Sequence[str]) -> int:
    """Write the documents into the folder that is given."""
    if len(argv) != 1 or not Path(argv[0]).is_dir():
        raise InputError("expected one folder to write into")
    for name, text in documents().items():
        (Path(argv[0]) / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(guarded("exporters.docs", lambda: main(sys.argv[1:])))
