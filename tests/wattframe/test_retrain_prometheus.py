"""Retraining beside a Prometheus that is there, slow to come, or refuses."""

from __future__ import annotations

import base64
import importlib
import json
import re
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from advisor.prometheus.client import Connection
from advisor.results import Host, Run, Scenario, write_run
from tests.support.prometheus_fake import Reply, Server, vector
from wattframe.cli import main
from wattframe.retraining import RetrainOptions, RetrainReport, retrain, watch

BASE = 1_767_571_200
SERIES = {"__name__": "rapl_energy_joules_total", "instance": "a", "zone": "package_0"}


def _history(form: dict[str, str]) -> Reply:
    """60 W in the package, a sample every 15 s."""
    if "time" not in form:
        return vector(kind="matrix")
    end = int(float(form["time"]))
    reach = int(re.findall(r"\[(\d+)ms\]$", form["query"])[0]) // 1000
    points = [[t, str(60 * (t - BASE))] for t in range((end - reach) // 15 * 15 + 15, end + 1, 15)]
    return vector({"metric": SERIES, "values": points}, kind="matrix")


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    running.reply = _history
    yield running
    running.close()


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Three files of two scenarios without power, an hour apart."""
    folder = tmp_path / "results"
    folder.mkdir()
    for day in range(3):
        made = [
            Scenario(
                name=f"s{i}", encoder="libx264", bitrate=f"{1000 + 100 * (2 * day + i)}k", duration=60.0,
                start_time=BASE + 86_400.0 * day + 900 * i + 100,
            )
            for i in range(2)
        ]  # fmt: skip
        path = folder / f"test_results_2026010{day + 1}_000000.json"
        write_run(Run(run_id=path.stem, scenarios=tuple(made), host=Host(hardware_id="lab-1")), path)
    return folder


def _arguments(results: Path, url: str) -> list[str]:
    folders = ["--results-dir", str(results), "--models-dir", str(results.parent / "models")]
    return ["retrain", *folders, "--prometheus-url", url, "--json"]


def test_every_flag_reaches_the_server(
    server: Server, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "token").write_text("t0ken\n")
    options = ["--prometheus-token-file", str(tmp_path / "token"), "--prometheus-tenant", "team-a"]
    options += ["--prometheus-header", "X-Env=lab", "--prometheus-header", "X-Team=video=2"]
    options += ["--prometheus-timeout", "5", "--selector", 'instance="a",job="rapl"']
    assert main([*_arguments(results, f"{server.url}/prometheus/"), *options]) == 0
    assert len(json.loads(capsys.readouterr().out)["enriched"]) == 6
    for request, form, headers in server.asked:
        assert request.startswith("GET /prometheus/api/v1/query")
        assert headers["Authorization"] == "Bearer t0ken"
        assert (headers["X-Scope-OrgID"], headers["X-Env"], headers["X-Team"]) == ("team-a", "lab", "video=2")
        assert 'instance="a",job="rapl"' in form["query"]


def test_user_and_password_reach_the_server_and_nothing_that_is_printed(
    server: Server, results: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_PASSWORD", "s3cret")
    assert main([*_arguments(results, server.url), "--prometheus-user", "me"]) == 0
    said = capsys.readouterr()
    sent = server.asked[0][2]["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(sent) == b"me:s3cret"
    assert "s3cret" not in said.out + said.err


def test_a_server_with_a_certificate_of_its_own_ca_needs_it_named(
    server: Server, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "cert.pem")]
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *pair]
    subprocess.run(made, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    # the same certificate is what clients must show
    context.load_verify_locations(tmp_path / "cert.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    call = _arguments(results, server.url.replace("http:", "https:"))
    assert main(call) == 1
    assert "TLS failed: " in capsys.readouterr().err
    named = ["--prometheus-ca-file", str(tmp_path / "cert.pem")]
    shown = ["--prometheus-cert", str(tmp_path / "cert.pem"), "--prometheus-key", str(tmp_path / "key.pem")]
    assert main([*call, *named, *shown]) == 0
    assert len(json.loads(capsys.readouterr().out)["enriched"]) == 6


def test_a_server_that_fails_twice_is_not_asked_again(
    server: Server, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file at a time: the second failure ends it, and every scenario has its reason."""
    monkeypatch.setattr("wattframe.retraining.load._FILES_AT_ONCE", 1)
    server.reply = lambda _: (500, {}, b"out of memory")
    notes: list[str] = []
    connection = Connection(url=server.url, retries=0)
    options = RetrainOptions(results_dir=results, models_dir=results.parent / "models", prometheus=connection)
    with pytest.raises(Exception, match=r"6 skipped, 6 because: no power, and .*HTTP 500: 'out of memory'"):
        retrain(options, notes.append)
    assert len(server.asked) == 2
    assert sum(note.startswith("not enriched: ") for note in notes) == 2


def test_only_what_is_new_is_asked_for_the_second_time(
    server: Server, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(_arguments(results, server.url)) == 0
    first = json.loads(capsys.readouterr().out)
    assert main(_arguments(results, server.url)) == 0
    again = json.loads(capsys.readouterr().out)
    assert (first["from_cache"], again["from_cache"], again["requests"]) == (0, 6, 0)
    assert again["enriched"] == first["enriched"]


def test_on_a_terminal_a_bar_says_how_far_it_is(
    server: Server, results: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert main(_arguments(results, server.url)) == 0
    said = capsys.readouterr()
    assert "asking Prometheus" in said.err
    json.loads(said.out)


def test_every_option_is_documented() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "retraining.md").read_text()
    command = typer.main.get_command(importlib.import_module("wattframe.commands.retrain").app)
    flags = [flag for parameter in command.params for flag in parameter.opts if flag.startswith("--")]
    assert len(flags) > 15
    assert [flag for flag in flags if f"`{flag}" not in page and f"{flag}`" not in page] == []


def test_watching_waits_for_a_server_that_was_away(
    server: Server, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file changes when it comes back; what lacked power is trained on then, and not once more."""
    server.reply = lambda _: (400, {}, b"starting")
    looks = iter(range(10))

    def pause(_: float) -> None:
        look = next(looks, None)
        if look is None:
            raise KeyboardInterrupt
        if look == 4:
            server.reply = _history

    monkeypatch.setattr("wattframe.retraining.pipeline.time.sleep", pause)
    reports: list[RetrainReport] = []
    options = RetrainOptions(
        results_dir=results, models_dir=results.parent / "models", prometheus=Connection(url=server.url)
    )
    with pytest.raises(KeyboardInterrupt):
        watch(options, 1.0, lambda _: None, reports.append)
    assert [len(report.enriched) for report in reports] == [6]
