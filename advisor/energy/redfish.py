"""The machine's own meter, asked over the network: the power that a Redfish service (a BMC) reads.

Power comes from the first of these that the chassis has, as published by DMTF:

- ``EnvironmentMetrics``, ``PowerWatts.Reading`` (Redfish 2021.2 and later),
- ``Power``, ``PowerControl[].PowerConsumedWatts`` (deprecated, and what most services have),
- ``Sensors``, the one of ``ReadingType`` Power that names the whole (``total_power``, ``TotalPower``,
  ``SystemBoardPwrConsumption``...).

It is the power of a moment, integrated by trapezoids. A service that says 0 or null has no meter: the machine
that asks draws something.

Schemas: DSP2046 (Redfish Resource and Schema Guide), Chassis, EnvironmentMetrics, Power, Sensor.
"""

from __future__ import annotations

import contextlib
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, structs

from advisor.common.regular_file import read_input, read_regular
from advisor.energy.integrator import Integrator
from advisor.energy.sampler import Sampler
from advisor.energy.source import Clock, Source, SourceName, ZoneReport
from advisor.energy.zones import ZoneReadError, reason_of
from advisor.errors import EnergyError, InputError

ZONE = "psys_redfish"
_ROOT = "/redfish/v1"
_MOST_BYTES = 1 << 20
_MOST_CHASSIS, _MOST_SENSORS = 64, 200
# chassis that lie in the machine's own; asked only where no other has a meter
_INNER_TYPES = frozenset({"Card", "Cartridge", "Component", "Module", "StorageEnclosure", "Drawer", "Zone"})
_PART = re.compile(
    r"cpu|processor|memory|dimm|gpu|accelerator|^hgx_|psu|supply|fan|storage|drive", re.IGNORECASE
)
_POWER = re.compile(r"power|pwr|watt", re.IGNORECASE)
# the contexts of what lies in a machine (DSP2046, PhysicalContext)
_PART_CONTEXTS = frozenset(
    {"Accelerator", "CPU", "CPUSubsystem", "Fan", "GPU", "GPUSubsystem", "Memory", "MemorySubsystem"}
    | {"NetworkingDevice", "StorageDevice", "StorageSubsystem"}
)
_WHOLE = re.compile(r"total|system|chassis|server|platform|input|consumption", re.IGNORECASE)
# powers further apart than this many intervals are not joined
_LONGEST_GAP_INTERVALS = 3.0

_REASONS = {"late": "timeout", "failed": "unreachable"}
_Seconds = Annotated[float, Meta(ge=1, le=3600)]


class RedfishConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the service is, and who asks."""

    url: str
    """``https://HOST[:PORT]``; ``http://`` on this machine alone."""
    username: str
    password: str | None = None
    password_file: str | None = None
    """The password alone; instead of ``password``."""
    ca_file: str | None = None
    """Certificates of authorities, PEM; None for those of the system. BMCs often sign their own."""
    chassis: str | None = None
    """Id of the chassis to ask; None for the first that has a meter."""
    interval_seconds: _Seconds = 10.0
    """Seconds between two questions; services refresh their power every 1 to 60 s."""
    timeout_seconds: Annotated[float, Meta(gt=0, le=60)] = 5.0


def read_redfish_config(path: Path) -> RedfishConfig:
    """The YAML file of an operator.

    Raises
    ------
    InputError
        It cannot be read, or holds something else. Its values are not repeated.
    """
    from advisor.common.yaml_text import YamlError, parse_yaml

    try:
        config = msgspec.convert(parse_yaml(read_input(path)), RedfishConfig)
    except (YamlError, msgspec.ValidationError) as exc:
        raise InputError(f"expected a Redfish service: {exc}", subject=path) from exc
    is_local = re.match(r"http://(localhost|127\.|\[::1\])", config.url) is not None
    if not (config.url.startswith("https://") or is_local):
        raise InputError(
            "expected https://HOST, so that nobody reads the password", subject=path, field="url"
        )
    if (config.password is None) == (config.password_file is None):
        raise InputError("expected one of password and password_file", subject=path)
    for name in ("password_file", "ca_file"):
        file = getattr(config, name)
        if file is not None and not Path(file).is_file():
            raise InputError("expected a file that exists", subject=path, field=name)
    return config


