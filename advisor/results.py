"""Result files: what a test run measured, on disk.

One file holds one run: ``test_results_YYYYMMDD_HHMMSS.json``. The structs below are the schema (version 1);
`read_run` also takes the files of earlier suites and turns them into the same structs, so nothing downstream
knows that other formats exist. `write_run` replaces a file atomically, so that a crash at any moment leaves
either the former or the new content.

Times are Unix seconds, energies joules, powers watts. ``None`` means unknown, never zero.
"""

from __future__ import annotations

import datetime
import errno
import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard

import msgspec
from msgspec import Meta, Struct

from advisor.errors import ResultFileError
from advisor.files import NO_JSON, write_atomically

__all__ = [
    "RESULT_GLOB",
    "SCHEMA_VERSION",
    "EncodeStats",
    "GpuInfo",
    "Host",
    "InputMedia",
    "Output",
    "Power",
    "Psnr",
    "Quality",
    "Refused",
    "Run",
    "Samples",
    "Scenario",
    "Ssim",
    "Tool",
    "Vmaf",
    "json_schema",
    "parse_run",
    "read_run",
    "result_file_name",
    "streams_in_name",
    "write_run",
]

SCHEMA_VERSION = 1
RESULT_GLOB = "test_results_*.json"
_STREAMS = re.compile(r"(?<![\d.,])(\d{1,6})[ _-]*streams?\b", re.IGNORECASE)
_MOST_STREAMS = 10_000
_MOST_OUTPUTS = 100_000
"""In one file: earlier suites wrote a ladder once for all streams, so few bytes stand for many outputs."""
_MOST_BYTES = 128 << 20
_MOST_SCENARIOS = 100_000
_MOST_TOLERATED_BYTES = 32 << 20
"""Of a file that only Python's own, far hungrier reader takes."""
_LARGE_BYTES = 4 << 20
"""From here on a file is skimmed first, as a hundred bytes of memory may be made of each two of it."""
_LARGEST_WHOLE = 1 << 53
_LEAST, _LARGEST = 1e-60, 1e15
"""No measurement is smaller (unless 0) or larger: quotients and products of any two stay finite."""

Positive = Annotated[float, Meta(gt=0)]
NonNegative = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=0, le=_LARGEST_WHOLE)]
Score = Annotated[float, Meta(ge=0, le=100)]
Label = Annotated[str, Meta(max_length=1000)]
"""Text that becomes a label, of every series of its scenario."""
_RESOLUTION = r"^[1-9][0-9]{0,4}x[1-9][0-9]{0,4}$"
Resolution = Annotated[str, Meta(pattern=_RESOLUTION)]


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
    """``powercap``, ``estimate``, ``nvml``, ``prometheus`` or what an earlier suite named."""
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


class Scenario(_Record, frozen=True, kw_only=True):
    """One measured scenario."""

    name: Label
    type: Literal["baseline", "single", "multi"] = "single"
    status: Literal["ok", "failed", "aborted"] = "ok"
    error: str | None = None
    bitrate: Label | None = None
    crf: NonNegative | None = None
    resolution: Resolution | None = None
    fps: Positive | None = None
    encoder: Label | None = None
    """ffmpeg's name of the encoder, for instance ``libx264``."""
    encoder_type: Literal["cpu", "gpu"] = "cpu"
    preset: Label | None = None
    threads: Count | None = None
    streams: Count | None = None
    viewers: Count | None = None
    repeat: Annotated[int, Meta(ge=1, le=_LARGEST_WHOLE)] = 1
    duration: NonNegative | None = None
    """Measured wall seconds of the window."""
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
        """The first finished idle scenario of the run."""
        return next((s for s in self.scenarios if s.type == "baseline" and s.status == "ok"), None)


class _Head(Struct, frozen=True):
    scenarios: list[msgspec.Raw]
    schema_version: int | None = None
    test_date: str | None = None
    tool: Tool | None = None
    host: Host | None = None
    finished: bool | None = None


