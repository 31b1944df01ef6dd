"""From flags and environment variables to one namespace, with every mistake named at once."""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import math
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from advisor.common.home import expanded
from advisor.errors import InputError
from exporters.runtime.collector import Exporter, Option

_MISSING = "\0missing"


def whole_number(low: int, high: int | None = None) -> Callable[[str], int]:
    """A parser of whole numbers from ``low`` to ``high``."""
    wanted = (
        f"expected a whole number from {low} to {high}" if high is not None else f"expected {low} or more"
    )

    def parse(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip(), re.ASCII):
            raise ValueError(wanted)
        value = int(text)
        if value < low or (high is not None and value > high):
            raise ValueError(wanted)
        return value

    return parse


def number(low: float, high: float = math.inf, *, above: bool = False) -> Callable[[str], float]:
    """A parser of finite numbers from ``low`` (or above it) to ``high``."""
    wanted = f"expected a number {'above' if above else 'of at least'} {low:g}"
    wanted += f" and at most {high:g}" if high < math.inf else ""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise ValueError(wanted) from None
        if not math.isfinite(value) or value > high or value < low or (above and value == low):
            raise ValueError(wanted)
        return value

    return parse


def choice(*values: str) -> Callable[[str], str]:
    """A parser that takes one of ``values``."""

    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(f"expected one of {', '.join(values)}")
        return text

    return parse


def folder(text: str) -> Path:
    """A folder that need not exist yet."""
    path = expanded(text)
    if not text:
        raise ValueError("expected a folder")
    with contextlib.suppress(PermissionError):  # one that cannot be looked at now may be so later
        if path.exists() and not path.is_dir():
            raise ValueError("expected a folder, not a file")
    return path


def existing_file(text: str) -> Path:
    """A file that is there."""
    path = expanded(text)
    if not text or not path.is_file():
        raise ValueError("expected a file that exists")
    return path


def _host(text: str) -> str:
    """An address or host name to listen on; brackets around IPv6 are taken off."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        ipaddress.ip_address(bare)
    except ValueError:
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252})", text) or text.replace(".", "").isdigit():
            raise ValueError("expected an address or a host name") from None
    return bare


def authority(host: str, port: int) -> str:
    """``host:port`` of an address; an IPv6 one in brackets.

    >>> authority("::1", 9090)
    '[::1]:9090'
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def common_options(exporter: Exporter) -> list[Option]:
    """The options that every exporter has."""
    port_env = exporter.port_env or f"{exporter.name.upper()}_EXPORTER_PORT"
    port = whole_number(0, 65535)

    def port_in_environment(text: str) -> int:
        # Kubernetes sets NAME_PORT=tcp://ADDRESS:PORT in every pod beside a service called NAME
        return exporter.port if text.startswith(("tcp://", "udp://", "sctp://")) else port(text)

    formats, levels = ("logfmt", "json"), ("debug", "info", "warning", "error")
    return [
        Option("--host", "EXPORTER_HOST", "127.0.0.1", _host, "address to listen on, IPv4 or IPv6"),
        Option("--port", port_env, exporter.port, port, "port; 0 selects a free one", port_in_environment),
        Option(
            "--web-config",
            "EXPORTER_WEB_CONFIG",
            None,
            existing_file,
            "web configuration file: TLS, passwords, headers",
        ),
        Option("--log-format", "EXPORTER_LOG_FORMAT", "logfmt", choice(*formats), " or ".join(formats)),
        Option("--log-level", "EXPORTER_LOG_LEVEL", "info", choice(*levels), ", ".join(levels)),
    ]


RESULT_OPTIONS = (
    Option("--results-dir", "RESULTS_DIR", Path("test_results"), folder, "folder of result files"),
    Option("--runs", "RESULTS_RUNS", 10, whole_number(1, 1_000_000), "number of newest runs to publish"),
    Option(
        "--max-scenarios",
        "RESULTS_MAX_SCENARIOS",
        10_000,
        whole_number(1, 1_000_000),
        "maximum number of scenarios; beyond it the oldest runs are dropped",
    ),
)
"""The result files, for every exporter that reads them."""


def read_options(
    exporter: Exporter, argv: Sequence[str], environ: Mapping[str, str]
) -> tuple[argparse.Namespace, list[str]]:
    """The configuration, and each flag and variable that cannot be used, by name: it is left at its default.

    A flag goes before its environment variable, that before the default.
    """
    options = [*common_options(exporter), *exporter.options]
    given, unknown = _parser(exporter, options).parse_known_args(list(argv))
    problems = [f"{word}: no such option" for word in unknown]
    out = argparse.Namespace()
    for option in options:
        name = option.flag.lstrip("-").replace("-", "_")
        text = getattr(given, name)
        source, parse = option.flag, option.parse
        if text is None and (text := environ.get(option.env) or None) is not None:
            source, parse = option.env, option.parse_env or option.parse
        setattr(out, name, option.default)
        if text is None:
            continue
        if text == _MISSING:
            problems.append(f"{source}: expected a value")
            continue
        try:
            setattr(out, name, parse(text))
        except (ValueError, InputError, OSError) as exc:
            problem = exc.strerror if isinstance(exc, OSError) else exc
            problems.append(f"{source}: {problem}, found {text!r}")
    return out, problems


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def _parser(exporter: Exporter, options: Sequence[Option]) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"python3 -m exporters.{exporter.name}", description=exporter.title, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"wattframe {version('wattframe')}")
    for option in options:
        shown = "unset" if option.default in (None, ()) else option.default
        text = f"{option.help} (default {shown}; environment {option.env})".replace("%", "%%")
        alone = "true" if isinstance(option.default, bool) else _MISSING
        parser.add_argument(option.flag, nargs="?", const=alone, help=text, metavar=_metavar(option))
    return parser


def _metavar(option: Option) -> str:
    return "true|false" if isinstance(option.default, bool) else option.flag.rsplit("-", 1)[-1].upper()
