"""Snapshot pages: joined by family, renewed by part, never with a series twice."""

from __future__ import annotations

import gzip
import random
from collections.abc import Mapping

import pytest
from exporters.runtime.gzips import Piece, begin, finish
from exporters.runtime.snapshot import Page, PageBuilder, SnapshotSource
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporters.runtime import Family, Filled, Part

SIZE = Family("x_size_bytes", "gauge", "Size.", ("run", "item"))
AGE = Family("x_age_seconds", "gauge", "Age.", ("run",))


def part(run: str, *sizes: int) -> list[Filled]:
    return [SIZE([((run, str(i)), size) for i, size in enumerate(sizes)]), AGE([((run,), 1.0)])]


def samples(page: bytes) -> dict[tuple[str, ...], float]:
    found = [((s.name, *s.labels.values()), s.value) for f in parse_text(page.decode()) for s in f.samples]
    assert len(found) == len(dict(found))
    return dict(found)


def test_families_are_joined_over_parts_with_one_header() -> None:
    page = PageBuilder().build({"a": part("a", 5), "b": part("b", 7, 9)})
    assert page.plain(False).decode() == (
        "# HELP x_size_bytes Size.\n"
        "# TYPE x_size_bytes gauge\n"
        'x_size_bytes{run="a",item="0"} 5\n'
        'x_size_bytes{run="b",item="0"} 7\n'
        'x_size_bytes{run="b",item="1"} 9\n'
        "# HELP x_age_seconds Age.\n"
        "# TYPE x_age_seconds gauge\n"
        'x_age_seconds{run="a"} 1.0\n'
        'x_age_seconds{run="b"} 1.0\n'
    )


def test_the_first_parts_help_counts() -> None:
    other = Family("x_age_seconds", "gauge", "Other words.", ("run",))
    page = PageBuilder().build({"a": part("a"), "b": [other([(("b",), 2.0)])]})
    assert page.plain(False).count(b"# HELP") == 1
    assert b"Other words" not in page.plain(False)


def test_a_part_that_is_the_same_object_is_not_rendered_again() -> None:
    asked = []

    def lazily() -> list[Filled]:
        asked.append(1)
        return part("a", 5)

    builder = PageBuilder()
    first = builder.build({"a": lazily})
    second = builder.build({"a": lazily, "b": part("b", 1)})
    assert len(asked) == 1
    assert samples(second.plain(False))["x_size_bytes", "a", "0"] == 5
    assert ("x_age_seconds", "b") not in samples(first.plain(False))


def test_what_is_gone_leaves_no_series_and_no_empty_family() -> None:
    builder = PageBuilder()
    kept = part("b")[1:]
    builder.build({"a": part("a", 5), "b": kept})
    assert builder.build({"b": kept}).plain(False) == (
        b'# HELP x_age_seconds Age.\n# TYPE x_age_seconds gauge\nx_age_seconds{run="b"} 1.0\n'
    )
    assert builder.build({}).plain(False) == b""


def test_a_series_that_another_part_has_is_refused_with_its_part() -> None:
    builder = PageBuilder()
    first = part("a", 1)
    page = builder.build({"a": first, "b": [*part("b", 3)[:1], AGE([(("a",), 5.0)])]})
    assert builder.refused == {"b": 'ValueError: two series with the same labels: x_age_seconds{run="a"}'}
    assert samples(page.plain(False)) == {("x_size_bytes", "a", "0"): 1, ("x_age_seconds", "a"): 1.0}
    assert builder.build({"a": first}).names == {"x_size_bytes", "x_age_seconds"}
    assert builder.refused == {}


def test_a_refused_part_comes_in_when_the_other_is_gone() -> None:
    builder = PageBuilder()
    late = [AGE([(("a",), 5.0)])]
    builder.build({"a": part("a"), "b": late})
    assert samples(builder.build({"b": late}).plain(False)) == {("x_age_seconds", "a"): 5.0}


