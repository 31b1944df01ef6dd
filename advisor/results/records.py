"""Result files: what a test run measured, on disk.

One file holds one run: ``test_results_YYYYMMDD_HHMMSS.json``. The structs below are the schema (version 1);
`read_run` also takes the files of earlier suites and turns them into the same structs, so nothing downstream
knows that other formats exist. `write_run` replaces a file atomically, so that a crash at any moment leaves
either the former or the new content.

Times are Unix seconds, energies joules, powers watts. ``None`` means unknown, never zero.
"""

from __future__ import annotations

import datetime
import inspect
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from advisor.common.atomic import write_atomically

if TYPE_CHECKING:
    from pandas import DataFrame

SCHEMA_VERSION = 1
RESULT_GLOB = "test_results_*.json"
_LARGEST_WHOLE = 1 << 53
_STREAMS = re.compile(r"(?<![\d.,])(\d{1,6})[ _-]*streams?\b", re.IGNORECASE)

Positive = Annotated[float, Meta(gt=0)]
NonNegative = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0, le=_LARGEST_WHOLE)]
Score = Annotated[float, Meta(ge=0, le=100)]
Label = Annotated[str, Meta(max_length=1000)]
"""Text that becomes a label, of every series of its scenario."""
RESOLUTION_PATTERN = r"^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}$"
Resolution = Annotated[str, Meta(pattern=RESOLUTION_PATTERN)]


