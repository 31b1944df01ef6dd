"""TLS, mutual TLS, passwords and their exchange, over real sockets."""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from tests.support.exporter_client import SAMPLE, Served, served
from tests.support.waiting import wait_until

PASSWORD = "a long password"


def make_certificates(folder: Path) -> None:
    """An authority, and under it a server, two clients and a second server certificate."""
    new = "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    signs = "-addext keyUsage=critical,keyCertSign,cRLSign"  # Python 3.13 asks for it
    run(folder, f"{new} -x509 -days 2 -subj /CN=authority {signs} -keyout ca.key -out ca.crt")
    for name, san in (
        ("server", "IP:127.0.0.1"),
        ("second", "IP:127.0.0.1"),
        ("client", "DNS:prometheus.example.org"),
        ("stranger", "DNS:stranger.example.org"),
    ):
        run(folder, f"{new} -subj /CN={name} -keyout {name}.key -out {name}.csr")
        (folder / f"{name}.ext").write_text(f"subjectAltName={san}\nauthorityKeyIdentifier=keyid\n")
        sign = "openssl x509 -req -days 2 -CA ca.crt -CAkey ca.key -CAcreateserial"
        run(folder, f"{sign} -in {name}.csr -out {name}.crt -extfile {name}.ext")


def run(folder: Path, command: str) -> None:
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


@pytest.fixture(scope="module")
def hashed() -> str:
    return bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()


def web_config(folder: Path, certificates: Path, *lines: str, cert: str = "server") -> Path:
    for kind in ("crt", "key"):
        (folder / f"live.{kind}").write_bytes((certificates / f"{cert}.{kind}").read_bytes())
    (folder / "ca.crt").write_bytes((certificates / "ca.crt").read_bytes())
    path = folder / "web.yml"
    path.write_text(
        "\n".join(["tls_server_config:", "  cert_file: live.crt", "  key_file: live.key", *lines])
    )
    return path


def client(certificates: Path, identity: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificates / "ca.crt")
    if identity:
        context.load_cert_chain(certificates / f"{identity}.crt", certificates / f"{identity}.key")
    return context


def get(
    exporter: Served, context: ssl.SSLContext | None, path: str = "/metrics", password: str | None = None
) -> tuple[int, dict[str, str], bytes]:
    if context is None:
        connection = http.client.HTTPConnection("127.0.0.1", exporter.port, timeout=60)
    else:
        connection = http.client.HTTPSConnection("127.0.0.1", exporter.port, timeout=60, context=context)
    token = base64.b64encode(f"alice:{password}".encode()).decode()
    try:
        connection.request("GET", path, headers={"Authorization": f"Basic {token}"} if password else {})
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    finally:
        connection.close()


