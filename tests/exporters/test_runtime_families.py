"""Families as text: exact numbers, right escapes, no twins; parsers of `prometheus_client` read them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    StateSetMetricFamily,
    SummaryMetricFamily,
    UnknownMetricFamily,
)
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporters.runtime.families import Family, format_value, header, render

WATTS = Family("a_watts", "gauge", "Watts.", ("zone",))


def page(filled: object, *, openmetrics: bool) -> str:
    r = render(filled)  # type: ignore[arg-type]
    return (
        header(r.name, r.kind, r.help, openmetrics=openmetrics) + r.lines + ("# EOF\n" if openmetrics else "")
    )


def test_a_family_is_lines_in_the_order_of_its_rows() -> None:
    filled = WATTS([(("package_0",), 12.5), (("dram_0",), 3)])
    assert render(filled).lines == 'a_watts{zone="package_0"} 12.5\na_watts{zone="dram_0"} 3\n'


def test_unknown_values_publish_nothing() -> None:
    assert render(WATTS([(("a",), None), (("b",), 0.0)])).lines == 'a_watts{zone="b"} 0.0\n'
    assert render(WATTS([(("a",), None)])).prefixes == []


def test_the_second_rendering_is_like_the_first() -> None:
    """The kept constant parts do not mix up lines whose order or number changes."""
    render(WATTS([(("a",), 1.0), (("b",), 2.0)]))
    assert (
        render(WATTS([(("b",), 3.0), (("c",), 4.0)])).lines
        == 'a_watts{zone="b"} 3.0\na_watts{zone="c"} 4.0\n'
    )


def test_label_sets_that_come_and_go_are_not_kept_for_ever() -> None:
    family = Family("b_watts", "gauge", "Watts.", ("container",))
    for i in range(10_000):
        render(family([((f"c{i}",), 1.0)]))
    assert len(family._prefixes) < 200


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.1, "0.1"),
        (1 / 3, "0.3333333333333333"),
        (2**53 + 1, "9007199254740993"),
        (True, "1"),
        (False, "0"),
        (-0.0, "-0.0"),
        (1e21, "1e+21"),
        (5e-324, "5e-324"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
    ],
)
def test_numbers_are_exact(number: float, text: str) -> None:
    assert format_value(number) == text
    assert render(Family("n", "gauge", "N.").one(number)).lines == f"n {text}\n"


@given(st.floats(allow_nan=False))
def test_every_float_survives_both_formats(number: float) -> None:
    filled = Family("n", "gauge", "N.").one(number)
    for parse, openmetrics in ((parse_text, False), (parse_openmetrics, True)):
        (family,) = parse(page(filled, openmetrics=openmetrics))
        assert family.samples[0].value == number


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_label_value_survives_both_formats(value: str) -> None:
    """Text that a name may hold: quotes, backslashes, line ends, any script."""
    filled = WATTS([((value,), 1.0)])
    for parse, openmetrics in ((parse_text, False), (parse_openmetrics, True)):
        text = page(filled, openmetrics=openmetrics)
        assert len(text.split("\n")) == 4 + openmetrics
        (family,) = parse(text)
        assert family.samples[0].labels == {"zone": value}


def test_help_is_escaped_as_each_format_says() -> None:
    text = 'Of "x" \\ and\nmore.'
    assert header("a", "gauge", text, openmetrics=False) == (
        '# HELP a Of "x" \\\\ and\\nmore.\n# TYPE a gauge\n'
    )
    assert header("a", "gauge", text, openmetrics=True) == (
        '# HELP a Of \\"x\\" \\\\ and\\nmore.\n# TYPE a gauge\n'
    )


def test_kinds_are_named_as_each_format_knows_them() -> None:
    assert header("a_total", "counter", "A.", openmetrics=True).endswith("# TYPE a counter\n")
    assert header("a_total", "counter", "A.", openmetrics=False).endswith("# TYPE a_total counter\n")
    assert header("a_info", "info", "A.", openmetrics=True).endswith("# TYPE a info\n")
    assert header("a_info", "info", "A.", openmetrics=False).endswith("# TYPE a_info gauge\n")
    assert header("a", "unknown", "A.", openmetrics=False).endswith("# TYPE a untyped\n")


def test_a_gauge_named_total_is_read_back_by_both_parsers() -> None:
    """``cost_total`` is a gauge of the contract."""
    cost = Family("cost_total", "gauge", "Cost.", ("currency",))
    for parse, openmetrics in ((parse_text, False), (parse_openmetrics, True)):
        (family,) = parse(page(cost([(("USD",), 2.0)]), openmetrics=openmetrics))
        assert (family.type, family.samples[0].name, family.samples[0].value) == ("gauge", "cost_total", 2.0)


def test_two_series_with_the_same_labels_are_refused() -> None:
    with pytest.raises(ValueError, match=r'two series with the same labels: a_watts\{zone="x"\}$'):
        render(WATTS([(("x",), 1.0), (("y",), 1.0), (("x",), 2.0)]))
    twins = GaugeMetricFamily("g", "G.", labels=("a", "b"))
    twins.add_metric(("1", "2"), 1)
    twins.add_metric(("1", "2"), 1)
    with pytest.raises(ValueError, match="two series with the same labels"):
        render(twins)


def test_label_values_must_fit_the_label_names() -> None:
    with pytest.raises(ValueError, match="a_watts: expected 1 label values"):
        render(WATTS([(("x", "y"), 1.0)]))


@pytest.mark.parametrize(
    ("name", "kind", "labels"),
    [
        ("1a", "gauge", ()),
        ("a b", "gauge", ()),
        ("a", "counter", ()),
        ("a", "info", ()),
        ("a", "gauge", ("b-c",)),
        ("a", "gauge", ("__name",)),
        ("", "gauge", ()),
    ],
)
def test_a_family_that_the_formats_forbid_cannot_be_defined(
    name: str, kind: str, labels: tuple[str, ...]
) -> None:
    with pytest.raises(ValueError, match=r"expected a metric name|is no label name"):
        Family(name, kind, "Help.", labels)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "metric",
    [
        GaugeMetricFamily("g", "G.", value=1.5),
        CounterMetricFamily("c", "C.", value=2.5, created=1.0),
        InfoMetricFamily("i", "I.", value={"version": "1"}),
        UnknownMetricFamily("u", "U.", value=3.5),
        HistogramMetricFamily("h", "H.", buckets=[("1.0", 2), ("+Inf", 3)], sum_value=4.0),
        SummaryMetricFamily("s", "S.", count_value=2, sum_value=5.0),
        StateSetMetricFamily("e", "E.", {"on": True, "off": False}),
    ],
    ids=lambda m: m.type,
)
@pytest.mark.parametrize("openmetrics", [False, True])
def test_families_of_the_client_library_are_taken(metric: object, openmetrics: bool) -> None:
    parse = parse_openmetrics if openmetrics else parse_text
    (family,) = parse(page(metric, openmetrics=openmetrics))
    kept = [s for s in metric.samples if not s.name.endswith("_created")]  # type: ignore[attr-defined]
    assert [(s.name, s.labels, s.value) for s in family.samples] == [
        (s.name, s.labels, s.value) for s in kept
    ]
