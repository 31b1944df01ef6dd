"""A Redfish service on a real HTTP socket, answering from mockups in the form that vendors publish."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = [
    "AMI_HGX",
    "DELL",
    "DELL_SENSORS",
    "DMTF_RACK_SERVER",
    "HPE_WITHOUT_METER",
    "LENOVO",
    "OPENBMC",
    "OPENBMC_PARTS",
    "OPENBMC_SENSORS",
    "RedfishService",
    "power_service",
    "redfish",
]

_AUTHORIZATION = "Basic " + base64.b64encode("monitor:s3cret ü".encode()).decode()


def _collection(*paths: str) -> dict[str, Any]:
    return {"Members": [{"@odata.id": path} for path in paths], "Members@odata.count": len(paths)}


def _service(chassis: Mapping[str, dict[str, Any]], **resources: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """A service root with chassis by id, and resources below ``/redfish/v1/Chassis/``."""
    root = "/redfish/v1"
    paths = {f"{root}/": {"Chassis": {"@odata.id": f"{root}/Chassis"}, "RedfishVersion": "1.11.0"}}
    paths[f"{root}/Chassis"] = _collection(*(f"{root}/Chassis/{name}" for name in chassis))
    for name, body in chassis.items():
        links = {k: {"@odata.id": f"{root}/Chassis/{name}/{k}"} for k in body.pop("links", ())}
        paths[f"{root}/Chassis/{name}"] = {"Id": name, **body, **links}
    for path, body in resources.items():
        paths[f"{root}/Chassis/{path}"] = body
    return paths


# iDRAC 9: no Status in PowerControl, a second chassis that is the backplane
DELL = _service(
    {
        "Enclosure.Internal.0-1": {"ChassisType": "StorageEnclosure", "links": []},
        "System.Embedded.1": {"ChassisType": "RackMount", "links": ["Power"]},
    },
    **{
        "System.Embedded.1/Power": {
            "@odata.type": "#Power.v1_5_0.Power",
            "PowerControl": [
                {
                    "MemberId": "PowerControl",
                    "Name": "System Power Control",
                    "PowerCapacityWatts": 902,
                    "PowerConsumedWatts": 464,
                    "PowerMetrics": {"AverageConsumedWatts": 455, "IntervalInMin": 1},
                }
            ],
            "PowerSupplies": [
                {"MemberId": "PSU.Slot.1", "LastPowerOutputWatts": None, "PowerInputWatts": 900}
            ],
        }
    },
)
# XClarity: the whole first, then what lies in it
LENOVO = _service(
    {"1": {"ChassisType": "RackMount", "links": ["Power"]}},
    **{
        "1/Power": {
            "PowerControl": [
                {"Name": "CPU Sub-system Power", "PowerConsumedWatts": 96},
                {"Name": "Server Power Control", "PowerConsumedWatts": 258.0},
                {"Name": "Memory Sub-system Power", "PowerConsumedWatts": 12},
            ]
        }
    },
)
# iLO 4 of a machine without a power meter
HPE_WITHOUT_METER = _service(
    {"1": {"ChassisType": "RackMount", "links": ["Power"]}},
    **{
        "1/Power": {
            "PowerConsumedWatts": 0,
            "PowerControl": [{"PowerCapacityWatts": 0, "PowerConsumedWatts": 0}],
        }
    },
)
# OpenBMC since 2021.2
OPENBMC = _service(
    {"chassis": {"ChassisType": "RackMount", "links": ["EnvironmentMetrics", "Power", "Sensors"]}},
    **{
        "chassis/EnvironmentMetrics": {
            "@odata.type": "#EnvironmentMetrics.v1_3_0.EnvironmentMetrics",
            "PowerWatts": {
                "DataSourceUri": "/redfish/v1/Chassis/chassis/Sensors/power_total",
                "Reading": 232.5,
            },
        },
        "chassis/Power": {"PowerControl": []},
        "chassis/Sensors": _collection(),
    },
)
# OpenBMC without either: the sensor that names the whole
OPENBMC_SENSORS = _service(
    {
        "GPU_0": {"ChassisType": "Component", "links": ["Sensors"]},
        "chassis": {"ChassisType": "RackMount", "links": ["EnvironmentMetrics", "Sensors"]},
    },
    **{
        "GPU_0/Sensors": _collection("/redfish/v1/Chassis/GPU_0/Sensors/power_total_GPU_0"),
        "chassis/EnvironmentMetrics": {"TemperatureCelsius": {"Reading": 25}},
        "chassis/Sensors": _collection(
            *(
                f"/redfish/v1/Chassis/chassis/Sensors/{n}"
                for n in ("temp_inlet", "power_psu0_input", "power_total_power")
            )
        ),
        "chassis/Sensors/power_psu0_input": {"Reading": 120.0, "ReadingType": "Power", "ReadingUnits": "W"},
        "chassis/Sensors/power_total_power": {"Reading": 231.0, "ReadingType": "Power", "ReadingUnits": "W"},
    },
)

# DMTF's mockup of a rack server (DSP2043, public-rackmount1): all three, with the values it has; the metrics
# come first, and the deprecated Power tells another moment's
DMTF_RACK_SERVER = _service(
    {
        "1U": {
            "@odata.type": "#Chassis.v1_15_0.Chassis",
            "ChassisType": "RackMount",
            "Power@Redfish.Deprecated": "Please migrate to use /redfish/v1/Chassis/1U/PowerSubsystem",
            "links": [
                "ThermalSubsystem",
                "PowerSubsystem",
                "EnvironmentMetrics",
                "Sensors",
                "Thermal",
                "Power",
            ],
        }
    },
    **{
        "1U/EnvironmentMetrics": {
            "@odata.type": "#EnvironmentMetrics.v1_0_0.EnvironmentMetrics",
            "Name": "Chassis Environment Metrics",
            "TemperatureCelsius": {"Reading": 39, "DataSourceUri": "/redfish/v1/Chassis/1U/Sensors/CPU1Temp"},
            "PowerWatts": {"Reading": 374, "DataSourceUri": "/redfish/v1/Chassis/1U/Sensors/TotalPower"},
        },
        "1U/Power": {
            "@odata.type": "#Power.v1_7_0.Power",
            "PowerControl": [
                {
                    "@odata.id": "/redfish/v1/Chassis/1U/Power#/PowerControl/0",
                    "MemberId": "0",
                    "Name": "System Input Power",
                    "PowerConsumedWatts": 344,
                    "PowerRequestedWatts": 800,
                    "PowerAvailableWatts": 0,
                    "PowerMetrics": {"IntervalInMin": 30, "AverageConsumedWatts": 319},
                }
            ],
            "PowerSupplies": [{"Name": "Power Supply Bay", "LastPowerOutputWatts": 325}],
        },
        "1U/Sensors": _collection(
            *(f"/redfish/v1/Chassis/1U/Sensors/{n}" for n in ("CPU1Power", "PS1InputPower", "TotalPower"))
        ),
        "1U/Sensors/CPU1Power": {"Reading": 90, "ReadingType": "Power", "PhysicalContext": "CPU"},
        "1U/Sensors/PS1InputPower": {"Reading": 190, "ReadingType": "Power"},
        "1U/Sensors/TotalPower": {"Reading": 374, "ReadingType": "Power", "PhysicalContext": "Chassis"},
    },
)
# iDRAC by its sensors alone: the power of the board is written Pwr
DELL_SENSORS = _service(
    {"System.Embedded.1": {"ChassisType": "RackMount", "links": ["Sensors"]}},
    **{
        "System.Embedded.1/Sensors": _collection(
            *(
                f"/redfish/v1/Chassis/System.Embedded.1/Sensors/{n}"
                for n in ("PS1Current1", "PS1Voltage1", "SystemBoardPwrConsumption", "SystemBoardInletTemp")
            )
        ),
        "System.Embedded.1/Sensors/SystemBoardPwrConsumption": {
            "Reading": 294,
            "ReadingType": "Power",
            "ReadingUnits": "W",
            "PhysicalContext": "SystemBoard",
        },
    },
)

# MegaRAC of an ASRock Rack B300 8U: the baseboard of the GPUs has the one reading of the usual place
AMI_HGX = _service(
    {
        "BMC_0": {"ChassisType": "RackMount", "links": ["Power"]},
        "HGX_Chassis_0": {"ChassisType": "RackMount", "links": ["EnvironmentMetrics"]},
    },
    **{
        "BMC_0/Power": {
            "PowerControl": [
                {
                    "PowerConsumedWatts": None,
                    "PowerMetrics": {"CurConsumedWatts": 4920, "AverageConsumedWatts": 4925},
                }
            ]
        },
        "HGX_Chassis_0/EnvironmentMetrics": {"PowerWatts": {"Reading": 2420.5}},
    },
)
# bmcweb calls every chassis a rack's, in the order of their names
OPENBMC_PARTS = _service(
    {
        name: {"ChassisType": "RackMount", "links": ["EnvironmentMetrics"]}
        for name in (*(f"CPU_{n}" for n in range(20)), "HGX_Baseboard_0", "chassis", "powersupply0")
    },
    **{f"CPU_{n}/EnvironmentMetrics": {"PowerWatts": {"Reading": 180.0}} for n in range(20)},
    **{"chassis/EnvironmentMetrics": {"PowerWatts": {"Reading": 5100.0}}},
)


def power_service(power_control: object, **fields: object) -> dict[str, dict[str, Any]]:
    """One chassis that has ``Power`` alone."""
    return _service(
        {"1": {"ChassisType": "RackMount", "links": ["Power"]}},
        **{"1/Power": {"@odata.type": "#Power.v1_2_9.Power", "PowerControl": power_control, **fields}},
    )


class RedfishService:
    """What it answers; ``mode`` is ``ok``, or what goes wrong, such as ``hang``, ``drip`` or ``garbage``."""

    def __init__(self, resources: Mapping[str, dict[str, Any]], url: str) -> None:
        self.resources = {path: json.loads(json.dumps(body)) for path, body in resources.items()}
        self.url = url
        self.mode = "ok"
        self.requests: list[str] = []
        self.released = threading.Event()

    def power(self, path: str, **values: object) -> None:
        """Change values of a resource, or of its first power control."""
        body = self.resources[f"/redfish/v1/Chassis/{path}"]
        (body["PowerControl"][0] if "PowerControl" in body else body).update(values)


@contextmanager
def redfish(
    resources: Mapping[str, dict[str, Any]], *, tls: ssl.SSLContext | None = None
) -> Iterator[RedfishService]:
    """Serve until the block ends."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    scheme = "http"
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    service = RedfishService(resources, f"{scheme}://localhost:{server.server_address[1]}")
    handler.service = service  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    service: RedfishService
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        service = self.service
        service.requests.append(self.path)
        if service.mode == "hang":
            service.released.wait(30)
            return None
        if service.mode == "redirect":
            return self._answer(302, b"", Location="http://elsewhere.invalid/")
        if self.headers.get("Authorization") != _AUTHORIZATION:
            return self._answer(401, b"{}")
        body = service.resources.get(self.path)
        if body is None:
            return self._answer(404, b"{}")
        text = {"garbage": b"{", "huge": b'{"a": "' + b"x" * (2 << 20) + b'"}'}.get(service.mode)
        return self._answer(500 if service.mode == "error" else 200, text or json.dumps(body).encode())

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        mode = self.service.mode
        if mode == "packed":
            headers["Content-Encoding"] = "gzip"  # which the body is not
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) + (mode in ("cut", "stop"))))
        self.end_headers()
        step = 1 if mode == "drip" else len(body) or 1
        for place in range(0, len(body), step):
            self.wfile.write(body[place : place + step])
            if mode == "drip":
                self.service.released.wait(0.05)
        if mode == "stop":
            self.service.released.wait(30)
        self.close_connection = mode in ("cut", "stop")
