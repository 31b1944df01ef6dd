"""The results folder as the exporters of results, quality and cost see it: the same runs, the same scenarios.

Identity of every scenario series is ``run_id`` and ``scenario``. Of several repeats of one scenario
`advisor.results.derived.published` chooses the one that stands for them, so no two series have the
same identity, and the three exporters join.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from advisor.results import Run, Scenario
from advisor.results.derived import published, repeats
from advisor.results.folder import Broken, ResultStore
from exporters.runtime.collector import Option
from exporters.runtime.logs import logger
from exporters.runtime.options import folder, whole_number

__all__ = ["IDENTITY", "RESULT_OPTIONS", "ResultFolder", "Shown"]

IDENTITY = ("run_id", "scenario")

RESULT_OPTIONS = (
    Option("--results-dir", "RESULTS_DIR", Path("test_results"), folder, "folder of the result files"),
    Option("--runs", "RESULTS_RUNS", 10, whole_number(1, 1_000_000), "newest runs that are published"),
    Option(
        "--max-scenarios",
        "RESULTS_MAX_SCENARIOS",
        10_000,
        whole_number(1, 1_000_000),
        "scenarios that are published; beyond it the oldest runs are dropped",
    ),
)


class Shown(Struct, frozen=True):
    """A run that is published and its scenarios, one a name."""

    run: Run
    scenarios: Sequence[Scenario]
    repeats: Mapping[str, Sequence[Scenario]]
    """Every repeat of each, finished or not, by name."""


class ResultFolder:
    """The newest ``runs`` runs of a folder, as far as ``max_scenarios`` goes.

    Without ``keep_samples`` the series of scenarios whose power block says all are not held in memory: they
    are nearly all of a result file.
    """

    def __init__(
        self, results_dir: Path, *, runs: int, max_scenarios: int, keep_samples: bool = True
    ) -> None:
        self._store = ResultStore(results_dir, keep=_as_read if keep_samples else _without_samples)
        self._folder = results_dir
        self._runs = runs
        self._max_scenarios = max_scenarios
        self._shown: dict[str, Shown] = {}
        self._seen = False
        self.dropped = 0
        """Scenarios of the newest runs that the limit left out."""

    @property
    def broken(self) -> Mapping[str, Broken]:
        """Files that cannot be read, by run id."""
        return self._store.broken

    def refresh(self) -> bool:
        """Look again; whether anything changed since the last look (the first look is a change)."""
        changed = bool(self._store.refresh()) or not self._seen
        if changed:
            self._choose()
        if not (self._seen or self._shown or self.broken):
            logger().info("no results yet", folder=self._folder, expected="test_results_*.json")
        self._seen = True
        return changed

    @property
    def shown(self) -> Mapping[str, Shown]:
        """By run id, oldest first. A run that did not change is the same object as before."""
        return self._shown

    def _choose(self) -> None:
        chosen: dict[str, Shown] = {}
        self.dropped = room = 0
        for run in self._store.newest(self._runs):
            former = self._shown.get(run.run_id)
            shown = (
                former
                if former is not None and former.run is run
                else Shown(run, published(run), repeats(run))
            )
            room += len(shown.scenarios)
            if room > self._max_scenarios:
                self.dropped += len(shown.scenarios)
            else:
                chosen[run.run_id] = shown
        self._shown = dict(reversed(chosen.items()))


def _as_read(run: Run) -> Run:
    return run


def _without_samples(run: Run) -> Run:
    return replace(run, scenarios=tuple(_spare(s) for s in run.scenarios))


def _spare(scenario: Scenario) -> Scenario:
    power = scenario.power
    if power is None or power.total_energy_joules is None or power.mean_watts is None:
        return scenario  # its energy follows from the samples
    return scenario if scenario.samples is None else replace(scenario, samples=None)