_head_decoder = msgspec.json.Decoder(_Head)
_scenario_decoder = msgspec.json.Decoder(Scenario)


def read_run(path: str | os.PathLike[str]) -> Run:
    """Read one result file.

    Malformed scenarios are left out and listed in ``refused``; the others are kept.

    Raises
    ------
    ResultFileError
        The file cannot be read, is not JSON, or is no result file at all.
    """
    path = Path(path)
    try:
        data = _regular_file(path)
    except OSError as exc:
        raise ResultFileError(f"cannot be read: {exc.strerror or exc}", subject=path) from exc
    return parse_run(data, run_id=path.stem, subject=str(path))


def _regular_file(path: Path) -> bytes:
    """The content of a file of reasonable size; a pipe or a device under the name is not waited for."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        info = os.fstat(descriptor)
        if not stat.S_ISREG(info.st_mode):
            raise OSError(errno.EINVAL, "expected a regular file")
        if info.st_size > _MOST_BYTES:
            found = f"expected at most {_MOST_BYTES >> 20} MiB, found {info.st_size >> 20} MiB"
            raise OSError(errno.EFBIG, found)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def parse_run(data: bytes, *, run_id: str, subject: str | None = None) -> Run:
    """Turn the bytes of a result file into a `Run`; see `read_run`."""
    subject = subject or run_id
    if len(data) > _LARGE_BYTES:
        _skim(data, subject)
    try:
        head = _head_decoder.decode(data)
    except NO_JSON as exc:
        head = _tolerant_head(data, subject, exc)
    _check_count(len(head.scenarios), subject)
    if head.schema_version is not None and head.schema_version != SCHEMA_VERSION:
        raise ResultFileError(
            f"expected {SCHEMA_VERSION}, or none for an earlier format; found {head.schema_version}",
            subject=subject,
            field="schema_version",
        )
    scenarios: list[Scenario] = []
    refused: list[Refused] = []
    room = _MOST_OUTPUTS
    for index, raw in enumerate(head.scenarios):
        try:
            scenario = _scenario(bytes(raw), room, earlier=head.schema_version is None)
            room -= len(scenario.outputs)
            scenarios.append(scenario)
        except (msgspec.ValidationError, msgspec.DecodeError, ValueError, RecursionError) as exc:
            reason = _place(exc, index)
            refused.append(Refused(index, _name_of(raw), reason + _no_number(reason, bytes(raw))))
    return Run(
        run_id=run_id,
        scenarios=tuple(scenarios),
        test_date=head.test_date,
        tool=head.tool,
        host=head.host,
        finished=head.finished,
        schema_version=SCHEMA_VERSION,
        refused=tuple(refused),
    )


class _Anything(Struct, frozen=True, gc=False):
    """An object of which nothing is kept."""


class _Skimmed(Struct, frozen=True):
    scenarios: list[_Anything]


_skim_decoder = msgspec.json.Decoder(_Skimmed)


def _skim(data: bytes, subject: str) -> None:
    """Refuse a large file that is no list of scenarios before much memory is made of it."""
    try:
        count = len(_skim_decoder.decode(data).scenarios)
    except msgspec.ValidationError as exc:
        raise _head_error(exc, subject) from exc
    except NO_JSON as exc:
        if len(data) > _MOST_TOLERATED_BYTES:
            raise ResultFileError(f"expected a JSON result file: {exc}", subject=subject) from exc
        return
    _check_count(count, subject)


def _check_count(count: int, subject: str) -> None:
    if count > _MOST_SCENARIOS:
        raise ResultFileError(
            f"expected at most {_MOST_SCENARIOS}, found {count}", subject=subject, field="scenarios"
        )


def _tolerant_head(data: bytes, subject: str, cause: Exception) -> _Head:
    """The head of a file that the strict decoder refused.

    Python's own ``json`` writes ``NaN`` and ``Infinity``, which JSON does not have: earlier suites left such
    files. They are read, and only the scenarios that hold such a value are refused later.
    """
    if isinstance(cause, msgspec.ValidationError):
        raise _head_error(cause, subject) from cause
    try:
        document = json.loads(data, parse_constant=str)
        return msgspec.convert(
            {**document, "scenarios": [msgspec.Raw(msgspec.json.encode(s)) for s in document["scenarios"]]},
            _Head,
        )
    except msgspec.ValidationError as exc:
        raise _head_error(exc, subject) from exc
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        text = str(cause) or type(cause).__name__
        raise ResultFileError(f"expected a JSON result file: {text}", subject=subject) from cause


def _head_error(exc: Exception, subject: str) -> ResultFileError:
    message, _, place = str(exc).partition(" - at `$.")
    return ResultFileError(_plain(message), subject=subject, field=place.rstrip("`") or None)


def _scenario(raw: bytes, room: int, *, earlier: bool) -> Scenario:
    """One scenario, of at most ``room`` outputs."""
    if earlier:
        document = msgspec.json.decode(raw)
        if not isinstance(document, dict):
            raise ValueError(f"expected an object, found {_kind(document)}")
        scenario = msgspec.convert(_from_earlier(document), Scenario)
    else:
        scenario = _scenario_decoder.decode(raw)
    for problem in _contradictions(scenario):
        raise ValueError(problem)
    copies = _copies(scenario) if earlier else 1
    if len(scenario.outputs) * copies > room:
        raise ValueError(f"Expected at most {_MOST_OUTPUTS} outputs in a file - at `$.outputs`")
    return scenario if copies == 1 else msgspec.structs.replace(scenario, outputs=scenario.outputs * copies)


def _from_earlier(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same scenario in the names of version 1.

    Earlier suites wrote the power series as top-level lists with one step, outputs as ``null`` or as the
    ladder of one stream, and bitrates as text or as numbers (kbit/s).
    """
    out = {k: v for k, v in document.items() if v is not None and v != "N/A"}
    out |= _bitrate_as_text(out)
    outputs = out.get("outputs")
    if isinstance(outputs, list):
        out["outputs"] = [_bitrate_as_text(o) for o in outputs]
    power = out.get("power")
    if isinstance(power, dict):
        out["power"] = {"domains": {}, **{k: v for k, v in power.items() if v is not None}}
    watts, cores = out.pop("power_watts", None), out.pop("cpu_usage_cores", None)
    step, start = out.pop("step_seconds", None), out.get("start_time")
    if "samples" not in out and (watts is not None or cores is not None):
        lists = {"power_watts": watts, "cpu_usage_cores": cores}
        for key, value in lists.items():
            if value is not None and not isinstance(value, list):
                raise ValueError(f"Expected `array`, got `{_kind(value)}` - at `$.{key}`")
        length = max(len(v) for v in lists.values() if v is not None)
        if not _is_number(step) or step <= 0:
            raise ValueError("Expected `float` > 0 beside power_watts - at `$.step_seconds`")
        first = start if _is_number(start) else 0.0
        out["samples"] = {
            "timestamps": [first + i * step for i in range(length)],
            **{k: v for k, v in lists.items() if v is not None},
        }
    if "type" not in out and "baseline" in str(out.get("name", "")).lower():
        out["type"] = "baseline"
        # nothing was encoded, and 0 stood for that
        nothing = {"fps": 0, "resolution": "0x0", "vmaf_score": 0, "psnr_score": 0, "ssim_score": 0}
        out = {k: v for k, v in out.items() if k not in nothing or v != nothing[k]}
    return _encoder_from_earlier(out)


