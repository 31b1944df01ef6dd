"""Keeps the list of systemd units and Kubernetes pods current: a look through the tree every few seconds."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

import msgspec
from msgspec import Struct, structs

from advisor.common.regular_file import read_regular
from advisor.containers.cgroups import Cgroups, Location
from advisor.containers.changes import Change, EngineUp, Listed
from advisor.containers.counts import Counts
from advisor.containers.groups import Pod, find_groups, read_pods
from advisor.containers.records import Container, EngineInfo
from advisor.energy.sampler import Sampler
from advisor.errors import InputError

LOOK_SECONDS = 2.0
ASK_SECONDS = 30.0
_MOST_BYTES = 32 << 20


class Kubelet(Struct, frozen=True):
    """Where pods are named: ``http://127.0.0.1:10255`` (read-only) or ``https://127.0.0.1:10250``."""

    url: str
    token_file: str | None = None
    ca_file: str | None = None
    timeout_seconds: float = 5.0

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://127.0.0.1", "http://localhost", "http://[::1]", "https://")):
            raise InputError("expected https://HOST:PORT, or http:// on this machine", subject="kubelet")

    def pods(self) -> dict[str, Pod]:
        """Pods of this node by uid.

        Raises
        ------
        OSError
            It does not answer.
        ValueError
            It answers something else than a list of pods.
        """
        from requests import Request

        from advisor.common.http import HttpError, fetch, new_session

        request = Request("GET", f"{self.url.rstrip('/')}/pods")
        if self.token_file is not None:
            token = read_regular(self.token_file).decode().strip()
            request.headers["Authorization"] = f"Bearer {token}"
        with new_session() as session:
            session.verify = self.ca_file or True
            try:
                answer = fetch(session, request, self.timeout_seconds, _MOST_BYTES)
            except HttpError as exc:
                raise (ValueError if exc.kind == "malformed" else OSError)(str(exc)) from exc
        if not answer.is_good:
            raise OSError(f"answered HTTP {answer.status}")
        try:
            return read_pods(answer.body)
        except (msgspec.MsgspecError, RecursionError) as exc:
            raise ValueError("no list of pods") from exc


class Groups(Struct, frozen=True, kw_only=True):
    """Which groups are wanted."""

    units: tuple[str, ...] = ()
    """Regular expressions of unit names, ``nginx.service`` or ``.*\\.slice``."""
    pods: bool = False
    kubelet: Kubelet | None = None

    def __post_init__(self) -> None:
        for unit in self.units:
            try:
                re.compile(unit)
            except re.error as exc:
                raise InputError(f"expected a regular expression: {exc}", subject=f"unit {unit!r}") from exc


class GroupCgroups(Cgroups):
    """Control groups that are found by their path, as nobody but the tree names them.

    A hybrid host has two hierarchies that count CPU time. systemd makes every unit's group in the unified
    one, and in v1's where accounting is asked for; the kubelet's pods, and what a runtime or a person made,
    are in v1's.
    """

    _places: Mapping[str, tuple[str, tuple[str, bool]]] = {}
    """Path and hierarchy by id; replaced as a whole by the watcher's thread."""

    def find(self, groups: Groups, pods: Mapping[str, Pod]) -> dict[str, Container]:
        """What there is now of ``groups``, by id; ``pods`` by uid have names."""
        by_id: dict[str, Container] = {}
        places: dict[str, tuple[str, tuple[str, bool]]] = {}
        counted: set[str] = set()
        hierarchies = self._hierarchies()
        looks = [(groups.units, False, place) for place in reversed(hierarchies) if groups.units]
        looks += [((), True, place) for place in hierarchies if groups.pods]
        for units, has_pods, place in looks:
            for path, group in find_groups(place[0], units=units, pods=has_pods, names=pods).items():
                # a group of both hierarchies, or inside one that counts already, is counted once
                if counted.isdisjoint((path, *map(str, PurePosixPath(path).parents))):
                    counted.add(path)
                    by_id[group.id], places[group.id] = group, (path, place)
        self._places = places
        return by_id

    def locate(self, container_id: str, pid: int | None = None) -> Location | None:
        """Where the files of a group are that was found."""
        place = self._places.get(container_id)
        if place is None:
            return None
        relative, (root, is_unified) = place
        location = self.location(relative)
        unified = location.unified - {"cpuacct"} | ({"cpuacct"} if is_unified else set())
        return structs.replace(location, cpuacct=f"{root}/{relative}", unified=unified)

    def _hierarchies(self) -> list[tuple[str, bool]]:
        """Those that count CPU time: of a hybrid host v1's, then the unified one beside it."""
        root, is_unified = self._roots["cpuacct"]
        beside = Path(root).parent / "unified"
        is_hybrid = not is_unified and (beside / "cgroup.controllers").is_file()
        return [(root, is_unified), *([(str(beside), True)] if is_hybrid else [])]


class GroupWatcher:
    """Posts the units and pods that there are.

    Parameters
    ----------
    groups
        Which are wanted.
    cgroups
        Where they are; told to look.
    post
        Takes each change.
    counts
        Takes the reasons of failures, under ``kubelet``.
    clock
        Monotonic seconds.
    """

    def __init__(
        self,
        groups: Groups,
        cgroups: GroupCgroups,
        post: Callable[[Change], None],
        counts: Counts,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._groups, self._cgroups, self._post, self._counts = groups, cgroups, post, counts
        self._clock = clock
        self._age_seconds = float("inf")
        self._pods: Mapping[str, Pod] = {}
        self._asked_seconds: float | None = None
        self._sampler = Sampler("group watcher", self.look, lambda: LOOK_SECONDS)

    def start(self) -> None:
        """Look once now and go on in a thread."""
        self._post(EngineUp(EngineInfo("", "", time.time(), is_local=False)))
        self.look()
        self._sampler.start()

    def stop(self) -> None:
        """End the thread."""
        self._sampler.stop()

    def look(self) -> None:
        """Tell what there is now, under which names."""
        if not self._cgroups.readable:
            return
        self._ask()
        groups = self._cgroups.find(self._groups, self._pods)
        age_seconds, self._age_seconds = self._age_seconds, LOOK_SECONDS
        self._post(Listed(tuple(groups.values()), age_seconds))

    def _ask(self) -> None:
        kubelet, now = self._groups.kubelet, self._clock()
        is_due = self._asked_seconds is None or now - self._asked_seconds >= ASK_SECONDS
        if kubelet is None or not is_due:
            return
        self._asked_seconds = now
        try:
            self._pods = kubelet.pods()
        except OSError:
            self._counts.add("kubelet", "unreachable")
        except ValueError:
            self._counts.add("kubelet", "protocol")
