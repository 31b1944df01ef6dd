"""Containers, systemd units and Kubernetes pods: what they use, and their part of the energy. Port 9501.

A sampler thread keeps the numbers; a scrape touches no file and asks no engine.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from advisor.common.booleans import parse_boolean
from advisor.common.home import expanded
from advisor.containers.cgroups import Cgroups
from advisor.containers.counts import Counts
from advisor.containers.engine import EngineAddress, engine_address
from advisor.containers.exits import ExitWatch
from advisor.containers.group_watcher import GroupCgroups, Groups, GroupWatcher, Kubelet
from advisor.containers.ledger import Sums
from advisor.containers.monitor import ContainerView, Monitor, Snapshot
from advisor.containers.sampler import ContainerSampler
from advisor.containers.watcher import USAGE_SECONDS, Watcher
from advisor.energy.attribution import POLICIES
from advisor.energy.meter import Meter
from advisor.energy.state import StateFile, state_file
from advisor.errors import EnergyError, InputError
from exporters.runtime import Exporter, Family, Metric, Option, Part, serve
from exporters.runtime.families import declared
from exporters.runtime.logs import logger
from exporters.runtime.meter import METER_OPTIONS, meter_opener, state_path, warn_unsaved
from exporters.runtime.options import folder, number

_ONE = ("container",)
_NOT_ALLOWED = "this user may not use the socket: add it to the socket's group"
UP = Family("docker_engine_up", "1 if the Docker engine answers, 0 if not.")
ENGINE = Family("docker_engine_info", "Version of the Docker engine.", ("version", "api_version"))
ENGINE_CPU = Family(
    "docker_engine_cpu_percent",
    "CPU of the engine's processes (daemon, containerd, shims, proxies); 100 is one core. Absent if they "
    "are not visible or cannot be distinguished from another engine's.",
)
ENGINE_MEMORY = Family(
    "docker_engine_memory_percent",
    "Resident memory of the engine's processes, in percent of the host's memory.",
)
RUNNING = Family("docker_containers_running", "Running containers.")
TOTAL_CPU = Family("docker_containers_total_cpu_percent", "CPU of all running containers; 100 is one core.")
CPU_PERCENT = Family(
    "docker_container_cpu_percent", "CPU over the exporter's last interval; 100 is one core.", _ONE
)
MEMORY_PERCENT = Family(
    "docker_container_memory_percent",
    "Working set in percent of the container's memory limit, or of the host's memory if that is smaller.",
    _ONE,
)
CPU = Family("docker_container_cpu_seconds_total", "CPU time since the container started.", _ONE)
THROTTLED = Family("docker_container_cpu_throttled_seconds_total", "Time throttled by the CPU limit.", _ONE)
WORKING_SET = Family(
    "docker_container_memory_working_set_bytes",
    "Memory in use without inactive file pages.",
    _ONE,
)
LIMIT = Family("docker_container_memory_limit_bytes", "Memory limit; absent if there is none.", _ONE)
RECEIVED = Family(
    "docker_container_network_receive_bytes_total",
    "Bytes received, without loopback; absent for a container that shares another's network.",
    _ONE,
)
SENT = Family(
    "docker_container_network_transmit_bytes_total",
    "Bytes sent, without loopback; absent for a container that shares another's network.",
    _ONE,
)
READ = Family("docker_container_block_read_bytes_total", "Bytes read from block devices.", _ONE)
WRITTEN = Family("docker_container_block_write_bytes_total", "Bytes written to block devices.", _ONE)
STARTED = Family("docker_container_start_time_seconds", "Start of the container, Unix time.", _ONE)
RESTARTS = Family("docker_container_restarts_total", "Restarts by the engine's restart policy.", _ONE)
ENERGY = Family(
    "docker_container_energy_joules_total",
    "Share of the host's energy by CPU time since the exporter first started on this boot. Policy active "
    "leaves out the energy of idle CPU time, full includes it. Always modelled.",
    ("container", "policy"),
)
EXITED_ENERGY = Family(
    "docker_exited_containers_energy_joules_total", "Energy of all containers that have exited.", ("policy",)
)
UNATTRIBUTED = Family(
    "docker_unattributed_energy_joules_total",
    "Host energy of no container; running, exited and unattributed add up to the host's energy.",
    ("policy",),
)
HOST_ENERGY = Family(
    "docker_host_energy_joules_total", "Energy of the host over the same time: packages plus dram."
)
SOURCE = Family(
    "docker_energy_source_info",
    "Source of the host's energy: powercap (measured) or estimate (modelled).",
    ("source", "tier"),
)
EXITED = Family("docker_exited_containers_total", "Containers that exited while the exporter ran.")
EXITED_CPU = Family(
    "docker_exited_containers_cpu_seconds_total", "CPU time of all containers that have exited."
)
ERRORS = Family(
    "docker_read_errors_total",
    "Failed reads: engine (unreachable, timeout, protocol, api, version, tls, permission), cgroup "
    "(malformed, unreadable, backwards), container (unseen: it exited before it was read; unknown_cpu: "
    "its CPU time is unknown, so it has no energy), proc, meter (unreadable; unknown_cpu: the machine's "
    "CPU time is unknown, so no container has energy).",
    ("source", "reason"),
)
MISSED_TICKS = Family("docker_missed_ticks_total", "Samples skipped because the sampler was late.")

_GROUP = ("group",)
GROUP_CPU = Family("cgroup_cpu_seconds_total", "CPU time of a systemd unit or Kubernetes pod.", _GROUP)
GROUP_PERCENT = Family(
    "cgroup_cpu_percent", "CPU over the exporter's last interval; 100 is one core.", _GROUP
)
GROUP_WORKING_SET = Family(
    "cgroup_memory_working_set_bytes",
    "Memory in use without inactive file pages.",
    _GROUP,
)
GROUP_ENERGY = Family(
    "cgroup_energy_joules_total",
    "Share of the host's energy by CPU time since the exporter first started on this boot, as for "
    "containers. Modelled.",
    (*_GROUP, "policy"),
)
GROUP_EXITED = Family(
    "cgroup_exited_energy_joules_total", "Energy of all units and pods that have ended.", ("policy",)
)
GROUP_UNATTRIBUTED = Family(
    "cgroup_unattributed_energy_joules_total",
    "Host energy of no unit or pod; running, exited and unattributed add up to the host's energy.",
    ("policy",),
)
GROUP_INFO = Family(
    "cgroup_info",
    "Units and pods: the unit's path or the pod's uid, and the pod's name from the kubelet.",
    (*_GROUP, "id", "namespace", "pod"),
)
GROUP_ERRORS = Family(
    "cgroup_read_errors_total",
    "Failed reads: cgroup (malformed, unreadable, backwards), kubelet (unreachable, protocol), meter.",
    ("source", "reason"),
)

_INFO_HELP = "Identity of the container; labels named in --container-labels appear as label_NAME."
_CONTAINER: tuple[tuple[Family, Callable[[ContainerView], float | None]], ...] = (
    (CPU_PERCENT, lambda c: c.cpu_percent),
    (MEMORY_PERCENT, lambda c: c.memory_percent),
    (CPU, lambda c: c.cpu_seconds),
    (THROTTLED, lambda c: c.details.throttled_seconds),
    (WORKING_SET, lambda c: c.details.memory_working_set_bytes),
    (LIMIT, lambda c: c.details.memory_limit_bytes),
    (RECEIVED, lambda c: c.details.network_receive_bytes),
    (SENT, lambda c: c.details.network_transmit_bytes),
    (READ, lambda c: c.details.block_read_bytes),
    (WRITTEN, lambda c: c.details.block_write_bytes),
    (STARTED, lambda c: c.container.start_unix_seconds),
    (RESTARTS, lambda c: c.container.restarts),
)


class Info(Struct, frozen=True):
    """The family of identities, with the container labels that the operator allows."""

    family: Family
    allowed: tuple[str, ...]


def info_family(allowed: Sequence[str]) -> Info:
    """The info family for an allow-list of container labels.

    Raises
    ------
    InputError
        Two of them would have the same name as a label of Prometheus.
    """
    names = [f"label_{re.sub('[^a-zA-Z0-9_]', '_', label)}" for label in allowed]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise InputError(
                f"{allowed[names.index(name)]} and {allowed[index]} would both be {name}",
                subject="--container-labels",
            )
    labels = ("container", "id", "image", *names)
    return Info(Family("docker_container_info", _INFO_HELP, labels), tuple(allowed))


def families(
    snapshot: Snapshot,
    info: Info,
    energy_source: tuple[str, str] | None = None,
    missed_ticks: int | None = None,
) -> Iterator[Metric]:
    """One snapshot as metric families; ``energy_source`` is the meter's name and tier."""
    up = snapshot.engine is not None
    yield UP.one(int(up))
    if snapshot.engine is not None:
        yield ENGINE([((snapshot.engine.version, snapshot.engine.api_version), 1)])
    if snapshot.engine_usage is not None:
        usage, memory = snapshot.engine_usage, snapshot.memory_total_bytes
        yield ENGINE_CPU.one(usage.cpu_percent)
        yield ENGINE_MEMORY.one(100.0 * usage.resident_bytes / memory if memory else None)
    # a name may pass to another container between two ticks: the later one has it
    named = {view.container.name: view for view in snapshot.containers}
    if up or named:
        yield RUNNING.one(len(snapshot.containers))
        yield TOTAL_CPU.one(_total_percent(named.values()))
    for family, value in _CONTAINER:
        yield family([((name,), value(view)) for name, view in named.items()])
    yield info.family([((name, *_identity(view, info.allowed)), 1) for name, view in named.items()])
    yield from _energy(snapshot, named, (ENERGY, EXITED_ENERGY, UNATTRIBUTED))
    if snapshot.energy is not None:
        yield HOST_ENERGY.one(snapshot.energy.host_joules)
    if snapshot.engine_was_seen:
        yield EXITED.one(snapshot.exited_containers)
        yield EXITED_CPU.one(snapshot.exited_cpu_seconds)
    yield ERRORS([(where, count) for where, count in sorted(snapshot.counts.items())])
    if energy_source is not None and snapshot.energy is not None:
        yield SOURCE([(energy_source, 1)])
    yield MISSED_TICKS.one(missed_ticks)


