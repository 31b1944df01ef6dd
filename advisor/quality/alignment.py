"""Whether the frames of two videos belong together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from advisor.quality.graph import Plan

__all__ = ["shifted"]

_BETTER = 0.9
"""A pairing whose mean squared error is below this share of another's fits better."""
_OTHERS = 0.08
"""With a larger share of frames that another frame fits twice as well, the rate was changed otherwise."""
_FLOOR = 0.02
"""Mean squared errors (8 bit) closer than this are the same: ffmpeg logs two decimals."""


def shifted(plan: Plan, errors: Mapping[str, Sequence[float]]) -> str | None:
    """The reason why the pairing is wrong, None when it is the best one.

    Parameters
    ----------
    errors
        Mean squared errors of the probe's frames: ``now`` as paired, ``early`` and ``late`` with the
        reference one of its frames earlier and later, ``paired`` (change of rate only) as paired after the
        rate filter.
    """
    for (begin, _), window in zip(plan.windows, _by_window(plan, errors), strict=True):
        name = _better_pairing(window)
        if name is not None:
            return f"{_WORDS[name]} (around {begin:.1f} s)"
    return None


def _better_pairing(window: Mapping[str, Sequence[float]]) -> str | None:
    paired = window.get("paired")
    used = paired or window["now"]
    if not used:
        return None
    for name in ("early", "late"):
        if _fits_better(_mean(window[name]), _mean(used)):
            return name
    if paired:
        # a rule that chose other frames did so now and then, not always
        best = [min(errors) for errors in zip(window["now"], window["early"], window["late"], strict=False)]
        others = sum(_fits_better(mine, theirs / 2) for mine, theirs in zip(best, paired, strict=False))
        if others > _OTHERS * len(paired):
            return "now"
    return None


def _fits_better(error: float, used: float) -> bool:
    return error < _BETTER * used and used - error > _FLOOR


_WORDS = {
    "now": "the output's frames were chosen by another rule than the fps filter's",
    "early": "the output is a frame or more ahead of the reference",
    "late": "the output is a frame or more behind the reference",
}


def _by_window(plan: Plan, errors: Mapping[str, Sequence[float]]) -> Iterator[dict[str, Sequence[float]]]:
    """The errors cut at the windows; a frame that was dropped moves the cut by one, which does not matter."""
    total = sum(end - begin for begin, end in plan.windows)
    passed = 0.0
    for begin, end in plan.windows:
        shares = passed / total, (passed + end - begin) / total
        passed += end - begin
        yield {
            name: values[round(shares[0] * len(values)) : round(shares[1] * len(values))]
            for name, values in errors.items()
        }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
