"""Flags, environment and defaults."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from advisor.common.booleans import parse_boolean
from advisor.errors import InputError
from exporters.runtime import Exporter, Option
from exporters.runtime.options import existing_file, folder, number, whole_number
from tests.support.exporter_options import parse_options

EXPORTER = Exporter(
    "watt_test",
    "Test",
    9599,
    (
        Option("--price-per-kwh", "PRICE", 0.12, number(0), "price"),
        Option("--quick", "QUICK", False, parse_boolean, "a switch"),
    ),
    lambda _: (),
)


def parse(*argv: str, **environ: str) -> dict[str, object]:
    return vars(parse_options(EXPORTER, argv, environ))


def test_defaults_hold_without_flags() -> None:
    assert parse() == {
        "host": "127.0.0.1",
        "port": 9599,
        "web_config": None,
        "log_format": "logfmt",
        "log_level": "info",
        "price_per_kwh": 0.12,
        "quick": False,
    }


def test_a_flag_goes_before_its_variable_and_that_before_the_default() -> None:
    assert parse(PRICE="0.3")["price_per_kwh"] == 0.3
    assert parse("--price-per-kwh", "0.5", PRICE="0.3")["price_per_kwh"] == 0.5
    assert parse("--price-per-kwh=0.5")["price_per_kwh"] == 0.5
    assert parse(WATT_TEST_EXPORTER_PORT="9777")["port"] == 9777


def test_an_empty_variable_is_an_unset_one() -> None:
    """As docker-compose passes ``PRICE: ${PRICE}`` on."""
    assert parse(PRICE="")["price_per_kwh"] == 0.12


def test_the_address_of_a_service_in_kubernetes_is_no_port() -> None:
    """Every pod gets it in ``NAME_PORT`` for a service called NAME."""
    assert parse(WATT_TEST_EXPORTER_PORT="tcp://10.96.0.7:9500")["port"] == 9599


def test_a_user_without_a_home_can_start_every_exporter() -> None:
    code = (
        "import pwd; pwd.getpwuid = lambda uid: {}[uid]\n"
        "import exporters.rapl, exporters.docker_stats, exporters.qoe\n"
        "from exporters.runtime.meter import METER_OPTIONS\n"
        "print(*(option.default for option in METER_OPTIONS if option.flag == '--state-dir'))"
    )
    environ = {name: value for name, value in os.environ.items() if name != "HOME"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout == "/nonexistent/.local/state/wattframe\n"


def test_a_variable_that_a_flag_overrides_is_not_looked_at() -> None:
    assert parse("--price-per-kwh", "1", PRICE="junk")["price_per_kwh"] == 1.0


def test_a_switch_needs_no_value() -> None:
    assert parse("--quick")["quick"] is True
    assert parse("--quick=false", QUICK="true")["quick"] is False


def test_all_mistakes_are_named_in_one_line() -> None:
    with pytest.raises(InputError) as caught:
        parse("--port", "x", "--bogus=1", "stray", "--host", "1.2.3", PRICE="-1", QUICK="maybe")
    assert str(caught.value) == (
        "--bogus=1: no such option; stray: no such option; "
        "--host: expected an address or a host name, found '1.2.3'; "
        "--port: expected a whole number from 0 to 65535, found 'x'; "
        "PRICE: expected a number of at least 0, found '-1'; "
        "QUICK: expected true or false (also 1, yes, on; 0, no, off), found 'maybe'"
    )


def test_a_flag_without_its_value_is_named() -> None:
    with pytest.raises(InputError, match=r"^--price-per-kwh: expected a value$"):
        parse("--price-per-kwh")


def test_abbreviated_flags_are_not_guessed() -> None:
    with pytest.raises(InputError, match="--pri: no such option"):
        parse("--pri", "1")


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "::1", "[::1]", "localhost", "exporter-1.example.org", "0.0.0.0", "::"]
)
def test_hosts_are_addresses_or_names(host: str) -> None:
    assert parse("--host", host)["host"] == host.strip("[]")


@pytest.mark.parametrize("text", ["", "nan", "inf", "1e400", "0x10", "1,5", "-0.1"])
def test_numbers_must_be_finite_and_in_range(text: str) -> None:
    with pytest.raises(ValueError, match="expected a number of at least 0"):
        number(0)(text)


def test_a_number_above_a_bound_is_not_the_bound() -> None:
    assert number(0, 1, above=True)("1") == 1.0
    with pytest.raises(ValueError, match="expected a number above 0 and at most 1"):
        number(0, 1, above=True)("0")


@pytest.mark.parametrize("text", ["", "1.0", "1e3", "٣", "9" * 30, "-1", "8"])
def test_whole_numbers_must_be_whole_and_in_range(text: str) -> None:
    with pytest.raises(ValueError, match="expected a whole number from 0 to 7"):
        whole_number(0, 7)(text)


def test_a_folder_may_be_missing_but_not_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert folder(str(tmp_path / "later")) == tmp_path / "later"
    with pytest.raises(ValueError, match=r"^expected a folder, not a file$"):
        folder(str(tmp_path / "file"))
    with pytest.raises(ValueError, match="expected a file that exists"):
        existing_file(str(tmp_path / "later"))


def test_help_names_every_option_and_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse("--help")
    text = capsys.readouterr().out
    assert caught.value.code == 0
    for word in (
        "--price-per-kwh",
        "PRICE",
        "0.12",
        "--web-config",
        "EXPORTER_WEB_CONFIG",
        "WATT_TEST_EXPORTER_PORT",
    ):
        assert word in text


def test_help_says_what_is_unset_and_what_a_switch_takes(capsys: pytest.CaptureFixture[str]) -> None:
    places = Option("--places", "PLACES", (), str, "names")
    exporter = Exporter("watt_test", "Test", 9599, (*EXPORTER.options, places), lambda _: ())
    with pytest.raises(SystemExit):
        parse_options(exporter, ["--help"], {})
    text = " ".join(capsys.readouterr().out.split())
    assert "names (default unset; environment PLACES)" in text
    assert "--quick [true|false]" in text
