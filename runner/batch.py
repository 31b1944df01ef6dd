"""Batch files: a list of scenarios, a matrix with excludes, or both.

::

    defaults: {resolution: 1280x720}          # for every scenario
    scenarios:
      - {name: idle, type: baseline}
      - {encoder: libx264, preset: veryfast, bitrate: 2500k}
    matrix:                                   # every combination
      encoder: [libx264, libsvtav1]
      preset: {libx264: [veryfast, medium], libsvtav1: [8, 12]}
      bitrate: [1500k, 3000k]
    exclude:
      - {encoder: libsvtav1, bitrate: 1500k}

A file that is a list is a list of scenarios. The fields are those of `runner.spec.Spec`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from advisor.common.checked import checked
from advisor.common.shipped import existing_or_shipped
from advisor.errors import InputError
from runner.spec import Spec, refuse, spec_problems

MOST_SCENARIOS = 10_000
_KEYS = ("defaults", "scenarios", "matrix", "exclude")


def read_batch(path: Path) -> list[Spec]:
    """The scenarios of a YAML or JSON file, in its order, the matrix's after the list's.

    Raises
    ------
    InputError
        The file cannot be read or parsed, or fields in it are wrong; names them all, the first five in full.
    """
    from advisor.common.yaml_text import read_document

    document = read_document(existing_or_shipped(path))
    if isinstance(document, list):
        document = {"scenarios": document}
    if not isinstance(document, dict):
        raise InputError(f"expected a list of scenarios or an object with {' or '.join(_KEYS)}", subject=path)
    problems = [f"{key}: expected one of {', '.join(_KEYS)}" for key in document if key not in _KEYS]
    defaults = _part(document, "defaults", dict, problems)
    listed = _part(document, "scenarios", list, problems)
    excludes = _part(document, "exclude", list, problems)
    matrix = _part(document, "matrix", dict, problems)
    refuse(path, problems)
    entries = [(f"scenarios[{i}]", entry) for i, entry in enumerate(listed)]
    entries += [("matrix", entry) for entry in _combinations(matrix, excludes, defaults, path)]
    if not entries:
        raise InputError("expected at least one scenario", subject=path)
    if len(entries) > MOST_SCENARIOS:
        raise InputError(f"expected at most {MOST_SCENARIOS} scenarios, found {len(entries)}", subject=path)
    return _specs(entries, defaults, path)


def _part(document: Mapping[str, Any], key: str, kind: type, problems: list[str]) -> Any:
    value = document.get(key)
    if value is None:
        return kind()
    if not isinstance(value, kind):
        what = "a list" if kind is list else "an object"
        problems.append(f"{key}: expected {what}, found {type(value).__name__}")
        return kind()
    return value


def _combinations(
    matrix: Mapping[str, Any], excludes: Sequence[Any], defaults: Mapping[str, Any], path: Path
) -> Iterator[dict[str, Any]]:
    problems = [*_axis_problems(matrix), *_exclude_problems(excludes, {*matrix, *defaults})]
    refuse(path, problems)
    if not matrix:
        return
    # a preset by encoder takes the encoder's value, so that one is fixed first
    shared = {axis: values for axis, values in matrix.items() if not isinstance(values, dict)}
    by_encoder = {axis: values for axis, values in matrix.items() if isinstance(values, dict)}
    for chosen in itertools.product(*shared.values()):
        entry = dict(zip(shared, chosen, strict=True))
        encoder = str(entry.get("encoder", defaults.get("encoder", Spec().encoder)))
        unknown = [axis for axis, values in by_encoder.items() if encoder not in values]
        refuse(path, [f"matrix.{axis}: expected an entry for {encoder}" for axis in unknown])
        for extra in itertools.product(*(values[encoder] for values in by_encoder.values())):
            combined = entry | dict(zip(by_encoder, extra, strict=True))
            full = {**defaults, **combined}
            if not any(_matches(exclude, full) for exclude in excludes):
                yield combined


def _axis_problems(matrix: Mapping[str, Any]) -> Iterator[str]:
    size = 1
    for axis, values in matrix.items():
        if axis not in Spec.__struct_fields__ or axis == "name":
            yield f"matrix.{axis}: no such field"
        if isinstance(values, dict):
            if axis == "encoder" or not all(isinstance(v, list) and v for v in values.values()):
                yield f"matrix.{axis}: expected lists by encoder"
            else:
                size *= max(map(len, values.values()), default=1)
        elif not isinstance(values, list) or not values:
            yield f"matrix.{axis}: expected a list with at least one value"
        else:
            size *= len(values)
    if size > MOST_SCENARIOS:
        yield f"matrix: expected at most {MOST_SCENARIOS} combinations, found {size}"


def _exclude_problems(excludes: Sequence[Any], fields: set[str]) -> Iterator[str]:
    for index, exclude in enumerate(excludes):
        if not isinstance(exclude, dict) or not exclude:
            yield f"exclude[{index}]: expected an object of fields and values"
            continue
        for field in exclude:
            if field not in fields:
                yield f"exclude[{index}].{field}: no such field in the matrix"


def _matches(exclude: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    return all(
        str(entry.get(field)) in [str(v) for v in (value if isinstance(value, list) else [value])]
        for field, value in exclude.items()
    )


def _specs(entries: Sequence[tuple[str, Any]], defaults: Mapping[str, Any], path: Path) -> list[Spec]:
    specs: list[Spec] = []
    problems: list[str] = []
    for place, entry in entries:
        if not isinstance(entry, dict):
            problems.append(f"{place}: expected an object, found {type(entry).__name__}")
            continue
        try:
            spec = checked(_with_defaults(entry, defaults), Spec, field=place)
        except InputError as exc:
            problems.append(str(exc))
            continue
        problems += [f"{place}.{problem}" for problem in spec_problems(spec)]
        specs.append(spec)
    refuse(path, list(dict.fromkeys(problems)))
    return specs


def _with_defaults(entry: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The entry over the defaults; its own way to say how much quality replaces the defaults' way."""
    rates = {"bitrate", "crf", "bitrates", "ladder"}
    kept = dict(defaults)
    if rates & entry.keys():
        kept = {k: v for k, v in kept.items() if k not in rates}
    if "ladder" in entry:
        kept.pop("resolution", None)
    if entry.get("type") == "baseline":
        kept = {k: v for k, v in kept.items() if k == "duration"}
    return kept | dict(entry)