def _energy(
    snapshot: Snapshot, named: Mapping[str, ContainerView], kinds: tuple[Family, Family, Family]
) -> Iterator[Metric]:
    """Joules of those that run, of those that have ended, and of nobody."""
    running, exited, unattributed = kinds
    if (energy := snapshot.energy) is None:
        return
    yield running(
        [((name, p), joules) for name, view in named.items() for p, joules in view.energy_joules.items()]
    )
    yield exited([((policy,), energy.exited_joules[policy]) for policy in POLICIES])
    yield unattributed([((policy,), energy.unattributed_joules[policy]) for policy in POLICIES])


def _total_percent(views: Iterable[ContainerView]) -> float | None:
    """The sum over all; unknown as long as nothing is known of any."""
    percents = [view.cpu_percent for view in views]
    known = [percent for percent in percents if percent is not None]
    return sum(known) if known or not percents else None


def _identity(view: ContainerView, allowed: Sequence[str]) -> tuple[str, ...]:
    container = view.container
    return container.id, container.image, *(container.labels.get(label, "") for label in allowed)


class Settings(Struct, frozen=True, kw_only=True):
    """What the collector is built from."""

    address: EngineAddress
    engine_timeout_seconds: float = 5.0
    interval_seconds: float = 1.0
    cgroupfs: str = "/sys/fs/cgroup"
    procfs: str = "/proc"
    sysfs: str = "/sys"
    labels: tuple[str, ...] = ()
    state: Path | None = None
    """Where the sums are kept over a restart."""


