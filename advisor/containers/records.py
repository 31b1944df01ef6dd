"""What the Engine API sends, read strictly into the few facts that are needed.

Each ``from_*`` takes one decoded item and raises msgspec.ValidationError when it is of another form.

API reference: https://docs.docker.com/reference/api/engine/
"""

from __future__ import annotations

import datetime
import re
import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

Whole = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
"""A count of the engine's, which has 64 bits."""
_FRACTION = re.compile(r"(\.\d{6})\d+")


EngineKind = Literal["docker", "podman"]


class EngineInfo(Struct, frozen=True):
    """The engine that answered."""

    version: str
    api_version: str
    unix_seconds: float
    """The engine's own clock; this machine's where it does not tell."""
    kind: EngineKind = "docker"
    is_local: bool = True
    """Whether it was reached by a socket of this host."""
    pid: int | None = None
    """The process that serves the socket, in this process's numbers; systemd's where it opens the socket."""


class Container(Struct, frozen=True, kw_only=True):
    """One running container; None is unknown until it was inspected."""

    id: str
    name: str
    image: str
    labels: Mapping[str, str] = {}
    pid: int | None = None
    start_unix_seconds: float | None = None
    restarts: int | None = None
    own_network: bool | None = None
    """False when it uses the network of the host or of another container: those bytes are not its own."""


class Event(Struct, frozen=True):
    """Something that happened to a container; ``action`` is one of `advisor.containers.engine.EVENTS`."""

    action: str
    container: Container
    unix_seconds: float


class Details(Struct, frozen=True):
    """What a container uses besides CPU time; None is unknown."""

    throttled_seconds: float | None = None
    memory_working_set_bytes: int | None = None
    memory_limit_bytes: int | None = None
    """None as well when there is no limit."""
    block_read_bytes: int | None = None
    block_write_bytes: int | None = None
    network_receive_bytes: int | None = None
    network_transmit_bytes: int | None = None


class ApiUsage(Details, frozen=True, kw_only=True):
    """What the engine says that a container used, for hosts whose control groups cannot be seen."""

    cpu_seconds: float
    unix_seconds: float
    """When, by the engine's clock."""


class _Info(Struct, rename="pascal"):
    server_version: str = ""
    system_time: str | None = None


class _Listed(Struct, rename="pascal"):
    id: str
    image: str
    names: list[str] | None = None
    labels: dict[str, str] | None = None
    state: str = "running"


class _Actor(Struct, rename={"id": "ID", "attributes": "Attributes"}):
    id: str
    attributes: dict[str, str]


class _Event(Struct, rename={"action": "Action", "actor": "Actor", "time_nano": "timeNano"}):
    action: str
    actor: _Actor
    time_nano: Whole


class _State(Struct, rename="pascal"):
    running: bool
    pid: Whole
    started_at: str
    restarting: bool = False


class _Config(Struct, rename="pascal"):
    image: str
    labels: dict[str, str] | None = None


class _HostConfig(Struct, frozen=True, rename="pascal"):
    network_mode: str = ""


class _Inspected(Struct, rename="pascal"):
    id: str
    name: str
    state: _State
    config: _Config
    host_config: _HostConfig = _HostConfig()
    restart_count: Whole = 0


class _CpuUsage(Struct, frozen=True):
    total_usage: Whole


class _Throttling(Struct, frozen=True):
    throttled_time: Whole | None = None


class _Cpu(Struct, frozen=True):
    cpu_usage: _CpuUsage
    throttling_data: _Throttling = _Throttling()


class _Memory(Struct, frozen=True):
    usage: Whole | None = None
    limit: Whole | None = None
    stats: dict[str, Annotated[int, Meta(ge=0)]] = {}


class _BlockRow(Struct, frozen=True):
    op: str
    value: Whole


class _Block(Struct, frozen=True):
    io_service_bytes_recursive: list[_BlockRow] | None = None


class _Interface(Struct, frozen=True):
    rx_bytes: Whole
    tx_bytes: Whole


class _Statistics(Struct, frozen=True):
    read: str
    cpu_stats: _Cpu
    memory_stats: _Memory = _Memory()
    blkio_stats: _Block = _Block()
    networks: dict[str, _Interface] | None = None


