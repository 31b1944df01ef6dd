"""The web configuration of the Go exporters (exporter-toolkit): TLS, passwords, headers.

What is not supported is refused by name; so is what could be meant otherwise than it would be done.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, ValidationError, convert

from advisor.common.regular_file import read_input
from advisor.errors import InputError
from exporters.runtime.passwords import Passwords

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


class Web:
    """The web configuration in force; without a file, an open door.

    Raises
    ------
    InputError
        The file, or a certificate that it names, cannot be used.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.passwords = Passwords()
        self.headers: Sequence[tuple[bytes, bytes]] = ()
        self.tls: tuple[ssl.SSLContext, frozenset[str]] | None = None
        """What a new client meets, and the names of which it has to have one, if there are any."""
        self._seen: dict[Path, bytes] = {}
        self._contents: dict[Path, bytes] = {}
        self.reload(at_once=True)

    def reload(self, *, at_once: bool = False) -> bool:
        """Take what changed; whether anything did. What cannot be used leaves the former in force.

        The contents are compared, not the files' times: so a file that could not be read for a moment is
        taken as soon as it can be. Unless ``at_once``, they must be as at the call before, and not empty: a
        file that is being written may be valid by its first half, which says nothing of passwords.

        Raises
        ------
        InputError
            As the constructor, for as long as it is so.
        """
        if self.path is None:
            return False
        content = read_input(self.path)
        config = web_config(self.path, content)
        contents = {self.path: content} | {path: read_input(path) for path in config.files}
        is_written, self._seen = at_once or contents == self._seen, contents
        if contents == self._contents or not is_written:
            return False
        if not (at_once or contents[self.path].strip()):
            raise InputError("expected a configuration, found an empty file", subject=self.path)
        tls = config.tls
        self.tls = None if tls is None else (ssl_context(tls), frozenset(tls.allowed_sans))
        self.headers = config.headers
        self.passwords.users = dict(config.users)
        self._contents = contents
        return True


class _Section:
    """One mapping of the file; what is wrong in it is added to ``problems`` by name."""

    def __init__(self, name: str, value: object, known: Sequence[str] | None, problems: list[str]) -> None:
        self.name, self.problems = name, problems
        values = self._as(dict[str, Any], value, name or "file", "a mapping of names")
        self.values: dict[str, Any] = values or {}
        for key in self.values:
            if known is not None and key not in known:
                self.say(key, "not supported")

    def _as(self, kind: Any, value: object, where: str, expected: str) -> Any:
        try:
            return None if value is None else convert(value, kind)
        except ValidationError:
            self.problems.append(f"{where}: expected {expected}")
            return None

    def say(self, key: str, problem: str) -> None:
        """Something is wrong with a key."""
        self.problems.append(f"{self.name}.{key}: {problem}".lstrip("."))

    def take(self, key: str, kind: Any, expected: str) -> Any:
        """The value of a key; None where there is none, or not of the kind."""
        return self._as(kind, self.values.get(key), f"{self.name}.{key}", expected)

    def one_of(self, key: str, choices: Mapping[str, Any], default: Any) -> Any:
        """What a word stands for."""
        word = self.values.get(key)
        if word is None:
            return default
        if not isinstance(word, str) or word not in choices:
            words = ", ".join(word for word in choices if word)
            self.say(key, f"expected one of {words}, found {word!r}")
            return default
        return choices[word]

    def names(self, key: str) -> list[str]:
        """A list of names that is not empty, or an empty one where there is none."""
        names = self.take(key, list[str], "a list of names")
        if names is not None and not (names and all(names)):
            self.say(key, "expected a list of names")
            return []
        return names or []

    def file(self, key: str, folder: Path) -> Path | None:
        """A file that is there, relative to ``folder``."""
        name = self.take(key, str, "a file name")
        if not name:
            return None
        path: Path = folder / name
        if not path.is_file():
            self.say(key, f"no file {path}")
        return path