class _SampledCollector:
    """Publishes what a container sampler last saw; its kinds say what is followed.

    Parameters
    ----------
    settings
        Where the engine and the host's file systems are, and the sums of the process before.
    open_meter
        Gives the meter of the host's energy; called at the start. EnergyError means that there is none.
    """

    name = ""
    poll_seconds = None
    publish: Callable[..., Iterator[Metric]]
    _cgroups: Cgroups
    """Finds the control groups."""

    def __init__(self, settings: Settings, open_meter: Callable[[], Meter]) -> None:
        self._settings = settings
        self._open_meter = open_meter
        self._counts = Counts()
        self._meter: Meter | None = None
        self._sampler: ContainerSampler | None = None
        self._watcher: Watcher | GroupWatcher | None = None

    def start(self) -> None:
        """Begin to follow and to sample."""
        settings = self._settings
        interval = settings.interval_seconds
        try:
            self._meter = self._open_meter()
            interval = min(interval, self._meter.interval_seconds)
        except EnergyError as exc:
            logger().warning(f"no energy of {self.name}", reason=str(exc))
        state = None if self._meter is None else self._state_file(self._meter)
        watch = ExitWatch()
        monitor = self._monitor(watch, None if state is None else state.load())
        self._sampler = sampler = ContainerSampler(monitor, watch, interval, state=state)
        self._watcher = self._watch(sampler, interval)
        self._watcher.start()
        sampler.start()

    def _watch(self, sampler: ContainerSampler, interval_seconds: float) -> Watcher | GroupWatcher:
        """What posts changes to the sampler."""
        raise NotImplementedError

    def _arguments(self) -> tuple[object, ...]:
        """What ``publish`` is given after the snapshot."""
        return ()

    def close(self) -> None:
        """End all threads."""
        if self._watcher is not None:
            self._watcher.stop()
        if self._sampler is not None:
            self._sampler.stop()
        if self._meter is not None:
            self._meter.stop()

    def _state_file(self, meter: Meter) -> StateFile[Sums] | None:
        settings = self._settings
        place = f"{meter.source} {settings.cgroupfs} {settings.address.host}"
        return state_file(
            settings.state,
            Sums,
            sysfs=settings.sysfs,
            procfs=settings.procfs,
            place=place,
            on_unsaved=warn_unsaved,
        )

    def parts(self) -> Mapping[str, Part]:
        """The newest snapshot, nothing before the first; WorkError when the sampler failed or hangs."""
        snapshot = None if self._sampler is None else self._sampler.snapshot()
        return {} if snapshot is None else {"": Part(self.publish, (snapshot, *self._arguments()))}

    def _monitor(self, watch: ExitWatch, saved: Sums | None) -> Monitor:
        settings = self._settings
        return Monitor(
            self._cgroups,
            procfs=settings.procfs,
            read_meter=None if self._meter is None else self._meter.read,
            settle=None if self._meter is None else self._meter.settle,
            is_local=settings.address.is_local,
            watch=watch,
            counts=self._counts,
            saved=saved,
        )


