"""Whether two folders of pages show the same series with the same values: what a change of wording leaves.

Each page is parsed by `prometheus_client`; names, types, labels and values are compared as sets, the words of
HELP and the order of lines and labels are not. Exits 1 and names the differences where there are any.

    python -m benchmarks.same_series FORMER_FOLDER FOLDER
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

__all__ = ["difference", "series"]

Series = tuple[str, str, tuple[tuple[str, str], ...], float]


def series(page: str) -> set[Series]:
    """Every sample of a page: its name, the family's type, its labels and its value.

    Raises
    ------
    ValueError
        A series is there twice.
    """
    samples: dict[tuple[str, str, tuple[tuple[str, str], ...]], float] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            key = sample.name, family.type, tuple(sorted(sample.labels.items()))
            if key in samples:
                raise ValueError(f"there twice: {key}")
            samples[key] = sample.value
    return {(*key, value) for key, value in samples.items()}


def difference(former: str, page: str) -> list[str]:
    """One line for each sample that only one of the pages has."""
    before, after = series(former), series(page)
    return [f"- {sample}" for sample in sorted(before - after)] + [f"+ {s}" for s in sorted(after - before)]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("former", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    differs = False
    for name in sorted(
        {path.name for where in (options.former, options.folder) for path in where.glob("*.prom")}
    ):
        former, page = ((where / name).read_text() for where in (options.former, options.folder))
        lines = difference(former, page)
        differs = differs or bool(lines)
        sys.stdout.write(f"{name}: {len(series(page))} series, {len(lines)} differences\n")
        sys.stdout.writelines(f"  {line}\n" for line in lines)
    return int(differs)


if __name__ == "__main__":
    sys.exit(main())
