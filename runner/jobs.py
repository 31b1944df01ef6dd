"""From the command line to the jobs of a run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from advisor.errors import InputError
from runner.batch import read_batch
from runner.command import LAVFI
from runner.options import spec_of
from runner.plan import Job, duplicate_names, resolve
from runner.spec import Spec, refuse, spec_problems
from runner.suites import DEFAULT_SUITE

__all__ = ["jobs_of"]

SAMPLE = Path(__file__).resolve().parent.parent / "samples" / "bigbuckbunny.mp4"


def jobs_of(options: argparse.Namespace) -> list[Job]:
    """What the options ask for, once each.

    Raises
    ------
    InputError
        Fields that are wrong, names that stand for two scenarios, or no input.
    """
    specs, subject = _specs(options)
    default_input = options.input
    if default_input is None and any(spec.input is None and spec.type != "baseline" for spec in specs):
        default_input = str(SAMPLE)
        if not SAMPLE.exists():
            raise InputError(
                "the sample clip is not installed here: name a video or lavfi:SOURCE", subject="--input"
            )
    jobs = [
        resolve(
            spec,
            input_path=default_input,
            duration_seconds=options.duration,
            media_seconds=options.media_duration,
        )
        for spec in specs
    ]
    refuse(subject, [f"name: expected one scenario called {name!r}" for name in duplicate_names(jobs)])
    return jobs


def _specs(options: argparse.Namespace) -> tuple[Sequence[Spec], str | None]:
    if options.subcommand == "batch":
        return _next_to(read_batch(options.file), options.file), str(options.file)
    if options.subcommand == "suite":
        return DEFAULT_SUITE, None
    spec = spec_of(options)
    refuse(None, [_as_option(problem) for problem in spec_problems(spec)])
    return [spec], None


def _as_option(problem: str) -> str:
    """The problem of a field as that of its option: ``media_duration: ...`` is ``--media-duration: ...``."""
    field, colon, rest = problem.partition(":")
    return f"--{field.replace('_', '-')}{colon}{rest}"


def _next_to(specs: Sequence[Spec], file: Path) -> list[Spec]:
    """Inputs named in a batch file are relative to it."""
    return [
        spec
        if spec.input is None or spec.input.startswith(LAVFI)
        else replace(spec, input=str(file.parent / spec.input))
        for spec in specs
    ]
