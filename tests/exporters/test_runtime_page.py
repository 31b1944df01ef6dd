"""Pages: lines that the parsers of `prometheus_client` read back, renewed by part, never a series twice."""

from __future__ import annotations

import gzip
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporters.runtime import Family, Metric, Part
from exporters.runtime.page import END, Page, PageBuilder, answer, text_of

WATTS = Family("a_watts", "Watts.", ("zone",))
SIZE = Family("x_size_bytes", "Size.", ("run", "item"))
AGE = Family("x_age_seconds", "Age.", ("run",))


def sizes(run: str, *values: int) -> list[Metric]:
    return [SIZE([((run, str(i)), value) for i, value in enumerate(values)]), AGE([((run,), 1.0)])]


def ages(*runs: str) -> list[Metric]:
    return [AGE([((run,), 1.0) for run in runs])]


def part(run: str, *values: int) -> Part:
    return Part(sizes, (run, *values))


def samples(page: Page) -> dict[tuple[str, ...], float]:
    named = [
        ((s.name, *s.labels.values()), s.value)
        for family in parse_text(page.text(False).decode())
        for s in family.samples
    ]
    assert len(named) == len(dict(named))
    return dict(named)


def test_unknown_values_publish_nothing() -> None:
    page = text_of([WATTS([(("a",), None), (("b",), 0.0)])], openmetrics=False)
    assert page.splitlines()[2:] == [b'a_watts{zone="b"} 0.0']
    assert PageBuilder().build({"": Part(lambda: [WATTS([(("a",), None)])])}).text(False) == b""


def test_a_row_needs_a_value_for_each_label() -> None:
    with pytest.raises(ValueError, match="expected 1 label values"):
        WATTS([(("a", "b"), 1.0)])


@given(st.floats(allow_nan=False))
def test_every_float_survives_both_formats(number: float) -> None:
    family = Family("n", "N.").one(number)
    (text,) = parse_text(text_of([family], openmetrics=False).decode())
    (openmetrics,) = parse_openmetrics((text_of([family], openmetrics=True) + END).decode())
    assert text.samples[0].value == openmetrics.samples[0].value == number


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_label_value_survives(value: str) -> None:
    """Text that a name may hold: quotes, backslashes, line ends, any script."""
    page = PageBuilder().build({"": Part(lambda: [WATTS([((value,), 1.0)])])})
    assert samples(page) == {("a_watts", value): 1.0}


def test_kinds_are_named_as_each_format_knows_them() -> None:
    """No ``_created`` comes with a counter."""
    builder = PageBuilder()
    counter, info = Family("a_total", "A."), Family("b_info", "B.")
    page = builder.build({"": Part(lambda: [counter.one(1), info.one(1)])})
    assert page.text(False).decode() == (
        "# HELP a_total A.\n# TYPE a_total counter\na_total 1.0\n"
        "# HELP b_info B.\n# TYPE b_info gauge\nb_info 1.0\n"
    )
    assert page.text(True).decode() == (
        "# HELP a A.\n# TYPE a counter\na_total 1.0\n# HELP b B.\n# TYPE b info\nb_info 1.0\n"
    )


def test_a_gauge_named_total_keeps_its_name() -> None:
    """``cost_total`` is a gauge of the contract."""
    cost = Family("cost_total", "Cost.", kind="gauge").one(2.5)
    for openmetrics in (False, True):
        lines = text_of([cost], openmetrics).splitlines()
        assert lines[1:] == [b"# TYPE cost_total gauge", b"cost_total 2.5"]


def test_families_are_joined_over_parts_with_one_header() -> None:
    page = PageBuilder().build({"a": part("a", 5), "b": part("b", 7, 9)})
    assert page.text(False).decode() == (
        "# HELP x_size_bytes Size.\n"
        "# TYPE x_size_bytes gauge\n"
        'x_size_bytes{item="0",run="a"} 5.0\n'
        'x_size_bytes{item="0",run="b"} 7.0\n'
        'x_size_bytes{item="1",run="b"} 9.0\n'
        "# HELP x_age_seconds Age.\n"
        "# TYPE x_age_seconds gauge\n"
        'x_age_seconds{run="a"} 1.0\n'
        'x_age_seconds{run="b"} 1.0\n'
    )


def test_a_part_with_the_same_inputs_is_not_rendered_again() -> None:
    asked = []

    def counted(run: str, *values: int) -> list[Metric]:
        asked.append(run)
        return sizes(run, *values)

    builder = PageBuilder()
    first = builder.build({"a": Part(counted, ("a", 5))})
    assert builder.build({"a": Part(counted, ("a", 5))}) is first
    builder.build({"a": Part(counted, ("a", 5)), "b": Part(counted, ("b", 1))})
    builder.build({"a": Part(counted, ("a", 6))})
    assert asked == ["a", "b", "a"]


