"""The results folder as the exporters of results, quality and cost see it: the same runs, the same scenarios.

Identity of every scenario series is ``run_id`` and ``scenario``. Of several repeats of one scenario
`advisor.scenario.published` chooses the one that stands for them, so no two series have the same identity,
and the three exporters join.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from advisor.results import Run, Scenario
from advisor.scenario import published, repeats
from advisor.store import Broken, ResultStore
from exporters.runtime.collector import Option
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
    """The newest ``runs`` runs of a folder, as far as ``max_scenarios`` goes."""

    def __init__(self, results_dir: Path, *, runs: int, max_scenarios: int) -> None:
        self._store = ResultStore(results_dir)
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
        self._seen = True
        if changed:
            self._choose()
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
