"""What Prometheus answers, from JSON to series of numbers, and what went wrong in words."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable
from typing import Literal

import msgspec
from msgspec import Struct

from advisor.common.atomic import NO_JSON
from advisor.errors import PrometheusError


class QueryResult(Struct, frozen=True):
    """One series of an answer: its labels, and its samples in the order of time.

    ``timestamps`` are Unix seconds. ``values`` may hold NaN and infinities: Prometheus has them.
    """

    metric: dict[str, str]
    timestamps: list[float]
    values: list[float]


_Sample = tuple[float, str]


class _Series(Struct):
    metric: dict[str, str] = {}
    value: _Sample | None = None
    values: list[_Sample] = []
    histogram: msgspec.Raw = msgspec.Raw()
    histograms: msgspec.Raw = msgspec.Raw()


class _Data(Struct):
    resultType: Literal["vector", "matrix", "scalar", "string"]  # noqa: N815 - Prometheus' own name
    result: msgspec.Raw


class _Answer(Struct):
    status: Literal["success", "error"]
    data: _Data | None = None
    error: str = ""
    errorType: str = ""  # noqa: N815 - Prometheus' own name
    warnings: list[str] | None = None
    isPartial: bool | None = None  # noqa: N815 - VictoriaMetrics' own name


class _Refusal(Struct):
    error: str = ""
    message: str = ""  # as the gates before managed servers say it


_decode_answer = msgspec.json.Decoder(_Answer).decode
# one after another: as text and as tuples they take several times the memory of two lists of numbers
_decode_all = msgspec.json.Decoder(list[msgspec.Raw] | None).decode
_decode_series = msgspec.json.Decoder(_Series).decode
_decode_sample = msgspec.json.Decoder(_Sample).decode


def read_answer(body: bytes, error: Callable[[str], PrometheusError]) -> list[QueryResult]:
    """The series of an answer that came with a good status; ``error`` makes the exception of a sentence.

    Raises
    ------
    PrometheusError
        It is no answer of Prometheus, a refusal, in part, or holds what are no numbers.
    """
    try:
        answer = _decode_answer(body)
    except NO_JSON as exc:
        raise error(f"expected Prometheus' JSON, got {glimpse(body)}") from exc
    if answer.status == "error" or answer.data is None:
        raise error(f"refused the query: {answer.error or answer.errorType or 'no data'}")
    if answer.warnings or answer.isPartial:
        raise error(f"answered only in part: {'; '.join(answer.warnings or ()) or 'isPartial'}")
    try:
        return _results(answer.data)
    except (*NO_JSON, ValueError) as exc:
        raise error(f"answered with malformed samples: {exc}") from exc


def _results(data: _Data) -> list[QueryResult]:
    if data.resultType == "string":
        return []
    series: Iterable[_Series]
    if data.resultType == "scalar":
        series = [_Series(value=_decode_sample(data.result))]
    else:  # some stores answer null for nothing
        series = map(_decode_series, _decode_all(data.result) or [])
    results = []
    for one in series:
        if bytes(one.histogram) or bytes(one.histograms):
            name = one.metric.get("__name__", "a series")
            raise ValueError(f"{name} holds native histograms: ask for numbers, such as histogram_sum()")
        samples = [one.value] if one.value is not None else one.values
        values = [float(value) for _, value in samples]
        results.append(QueryResult(one.metric, [moment for moment, _ in samples], values))
    return results


def reason(body: bytes) -> str:
    """The server's own words for a refusal, else the beginning of what came."""
    with contextlib.suppress(*NO_JSON):
        refusal = msgspec.json.decode(body, type=_Refusal)
        return refusal.error or refusal.message
    return glimpse(body) if body.strip() else ""


def glimpse(body: bytes) -> str:
    """The beginning of what is no answer, for an error message; the title of an HTML page."""
    text = " ".join(body[:400].decode("utf-8", "replace").split())
    if text[:1] == "<":
        title = re.search(r"<title>(.*?)</title>", text, re.IGNORECASE)
        return f"an HTML page ({title[1].strip()})" if title else "an HTML page"
    return repr(text[:80]) if text else "an empty answer"
