"""Systemd units and Kubernetes pods, from control group trees as they lay them out."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from advisor.containers.changes import Change, Listed
from advisor.containers.counts import Counts
from advisor.containers.group_watcher import GroupCgroups, Groups, GroupWatcher, Kubelet
from advisor.containers.groups import Pod, find_groups, read_pods
from advisor.errors import InputError
from tests.support.cgroup_tree import cpu_seconds
from tests.support.clock import FakeClock

UID, OTHER = "8f4d7a0e-1c2b-4d3e-9f5a-6b7c8d9e0f1a", "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
STATIC = "0123456789abcdef0123456789abcdef"
SYSTEMD = UID.replace("-", "_")
PODS = (
    f"kubepods.slice/kubepods-pod{SYSTEMD}.slice/cri-containerd-{'a' * 64}.scope",
    f"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{OTHER.replace('-', '_')}.slice",
)
UNITS = (
    "system.slice/nginx.service",
    "system.slice/system-getty.slice/getty@tty1.service",
    "system.slice/docker-" + "b" * 64 + ".scope",
    "user.slice/user-1000.slice/user@1000.service/app.slice",
    "init.scope",
)


def tree(root: Path, *folders: str, version: int = 2) -> Path:
    """Groups that have used 3 s each; v1 under ``cpu,cpuacct``."""
    if version == 2:
        (root / "cgroup.controllers").parent.mkdir(parents=True, exist_ok=True)
        (root / "cgroup.controllers").write_text("cpu memory io\n")
    base = root if version == 2 else root / "cpu,cpuacct"
    for folder in folders:
        path = base / folder
        path.mkdir(parents=True)
        for group in (path, *path.parents):
            if group == base:
                break
            if version == 2:
                (group / "cpu.stat").write_text("usage_usec 3000000\n")
            else:
                (group / "cpuacct.usage").write_text("3000000000\n")
    return base


def test_pods_of_both_drivers_are_found_by_their_uid(tmp_path: Path) -> None:
    base = tree(tmp_path, *PODS, f"kubepods/besteffort/pod{STATIC}/{'c' * 64}")
    groups = find_groups(str(base), pods=True)
    assert {group.id for group in groups.values()} == {UID, OTHER, STATIC}


def test_a_pod_goes_by_the_name_that_the_kubelet_gives_it(tmp_path: Path) -> None:
    base = tree(tmp_path, *PODS)
    names = {UID: Pod(UID, "shop", "web-0")}
    groups = {group.id: group for group in find_groups(str(base), pods=True, names=names).values()}
    assert (groups[UID].name, groups[OTHER].name) == ("shop/web-0", OTHER)
    assert groups[UID].labels == {"namespace": "shop", "pod": "web-0"}


def test_units_are_found_by_their_whole_name_and_the_outermost_counts(tmp_path: Path) -> None:
    """``.*\\.slice`` takes system.slice, with all that is inside it."""
    base = tree(tmp_path, *UNITS)
    assert {g.name for g in find_groups(str(base), units=["nginx.service", "getty@.*"]).values()} == {
        "nginx.service",
        "getty@tty1.service",
    }
    assert set(find_groups(str(base), units=[r".*\.slice"])) == {"system.slice", "user.slice"}
    assert find_groups(str(base), units=["nginx"]) == {}


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        # netdata 2161: Incus, Proxmox
        (r"lxc\.payload\..*", "lxc.payload.web"),
        (r"10\d", "lxc/101"),
        # jobperf 3, jobstats 61, slurm-job-exporter 66, cgroup_exporter 8
        (r"job_\d+", "slurm_node1/uid_1000/job_7"),
        (r"job_\d+", "system.slice/node1_slurmstepd.scope/job_7"),
        ("s[0-9A-Z]{13}", "system.slice/slurmstepd.scope/s5K1KKYAYG5D00"),
    ],
)
def test_what_another_than_systemd_made_is_found_by_its_name(tmp_path: Path, pattern: str, path: str) -> None:
    base = tree(tmp_path, path, f"{path}/step_0/task_0", "lxc.monitor.web", "\udcff/a.service")
    assert list(find_groups(str(base), units=[pattern])) == [path]
    every = find_groups(str(base), units=[".*", r".*\.service"])
    assert set(every) == {path.partition("/")[0], "lxc.monitor.web"}, "no label breaks the page"


def test_pods_that_are_wanted_are_not_counted_as_one_unit(tmp_path: Path) -> None:
    base = tree(tmp_path, f"kubepods/burstable/pod{UID}", "docker")
    assert set(find_groups(str(base), units=[".*"], pods=True)) == {f"kubepods/burstable/pod{UID}", "docker"}
    assert set(find_groups(str(base), units=[".*"])) == {"kubepods", "docker"}


def test_a_folder_that_is_no_unit_and_pods_that_nobody_wants_are_left_out(tmp_path: Path) -> None:
    base = tree(tmp_path, "docker/" + "d" * 64, *PODS)
    assert find_groups(str(base), units=[r".*\.service"]) == {}
    assert find_groups(str(base), pods=False) == {}


def test_the_kubelet_s_list_names_static_pods_by_their_hash() -> None:
    items = [
        {"metadata": {"name": "web-0", "namespace": "shop", "uid": UID}},
        {
            "metadata": {
                "name": "etcd-node",
                "namespace": "kube-system",
                "uid": OTHER,
                "annotations": {"kubernetes.io/config.hash": STATIC},
            }
        },
    ]
    pods = read_pods(json.dumps({"kind": "PodList", "items": items}).encode())
    assert pods[STATIC].name == "etcd-node"
    assert pods[UID].namespace == "shop"


@pytest.mark.parametrize("version", [1, 2])
def test_groups_are_listed_told_when_new_and_read(tmp_path: Path, version: int) -> None:
    base = tree(tmp_path, "system.slice/nginx.service", version=version)
    changes: list[Change] = []
    cgroups = GroupCgroups(str(tmp_path))
    watcher = GroupWatcher(Groups(units=(r".*\.service",)), cgroups, changes.append, Counts())
    watcher.look()
    assert [type(change) for change in changes] == [Listed]
    location = cgroups.locate("system.slice/nginx.service")
    assert location is not None
    assert cpu_seconds(cgroups, location) == 3.0
    (base / "system.slice/cron.service").mkdir()
    watcher.look()
    first, second = (change for change in changes if isinstance(change, Listed))
    assert {container.name for container in second.containers} == {"nginx.service", "cron.service"}
    assert (first.age_seconds, second.age_seconds) == (float("inf"), 2.0), "what is new began since"


class FakeKubelet:
    """A kubelet on loopback that answers ``/pods``."""

    def __init__(self) -> None:
        self.body = json.dumps({"items": [{"metadata": {"name": "web", "namespace": "n", "uid": UID}}]})
        kubelet = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *arguments: object) -> None:
                """Quiet."""

            def do_GET(self) -> None:
                allowed = self.headers.get("Authorization") == "Bearer token"
                self.send_response(200 if allowed and self.path == "/pods" else 401)
                self.end_headers()
                self.wfile.write(kubelet.body.encode())

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def test_pods_are_named_once_the_kubelet_answers(tmp_path: Path) -> None:
    """Refused at first; asked again half a minute later, it names the pod that went by its uid."""
    tree(tmp_path, *PODS[:1])
    token = tmp_path / "token"
    token.write_text("wrong\n")
    kubelet, changes, counts, clock = FakeKubelet(), [], Counts(), FakeClock()
    try:
        groups = Groups(pods=True, kubelet=Kubelet(kubelet.url, token_file=str(token)))
        watcher = GroupWatcher(groups, GroupCgroups(str(tmp_path)), changes.append, counts, clock=clock)
        watcher.look()
        assert counts.items() == {("kubelet", "unreachable"): 1}
        token.write_text("token\n")
        watcher.look()
        clock.advance(30.0)
        watcher.look()
        assert [[one.name for one in c.containers] for c in changes if isinstance(c, Listed)] == [
            [UID],
            [UID],
            ["n/web"],
        ]
        kubelet.body = "[" * 100_000
        clock.advance(30.0)
        watcher.look()
        assert counts.items()[("kubelet", "protocol")] == 1
    finally:
        kubelet.close()


def test_a_kubelet_elsewhere_is_not_asked_in_clear() -> None:
    with pytest.raises(InputError, match="expected https://HOST:PORT"):
        Kubelet("http://10.0.0.1:10255")


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="expected a regular expression"):
        Groups(units=("(",))


def test_containers_that_the_runtime_put_elsewhere_are_their_pod_s(tmp_path: Path) -> None:
    """spin's shim 180, kubernetes 106514: the pod's slice is empty, its container at the root or in a unit.

    Each is a group of its own with the pod's name.
    """
    slice_, container = f"kubepods-burstable-pod{SYSTEMD}.slice", "c" * 64
    base = tree(
        tmp_path,
        f"kubepods.slice/kubepods-burstable.slice/{slice_}",
        f"{slice_}:cri-containerd:{container}",
        f"system.slice/containerd.service/{slice_}:cri-containerd:{'d' * 64}",
    )
    groups = find_groups(str(base), pods=True, names={UID: Pod(UID, "shop", "cart")})
    assert len(groups) == len({group.id for group in groups.values()}) == 3
    assert {group.name for group in groups.values()} == {"shop/cart"}
    assert {group.labels["pod"] for group in groups.values()} == {"cart"}


@pytest.mark.parametrize(
    "node",
    [
        f"system.slice/docker-{'e' * 64}.scope",
        f"user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{'e' * 64}.scope/container",
        f"lxc/101/ns/system.slice/docker-{'e' * 64}.scope",
    ],
)
def test_pods_of_a_node_that_is_a_container_are_found(tmp_path: Path, node: str) -> None:
    """kind: the node's kubelet keeps its pods below kubelet.slice, with its name in front of theirs."""
    pods = "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice"
    base = tree(tmp_path, f"{node}/{pods}/kubelet-kubepods-besteffort-pod{SYSTEMD}.slice")
    assert {group.id for group in find_groups(str(base), pods=True).values()} == {UID}