def test_one_name_with_two_kinds_or_twice_in_a_part_is_refused() -> None:
    builder = PageBuilder()
    counter = Family("x_n_total", "counter", "N.", ("run",))
    gauge = Family("x_n_total", "gauge", "N.", ("run",))
    builder.build({"a": [counter([(("a",), 1)])], "b": [gauge([(("b",), 1)])], "c": [AGE([(("c",), 1)])] * 2})
    assert builder.refused == {
        "b": "ValueError: two families with the name x_n_total",
        "c": "ValueError: two families with the name x_age_seconds",
    }


def test_random_changes_give_the_page_of_a_fresh_start() -> None:
    """Whatever came and went: every format and encoding holds exactly the parts of now."""
    chance = random.Random(7)
    builder = PageBuilder()
    parts: dict[str, Part] = {}
    for _ in range(60):
        for _ in range(chance.randrange(6)):
            key = f"run{chance.randrange(40)}"
            if chance.random() < 0.3:
                parts.pop(key, None)
            else:
                parts[key] = part(key, *(chance.randrange(10**9) for _ in range(chance.randrange(300))))
        page = builder.build(dict(parts))
        expected = samples(PageBuilder().build(dict(parts)).plain(False))
        assert samples(page.plain(False)) == expected
        assert gzip.decompress(b"".join(finish(begin([page.piece(True)])))) == page.plain(True)


def pieces(page: Page) -> list[Piece]:
    return [p for group in page._groups for block in group.blocks for p in block.pieces.values()]


def test_a_new_part_leaves_nearly_all_compressed_pieces_as_they_are() -> None:
    builder = PageBuilder()
    parts = {f"run{i}": part(f"run{i}", *range(100)) for i in range(600)}
    before = {id(p) for p in pieces(builder.build(parts))}
    after = pieces(builder.build({**parts, "new": part("new", 1)}))
    assert len(before) > 20
    assert sum(id(p) not in before for p in after) <= 2


class Scripted:
    """A collector whose refreshes are told beforehand."""

    name = "scripted"
    poll_seconds = 3600.0

    def __init__(self, *script: Mapping[str, Part] | Exception | None) -> None:
        self._script = list(script)

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def refresh(self) -> Mapping[str, Part] | None:
        answer = self._script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_failed_refresh_shows_nothing_and_the_next_one_brings_it_back() -> None:
    told: list[str | None] = []
    source = SnapshotSource(
        Scripted({"a": part("a")}, OSError(5, "Input/output error"), None, None),
        lambda s: told.append(s.error),
    )
    assert (source.loaded, source.page) == (False, None)
    source.refresh()
    page = source.page
    assert source.loaded
    assert page is not None
    source.refresh()
    assert source.page is None
    source.refresh()
    assert source.page is page
    assert told == [None, "OSError: [Errno 5] Input/output error", None]


def test_a_refused_part_is_a_failure_that_names_it() -> None:
    told: list[str | None] = []
    source = SnapshotSource(Scripted({"a": part("a"), "b": part("a")}), lambda s: told.append(s.error))
    source.refresh()
    assert told == ['b: ValueError: two series with the same labels: x_age_seconds{run="a"}']
    assert source.page is not None
    assert samples(source.page.plain(False)) == {("x_age_seconds", "a"): 1.0}


def test_a_new_page_has_ready_what_was_asked_of_the_former() -> None:
    builder = PageBuilder()
    former = builder.build({"a": part("a")})
    former.piece(True)
    page = builder.build({"a": part("a", 1)})
    page.prepare(former)
    assert (list(page._piece), list(page._plain)) == ([True], [])


@pytest.mark.parametrize("openmetrics", [False, True])
def test_an_empty_page_has_no_bytes(openmetrics: bool) -> None:
    page = PageBuilder().build({})
    assert page.plain(openmetrics) == b""
    assert page.piece(openmetrics).length == 0
