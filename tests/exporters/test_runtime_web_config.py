"""The web configuration file: taken as the Go exporters take it, refused by name where it is not."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from advisor.errors import InputError
from exporters.runtime import web_config
from exporters.runtime.web_config import Web, WebConfig, ssl_context

# bcrypt of "watt", cost 4
HASH = "$2b$04$O68uofYuGj9oZgAxSfAbA.dCPizdZ3r47RjVCRZXAQzmQpEUg3XE2"


PAIR = "tls_server_config: {cert_file: server.crt, key_file: server.key"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    for name in ("server", "other"):
        command = f"{make} -subj /CN={name} -keyout {name}.key -out {name}.crt"
        subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    command = "openssl ec -in server.key -aes256 -passout pass:secret -out locked.key"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return folder


def config(folder: Path, text: str) -> Path:
    path = folder / "web.yml"
    path.write_text(text)
    return path


def read_web_config(path: Path) -> WebConfig:
    return web_config.web_config(path, path.read_bytes())


def refusal(folder: Path, text: str) -> str:
    path = config(folder, text)
    with pytest.raises(InputError) as caught:
        read_web_config(path)
    return str(caught.value).removeprefix(f"{path}: ")


def test_an_empty_file_asks_for_nothing(tmp_path: Path) -> None:
    read = read_web_config(config(tmp_path, ""))
    assert (read.tls, read.users, list(read.headers), read.files) == (None, {}, [], [])


def test_a_full_file_is_understood(certificates: Path) -> None:
    read = read_web_config(
        config(
            certificates,
            f"""
tls_server_config:
  cert_file: server.crt
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: other.crt
  client_allowed_sans: [prometheus.example.org]
  min_version: TLS12
  max_version: TLS12
  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]
http_server_config:
  http2: false
  headers:
    X-Frame-Options: deny
basic_auth_users:
  alice: {HASH}
""",
        )
    )
    assert read.tls is not None
    assert read.users == {"alice": HASH.encode()}
    assert list(read.headers) == [(b"x-frame-options", b"deny")]
    assert [path.name for path in read.files] == ["server.crt", "server.key", "other.crt"]
    context = ssl_context(read.tls)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.maximum_version is ssl.TLSVersion.TLSv1_2
    names = [c["name"] for c in context.get_ciphers() if c["protocol"] == "TLSv1.2"]
    assert names == ["ECDHE-ECDSA-AES128-GCM-SHA256"]


def test_everything_wrong_is_named_at_once(tmp_path: Path) -> None:
    text = """
tls_server_config:
  cert_file: missing.crt
  key: inline
  client_auth_type: RequireAnyClientCert
  min_version: TLS10
  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]
  curve_preferences: [X25519]
http_server_config:
  http2: true
  headers: {X-Other: a, X-Frame-Options: "a\\nb"}
basic_auth_users:
  alice: secret
