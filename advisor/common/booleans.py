"""Yes or no, as every option and environment variable of the project writes it."""

from __future__ import annotations

__all__ = ["parse_boolean"]

_WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def parse_boolean(text: str) -> bool:
    """The truth of ``text``, in any case.

    Raises
    ------
    ValueError
        It is none of the eight words.

    >>> parse_boolean("Yes"), parse_boolean("0")
    (True, False)
    """
    try:
        return _WORDS[text.strip().lower()]
    except KeyError:
        raise ValueError("expected true or false (also 1, yes, on; 0, no, off)") from None
