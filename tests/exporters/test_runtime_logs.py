"""Log lines."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator

import pytest

from exporters.runtime.logs import configure, logger, warn_of


@pytest.fixture(autouse=True)
def _former_logging() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger("wattframe")
    handlers, levels = list(root.handlers), (root.level, own.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    own.setLevel(levels[1])


def test_logfmt_quotes_what_needs_it(capsys: pytest.CaptureFixture[str]) -> None:
    configure("logfmt", "info")
    logger().info("file refused", path="/a b/c.json", count=3, ratio=0.5, ok=True, line='x="1"\ny', empty="")
    (line,) = capsys.readouterr().out.splitlines()
    stamp, rest = line.split(" ", 1)
    assert re.fullmatch(r"timestamp=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stamp)
    assert rest == (
        'level=info event="file refused" path="/a b/c.json" count=3 ratio=0.5 ok=true '
        'line="x=\\"1\\"\\ny" empty=""'
    )


def test_json_is_one_document_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json", "info")
    logger().error("broken", error=OSError(5, "Input/output error"), text="a\nb")
    (line,) = capsys.readouterr().out.splitlines()
    document = json.loads(line)
    del document["timestamp"]
    assert document == {
        "level": "error",
        "event": "broken",
        "error": "[Errno 5] Input/output error",
        "text": "a\nb",
    }


def test_the_level_is_a_threshold(capsys: pytest.CaptureFixture[str]) -> None:
    configure("logfmt", "warning")
    log = logger()
    log.debug("a")
    log.info("b")
    log.warning("c")
    log.error("d")
    assert re.findall(r"event=(\w)", capsys.readouterr().out) == ["c", "d"]


def test_libraries_log_without_tracebacks(capsys: pytest.CaptureFixture[str]) -> None:
    configure("logfmt", "info")
    try:
        raise ValueError("inside a library")
    except ValueError:
        logging.getLogger("some.library").exception("Exception in application\n")
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert 'event="Exception in application" error="ValueError: inside a library" logger=some.library' in out


def test_a_hundred_thousand_reasons_are_a_hundred_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure("logfmt", "info")
    warn_of("result refused", {f"{number:06d}" for number in range(100_000)})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 101
    assert lines[0].endswith("reason=000000")
    assert lines[-1].endswith('reason="and 99900 more"')


def test_a_pipe_that_nobody_reads_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe holds 64 KiB; what does not fit is lost, and later lines come when there is room again."""
    reader, writer = os.pipe()
    with os.fdopen(reader) as read, os.fdopen(writer, "w") as write:
        monkeypatch.setattr("sys.stdout", write)
        configure("logfmt", "info")
        for number in range(2000):
            logger().info("x" * 100, number=number)
        assert len(os.read(read.fileno(), 1 << 20)) > 50_000
        logger().info("again")
        assert b"event=again" in os.read(read.fileno(), 1 << 20)
