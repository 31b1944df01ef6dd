"""The machine's meter over the network: what services of several vendors say, and what they do wrong."""

from __future__ import annotations

import json
import re
import ssl
from pathlib import Path
from typing import Any

import pytest

from advisor.energy.redfish import (
    ZONE,
    RedfishClient,
    RedfishConfig,
    RedfishError,
    RedfishSource,
    read_redfish_config,
)
from advisor.errors import InputError
from tests.support.certificates import certificates
from tests.support.clock import FakeClock
from tests.support.redfish_service import (
    AMI_HGX,
    DELL,
    DELL_SENSORS,
    DMTF_RACK_SERVER,
    HPE_WITHOUT_METER,
    LENOVO,
    OPENBMC,
    OPENBMC_PARTS,
    OPENBMC_SENSORS,
    RedfishService,
    power_service,
    redfish,
)

PASSWORD = "s3cret ü"


def client(service: RedfishService, timeout_seconds: float = 60.0, **options: Any) -> RedfishClient:
    access = {"url": service.url, "username": "monitor", "password": PASSWORD}
    return RedfishClient(RedfishConfig(**access, timeout_seconds=timeout_seconds, **options))


@pytest.mark.parametrize(
    ("resources", "watts"),
    [
        (DELL, 464.0),
        (DELL_SENSORS, 294.0),
        (DMTF_RACK_SERVER, 374.0),
        (LENOVO, 258.0),
        (OPENBMC, 232.5),
        (OPENBMC_SENSORS, 231.0),
        (AMI_HGX, 4920.0),
        (OPENBMC_PARTS, 5100.0),
    ],
    ids=["dell", "dell-sensors", "dmtf", "lenovo", "openbmc", "openbmc-sensors", "ami-hgx", "openbmc-parts"],
)
def test_the_power_of_the_whole_is_found(resources: dict[str, dict[str, Any]], watts: float) -> None:
    """Not that of a processor, a supply, a backplane or a GPU beside it."""
    with redfish(resources) as service:
        assert client(service).watts() == watts


@pytest.mark.parametrize(
    ("power_control", "watts"),
    [
        ([{"PhysicalContext": "CPU", "PowerConsumedWatts": 120}, {"PowerConsumedWatts": 310}], 310.0),
        ([{"Name": "Server Power Control", "PowerConsumedWatts": "176"}], 176.0),
        ({"PowerConsumedWatts": 52.5}, 52.5),
        ([{"PhysicalContext": "PowerSupply", "PowerConsumedWatts": 88}], 88.0),
        (
            [{"PowerCapacityWatts": 1600, "PowerConsumedWatts": 93, "PowerLimit": {"LimitInWatts": None}}],
            93.0,
        ),
        ([{"Name": "Power Limit"}, {"Name": "Chassis Power Control", "PowerConsumedWatts": 6100}], 6100.0),
    ],
    ids=[
        "a processor told by its context",
        "a number in a text",
        "no list",
        "measured at the supplies",
        "iLO 4: without a name",
        "a limit alone before it",
    ],
)
def test_power_controls_as_services_write_them(power_control: object, watts: float) -> None:
    with redfish(power_service(power_control)) as service:
        assert client(service).watts() == watts


def test_fujitsu_s_part_of_its_own_is_read() -> None:
    """iRMC of an RX2530 M7: 150 W in all, of which its supplies say 80 and 70 W."""
    own = {
        "ChassisPowerConsumption": {"CurrentPowerConsumptionW": 150, "Designation": "Total Power"},
        "ChassisPowerSensors": [{"Designation": "PSU1 Power", "CurrentPowerConsumptionW": 80}],
    }
    with redfish(power_service(None, Oem={"ts_fujitsu": own})) as service:
        assert client(service).watts() == 150.0


@pytest.mark.parametrize(
    ("power_control", "reason"),
    [
        ([{"PhysicalContext": "CPU", "PowerConsumedWatts": 120}], "no_meter"),
        ([{"PhysicalContext": "CPU", "PowerConsumedWatts": 1}, {"PowerConsumedWatts": None}], "no_meter"),
        ([{"Name": "System Power Control", "PowerConsumedWatts": "N/A"}], "no_meter"),
        ([{"Name": "System Power Control", "PowerConsumedWatts": True}], "no_meter"),
        ([{"PhysicalContext": "PowerSupply", "PowerConsumedWatts": 0, "PowerMetrics": []}], "zero"),
        (None, "no_meter"),
    ],
)
def test_a_part_s_power_never_stands_in_for_the_whole_s(power_control: object, reason: str) -> None:
    with redfish(power_service(power_control)) as service, pytest.raises(RedfishError, match=reason):
        client(service).watts()