def test_what_is_gone_leaves_no_series_and_no_empty_family() -> None:
    builder = PageBuilder()
    builder.build({"a": part("a", 5), "b": Part(ages, ("b",))})
    page = builder.build({"b": Part(ages, ("b",))})
    assert (
        page.text(False)
        == b'# HELP x_age_seconds Age.\n# TYPE x_age_seconds gauge\nx_age_seconds{run="b"} 1.0\n'
    )
    assert builder.build({}).text(False) == b""


def test_a_series_that_another_part_has_is_refused_with_its_part() -> None:
    builder = PageBuilder()
    page = builder.build({"a": part("a", 1), "b": Part(ages, ("b", "a"))})
    assert page.error == "b: another part has series with the same labels"
    assert samples(page) == {("x_size_bytes", "0", "a"): 1, ("x_age_seconds", "a"): 1.0}
    later = builder.build({"b": Part(ages, ("b", "a"))})
    assert later.error is None
    assert set(samples(later)) == {("x_age_seconds", "b"), ("x_age_seconds", "a")}


def test_twins_in_a_part_are_refused_and_leave_the_others() -> None:
    page = PageBuilder().build({"a": Part(ages, ("a", "a")), "b": part("b")})
    assert page.error == 'a: two series with the same labels: x_age_seconds{run="a"}'
    assert samples(page) == {("x_age_seconds", "b"): 1.0}


def test_a_family_belongs_to_one_collector() -> None:
    owners: dict[str, str] = {}
    first = PageBuilder("first", owners).build({"": Part(ages, ("a",))})
    second = PageBuilder("second", owners).build({"": Part(ages, ("b",))})
    assert first.error is None
    assert second.error == "the family x_age_seconds is the first collector's"
    assert second.text(False) == b""


def test_a_part_that_failed_for_a_reason_that_may_pass_is_rendered_again() -> None:
    builder = PageBuilder()
    trouble = [MemoryError("no memory"), None]

    def families() -> list[Metric]:
        problem = trouble.pop(0)
        if problem is not None:
            raise problem
        return ages("a")

    assert builder.build({"a": Part(families), "b": part("b")}).error == "a: MemoryError: no memory"
    page = builder.build({"a": Part(families), "b": part("b")})
    assert page.error is None
    assert set(samples(page)) == {("x_age_seconds", "a"), ("x_age_seconds", "b")}


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
                parts[key] = part(key, *(chance.randrange(10**9) for _ in range(chance.randrange(100))))
        page = builder.build(dict(parts))
        assert samples(page) == samples(PageBuilder().build(dict(parts)))
        for openmetrics in (False, True):
            packed = b"".join(answer([page], openmetrics=openmetrics, compress=True))
            plain = b"".join(answer([page], openmetrics=openmetrics, compress=False))
            assert gzip.decompress(packed) == plain == page.text(openmetrics) + END * openmetrics


def test_pages_are_one_gzip_member() -> None:
    """Clients that stop after the first member see all."""
    import zlib

    pages = [PageBuilder().build({"": part(run, 1, 2)}) for run in ("a", "b")]
    decompressor = zlib.decompressobj(31)
    packed = b"".join(answer(pages, openmetrics=True, compress=True))
    assert decompressor.decompress(packed) == pages[0].text(True) + pages[1].text(True) + END
    assert (decompressor.eof, decompressor.unused_data) == (True, b"")


def test_a_new_page_has_ready_what_was_asked_of_the_former() -> None:
    builder = PageBuilder()
    former = builder.build({"a": part("a")})
    answer([former], openmetrics=True, compress=True)
    page = builder.build({"a": part("a", 1)})
    assert (list(page._packed), list(page._text)) == ([True], [])


def test_a_part_that_failed_and_is_gone_is_no_failure_any_more() -> None:
    def families() -> list[Metric]:
        raise MemoryError("no memory")

    builder = PageBuilder()
    assert builder.build({"a": Part(families)}).error == "a: MemoryError: no memory"
    assert builder.build({}).error is None


def rows(part: str, count: int) -> list[Metric]:
    size = Family("x_size", "Size.", ("part", "name"))
    return [size([((part, f"{number:0100d}"), 1.0) for number in range(count)])]


def test_a_page_has_a_limit_and_keeps_the_newest_parts() -> None:
    """The whole's part stays; what is beyond is named, and what fits is shown."""
    builder = PageBuilder(most_bytes=3000)
    parts = {"": Part(rows, ("", 1)), **{name: Part(rows, (name, 10)) for name in ("old", "new", "newest")}}
    page = builder.build(parts)
    shown = set(re.findall('part="(.*?)"', page.text(False).decode()))
    assert shown == {"", "new", "newest"}
    assert page.error == "old: the page would hold more than 0 MiB"


def test_a_label_has_an_end() -> None:
    family = Family("x_path", "A path.", ("path",))
    assert family([(("p" * 2_000_000,), 1.0)]).samples[0].labels["path"] == "p" * 1000 + "..."