class RedfishError(EnergyError):
    """The service does not tell its power; ``reason`` is a label value."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"redfish: {reason}")


class RedfishClient:
    """Asks one service for the power of the machine, over one connection that is kept."""

    def __init__(self, config: RedfishConfig) -> None:
        from advisor.common.http import new_session

        self._config = config
        self._session = new_session()
        self._session.verify = config.ca_file or True
        self._meter: tuple[str, str] | None = None
        """The resource that has the power, and which of the three kinds it is."""

    def watts(self) -> float:
        """Power now, in watts.

        Raises
        ------
        RedfishError
            For ``timeout``, ``unreachable``, ``tls``, ``auth``, ``http``, ``malformed``, ``no_meter`` or
            ``zero``; where the password cannot be read, for ``permission``, ``missing`` or ``io``.
        """
        if self._meter is None:
            self._meter = self._find()
        path, kind = self._meter
        try:
            return _positive(_READERS[kind](self._get(path)))
        except RedfishError as exc:
            if exc.reason in ("http", "no_meter"):
                self._meter = None  # a service that was upgraded may have moved it
            raise

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def _find(self) -> tuple[str, str]:
        is_zero = False
        for chassis in self._chassis():
            for path, kind in self._meters(chassis):
                try:
                    _positive(_READERS[kind](self._get(path)))
                except RedfishError as exc:
                    if exc.reason not in ("http", "no_meter", "zero", "malformed"):
                        raise
                    is_zero = is_zero or exc.reason == "zero"
                else:
                    return path, kind
        raise RedfishError("zero" if is_zero else "no_meter")

    def _chassis(self) -> list[Mapping[str, Any]]:
        """The chassis of the system first, those inside it last."""
        wanted = self._config.chassis
        paths = list(self._members(_link(self._get(f"{_ROOT}/"), "Chassis")))
        if wanted is None and len(paths) > 1:  # a part's power is not the machine's
            paths = [path for path in paths if not _PART.search(path.rstrip("/").rpartition("/")[2])]
        chassis = [self._get(path) for path in paths[:_MOST_CHASSIS]]
        if wanted is not None:
            return [one for one in chassis if one.get("Id") == wanted]
        return sorted(chassis, key=lambda one: one.get("ChassisType") in _INNER_TYPES)

    def _meters(self, chassis: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        for name in ("EnvironmentMetrics", "Power"):
            path = _link(chassis, name)
            if path is not None:
                yield path, name
        sensors = [p for p in self._members(_link(chassis, "Sensors")) if _POWER.search(p)]
        for path in sorted(sensors[:_MOST_SENSORS], key=lambda p: not _WHOLE.search(p.rpartition("/")[2])):
            name = path.rpartition("/")[2]
            if _WHOLE.search(name) and not _PART.search(name):
                yield path, "Sensor"

    def _members(self, path: str | None) -> Iterator[str]:
        members = self._get(path).get("Members") if path is not None else None
        for member in members if isinstance(members, list) else ():
            link = _link({"member": member}, "member")
            if link is not None:
                yield link

    def _password(self) -> bytes:
        """Read for every question: it may be replaced."""
        config = self._config
        if config.password_file is None:
            return (config.password or "").encode()
        try:
            return read_regular(config.password_file).strip()
        except OSError as exc:
            raise RedfishError(reason_of(exc)) from None

    def _get(self, path: str) -> Mapping[str, Any]:
        from requests import Request
        from requests.auth import HTTPBasicAuth

        from advisor.common.http import HttpError, fetch

        config = self._config
        auth = HTTPBasicAuth(config.username.encode(), self._password())
        request = Request("GET", f"{config.url.rstrip('/')}{path}", auth=auth)
        try:
            answer = fetch(self._session, request, config.timeout_seconds, _MOST_BYTES)
        except HttpError as exc:
            raise RedfishError(_REASONS.get(exc.kind, exc.kind)) from None
        except (OSError, ValueError):
            raise RedfishError("unreachable") from None
        if not answer.is_good:
            raise RedfishError("auth" if answer.status in (401, 403) else "http")
        try:
            return msgspec.json.decode(answer.body, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise RedfishError("malformed") from None


def _link(resource: Mapping[str, Any], name: str) -> str | None:
    """A reference to another resource of the same service."""
    path = _at(resource, name, "@odata.id")
    return path if isinstance(path, str) and path.startswith(f"{_ROOT}/") else None


def _at(value: object, *names: str) -> object:
    """What lies there; None where something on the way is no object."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _power_control(resource: Mapping[str, Any]) -> object:
    """The control of the whole: some services list those of processors and memory after it."""
    controls = resource.get("PowerControl")
    # some services have it beside the controls
    for control in (*(controls if isinstance(controls, list) else (controls,)), resource):
        if isinstance(control, dict) and "PowerConsumedWatts" in control and not _is_part(control):
            watts = control["PowerConsumedWatts"]
            # AMI's MegaRAC tells it among the metrics
            return _at(control, "PowerMetrics", "CurConsumedWatts") if watts is None else watts
    # Fujitsu's iRMC tells it in its own part
    return _at(resource, "Oem", "ts_fujitsu", "ChassisPowerConsumption", "CurrentPowerConsumptionW")


