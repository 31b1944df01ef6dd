"""One run as the rows that the page shows."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from msgspec import Struct

from advisor.cost.model import CostModel
from advisor.results import Run, Scenario
from advisor.results.derived import (
    bitrates_kbps,
    duration_seconds,
    energy,
    mean_watts,
    net_energy_joules,
    output_ladder,
    output_seconds,
    stream_count,
    streams_per_output,
    vmaf_mean,
)
from wattframe.report.money import Bill, bills, unpriced

__all__ = ["Row", "efficient", "rows_of"]


class Row(Struct, frozen=True, kw_only=True):
    """One scenario. None is unknown; ``number`` stands for it in the charts."""

    number: int
    scenario: Scenario
    name: str
    encoder: str
    setting: str
    """Preset, threads: what beside the encoder makes the scenario."""
    size: str
    target_kbps: tuple[float, ...]
    reached_kbps: float | None
    seconds: float | None
    video_seconds: float | None
    speed: float | None
    watts: float | None
    tier: str | None
    joules: float | None
    net_joules: float | None
    joules_per_video_second: float | None
    net_joules_per_video_second: float | None
    vmaf: float | None
    psnr: float | None
    bill: Bill | None
    remarks: tuple[str, ...]

    @property
    def is_baseline(self) -> bool:
        """Whether this is the idle run."""
        return self.scenario.type == "baseline"


def rows_of(run: Run, model: CostModel | None = None) -> list[Row]:
    """The scenarios of ``run`` in their order, numbered from 1; the idle run carries 0."""
    priced: Sequence[Bill | None] = bills(run, model) if model else [None] * len(run.scenarios)
    numbers = itertools.accumulate(int(scenario.type != "baseline") for scenario in run.scenarios)
    return [
        _row(scenario, run, 0 if scenario.type == "baseline" else index, bill)
        for scenario, index, bill in zip(run.scenarios, numbers, priced, strict=True)
    ]


def _row(scenario: Scenario, run: Run, index: int, bill: Bill | None) -> Row:
    idle = scenario.type == "baseline"
    used, net, video = energy(scenario), net_energy_joules(scenario, run), output_seconds(scenario)
    joules = used.joules if used else None
    return Row(
        number=index,
        scenario=scenario,
        name=scenario.name,
        encoder=scenario.encoder or ("idle" if idle else "unknown"),
        setting=_setting(scenario),
        size=output_ladder(scenario).replace(",", ", ") or scenario.resolution or "",
        target_kbps=tuple(bitrates_kbps(scenario)),
        reached_kbps=_reached_kbps(scenario),
        seconds=duration_seconds(scenario),
        video_seconds=video,
        speed=scenario.encode.speed if scenario.encode else None,
        watts=mean_watts(scenario),
        tier=used.tier if used else None,
        joules=joules,
        net_joules=None if idle else net,
        joules_per_video_second=joules / video if joules is not None and video else None,
        net_joules_per_video_second=net / video if net is not None and video else None,
        vmaf=vmaf_mean(scenario),
        psnr=scenario.psnr_score,
        bill=bill,
        remarks=(*_remarks(scenario), *(unpriced(bill) if bill and not idle else ())),
    )


def _setting(scenario: Scenario) -> str:
    parts = [scenario.preset, f"crf {scenario.crf:g}" if scenario.crf is not None else None]
    parts += [f"{scenario.threads} threads" if scenario.threads else None]
    parts += [f"{scenario.streams} streams" if (scenario.streams or 1) > 1 else None]
    return ", ".join(part for part in parts if part)


def _reached_kbps(scenario: Scenario) -> float | None:
    """Bitrate of the files, summed over the rungs of a ladder, averaged over streams."""
    sizes = [(o.size_bytes, o.duration) for o in scenario.outputs]
    if not sizes or any(size is None or not seconds for size, seconds in sizes):
        return None
    total = sum(size * 8 / seconds / 1000 for size, seconds in sizes if size is not None and seconds)
    return total * streams_per_output(scenario) / max(stream_count(scenario), 1)


def _remarks(scenario: Scenario) -> tuple[str, ...]:
    remarks = list(scenario.validity)
    if scenario.status != "ok":
        remarks.insert(0, f"{scenario.status}: {scenario.error or 'no reason given'}")
    remarks += [
        f"{o.resolution or 'output'} not scored: {o.quality.reason}"
        for o in scenario.outputs
        if o.quality is not None and o.quality.reason
    ]
    return tuple(remarks)


def efficient(points: list[tuple[float, float, Row]]) -> list[tuple[float, float, Row]]:
    """Of (energy, quality, row), those that no other beats in both: less energy and at least the quality.

    Sorted by energy. Nothing here says that the differences are beyond the noise; the advisor does.
    """
    front: list[tuple[float, float, Row]] = []
    for point in sorted(points, key=lambda p: (p[0], -p[1])):
        if not front or point[1] > front[-1][1]:
            front.append(point)
    return front
