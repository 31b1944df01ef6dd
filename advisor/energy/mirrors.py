"""Zones that show one register twice.

Some AMD parts list every die of a socket as a package and give each the counter of the whole socket: summed,
they count double. Two zones are one when their raw values stay equal, but for what is drawn between the two
reads, while they move.
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Mapping
from typing import TypeAlias

from advisor.energy.zones import Zone

# of the register's refresh, and of the kernel's question to another socket
_READ_SKEW_SECONDS = 0.002
_QUANTUM_MICROJOULES = 1000
# nothing draws more between two reads
_MOST_WATTS = 3000.0
# values apart by little, which may be what an interrupted read makes of one register
_ENOUGH_APART = 3
_ENOUGH_ON_ONE_SOCKET = 3
_ENOUGH_ACROSS_SOCKETS = 10
# two sockets can be set to one power in a laboratory; a mirror follows every change
_VARIED = 1.05


Value: TypeAlias = tuple[int, float]
"""Microjoules and the monotonic time of the read."""


class Pair:
    """Two zones of one domain that could be one."""

    def __init__(self, same_socket: bool) -> None:
        self.same_socket = same_socket
        self.mirrored: bool | None = None
        """None until the values have said it."""
        self._last: Value | None = None
        self._watts: list[float] = []
        self._apart = 0

    def observe(self, value: Value, other: Value) -> None:
        """Take the values of both zones, read one after the other."""
        if self.mirrored is not None:
            return
        last, self._last = self._last, value
        moved = abs(value[0] - last[0]) if last is not None else 0
        seconds = value[1] - last[1] if last is not None else 0.0
        watts = moved / seconds / 1e6 if seconds > 0 else 0.0
        apart = abs(value[0] - other[0]) - _QUANTUM_MICROJOULES
        # a busy machine may do something else between the two reads
        skew = (_READ_SKEW_SECONDS + abs(other[1] - value[1])) * 1e6
        if apart > _MOST_WATTS * skew:
            self.mirrored = False
        elif watts > 0 and apart > watts * skew:
            self._apart += 1
            self.mirrored = False if self._apart >= _ENOUGH_APART else None
        elif watts > 0:
            self._apart = 0
            self._watts.append(watts)
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

    def observe(self, values: Mapping[str, Value]) -> None:
        """Take one round: what could be read, by zone name."""
        for (first, second), pair in list(self._undecided.items()):
            if first in values and second in values:
                pair.observe(values[first], values[second])
                if pair.mirrored is not None:
                    del self._undecided[first, second]

    def mirrors(self) -> dict[str, str]:
        """The zones that repeat another, and which."""
        return {b: a for (a, b), pair in reversed(self._pairs.items()) if pair.mirrored}

    def held_back(self, readable: Container[str]) -> set[str]:
        """The zones that may still prove to repeat one that is being counted."""
        undecided = self._undecided.items()
        return {b for (a, b), pair in undecided if pair.same_socket and a in readable}
