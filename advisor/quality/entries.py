"""What is known of the quality of each output of a run: a score, a job for one, or why there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from advisor.quality.pairs import OwnPair, Unscorable, job_of, output_labels
from advisor.quality.queue import QualityJob, QualityOutcome, stamped
from advisor.quality.settings import QualitySettings
from advisor.results import Psnr, Quality, Run, Scenario, Ssim, Vmaf


class Entry(Struct, frozen=True):
    """One output: at least one of ``quality``, ``job`` and ``reason`` is set."""

    output: str
    """Empty where the scenario has one output."""
    quality: Quality | None = None
    job: QualityJob | None = None
    kind: str | None = None
    """One word for why there is no score: ``refused``, ``missing``, ``unaligned``, ``damaged`` ..."""
    reason: str | None = None


def entries_of(
    run: Run, scenario: Scenario, folder: Path, roots: Sequence[Path], settings: QualitySettings
) -> tuple[Entry, ...]:
    """The entries of a finished scenario; scores that the file holds are taken as they are."""
    if scenario.type == "baseline" or scenario.status != "ok":
        return ()
    if not any(output.quality for output in scenario.outputs):
        whole = _whole(scenario)
        if whole is not None:
            return (Entry("", quality=whole),)
    entries = []
    for label, output in zip(output_labels(scenario.outputs), scenario.outputs, strict=True):
        if output.quality is not None:
            entries.append(_scored(label, output.quality))
            continue
        try:
            entries.append(Entry(label, job=job_of(run, scenario, output, folder, roots, settings)))
        except Unscorable as exc:
            entries.append(Entry(label, kind=exc.kind, reason=str(exc)))
    return tuple(entries)


def _whole(scenario: Scenario) -> Quality | None:
    """The scores that an earlier suite wrote for a scenario as a whole."""
    vmaf, psnr, ssim = scenario.vmaf_score, scenario.psnr_score, scenario.ssim_score
    if vmaf is None and psnr is None and ssim is None:
        return None
    return Quality(
        vmaf=None if vmaf is None else Vmaf(mean=vmaf),
        psnr_decibels=None if psnr is None else Psnr(average=psnr),
        ssim_ratio=None if ssim is None else Ssim(all=ssim),
    )


def _scored(label: str, quality: Quality) -> Entry:
    if quality.vmaf is not None:
        return Entry(label, quality=quality)
    kinds = {False: "unaligned", True: "no_model", None: "failed"}
    kind = kinds[quality.aligned]
    return Entry(label, quality=quality, kind=kind, reason=quality.reason or "the file gives no reason")


def entry_of_pair(pair: OwnPair) -> Entry:
    """The entry of a pair from the operator's list."""
    try:
        return Entry("", job=stamped(pair.reference, pair.distorted, pair.settings))
    except OSError as exc:
        return Entry("", kind="missing", reason=f"{exc.filename}: {exc.strerror}")


def answered(entry: Entry, outcome_of: Callable[[QualityJob], QualityOutcome | None]) -> Entry:
    """``entry`` with the answer to its job, itself while there is none."""
    outcome = outcome_of(entry.job) if entry.job is not None else None
    if outcome is None:
        return entry
    if outcome.quality is None:
        return replace(entry, job=None, kind=outcome.kind, reason=outcome.failure)
    return _scored(entry.output, outcome.quality)


def with_scores(scenario: Scenario, entries: Sequence[Entry]) -> Scenario | None:
    """``scenario`` with the qualities of ``entries``; None unless every output has a score."""
    if scenario.vmaf_score is not None:
        return scenario
    qualities = [entry.quality for entry in entries]
    if not qualities or any(q is None or q.vmaf is None for q in qualities):
        return None
    outputs = [replace(o, quality=q) for o, q in zip(scenario.outputs, qualities, strict=True)]
    return replace(scenario, outputs=outputs)
