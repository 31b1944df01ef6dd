"""Paths below the user's home, also for users who have none, as a container's may be."""

from __future__ import annotations

from pathlib import Path


def expanded(text: str) -> Path:
    """``~`` as a shell expands it; a home that is not known is ``/nonexistent``, as Debian has it.

    >>> expanded("~no-such-user/state")
    PosixPath('/nonexistent/state')
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path("/nonexistent", *Path(text).parts[1:])


def user_cache(base: str | None) -> Path:
    """This program's folder among the user's caches; ``base`` is what ``XDG_CACHE_HOME`` says."""
    return expanded(base or "~/.cache") / "wattframe"
