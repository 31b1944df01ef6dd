"""Zones that show one register twice.

Some AMD parts list every die of a socket as a package and give each the counter of the whole socket: summed,
they count double. Two zones are one when their raw values stay equal, but for what is drawn between the two
reads, while they move.
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Mapping

from advisor.energy.zones import Zone

# two files are read within this time even when the kernel asks another socket; also the register's refresh
_READ_SKEW_SECONDS = 0.002
_QUANTUM_MICROJOULES = 1000
_ENOUGH_ON_ONE_SOCKET = 3
_ENOUGH_ACROSS_SOCKETS = 10
# two sockets can be set to one power in a laboratory; a mirror follows every change
_VARIED = 1.05
_FAR_APART_MICROJOULES = 1_000_000


class Pair:
    """Two zones of one domain that could be one."""

    def __init__(self, same_socket: bool) -> None:
        self.same_socket = same_socket
        self.mirrored: bool | None = None
        """None until the values have said it."""
        self._last: tuple[int, float] | None = None
        self._watts: list[float] = []

    def observe(self, raw: int, other_raw: int, now_seconds: float) -> None:
        """Take the raw values of both zones, in microjoules, read one right after the other."""
        if self.mirrored is not None:
            return
        last, self._last = self._last, (raw, now_seconds)
        moved = abs(raw - last[0]) if last is not None else 0
        seconds = now_seconds - last[1] if last is not None else 0.0
        skew = _QUANTUM_MICROJOULES
        if seconds > 0:
            skew += int(moved / seconds * _READ_SKEW_SECONDS)
        if abs(raw - other_raw) > skew:
            # before anything has moved, the read skew is unknown: a small difference waits for the next value
            if last is not None or abs(raw - other_raw) > _FAR_APART_MICROJOULES:
                self.mirrored = False
        elif moved > 0 and seconds > 0:
            self._watts.append(moved / seconds)
            self._decide()

    def _decide(self) -> None:
        if self.same_socket:
            if len(self._watts) >= _ENOUGH_ON_ONE_SOCKET:
                self.mirrored = True
        elif len(self._watts) >= _ENOUGH_ACROSS_SOCKETS:
            self.mirrored = max(self._watts) > _VARIED * min(self._watts)


class MirrorWatch:
    """Decides which zones of one domain repeat another.

    On one socket the later zone is held back until its values have shown that it is another register; its
    joules are counted meanwhile and none is lost. Zones of different sockets are shown at once, and taken
    away when they prove to be one.
    """

    def __init__(self) -> None:
        self._pairs: dict[tuple[str, str], Pair] = {}
        self._undecided: dict[tuple[str, str], Pair] = {}

    def track(self, zones: Iterable[Zone]) -> None:
        """Look at these zones from now on; what is decided of them stays."""
        pairs = {
            (a.name, b.name): Pair(a.socket == b.socket)
            for a, b in itertools.combinations(zones, 2)
            if a.domain == b.domain
        }
        self._pairs = {names: self._pairs.get(names, pair) for names, pair in pairs.items()}
        self._undecided = {names: pair for names, pair in self._pairs.items() if pair.mirrored is None}

    def observe(self, raws: Mapping[str, int], now_seconds: float) -> None:
        """Take one round: the raw values that could be read, by zone name."""
        for (first, second), pair in list(self._undecided.items()):
            if first in raws and second in raws:
                pair.observe(raws[first], raws[second], now_seconds)
                if pair.mirrored is not None:
                    del self._undecided[first, second]

    def mirrors(self) -> dict[str, str]:
        """The zones that repeat another, and which."""
        return {b: a for (a, b), pair in reversed(self._pairs.items()) if pair.mirrored}

    def held_back(self, readable: Container[str]) -> set[str]:
        """The zones that may still prove to repeat one that is being counted."""
        undecided = self._undecided.items()
        return {b for (a, b), pair in undecided if pair.same_socket and a in readable}