def _copies(scenario: Scenario) -> int:
    """How often an earlier suite's outputs were made: it wrote the ladder of one stream for all."""
    streams = scenario.streams if scenario.streams is not None else streams_in_name(scenario.name)
    return streams if streams is not None and 1 < streams <= _MOST_STREAMS else 1


def _is_number(value: Any) -> TypeGuard[float]:
    """Whether ``value`` is a number of a size that measurements have."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _encoder_from_earlier(out: dict[str, Any]) -> dict[str, Any]:
    """``encoder_type`` also held an encoder's name, the tool's name or "none"; or is not there."""
    kind = out.get("encoder_type", out.get("encoder"))
    if not isinstance(kind, str) or kind in ("cpu", "gpu"):
        return out
    gpu = any(api in kind.lower() for api in ("nvenc", "qsv", "vaapi", "amf", "videotoolbox"))
    named = {"encoder": kind} if gpu or kind.startswith("lib") else {}
    return {**named, **out, "encoder_type": "gpu" if gpu else "cpu"}


def _bitrate_as_text(record: Any) -> Any:
    bitrate = record.get("bitrate") if isinstance(record, dict) else None
    if _is_number(bitrate):
        return {**record, "bitrate": f"{bitrate:.15g}k"}
    return record


def streams_in_name(name: str) -> int | None:
    """The N of "N streams" in a scenario's name; never the N of "N Mbps".

    >>> streams_in_name("4 streams @ 2500k"), streams_in_name("5 Mbps stream")
    (4, None)
    """
    match = _STREAMS.search(name)
    return int(match[1]) if match else None


def _contradictions(s: Scenario) -> Iterator[str]:
    """What the types cannot say."""
    if not s.name:
        yield "Expected a name that is not empty - at `$.name`"
    if s.start_time is not None and s.end_time is not None and s.end_time < s.start_time:
        yield f"Expected a time at or after start_time ({s.start_time}), got {s.end_time} - at `$.end_time`"
    if s.samples is not None:
        length = len(s.samples.timestamps)
        for name in ("power_watts", "cpu_usage_cores", "gpu_usage"):
            found = len(getattr(s.samples, name))
            if found not in (0, length):
                yield f"Expected {length} values, one a timestamp, got {found} - at `$.samples.{name}`"
    for number in _numbers(s):
        if not math.isfinite(number):
            yield f"Expected finite numbers, got {number}"
        elif number and not _LEAST <= abs(number) <= _LARGEST:
            yield f"Expected numbers of a measurable size, got {number}"


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, Struct):
        for name in value.__struct_fields__:
            yield from _numbers(getattr(value, name))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _numbers(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _numbers(item)


def _name_of(raw: msgspec.Raw) -> str | None:
    try:
        name = msgspec.json.decode(raw, type=_Named).name
    except NO_JSON:
        return None
    return name if isinstance(name, str) else None


class _Named(Struct):
    name: Any = None


def _place(exc: Exception, index: int) -> str:
    """``scenarios[2].fps: expected float, got str`` from what msgspec says of ``$.fps``."""
    message, _, place = str(exc).partition(" - at `$")
    place = place.rstrip("`")
    return f"scenarios[{index}]{place}: {_plain(message)}"


def _no_number(reason: str, scenario: bytes) -> str:
    """A hint where text was found that `_tolerant_head` may have made of a number."""
    found = [name for name in ("NaN", "Infinity") if f'"{name}"'.encode() in scenario]
    return f" ({' and '.join(found)} is no number of JSON)" if found and reason.endswith("got str") else ""


def _plain(message: str) -> str:
    message = message.replace("`", "").replace(
        f"str matching regex {_RESOLUTION!r}", "WIDTHxHEIGHT such as 1280x720"
    )
    return message[:1].lower() + message[1:]


def _kind(value: Any) -> str:
    kinds = {dict: "object", list: "array", str: "str", bool: "bool", int: "int", float: "float"}
    return kinds.get(type(value), "null")


def result_file_name(when: datetime.datetime | None = None) -> str:
    """The contract's file name for a run that starts at ``when`` (local time, default now)."""
    when = when or datetime.datetime.now().astimezone()
    return f"test_results_{when:%Y%m%d_%H%M%S}.json"


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
    schema = msgspec.json.schema(_Document)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Wattframe result file, version 1",
        **schema,
    }
