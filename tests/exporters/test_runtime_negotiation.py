"""What a client gets for what it asked."""

from __future__ import annotations

import pytest
from exporters.runtime.negotiation import Wish, scrape_budget_seconds, wants_gzip, wants_openmetrics
from hypothesis import given
from hypothesis import strategies as st

# what Prometheus 2 and 3 ask for
PROMETHEUS_2 = (
    b"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    b"text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    b"application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    b"application/openmetrics-text;version=0.0.1;q=0.4,"
    b"text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,/;q=0.1"
)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (PROMETHEUS_2, True),
        (PROMETHEUS_3, True),
        (b"", False),
        (b"*/*", False),
        (b"text/html,application/xhtml+xml,*/*;q=0.8", False),
        (b"application/openmetrics-text", True),
        (b"Application/OpenMetrics-Text; Version=1.0.0", True),
        (b"application/openmetrics-text;version=2.0.0", False),
        (b"application/openmetrics-text;q=0.2,text/plain;q=0.9", False),
        (b"application/openmetrics-text;q=0.9,text/plain;q=0.2", True),
        (b"application/openmetrics-text;q=0", False),
        (b"application/openmetrics-text;q=many", False),
    ],
)
def test_openmetrics_is_sent_to_who_prefers_it(accept: bytes, expected: bool) -> None:
    assert wants_openmetrics(accept) is expected


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (b"", False),
        (b"gzip", True),
        (b"GZIP;q=1.0", True),
        (b"deflate, br", False),
        (b"gzip;q=0", False),
        (b"*", True),
        (b"gzip;q=0, *;q=1", False),
        (b"identity", False),
    ],
)
def test_gzip_is_sent_to_who_takes_it(accept: bytes, expected: bool) -> None:
    assert wants_gzip(accept) is expected


@given(st.binary(max_size=200))
def test_no_header_breaks_the_negotiation(header: bytes) -> None:
    assert wants_openmetrics(header) in (True, False)
    assert wants_gzip(header) in (True, False)
    assert scrape_budget_seconds(header) > 0


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (b"15", 14.5),
        (b"10.25", 9.75),
        (b"1", 0.5),
        (b"0.4", 0.2),
        (b"", 9.5),
        (b"-3", 9.5),
        (b"nan", 9.5),
        (b"inf", 9.5),
    ],
)
def test_the_budget_leaves_half_a_second_to_send(header: bytes, seconds: float) -> None:
    assert scrape_budget_seconds(header) == pytest.approx(seconds)


def test_repeated_headers_are_one_list() -> None:
    wish = Wish.of(
        [
            (b"accept", b"text/plain"),
            (b"accept", b"*/*"),
            (b"accept-encoding", b"br"),
            (b"accept-encoding", b"gzip"),
        ]
    )
    assert (wish.accept, wish.accept_encoding) == (b"text/plain,*/*", b"br,gzip")
