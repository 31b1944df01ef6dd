"""A file of prices as rows of named cells, whether it is JSON, XML or CSV.

What is said once, of a whole document or of a part of it, is in every row of it.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from advisor.common.json_keys import repeated_keys
from advisor.cost.checks import Checker
from advisor.cost.tariffs.clocks import unix_seconds
from advisor.errors import PricingError

_LISTS = ("history", "data", "forecast", "multiAreaEntries", "results", "records", "regions")
"""Where the documents of providers have their values."""
_BETWEEN = ",;\t|"
_NUMBERS = {
    mark: re.compile(
        rf"(?P<sign>[-+\u2212]?)(?=[{mark}]?\d)"
        rf"(?P<whole>\d*|[1-9]\d?\d?(?P<apart>[{apart}'\u2019\s])\d{{3}}(?:(?P=apart)\d{{3}})*)"
        rf"(?:[{mark}](?P<fraction>\d*))?(?P<exponent>(?(apart)(?!)|e[-+]?\d+))?",
        re.IGNORECASE,
    )
    for mark, apart in ((",", "."), (".", ","))
}
"""Sign, whole, fraction and exponent of a number, by its decimal mark; no thousands before an exponent."""


class Row(NamedTuple):
    """What is said of one span of time."""

    cells: Mapping[str, Any]
    place: str
    """Of a cell, for errors; ``{}`` stands for its name."""
    around: Row | None = None
    """What holds for more rows than this, and is there once for all of them."""

    def cell(self, name: str) -> Any:
        """The cell of that name; a KeyError where there is none."""
        row: Row | None = self
        while row is not None:
            if name in row.cells:
                return row.cells[name]
            row = row.around
        raise KeyError(name)

    def get(self, name: str) -> Any:
        """The same; None where there is none."""
        try:
            return self.cell(name)
        except KeyError:
            return None


def is_hole(cell: object) -> bool:
    """Whether a cell says that there is no value."""
    return cell is None or str(cell).strip(" -").casefold() in ("", "n/e", "n/a", "na", "nan", "null", "none")


def read_rows(text: str, check: Checker) -> tuple[list[str], list[Row]]:
    """The names of all cells, and the rows; an answer of a provider without a value has neither."""
    start = text.lstrip()[:1]
    if start == "<":
        rows = list(_of_xml(text, check))
    elif start in ("{", "["):
        try:
            rows = [row for row in _of_json(json.loads(text), check) if row.cells or row.around]
            for place in repeated_keys(text.encode()):
                raise check.error("expected each name once, found it twice", place)
        except PricingError:
            raise
        except (ValueError, RecursionError) as exc:
            raise check.error(f"expected JSON: {exc}") from None
    else:
        return _of_csv(text, check)
    names: dict[str, None] = {}
    parts = rows
    while parts:
        names |= dict.fromkeys(itertools.chain.from_iterable(part.cells for part in parts))
        parts = list({id(part.around): part.around for part in parts if part.around is not None}.values())
    return list(names), rows


def _of_json(item: Any, check: Checker, place: str = "", around: Row | None = None) -> Iterator[Row]:
    """A row for each entry of the innermost list."""
    if isinstance(item, list):
        for index, entry in enumerate(item):
            yield from _of_json(entry, check, f"{place}[{index}]", around)
        return
    cells: dict[str, Any] = {}
    lists = {}
    for name, value in item.items() if isinstance(item, dict) else [("", item)]:
        if isinstance(value, (list, dict)) and name in _LISTS:
            lists[name] = value
        elif isinstance(value, dict):
            cells |= {f"{name}.{inner}": cell for inner, cell in value.items()}
        else:
            cells[name] = value
    row = Row(cells, f"{place}.{{}}".lstrip("."), around)
    for name, value in lists.items():
        yield from _of_json(value, check, f"{place}.{name}".lstrip("."), row if cells else around)
    if isinstance(cells.get("unix_seconds"), list):
        # one list for each column
        columns = {name: value for name, value in cells.items() if isinstance(value, list)}
        if len(set(map(len, columns.values()))) > 1:
            raise check.error(f"expected lists of one length as {' and '.join(columns)}")
        for index, values in enumerate(zip(*columns.values(), strict=True)):
            yield Row(dict(zip(columns, values, strict=True)), f"{{}}[{index}]", row)
    elif not lists:
        yield row


def _of_xml(text: str, check: Checker) -> Iterator[Row]:
    """A row for each point of a document of ENTSO-E's transparency platform (Publication_MarketDocument)."""
    from xml.etree import ElementTree

    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise check.error("expected XML without a document type")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - without a document type
    except ElementTree.ParseError as exc:
        raise check.error(f"expected XML: {exc}") from None
    for part in root.iter():
        part.tag = part.tag.rpartition("}")[2]
    if root.tag == "Acknowledgement_MarketDocument":
        raise check.error(f"expected prices, found ENTSO-E's answer: {root.findtext('Reason/text')}")
    if root.tag != "Publication_MarketDocument":
        yield Row({root.tag: root.text}, "{}")
    for number, series in enumerate(root.findall("TimeSeries"), 1):
        cells = {part.tag: part.text for part in series}
        # a document may hold intraday auctions too
        if cells.get("contract_MarketAgreement.type") in (None, "A01"):
            for period in series.findall("Period"):
                yield from _points(period, Row(cells, f"TimeSeries {number}"), check)


