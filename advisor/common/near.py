"""What to say of a name that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def near(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Known names that look like ``name``: by beginning, by likeness, by a part; the case does not matter.

    >>> near("europe-west", ["westeurope", "europe-west1", "eu-west-1"])
    ['europe-west1', 'eu-west-1']
    """
    folded = {candidate.casefold(): candidate for candidate in known}
    wanted = name.casefold()
    alike = sorted(n for n in folded if wanted and n.startswith(wanted))
    alike += difflib.get_close_matches(wanted, folded, count)
    alike += sorted(n for n in folded if wanted and wanted in n)
    return [folded[n] for n in list(dict.fromkeys(alike))[:count]]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint for the end of an error: near names, else all.

    >>> did_you_mean("libx246", ["libx264", "libvvenc"])
    'did you mean libx264?'
    >>> did_you_mean("zzzz", ["libx264", "libvvenc"])
    'expected one of libx264, libvvenc'
    """
    names = list(known)
    alike = near(name, names)
    return f"did you mean {' or '.join(alike)}?" if alike else f"expected one of {', '.join(names)}"
