"""Collectors under the scraper: what fails shows nothing, what heals is whole, what hangs is noticed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporters.runtime import Exporter, Family, Metric, Part, scrape
from exporters.runtime.scrape import PageSource, Scraper
from tests.support.waiting import wait_until

AGE = Family("x_age_seconds", "Age.", ("run",))
OTHER = Family("x_other", "Other.")


def ages(*runs: str) -> list[Metric]:
    return [AGE([((run,), 1.0) for run in runs])]


class Scripted:
    """A collector that does what it was told, the last of it again and again."""

    name = "scripted"

    def __init__(
        self, *script: Mapping[str, Part] | Exception | Callable[[], None], poll_seconds: float | None = None
    ) -> None:
        self._script = list(script)
        self.poll_seconds = poll_seconds

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def parts(self) -> Mapping[str, Part]:
        step = self._script.pop(0) if len(self._script) > 1 else self._script[0]
        if callable(step):
            step()
            return {}
        if isinstance(step, Exception):
            raise step
        return step


def shown(source: PageSource) -> bytes | None:
    page = source.page()
    return None if page is None else page.text(False)


def test_a_failed_look_shows_nothing_and_the_next_one_everything() -> None:
    """Nothing is as before: what was known is said anew, or it is not there."""
    both = {"a": Part(ages, ("a",)), "b": Part(ages, ("b",))}
    one = {"b": Part(ages, ("b",))}
    source = PageSource(Scripted(both, OSError(5, "Input/output error"), one), {})
    assert (shown(source) or b"").count(b"\nx_age_seconds{") == 2
    assert shown(source) is None
    assert (source.success, source.error, source.failures) == (
        False,
        "OSError: [Errno 5] Input/output error",
        1,
    )
    assert (shown(source) or b"").count(b"\nx_age_seconds{") == 1
    assert (source.success, source.error, source.failures) == (True, None, 1)


def test_a_refused_part_is_a_failure_that_names_it() -> None:
    source = PageSource(Scripted({"a": Part(ages, ("a",)), "b": Part(ages, ("a",))}), {})
    assert b'x_age_seconds{run="a"}' in (shown(source) or b"")
    assert source.error == "b: another part has series with the same labels"


def test_a_collector_that_hangs_shows_nothing_once_its_page_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape, "MOST_SECONDS", 0.2)
    go = threading.Event()
    source = PageSource(
        Scripted(
            {"a": Part(ages, ("a",))}, lambda: go.wait(60) and None, {"b": Part(ages, ("b",))}, poll_seconds=0
        ),
        {},
    )
    source.open()
    try:
        wait_until(lambda: source.page() is not None)
        wait_until(lambda: source.page() is None)
        assert source.error == "nothing new for 0 s: the collector hangs"
        go.set()
        wait_until(lambda: b'run="b"' in (shown(source) or b""))
        assert source.success
    finally:
        go.set()
        source.close()


def scraper(*collectors: Scripted) -> Scraper:
    return Scraper(Exporter("x", "X", 0, (), lambda _: ()), collectors)


@pytest.fixture
def quick() -> Iterator[Scripted]:
    return Scripted({"": Part(ages, ("a",))})


def test_a_page_is_the_same_bytes_until_something_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    live = scraper(Scripted({"": Part(ages, ("a",))}))
    former = live.body(openmetrics=False, compress=True)
    assert live.body(openmetrics=False, compress=True) is former
    monkeypatch.setattr(time, "monotonic", lambda: 101.0)
    assert live.body(openmetrics=False, compress=True) is not former


def test_the_families_of_the_process_are_no_collectors() -> None:
    memory = Family("process_resident_memory_bytes", "Mine.")
    live = scraper(Scripted({"": Part(lambda: [memory.one(1)])}))
    (page,) = live.body(openmetrics=False, compress=False)
    families = {family.name: family for family in parse_text(page.decode())}
    assert families["process_resident_memory_bytes"].samples[0].value > 1e6
    assert families["x_exporter_collector_success"].samples[0].value == 0


def test_every_exporter_says_how_its_collectors_did() -> None:
    live = scraper(Scripted(ValueError("broken")))
    for _ in range(3):
        (page,) = live.body(openmetrics=True, compress=False)
    assert b'x_exporter_collector_success{collector="scripted"} 0.0\n' in page
    assert b'x_exporter_collector_failures_total{collector="scripted"} 3.0\n' in page
    assert page.endswith(b"# EOF\n")


def test_two_collectors_of_one_name_are_a_mistake(quick: Scripted) -> None:
    with pytest.raises(ValueError, match="two collectors with one name"):
        scraper(quick, quick)


def test_a_start_that_fails_closes_what_was_started() -> None:
    closed: list[str] = []

    class Started(Scripted):
        name = "started"

        def close(self) -> None:
            closed.append(self.name)

    class Broken(Scripted):
        def start(self) -> None:
            raise OSError("no device")

    with pytest.raises(OSError, match="no device"):
        scraper(Started({}), Broken({})).start()
    assert closed == ["started"]
