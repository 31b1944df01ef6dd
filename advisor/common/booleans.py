"""Yes or no, as every setting of the project writes it."""

from __future__ import annotations

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def parse_boolean(text: str) -> bool:
    """The truth of ``text``, in any case.

    Raises
    ------
    ValueError
        It is none of the eight words.

    >>> parse_boolean("Yes"), parse_boolean("0")
    (True, False)
    """
    word = text.strip().lower()
    if word not in (*_TRUE, *_FALSE):
        raise ValueError("expected true or false (also 1, yes, on; 0, no, off)")
    return word in _TRUE
