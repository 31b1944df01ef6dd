"""``wattframe doctor``: what this machine can measure, and how to make it better."""

from __future__ import annotations

import textwrap
from typing import Annotated, Any

import typer

from advisor.common.exit import print_json
from wattframe.commands.arguments import Json, Procfs, Sysfs, application
from wattframe.console import console
from wattframe.doctor import sections

app = application()

_PIPE_WIDTH = 1000


@app.command()
def doctor(
    ffmpeg: Annotated[str | None, typer.Option(help="ffmpeg to check (default: the one in use).")] = None,
    prometheus_url: Annotated[
        str, typer.Option(envvar="PROMETHEUS_URL", help="Address of Prometheus to check.")
    ] = "http://localhost:9090",
    docker_host: Annotated[
        str | None, typer.Option(envvar="DOCKER_HOST", help="Address of the Docker engine to check.")
    ] = None,
    sysfs: Sysfs = "/sys",
    procfs: Procfs = "/proc",
    json_: Json = False,
) -> int:
    """Show what this machine can measure, and how to improve it."""
    report = {
        "power": sections.power(sysfs, procfs),
        "gpu": sections.gpus(),
        "machine": sections.machine(procfs, sysfs),
        "ffmpeg": sections.ffmpeg(ffmpeg),
        "docker": sections.docker(docker_host),
        "prometheus": sections.prometheus(prometheus_url),
    }
    if json_:
        print_json(report)
    else:
        out = console(_PIPE_WIDTH)
        for line in _lines(report):
            out.print(textwrap.fill(line, out.width, subsequent_indent="     ", break_on_hyphens=False))
    return 0


def _lines(report: dict[str, dict[str, Any]]) -> list[str]:
    lines: list[str] = []
    for title, section in report.items():
        lines.append(title)
        lines += [
            f"  {key.replace('_', ' ')}: {_text(value)}" for key, value in section.items() if key != "advice"
        ]
        lines += [f"  -> {line}" for line in section["advice"]]
    return lines


def _text(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, dict):
        return ", ".join(sorted(value)) or "none"
    if isinstance(value, list):
        return ", ".join(_item(item) for item in value) or "none"
    return str(value)


def _item(item: Any) -> str:
    """A zone or a card by its name, and why a zone cannot be read or is left out."""
    if not isinstance(item, dict):
        return str(item)
    name = str(item.get("zone") or item.get("name"))
    remark = item.get("reason") or ("listed twice" if item.get("counted") is False else None)
    return f"{name} ({remark})" if remark else name
