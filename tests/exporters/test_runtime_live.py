"""Live collectors and what the page says of them."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Iterable

import pytest
from exporters.runtime.live import LiveSource
from prometheus_client.parser import text_string_to_metric_families as parse_text

from exporters.runtime import Exporter, Family, Filled
from exporters.runtime.scrape import Scraper

ONE = Family("x_one", "gauge", "One.")
TWO = Family("x_two", "gauge", "Two.")


class Told:
    """A collector that does what it is told."""

    def __init__(self, name: str, collect: Callable[[], Iterable[Filled]], *, blocking: bool = False) -> None:
        self.name, self.blocking, self._collect = name, blocking, collect

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass

    def collect(self) -> Iterable[Filled]:
        return self._collect()


def scraper(*collectors: Told) -> Scraper:
    return Scraper(Exporter("x", "X", 0, (), lambda _: ()), collectors)


async def page(s: Scraper, budget_seconds: float = 5.0) -> dict[str, float]:
    body = await s.answer(openmetrics=False, compress=False, budget_seconds=budget_seconds)
    families = parse_text(b"".join(body).decode())
    found = [(s.name + json.dumps(s.labels), s.value) for f in families for s in f.samples]
    assert len(found) == len(dict(found))
    return dict(found)


def test_a_family_of_one_name_in_two_collectors_is_shown_once() -> None:
    """The first keeps its series, the second fails: duplicates are never published."""
    s = scraper(Told("a", lambda: [ONE.one(1)]), Told("b", lambda: [ONE.one(2), TWO.one(3)]))
    found = asyncio.run(page(s))
    assert found["x_one{}"] == 1
    assert "x_two{}" not in found
    assert found['x_exporter_collector_success{"collector": "a"}'] == 1
    assert found['x_exporter_collector_success{"collector": "b"}'] == 0
    assert s.reports["b"].error == "two families with one name: x_one"


def test_a_family_twice_in_one_collector_is_a_failure() -> None:
    found = asyncio.run(page(scraper(Told("a", lambda: [ONE.one(1), ONE.one(2)]))))
    assert "x_one{}" not in found
    assert found['x_exporter_collector_success{"collector": "a"}'] == 0


def test_half_of_a_failed_collection_is_not_shown() -> None:
    def breaks() -> Iterable[Filled]:
        yield ONE.one(1)
        raise RuntimeError("half way")

    assert "x_one{}" not in asyncio.run(page(scraper(Told("a", breaks))))


def test_blocking_collectors_run_beside_each_other() -> None:
    """Each waits until the other runs, so one after the other would never end."""
    both = threading.Barrier(2, timeout=5)

    def meet(family: Family) -> Callable[[], list[Filled]]:
        def collect() -> list[Filled]:
            both.wait()
            return [family.one(1)]

        return collect

    s = scraper(Told("a", meet(ONE), blocking=True), Told("b", meet(TWO), blocking=True))
    found = asyncio.run(page(s))
    s.close()
    assert (found["x_one{}"], found["x_two{}"]) == (1, 1)


def test_scrapes_at_one_time_share_a_collection() -> None:
    count = []
    go = threading.Event()

    def collect() -> list[Filled]:
        count.append(1)
        go.wait(5)
        return [ONE.one(len(count))]

    s = scraper(Told("a", collect, blocking=True))

    async def two() -> list[dict[str, float]]:
        first, second = (asyncio.ensure_future(page(s)) for _ in range(2))
        await asyncio.sleep(0.05)
        go.set()
        return [await first, await second, await page(s)]

    answers = asyncio.run(two())
    s.close()
    assert [a["x_one{}"] for a in answers] == [1, 1, 2]


def test_a_late_answer_is_dropped_and_the_next_one_is_fresh() -> None:
    go = threading.Event()
    count = []

    def collect() -> list[Filled]:
        count.append(1)
        if len(count) == 1:
            go.wait(5)
        return [ONE.one(len(count))]

    s = scraper(Told("a", collect, blocking=True))

    async def late() -> list[dict[str, float]]:
        first = await page(s, budget_seconds=0.05)
        go.set()
        await asyncio.sleep(0.1)
        return [first, await page(s)]

    first, second = asyncio.run(late())
    s.close()
    assert "x_one{}" not in first
    assert s.reports["a"].failures == 1
    assert second["x_one{}"] == 2


def test_a_failure_is_logged_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    faults = [OSError("gone"), OSError("gone"), OSError("worse"), None, OSError("gone")]

    def collect() -> list[Filled]:
        fault = faults.pop(0)
        if fault is not None:
            raise fault
        return []

    s = scraper(Told("a", collect))

    async def five() -> dict[str, float]:
        for _ in range(4):
            await page(s)
        return await page(s)

    with caplog.at_level(logging.INFO, "wattframe"):
        last = asyncio.run(five())
    assert [(r.levelname, r.getMessage(), r.values.get("error")) for r in caplog.records] == [
        ("ERROR", "collector failed", "OSError: gone"),
        ("ERROR", "collector failed", "OSError: worse"),
        ("INFO", "collector recovered", None),
        ("ERROR", "collector failed", "OSError: gone"),
    ]
    assert last['x_exporter_collector_failures_total{"collector": "a"}'] == 4


def test_two_collectors_with_one_name_cannot_be_served() -> None:
    with pytest.raises(ValueError, match="two collectors with one name"):
        scraper(Told("a", lambda: []), Told("a", lambda: []))


def test_the_same_object_as_last_time_is_not_rendered_again() -> None:
    """A collector whose data have not changed costs no text; a new object is rendered."""
    families = [ONE.one(1)]
    source = LiveSource(Told("a", lambda: families))
    first = source.now().block
    assert source.now().block is first
    families = [ONE.one(2)]
    assert source.now().block.text(False).endswith("\nx_one 2\n")
