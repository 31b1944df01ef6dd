"""What all tests share: golden files, the long tests' flag."""

from __future__ import annotations

import difflib
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.longest import LONGEST

# what a shell starts in the background ignores SIGINT, and so would all that the tests start and interrupt
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# a busy machine is no reason to fail: no test is timed; the same inputs each time, unless tests may take long
settings.register_profile("wattframe", deadline=None, derandomize=True)
settings.register_profile("wattframe-long", deadline=None, max_examples=1000)

# what exporters keep over a restart stays out of the home of who runs the tests
_STATE = tempfile.mkdtemp(prefix="wattframe-state-")
os.environ.setdefault("STATE_DIRECTORY", _STATE)

TESTS = Path(__file__).parent
GOLDEN = TESTS / "exporters" / "golden"


def pytest_unconfigure() -> None:
    shutil.rmtree(_STATE, ignore_errors=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="also run the tests that take minutes")
    parser.addoption("--refresh-golden", action="store_true", help="write golden files instead of comparing")


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("wattframe-long" if config.getoption("--long") else "wattframe")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # of pytest-xdist
        first = {TESTS / name: place for place, name in enumerate(LONGEST)}
        items.sort(key=lambda item: first.get(item.path, len(first)))
    if config.getoption("--long"):
        return
    skip = pytest.mark.skip(reason="takes minutes: run with --long")
    for item in items:
        if "long" in item.keywords:
            item.add_marker(skip)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests recorded with `record_property`: sizes of images, the series of each query."""
    stats = terminalreporter.stats
    reports = [r for kind in ("passed", "failed") for r in stats.get(kind, []) if r.when == "call"]
    lines = [f"{name}: {text}" for report in reports for name, text in report.user_properties]
    if lines:
        terminalreporter.section("recorded")
        terminalreporter.write_line("\n".join(lines))


@pytest.fixture(autouse=True, scope="session")
def _no_signal_is_ignored() -> None:
    """A shell's ``&`` and nohup ignore some, and what is started inherits that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, bytes], None]:
    """Compare a page to ``tests/exporters/golden/NAME`` byte for byte; ``--refresh-golden`` writes it."""

    def compare(name: str, page: bytes) -> None:
        path = GOLDEN / name
        if request.config.getoption("--refresh-golden"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(page)
            return
        kept = path.read_bytes() if path.exists() else b""
        if kept != page:
            lines = [text.decode(errors="replace").splitlines() for text in (kept, page)]
            diff = "\n".join(difflib.unified_diff(*lines, "golden", "now", lineterm=""))
            pytest.fail(f"{path.name} differs (--refresh-golden accepts what is new):\n{diff}")

    return compare
