"""``wattframe retrain``, which is also ``retrain_models.py``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from advisor.common.exit import print_json, printable
from advisor.common.regular_file import read_regular
from advisor.errors import InputError
from advisor.prometheus.client import Connection
from advisor.regression import registry
from wattframe.commands.arguments import Json, ModelsDir, application
from wattframe.console import progress
from wattframe.retraining import RetrainOptions, RetrainReport, retrain, summary, watch

app = application()


@app.command()
def command(
    results_dir: Annotated[Path, typer.Option(envvar="RESULTS_DIR", help="Folder of result files.")] = Path(
        "test_results"
    ),
    models_dir: ModelsDir = Path("models"),
    prometheus_url: Annotated[
        str | None, typer.Option(envvar="PROMETHEUS_URL", help="Server to get missing power from.")
    ] = None,
    prometheus_header: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Header sent with every query; repeatable.")
    ] = None,
    prometheus_user: Annotated[
        str | None, typer.Option(envvar="PROMETHEUS_USER", help="User name for basic authentication.")
    ] = None,
    prometheus_password: Annotated[
        str | None, typer.Option(envvar="PROMETHEUS_PASSWORD", help="Prefer the environment variable.")
    ] = None,
    prometheus_token_file: Annotated[Path | None, typer.Option(help="File with a bearer token.")] = None,
    prometheus_tenant: Annotated[str | None, typer.Option(help="Tenant, sent as X-Scope-OrgID.")] = None,
    prometheus_ca_file: Annotated[Path | None, typer.Option(help="CA of the server, PEM.")] = None,
    prometheus_cert: Annotated[Path | None, typer.Option(help="Client certificate, PEM.")] = None,
    prometheus_key: Annotated[Path | None, typer.Option(help="Key of the client certificate, PEM.")] = None,
    prometheus_timeout: Annotated[float, typer.Option(min=0.1, help="Time-out of a query, s.")] = 30.0,
    selector: Annotated[
        str, typer.Option(help='Label matchers that select one machine, such as instance="host-7:9500".')
    ] = "",
    hardware_id: Annotated[
        str | None, typer.Option(help="Machine to train for (default: the machine of the newest run).")
    ] = None,
    keep: Annotated[int, typer.Option(min=1, help="Number of versions to keep.")] = 5,
    margin: Annotated[
        float, typer.Option(min=0, help="How much worse, as a ratio, a new model may be.")
    ] = 0.05,
    force: Annotated[bool, typer.Option("--force", help="Promote regardless of the comparison.")] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Put the previous version back into service, without training.")
    ] = False,
    watch_seconds: Annotated[
        float | None,
        typer.Option("--watch", min=0.1, help="Check for new results at this interval, s, until Ctrl-C."),
    ] = None,
    json_: Json = False,
) -> int:
    """Train models on results, with missing power from Prometheus; validate and promote them."""
    if rollback:
        home = hardware_id or registry.choose_hardware(models_dir, None)
        manifest = registry.rollback(models_dir, home)
        line = f"Version {manifest.version} of {home} is in service: {manifest.reason}"
        sys.stdout.write(f"{printable(line)}\n")
        return 0
    connection = None
    if prometheus_url:
        connection = Connection(
            url=prometheus_url,
            headers=_headers(prometheus_header or ()),
            username=prometheus_user,
            password=prometheus_password,
            bearer_token=_token(prometheus_token_file),
            tenant=prometheus_tenant,
            ca_file=str(prometheus_ca_file) if prometheus_ca_file else None,
            client_cert=_certificate(prometheus_cert, prometheus_key),
            timeout_seconds=prometheus_timeout,
        )
    options = RetrainOptions(
        results_dir=results_dir,
        models_dir=models_dir,
        prometheus=connection,
        selector=selector,
        hardware_id=hardware_id,
        keep=keep,
        margin=margin,
        force=force,
    )

    def tell(report: RetrainReport) -> None:
        if json_:
            print_json(report)
        else:
            sys.stdout.write(printable(summary(report)))
        sys.stdout.flush()

    with progress("{task.completed}/{task.total}") as bars:
        task = bars.add_task("asking Prometheus", total=None, visible=False)

        def answered(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total, visible=done < total, refresh=True)

        if watch_seconds is not None:
            watch(options, watch_seconds, _note, tell, answered)
        tell(retrain(options, _note, answered))
    return 0


def _note(line: str) -> None:
    sys.stderr.write(f"retrain: {printable(line)}\n")
    sys.stderr.flush()


def _headers(pairs: list[str] | tuple[()]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise InputError("expected NAME=VALUE", subject="--prometheus-header")
    return {name.strip(): value for name, _, value in (pair.partition("=") for pair in pairs)}


def _certificate(certificate: Path | None, key: Path | None) -> tuple[str, str] | None:
    """Paths of both; a key may lie in its certificate's file."""
    return (str(certificate), str(key or certificate)) if certificate else None


def _token(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return read_regular(path).decode().strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"cannot be read: {exc}", subject=path, field="--prometheus-token-file") from exc
