"""Which part of the host's energy belongs to a container or a process, by CPU time.

A host draws power when nobody computes. Two policies say what happens to that part, and users rightly dispute
both, so both are published:

``active``
    Only the energy of busy time is shared: ``active = joules * busy / total``. Idle energy belongs to nobody.
``full``
    All energy is shared by CPU time, idle included: a lone busy process carries the whole machine.

A consumer's part of either pool is its CPU seconds over all busy CPU seconds of the same window. What no
consumer used (the kernel, other processes, and with ``active`` the idle time) stays *unattributed*, and

    sum of the shares + unattributed = joules of the window

holds for every window. CPU time is a model of where power goes, so every share is modelled, whatever the
tier of the joules.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from advisor.energy.cpu import CpuTimes

Policy = Literal["active", "full"]
POLICIES: tuple[Policy, ...] = ("active", "full")


class HostUse(Struct, frozen=True):
    """What a host did between two readings of the same meter.

    ``joules`` is the host's energy, ``busy_seconds`` the CPU seconds that were not idle, ``total_seconds``
    those of all CPUs (elapsed time times CPUs). None means that the source could not tell.
    """

    joules: float
    busy_seconds: float | None
    total_seconds: float | None

    @classmethod
    def of(cls, joules: float, cpu: CpuTimes | None) -> HostUse:
        """With the CPU time of the window."""
        return cls(joules, cpu.busy_seconds if cpu else None, cpu.total_seconds if cpu else None)


class Attribution(Struct, frozen=True):
    """Joules by consumer, and what belongs to none; together exactly the joules of the window."""

    shares: Mapping[str, float]
    unattributed: float


def active_joules(use: HostUse) -> float | None:
    """Energy of the window's busy time in joules, None when the idle share is unknown.

    >>> active_joules(HostUse(joules=100.0, busy_seconds=2.0, total_seconds=8.0))
    25.0
    """
    busy, total = use.busy_seconds, use.total_seconds
    if busy is None or total is None or total <= 0:
        return None
    return use.joules * min(1.0, busy / total)


def attribute(use: HostUse, cpu_seconds: Mapping[str, float], policy: Policy) -> Attribution:
    """Split the joules of one window over consumers.

    Parameters
    ----------
    use
        The host's energy and CPU time.
    cpu_seconds
        CPU seconds of each consumer within the window, at least 0. They must not overlap. Kernels count them
        in nanoseconds and busy time in ticks of 10 ms, so their sum may pass ``busy_seconds`` by a little:
        then the pool is shared among them by proportion and no more than the pool is given.
    policy
        ``active`` or ``full``; see the module.

    A window whose CPU time is unknown leaves everything unattributed.

    >>> attribute(HostUse(100.0, 2.0, 8.0), {"web": 1.0, "job": 0.5}, "active")
    Attribution(shares={'web': 12.5, 'job': 6.25}, unattributed=81.25)
    >>> attribute(HostUse(100.0, 2.0, 8.0), {"web": 1.0, "job": 0.5}, "full")
    Attribution(shares={'web': 50.0, 'job': 25.0}, unattributed=25.0)
    """
    pool = _pool(use, policy)
    used = math.fsum(cpu_seconds.values())
    busy = max(use.busy_seconds or 0.0, used)
    if pool is None or busy <= 0:
        return Attribution(dict.fromkeys(cpu_seconds, 0.0), use.joules)
    shares = {name: pool * (seconds / busy) for name, seconds in cpu_seconds.items()}
    # rounding alone could make the rest of a fully used window a hair less than nothing
    return Attribution(shares, max(0.0, use.joules - math.fsum(shares.values())))


def share(use: HostUse, cpu_seconds: float, policy: Policy = "active") -> float | None:
    """Joules of one consumer, None when the host's CPU time is unknown.

    >>> share(HostUse(joules=90.0, busy_seconds=3.0, total_seconds=6.0), cpu_seconds=2.0)
    30.0
    """
    if _pool(use, policy) is None:
        return None
    return attribute(use, {"": cpu_seconds}, policy).shares[""]


def _pool(use: HostUse, policy: Policy) -> float | None:
    if policy == "active":
        return active_joules(use)
    return None if use.busy_seconds is None else use.joules
