"""Systemd units and Kubernetes pods by their control groups, where there is no engine to ask.

A unit is a folder of a name that is wanted: ``system.slice/nginx.service``, ``user.slice``; so may be what
others than systemd made: ``lxc.payload.web``, Slurm's ``job_123``. A pod is a folder of the kubelet's, of
either driver::

    kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid>.slice      systemd
    kubepods/burstable/pod<uid>                                                    cgroupfs

A runtime that was told the other driver than the kubelet puts containers elsewhere, each a group beside its
pod's, which stays empty::

    kubepods-burstable-pod<uid>.slice:cri-containerd:<id>

A group's counter holds all that ever ran below it, so that what is inside one that is counted is not counted
again. The kubelet tells names by uid where its read-only pages can be asked.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from advisor.containers.cgroups import groups_below
from advisor.containers.records import Container

_UID = r"([0-9a-fA-F]{8}(?:[-_][0-9a-fA-F]{4}){3}[-_][0-9a-fA-F]{12}|[0-9a-f]{32})"
# of a node that is a container itself, slices bear its kubelet's in front
_POD = re.compile(rf"^(?:[\w-]+-)?pod{_UID}(?:\.slice)?$")
# where a runtime with the other driver takes the slice's name for a folder's
_MISPLACED = re.compile(rf"^kubepods(?:-\w+)?-pod{_UID}\.slice:[\w-]+:[0-9a-f]{{64}}$")


class Pod(Struct, frozen=True):
    """What the kubelet calls one pod."""

    uid: str
    namespace: str
    name: str


def find_groups(
    root: str, *, units: Sequence[str] = (), pods: bool = False, names: Mapping[str, Pod] | None = None
) -> dict[str, Container]:
    """Groups below ``root`` (where CPU time is counted), by their path relative to it.

    Parameters
    ----------
    root
        The folder of the hierarchy.
    units
        Regular expressions that match all of a group's name; the outermost that matches counts.
    pods
        Whether Kubernetes' pods are wanted.
    names
        Pods by uid; one that is not there goes by its uid.
    """
    patterns = [re.compile(pattern) for pattern in units]
    groups: dict[str, Container] = {}
    for parent, folders in groups_below(root):
        for folder in folders.copy():
            path = f"{parent}/{folder}".lstrip("/")
            group = _group(path, folder, patterns, pods, names or {})
            if group is not None:
                groups[path] = group
                folders.remove(folder)
    return groups


def _group(
    path: str, folder: str, patterns: Sequence[re.Pattern[str]], pods: bool, names: Mapping[str, Pod]
) -> Container | None:
    pod = misplaced = None
    if pods and "kubepods" in path:
        pod, misplaced = _POD.match(folder), _MISPLACED.match(folder)
    if (match := pod or misplaced) is not None:
        uid = match[1].replace("_", "-").lower()
        told = names.get(uid) or names.get(uid.replace("-", ""))
        name = f"{told.namespace}/{told.name}" if told is not None else uid
        labels = {"namespace": told.namespace, "pod": told.name} if told is not None else {}
        return Container(id=uid if pod is not None else path, name=name, image="", labels=labels)
    holds_pods = pods and path.split("/")[0] == "kubepods"  # which are wanted, not their sum
    if path.isprintable() and not holds_pods and any(pattern.fullmatch(folder) for pattern in patterns):
        return Container(id=path, name=folder, image="")
    return None


class _Metadata(Struct):
    name: str
    namespace: str
    uid: str
    annotations: dict[str, str] = {}


class _PodItem(Struct):
    metadata: _Metadata


class _PodList(Struct):
    items: list[_PodItem] | None = None


def read_pods(body: bytes) -> dict[str, Pod]:
    """The kubelet's ``/pods``: pods by uid.

    A pod of a file on the node (a static pod) has another uid in its control group than the API server gives
    it: the hash that its annotation tells.

    Raises
    ------
    msgspec.MsgspecError
        The body is no list of pods.
    """
    pods: dict[str, Pod] = {}
    for item in msgspec.json.decode(body, type=_PodList).items or ():
        meta = item.metadata
        pod = Pod(meta.uid, meta.namespace, meta.name)
        pods[meta.uid.lower()] = pod
        if (hashed := meta.annotations.get("kubernetes.io/config.hash")) is not None:
            pods[hashed.lower()] = pod
    return pods
