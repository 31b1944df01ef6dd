"""Result files as cases to train on: read in groups, enriched, checked; what is left out has its reason."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from advisor.errors import InputError, ResultFileError
from advisor.prometheus.client import PrometheusClient
from advisor.prometheus.enrichment import MOST_FAILURES, Key, ObservationCache, Progress, enrich, lacks_power
from advisor.regression.features import Case, case
from advisor.results import RESULT_GLOB, Run, Scenario, derived, read_run
from wattframe.retraining.account import LeftOut, RetrainOptions, RetrainReport

_FILES_AT_ONCE = 200
_MOST_WATTS = 100_000.0
_BELOW_IDLE = 0.9
_CONTRADICTION = 1.25
"""Repeats of one configuration vary by hundredths, in short runs by a fifth."""
Note = Callable[[str], None]


def load(
    options: RetrainOptions, report: RetrainReport, note: Note, progress: Progress | None = None
) -> tuple[list[Case], str]:
    """Every usable scenario as a case, and the newest run's machine.

    Runs are read in groups and dropped again, so that memory holds one group and the cases.
    """
    if not options.results_dir.is_dir():
        raise InputError("expected a folder of result files", subject=options.results_dir)
    cases: list[Case] = []
    identities: set[int] = set()
    newest = (-1.0, "unknown")
    for runs, reasons in _enriched(options, report, note, progress):
        for run in derived.with_whole_inputs(runs):
            report.files += 1
            report.noted += _spoilt_idle(run)
            this = run.start_time or 0.0, derived.machine_of(run)
            newest = max(newest, this, key=lambda pair: pair[0])
            cases += _cases(run, report, identities, reasons)
    cases = _of_one_tier(cases, report)
    report.noted += _contradictions(cases)
    return cases, newest[1]


def _runs(folder: Path, report: RetrainReport) -> Iterator[list[Run]]:
    group: list[Run] = []
    for path in sorted(folder.glob(RESULT_GLOB)):
        try:
            run = read_run(path)
        except ResultFileError as exc:
            report.skipped.append(LeftOut(path.stem, None, str(exc)))
            continue
        report.skipped += [LeftOut(run.run_id, r.name, r.reason) for r in run.refused]
        group.append(run)
        if len(group) == _FILES_AT_ONCE:
            yield group
            group = []
    if group:
        yield group


def _enriched(
    options: RetrainOptions, report: RetrainReport, note: Note, progress: Progress | None
) -> Iterator[tuple[Sequence[Run], Mapping[Key, str]]]:
    """The runs with the power that Prometheus could give, and why it could not for the others.

    It is asked until queries in a row got no answer, also of several groups.
    """
    client = None if options.prometheus is None else PrometheusClient(options.prometheus)
    cache = ObservationCache(options.models_dir / ".observed.sqlite") if client else None
    selector, failures = options.selector, 0
    with client or contextlib.nullcontext():
        for runs in _runs(options.results_dir, report):
            lacking = [
                (run.run_id, s.name, s.repeat) for run in runs for s in run.scenarios if lacks_power(s)
            ]
            if client is None or not lacking:
                yield runs, {}
            elif failures == MOST_FAILURES:
                yield runs, dict.fromkeys(lacking, f"no power, and {report.unanswered}")
            else:
                note(f"asking {client.connection.shown_url} for {len(lacking)} scenarios without power")
                done = enrich(
                    runs, client, selector=selector, cache=cache, progress=progress, failures=failures
                )
                failures = done.failures
                if done.failure is not None:
                    # what was measured by the runner itself is still worth training on
                    note(f"not enriched: {done.failure}")
                    report.unanswered = done.failure if failures else None
                report.requests += done.requests
                report.from_cache += done.from_cache
                report.enriched += done.enriched
                yield done.runs, done.skipped


def _cases(run: Run, report: RetrainReport, seen: set[int], reasons: Mapping[Key, str]) -> Iterator[Case]:
    identities: set[int] = set()
    for scenario in run.scenarios:
        report.scenarios += 1
        baseline = scenario.type == "baseline"
        report.baselines += baseline
        without = reasons.get((run.run_id, scenario.name, scenario.repeat))
        reason = without if baseline else _unusable(scenario, run, seen, without)
        if reason is not None:
            report.skipped.append(LeftOut(run.run_id, scenario.name, reason))
        elif not baseline:
            identities.update(filter(None, [derived.identity_of(scenario, run)]))
            yield _weighed(scenario, run, report)
    seen |= identities  # what stands twice in one file was measured twice


def _spoilt_idle(run: Run) -> Iterator[LeftOut]:
    """Baselines of a run without a valid one: what they measured is not subtracted from anything."""
    if run.baseline is None:
        for idle in run.baselines:
            yield LeftOut(
                run.run_id,
                idle.name,
                f"idle power not used, because the baseline is not valid: {', '.join(idle.validity)}",
            )


def _weighed(scenario: Scenario, run: Run, report: RetrainReport) -> Case:
    """The case; what should not be trusted, or is odd, is noted."""
    one = case(scenario, run)
    watts, idle = derived.mean_watts(scenario), derived.idle_watts(scenario, run)
    if watts is not None and idle is not None and watts < _BELOW_IDLE * idle:
        reason = f"draws {watts:.1f} W, less than the idle power of {idle:.1f} W"
        report.noted.append(LeftOut(run.run_id, scenario.name, reason))
    if scenario.validity:
        one = msgspec.structs.replace(one, weight=one.weight / 4)
        reason = f"used with weight 1/4: {', '.join(scenario.validity)}"
        report.noted.append(LeftOut(run.run_id, scenario.name, reason))
        for name in scenario.validity:
            report.not_valid[name] = report.not_valid.get(name, 0) + 1
    return one


def _unusable(scenario: Scenario, run: Run, seen: set[int], without_power: str | None) -> str | None:
    """Why a scenario cannot be trained on, None when it can."""
    if scenario.status != "ok":
        return f"the scenario {scenario.status}" + (f": {scenario.error}" if scenario.error else "")
    watts = derived.mean_watts(scenario)
    if watts is None:
        return without_power or "no power"
    if derived.lacks_board_energy(scenario):
        return "the energy of its GPU was not measured"
    if not 0 < watts < _MOST_WATTS:
        return f"impossible mean power: {watts:g} W"
    if (problem := derived.contradiction(scenario)) is not None:
        return problem
    if scenario.encoder is None and scenario.bitrate is None and scenario.resolution is None:
        return "the encode is not described"
    is_copy = derived.identity_of(scenario, run) in seen
    return "a copy of a scenario that was read before" if is_copy else None


def _of_one_tier(cases: Sequence[Case], report: RetrainReport) -> list[Case]:
    """The tier that most cases have, measured before modelled: a model mixes neither."""
    count = Counter(c.tier for c in cases)
    if len(count) < 2:
        return list(cases)
    rank = {"measured": 0, "modelled": 1, None: 2}
    chosen = min(count, key=lambda tier: (-count[tier], rank[tier]))
    descriptions = {
        None: "power of unknown origin",
        "measured": "measured power",
        "modelled": "modelled power",
    }
    report.skipped += [
        LeftOut(c.run_id, c.scenario, f"{descriptions[c.tier]}; the others have {descriptions[chosen]}")
        for c in cases
        if c.tier != chosen
    ]
    return [c for c in cases if c.tier == chosen]


def _contradictions(cases: Iterable[Case]) -> Iterator[LeftOut]:
    """Repeats of one configuration that draw very different power; their median is what is trained on."""
    least: dict[int, Case] = {}
    most: dict[int, Case] = {}
    for c in cases:
        key = hash(c.configuration)
        least[key] = min(least.get(key, c), c, key=_watts)
        most[key] = max(most.get(key, c), c, key=_watts)
    for key, low in least.items():
        high = most[key]
        if _watts(high) > _CONTRADICTION * _watts(low):
            watts = f"{_watts(low):.1f} W against {_watts(high):.1f} W"
            reason = f"contradicts its repeat {high.run_id}, {high.scenario}: {watts}"
            yield LeftOut(low.run_id, low.scenario, reason)


def _watts(c: Case) -> float:
    return c.targets.get("mean_power_watts", 0.0)


def why_nothing(options: RetrainOptions, report: RetrainReport) -> str:
    if not report.files and not report.skipped:
        return f"{options.results_dir} holds no {RESULT_GLOB}"
    if not report.skipped:
        return "there are only baselines"
    reason, count = Counter(left.reason for left in report.skipped).most_common(1)[0]
    hint = "; give --prometheus-url" if reason == "no power" and options.prometheus is None else ""
    return f"{len(report.skipped)} skipped, {count} because: {reason}{hint}"
