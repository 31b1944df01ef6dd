"""What the user sees: progress on stderr while it runs, a table on stdout when it is done."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from advisor.common.statistics import Summary, summarise
from advisor.results import Run, Scenario
from advisor.results.derived import energy, mean_watts, net_energy_joules, vmaf_mean, window_energy_joules
from runner.jobs import Job
from runner.measure import Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

_MEASURES: dict[str, Callable[[Scenario, Run], float | None]] = {
    "duration_seconds": lambda s, _: s.duration,
    "mean_watts": lambda s, _: mean_watts(s),
    "energy_joules": lambda s, _: window_energy_joules(s),
    "net_energy_joules": net_energy_joules,
    "cpu_seconds": lambda s, _: s.cpu_seconds,
    "speed": lambda s, _: s.encode.speed if s.encode else None,
    "vmaf": lambda s, _: vmaf_mean(s),
}


class Display:
    """Two bars on a terminal, one line a scenario elsewhere, nothing when quiet; all on stderr.

    ``seconds`` are the longest times of the scenarios in their order. The upper bar is the run's, with the
    time that is left if the rest goes as what is done did; or with what is left of ``limit_seconds``, for a
    run of which nobody knows how many scenarios it will have.
    """

    def __init__(self, seconds: Sequence[float], *, quiet: bool, limit_seconds: float | None = None) -> None:
        self._limit = limit_seconds
        self._quiet = quiet
        self._lengths = seconds
        self._begun = 0
        self._name = ""
        self._draws = not quiet and sys.stderr.isatty()
        self._bar = _bar(draws=self._draws)
        self._run = self._bar.add_task("whole run", total=limit_seconds or sum(seconds) or None)
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._draws:  # rich 14 ends a bar that was never drawn with an empty line
            self._bar.stop()

    def begin(self, job: Job) -> None:
        """The scenario that runs now."""
        self._begun += 1
        again = f" (repeat {job.repeat})" if job.repeat > 1 else ""
        of_all = f"/{len(self._lengths)}" if self._lengths else ""
        length = job.duration_seconds if self._limit is None else None
        self._show(f"{self._begun}{of_all} {job.name}{again}", length)
        self._run_until(0.0)

    def phase(self, text: str) -> None:
        """Work after the scenarios."""
        self._show(text, None)
        if self._limit is None:
            self._bar.update(self._run, visible=False)

    def _show(self, text: str, seconds: float | None) -> None:
        self._name = text
        self._bar.reset(self._task, total=seconds, description=_plain(text))
        self._bar.refresh()

    def _run_until(self, elapsed_seconds: float) -> None:
        """Move the run's bar to ``elapsed_seconds`` of the scenario that was begun last."""
        spent = self._bar.tasks[self._run].elapsed or 0.0
        left: float | None
        if self._limit is not None:
            done, left = spent, max(0.0, self._limit - spent)
        else:
            lengths = self._lengths[: self._begun]
            done = sum(lengths[:-1]) + min([elapsed_seconds, *lengths[-1:]])
            left = spent * (sum(self._lengths) - done) / done if done else None
        self._bar.update(self._run, completed=done, description=_whole_run(left))

    def notice(self, progress: Progress) -> None:
        """Called at every sample; redraws no more often than that."""
        text = f"{self._name}, {progress.frames} frames" if progress.frames else self._name
        self._bar.update(self._task, completed=progress.elapsed_seconds, description=_plain(text))
        self._run_until(progress.elapsed_seconds)
        self._bar.refresh()

    def advance(self, done: int, total: int) -> None:
        """How far a phase is."""
        self._bar.update(self._task, completed=done, total=total)
        self._bar.refresh()

    def end(self, scenario: Scenario) -> None:
        """What became of the scenario, in a line."""
        self.say(f"{self._name}: {outcome(scenario)}")

    def say(self, text: str) -> None:
        """One line that stays."""
        if self._draws:
            self._bar.console.print(_plain(text), highlight=False, soft_wrap=True)
        elif not self._quiet:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()


def _whole_run(seconds_left: float | None) -> str:
    """
    >>> _whole_run(None), _whole_run(42.4), _whole_run(200.0)
    ('whole run', 'whole run, 42 s left', 'whole run, 3 min left')
    """
    if seconds_left is None:
        return "whole run"
    left = f"{seconds_left:.0f} s" if seconds_left < 90 else f"{seconds_left / 60:.0f} min"
    return f"whole run, {left} left"


def _plain(text: str) -> Any:
    from rich.text import Text  # names may hold what rich takes for markup

    return text if not text.count("[") else Text(text).markup


def _bar(*, draws: bool) -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    # drawn at each sample and not by a thread of its own: the runner must not load what it measures
    return Bar(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        auto_refresh=False,
        disable=not draws,
    )


def outcome(scenario: Scenario) -> str:
    """One line on one scenario.

    >>> outcome(Scenario(name="a", status="failed", error="ffmpeg ended with code 8"))
    'failed: ffmpeg ended with code 8'
    """
    if scenario.status != "ok":
        return f"{scenario.status}: {scenario.error}"
    parts = [] if scenario.duration is None else [f"{scenario.duration:.1f} s"]
    used, watts, joules = energy(scenario), mean_watts(scenario), window_energy_joules(scenario)
    if used is None or watts is None or joules is None:
        parts.append("energy unknown")
    else:
        parts += [f"{watts:.1f} W {used.tier}", f"{joules:.0f} J"]
    if scenario.encode is not None and scenario.encode.speed is not None:
        parts.append(f"{scenario.encode.speed:.2f}x")
    if scenario.validity:
        parts.append(f"not valid: {', '.join(scenario.validity)}")
    return ", ".join(parts)


class ConfigurationRow(Struct, frozen=True):
    """One configuration of a run, over its finished repeats."""

    scenario: str
    finished: int
    valid: int
    measures: dict[str, Summary | None]


def rows(run: Run) -> list[ConfigurationRow]:
    """The run's configurations in the order in which they first ran."""
    names = dict.fromkeys(s.name for s in run.scenarios)
    return [_row(name, run) for name in names]


def _row(name: str, run: Run) -> ConfigurationRow:
    finished = [s for s in run.scenarios if s.name == name and s.status == "ok"]
    measures = {
        key: summarise([value for s in finished if (value := measure(s, run)) is not None])
        for key, measure in _MEASURES.items()
    }
    return ConfigurationRow(name, len(finished), sum(not s.validity for s in finished), measures)


_HEADS = ("scenario", "n", "valid", "s", "W", "J", "net J", "CPU s", "speed", "VMAF")


def summary_table(run: Run) -> str:
    """Means with the 95 % interval where a configuration was repeated; empty cells are unknown."""
    lines = [list(_HEADS)]
    for row in rows(run):
        cells = [_cell(summary) for summary in row.measures.values()]
        lines.append([row.scenario, str(row.finished), str(row.valid), *cells])
    widths = [max(len(line[i]) for line in lines) for i in range(len(_HEADS))]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    )


def _cell(summary: Summary | None) -> str:
    if summary is None:
        return ""
    digits = 0 if abs(summary.mean) >= 1000 else 1 if abs(summary.mean) >= 10 else 2
    interval = "" if summary.half_width is None else f" +-{summary.half_width:.{digits}f}"
    return f"{summary.mean:.{digits}f}{interval}"
