"""Whether the frames of two videos belong together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from advisor.quality.graph import Plan

__all__ = ["doubtful", "shifted"]

Window = Mapping[str, Sequence[float]]
"""Mean squared errors of one window's frames, by pairing."""

_CLEAR = 0.7
"""A shifted pairing with less than this share of the pairing's own error is the true one."""
_TENDENCY = {"early": (0.985, 0.94), "late": (0.96, 0.9)}
"""So is one below the first share in every window that can tell, and below the second in one of them.
Encoders that are starved of bits lag behind: right pairings were seen at 0.82 on the late side in one window
and, where hardly a picture was left, at 0.93 and 0.96 in two."""
_TELLING = 1.03
"""A window tells something when one of its shifted pairings is this far from the pairing's own error."""
_SAME = 0.98
"""Errors of a frame closer than this are the same."""
_OTHERS = 0.08
"""With a larger share of frames that another frame fits twice as well, the rate was changed otherwise."""
_UNLIKE = 30.0
"""A mean squared error (33 dB) from which small pictures may be of another moment: what decent encodes do not
reach there, and what another moment of anything but a still picture does."""
_SURE = 1.5
"""With both shifted pairings this far from the pairing's own error it is the right one, however bad."""
_PART_FRAMES = 12
_FLOOR = 0.1
"""A mean squared error (8 bit) that is as good as none: ffmpeg logs two decimals."""


def shifted(plan: Plan, probe: Sequence[Window]) -> str | None:
    """The reason why the pairing is wrong, None when it is the best one.

    Parameters
    ----------
    probe
        By window of the plan, mean squared errors of its frames: ``now`` as paired, ``early`` and ``late``
        with the reference one of its frames earlier and later, ``paired`` (change of rate only) as paired
        after the rate filter.
    """
    looked = list(_looked(plan, probe))
    for (begin, _), window in looked:
        name = _clearly_better(window)
        if name is not None:
            return f"{_WORDS[name]} (around {begin:.1f} s)"
    telling = [window for _, window in looked if _tells(window)]
    for name, opposite in (("early", "late"), ("late", "early")):
        if telling and _tends(telling, name, opposite):
            return _WORDS[name]
    return None


def _looked(plan: Plan, probe: Sequence[Window]) -> Iterator[tuple[tuple[float, float], Window]]:
    """Where the probe looked and what it saw; without windows in which a pairing has no frame."""
    for place, window in zip(plan.windows, probe, strict=True):
        if all(window[name] for name in ("now", "early", "late")):
            yield place, window


def doubtful(plan: Plan, probe: Sequence[Window]) -> tuple[float, float] | None:
    """The part, in seconds, whose frames are least like their partners where neither side fits much worse.

    There the two videos may be further apart than the probe looks; None when every part is as it should be.
    """
    parts = [part for place, window in _looked(plan, probe) for part in _parts(place, window)]
    unlike = [(_mean(_used(part)), place) for place, part in parts if _may_be_elsewhere(part)]
    return max(unlike)[1] if unlike else None


def _parts(place: tuple[float, float], window: Window) -> Iterator[tuple[tuple[float, float], Window]]:
    """A window in parts of about half a second: what is lost in its middle moves only what follows."""
    count, (begin, end) = len(window["now"]), place
    parts = max(1, count // _PART_FRAMES)
    for n in range(parts):
        share, next_share = n / parts, (n + 1) / parts
        cut = slice(round(count * share), round(count * next_share))
        times = begin + (end - begin) * share, begin + (end - begin) * next_share
        yield times, {name: values[cut] for name, values in window.items()}


def _may_be_elsewhere(window: Window) -> bool:
    used = _used(window)
    return _mean(used) > _UNLIKE and min(_share(window[name], used) for name in ("early", "late")) < _SURE


def _used(window: Window) -> Sequence[float]:
    return window.get("paired") or window["now"]


def _clearly_better(window: Window) -> str | None:
    used = _used(window)
    for name in ("early", "late"):
        if _share(window[name], used) < _CLEAR and _mostly_less(window[name], used):
            return name
    if "paired" in window:
        # a rule that chose other frames did so now and then, not always
        best = [min(errors) for errors in zip(window["now"], window["early"], window["late"], strict=False)]
        others = sum(b < a / 2 and a - b > _FLOOR for a, b in zip(used, best, strict=False))
        if others > _OTHERS * len(used):
            return "now"
    return None


def _tells(window: Window) -> bool:
    shares = [_share(window[name], _used(window)) for name in ("early", "late")]
    return max(shares) > _TELLING or min(shares) < 1 / _TELLING


def _tends(windows: Sequence[Window], name: str, opposite: str) -> bool:
    everywhere, once = _TENDENCY[name]
    shares = [_share(window[name], _used(window)) for window in windows]
    if max(shares) >= everywhere or min(shares) >= once:
        return False
    worse = all(_share(window[opposite], _used(window)) > 1 for window in windows)
    return worse and all(_mostly_less(window[name], _used(window)) for window in windows)


def _share(errors: Sequence[float], used: Sequence[float]) -> float:
    """Mean error as a share of that of the pairing in use; 1 when both are next to nothing."""
    return (_mean(errors) + _FLOOR) / (_mean(used) + _FLOOR)


def _mostly_less(errors: Sequence[float], used: Sequence[float]) -> bool:
    """Whether of the frames that differ more than two in three have the lower error: one is not enough."""
    pairs = list(zip(errors, used, strict=False))
    return sum(e < _SAME * u for e, u in pairs) > 2 * sum(_SAME * e > u for e, u in pairs)


_WORDS = {
    "now": "the output's frames were chosen by another rule than the fps filter's",
    "early": "the output is a frame or more ahead of the reference",
    "late": "the output is a frame or more behind the reference",
}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
