"""Errors become exit codes and single lines."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys

import pytest

from advisor.common.exit import guarded, print_json
from advisor.errors import InputError, PrometheusError, WattframeError


def run(capsys: pytest.CaptureFixture[str], work: object) -> tuple[int, str, str]:
    code = guarded("prog", work)  # type: ignore[arg-type]
    out = capsys.readouterr()
    return code, out.out, out.err


def raising(exc: BaseException) -> object:
    def work() -> None:
        raise exc

    return work


@pytest.mark.parametrize(
    ("exc", "code", "line"),
    [
        (
            InputError("expected a number", subject="a.json", field="fps"),
            2,
            "prog: a.json: fps: expected a number\n",
        ),
        (InputError("expected\n  one line"), 2, "prog: expected one line\n"),
        (PrometheusError("down"), 1, "prog: down\n"),
        (WattframeError("x"), 1, "prog: x\n"),
        (KeyboardInterrupt(), 130, "prog: interrupted\n"),
        (
            FileNotFoundError(2, "No such file or directory", "/x/y"),
            1,
            "prog: /x/y: No such file or directory\n",
        ),
        (OSError("odd"), 1, "prog: odd\n"),
        (
            ZeroDivisionError("division\nby zero"),
            1,
            "prog: internal error: ZeroDivisionError: division by zero (PYTHONDEVMODE=1 shows where)\n",
        ),
    ],
)
def test_a_failure_is_one_line_and_its_code(
    capsys: pytest.CaptureFixture[str], exc: BaseException, code: int, line: str
) -> None:
    assert run(capsys, raising(exc)) == (code, "", line)


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (3, 3)])
def test_what_the_work_returns_is_the_code(
    capsys: pytest.CaptureFixture[str], returned: int | None, code: int
) -> None:
    assert run(capsys, lambda: returned) == (code, "", "")


@pytest.mark.parametrize(("status", "code"), [(None, 0), (0, 0), (2, 2), ("words", 1)])
def test_an_exit_keeps_its_code(capsys: pytest.CaptureFixture[str], status: object, code: int) -> None:
    assert run(capsys, raising(SystemExit(status)))[0] == code


def test_a_reader_that_goes_away_is_not_complained_about() -> None:
    code = (
        "from advisor.common.exit import guarded\nimport sys\n"
        "sys.exit(guarded('p', lambda: print('x' * 10**7)))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


@pytest.mark.parametrize(
    ("redirected", "code", "stderr"),
    [
        (">&-", 0, b""),
        ("<&- >&-", 0, b""),
        (">/dev/full", 1, b"p: No space left on device\n"),
        ("2>&-", 0, b""),
    ],
)
def test_standard_streams_may_be_closed_or_full(redirected: str, code: int, stderr: bytes) -> None:
    work = "from advisor.common.exit import guarded as g; raise SystemExit(g('p', lambda: print('x')))"
    done = subprocess.run(
        ["sh", "-c", f'"$0" -c "$1" {redirected}', sys.executable, work], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (code, stderr)


def test_what_the_terminal_cannot_show_is_escaped() -> None:
    work = r"from advisor.common.exit import guarded as g; g('p', lambda: print('\xe4\u20ac\udcff'))"
    done = subprocess.run(
        [sys.executable, "-c", work], env={"PYTHONIOENCODING": "ascii"}, capture_output=True, check=True
    )
    assert done.stdout == rb"\xe4\u20ac\udcff" + b"\n"


def test_development_mode_adds_the_traceback() -> None:
    code = "from advisor.common.exit import guarded\nguarded('p', lambda: 1 / 0)"
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True, check=True
    )
    assert "Traceback" in done.stderr
    assert done.stderr.endswith("(PYTHONDEVMODE=1 shows where)\n")


def test_without_it_no_traceback_reaches_the_user() -> None:
    code = "from advisor.common.exit import guarded\nguarded('p', lambda: 1 / 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.count("\n") == 1


def test_a_document_is_text_where_stdout_takes_no_bytes() -> None:
    """As in a notebook, or where a caller collects what is printed."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        print_json({"name": "é", "watts": None})
    assert printed.getvalue() == '{\n  "name": "é",\n  "watts": null\n}\n'
