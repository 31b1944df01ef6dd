"""Read result files strictly: what is malformed is refused by name, and hides nothing beside it."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import Struct

from advisor.common.atomic import NO_JSON
from advisor.common.control_group import memory_bytes
from advisor.common.json_keys import repeated_keys
from advisor.common.regular_file import read_input
from advisor.errors import InputError, PricingError, ResultFileError
from advisor.results.earlier import from_earlier, kind_of_json
from advisor.results.records import (
    RESOLUTION_PATTERN,
    RESULT_GLOB,
    SCHEMA_VERSION,
    Host,
    Refused,
    Run,
    Scenario,
    Tool,
    stream_count,
)

if TYPE_CHECKING:
    from pandas import DataFrame

_MOST_OUTPUTS = 100_000
"""In one file: earlier suites wrote a ladder once for all streams, so few bytes stand for many outputs."""
_MOST_STREAMS = 10_000
_MOST_BYTES = 128 << 20
_MOST_SCENARIOS = 100_000
_MOST_TOLERATED_BYTES = 32 << 20
"""Of a file that only Python's own, far hungrier reader takes."""
_LARGE_BYTES = 4 << 20
"""From here on a file is skimmed first: its list of scenarios alone may take many times its size."""
_OBJECTS_A_SCENARIO, _QUOTES_A_SCENARIO = 20, 400
_SHARE = 0.3
"""Of the memory there is: what one file may take while it is read."""
_LATEST = 1e10
"""Unix seconds of the year 2286: what is later is in milliseconds. Nothing took that long either."""
_LEAST, _LARGEST = 1e-60, 1e15
"""No measurement is smaller (unless 0) or larger: quotients and products of any two stay finite."""


_NULL = msgspec.Raw(b"null")


class _Head(Struct, frozen=True):
    scenarios: list[msgspec.Raw]
    schema_version: int | None = None
    test_date: str | None = None
    tool: msgspec.Raw = _NULL
    host: msgspec.Raw = _NULL
    finished: bool | None = None


_head_decoder = msgspec.json.Decoder(_Head)
T = TypeVar("T")


def read_run(path: str | os.PathLike[str], *, keep_samples: bool = True) -> Run:
    """Read one result file.

    Malformed scenarios are left out and listed in ``refused``; the others are kept. Without ``keep_samples``
    the series of scenarios whose power block says all are left out: they are nearly all of a result file.

    Raises
    ------
    ResultFileError
        The file cannot be read, is not JSON, is no result file at all, or takes more memory than there is.
    """
    path = Path(path)
    data = read_input(path, min(_MOST_BYTES, _budget()), ResultFileError)
    return parse_run(data, run_id=path.stem, subject=str(path), keep_samples=keep_samples)


class RunFolder(Struct, frozen=True):
    """The runs of a folder, the first begun first; iterates over them."""

    runs: tuple[Run, ...]
    refused: dict[str, str] = {}
    """Files that could not be read, by name, and why."""

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, index: int) -> Run:
        return self.runs[index]

    def to_dict(self) -> dict[str, Any]:
        """Plain values: ``runs`` with the names of the result files' fields, and ``refused``."""
        return {"runs": [run.to_dict() for run in self.runs], "refused": dict(self.refused)}

    def to_frame(self) -> DataFrame:
        """A pandas DataFrame with one row per scenario of all runs; see `Run.to_frame`."""
        from advisor.results.frames import frame_of

        return frame_of(self.runs)


