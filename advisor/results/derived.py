"""What follows from one scenario: the quantities that costs, scores, features and exporters share.

Pure functions of `advisor.results.Scenario`. Every one returns ``None`` for unknown.

A machine has parts that draw power: the host, and GPUs where they were measured apart. A figure of the
machine is the sum over its parts, unknown as soon as that of one is. A scenario makes some streams of video;
each output that is listed stands for one of them, or for all.
"""

from __future__ import annotations

import itertools
import math
import re
import statistics
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct, structs

from advisor.results.records import Asked, InputMedia, Output, Power, Run, Scenario, stream_count
from advisor.video.encoders import ALIASES

PowerPart = Literal["power", "gpu_power"]
_UNITS = {"": 1.0, "k": 1.0, "m": 1_000.0, "g": 1_000_000.0}
_BITRATE = re.compile(r"^([0-9]+(?:\.[0-9]+)?) ?(?:([kmg])(?:b(?:it)?(?:ps|/s)?)?)?$", re.IGNORECASE)


def parse_bitrate_kbps(text: str) -> float | None:
    """One bitrate in kbit/s; a bare number is kbit/s already. ``None`` for what is no bitrate.

    >>> parse_bitrate_kbps("2500k"), parse_bitrate_kbps("5M"), parse_bitrate_kbps("800")
    (2500.0, 5000.0, 800.0)
    """
    match = _BITRATE.match(text.strip())
    return None if match is None else float(match[1]) * _UNITS[(match[2] or "").lower()]


def bitrates_kbps(scenario: Scenario) -> list[float]:
    """The bitrates asked for, in kbit/s, one a rung; ``0k`` (an idle run) and unknown ones are left out.

    >>> bitrates_kbps(Scenario(name="ladder", bitrate="1000k,2.5M"))
    [1000.0, 2500.0]
    """
    values = [parse_bitrate_kbps(part) for part in (scenario.bitrate or "").split(",")]
    return [v for v in values if v]


def parse_resolution(text: str | None) -> tuple[int, int] | None:
    """Width and height in pixels of ``1280x720``."""
    if not text:
        return None
    width, _, height = text.partition("x")
    return int(width), int(height)


def duration_seconds(scenario: Scenario) -> float | None:
    """Wall seconds of the measuring window: measured, else end minus start."""
    if scenario.start_time is not None and scenario.end_time is not None and scenario.duration is None:
        return scenario.end_time - scenario.start_time
    return scenario.duration


def _video_seconds(scenario: Scenario) -> float | None:
    """Seconds of video that one stream of the scenario made."""
    durations = [o.duration for o in scenario.outputs if o.duration is not None]
    if durations:
        return max(durations)
    encode, wall = scenario.encode, duration_seconds(scenario)
    if encode is not None and encode.frames is not None and scenario.fps:
        # ffmpeg counts the frames of its first video output, and a process makes each stream of several
        return encode.frames / scenario.fps / (_streams(scenario) if scenario.type == "multi" else 1)
    if encode is not None and encode.speed is not None and wall is not None:
        return wall * encode.speed
    return scenario.video_seconds


def _streams(scenario: Scenario) -> int:
    return max(stream_count(scenario), 1)


def streams_per_output(scenario: Scenario) -> int:
    """How many streams each listed output stands for: 1 where the outputs of all streams are listed."""
    streams = stream_count(scenario)
    return 1 if streams and scenario.outputs and len(scenario.outputs) % streams == 0 else streams


def delivered_frames(scenario: Scenario) -> float | None:
    """Video frames over all outputs and streams."""
    return _delivered(scenario, lambda size: 1)


def delivered_pixels(scenario: Scenario) -> float | None:
    """Pixels over all outputs, streams and frames: width x height x frames, summed."""
    return _delivered(scenario, lambda size: size and math.prod(size))