class _Record(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Base of all records: frozen, keyword only."""


class Vmaf(_Record, frozen=True, kw_only=True):
    """VMAF pooled over the frames of one output, 0-100."""

    mean: Score
    harmonic_mean: Score | None = None
    min: Score | None = None
    p1: Score | None = None
    p5: Score | None = None
    model: Label | None = None


class Psnr(_Record, frozen=True, kw_only=True):
    """PSNR of the mean squared error, in decibels, capped (60 dB at 8 bit, 72 dB at 10 bit)."""

    average: float
    y: float | None = None


class Ssim(_Record, frozen=True, kw_only=True):
    """Structural similarity as a ratio; 1 is identical."""

    all: float
    y: float | None = None


class Quality(_Record, frozen=True, kw_only=True):
    """How one output compares to its reference. Scores are None when the pair is not aligned."""

    aligned: bool | None = None
    reason: Label | None = None
    frames: Count | None = None
    comparison_height_pixels: Count | None = None
    vmaf: Vmaf | None = None
    psnr_decibels: Psnr | None = None
    lossless: bool = False
    ssim_ratio: Ssim | None = None
    xpsnr_decibels: float | None = None
    computation_seconds: NonNegative | None = None
    vmaf_extra: Annotated[dict[str, Vmaf], Meta(max_length=100)] = {}
    """Scores by further models, by the model's name."""
    libvmaf_version: Label | None = None
    notes: list[str] = []
    """What a reader should know of an aligned pair, for instance frames that were dropped."""
    metrics: Annotated[dict[str, float], Meta(max_length=100)] = {}
    """Means of further metrics by name: ``ms_ssim``, ``vif`` (ratios), ``cambi``."""
    crop: Annotated[dict[str, str], Meta(max_length=2)] | None = None
    """What was compared of ``reference`` and ``output`` as ``W:H:X:Y``; None: the whole pictures."""
    offset_seconds: float | None = None
    """Of the reference before the output begins; negative where the output has more in front."""
    reference: str | None = None
    distorted: str | None = None


class Output(_Record, frozen=True, kw_only=True):
    """One encoded rendition of a scenario."""

    resolution: Resolution | None = None
    fps: Positive | None = None
    bitrate: Label | None = None
    """The bitrate asked for, as written (``2500k``); what was reached follows from size and duration."""
    path: str | None = None
    size_bytes: Count | None = None
    frames: Count | None = None
    duration: NonNegative | None = None
    """Seconds of video in this output."""
    quality: Quality | None = None


class InputMedia(_Record, frozen=True, kw_only=True):
    """The source that was transcoded."""

    path: str | None = None
    name: str | None = None
    width: Count | None = None
    height: Count | None = None
    fps: Positive | None = None
    duration: NonNegative | None = None
    frames: Count | None = None
    loops: Annotated[int, Meta(ge=-1, le=_LARGEST_WHOLE)] | None = None
    """How often the input is repeated after its first time, as ffmpeg's ``-stream_loop``; -1 without end."""


class Power(_Record, frozen=True, kw_only=True):
    """Power and energy of one scenario's measuring window.

    ``total_energy_joules`` is the host's energy over the window (packages plus dram, each once);
    ``net_energy_joules`` is what remains above ``idle_watts``; ``process_energy_joules`` is the share of the
    active energy that went to the encoder's process tree, by CPU time.
    """

    source: str | None = None
    """``powercap``, ``hwmon``, ``redfish``, ``estimate``, ``nvml``, ``prometheus`` or what an earlier suite
    named."""
    tier: Literal["measured", "modelled"] | None = None
    mean_watts: NonNegative | None = None
    median_watts: NonNegative | None = None
    min_watts: NonNegative | None = None
    max_watts: NonNegative | None = None
    stdev_watts: NonNegative | None = None
    total_energy_joules: NonNegative | None = None
    idle_watts: NonNegative | None = None
    net_energy_joules: float | None = None
    process_energy_joules: NonNegative | None = None
    uncertainty_ratio: NonNegative | None = None
    """Half-width of the source's own uncertainty, as a ratio of the mean; modelled sources state it."""
    domains: dict[str, NonNegative] = {}
    """Joules per zone, for instance ``{"package_0": 512.5, "dram_0": 40.1}``."""
    includes_gpus: bool = False
    """Whether the host's joules hold those of its GPUs: a meter of the whole machine told them."""


class Samples(_Record, frozen=True, kw_only=True):
    """Series over the measuring window; all lists that are not empty are as long as ``timestamps``."""

    timestamps: list[float] = []
    power_watts: list[NonNegative | None] = []
    cpu_usage_cores: list[NonNegative | None] = []
    gpu_usage: list[NonNegative | None] = []


class EncodeStats(_Record, frozen=True, kw_only=True):
    """What ffmpeg said of its own progress."""

    fps: NonNegative | None = None
    speed: NonNegative | None = None
    """Seconds of video encoded per second of wall time; 1 is real time."""
    frames: Count | None = None
    dropped_frames: Count | None = None
    duplicated_frames: Count | None = None


class Asked(_Record, frozen=True, kw_only=True):
    """What a scenario is asked to do, as far as it does not follow from its input."""

    name: Label
    type: Literal["baseline", "single", "multi"] = "single"
    repeat: Annotated[int, Meta(ge=1, le=_LARGEST_WHOLE)] = 1
    bitrate: Label | None = None
    crf: NonNegative | None = None
    encoder: Label | None = None
    """ffmpeg's name of the encoder, for instance ``libx264``."""
    encoder_type: Literal["cpu", "gpu"] = "cpu"
    preset: Label | None = None
    threads: Count | None = None
    viewers: Count | None = None
    filters: Label | None = None
    """ffmpeg filters before the encode, beside a change of size or rate."""
    pixel_format: Label | None = None
    """Asked of the encode, for instance ``yuv420p10le``."""
    encoder_options: Annotated[dict[Label, Label], Meta(max_length=100)] = {}
    """Further options of the encoder, by ffmpeg's names."""
    passes: Count | None = None
    """2 when a first pass that only looked at the video lies in the window."""
    audio: Label | None = None
    """``copy`` or ffmpeg's name of the audio encoder; None: video alone."""
    audio_bitrate: Label | None = None
    hardware_decoding: Label | None = None
    """ffmpeg's ``-hwaccel``."""
    realtime: bool | None = None
    """Whether the input was read at its own frame rate, as a live encode does."""


class Scenario(Asked, frozen=True, kw_only=True):
    """One measured scenario."""

    status: Literal["ok", "failed", "aborted"] = "ok"
    error: str | None = None
    resolution: Resolution | None = None
    fps: Positive | None = None
    streams: Count | None = None
    duration: NonNegative | None = None
    """Measured wall seconds of the window."""
    video_seconds: NonNegative | None = None
    """Seconds of video of each stream, where the outputs do not say it. Earlier suites ran in real time: of
    their files it is the window's length."""
    start_time: NonNegative | None = None
    end_time: NonNegative | None = None
    input: InputMedia | None = None
    outputs: list[Output] = []
    power: Power | None = None
    gpu_power: Power | None = None
    samples: Samples | None = None
    cpu_seconds: NonNegative | None = None
    encode: EncodeStats | None = None
    vmaf_score: Score | None = None
    psnr_score: float | None = None
    ssim_score: float | None = None
    validity: Annotated[list[Label], Meta(max_length=100)] = []
    """Reasons why the figures should not be trusted; empty when there are none."""
    command: list[str] | None = None
    """The ffmpeg command that ran, as an argument list."""
    content: dict[str, float] | None = None
    """Content features measured from the input, by name (see the features of the predictors)."""


class Tool(_Record, frozen=True, kw_only=True):
    """What produced the file."""

    name: str = "wattframe"
    version: str | None = None
    ffmpeg_version: str | None = None
    ffmpeg_path: str | None = None


class GpuInfo(_Record, frozen=True, kw_only=True):
    """One GPU of the host."""

    name: str
    uuid: str | None = None
    driver: str | None = None


class Host(_Record, frozen=True, kw_only=True):
    """The machine that was measured."""

    hardware_id: Label | None = None
    name: Label | None = None
    """Of one of several that measure together."""
    prometheus_instance: Label | None = None
    """The label ``instance`` of the machine's own series."""
    cpu_model: str | None = None
    cores: Count | None = None
    threads: Count | None = None
    memory_bytes: Count | None = None
    gpus: list[GpuInfo] = []
    virtual: bool | None = None
    governor: str | None = None
    kernel: str | None = None


class Refused(Struct, frozen=True):
    """A scenario that was left out, and why."""

    index: int
    name: str | None
    reason: str


class Run(_Record, frozen=True, kw_only=True):
    """One result file.

    ``run_id`` is the file's stem; ``refused`` lists the scenarios that were malformed. Neither is stored in
    the file.
    """

    run_id: str
    scenarios: tuple[Scenario, ...]
    test_date: str | None = None
    tool: Tool | None = None
    host: Host | None = None
    finished: bool | None = None
    """False while the run goes on (and after a kill): whoever else uses this machine disturbs its figures."""
    schema_version: int = SCHEMA_VERSION
    refused: tuple[Refused, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, in the names of the file."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    def to_frame(self) -> DataFrame:
        """One row a scenario as a pandas DataFrame, with what follows from it; see `advisor.results.frames`.

        Raises
        ------
        InputError
            pandas is not installed.
        """
        from advisor.results.frames import frame_of

        return frame_of([self])

    @property
    def start_time(self) -> float | None:
        """Unix seconds at which the first scenario began, else the run's date."""
        starts = [s.start_time for s in self.scenarios if s.start_time is not None]
        if starts:
            return min(starts)
        try:
            return datetime.datetime.fromisoformat(self.test_date).timestamp() if self.test_date else None
        except (ValueError, OverflowError):
            return None

    @property
    def baseline(self) -> Scenario | None:
        """The first finished idle scenario of the run whose figures can be trusted."""
        return next((s for s in self.baselines if not s.validity), None)

    @property
    def baselines(self) -> list[Scenario]:
        """Every finished idle scenario of the run."""
        return [s for s in self.scenarios if s.type == "baseline" and s.status == "ok"]


def streams_in_name(name: str) -> int | None:
    """The N of "N streams" in a scenario's name; never the N of "N Mbps".

    >>> streams_in_name("4 streams @ 2500k"), streams_in_name("5 Mbps stream")
    (4, None)
    """
    match = _STREAMS.search(name)
    return int(match[1]) if match else None


def stream_count(scenario: Scenario) -> int:
    """Concurrent streams: the field, else "N streams" in the name, else 1.

    >>> stream_count(Scenario(name="4 streams @ 2500k")), stream_count(Scenario(name="5 Mbps stream"))
    (4, 1)
    """
    if scenario.streams is not None:
        return scenario.streams
    return streams_in_name(scenario.name) or 1


def result_file_name(when: datetime.datetime | None = None, host: str | None = None) -> str:
    """The contract's file name for a run that starts at ``when`` (local time, default now).

    >>> result_file_name(datetime.datetime(2026, 5, 4, 3, 2, 1), "rack 7")
    'test_results_20260504_030201_rack-7.json'
    """
    when = when or datetime.datetime.now().astimezone()
    suffix = "" if host is None else "_" + re.sub(r"[^A-Za-z0-9.-]+", "-", host)
    return f"test_results_{when:%Y%m%d_%H%M%S}{suffix}.json"


def write_run(run: Run, path: str | os.PathLike[str]) -> None:
    """Replace ``path`` atomically.

    Raises
    ------
    OSError
        The folder cannot be written or is full; a former file is then untouched.
    """
    document = {
        "schema_version": SCHEMA_VERSION,
        "test_date": run.test_date,
        "tool": run.tool,
        "host": run.host,
        "finished": run.finished,
        "scenarios": run.scenarios,
    }
    data = msgspec.json.format(msgspec.json.encode(document), indent=1)
    write_atomically(Path(path), data)


class _Document(Struct):
    """The file as a whole, for the schema."""

    scenarios: list[Scenario]
    schema_version: Literal[1]
    test_date: str | None = None
    tool: Tool | None = None
    host: Host | None = None
    finished: bool | None = None


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of version 1, generated from the structs."""
    schema = _dedented(msgspec.json.schema(_Document))
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Wattframe result file, version 1",
        **schema,
    }


def _dedented(schema: Any) -> Any:
    """Descriptions come from docstrings, whose indentation Python keeps until 3.12."""
    if isinstance(schema, dict):
        return {key: _dedented(value) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_dedented(value) for value in schema]
    return inspect.cleandoc(schema) if isinstance(schema, str) else schema
