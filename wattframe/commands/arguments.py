"""What several commands take: result files and folders, ``--json``, the roots of the kernel's files.

Every command that reads results names them the same way: ``wattframe COMMAND PATH...``, each a file or a
folder; ``--results-dir`` and ``--results`` are the same by option; without any the folder ``test_results``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from advisor.errors import InputError, ResultFileError
from advisor.results import RESULT_GLOB, Run, read_run
from wattframe.console import note

DEFAULT_RESULTS = Path("test_results")

Results = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="PATH...", help="Result files or folders.", show_default="test_results", readable=False
    ),
]
ResultsOption = Annotated[
    list[Path] | None,
    typer.Option("--results-dir", "--results", envvar="RESULTS_DIR", help="Same as PATH.", readable=False),
]
ModelsDir = Annotated[Path, typer.Option(envvar="MODELS_DIR", help="Folder of trained models.")]
Cluster = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Run the work on the cluster of this Dask scheduler.")
]
ClusterTls = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder with ca.pem, cert.pem and key.pem, for a tls:// cluster."),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
Sysfs = Annotated[str, typer.Option(envvar="SYSFS_ROOT", help="Root of sysfs.")]
Procfs = Annotated[str, typer.Option(envvar="PROCFS_ROOT", help="Root of procfs.")]


def application() -> typer.Typer:
    """The Typer application of one command."""
    return typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def named_paths(paths: Sequence[Path] | None, by_option: Sequence[Path] | None) -> list[Path]:
    """What the user named: the arguments, else the option or its variable, else the default folder."""
    return list(paths or by_option or (DEFAULT_RESULTS,))


def read_runs(command: str, paths: Sequence[Path]) -> tuple[list[Run], int]:
    """Every run of the files and folders, and the exit code of what could not be read.

    What cannot be read is named on stderr, and does not keep the others from being used.

    Raises
    ------
    InputError
        Nothing there is a result file, or none that can be read.
    """
    runs: list[Run] = []
    problems: list[str] = []
    for path in result_files(paths):
        try:
            run = read_run(path)
        except ResultFileError as exc:
            problems.append(str(exc))
            continue
        runs.append(run)
        problems += [f"{path}: left out {refused.reason}" for refused in run.refused]
    if not runs:
        *problems, last = problems or [f"{', '.join(map(str, paths))}: expected {RESULT_GLOB}, found none"]
        if not any(os.access(path, os.F_OK) for path in paths):
            last += " ('wattframe tune VIDEO' and 'wattframe test' make results)"
    for problem in problems:
        note(command, problem)
    if not runs:
        raise InputError(last)
    return runs, InputError.exit_code if problems else 0


def result_files(paths: Sequence[Path]) -> Iterator[Path]:
    """The files, and those of the folders."""
    for path in paths:
        yield from sorted(path.glob(RESULT_GLOB)) if os.access(path, os.R_OK) and path.is_dir() else [path]