def _points(period: Any, series: Row, check: Checker) -> Iterator[Row]:
    """A position that is left out has the price of the one before it, but in curves of type A01."""
    place = series.place
    start, end = (
        unix_seconds(str(period.findtext(f"timeInterval/{name}")), check, f"{place}, {name}")
        for name in ("start", "end")
    )
    resolution = re.fullmatch(r"PT(\d{1,4})(M|H)", period.findtext("resolution") or "")
    if resolution is None:
        raise check.error("expected a resolution such as PT15M", place)
    step = int(resolution[1]) * (60 if resolution[2] == "M" else 3600)
    try:
        points = sorted(
            (int(p.findtext("position")), p.findtext("price.amount", "")) for p in period.findall("Point")
        )
        edges = [start + (position - 1) * step for position, _ in points] + [end]
    except (TypeError, ValueError, OverflowError):
        raise check.error("expected a whole number as position of each Point", place) from None
    for (position, amount), (since, until) in zip(points, itertools.pairwise(edges), strict=True):
        point = f"{place}, Point {position}"
        if not start <= since < until:
            raise check.error("expected each position once and within the period", point)
        until = since + step if series.get("curveType") == "A01" else until
        yield Row({"Point.start": since, "Point.end": until, "price.amount": amount}, point, series)


def _of_csv(text: str, check: Checker) -> tuple[list[str], list[Row]]:
    """A table with any of `_BETWEEN` between its cells; every row as long as its header."""
    # Excel may begin with a line that says what parts the cells
    separator_line = re.match(rf'"?sep=([{_BETWEEN}])"?\r?\n', text, re.IGNORECASE)
    header = text.lstrip("\r\n").partition("\n")[0]
    delimiter = separator_line[1] if separator_line else max(_BETWEEN, key=header.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        table = [(lines.line_num, [cell.strip() for cell in cells]) for cells in lines]
    except csv.Error as exc:
        raise check.error(f"expected CSV: {exc}", f"line {lines.line_num}") from None
    below = table[1 if separator_line else 0 :]
    (_, columns), *filled = [line for line in below if any(line[1])] or [(1, [""])]
    twice = [name for name, count in Counter(columns).items() if name and count > 1]
    if twice:
        raise check.error(f"expected each column once, found {twice[0]!r} twice", "line 1")
    for line, cells in filled:
        if len(cells) != len(columns):
            problem = f"expected {len(columns)} cells as in the header, found {len(cells)}"
            comma = delimiter == "," and len(cells) > len(columns)
            hint = " (a decimal comma needs a semicolon between the cells)" if comma else ""
            raise check.error(problem + hint, f"line {line}")
    across = list(zip(*(cells for _, cells in filled), strict=True))
    texts = zip(*_plain_numbers(across, delimiter), strict=True)
    return columns, [
        Row(dict(zip(columns, cells, strict=True)), f"line {line}, {{}}")
        for (line, _), cells in zip(filled, texts, strict=True)
    ]


def _plain_numbers(columns: Sequence[Sequence[str]], delimiter: str) -> list[list[str]]:
    """Numbers with a decimal point and nothing between thousands; other texts as they are.

    A number that can be read with one decimal mark alone tells the mark of its column, and of the columns in
    which none does. Where none does at all, a comma that does not part the cells is one.

    >>> _plain_numbers([["1.030", "932,5"]], ";"), _plain_numbers([["1,030"], ["932.5"]], ",")
    ([['1030', '932.5']], [['1030'], ['932.5']])
    """
    told = [_decimal_mark(column) for column in columns]
    marks = [mark or next(filter(None, told), None) for mark in told]
    return [_plain_column(column, mark, delimiter) for column, mark in zip(columns, marks, strict=True)]


def _decimal_mark(column: Sequence[str]) -> str | None:
    for cell in column:
        # "1." may be the first of a list
        marks = [mark for mark, number in _NUMBERS.items() if number.fullmatch(cell.rstrip(",."))]
        if len(marks) == 1:
            return marks[0]
    return None


def _plain_column(column: Sequence[str], mark: str | None, delimiter: str) -> list[str]:
    plain = [cell for cell in column if cell.isdecimal() and cell.strip("0")]
    if mark is None and delimiter != "," and plain and max(map(len, plain)) < 4:
        # beside numbers from 1 to 999 without any mark, one that could part thousands does; where cells are
        # parted by what leaves the comma to decimals, a comma does not
        mark = "." if delimiter != ";" and any("," in cell for cell in column) else ","
    either = mark or (",." if delimiter == "," else "")
    return [_plain_number(cell, either or ("," if "," in cell else ".")) for cell in column]


def _plain_number(cell: str, marks: str) -> str:
    """The number that a cell is by each of the decimal ``marks``, if it is the same one; else the cell."""
    readings = set()
    for match in filter(None, (_NUMBERS[mark].fullmatch(cell) for mark in marks)):
        sign, whole, _, fraction, exponent = match.groups("")
        number = (re.sub(r"\D", "", whole) or "0") + (f".{fraction}" if fraction else "") + exponent
        readings.add(number if sign in ("", "+") else f"-{number}")
    return readings.pop() if len(readings) == 1 else cell