def read_folder(path: str | os.PathLike[str]) -> RunFolder:
    """Read every ``test_results_*.json`` in a folder, by start time.

    A file that is not readable is listed in ``refused``; the others are read.

    Raises
    ------
    InputError
        It is not a folder, or holds no result file.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise InputError("expected a folder of result files", subject=folder)
    runs: list[Run] = []
    refused: dict[str, str] = {}
    for file in sorted(folder.glob(RESULT_GLOB)):
        try:
            runs.append(read_run(file))
        except ResultFileError as exc:
            refused[file.name] = str(exc)
    if not runs and not refused:
        raise InputError(f"expected {RESULT_GLOB}, found none", subject=folder)
    return RunFolder(tuple(sorted(runs, key=lambda run: run.start_time or 0.0)), refused)


def parse_run(data: bytes, *, run_id: str, subject: str | None = None, keep_samples: bool = True) -> Run:
    """Turn the bytes of a result file into a `Run`; see `read_run`."""
    subject = subject or run_id
    if len(data) > _LARGE_BYTES:
        _skim(data, subject)
    repeated: dict[int, str] = {}
    try:
        head = _head_decoder.decode(data)
        repeated = _repeated(data, subject)
    except NO_JSON as exc:
        head = _tolerant_head(data, subject, exc)
    _check_count(len(head.scenarios), subject)
    if head.schema_version is not None and head.schema_version != SCHEMA_VERSION:
        raise ResultFileError(
            f"expected {SCHEMA_VERSION}, or none for an earlier format; found {head.schema_version}",
            subject=subject,
            field="schema_version",
        )
    earlier, bytes_left = head.schema_version is None, _budget() - len(data)
    scenarios: list[Scenario] = []
    refused: list[Refused] = []
    room = _MOST_OUTPUTS
    for index, raw in enumerate(head.scenarios):
        try:
            weight = _decoded_bytes(raw, typed=not earlier)
            _check(weight, bytes_left, repeated.get(index))
            scenario = _scenario(bytes(raw), room, earlier=earlier)
            if not keep_samples:
                scenario = _without_samples(scenario)
            room -= len(scenario.outputs)
            bytes_left -= _held_bytes(scenario)
            scenarios.append(scenario)
        except (msgspec.ValidationError, msgspec.DecodeError, ValueError, RecursionError) as exc:
            message, place = _plain(exc)
            reason = f"scenarios[{index}]{place}: {message}{_no_number(message, bytes(raw))}"
            refused.append(Refused(index, _name_of(raw), reason))
    return Run(
        run_id=run_id,
        scenarios=tuple(scenarios),
        test_date=head.test_date,
        tool=_part(head.tool, Tool, "tool", subject),
        host=_part(head.host, Host, "host", subject),
        finished=head.finished,
        schema_version=SCHEMA_VERSION,
        refused=tuple(refused),
    )


def _repeated(data: bytes, subject: str) -> dict[int, str]:
    """Names that are there twice, of which readers would take one or the other, by scenario.

    Raises
    ------
    ResultFileError
        It is one of the file as a whole.
    """
    repeated: dict[int, str] = {}
    for place in repeated_keys(data):
        inside = re.match(r"scenarios\[(\d+)\]", place)
        if inside is None:
            raise ResultFileError("expected each name once, found it twice", subject=subject, field=place)
        repeated.setdefault(int(inside[1]), place[inside.end() :])
    return repeated


class _Anything(Struct, frozen=True, gc=False):
    """An object of which nothing is kept."""


class _Skimmed(Struct, frozen=True):
    scenarios: list[_Anything]


_skim_decoder = msgspec.json.Decoder(_Skimmed)


def _skim(data: bytes, subject: str) -> None:
    """Refuse a large file that is no list of scenarios before much memory is made of it."""
    try:
        # each takes eight times its bytes even if nothing of it is kept
        _check_count(data.count(b"{") // _OBJECTS_A_SCENARIO, subject)
        _check_count(data.count(b'"') // _QUOTES_A_SCENARIO, subject)
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


def _budget() -> int:
    return int(_SHARE * memory_bytes()[0])


def _decoded_bytes(raw: msgspec.Raw | bytes, *, typed: bool) -> int:
    """At most so much memory is made of a piece of JSON, as structs or as anything."""
    data = bytes(raw)
    values, arrays, objects = data.count(b","), data.count(b"["), data.count(b"{")
    if typed:
        return len(data) + 40 * values + 100 * arrays + 600 * objects
    return 4 * len(data) + 40 * values + 100 * arrays + 250 * objects + 120 * data.count(b":")


def _held_bytes(scenario: Scenario) -> int:
    samples = scenario.samples
    values = 0 if samples is None else len(samples.timestamps) + len(samples.power_watts)
    return 2000 + 1000 * len(scenario.outputs) + 40 * values


def _check(weight: int, left: int, repeated: str | None = None) -> None:
    """Refuse what takes more memory than is left, and what has a name twice."""
    if repeated is not None:
        raise ValueError(f"Expected each name once, found it twice - at `${repeated}`")
    if weight > left:
        sizes = f"takes up to {weight >> 20} MiB, {max(left, 0) >> 20} MiB are left"
        raise ValueError(f"Expected a size that fits into memory: {sizes}")


def held_bytes(run: Run) -> int:
    """About what a run takes in memory."""
    return sum(map(_held_bytes, run.scenarios))


def _without_samples(scenario: Scenario) -> Scenario:
    power = scenario.power
    if power is None or power.total_energy_joules is None or power.mean_watts is None:
        return scenario  # its energy follows from the samples
    return scenario if scenario.samples is None else msgspec.structs.replace(scenario, samples=None)


def _tolerant_head(data: bytes, subject: str, cause: Exception) -> _Head:
    """The head of a file that the strict decoder refused.

    Python's own ``json`` writes ``NaN`` and ``Infinity``, which JSON does not have: earlier suites left such
    files. They are read, and only the scenarios that hold such a value are refused later.
    """
    if isinstance(cause, msgspec.ValidationError):
        raise _head_error(cause, subject) from cause
    try:
        _check(_decoded_bytes(data, typed=False), _budget())
    except ValueError as exc:
        raise ResultFileError(_plain(exc)[0], subject=subject) from cause
    try:
        document = json.loads(data, parse_constant=str)
        raw: dict[str, Any] = {
            "scenarios": [msgspec.Raw(msgspec.json.encode(s)) for s in document["scenarios"]]
        }
        raw |= {name: msgspec.Raw(msgspec.json.encode(document.get(name))) for name in ("tool", "host")}
        return msgspec.convert({**document, **raw}, _Head)
    except msgspec.ValidationError as exc:
        raise _head_error(exc, subject) from exc
    except (ValueError, TypeError, KeyError, RecursionError, OverflowError):
        text = str(cause) or type(cause).__name__
        raise ResultFileError(f"expected a JSON result file: {text}", subject=subject) from cause


def _head_error(exc: Exception, subject: str) -> ResultFileError:
    message, place = _plain(exc)
    if not place:
        message = f"expected a JSON result file: {message}"
    return ResultFileError(message, subject=subject, field=place.lstrip(".") or None)


def _scenario(raw: bytes, room: int, *, earlier: bool) -> Scenario:
    """One scenario, of at most ``room`` outputs."""
    if earlier:
        document = msgspec.json.decode(raw)
        if not isinstance(document, dict):
            raise ValueError(f"expected an object, found {kind_of_json(document)}")
        scenario = msgspec.convert(from_earlier(document), Scenario)
    else:
        scenario = _without_nulls(raw, Scenario)
    for problem in _contradictions(scenario):
        raise ValueError(problem)
    # an earlier suite wrote the ladder of one stream for all
    copies = stream_count(scenario) if earlier else 1
    copies = copies if 1 < copies <= _MOST_STREAMS else 1
    if len(scenario.outputs) * copies > room:
        raise ValueError(f"Expected at most {_MOST_OUTPUTS} outputs in a file - at `$.outputs`")
    return scenario if copies == 1 else msgspec.structs.replace(scenario, outputs=scenario.outputs * copies)


def _part(raw: msgspec.Raw, kind: type[T], name: str, subject: str) -> T | None:
    if bytes(raw) == b"null":
        return None
    try:
        return _without_nulls(bytes(raw), kind)
    except (*NO_JSON, ValueError) as exc:
        message, place = _plain(exc)
        raise ResultFileError(message, subject=subject, field=f"{name}{place}") from exc


def _without_nulls(raw: bytes, kind: type[T]) -> T:
    """Decode ``raw``; null in the place of an optional list or value is as if it were not there."""
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as exc:
        _check(_decoded_bytes(raw, typed=False), _budget())
        try:
            return msgspec.convert(_dropped_nulls(msgspec.json.decode(raw)), kind)
        except msgspec.ValidationError:
            raise exc from None


def _dropped_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _dropped_nulls(item) for key, item in value.items() if item is not None}
    return [_dropped_nulls(item) for item in value] if isinstance(value, list) else value


def _contradictions(s: Scenario) -> Iterator[str]:
    """What the types cannot say."""
    if not s.name:
        yield "Expected a name that is not empty - at `$.name`"
    if s.start_time is not None and s.end_time is not None and s.end_time < s.start_time:
        yield f"Expected a time at or after start_time ({s.start_time}), got {s.end_time} - at `$.end_time`"
    stamps = s.samples.timestamps if s.samples is not None else []
    moments = {
        "start_time": s.start_time,
        "end_time": s.end_time,
        "samples.timestamps": max(stamps, default=0),
        "duration": s.duration,
    }
    for name, moment in moments.items():
        if moment is not None and moment >= _LATEST:
            yield f"Expected seconds, got {moment:.0f} (milliseconds?) - at `$.{name}`"
    if s.samples is not None:
        length = len(s.samples.timestamps)
        for name in ("power_watts", "cpu_usage_cores", "gpu_usage"):
            count = len(getattr(s.samples, name))
            if count not in (0, length):
                yield f"Expected {length} values, one a timestamp, got {count} - at `$.samples.{name}`"
    if (beyond := _beyond_measure(s)) is not None:
        place, number = beyond
        expected = "a number of a measurable size" if math.isfinite(number) else "a finite number"
        yield f"Expected {expected}, found {number} - at `${place}`"


def _beyond_measure(value: Any) -> tuple[str, float] | None:
    """The first number that is no measurement's, in a record or in plain values, and its place before it."""
    if isinstance(value, float):
        return None if value == 0 or _LEAST <= abs(value) <= _LARGEST else ("", value)
    items: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, Struct):
        items = ((name, getattr(value, name)) for name in value.__struct_fields__)
    elif isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    for key, item in items:
        if (beyond := _beyond_measure(item)) is not None:
            place, number = beyond
            return (f"[{key}]{place}" if isinstance(key, int) else f".{key}{place}"), number
    return None


