"""Tables fit the terminal and lose nothing."""

from __future__ import annotations

import pytest

from wattframe.console import print_table

NAME = "x264 veryfast [fast] :fire: 2 streams"
WORDS = "other processes used the CPU at the same time, so the figures are not reliable"


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("numbers", [3, 12])
def test_eighty_columns_hold_every_character(
    numbers: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three numbers make a table, twelve are too wide and become lines."""
    monkeypatch.setenv("COLUMNS", "80")
    headings = ["scenario", *(f"figure {i}" for i in range(numbers)), "mind"]
    print_table(headings, [[NAME, *(f"{i}.123456" for i in range(numbers)), WORDS]], text=["mind"])
    shown = lines(capsys)
    assert max(map(len, shown)) <= 80
    text = " ".join(" ".join(shown).split())
    assert all(f"{i}.123456" in text for i in range(numbers))
    assert all(word in text for word in (*NAME.split(), *WORDS.split()))


def test_a_pipe_has_one_line_a_row(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    print_table(["scenario", "watts", "mind"], [[NAME, "36", WORDS], ["b", "4", ""]], text=["mind"])
    shown = lines(capsys)
    assert len(shown) == 3
    assert NAME in shown[1]
    assert WORDS in shown[1]


@pytest.mark.parametrize("columns", ["0", "-1", "wide"])
def test_a_width_that_is_none_is_eighty(
    columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    print_table(["scenario", "mind"], [["a", "x" * 100]], text=["mind"])
    assert [len(line) for line in lines(capsys)] == [14, 80, 40]


def test_a_column_without_a_value_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["scenario", "VMAF", "watts"], [["a", "-", "36"], ["b", "-", "-"]])
    assert lines(capsys)[0].split() == ["scenario", "watts"]


def test_numbers_stand_under_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["scenario", "watts"], [["a", "36"], ["b", "1036"]])
    assert lines(capsys) == ["scenario  watts", "a            36", "b          1036"]
