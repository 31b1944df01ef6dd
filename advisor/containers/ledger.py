"""Joules by container, added up over the windows of one meter, under both policies.

At any moment, for each policy,

    sum over running containers + exited containers + unattributed = joules of the host

because every window is split completely (`advisor.energy.attribution`) and nothing is ever dropped: what a
container used moves to one sum for all exited containers when it ends.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from advisor.containers.state import SavedContainers
from advisor.energy.attribution import POLICIES, HostUse, Policy, attribute

_EXITED = ""
"""No container has an empty id."""


class Energy(Struct, frozen=True):
    """All joules so far, by policy."""

    host: float
    containers: Mapping[Policy, Mapping[str, float]]
    """By container id; running containers alone."""
    exited: Mapping[Policy, float]
    unattributed: Mapping[Policy, float]


class Ledger:
    """Takes one window after the other; all sums begin at 0."""

    def __init__(self) -> None:
        self._host = 0.0
        self._containers: dict[Policy, dict[str, float]] = {policy: {} for policy in POLICIES}
        self._exited: dict[Policy, float] = dict.fromkeys(POLICIES, 0.0)
        self._unattributed: dict[Policy, float] = dict.fromkeys(POLICIES, 0.0)

    def close(self, use: HostUse, running: Mapping[str, float], exited_seconds: float) -> None:
        """Split one window over the CPU seconds of containers that run and of all that ended within it."""
        self._host += use.joules
        for policy in POLICIES:
            parts = attribute(use, {**running, _EXITED: exited_seconds}, policy)
            kept = self._containers[policy]
            for container in running:
                kept[container] = kept.get(container, 0.0) + parts.shares[container]
            self._exited[policy] += parts.shares[_EXITED]
            self._unattributed[policy] += parts.unattributed

    def restore(self, saved: SavedContainers) -> None:
        """Go on from the sums of another process."""
        self._host = saved.host_joules
        for policy in POLICIES:
            self._exited[policy] = saved.exited_joules[policy]
            self._unattributed[policy] = saved.unattributed_joules[policy]
            self._containers[policy] = {id: one.joules[policy] for id, one in saved.containers.items()}

    def retire(self, container: str) -> None:
        """A container has ended: what it used stays in the sum of the exited."""
        for policy in POLICIES:
            self._exited[policy] += self._containers[policy].pop(container, 0.0)

    def energy(self) -> Energy:
        """All sums of this moment, as a copy."""
        return Energy(
            host=self._host,
            containers={policy: dict(kept) for policy, kept in self._containers.items()},
            exited=dict(self._exited),
            unattributed=dict(self._unattributed),
        )
