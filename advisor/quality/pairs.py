"""Which videos belong together: outputs of result files with their inputs, and own encodes.

A result file is data from elsewhere, so a path in it is followed only inside folders that the operator
allowed. A list or folder of pairs is the operator's own and is taken as it is.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from advisor.common.checked import checked
from advisor.errors import InputError
from advisor.quality.queue import QualityJob, stamped
from advisor.quality.settings import QualitySettings, check_settings, shared_filters
from advisor.results import Output, Run, Scenario

_MOST_LETTERS = 4096
"""Of a path: what the kernel takes. Links of a longer one would be followed for hours."""
_REFERENCE = "reference"
_VIDEO_SUFFIXES = (
    *(".264", ".265", ".av1", ".avi", ".flv", ".h264", ".h265", ".hevc", ".ivf", ".m2ts", ".m4v", ".mkv"),
    *(".mov", ".mp4", ".mpeg", ".mpg", ".mxf", ".obu", ".ogv", ".ts", ".vvc", ".webm", ".wmv", ".y4m"),
)


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
    settings: QualitySettings


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
    run: Run,
    scenario: Scenario,
    output: Output,
    folder: Path,
    roots: Sequence[Path],
    settings: QualitySettings,
) -> QualityJob:
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
    shared, _ = shared_filters(scenario.filters)
    of_pair = msgspec.structs.replace(settings, reference_loops=source.loops or 0, reference_filter=shared)
    try:
        return stamped(reference, distorted, of_pair)
    except OSError as exc:
        raise Unscorable("missing", f"{exc.filename}: {exc.strerror}") from exc


def _located(text: str, folder: Path, search: Sequence[Path], roots: Sequence[Path]) -> Path:
    """The file that ``text`` names: as it is, else by its last two or its last name below ``search``.

    The second way finds what a container sees under another folder than the machine that wrote the file.
    """
    if "\0" in text:
        raise Unscorable("refused", "expected a path, found a zero byte")
    if len(text) > _MOST_LETTERS:
        raise Unscorable("missing", f"{text[:100]}...: expected at most {_MOST_LETTERS} letters")
    named = Path(text)
    first = folder / named  # an absolute path stays itself
    places = [first, *(root / tail for root in search for tail in (Path(*named.parts[-2:]), named.name))]
    # one call where there is none; links are followed name by name
    for place in filter(os.path.isfile, places):
        resolved = _resolved(place)
        if resolved is not None and _is_inside(resolved, roots):
            return resolved
    resolved = _resolved(first)
    if resolved is not None and not _is_inside(resolved, roots):
        raise Unscorable("refused", f"{text}: outside the allowed folders")
    raise Unscorable("missing", f"{text}: no such file")


def _resolved(place: Path) -> Path | None:
    """With every link followed; None for what names nothing: a link to itself, a name without end."""
    try:
        resolved = place.resolve()
        resolved.is_file()  # fails where a name is too long
    except (OSError, RuntimeError, ValueError):
        return None
    return resolved


def _is_inside(place: Path, roots: Sequence[Path]) -> bool:
    return any(place.is_relative_to(root) for root in roots)


class _Line(Struct, frozen=True, forbid_unknown_fields=True):
    reference: str
    distorted: str
    name: str | None = None
    model: str | None = None
    codec_comparison: bool = False
    reference_start: float = 0.0
    reference_loops: int = 0


class Pairs(Struct, frozen=True):
    """What a list or a folder of pairs holds, and beside it what in it cannot be used."""

    pairs: list[OwnPair]
    problems: list[str]
    """One line each, with the place in the list or folder."""


def read_pairs(path: Path, settings: QualitySettings) -> Pairs:
    """The pairs of a YAML or JSON list, or of a folder of videos.

    A list is of ``{reference, distorted, name?, ...}``; paths are relative to its folder. In a folder and
    those below it every video belongs to the one named ``reference`` (``reference.mkv``, ...) beside it, or
    else to that of the nearest folder above.
    """
    listed = _in_folder(path, settings) if path.is_dir() else _in_list(path, settings)
    counts = Counter(pair.name for pair in listed.pairs)
    problems = [f"{n}: expected names that differ, found two" for n in sorted(counts) if counts[n] > 1]
    pairs = [pair for pair in listed.pairs if counts[pair.name] == 1]
    return Pairs(pairs, [*listed.problems, *problems])


def _in_list(path: Path, settings: QualitySettings) -> Pairs:
    from advisor.common.yaml_text import read_document

    try:
        document = read_document(path)
    except InputError as exc:
        return Pairs([], [f"expected a YAML or JSON list of pairs: {exc.problem}"])
    if not isinstance(document or [], list):
        return Pairs([], ["expected a list of pairs"])
    listed = Pairs([], [])
    for index, entry in enumerate(document or []):
        here = f"pairs[{index}]"
        try:
            line = checked(entry, _Line, field=here)
            listed.pairs.append(_own(line, path.parent, settings))
        except InputError as exc:
            listed.problems.append(f"{exc.field or f'{here}.{exc.subject}'}: {exc.problem}")
    return listed


def _in_folder(root: Path, settings: QualitySettings) -> Pairs:
    listed = Pairs([], [])
    references: dict[Path, Path | None] = {}
    for place, folders, names in os.walk(root):
        folders.sort()
        folder, videos = Path(place), [n for n in sorted(names) if _is_video(n)]
        here = [name for name in videos if Path(name).stem.lower() == _REFERENCE]
        if len(here) > 1:
            listed.problems.append(
                f"{_below(root, folder)}: expected one {_REFERENCE}, found {', '.join(here)}"
            )
        above = references.get(folder.parent) if folder != root else None
        reference = references[folder] = folder / here[0] if len(here) == 1 else None if here else above
        encodes = [folder / name for name in videos if name not in here]
        if reference is None and encodes and not here:
            listed.problems.append(f"{_below(root, folder)}: expected a video named {_REFERENCE}, found none")
        if reference is not None:
            listed.pairs.extend(OwnPair(_below(root, e), reference, e, settings) for e in encodes)
    return listed


def _is_video(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in _VIDEO_SUFFIXES


def _below(root: Path, path: Path) -> str:
    """How ``path`` is named on a page, which is UTF-8 also where a file's name is not."""
    return os.fsencode(path.relative_to(root).as_posix()).decode("utf-8", "replace")


def _own(line: _Line, folder: Path, settings: QualitySettings) -> OwnPair:
    """The pair of one entry; InputError when its settings cannot be."""
    of_pair = msgspec.structs.replace(
        settings,
        model=line.model or settings.model,
        codec_comparison=line.codec_comparison or settings.codec_comparison,
        reference_start=line.reference_start,
        reference_loops=line.reference_loops,
    )
    check_settings(of_pair)
    return OwnPair(line.name or line.distorted, folder / line.reference, folder / line.distorted, of_pair)
