"""Which videos belong together: outputs of result files with their inputs, and lists of own encodes.

A result file is data from elsewhere, so a path in it is followed only inside folders that the operator
allowed. A list of pairs is the operator's own and is taken as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from advisor.errors import InputError
from advisor.quality.queue import Job, stamped
from advisor.quality.settings import Settings
from advisor.results import Output, Run, Scenario

__all__ = ["OwnPair", "Unscorable", "job_of", "output_labels", "read_pairs"]


class Unscorable(Exception):  # noqa: N818 -- a finding, not an error
    """An output that has no quality and cannot get one; ``kind`` is one word for a metric."""

    def __init__(self, kind: str, reason: str) -> None:
        self.kind = kind
        super().__init__(reason)


class OwnPair(Struct, frozen=True):
    """One line of a list of pairs."""

    name: str
    reference: Path
    distorted: Path
    settings: Settings


def output_labels(outputs: Sequence[Output]) -> list[str]:
    """A name for each output, empty for a single one; equal rungs of several streams are numbered.

    >>> output_labels([Output(resolution="640x360", bitrate="800k")] * 2)
    ['640x360@800k', '640x360@800k #2']
    """
    if len(outputs) < 2:
        return [""] * len(outputs)
    seen: Counter[str] = Counter()
    labels = []
    for output in outputs:
        label = f"{output.resolution or '?'}@{output.bitrate or '?'}"
        seen[label] += 1
        labels.append(label if seen[label] == 1 else f"{label} #{seen[label]}")
    return labels


def job_of(
    run: Run, scenario: Scenario, output: Output, folder: Path, roots: Sequence[Path], settings: Settings
) -> Job:
    """The job that scores ``output`` of a result file in ``folder``.

    Parameters
    ----------
    roots
        Folders, resolved, inside which files may be read.

    Raises
    ------
    Unscorable
        The encode was not kept, its input is no file, or one of them is missing or outside ``roots``.
    """
    source = scenario.input
    if output.path is None:
        raise Unscorable("not_kept", "the encode was not kept")
    if source is None or source.path is None:
        raise Unscorable("no_reference", "the input is not a file that can be read again")
    distorted = _located(output.path, folder, [folder, *roots], roots)
    reference = _located(source.path, folder, roots, roots)
    loops = msgspec.structs.replace(settings, reference_loops=source.loops or 0)
    try:
        return stamped(reference, distorted, loops)
    except OSError as exc:
        raise Unscorable("missing", f"{exc.filename}: {exc.strerror}") from exc


def _located(text: str, folder: Path, search: Sequence[Path], roots: Sequence[Path]) -> Path:
    """The file that ``text`` names: as it is, else by its last two or its last name below ``search``.

    The second way finds what a container sees under another folder than the machine that wrote the file.
    """
    if "\0" in text:
        raise Unscorable("refused", "expected a path, found a zero byte")
    named = Path(text)
    first = folder / named  # an absolute path stays itself
    places = [first, *(root / tail for root in search for tail in (Path(*named.parts[-2:]), named.name))]
    for place in places:
        try:
            resolved = place.resolve()
        except (OSError, RuntimeError):  # a link that leads to itself
            continue
        if any(resolved.is_relative_to(root) for root in roots) and resolved.is_file():
            return resolved
    if not any(first.resolve().is_relative_to(root) for root in roots):
        raise Unscorable("refused", f"{text}: outside the folders that may be read")
    raise Unscorable("missing", f"{text}: no such file")


class _Line(Struct, frozen=True, forbid_unknown_fields=True):
    reference: str
    distorted: str
    name: str | None = None
    model: str | None = None
    codec_comparison: bool = False
    reference_start: float = 0.0
    reference_loops: int = 0


def read_pairs(path: Path, settings: Settings) -> list[OwnPair]:
    """A YAML or JSON list of ``{reference, distorted, name?, ...}``; paths are relative to the list's folder.

    Raises
    ------
    InputError
        Names the entry and the field.
    """
    from advisor.yaml_text import parse_yaml

    try:
        document: Any = parse_yaml(path.read_bytes())
    except (OSError, ValueError) as exc:
        raise InputError(f"expected a YAML or JSON list of pairs: {exc}", subject=path) from exc
    try:
        lines = msgspec.convert(document or [], list[_Line])
    except msgspec.ValidationError as exc:
        message, _, place = str(exc).partition(" - at `$")
        raise InputError(message, subject=path, field=f"pairs{place.rstrip('`')}") from exc
    pairs = [_own(line, path.parent, settings) for line in lines]
    twice = [name for name, count in Counter(pair.name for pair in pairs).items() if count > 1]
    if twice:
        raise InputError(f"expected names that differ, found {twice[0]!r} twice", subject=path, field="name")
    return pairs


def _own(line: _Line, folder: Path, settings: Settings) -> OwnPair:
    own = msgspec.structs.replace(
        settings,
        model=line.model or settings.model,
        codec_comparison=line.codec_comparison or settings.codec_comparison,
        reference_start=line.reference_start,
        reference_loops=line.reference_loops,
    )
    return OwnPair(line.name or line.distorted, folder / line.reference, folder / line.distorted, own)
