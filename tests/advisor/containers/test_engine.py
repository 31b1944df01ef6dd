"""The Engine API client against an engine that misbehaves on a real socket."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from advisor.containers import records
from advisor.containers.counts import Counts
from advisor.containers.engine import Engine, EngineAddress, engine_address
from advisor.containers.records import Container, EngineInfo
from advisor.errors import EngineError, InputError
from tests.support.certificates import certificates
from tests.support.engine_fake import FakeEngine
from tests.support.waiting import wait_until

ID = "4f" * 32


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeEngine]:
    engine = FakeEngine(tmp_path)
    engine.start()
    yield engine
    engine.stop()


@pytest.fixture
def client(fake: FakeEngine) -> Iterator[Engine]:
    engine = Engine(engine_address(fake.host))
    yield engine
    engine.close()


@pytest.fixture
def impatient(fake: FakeEngine) -> Iterator[Engine]:
    engine = Engine(engine_address(fake.host), timeout_seconds=0.5)
    yield engine
    engine.close()


def reason_of(error: pytest.ExceptionInfo[EngineError]) -> str:
    assert "\n" not in str(error.value)
    return error.value.reason


def test_the_version_of_the_engine_is_used_for_every_request(fake: FakeEngine, client: Engine) -> None:
    fake.api_version = "1.43"
    assert client.connect().api_version == "1.43"
    client.containers()
    assert fake.requests[-1].startswith("/v1.43/")


def test_an_engine_that_refuses_old_clients_is_spoken_to_in_its_own_version(
    fake: FakeEngine, client: Engine
) -> None:
    """Docker 29 takes nothing below 1.44."""
    fake.api_version, fake.oldest_version = "1.52", "1.44"
    assert client.connect().api_version == "1.52"


def test_an_engine_too_old_for_the_sdk_is_named(fake: FakeEngine, client: Engine) -> None:
    fake.api_version, fake.oldest_version = "1.18", "1.12"
    with pytest.raises(EngineError) as error:
        client.connect()
    assert reason_of(error) == "version"


def test_no_engine_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(EngineError) as error:
        Engine(engine_address(f"unix://{tmp_path}/none.sock")).connect()
    assert reason_of(error) == "unreachable"


@pytest.mark.parametrize(
    ("mode", "reason"),
    [("truncated", "protocol"), ("garbage", "protocol"), ("error", "api"), ("hang", "timeout")],
)
@pytest.mark.parametrize("call", ["connect", "containers", "inspect", "usage"])
def test_every_misbehaviour_has_its_reason(
    fake: FakeEngine, client: Engine, impatient: Engine, mode: str, reason: str, call: str
) -> None:
    client = impatient if mode == "hang" else client
    fake.add(ID, "web")
    client.connect()
    (fake.hang if mode == "hang" else lambda: setattr(fake, "mode", mode))()
    arguments = (ID,) if call in ("inspect", "usage") else ()
    with pytest.raises(EngineError) as error:
        getattr(client, call)(*arguments)
    assert reason_of(error) == reason
    fake.resume()
    client = Engine(engine_address(fake.host))
    assert client.connect().version == "26.0", "nothing of it lasts"
    client.close()


def test_a_malformed_container_hides_no_other(fake: FakeEngine) -> None:
    fake.add(ID, "web")
    fake.malformed = [{"Id": 7}, "nonsense", {"Id": "x", "Names": "web", "Image": "i"}]
    counts = Counts()
    client = Engine(engine_address(fake.host), on_malformed=lambda: counts.add("engine", "protocol"))
    client.connect()
    assert [container.name for container in client.containers()] == ["web"]
    assert counts.items() == {("engine", "protocol"): 3}
    client.close()


def test_an_inspection_has_what_the_list_has_not(fake: FakeEngine, client: Engine) -> None:
    fake.add(
        ID, "web", pid=77, restarts=3, labels={"team": "video"}, network="host", started=1_700_000_000.25
    )
    client.connect()
    assert client.inspect(ID) == Container(
        id=ID,
        name="web",
        image="debian:12",
        labels={"team": "video"},
        pid=77,
        start_unix_seconds=1_700_000_000.25,
        restarts=3,
        own_network=False,
    )


def test_a_container_that_is_gone_is_none(fake: FakeEngine, client: Engine) -> None:
    client.connect()
    assert client.inspect(ID) is None
    assert client.usage(ID) is None


def test_statistics_are_read_in_seconds_and_bytes(fake: FakeEngine, client: Engine) -> None:
    """9 MB used of which 1 MB can be dropped; 250 ms throttled."""
    fake.add(ID, "web")
    fake.use(ID, 12.5)
    client.connect()
    usage = client.usage(ID)
    assert usage is not None
    assert (usage.cpu_seconds, usage.throttled_seconds) == (12.5, 0.25)
    assert (usage.memory_working_set_bytes, usage.memory_limit_bytes) == (8_000_000, 64_000_000)
    assert (usage.block_read_bytes, usage.block_write_bytes) == (4096, 8192)
    assert (usage.network_receive_bytes, usage.network_transmit_bytes) == (70, 9)
    assert "one-shot=True" in fake.requests[-1]


def test_an_older_api_is_not_asked_for_one_shot(fake: FakeEngine, client: Engine) -> None:
    fake.api_version = "1.40"
    fake.add(ID, "web")
    fake.use(ID, 1.0)
    client.connect()
    assert client.usage(ID) is not None
    assert "one-shot" not in fake.requests[-1]


def test_the_empty_sample_of_an_ended_container_is_no_sample(fake: FakeEngine, client: Engine) -> None:
    """The engine writes zeros of the year one."""
    fake.add(ID, "web")
    client.connect()
    assert client.usage(ID) is None


def test_memory_that_the_engine_does_not_tell_is_unknown(fake: FakeEngine, client: Engine) -> None:
    fake.add(ID, "web")
    fake.use(ID, 1.0, memory_stats={}, networks=None, blkio_stats={"io_service_bytes_recursive": None})
    client.connect()
    usage = client.usage(ID)
    assert usage is not None
    assert usage.memory_working_set_bytes is None
    assert usage.network_receive_bytes is None
    assert usage.block_read_bytes is None


def listened(client: Engine, seconds: float = 5.0) -> tuple[list[str], threading.Thread]:
    """Actions as they come, from a thread that follows until the round is over."""
    actions: list[str] = []

    def follow() -> None:
        now = time.time()
        actions.extend(event.action for event in client.events(now, now + seconds))

    def quietly() -> None:
        try:
            follow()
        except EngineError as exc:
            actions.append(exc.reason)

    thread = threading.Thread(target=quietly)
    thread.start()
    return actions, thread


def test_events_come_until_the_end_of_the_round(fake: FakeEngine, client: Engine) -> None:
    """A truncated line is left out, what follows it is not."""
    client.connect()
    actions, thread = listened(client, seconds=1.0)
    fake.wait_for_stream()
    fake.add(ID, "web")
    fake.send_line(b'{"Type": "container", "Action": "st')
    fake.send_line(b'{"Action": 7}')
    fake.rename(ID, "api")
    fake.remove(ID)
    thread.join(60)
    assert actions == ["start", "rename", "die"]


def test_a_stream_that_hangs_is_a_timeout(fake: FakeEngine, impatient: Engine) -> None:
    impatient.connect()
    actions, thread = listened(impatient, seconds=0.2)
    fake.wait_for_stream()
    fake.hang()
    thread.join(60)
    assert actions == ["timeout"]


def test_a_waiting_stream_can_be_interrupted(fake: FakeEngine, client: Engine) -> None:
    client.connect()
    _, thread = listened(client, seconds=60.0)
    fake.wait_for_stream()

    def has_ended() -> bool:
        client.interrupt()
        return not thread.is_alive()

    wait_until(has_ended)


def test_go_times_are_read_to_the_microsecond() -> None:
    """2023-11-14T22:13:20Z is 1 700 000 000."""
    info = {"ServerVersion": "26.0", "SystemTime": "2023-11-14T23:13:20.123456789+01:00"}
    assert records.from_info(info, "1.44").unix_seconds == pytest.approx(1_700_000_000.123456, abs=1e-6)


def test_the_own_name_is_told_from_the_alias_of_a_link() -> None:
    item = {"Id": ID, "Names": ["/web/db", "/db"], "Image": "postgres:16"}
    listed = records.from_list(item)
    assert listed is not None
    assert listed.name == "db"


def test_what_an_engine_need_not_tell_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container without a name goes by its short id; an engine without a clock by this machine's."""
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.0)
    listed = records.from_list({"Id": ID, "Names": None, "Image": "i"})
    assert listed is not None
    assert listed.name == ID[:12]
    assert records.from_info({}, "1.44") == EngineInfo("", "1.44", 1_700_000_000.0)
    state = {"Running": True, "Pid": 7, "StartedAt": "2023-11-14T22:13:20Z"}
    inspected = records.from_inspection({"Id": ID, "Name": "/web", "State": state, "Config": {"Image": "i"}})
    assert inspected is not None
    assert (inspected.name, inspected.start_unix_seconds) == ("web", 1_700_000_000.0)