def from_info(item: Any, api_version: str) -> EngineInfo:
    """``/info``."""
    info = msgspec.convert(item, _Info)
    moment = None if info.system_time is None else _unix_seconds(info.system_time)
    return EngineInfo(info.server_version, api_version, time.time() if moment is None else moment)


def from_list(item: Any) -> Container | None:
    """One element of ``/containers/json``; None for one that waits to be restarted."""
    listed = msgspec.convert(item, _Listed)
    if listed.state == "restarting":
        return None
    # a legacy link shows as /other/alias; the container's name has one slash
    primary = [name for name in listed.names or () if name.count("/") == 1]
    name = (primary or [f"/{listed.id[:12]}"])[0].removeprefix("/")
    return Container(id=listed.id, name=name, image=listed.image, labels=listed.labels or {})


def from_event(line: bytes) -> Event:
    """One line of ``/events``; labels travel among the attributes until the inspection that follows."""
    event = msgspec.json.decode(line, type=_Event)
    attributes = event.actor.attributes
    container = Container(
        id=event.actor.id,
        name=attributes.get("name", event.actor.id[:12]),
        image=attributes.get("image", ""),
        labels={k: v for k, v in attributes.items() if k not in ("name", "image")},
        start_unix_seconds=event.time_nano / 1e9 if event.action == "start" else None,
    )
    return Event(event.action, container, event.time_nano / 1e9)


def from_inspection(item: Any) -> Container | None:
    """``/containers/ID/json``; None when it no longer runs."""
    inspected = msgspec.convert(item, _Inspected)
    if not inspected.state.running or inspected.state.restarting:
        return None
    network = inspected.host_config.network_mode
    return Container(
        id=inspected.id,
        name=inspected.name.removeprefix("/"),
        image=inspected.config.image,
        labels=inspected.config.labels or {},
        pid=inspected.state.pid or None,
        start_unix_seconds=_unix_seconds(inspected.state.started_at),
        restarts=inspected.restart_count,
        own_network=not (network == "host" or network.startswith("container:")),
    )


def from_statistics(item: Any) -> ApiUsage | None:
    """``/containers/ID/stats``; None when the engine knows no CPU time.

    Of a container that has ended, and of any where the engine has no control groups (rootless), the sample is
    of the year one or its CPU time is 0, which no process that was started has.
    """
    sample = msgspec.convert(item, _Statistics)
    at = _unix_seconds(sample.read)
    if at is None or sample.cpu_stats.cpu_usage.total_usage == 0:
        return None
    throttled = sample.cpu_stats.throttling_data.throttled_time
    memory, networks = sample.memory_stats, sample.networks
    inactive = memory.stats.get("total_inactive_file", memory.stats.get("inactive_file"))
    memory_is_known = memory.usage is not None and inactive is not None
    blocks = sample.blkio_stats.io_service_bytes_recursive
    return ApiUsage(
        cpu_seconds=sample.cpu_stats.cpu_usage.total_usage / 1e9,
        unix_seconds=at,
        throttled_seconds=None if throttled is None else throttled / 1e9,
        memory_working_set_bytes=max(0, (memory.usage or 0) - (inactive or 0)) if memory_is_known else None,
        memory_limit_bytes=memory.limit or None,
        block_read_bytes=_total(blocks, "read"),
        block_write_bytes=_total(blocks, "write"),
        network_receive_bytes=None if networks is None else sum(n.rx_bytes for n in networks.values()),
        network_transmit_bytes=None if networks is None else sum(n.tx_bytes for n in networks.values()),
    )


def _total(rows: list[_BlockRow] | None, operation: str) -> int | None:
    return None if rows is None else sum(row.value for row in rows if row.op.lower() == operation)


def _unix_seconds(text: str) -> float | None:
    """RFC 3339 with nanoseconds to Unix seconds; None for the year one, which is Go's "never"."""
    moment = datetime.datetime.fromisoformat(_FRACTION.sub(r"\1", text))
    return None if moment.year == 1 else moment.timestamp()
