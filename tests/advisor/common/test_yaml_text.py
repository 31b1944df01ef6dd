"""YAML of an operator: plain values, or one line that says what is wrong."""

from __future__ import annotations

import datetime

import pytest

from advisor.common.yaml_text import YamlError, parse_yaml

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {k: v}\n" + "".join(
    f"{b}: &{b} {{<<: [{', '.join([f'*{a}'] * 10)}]}}\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


def test_usual_documents_are_what_they_say() -> None:
    assert parse_yaml("") is None
    assert parse_yaml(b"a: [1, 2.5, yes, text, 2026-01-02]") == {
        "a": [1, 2.5, True, "text", datetime.date(2026, 1, 2)]
    }


def test_a_zero_in_front_and_a_colon_make_no_other_number() -> None:
    """To YAML 1.1 these are 21, -10, 65 and 65.5; later versions have dropped that."""
    assert parse_yaml("[025, -012, 1:05, 1:05.5]") == ["025", "-012", "1:05", "1:05.5"]
    assert parse_yaml("[0, 08.5, -0.25, 1_000, 0x1F]") == [0, 8.5, -0.25, 1000, 31]
    assert parse_yaml("months: [01, 07, 00, -05]") == {"months": [1, 7, 0, -5]}


def test_anchors_and_merges_of_a_usual_size_are_taken() -> None:
    text = "base: &base {resolution: 1280x720, fps: 30}\none: {<<: *base, fps: 60}\ntwo: *base\n"
    assert parse_yaml(text)["one"] == {"resolution": "1280x720", "fps": 60}
    assert parse_yaml(text)["two"] == {"resolution": "1280x720", "fps": 30}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [b", r"line 1: expected ',' or '\]'"),
        ("a: 1\nb: {c: 1, c: 2}", "line 2: the key 'c' appears twice"),
        ("a: &a [*a]", "line 1: an alias that contains itself"),
        (LAUGHS, "aliases that expand to too many values"),
        (MERGES, "aliases that expand to too many values"),
        ('a: "\\ud800"', "an unpaired surrogate"),
        ("!!python/object/apply:os.system [x]", "could not determine a constructor"),
        ("!!int ''", "a value that does not fit its type"),
        ("!!float ''", "a value that does not fit its type"),
        ("!!bool perhaps", "a value that does not fit its type"),
        ("!!timestamp never", "a value that does not fit its type"),
        ("a: 2026-13-45", "a value that does not fit its type"),
        ("? [a]\n: b", "line 1: found unhashable key"),
        ("[" * 10_000, "too deep"),
        ("a: \x00", "special characters are not allowed at character 4"),
        (b"a: \xff", "invalid start byte"),
        ("x" * (3 << 20), "expected at most 2 MiB, found 3"),
        ("a: 1\n---\nb: 2", "line 2: but found another document"),
    ],
)
def test_what_is_no_plain_document_is_refused_in_one_line(text: str | bytes, said: str) -> None:
    with pytest.raises(YamlError, match=said) as caught:
        parse_yaml(text)
    assert "\n" not in str(caught.value)