def _name_of(raw: msgspec.Raw) -> str | None:
    try:
        name = msgspec.json.decode(raw, type=_Named).name
    except NO_JSON:
        return None
    return name if isinstance(name, str) else None


class _Named(Struct):
    name: Any = None


def _no_number(reason: str, scenario: bytes) -> str:
    """A hint where text was found that `_tolerant_head` may have made of a number."""
    constants = [name for name in ("NaN", "Infinity") if f'"{name}"'.encode() in scenario]
    return (
        f" ({' and '.join(constants)} is no number of JSON)"
        if constants and reason.endswith("got str")
        else ""
    )


def _plain(exc: Exception) -> tuple[str, str]:
    """What msgspec says in plain words, and the place, such as ``.fps``, that it means by ``$.fps``."""
    message, _, place = str(exc).partition(" - at `$")
    message = message.replace("`", "").replace(
        f"str matching regex {RESOLUTION_PATTERN!r}", "WIDTHxHEIGHT such as 1280x720"
    )
    return message[:1].lower() + message[1:], place.rstrip("`")


def as_scenario(value: object) -> Scenario:
    """A scenario from a mapping as result files hold it, of this format or an earlier one.

    Raises
    ------
    PricingError
        It is no scenario; names the field that is not as expected.

    >>> as_scenario({"duration": 60, "power": {"mean_watts": 100}}).power.mean_watts
    100.0
    """
    if isinstance(value, Scenario):
        return value
    if not isinstance(value, Mapping):
        kind = type(value).__name__
        raise PricingError(f"expected a scenario as result files hold it, found {kind}", field="scenario")
    plain = msgspec.to_builtins(value, enc_hook=_plain_value, str_keys=True)
    beyond = _beyond_measure(plain)
    if beyond is not None and not math.isfinite(beyond[1]):
        raise PricingError(f"expected a finite number, found {beyond[1]}", field=f"scenario{beyond[0]}")
    text = json.dumps({"scenarios": [{"name": "scenario", **plain}]})
    run = parse_run(text.encode(), run_id="scenario")
    if run.refused:
        reason = run.refused[0].reason.removeprefix("scenarios[0]").lstrip(".: ")
        raise PricingError(reason, field="scenario")
    return run.scenarios[0]


def _plain_value(value: Any) -> Any:
    """Arrays and other libraries' numbers as lists and floats."""
    convert = getattr(value, "tolist", None) or getattr(value, "__float__", None)
    if convert is None:
        raise PricingError(f"expected plain values, found {type(value).__name__}", field="scenario")
    return convert()