def _is_part(control: Mapping[str, Any]) -> bool:
    context = control.get("PhysicalContext")
    return bool(_PART.search(str(control.get("Name", "")))) or context in _PART_CONTEXTS


_READERS: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
    "EnvironmentMetrics": lambda metrics: _at(metrics, "PowerWatts", "Reading"),
    "Power": _power_control,
    "Sensor": lambda it: it.get("Reading") if it.get("ReadingType") in (None, "Power") else None,
}


def _positive(value: object) -> float:
    if isinstance(value, str):  # some services write their numbers so
        with contextlib.suppress(ValueError):
            value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise RedfishError("no_meter")
    if value <= 0:
        raise RedfishError("zero")
    return float(value)


class RedfishSource(Source):
    """One zone, ``psys_redfish``, whose power is asked for in a thread of its own.

    Parameters
    ----------
    client
        Asks the service.
    interval_seconds
        Seconds between two questions.
    clock
        Monotonic seconds, the meter's.
    """

    name: SourceName = "redfish"

    def __init__(
        self, client: RedfishClient, interval_seconds: float, *, clock: Clock = time.monotonic
    ) -> None:
        self._client = client
        self._interval = interval_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._zone = Integrator(
            is_counter=False, longest_gap_seconds=_LONGEST_GAP_INTERVALS * interval_seconds
        )
        self._poller = Sampler("redfish", self.poll, lambda: interval_seconds)

    def stop(self) -> None:
        """End the thread and the connection."""
        self._poller.stop()
        self._client.close()

    def poll(self) -> None:
        """Ask once, and add what was drawn since the last answer."""
        before = self._clock()
        value: tuple[int, float] | ZoneReadError
        try:
            value = round(self._client.watts() * 1e6), (before + self._clock()) / 2
        except RedfishError as exc:
            value = ZoneReadError(exc.reason)
        with self._lock:
            self._zone.take(value)

    def sample(self, clock: Clock) -> None:
        """Begin to ask, if that has not begun: the thread does the rest."""
        self._poller.start(at_once=True)

    def report(self) -> tuple[ZoneReport, ...]:
        """The one zone."""
        with self._lock:
            zone = self._zone.report(ZONE, "psys", "redfish", "redfish", "instant")
        return (structs.replace(zone, interval_seconds=self._interval),)