def test_start_events_know_name_image_and_time() -> None:
    line = json.dumps(
        {
            "Action": "start",
            "Actor": {"ID": ID, "Attributes": {"name": "web", "image": "debian:12", "team": "video"}},
            "timeNano": 1_700_000_000_500_000_000,
        }
    ).encode()
    event = records.from_event(line)
    assert (event.container.name, event.container.image) == ("web", "debian:12")
    assert event.container.labels["team"] == "video"
    assert event.container.start_unix_seconds == event.unix_seconds == 1_700_000_000.5


def test_tcp_with_tls_checks_both_sides(tmp_path: Path) -> None:
    folder = certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    context.load_verify_locations(folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    fake = FakeEngine(tmp_path, tls=context)
    fake.start()
    try:
        with_certificate = Engine(engine_address(fake.host, tls_verify=True, cert_path=str(folder)))
        assert with_certificate.connect().version == "26.0"
        with_certificate.close()
        stranger = Engine(EngineAddress(fake.host, tls_verify=True), timeout_seconds=1.0)
        with pytest.raises(EngineError) as error:
            stranger.connect()
        assert reason_of(error) == "tls"
        stranger.close()
    finally:
        fake.stop()


def test_addresses_are_checked_before_anything_is_opened(tmp_path: Path) -> None:
    assert engine_address(None).host == "unix:///var/run/docker.sock"
    assert engine_address("unix:///x").is_local
    assert not engine_address("tcp://h:2375").is_local
    with pytest.raises(InputError, match="DOCKER_HOST"):
        engine_address("http://h:2375")
    with pytest.raises(InputError, match=r"ca\.pem"):
        engine_address("tcp://h:2376", cert_path=str(tmp_path))


def test_a_key_with_a_passphrase_is_refused_before_anything_asks_for_it(tmp_path: Path) -> None:
    """The library would ask the terminal, and wait."""
    folder = certificates(tmp_path)
    key = folder / "key.pem"
    command = [
        "openssl",
        "pkey",
        "-in",
        str(key),
        "-aes256",
        "-passout",
        "pass:secret",
        "-out",
        str(folder / "locked.pem"),
    ]
    subprocess.run(command, capture_output=True, check=True)
    (folder / "locked.pem").replace(key)
    with pytest.raises(InputError, match=r"key\.pem: expected a key without a passphrase"):
        engine_address("tcp://localhost:2376", cert_path=str(folder))


def test_a_container_that_waits_to_be_restarted_does_not_run() -> None:
    """docker_exporter 13: the engine says of it that it runs and is restarting."""
    assert records.from_list({"Id": ID, "Names": ["/web"], "Image": "i", "State": "restarting"}) is None
    state = {"Running": True, "Restarting": True, "Pid": 0, "StartedAt": "2023-11-14T22:13:20Z"}
    inspected = {"Id": ID, "Name": "/web", "State": state, "Config": {"Image": "i"}}
    assert records.from_inspection(inspected) is None


def test_an_engine_says_what_it_is_and_who_listens(fake: FakeEngine, client: Engine) -> None:
    info = client.connect()
    assert (info.kind, info.is_local, info.pid) == ("docker", True, os.getpid())
    fake.components = [{"Name": "Podman Engine", "Version": "4.3.1"}]
    assert client.connect().kind == "podman"
