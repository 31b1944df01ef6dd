"""The web configuration file of the Go exporters (exporter-toolkit): TLS, passwords, headers.

What is not supported is refused by name; so is what could be meant otherwise than it would be done.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from advisor.common.yaml_text import YamlError, parse_yaml
from advisor.errors import InputError

__all__ = ["Tls", "WebConfig", "read_web_config", "ssl_context"]

_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CLIENT_AUTH = {
    "": ssl.CERT_NONE,
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_CIPHERS = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
}
"""IANA name to OpenSSL name of the TLS 1.2 suites with forward secrecy and authenticated encryption."""
_HEADERS = (
    "Content-Security-Policy",
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
)
_TLS_KEYS = (
    "cert_file",
    "key_file",
    "client_ca_file",
    "client_auth_type",
    "client_allowed_sans",
    "min_version",
    "max_version",
    "cipher_suites",
    "prefer_server_cipher_suites",
)
_BCRYPT = re.compile(r"\$2[abxy]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")


class Tls(Struct, frozen=True):
    """``tls_server_config``, checked."""

    cert_file: Path
    key_file: Path
    client_ca_file: Path | None = None
    client_auth: ssl.VerifyMode = ssl.CERT_NONE
    allowed_sans: tuple[str, ...] = ()
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
    ciphers: str | None = None
    prefer_server_ciphers: bool = True


class WebConfig(Struct, frozen=True):
    """The file, checked. ``users`` maps names to bcrypt hashes."""

    tls: Tls | None = None
    users: Mapping[str, bytes] = {}
    headers: Sequence[tuple[bytes, bytes]] = ()

    @property
    def files(self) -> list[Path]:
        """The files that the configuration names."""
        if self.tls is None:
            return []
        named = (self.tls.cert_file, self.tls.key_file, self.tls.client_ca_file)
        return [path for path in named if path is not None]


class _Problems(list[str]):
    """What is wrong, all of it."""

    def say(self, field: str, problem: str) -> None:
        self.append(f"{field}: {problem}")


def read_web_config(path: Path) -> WebConfig:
    """Read and check the file. File names in it are relative to its folder.

    Raises
    ------
    InputError
        Names every key that is unknown, unsupported or wrong. Never holds a secret.
    """
    problems = _Problems()
    try:
        document = parse_yaml(path.read_bytes())
    except OSError as exc:
        raise InputError(f"cannot be read: {exc.strerror or exc}", subject=path) from exc
    except YamlError as exc:
        place = f" at line {exc.line}" if exc.line is not None else ""
        # the parser's own words may show a part of a password's hash
        raise InputError(f"expected YAML, found something else{place}", subject=path) from None
    sections = _mapping(document, "", problems)
    _refuse_unknown(sections, ("tls_server_config", "basic_auth_users", "http_server_config"), "", problems)
    config = WebConfig(
        tls=_tls(sections, path.parent, problems),
        users=_users(sections, problems),
        headers=_headers(sections, problems),
    )
    if problems:
        raise InputError("; ".join(problems), subject=path)
    return config


def _mapping(value: Any, field: str, problems: _Problems) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        problems.say(field or "file", "expected a mapping of names")
        return {}
    return value


def _refuse_unknown(
    section: Mapping[str, Any], known: Sequence[str], field: str, problems: _Problems
) -> None:
    for key in section:
        if key not in known:
            problems.say(f"{field}.{key}".lstrip("."), "not supported")


def _tls(sections: Mapping[str, Any], base: Path, problems: _Problems) -> Tls | None:
    name = "tls_server_config"
    section = _mapping(sections.get(name), name, problems)
    if not section:
        return None
    _refuse_unknown(section, _TLS_KEYS, name, problems)
    found = len(problems)
    files = {key: _file(section, key, base, problems) for key in ("cert_file", "key_file", "client_ca_file")}
    for wanted in ("cert_file", "key_file"):
        if files[wanted] is None and len(problems) == found:
            problems.say(f"{name}.{wanted}", "expected a file")
    auth = _one_of(section, "client_auth_type", _CLIENT_AUTH, ssl.CERT_NONE, problems)
    if auth is not ssl.CERT_NONE and files["client_ca_file"] is None:
        problems.say(f"{name}.client_ca_file", "expected a file, which client_auth_type needs")
    if auth is ssl.CERT_NONE and files["client_ca_file"] is not None:
        problems.say(f"{name}.client_auth_type", "expected a type that verifies, as client_ca_file is given")
    sans = _texts(section, "client_allowed_sans", problems)
    if sans and auth is not ssl.CERT_REQUIRED:
        problems.say(f"{name}.client_allowed_sans", "expected client_auth_type RequireAndVerifyClientCert")
    minimum = _one_of(section, "min_version", _VERSIONS, ssl.TLSVersion.TLSv1_2, problems)
    maximum = _one_of(section, "max_version", _VERSIONS, ssl.TLSVersion.TLSv1_3, problems)
    if minimum > maximum:
        problems.say(f"{name}.max_version", "expected no less than min_version")
    prefer = section.get("prefer_server_cipher_suites", True)
    if not isinstance(prefer, bool):
        problems.say(f"{name}.prefer_server_cipher_suites", "expected true or false")
    ciphers = _ciphers(section, problems)
    cert, key = files["cert_file"], files["key_file"]
    if cert is None or key is None:
        return None
    return Tls(cert, key, files["client_ca_file"], auth, tuple(sans), minimum, maximum, ciphers, bool(prefer))


def _file(section: Mapping[str, Any], key: str, base: Path, problems: _Problems) -> Path | None:
    value = section.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        problems.say(f"tls_server_config.{key}", "expected a file name")
        return None
    path = base / value
    if not path.is_file():
        problems.say(f"tls_server_config.{key}", f"no file {path}")
    return path


def _one_of(
    section: Mapping[str, Any], key: str, known: Mapping[str, Any], default: Any, problems: _Problems
) -> Any:
    value = section.get(key)
    if value is None:
        return default
    if not isinstance(value, str) or value not in known:
        wanted = ", ".join(name for name in known if name)
        problems.say(f"tls_server_config.{key}", f"expected one of {wanted}, found {value!r}")
        return default
    return known[value]


def _texts(section: Mapping[str, Any], key: str, problems: _Problems) -> list[str]:
    value = section.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not value or not all(isinstance(item, str) and item for item in value):
        problems.say(f"tls_server_config.{key}", "expected a list of names")
        return []
    return value


def _ciphers(section: Mapping[str, Any], problems: _Problems) -> str | None:
    names = _texts(section, "cipher_suites", problems)
    for name in names:
        if name not in _CIPHERS:
            problems.say(
                "tls_server_config.cipher_suites",
                f"{name!r} is not supported: expected {', '.join(_CIPHERS)}",
            )
    return ":".join(_CIPHERS[name] for name in names if name in _CIPHERS) or None


def _users(sections: Mapping[str, Any], problems: _Problems) -> dict[str, bytes]:
    users = _mapping(sections.get("basic_auth_users"), "basic_auth_users", problems)
    for name, hashed in users.items():
        if not isinstance(hashed, str) or not _BCRYPT.fullmatch(hashed):
            problems.say(f"basic_auth_users.{name}", "expected a bcrypt hash")
        if ":" in name or not name:
            problems.say(f"basic_auth_users.{name}", "expected a name without a colon")
    return {name: str(hashed).encode() for name, hashed in users.items()}


def _headers(sections: Mapping[str, Any], problems: _Problems) -> list[tuple[bytes, bytes]]:
    name = "http_server_config"
    section = _mapping(sections.get(name), name, problems)
    _refuse_unknown(section, ("headers", "http2"), name, problems)
    if section.get("http2", False) is not False:
        problems.say(f"{name}.http2", "not supported: expected false")
    headers = _mapping(section.get("headers"), f"{name}.headers", problems)
    for key, value in headers.items():
        if key not in _HEADERS:
            problems.say(f"{name}.headers.{key}", f"not supported: expected one of {', '.join(_HEADERS)}")
        elif not isinstance(value, str) or not re.fullmatch(r"[\x20-\x7e]*", value):
            problems.say(f"{name}.headers.{key}", "expected one line of text")
    return [(key.lower().encode(), str(value).encode()) for key, value in headers.items() if key in _HEADERS]


def ssl_context(tls: Tls) -> ssl.SSLContext:
    """The server's TLS context.

    Raises
    ------
    InputError
        A certificate, a key or an authority that cannot be used, by name.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version, context.maximum_version = tls.minimum, tls.maximum
    context.verify_mode = tls.client_auth
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    if not tls.prefer_server_ciphers:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    if tls.ciphers is not None:
        context.set_ciphers(tls.ciphers)
    try:
        # a key with a passphrase fails here and asks nobody
        context.load_cert_chain(tls.cert_file, tls.key_file, password=lambda: b"")
    except (OSError, ValueError) as exc:
        raise InputError(
            f"cert_file {tls.cert_file} and key_file {tls.key_file} are no usable pair: {_words(exc)}",
            subject="tls_server_config",
        ) from exc
    if tls.client_ca_file is not None:
        try:
            context.load_verify_locations(tls.client_ca_file)
        except (OSError, ValueError) as exc:
            raise InputError(
                f"client_ca_file {tls.client_ca_file} is not usable: {_words(exc)}",
                subject="tls_server_config",
            ) from exc
    return context


def _words(exc: Exception) -> str:
    return getattr(exc, "reason", None) or getattr(exc, "strerror", None) or str(exc)