class DockerCollector(_SampledCollector):
    """Publishes the containers of one engine."""

    name = "docker"
    publish = staticmethod(families)

    def __init__(self, settings: Settings, open_meter: Callable[[], Meter]) -> None:
        super().__init__(settings, open_meter)
        folders = settings.cgroupfs, settings.procfs, settings.sysfs
        self._cgroups = Cgroups(*folders, counts=self._counts)
        self._info = info_family(settings.labels)

    def _watch(self, sampler: ContainerSampler, interval_seconds: float) -> Watcher:
        settings = self._settings
        return Watcher(
            settings.address,
            sampler.post,
            without_files=sampler.monitor.without_files,
            counts=self._counts,
            timeout_seconds=settings.engine_timeout_seconds,
            usage_seconds=max(interval_seconds, USAGE_SECONDS),
            on_state=self._log_state,
        )

    def _arguments(self) -> tuple[object, ...]:
        source = None if self._meter is None else (self._meter.source, self._meter.tier)
        return self._info, source, None if self._sampler is None else self._sampler.missed_ticks

    def _log_state(self, problem: str | None) -> None:
        if problem is None:
            logger().info("engine answers", host=self._settings.address.host)
        else:
            advice: dict[str, Any] = {"advice": _NOT_ALLOWED} if "permission" in problem else {}
            logger().warning("engine lost", host=self._settings.address.host, reason=problem, **advice)


def group_families(snapshot: Snapshot) -> Iterator[Metric]:
    """One snapshot of units and pods as metric families; those that share a name go by path or uid."""
    counts = Counter(view.container.name for view in snapshot.containers)
    groups = {
        view.container.name if counts[view.container.name] == 1 else view.container.id: view
        for view in snapshot.containers
    }
    yield GROUP_CPU([((name,), view.cpu_seconds) for name, view in groups.items()])
    yield GROUP_PERCENT([((name,), view.cpu_percent) for name, view in groups.items()])
    yield GROUP_WORKING_SET(
        [((name,), view.details.memory_working_set_bytes) for name, view in groups.items()]
    )
    yield from _energy(snapshot, groups, (GROUP_ENERGY, GROUP_EXITED, GROUP_UNATTRIBUTED))
    yield GROUP_INFO([((name, *_group_identity(view)), 1) for name, view in groups.items()])
    yield GROUP_ERRORS([(where, count) for where, count in sorted(snapshot.counts.items())])


def _group_identity(view: ContainerView) -> tuple[str, ...]:
    labels = view.container.labels
    return view.container.id, labels.get("namespace", ""), labels.get("pod", "")


class GroupCollector(_SampledCollector):
    """Publishes systemd units and Kubernetes pods, sampled as containers are; ``groups`` says which."""

    name = "cgroup"
    publish = staticmethod(group_families)

    def __init__(self, settings: Settings, groups: Groups, open_meter: Callable[[], Meter]) -> None:
        super().__init__(settings, open_meter)
        self._groups = groups
        folders = settings.cgroupfs, settings.procfs, settings.sysfs
        self._cgroups: GroupCgroups = GroupCgroups(*folders, counts=self._counts)

    def _watch(self, sampler: ContainerSampler, interval_seconds: float) -> GroupWatcher:
        return GroupWatcher(self._groups, self._cgroups, sampler.post, self._counts)


def _certificates(options: argparse.Namespace) -> str | None:
    """The folder of the engine's certificates, where the docker command looks for them."""
    folder: str | None = options.docker_cert_path
    if folder is None and options.docker_tls_verify:
        usual = expanded(os.environ.get("DOCKER_CONFIG") or "~/.docker")
        folder = str(usual) if (usual / "ca.pem").is_file() else None
    return folder