def web_config(path: Path, content: bytes) -> WebConfig:
    """Check the file's content. File names in it are relative to its folder.

    Raises
    ------
    InputError
        Names every key that is unknown, unsupported or wrong. Never holds a secret.
    """
    # here, because yaml takes 3 MB, and most have no such file
    from advisor.common.yaml_text import YamlError, parse_yaml

    problems: list[str] = []
    try:
        document = parse_yaml(content)
    except YamlError as exc:
        place = f" at line {exc.line}" if exc.line is not None else ""
        # the parser's own words may show a part of a password's hash
        raise InputError(f"expected YAML, found something else{place}", subject=path) from None
    names = ("tls_server_config", "basic_auth_users", "http_server_config")
    sections = _Section("", document, names, problems).values
    config = WebConfig(
        tls=_tls(_Section(names[0], sections.get(names[0]), _TLS_KEYS, problems), path.parent),
        users=_users(_Section(names[1], sections.get(names[1]), None, problems)),
        headers=_headers(_Section(names[2], sections.get(names[2]), ("headers", "http2"), problems)),
    )
    if problems:
        raise InputError("; ".join(problems), subject=path)
    return config


def _tls(section: _Section, folder: Path) -> Tls | None:
    if not section.values:
        return None
    before = len(section.problems)
    cert, key, authority = (section.file(k, folder) for k in ("cert_file", "key_file", "client_ca_file"))
    for name, path in (("cert_file", cert), ("key_file", key)):
        if path is None and len(section.problems) == before:
            section.say(name, "expected a file")
    auth = section.one_of("client_auth_type", _CLIENT_AUTH, ssl.CERT_NONE)
    if auth is not ssl.CERT_NONE and authority is None:
        section.say("client_ca_file", "expected a file, which client_auth_type needs")
    if auth is ssl.CERT_NONE and authority is not None:
        section.say("client_auth_type", "expected a type that verifies, as client_ca_file is given")
    sans = section.names("client_allowed_sans")
    if sans and auth is not ssl.CERT_REQUIRED:
        section.say("client_allowed_sans", "expected client_auth_type RequireAndVerifyClientCert")
    minimum = section.one_of("min_version", _VERSIONS, ssl.TLSVersion.TLSv1_2)
    maximum = section.one_of("max_version", _VERSIONS, ssl.TLSVersion.TLSv1_3)
    if minimum > maximum:
        section.say("max_version", "expected no less than min_version")
    prefer = section.take("prefer_server_cipher_suites", bool, "true or false")
    suites = section.names("cipher_suites")
    for name in suites:
        if name not in _CIPHERS:
            section.say("cipher_suites", f"{name!r} is not supported: expected {', '.join(_CIPHERS)}")
    ciphers = ":".join(_CIPHERS[name] for name in suites if name in _CIPHERS) or None
    if cert is None or key is None:
        return None
    return Tls(cert, key, authority, auth, tuple(sans), minimum, maximum, ciphers, prefer is not False)


def _users(section: _Section) -> dict[str, bytes]:
    for name, hashed in section.values.items():
        if not isinstance(hashed, str) or not _BCRYPT.fullmatch(hashed):
            section.say(name, "expected a bcrypt hash")
        if ":" in name or not name:
            section.say(name, "expected a name without a colon")
    return {name: str(hashed).encode() for name, hashed in section.values.items()}


def _headers(section: _Section) -> list[tuple[bytes, bytes]]:
    if section.values.get("http2", False) is not False:
        section.say("http2", "not supported: expected false")
    headers = _Section(f"{section.name}.headers", section.values.get("headers"), None, section.problems)
    for key, value in headers.values.items():
        if key not in _HEADERS:
            headers.say(key, f"not supported: expected one of {', '.join(_HEADERS)}")
        elif not isinstance(value, str) or not re.fullmatch(r"[\x20-\x7e]*", value):
            headers.say(key, "expected one line of text")
    return [(k.lower().encode(), str(v).encode()) for k, v in headers.values.items() if k in _HEADERS]


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
            f"cert_file {tls.cert_file} and key_file {tls.key_file} do not form a usable pair: {_words(exc)}",
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