def _delivered(scenario: Scenario, of_frame: Callable[[tuple[int, int] | None], int | None]) -> float | None:
    """The sum over the frames of all outputs; without any of known size, of what the scenario describes."""
    if scenario.type == "baseline":
        return None
    total = 0.0
    for output in [o for o in scenario.outputs if o.resolution or scenario.resolution] or [Output()]:
        frames: float | None = output.frames
        fps, seconds = output.fps or scenario.fps, output.duration
        seconds = _video_seconds(scenario) if seconds is None else seconds
        if frames is None and fps is not None and seconds is not None:
            frames = fps * seconds
        each = of_frame(parse_resolution(output.resolution or scenario.resolution))
        if frames is None or each is None:
            return None
        total += frames * each
    return total * streams_per_output(scenario) or None


def output_seconds(scenario: Scenario) -> float | None:
    """Seconds of video delivered, summed over streams; the rungs of a ladder are the same second once."""
    if scenario.type == "baseline":
        return None
    durations = [o.duration for o in scenario.outputs if o.duration is not None]
    if scenario.type == "multi" and durations and len(durations) == len(scenario.outputs):
        copies = streams_per_output(scenario)
        rungs = max(len(durations) * copies // _streams(scenario), 1)
        return sum(durations) * copies / rungs or None
    return (_video_seconds(scenario) or 0.0) * _streams(scenario) or None


def delivered_megabits(scenario: Scenario) -> float | None:
    """Megabits delivered over all outputs and streams: by file size, else the bitrate asked for x time.

    >>> delivered_megabits(Scenario(name="a", bitrate="2500k", video_seconds=60.0))
    150.0
    """
    megabits, rates, seconds = _megabits_of_files(scenario), bitrates_kbps(scenario), output_seconds(scenario)
    return megabits or (sum(rates) * seconds / 1000 if rates and seconds else None)


def _megabits_of_files(scenario: Scenario) -> float | None:
    """By the sizes of all outputs, where they are known."""
    sizes = [output.size_bytes for output in scenario.outputs]
    if scenario.type == "baseline" or not sizes or not all(sizes):
        return None
    return sum(size or 0 for size in sizes) * 8 * streams_per_output(scenario) / 1e6 or None


def reached_kbps(scenario: Scenario) -> float | None:
    """Bitrate of the files, summed over the rungs of a ladder, averaged over streams."""
    megabits, seconds = _megabits_of_files(scenario), output_seconds(scenario)
    return megabits * 1000 / seconds if megabits and seconds else None


def delivered_kbps(scenario: Scenario) -> float | None:
    """Bitrate that a viewer receives, in kbit/s: as reached, else as asked for; None for a ladder.

    Which rung of a ladder viewers take is not known.
    """
    rungs = {(o.resolution, o.bitrate) for o in scenario.outputs}
    asked = bitrates_kbps(scenario)
    if len(rungs) > 1 or len(asked) > 1:
        return None
    return reached_kbps(scenario) or next(iter(asked), None)


def stream_hours_per_hour(scenario: Scenario) -> float | None:
    """Hours of video, over all streams, that an hour of wall time makes."""
    video, wall = output_seconds(scenario), duration_seconds(scenario)
    return video / wall if video and wall else None


def watch_hours(scenario: Scenario, viewers: int | float) -> float | None:
    """Hours watched when each of ``viewers`` sees one stream's video once."""
    seconds = output_seconds(scenario)
    return None if seconds is None else viewers * seconds / max(stream_count(scenario), 1) / 3600


def output_ladder(scenario: Scenario) -> str:
    """The rungs as one label value: ``640x360@800k,1280x720@2500k``; empty for a single output."""
    if len(scenario.outputs) < 2:
        return ""
    rungs = [f"{o.resolution or '?'}@{o.bitrate or '?'}" for o in scenario.outputs]
    return ",".join(dict.fromkeys(rungs))


class EnergyUsed(Struct, frozen=True):
    """Energy of one scenario's equipment, before the building's share, and where it comes from."""

    joules: float
    tier: str | None
    """``measured`` or ``modelled``; modelled as soon as a part is."""
    basis: str
    """``counter`` (the power block's total), ``samples`` (trapezoid) or ``mean_power`` (mean x duration)."""
    covered_seconds: float | None = None
    """Seconds that the joules stand for: the window, or the samples' span less its gaps."""
    gap_seconds: float = 0.0
    """Seconds of the window without samples: gaps between them that were not bridged, and ends that they do
    not reach."""
    gpu_joules: float | None = None
    """The part of ``joules`` that GPUs used, where it was measured apart."""
    uncertainty_ratio: float | None = None
    """Half-width of the host's joules as their source states it, as a ratio."""


Line = tuple[float, float, float, float]
"""From one sample to the next: start, end, value at the start, value at the end."""


def bridged_spans(timestamps: Sequence[float], values: Sequence[float | None]) -> tuple[list[Line], float]:
    """The straight lines between samples, and the seconds left out in gaps.

    A gap longer than twice the usual (median) step is not bridged; neither is a missing value's neighbourhood
    beyond that. Points are taken in the order of time; of two at one instant the later one counts.

    >>> bridged_spans([0, 1, 2, 3, 13], [100, None, 200, 200, 180])
    ([(0, 2, 100, 200), (2, 3, 200, 200)], 10.0)
    """
    points = sorted({t: v for t, v in zip(timestamps, values, strict=False) if v is not None}.items())
    lines = [(a, b, before, after) for (a, before), (b, after) in itertools.pairwise(points)]
    steps = sorted(b - a for a, b, _, _ in lines)
    limit = 2 * steps[len(steps) // 2] * (1 + 1e-9) if steps else 0.0
    return [line for line in lines if line[1] - line[0] <= limit], sum((s for s in steps if s > limit), 0.0)


def area(lines: Iterable[Line]) -> float:
    """The integral under the lines (trapezoids).

    >>> lines, gap_seconds = bridged_spans([0, 10, 20, 30, 40], [100, 150, 200, 180, 120])
    >>> area(lines), gap_seconds
    (6400.0, 0.0)
    """
    return sum((end - start) * (before + after) / 2 for start, end, before, after in lines)


def energy(scenario: Scenario) -> EnergyUsed | None:
    """Energy of the host and its GPUs over the window; None where that of either is unknown.

    The counters' totals, else the trapezoid over samples (of the host), else mean power x time.

    >>> energy(Scenario(name="a", duration=60.0, power=Power(mean_watts=100.0, tier="measured"))).joules
    6000.0
    """
    host, gpu = _drawn(scenario, "power"), _drawn(scenario, "gpu_power")
    if host is None or "gpu_power" not in _parts(scenario):
        return host
    if gpu is None:
        return None
    tier = "modelled" if gpu.tier == "modelled" else host.tier
    return structs.replace(host, joules=host.joules + gpu.joules, gpu_joules=gpu.joules, tier=tier)


def _parts(scenario: Scenario) -> Sequence[PowerPart]:
    """The parts of the machine whose figures add up: the host, and GPUs that were measured apart."""
    host, gpus = scenario.power, scenario.gpu_power
    apart = gpus is not None and not (host is not None and host.includes_gpus)
    told = gpus is not None and (gpus.total_energy_joules is not None or gpus.mean_watts is not None)
    return ("power", "gpu_power") if apart and told else ("power",)


def _of_machine(scenario: Scenario, figure: Callable[[Scenario, PowerPart], float | None]) -> float | None:
    """The sum of a figure over the parts of the machine; None as soon as one is unknown."""
    figures = [figure(scenario, part) for part in _parts(scenario)]
    known = [value for value in figures if value is not None]
    return sum(known) if len(known) == len(figures) else None


def _drawn(scenario: Scenario, part: PowerPart) -> EnergyUsed | None:
    """What one part of the machine was seen to use."""
    power: Power | None = getattr(scenario, part)
    samples = scenario.samples if part == "power" else None
    tier, uncertainty = (power.tier, power.uncertainty_ratio) if power is not None else (None, None)
    seconds = duration_seconds(scenario)
    if power is not None and power.total_energy_joules is not None:
        return EnergyUsed(power.total_energy_joules, tier, "counter", seconds, uncertainty_ratio=uncertainty)
    spans, gap = bridged_spans(samples.timestamps, samples.power_watts) if samples is not None else ([], 0.0)
    if spans:
        steps = [end - start for start, end, _, _ in spans]
        # samples begin and end within a step of the window; a series that broke off lacks more than two
        unseen = (seconds or 0.0) - sum(steps) - gap
        gap += unseen if unseen > 2 * statistics.median(steps) else 0.0
        return EnergyUsed(area(spans), tier, "samples", sum(steps), gap, uncertainty_ratio=uncertainty)
    if power is not None and power.mean_watts is not None and seconds:
        joules = power.mean_watts * seconds
        return EnergyUsed(joules, tier, "mean_power", seconds, uncertainty_ratio=uncertainty)
    return None


def _mean_watts(scenario: Scenario, part: PowerPart) -> float | None:
    power: Power | None = getattr(scenario, part)
    if power is not None and power.mean_watts is not None:
        return power.mean_watts
    drawn = _drawn(scenario, part)
    return drawn.joules / drawn.covered_seconds if drawn is not None and drawn.covered_seconds else None


def _over_window(scenario: Scenario, part: PowerPart) -> tuple[float | None, float | None]:
    """Joules, and the seconds that they stand for; in a gap the mean of what was seen was drawn."""
    drawn, watts = _drawn(scenario, part), _mean_watts(scenario, part)
    if drawn is None or watts is None or not drawn.gap_seconds:
        return (None, None) if drawn is None else (drawn.joules, drawn.covered_seconds)
    seconds = duration_seconds(scenario) or (drawn.covered_seconds or 0.0) + drawn.gap_seconds
    return watts * seconds, seconds


def window_energy_joules(scenario: Scenario) -> float | None:
    """Joules of the whole window; gaps in the samples are taken to have drawn the mean of what was seen."""
    return _of_machine(scenario, lambda s, part: _over_window(s, part)[0])


def joules_per_video_second(scenario: Scenario) -> float | None:
    """Joules of the machine for each second of video, over all streams and the whole window."""
    joules, seconds = window_energy_joules(scenario), output_seconds(scenario)
    return joules / seconds if joules is not None and seconds else None


def lacks_gpu_energy(scenario: Scenario) -> bool:
    """Whether a GPU encoded whose joules nobody measured apart; those of one in the processor are its own.

    >>> lacks_gpu_energy(Scenario(name="a", encoder_type="gpu", power=Power(mean_watts=40.0)))
    True
    """
    includes = scenario.power is not None and scenario.power.includes_gpus
    apart = "gpu_power" in _parts(scenario) and _drawn(scenario, "gpu_power") is not None
    return scenario.encoder_type == "gpu" and not includes and not apart


def lacks_board_energy(scenario: Scenario) -> bool:
    """Whether the joules are too few for sure: NVENC, of which no processor holds the energy."""
    return lacks_gpu_energy(scenario) and (scenario.encoder or "").endswith("_nvenc")


def core_seconds(scenario: Scenario) -> float | None:
    """CPU time: as measured, else the trapezoid over the samples of cores in use."""
    samples = scenario.samples
    if scenario.cpu_seconds is not None or samples is None or not samples.cpu_usage_cores:
        return scenario.cpu_seconds
    spans, _ = bridged_spans(samples.timestamps, samples.cpu_usage_cores)
    return area(spans) if spans else None


def mean_watts(scenario: Scenario) -> float | None:
    """Mean power of the host and its GPUs over the window; None where that of either is unknown."""
    return _of_machine(scenario, _mean_watts)


def host_mean_watts(scenario: Scenario) -> float | None:
    """Mean power without GPUs: as measured, else energy over the seconds that it covers."""
    return _mean_watts(scenario, "power")


def contradiction(scenario: Scenario) -> str | None:
    """Why the counters' joules are not the mean watts over the window: a unit is wrong, or some were lost."""
    used, watts, seconds = energy(scenario), mean_watts(scenario), duration_seconds(scenario)
    if used is None or used.basis != "counter" or watts is None or not seconds:
        return None
    # earlier suites wrote the seconds of video that were asked for, and both times
    start, end = scenario.start_time or 0.0, scenario.end_time or 0.0
    if any(0.8 * watts * t <= used.joules <= 1.25 * watts * t for t in (seconds, (end - start) or seconds)):
        return None
    return f"contradicts itself: {used.joules:g} J in {seconds:g} s are not {watts:g} W on average"


def validity_of(scenario: Scenario) -> list[str]:
    """Why its figures are not to be compared: its ``validity``, and energy that is not that of its power."""
    return [*scenario.validity, *(["energy contradicts power"] if contradiction(scenario) else [])]


def idle_watts(scenario: Scenario, run: Run | None = None) -> float | None:
    """Idle power to subtract: the scenario's own, else the mean of the run's baseline of the same tier.

    None where the run has baselines of which none is valid: the scenario's own figure came from them.
    With GPUs that told their power it holds theirs too, and is None where that is unknown.
    """
    return _of_machine(scenario, lambda s, part: _idle_watts(s, part, run))


def _idle_watts(scenario: Scenario, part: PowerPart, run: Run | None) -> float | None:
    power: Power | None = getattr(scenario, part)
    if _idle_is_spoilt(run):
        return None
    if power is not None and power.idle_watts is not None:
        return power.idle_watts
    baseline = run.baseline if run is not None else None
    idle: Power | None = getattr(baseline, part, None)
    if baseline is None or part not in _parts(baseline) or (idle and idle.tier) != (power and power.tier):
        return None  # what is modelled less what is measured would be neither
    return _mean_watts(baseline, part)


def _idle_is_spoilt(run: Run | None) -> bool:
    """Whether the run measured idle power, and never undisturbed."""
    return run is not None and bool(run.baselines) and run.baseline is None


def net_watts(scenario: Scenario, run: Run | None = None) -> float | None:
    """Mean power above idle."""
    mean, idle = mean_watts(scenario), idle_watts(scenario, run)
    return None if mean is None or idle is None else mean - idle


def net_energy_joules(scenario: Scenario, run: Run | None = None) -> float | None:
    """Energy above idle over the window."""
    return _of_machine(scenario, lambda s, part: _net_joules(s, part, run))


def _net_joules(scenario: Scenario, part: PowerPart, run: Run | None) -> float | None:
    power: Power | None = getattr(scenario, part)
    if power is not None and power.net_energy_joules is not None and not _idle_is_spoilt(run):
        return power.net_energy_joules
    (joules, seconds), idle = _over_window(scenario, part), _idle_watts(scenario, part, run)
    return None if joules is None or idle is None or seconds is None else joules - idle * seconds


def vmaf_mean(scenario: Scenario) -> float | None:
    """The scenario's VMAF: its own score, else the mean over its scored outputs.

    ``None`` as soon as one output was measured and found unaligned.
    """
    if scenario.vmaf_score is not None:
        return scenario.vmaf_score
    qualities = [o.quality for o in scenario.outputs if o.quality is not None]
    scores = [q.vmaf.mean for q in qualities if q.vmaf is not None]
    return sum(scores) / len(scores) if scores and len(scores) == len(qualities) else None


def machine_of(run: Run) -> str:
    """The machine that the run was measured on, ``unknown`` where the file does not say."""
    return (run.host.hardware_id if run.host else None) or "unknown"


def repeats(run: Run) -> dict[str, list[Scenario]]:
    """The scenarios of ``run`` by name, each list being measurements of one thing.

    The first scenario of a name that finished decides what the name means; one that finished with other
    settings is no repeat of it and is left out.
    """
    meanings: dict[str, tuple[object, ...]] = {}
    groups: dict[str, list[Scenario]] = {}
    for scenario in run.scenarios:
        group = groups.setdefault(scenario.name, [])
        settings = settings_of(scenario)
        if scenario.status != "ok" or meanings.setdefault(scenario.name, settings) == settings:
            group.append(scenario)
    return groups


def identity_of(scenario: Scenario, run: Run) -> int | None:
    """Equal for copies of one measurement, also scored or enriched since; None without a time of its own."""
    s = scenario
    if s.start_time is None:
        return None
    return hash((machine_of(run), s.name, s.repeat, s.start_time, s.duration, settings_of(s)))


def without_copies(runs: Sequence[Run], notes: list[str]) -> list[Run]:
    """The runs without what one before them holds too: a file that was copied measured nothing again.

    Idle scenarios stay beside those that were measured after them. What was left out is added to ``notes``.
    """
    seen: set[int] = set()
    unique: list[Run] = []
    for run in runs:
        identities = [None if s.type == "baseline" else identity_of(s, run) for s in run.scenarios]
        kept = [s for s, identity in zip(run.scenarios, identities, strict=True) if identity not in seen]
        seen.update(identity for identity in identities if identity is not None)
        copies = len(run.scenarios) - len(kept)
        if copies:
            notes.append(f"left out of {run.run_id}: {copies} measured in a file before it")
        unique.append(structs.replace(run, scenarios=tuple(kept)) if copies else run)
    return unique


def published(run: Run) -> list[Scenario]:
    """One scenario a name, in the run's order, so that run id and name identify a series.

    Of several repeats it is the one of median energy (the lower of the two in the middle): a real
    measurement, whose energy, time, outputs and quality belong together. Finished repeats go before
    failed ones, and trustworthy ones (no ``validity`` reasons) before others. The scenario returned may have
    failed (``status``): callers decide what they say of it.

    >>> run = Run(run_id="r", scenarios=tuple(
    ...     Scenario(name="a", repeat=i + 1, power=Power(total_energy_joules=joules))
    ...     for i, joules in enumerate([90.0, 70.0, 80.0])))
    >>> [s.repeat for s in published(run)]
    [3]
    """
    return [group[0] if len(group) == 1 else _representative(group) for group in repeats(run).values()]


def trusted(scenarios: Sequence[Scenario]) -> list[Scenario]:
    """Those whose figures are beyond doubt; all where none is."""
    return [s for s in scenarios if not validity_of(s)] or list(scenarios)


def _representative(group: Sequence[Scenario]) -> Scenario:
    finished = [s for s in group if s.status == "ok"]
    candidates = trusted(finished) or list(group)
    joules = sorted((used.joules, i) for i, s in enumerate(candidates) if (used := energy(s)) is not None)
    return candidates[joules[(len(joules) - 1) // 2][1]] if joules else candidates[0]


def is_realtime(scenario: Scenario) -> bool | None:
    """Whether it was a live encode; files of earlier versions have that in the command alone."""
    if scenario.realtime is not None or scenario.command is None:
        return scenario.realtime
    return "-re" in scenario.command


def settings_of(scenario: Scenario, *, but: Collection[str] = ()) -> tuple[object, ...]:
    """What the scenario was asked, without those named in ``but``; equal for repeats, however written."""
    settings = {
        **{name: getattr(scenario, name) for name in (*Asked.__struct_fields__, "resolution")},
        "encoder": ALIASES.get(scenario.encoder or "", scenario.encoder),
        "bitrate": tuple(parse_bitrate_kbps(rate) or rate for rate in (scenario.bitrate or "").split(",")),
        "fps": scenario.fps and f"{scenario.fps:.4g}",
        "passes": scenario.passes or 1,
        "filters": scenario.filters or None,
        "realtime": is_realtime(scenario) or False,
        "encoder_options": tuple(sorted(scenario.encoder_options.items())),
        "streams": stream_count(scenario),
        "input": video_of(scenario),
    }
    return tuple(settings[name] for name in settings if name not in ("name", "repeat", *but))


def video_of(scenario: Scenario) -> tuple[object, ...] | None:
    """Equal for one input, wherever it lies: films in several folders are called ``input.mp4``."""
    source = scenario.input
    if source is None:
        return None
    seconds = None if source.duration is None else round(source.duration)
    return source.name or source.path, source.width, source.height, seconds


def video_in_words(scenario: Scenario) -> str | None:
    """The input by all that tells it from others, as far as that is known; None without a name.

    >>> video_in_words(Scenario(name="a", input=InputMedia(name="b", width=640, height=360, duration=9.7)))
    'b 640x360 10 s'
    """
    name, *size, seconds = video_of(scenario) or (None, None)
    words = (name, "x".join(str(side) for side in size if side), seconds and f"{seconds} s")
    return " ".join(str(word) for word in words if word) if name else None


def with_whole_inputs(runs: Sequence[Run]) -> list[Run]:
    """The runs with every input as fully known as any of them knows it.

    One tool names a film, another also says its size and length: it is one video, where all of that name that
    may be this one agree.

    >>> film = InputMedia(name="film.mp4", width=1280, height=720, duration=60.0)
    >>> named = Scenario(name="a", input=InputMedia(name="film.mp4"))
    >>> (run,) = with_whole_inputs([Run(run_id="r", scenarios=(named, Scenario(name="b", input=film)))])
    >>> run.scenarios[0].input.duration
    60.0
    """
    inputs = {
        video: s.input
        for run in runs
        for s in run.scenarios
        if s.input and (video := video_of(s)) is not None
    }
    whole: dict[object, InputMedia] = {}
    for video in (video for video in inputs if None in video):
        alike = [other for other in inputs if _agrees(video, other)]
        fullest = min(alike, key=lambda other: other.count(None))
        if fullest != video and all(_agrees(other, fullest) for other in alike):
            whole[video] = inputs[fullest]
    return [
        structs.replace(run, scenarios=tuple(_with_whole_input(s, whole) for s in run.scenarios))
        if any(video_of(s) in whole for s in run.scenarios)
        else run
        for run in runs
    ]


def _with_whole_input(s: Scenario, whole: Mapping[object, InputMedia]) -> Scenario:
    known = whole.get(video_of(s))
    if s.input is None or known is None:
        return s
    size = {"width": known.width, "height": known.height, "duration": known.duration}
    return structs.replace(s, input=structs.replace(s.input, **size))


def _agrees(video: tuple[object, ...], other: tuple[object, ...]) -> bool:
    """Whether all that is known of the one holds of the other."""
    return all(ours in (None, theirs) for ours, theirs in zip(video, other, strict=True))


def asked_besides(scenario: Scenario) -> dict[str, str]:
    """What was asked besides encoder, preset, quality and size, by ffmpeg's names; without what is usual."""
    asked = {
        "pix_fmt": None if scenario.pixel_format == "yuv420p" else scenario.pixel_format,
        "passes": None if scenario.passes in (None, 1) else str(scenario.passes),
        "filters": scenario.filters or None,
        "hwaccel": scenario.hardware_decoding,
        "realtime": "yes" if is_realtime(scenario) else None,
        **scenario.encoder_options,
    }
    return {name: value for name, value in asked.items() if value is not None}