def serial(exporter: Served, certificates: Path) -> int:
    """The serial number of the certificate that the server shows."""
    with (
        socket.create_connection(("127.0.0.1", exporter.port), timeout=60) as plain,
        client(certificates).wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        certificate = secure.getpeercert()
    assert certificate
    return int(str(certificate["serialNumber"]), 16)


@pytest.fixture
def locked(tmp_path: Path, certificates: Path, hashed: str) -> Iterator[Served]:
    lines = (
        "basic_auth_users:",
        f"  alice: {hashed}",
        "http_server_config:",
        "  headers:",
        "    X-Frame-Options: deny",
    )
    path = web_config(tmp_path, certificates, *lines)
    with served(SAMPLE, "--web-config", str(path)) as exporter:
        yield exporter


def test_tls_serves_who_trusts_the_authority(locked: Served, certificates: Path) -> None:
    assert locked.url.startswith("https://")
    assert get(locked, client(certificates), "/health")[0] == 200
    with pytest.raises(ssl.SSLCertVerificationError):
        get(locked, ssl.create_default_context(), "/health")


def test_a_password_is_asked_for_metrics_and_the_landing_page(locked: Served, certificates: Path) -> None:
    context = client(certificates)
    for path in ("/metrics", "/"):
        status, headers, body = get(locked, context, path)
        assert (status, body) == (401, b"unauthorized\n")
        assert headers["www-authenticate"] == 'Basic realm="metrics"'
        assert get(locked, context, path, password="wrong")[0] == 401
        assert get(locked, context, path, password=PASSWORD)[0] == 200


def test_health_needs_no_password(locked: Served, certificates: Path) -> None:
    for path in ("/health", "/-/healthy", "/-/ready"):
        assert get(locked, client(certificates), path)[0] == 200


def test_configured_headers_are_on_every_answer(locked: Served, certificates: Path) -> None:
    for path in ("/health", "/metrics", "/nope"):
        assert get(locked, client(certificates), path)[1]["x-frame-options"] == "deny"


def test_no_secret_is_logged_or_published(locked: Served, certificates: Path, hashed: str) -> None:
    page = get(locked, client(certificates), password=PASSWORD)[2]
    get(locked, client(certificates), password="wrong-secret")
    locked.process.terminate()
    said = locked.process.communicate()[0]
    for secret in (PASSWORD, hashed, "wrong-secret", "alice"):
        assert secret not in said
        assert secret.encode() not in page


def test_mutual_tls_lets_in_allowed_names_alone(tmp_path: Path, certificates: Path) -> None:
    lines = (
        "  client_auth_type: RequireAndVerifyClientCert",
        "  client_ca_file: ca.crt",
        "  client_allowed_sans: [prometheus.example.org]",
    )
    with served(SAMPLE, "--web-config", str(web_config(tmp_path, certificates, *lines))) as exporter:
        assert get(exporter, client(certificates, "client"))[0] == 200
        assert get(exporter, client(certificates, "stranger"))[0] == 403
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
            get(exporter, client(certificates))


def test_the_health_check_of_the_images_needs_no_certificate(tmp_path: Path, certificates: Path) -> None:
    """It has none to show, and still tells an exporter that serves from one that hangs."""
    lines = ("  client_auth_type: RequireAndVerifyClientCert", "  client_ca_file: ca.crt")
    check = Path(__file__).parents[2] / "docker" / "health.py"
    with served(SAMPLE, "--web-config", str(web_config(tmp_path, certificates, *lines))) as exporter:
        command = [sys.executable, check, str(exporter.port)]
        assert subprocess.run(command, timeout=60, check=False).returncode == 0
        exporter.process.send_signal(signal.SIGSTOP)
        try:
            assert subprocess.run(command, timeout=60, check=False).returncode == 1
        finally:
            exporter.process.send_signal(signal.SIGCONT)


def test_a_new_certificate_is_taken_while_connections_live(tmp_path: Path, certificates: Path) -> None:
    path = web_config(tmp_path, certificates)
    with served(SAMPLE, "--web-config", str(path)) as exporter:
        context = client(certificates)
        former = serial(exporter, certificates)
        old = http.client.HTTPSConnection("127.0.0.1", exporter.port, timeout=60, context=context)
        old.request("GET", "/health")
        assert old.getresponse().read() == b"OK"
        web_config(tmp_path, certificates, cert="second")
        wait_until(lambda: serial(exporter, certificates) != former)
        old.request("GET", "/health")
        assert old.getresponse().read() == b"OK"
        old.close()


def test_a_broken_certificate_leaves_the_former_in_force(tmp_path: Path, certificates: Path) -> None:
    path = web_config(tmp_path, certificates)
    with served(SAMPLE, "--web-config", str(path)) as exporter:
        former = serial(exporter, certificates)
        (tmp_path / "live.crt").write_text("no certificate")
        assert exporter.process.stdout is not None
        line = exporter.process.stdout.readline()
        assert "web configuration refused, the previous one stays in use" in line
        assert "live.crt" in line
        assert serial(exporter, certificates) == former


def test_a_renewed_key_that_could_not_be_read_for_a_while_is_taken(
    tmp_path: Path, certificates: Path
) -> None:
    """The certificate came first; the key follows with the size and times of the former one."""
    path = web_config(tmp_path, certificates)
    with served(SAMPLE, "--web-config", str(path)) as exporter:
        former = serial(exporter, certificates)
        key = tmp_path / "live.key"
        info = key.stat()
        key.rename(tmp_path / "elsewhere.key")
        (tmp_path / "live.crt").write_bytes((certificates / "second.crt").read_bytes())
        assert exporter.process.stdout is not None
        assert "web configuration refused" in exporter.process.stdout.readline()
        assert serial(exporter, certificates) == former
        key.write_bytes((certificates / "second.key").read_bytes())
        os.utime(key, ns=(info.st_atime_ns, info.st_mtime_ns))
        wait_until(lambda: serial(exporter, certificates) != former)


def test_passwords_and_tls_can_be_turned_on_and_off(tmp_path: Path, certificates: Path, hashed: str) -> None:
    path = tmp_path / "web.yml"
    path.write_text("")
    with served(SAMPLE, "--web-config", str(path)) as exporter:
        assert get(exporter, None)[0] == 200
        path.write_text(f"basic_auth_users: {{alice: {hashed}}}")
        wait_until(lambda: get(exporter, None)[0] == 401)
        web_config(tmp_path, certificates)
        wait_until(lambda: speaks_tls(exporter, certificates))
        path.write_text("{}")  # an empty file may be one that is being written
        wait_until(lambda: not speaks_tls(exporter, certificates))
        assert get(exporter, None)[0] == 200


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_connection_from_before_needs_the_certificate_that_is_asked_for_now(
    tmp_path: Path, certificates: Path, hashed: str, scheme: str
) -> None:
    """It was sent away without a password, and kept: certificates have taken the place of passwords."""
    users, path = f"basic_auth_users: {{alice: {hashed}}}", tmp_path / "web.yml"
    if scheme == "https":
        web_config(tmp_path, certificates, users)
    else:
        path.write_text(users)
    with served(SAMPLE, "--web-config", str(path)) as exporter:
        old = (
            http.client.HTTPSConnection("127.0.0.1", exporter.port, timeout=60, context=client(certificates))
            if scheme == "https"
            else http.client.HTTPConnection("127.0.0.1", exporter.port, timeout=60)
        )

        def ask() -> int | None:
            with contextlib.suppress(ConnectionError):
                old.request("GET", "/metrics")
                answer = old.getresponse()
                answer.read()
                return answer.status
            return None

        assert ask() == 401
        lines = ("  client_auth_type: RequireAndVerifyClientCert", "  client_ca_file: ca.crt")
        web_config(tmp_path, certificates, *lines)
        wait_until(lambda: lets_in(exporter, certificates))
        old.auto_open = 0  # nothing is asked over another connection
        assert ask() is None
        old.close()


def lets_in(exporter: Served, certificates: Path) -> bool:
    """Whether a certificate is enough."""
    try:
        return get(exporter, client(certificates, "client"))[0] == 200
    except (ssl.SSLError, ConnectionError):
        return False


def speaks_tls(exporter: Served, certificates: Path) -> bool:
    try:
        return get(exporter, client(certificates), "/health")[0] == 200
    except (ssl.SSLError, ConnectionError):
        return False


def test_a_web_configuration_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "web.yml"
    path.write_text("tls_server_config: {cert_file: a, key_file: b}\nx: 1\n")
    done = subprocess.run(
        [sys.executable, SAMPLE, "--port", "0", "--web-config", str(path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"exporters.sample: {path}: x: not supported; tls_server_config.cert_file: no file {tmp_path}/a; "
        f"tls_server_config.key_file: no file {tmp_path}/b\n"
    )


def test_plain_http_to_a_tls_port_does_no_harm(locked: Served, certificates: Path) -> None:
    with socket.create_connection(("127.0.0.1", locked.port), timeout=60) as sock:
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"200 OK" not in sock.recv(100)
    assert get(locked, client(certificates), "/health")[0] == 200


def test_clients_that_never_shake_hands_are_counted(locked: Served, certificates: Path) -> None:
    """The 513th is sent away at once, and once they have gone there is room again."""
    with contextlib.ExitStack() as held:
        silent = [
            held.enter_context(socket.create_connection(("127.0.0.1", locked.port), timeout=60))
            for _ in range(512)
        ]
        last = held.enter_context(socket.create_connection(("127.0.0.1", locked.port), timeout=60))
        assert last.recv(1) == b""
        silent[0].settimeout(0.1)
        with pytest.raises(TimeoutError):  # those before are waited for
            silent[0].recv(1)

    def answers() -> bool:
        try:
            return get(locked, client(certificates), "/health")[0] == 200
        except OSError:
            return False

    wait_until(answers)


def test_a_handshake_that_stops_does_not_hold_up_the_end(locked: Served) -> None:
    with socket.create_connection(("127.0.0.1", locked.port)) as sock:
        sock.sendall(b"\x16\x03\x01")
        locked.process.send_signal(signal.SIGTERM)
        assert locked.process.wait(timeout=9) == 0  # a handshake may take 10 s
