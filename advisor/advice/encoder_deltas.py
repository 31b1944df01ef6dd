"""Encoders beside one another at equal quality: BD-rate and BD-energy of every two families of options."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence

from msgspec import Struct

from advisor.advice.bjontegaard import BjontegaardDelta, bjontegaard_delta
from advisor.advice.configuration import Option
from advisor.errors import NotEnoughDataError

__all__ = ["PairDelta", "pair_deltas"]


class PairDelta(Struct, frozen=True, kw_only=True):
    """Two curves at equal VMAF: BD-rate and BD-energy of ``test`` against ``reference``."""

    reference: str
    test: str
    bd_rate: BjontegaardDelta | None
    bd_energy: BjontegaardDelta | None
    reason: str = ""


def pair_deltas(options: Sequence[Option]) -> list[PairDelta]:
    """Every pair of families with four or more points each, by name."""
    families: dict[str, list[Option]] = defaultdict(list)
    for option in options:
        if option.family and option.vmaf is not None:
            families[option.family].append(option)
    curves = {name: points for name, points in sorted(families.items()) if len(points) >= 4}
    return [_pair(a, curves[a], b, curves[b]) for a, b in itertools.combinations(curves, 2)]


def _pair(reference: str, ours: Sequence[Option], test: str, theirs: Sequence[Option]) -> PairDelta:
    deltas: dict[str, BjontegaardDelta | None] = {}
    reasons: list[str] = []
    for name in ("bitrate_kbps", "energy_joules_per_video_second"):
        try:
            deltas[name] = bjontegaard_delta(_curve(ours, name), _curve(theirs, name))
        except NotEnoughDataError as exc:
            deltas[name] = None
            reasons.append(str(exc))
    return PairDelta(
        reference=reference,
        test=test,
        bd_rate=deltas["bitrate_kbps"],
        bd_energy=deltas["energy_joules_per_video_second"],
        reason="; ".join(dict.fromkeys(reasons)),
    )


def _curve(options: Sequence[Option], name: str) -> list[tuple[float, float]]:
    return [(getattr(o, name), o.vmaf or 0.0) for o in options if getattr(o, name)]