def test_where_the_meter_is_is_asked_once(tmp_path: Path) -> None:
    with redfish(DELL) as service:
        asking = client(service)
        asking.watts()
        service.requests.clear()
        asking.watts()
        assert service.requests == ["/redfish/v1/Chassis/System.Embedded.1/Power"]


def test_a_baseboard_alone_is_no_machine_but_can_be_named() -> None:
    with redfish(AMI_HGX) as service:
        service.power("BMC_0/Power", PowerMetrics=None)
        with pytest.raises(RedfishError, match="no_meter"):
            client(service).watts()
        assert client(service, chassis="HGX_Chassis_0").watts() == 2420.5


def test_the_only_chassis_is_the_machine_whatever_its_name() -> None:
    named = json.dumps(power_service([{"PowerConsumedWatts": 300}])).replace("Chassis/1", "Chassis/gpu-7")
    with redfish(json.loads(named)) as service:
        assert client(service).watts() == 300.0


def test_a_part_is_known_by_its_name_where_links_end_in_a_slash() -> None:
    slashed = re.sub(r'(/Chassis/[^/"]+)"', r'\1/"', json.dumps(OPENBMC_PARTS))
    with redfish(json.loads(slashed)) as service:
        assert client(service).watts() == 5100.0


def test_a_chassis_can_be_named() -> None:
    with redfish(DELL) as service:
        assert client(service, chassis="System.Embedded.1").watts() == 464.0
        with pytest.raises(RedfishError, match="no_meter"):
            client(service, chassis="Enclosure.Internal.0-1").watts()


@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("hang", "timeout"),
        ("drip", "timeout"),
        ("stop", "timeout"),
        ("cut", "unreachable"),
        ("packed", "malformed"),
        ("garbage", "malformed"),
        ("huge", "malformed"),
        ("redirect", "http"),
        ("error", "http"),
    ],
)
def test_a_service_that_misbehaves_is_told_apart(mode: str, reason: str) -> None:
    with redfish(DELL) as service:
        service.mode = mode
        with pytest.raises(RedfishError) as told:
            client(service, timeout_seconds=0.5 if reason == "timeout" else 60.0).watts()
    assert told.value.reason == reason


def test_zero_is_no_meter() -> None:
    """A machine that asks draws something: its service has no sensor."""
    with redfish(HPE_WITHOUT_METER) as service, pytest.raises(RedfishError) as told:
        client(service).watts()
    assert told.value.reason == "zero"


def test_null_is_no_meter() -> None:
    with redfish(DELL) as service:
        service.power("System.Embedded.1/Power", PowerConsumedWatts=None)
        with pytest.raises(RedfishError) as told:
            client(service).watts()
    assert told.value.reason == "no_meter"


def test_a_wrong_password_is_told_and_nobody_at_the_address_too() -> None:
    with redfish(DELL) as service:
        config = RedfishConfig(url=service.url, username="monitor", password="other")
        with pytest.raises(RedfishError) as told:
            RedfishClient(config).watts()
    assert told.value.reason == "auth"
    with pytest.raises(RedfishError) as told:
        RedfishClient(config).watts()
    assert told.value.reason == "unreachable"


@pytest.mark.parametrize(("place", "reason"), [("gone", "missing"), (".", "io")])
def test_a_password_that_cannot_be_read_is_no_service_that_cannot_be_reached(
    tmp_path: Path, place: str, reason: str
) -> None:
    config = RedfishConfig(url="https://bmc.invalid", username="u", password_file=str(tmp_path / place))
    with pytest.raises(RedfishError) as told:
        RedfishClient(config).watts()
    assert told.value.reason == reason