rate_limit: {burst: 2}
"""
    said = refusal(tmp_path, text)
    for expected in (
        "rate_limit: not supported",
        "tls_server_config.key: not supported",
        "tls_server_config.curve_preferences: not supported",
        f"tls_server_config.cert_file: no file {tmp_path}/missing.crt",
        "tls_server_config.client_auth_type: expected one of NoClientCert, VerifyClientCertIfGiven, "
        "RequireAndVerifyClientCert, found 'RequireAnyClientCert'",
        "tls_server_config.min_version: expected one of TLS12, TLS13, found 'TLS10'",
        "tls_server_config.cipher_suites: 'TLS_RSA_WITH_RC4_128_SHA' is not supported",
        "http_server_config.http2: not supported: expected false",
        "http_server_config.headers.X-Other: not supported",
        "http_server_config.headers.X-Frame-Options: expected one line of text",
        "basic_auth_users.alice: expected a bcrypt hash",
    ):
        assert expected in said
    assert "secret" not in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tls_server_config: {cert_file: server.crt}", "tls_server_config.key_file: expected a file"),
        ("tls_server_config: [1]", "tls_server_config: expected a mapping of names"),
        ("[1, 2]", "file: expected a mapping of names"),
        (
            PAIR + ", client_auth_type: RequireAndVerifyClientCert}",
            "tls_server_config.client_ca_file: expected a file, which client_auth_type needs",
        ),
        (
            PAIR + ", client_ca_file: other.crt}",
            "tls_server_config.client_auth_type: expected a type that verifies, as client_ca_file is given",
        ),
        (
            PAIR + ", client_allowed_sans: [a]}",
            "tls_server_config.client_allowed_sans: expected client_auth_type RequireAndVerifyClientCert",
        ),
        (
            PAIR + ", min_version: TLS13, max_version: TLS12}",
            "tls_server_config.max_version: expected no less than min_version",
        ),
        ("basic_auth_users: {'a:b': " + HASH + "}", "basic_auth_users.a:b: expected a name without a colon"),
    ],
)
def test_what_cannot_be_meant_is_refused(certificates: Path, text: str, said: str) -> None:
    assert refusal(certificates, text) == said


def test_a_file_that_is_being_written_changes_nothing_until_it_stays(tmp_path: Path) -> None:
    """Its first half may be valid, and open the door."""
    path = config(tmp_path, f"basic_auth_users: {{alice: '{HASH}'}}")
    web = Web(path)
    path.write_text("http_server_config: {}\n")
    assert not web.reload()
    path.write_text(f"http_server_config: {{}}\nbasic_auth_users: {{bob: '{HASH}'}}\n")
    assert not web.reload()
    assert list(web.passwords.users) == ["alice"]
    assert web.reload()
    assert list(web.passwords.users) == ["bob"]


def test_a_file_that_changes_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its former content would be in force for as long as the new one stays."""
    path = config(tmp_path, f"basic_auth_users: {{alice: '{HASH}'}}")
    parse = web_config.web_config

    def slowly(path: Path, content: bytes) -> WebConfig:
        parsed = parse(path, content)
        config(tmp_path, f"basic_auth_users: {{bob: '{HASH}'}}")
        return parsed

    with monkeypatch.context() as patch:
        patch.setattr(web_config, "web_config", slowly)
        web = Web(path)
    web.reload()
    web.reload()
    assert list(web.passwords.users) == ["bob"]


def test_a_file_that_became_empty_leaves_the_passwords_in_force(tmp_path: Path) -> None:
    """As on a full disk."""
    path = config(tmp_path, f"basic_auth_users: {{alice: '{HASH}'}}")
    web = Web(path)
    path.write_text("")
    assert not web.reload()
    with pytest.raises(InputError, match="expected a configuration, found an empty file"):
        web.reload()
    assert list(web.passwords.users) == ["alice"]


def test_broken_yaml_is_one_line_that_does_not_show_the_file(tmp_path: Path) -> None:
    said = refusal(tmp_path, "basic_auth_users:\n  alice: '" + HASH + "\n")
    assert said.startswith("expected YAML, found something else at line ")
    assert HASH[:10] not in said


def test_yaml_that_would_run_code_is_refused(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    said = refusal(tmp_path, f"basic_auth_users: !!python/object/apply:os.system ['touch {marker}']")
    assert said.startswith("expected YAML")
    assert not marker.exists()


@pytest.mark.parametrize("key", ["other.key", "locked.key", "server.crt"])
def test_a_key_that_does_not_fit_is_named(certificates: Path, key: str) -> None:
    read = read_web_config(
        config(certificates, f"tls_server_config: {{cert_file: server.crt, key_file: {key}}}")
    )
    assert read.tls is not None
    with pytest.raises(
        InputError,
        match=rf"^tls_server_config: cert_file .*server.crt and key_file .*{key} do not form a usable pair",
    ):
        ssl_context(read.tls)


def test_an_authority_that_is_none_is_named(certificates: Path) -> None:
    text = PAIR + ", client_ca_file: server.key, client_auth_type: VerifyClientCertIfGiven}"
    read = read_web_config(config(certificates, text))
    assert read.tls is not None
    with pytest.raises(InputError, match=r"client_ca_file .*server.key is not usable"):
        ssl_context(read.tls)


YAML = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
KEYS = ("tls_server_config", "http_server_config", "basic_auth_users", "cert_file", "headers", "min_version")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from(KEYS), YAML | st.dictionaries(st.sampled_from(KEYS), YAML))
    | YAML
    | st.binary()
)
def test_any_file_is_taken_or_refused_in_one_line(tmp_path: Path, document: object) -> None:
    import yaml

    path = tmp_path / "web.yml"
    path.write_bytes(document if isinstance(document, bytes) else yaml.dump(document).encode())
    try:
        read_web_config(path)
    except InputError as exc:
        assert "\n" not in str(exc)  # noqa: PT017
