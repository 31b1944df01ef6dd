"""The meter of this machine, opened as the options say; for every exporter that needs the energy."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable
from pathlib import Path

from msgspec import structs

from advisor.common.home import expanded
from advisor.energy.meter import Meter, open_meter
from advisor.energy.meter_files import METER_FILES, read_meter_files
from exporters.runtime.collector import Option
from exporters.runtime.logs import logger
from exporters.runtime.options import choice, existing_file, folder, number


def _state_folder(text: str) -> Path | None:
    """A folder, as systemd names those of ``StateDirectory=`` (the first of several); none for none."""
    return None if text == "none" else folder(text.split(":")[0])


METER_OPTIONS = (
    Option("--sysfs", "SYSFS_ROOT", "/sys", folder, "root of sysfs; /host/sys in a container"),
    Option("--procfs", "PROCFS_ROOT", "/proc", folder, "root of procfs; /host/proc in a container"),
    Option("--idle-watts", "RAPL_IDLE_WATTS", None, number(0), "idle power for the estimate, watts"),
    Option(
        "--max-watts",
        "RAPL_MAX_WATTS",
        None,
        number(0, above=True),
        "full-load power for the estimate, watts",
    ),
    Option(
        "--host-energy",
        "HOST_ENERGY",
        "cpu",
        choice("cpu", "system"),
        "energy of the host if both are measured: cpu (packages plus dram) or system (whole machine)",
    ),
    *(Option(file.flag, file.env, None, existing_file, file.help) for file in METER_FILES),
    Option(
        "--state-dir",
        "STATE_DIRECTORY",
        expanded("~/.local/state/wattframe"),
        _state_folder,
        "folder that keeps the counters across restarts; none: counters start at 0",
    ),
)
"""Where the machine's energy comes from, for every exporter that needs it."""


def meter_opener(options: argparse.Namespace, exporter: str, *, estimate: bool = True) -> Callable[[], Meter]:
    """Reads the operator's files; what it gives opens the meter, as often as it is called.

    Parameters
    ----------
    options
        Of `METER_OPTIONS`, with ``interval`` and ``port``.
    exporter
        Whose state is kept.
    estimate
        Whether the estimate may stand in.

    Raises
    ------
    InputError
        A file that the options name is wrong.
    """
    return functools.partial(
        open_meter,
        sysfs=str(options.sysfs),
        procfs=str(options.procfs),
        interval_seconds=options.interval,
        idle_watts=options.idle_watts,
        max_watts=options.max_watts,
        estimate=estimate,
        **structs.asdict(read_meter_files(vars(options))),
        host_rule=options.host_energy,
        state=state_path(options, exporter),
        on_unsaved=warn_unsaved,
    )


def state_path(options: argparse.Namespace, name: str) -> Path | None:
    """The file that keeps one exporter's counters over a restart; None where none is wanted."""
    folder: Path | None = options.state_dir
    return None if folder is None else folder / f"{name}-{options.port}.json"


def warn_unsaved(path: Path, exc: OSError) -> None:
    """Log that counters will begin at 0 after a restart."""
    logger().warning(
        "state not kept: counters begin at 0 after a restart", path=str(path), reason=exc.strerror or str(exc)
    )
