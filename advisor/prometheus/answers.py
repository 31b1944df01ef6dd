"""What Prometheus answers, from JSON to series of numbers, and what went wrong in words.

Long answers are most of the work of enrichment, so they are read without an object per sample: brackets and
quotes are dropped from ``[[1767600000.5,"12.5"],...]``, and what remains is one list of numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

import msgspec
from msgspec import Struct

from advisor.common.atomic import NO_JSON
from advisor.errors import PrometheusError

__all__ = ["RawSeries", "Series", "glimpse", "numbers", "raw_series", "read_answer", "reason"]


class Series(Struct, frozen=True):
    """One series of an answer: its labels, and its samples in the order of time.

    ``timestamps`` are Unix seconds. ``values`` may hold NaN and infinities: Prometheus has them.
    """

    metric: dict[str, str]
    timestamps: list[float]
    values: list[float]


_Point = tuple[float, str]
_NOTHING = msgspec.Raw(b"[]")


class RawSeries(Struct):
    """A series as it came: its labels, and the JSON of its samples."""

    metric: dict[str, str] = {}
    value: msgspec.Raw = _NOTHING
    values: msgspec.Raw = _NOTHING


class _Data(Struct):
    resultType: Literal["vector", "matrix", "scalar", "string"]  # noqa: N815 - Prometheus' own name
    result: msgspec.Raw


class _Answer(Struct):
    status: Literal["success", "error"]
    data: _Data | None = None
    error: str = ""
    errorType: str = ""  # noqa: N815 - Prometheus' own name
    warnings: list[str] = []
    isPartial: bool = False  # noqa: N815 - VictoriaMetrics' own name


class _Refusal(Struct):
    status: str = ""
    error: str = ""


_decode_answer = msgspec.json.Decoder(_Answer).decode
_decode_items = msgspec.json.Decoder(list[RawSeries]).decode
_decode_flat = msgspec.json.Decoder(list[float]).decode
_decode_point = msgspec.json.Decoder(_Point).decode
_decode_points = msgspec.json.Decoder(list[_Point]).decode


def read_answer(body: bytes, error: Callable[[str], PrometheusError]) -> list[Series]:
    """The series of an answer that came with a good status; ``error`` makes the exception of a sentence.

    Raises
    ------
    PrometheusError
        It is no answer of Prometheus, a refusal, in part, or holds what are no numbers.
    """
    data = _data(body, error)
    try:
        return _series(data)
    except (*NO_JSON, ValueError) as exc:
        raise error(f"answered with malformed samples: {exc}") from exc


def raw_series(body: bytes, error: Callable[[str], PrometheusError]) -> list[RawSeries]:
    """The series of an answer to a range, their samples not read yet; raises as `read_answer`."""
    data = _data(body, error)
    try:
        return _decode_items(data.result) if data.resultType == "matrix" else []
    except NO_JSON as exc:
        raise error(f"answered with malformed samples: {exc}") from exc


def _data(body: bytes, error: Callable[[str], PrometheusError]) -> _Data:
    try:
        answer = _decode_answer(body)
    except NO_JSON as exc:
        raise error(f"expected Prometheus' JSON, got {glimpse(body)}") from exc
    if answer.status == "error" or answer.data is None:
        raise error(f"refused the query: {answer.error or answer.errorType or 'no data'}")
    if answer.warnings or answer.isPartial:
        raise error(f"answered only in part: {'; '.join(answer.warnings) or 'isPartial'}")
    return answer.data


def _series(data: _Data) -> list[Series]:
    if data.resultType == "string":
        return []
    if data.resultType == "scalar":
        moment, value = _decode_point(data.result)
        return [Series({}, [moment], [float(value)])]
    found = []
    for item in _decode_items(data.result):
        flat = numbers(bytes(item.values)) if data.resultType == "matrix" else _number(bytes(item.value))
        found.append(Series(item.metric, flat[::2], flat[1::2]))
    return found


def _number(text: bytes) -> list[float]:
    moment, value = _decode_point(text)
    return [moment, float(value)]


def numbers(text: bytes) -> list[float]:
    """Times and values in turn, of the JSON of samples.

    >>> numbers(b'[[1767600000.5,"12.5"],[1767600005.5,"NaN"]]')
    [1767600000.5, 12.5, 1767600005.5, nan]
    """
    try:
        flat = _decode_flat(b"[" + text.translate(None, b'[]"') + b"]")
    except msgspec.DecodeError:
        # NaN and the infinities are no JSON; what is malformed besides is told by its place
        return [number for moment, value in _decode_points(text) for number in (moment, float(value))]
    if text.count(b'"') != len(flat):
        raise ValueError("expected pairs of a time and a value in quotes")
    return flat


def reason(body: bytes) -> str:
    """Prometheus' own words for a refusal, else the beginning of what came."""
    try:
        return msgspec.json.decode(body, type=_Refusal).error
    except NO_JSON:
        return glimpse(body) if body.strip() else ""


def glimpse(body: bytes) -> str:
    """The beginning of what is no answer, for an error message; the title of an HTML page."""
    text = " ".join(body[:400].decode("utf-8", "replace").split())
    if text[:1] == "<":
        title = re.search(r"<title>(.*?)</title>", text, re.IGNORECASE)
        return f"an HTML page ({title[1].strip()})" if title else "an HTML page"
    return repr(text[:80]) if text else "an empty answer"
