"""``wattframe up``: the five exporters here, and Prometheus where there is one; one Ctrl-C ends all."""

from __future__ import annotations

import contextlib
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from advisor.common.atomic import locked
from advisor.errors import InputError
from exporters.catalogue import EXPORTERS
from wattframe.commands.arguments import Json, ModelsDir, application
from wattframe.console import note, print_table
from wattframe.stack import prometheus
from wattframe.stack.services import (
    Service,
    check_ports,
    exporter_services,
    installed,
    parse_ports,
    reached_at,
)
from wattframe.stack.supervisor import Supervisor

_LONGEST_FOR_RULES_SECONDS = 120.0

app = application()


@app.command()
def up(
    results_dir: Annotated[Path, typer.Option(envvar="RESULTS_DIR", help="Folder of result files.")] = Path(
        "test_results"
    ),
    models_dir: ModelsDir = Path("models"),
    region: Annotated[
        str | None, typer.Option(envvar="REGION", help="Region of the prices, such as eu-west-1.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PORT", help="Port of one exporter; repeatable.")
    ] = None,
    port_offset: Annotated[int, typer.Option(help="Number added to every exporter's port (9500-9504).")] = 0,
    with_prometheus: Annotated[
        prometheus.Kind, typer.Option("--prometheus", help="How to run Prometheus.")
    ] = "auto",
    prometheus_port: Annotated[int, typer.Option(min=1, max=65535)] = 9090,
    scrape_interval: Annotated[
        float | None,
        typer.Option(help="Scrape interval of every job, in seconds (default: as in prometheus.yml)."),
    ] = None,
    state_dir: Annotated[
        Path, typer.Option(help="Folder for logs, the adapted prometheus.yml and Prometheus' data.")
    ] = Path(".wattframe"),
    json_: Json = False,
) -> int:
    """Run the five exporters here, and Prometheus if it is installed.

    All other settings of the exporters come from their environment variables.
    """
    if scrape_interval is not None and not 0.1 <= scrape_interval <= 3600:
        raise InputError(
            f"expected 0.1 to 3600 seconds, found {scrape_interval:g}", subject="--scrape-interval"
        )
    state = state_dir.resolve()
    logs = state / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    environment = {"RESULTS_DIR": str(results_dir.resolve()), "MODELS_DIR": str(models_dir.resolve())}
    if region:
        environment["REGION"] = region
    services = exporter_services(parse_ports(port or (), port_offset), host=host, environment=environment)
    how = prometheus.find(with_prometheus)
    if scrape_interval is not None and how is not None and scrape_interval > _LONGEST_FOR_RULES_SECONDS:
        note("up", "alerts and dashboards need a shorter --scrape-interval: two samples in five minutes")
    with contextlib.ExitStack() as held:
        if how is not None:
            busy = f"another wattframe up runs in {state}: choose another --state-dir"
            held.enter_context(locked(state / "lock", busy=busy))
            addresses = {s.name: s.address for s in services}
            addresses["prometheus"] = reached_at(host, prometheus_port)
            config = prometheus.configuration(
                addresses, interval_seconds=scrape_interval, rules=prometheus.rules_pattern()
            )
            services.append(
                prometheus.service(how, state / "prometheus", config, host=host, port=prometheus_port)
            )
        check_ports(services)
        note("up", f"starting {len(services)} services; logs under {logs}")
        for name, exporter in EXPORTERS.items():
            if not installed(name):
                install = f"pip install '.[{exporter.needs}]' in the checkout"
                note("up", f"{name} left out: it needs the package {exporter.needs} ({install})")
        if how is None and with_prometheus != "none":
            note("up", "no Prometheus on PATH and no Docker engine to run it: only the exporters start")
        return Supervisor(services, logs, partial(note, "up")).run(lambda: _ready(services, json_))


def _ready(services: list[Service], as_json: bool) -> None:
    if as_json:
        rows = [{"name": s.name, "url": s.url, "serves": s.serves} for s in services]
        sys.stdout.buffer.write(msgspec.json.encode({"services": rows}) + b"\n")
    else:
        lines = [
            (s.name, s.url if s.name == "prometheus" else f"{s.url}/metrics", s.serves) for s in services
        ]
        print_table(("service", "address", "serves"), lines, text=("address", "serves"))
    sys.stdout.flush()
    note("up", "all services answer; Ctrl-C stops them")
