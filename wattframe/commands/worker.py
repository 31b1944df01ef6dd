"""``wattframe worker``: lend this machine to a cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from wattframe.commands.arguments import ClusterTls, application

app = application()


@app.command()
def worker(
    address: Annotated[
        str, typer.Argument(help="Address of the scheduler: tls://HOST:8786, or tcp://127.0.0.1:8786.")
    ],
    cluster_tls: ClusterTls = None,
    name: Annotated[str | None, typer.Option(help="Name of this host (default: its host name).")] = None,
    prometheus_instance: Annotated[
        str | None, typer.Option(help="Prometheus' instance label of this host, for its result files.")
    ] = None,
    path_map: Annotated[
        list[str] | None,
        typer.Option(help="REMOTE=LOCAL: a folder's path elsewhere and its path here. Repeatable."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Pairs scored at once; one uses all CPUs.")] = 1,
    nice: Annotated[int, typer.Option(min=0, max=19, help="Niceness of scoring.")] = 10,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on (default: the one that reaches the scheduler).")
    ] = None,
    patience: Annotated[float, typer.Option(min=1, help="Seconds to wait for a lost scheduler.")] = 60.0,
    ffmpeg: Annotated[str | None, typer.Option(help="ffmpeg with libvmaf.")] = None,
) -> None:
    """Run a Dask worker on this machine: it scores pairs, and measures scenarios one at a time.

    Whoever can reach the scheduler can run code here, so a scheduler on another machine needs certificates.
    """
    from farm.worker import WorkerSettings, run_worker
    from farm.worker import path_map as parse_path_map

    run_worker(
        WorkerSettings(
            address=address,
            tls=cluster_tls,
            host=host,
            name=name,
            prometheus_instance=prometheus_instance,
            jobs=jobs,
            nice=nice,
            ffmpeg=ffmpeg,
            paths=tuple(parse_path_map(text) for text in path_map or ()),
            patience_seconds=patience,
        )
    )