def test_a_certificate_that_nobody_vouches_for_is_refused_and_its_authority_accepted(tmp_path: Path) -> None:
    folder = certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    with redfish(DELL, tls=context) as service:
        with pytest.raises(RedfishError) as told:
            client(service).watts()
        assert told.value.reason == "tls"
        assert client(service, ca_file=str(folder / "ca.pem")).watts() == 464.0


def reading(source: RedfishSource) -> tuple[float, dict[str, int]]:
    (zone,) = source.report()
    return zone.joules, dict(zone.read_errors)


def test_power_is_integrated_between_answers_and_not_over_a_gap() -> None:
    """200 W, ten seconds later 300 W: 2 500 J. Then nothing for a minute: unknown, and counted."""
    clock = FakeClock()
    with redfish(OPENBMC) as service:
        source = RedfishSource(client(service), 10.0, clock=clock)

        def poll(seconds: float, watts: float | None) -> None:
            clock.advance(seconds)
            service.power("chassis/EnvironmentMetrics", PowerWatts={"Reading": watts})
            source.poll()

        poll(0.0, 200.0)
        poll(10.0, 300.0)
        assert reading(source) == (2500.0, {})
        poll(20.0, None)
        poll(40.0, 300.0)
        assert reading(source) == (2500.0, {"no_meter": 1, "gap": 1})
        poll(10.0, 100.0)
        assert reading(source)[0] == 4500.0
    (zone,) = source.report()
    assert (zone.name, zone.domain, zone.kind, zone.interval_seconds) == (ZONE, "psys", "instant", 10.0)


def written(folder: Path, text: str) -> Path:
    path = folder / "redfish.yaml"
    path.write_text(text)
    return path


def test_the_operator_s_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    path = written(tmp_path, f"url: https://bmc\nusername: monitor\npassword_file: {tmp_path}/password\n")
    assert read_redfish_config(path).interval_seconds == 10.0
    with redfish(DELL) as service:
        config = RedfishConfig(url=service.url, username="monitor", password_file=str(tmp_path / "password"))
        assert RedfishClient(config).watts() == 464.0


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("url: http://bmc\nusername: u\npassword: p\n", "expected https://HOST"),
        ("url: https://bmc\nusername: u\n", "expected one of password and password_file"),
        ("url: https://bmc\nusername: u\npassword_file: /none\n", "expected a file that exists"),
        ("url: https://bmc\nusername: u\npasword: p\n", "pasword"),
        ("url: https://bmc\nusername: u\npassword: p\ninterval_seconds: 0\n", "interval_seconds"),
        ("[", "expected a Redfish service"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_that_names_it(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(InputError) as told:
        read_redfish_config(written(tmp_path, text))
    assert problem in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("power_control", "watts"),
    [
        # check_redfish 163: iDRAC tells no status
        ([{"MemberId": "PowerControl",
           "Name": "System Power Control", "PowerConsumedWatts": 464, "PowerCapacityWatts": 1800}], 464.0),
        # ibm-openbmc 288: a limit that is null beside the power
        ([{"MemberId": "0", "Name": "Chassis Power Control", "PowerConsumedWatts": 232.0,
           "PowerLimit": {"LimitInWatts": None}, "Status": {"Health": "OK", "State": "Enabled"}}], 232.0),
    ],
)  # fmt: skip
def test_power_controls_of_reports(power_control: object, watts: float) -> None:
    with redfish(power_service(power_control)) as service:
        assert client(service).watts() == watts


def test_telegraf_9575_a_supply_without_an_output_hides_nothing() -> None:
    """R720: the supply's output is null and its input the rating, 900 W; 154 W are drawn."""
    supplies = [{"Name": "PS1 Status", "LastPowerOutputWatts": None, "PowerInputWatts": 900}]
    control = [{"Name": "System Power Control", "PowerConsumedWatts": 154}]
    with redfish(power_service(control, PowerSupplies=supplies)) as service:
        assert client(service).watts() == 154.0


def test_ocp_profile_60_a_power_beside_the_controls_is_the_whole_s() -> None:
    """The profile, and services by it, put PowerConsumedWatts at the top of Power."""
    body = {"Name": "Power", "PowerConsumedWatts": 93, "PowerSupplies": [{"LastPowerOutputWatts": 50}]}
    with redfish(power_service(None) | {"/redfish/v1/Chassis/1/Power": body}) as service:
        assert client(service).watts() == 93.0