def _labels(text: str) -> tuple[str, ...]:
    """Names separated by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _kubelet_url(text: str) -> str:
    """With brackets around an address of IPv6: what Kubernetes puts into a manifest has none."""
    return re.sub(r"//([0-9a-fA-F.]*:[0-9a-fA-F:.]*):(\d+)", r"//[\1]:\2", text)


def _groups(options: argparse.Namespace) -> Groups:
    kubelet = None
    if options.kubelet_url is not None:
        kubelet = Kubelet(options.kubelet_url, options.kubelet_token_file, options.kubelet_ca_file)
    return Groups(units=options.units, pods=options.pods, kubelet=kubelet)


def _build(options: argparse.Namespace) -> list[DockerCollector | GroupCollector]:
    if importlib.util.find_spec("docker") is None:
        raise InputError("needs the package docker: pip install '.[docker]' in the checkout")
    settings = Settings(
        address=engine_address(
            options.docker_host, tls_verify=options.docker_tls_verify, cert_path=_certificates(options)
        ),
        engine_timeout_seconds=options.engine_timeout,
        interval_seconds=options.interval,
        cgroupfs=str(options.cgroupfs),
        procfs=str(options.procfs),
        sysfs=str(options.sysfs),
        labels=options.container_labels,
        state=state_path(options, "docker_stats"),
    )

    collectors: list[DockerCollector | GroupCollector] = [
        DockerCollector(settings, meter_opener(options, "docker_stats-meter"))
    ]
    groups = _groups(options)
    if groups.units or groups.pods:
        settings = structs.replace(settings, state=state_path(options, "docker_stats-units"))
        collectors.append(GroupCollector(settings, groups, meter_opener(options, "docker_stats-groups")))
    return collectors


EXPORTER = Exporter(
    name="docker_stats",
    title="Containers: CPU, memory, I/O and energy",
    port=9501,
    options=[
        *METER_OPTIONS,
        Option(
            "--docker-host",
            "DOCKER_HOST",
            None,
            str,
            "address of the engine: unix:///PATH or tcp://HOST:PORT",
        ),
        Option(
            "--docker-tls-verify",
            "DOCKER_TLS_VERIFY",
            False,
            parse_boolean,
            "use TLS and verify the engine's certificate; as for the docker command, any value of the "
            "variable turns it on, even 0 or false",
            parse_env=bool,
        ),
        Option(
            "--docker-cert-path",
            "DOCKER_CERT_PATH",
            None,
            str,
            "folder with ca.pem, and cert.pem and key.pem if the engine needs them; default when "
            "certificates are verified: $DOCKER_CONFIG or ~/.docker",
        ),
        Option(
            "--engine-timeout",
            "DOCKER_ENGINE_TIMEOUT_SECONDS",
            5.0,
            number(0.1, 60),
            "time-out for an answer of the engine, seconds",
        ),
        Option(
            "--interval", "DOCKER_SAMPLE_INTERVAL_SECONDS", 1.0, number(0.1, 60), "seconds between samples"
        ),
        Option(
            "--container-labels",
            "DOCKER_CONTAINER_LABELS",
            (),
            _labels,
            "container labels to publish on docker_container_info, comma-separated",
        ),
        Option(
            "--units",
            "CGROUP_UNITS",
            (),
            _labels,
            "systemd units to publish, comma-separated regular expressions: nginx.service,.*\\.slice",
        ),
        Option("--pods", "CGROUP_PODS", False, parse_boolean, "publish Kubernetes pods"),
        Option(
            "--kubelet-url",
            "KUBELET_URL",
            None,
            _kubelet_url,
            "kubelet that provides pod names: https://127.0.0.1:10250, or http://127.0.0.1:10255 (read-only)",
        ),
        Option(
            "--kubelet-token-file",
            "KUBELET_TOKEN_FILE",
            None,
            str,
            "file with the bearer token for the kubelet",
        ),
        Option("--kubelet-ca-file", "KUBELET_CA_FILE", None, str, "CA of the kubelet's certificate, PEM"),
        Option(
            "--cgroupfs",
            "CGROUPFS_ROOT",
            "/sys/fs/cgroup",
            folder,
            "root of the control groups; /host/sys/fs/cgroup in a container",
        ),
    ],
    build=_build,
    port_env="DOCKER_EXPORTER_PORT",
    families=(*declared(globals()), info_family(()).family),
)


if __name__ == "__main__":
    sys.exit(serve(EXPORTER))
