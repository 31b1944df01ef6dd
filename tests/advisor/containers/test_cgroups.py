"""Control group files of containers: where they are and what is in them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from advisor.containers.cgroups import Cgroups, Details, Location
from advisor.containers.counts import Counts
from tests.support.cgroup_tree import CgroupTree, Layout, cpu_seconds

ID = "4f" * 32
LAYOUTS: tuple[Layout, ...] = ("v1", "v2", "hybrid")
PARENTS = ("docker/{}", "system.slice/docker-{}.scope")


def found(tree: CgroupTree, counts: Counts | None = None, **roots: str) -> tuple[Cgroups, Location]:
    cgroups = Cgroups(str(tree.root), counts=counts, **roots)
    location = cgroups.locate(ID)
    assert location is not None
    return cgroups, location


@pytest.mark.parametrize("parent", PARENTS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_numbers_are_the_same_on_every_layout_and_driver(tmp_path: Path, layout: Layout, parent: str) -> None:
    """12.5 CPU seconds, 0.75 s throttled, 70 MB used of which 20 MB can be dropped: 50 MB working set."""
    tree = CgroupTree(tmp_path / "cgroup", layout, parent=parent)
    tree.add(ID, cpu_seconds=12.5, throttled_seconds=0.75)
    tree.memory(ID, usage=70_000_000, inactive_file=20_000_000, limit=128_000_000)
    tree.io(ID, read=4096, written=8192)
    cgroups, location = found(tree)
    assert cpu_seconds(cgroups, location) == 12.5
    assert cgroups.details(location) == Details(
        throttled_seconds=0.75,
        memory_working_set_bytes=50_000_000,
        memory_limit_bytes=128_000_000,
        block_read_bytes=4096,
        block_write_bytes=8192,
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_limit_is_absent(tmp_path: Path, layout: Layout) -> None:
    tree = CgroupTree(tmp_path / "cgroup", layout)
    tree.add(ID)
    cgroups, location = found(tree)
    assert cgroups.details(location).memory_limit_bytes is None


def test_a_limit_of_the_parent_binds_the_container(tmp_path: Path) -> None:
    """v1 tells it as hierarchical_memory_limit."""
    tree = CgroupTree(tmp_path / "cgroup", "v1")
    tree.add(ID)
    stat = tree.folder("memory", ID) / "memory.stat"
    stat.write_text("hierarchical_memory_limit 1000000\ntotal_inactive_file 0\n")
    cgroups, location = found(tree)
    assert cgroups.details(location).memory_limit_bytes == 1_000_000


def test_the_tightest_limit_of_the_groups_around_binds_the_container(tmp_path: Path) -> None:
    """cadvisor 3682: the container's own memory.max says none."""
    tree = CgroupTree(tmp_path / "cgroup", "v2", parent="jobs.slice/jobs-1.slice/docker-{}.scope")
    tree.add(ID)
    (tree.root / "jobs.slice/memory.max").write_text("2000000\n")
    (tree.root / "jobs.slice/jobs-1.slice/memory.max").write_text("1000000\n")
    cgroups, location = found(tree)
    assert cgroups.details(location).memory_limit_bytes == 1_000_000


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_working_set_is_never_below_zero(tmp_path: Path, layout: Layout) -> None:
    tree = CgroupTree(tmp_path / "cgroup", layout)
    tree.add(ID)
    tree.memory(ID, usage=1000, inactive_file=5000)
    cgroups, location = found(tree)
    assert cgroups.details(location).memory_working_set_bytes == 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_missing_memory_files_are_unknown_and_not_zero(tmp_path: Path, layout: Layout) -> None:
    tree = CgroupTree(tmp_path / "cgroup", layout)
    tree.add(ID)
    for file in tree.folder("memory", ID).glob("memory.*"):
        file.unlink()
    cgroups, location = found(tree)
    assert cgroups.details(location).memory_working_set_bytes is None


def test_a_controller_that_does_not_know_the_container_leaves_the_others(tmp_path: Path) -> None:
    tree = CgroupTree(tmp_path / "cgroup", "v1")
    tree.add(ID, cpu_seconds=3.0)
    for file in tree.folder("io", ID).iterdir():
        file.unlink()
    tree.folder("io", ID).rmdir()
    cgroups, location = found(tree)
    assert cpu_seconds(cgroups, location) == 3.0
    details = cgroups.details(location)
    assert (details.block_read_bytes, details.memory_working_set_bytes) == (None, 0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nonsense_in_a_file_is_counted_and_hides_nothing_else(tmp_path: Path, layout: Layout) -> None:
    tree = CgroupTree(tmp_path / "cgroup", layout)
    tree.add(ID, throttled_seconds=1.0)
    name = "io.stat" if tree.is_v2("io") else "blkio.throttle.io_service_bytes_recursive"
    (tree.folder("io", ID) / name).write_text("254:0 rbytes=many wbytes=3\n254:0 Read many\n")
    counts = Counts()
    cgroups, location = found(tree, counts)
    details = cgroups.details(location)
    assert (details.block_read_bytes, details.throttled_seconds) == (None, 1.0)
    assert counts.items() == {("cgroup", "malformed"): 1}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nonsense_as_cpu_time_is_an_error_of_that_container(tmp_path: Path, layout: Layout) -> None:
    tree = CgroupTree(tmp_path / "cgroup", layout)
    tree.add(ID)
    name = "cpu.stat" if tree.is_v2("cpuacct") else "cpuacct.usage"
    (tree.folder("cpuacct", ID) / name).write_text("usage_usec never\n")
    cgroups, location = found(tree)
    with pytest.raises(ValueError):
        cpu_seconds(cgroups, location)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_group_that_is_gone_raises_file_not_found(tmp_path: Path, layout: Layout) -> None:
    tree = CgroupTree(tmp_path / "cgroup", layout)
    tree.add(ID)
    cgroups, location = found(tree)
    tree.remove(ID)
    with pytest.raises(FileNotFoundError):
        cpu_seconds(cgroups, location)
    assert cgroups.details(location) == Details()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_device_without_a_number_hides_no_other(tmp_path: Path, layout: Layout) -> None:
    """containerd/cgroups 393, lxd 18609 and 10052: paths of NVMe disks, and lines that Linux joined."""
    tree = CgroupTree(tmp_path / "cgroup", layout)
    tree.add(ID)
    name, text = (
        ("io.stat", "(unknown) rbytes=10 wbytes=20\n7:1 7:0 259:0 rbytes=10 wbytes=20\n253:0 \n")
        if tree.is_v2("io")
        else (
            "blkio.throttle.io_service_bytes_recursive",
            "(unknown) Read 10\n(unknown) Write 20\n259:0 Read 10\n259:0 Write 20\nTotal 60\n",
        )
    )
    (tree.folder("io", ID) / name).write_text(text)
    counts = Counts()
    cgroups, location = found(tree, counts)
    details = cgroups.details(location)
    assert (details.block_read_bytes, details.block_write_bytes) == (10, 20)
    assert counts.items() == {}


def test_stacked_devices_are_not_counted_again(tmp_path: Path) -> None:
    """Bytes written to a dm device show on it and on the disk below it."""
    tree = CgroupTree(tmp_path / "cgroup", "v2")
    tree.add(ID)
    (tree.folder("io", ID) / "io.stat").write_text("8:0 rbytes=10 wbytes=20\n253:0 rbytes=10 wbytes=20\n")
    (tmp_path / "sys/dev/block/253:0/slaves/sda").mkdir(parents=True)
    (tmp_path / "sys/dev/block/8:0/slaves").mkdir(parents=True)
    cgroups, location = found(tree, sysfs=str(tmp_path / "sys"))
    details = cgroups.details(location)
    assert (details.block_read_bytes, details.block_write_bytes) == (10, 20)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_another_parent_is_learned_from_the_process(tmp_path: Path, layout: Layout) -> None:
    """Its init sits in a group of its own below; seen from another namespace the path begins with /.."""
    tree = CgroupTree(tmp_path / "cgroup", layout, parent="jobs/batch/{}")
    tree.add(ID, cpu_seconds=2.0)
    proc = tmp_path / "proc" / "77"
    proc.mkdir(parents=True)
    path = f"/../jobs/batch/{ID}/init.scope"
    (proc / "cgroup").write_text(f"5:memory:{path}\n3:cpu,cpuacct:{path}\n0::{path}\n")
    cgroups = Cgroups(str(tree.root), str(tmp_path / "proc"))
    location = cgroups.locate(ID, pid=77)
    assert location is not None
    assert cpu_seconds(cgroups, location) == 2.0
    other = "5e" * 32
    tree.add(other)
    assert cgroups.locate(other) is not None, "a second one needs no process"


def test_a_process_number_of_someone_else_is_not_believed(tmp_path: Path) -> None:
    tree = CgroupTree(tmp_path / "cgroup", "v2", parent="jobs/{}")
    tree.add("5e" * 32)
    proc = tmp_path / "proc" / "77"
    proc.mkdir(parents=True)
    (proc / "cgroup").write_text(f"0::/jobs/{'5e' * 32}\n")
    assert Cgroups(str(tree.root), str(tmp_path / "proc")).locate(ID, pid=77) is None


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "parent",
    [
        # rootless engines put their containers below the user's slice
        "user.slice/user-1000.slice/user@1000.service/user.slice/docker-{}.scope",
        # cadvisor 3648: podman's Quadlet, whose container is in the group of its unit
        "user.slice/user-1001.slice/user@1001.service/app.slice/nginx.service/libpod-payload-{}",
        # an engine in a container (kind, Proxmox) of a rootless engine
        "user.slice/user-1000.slice/user@1000.service/user.slice/libpod-1.scope/container/kubelet.slice/"
        "kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/pod1.slice/cri-containerd-{}.scope",
        "lxc/101/ns/system.slice/docker-{}.scope",
        "kubepods/pod1/kata_{}",
        # zeropod 65: a container that was restored
        "system.slice/kubepods-pod1.slice:cri-containerd:{}",
    ],
)
def test_any_other_place_is_found_by_looking_through_the_tree(
    tmp_path: Path, layout: Layout, parent: str
) -> None:
    tree = CgroupTree(tmp_path / "cgroup", layout, parent=parent)
    tree.add(ID, cpu_seconds=1.0)
    cgroups, location = found(tree, procfs=str(tmp_path / "none"))
    assert cpu_seconds(cgroups, location) == 1.0


def test_one_look_through_the_tree_finds_all(tmp_path: Path) -> None:
    """Each pod has a parent of its own; one container that lies nowhere keeps no other from being found."""
    ids = [digit * 64 for digit in "123"]
    tree = CgroupTree(tmp_path / "cgroup", "v2")
    for id in ids:
        tree.parent = f"kubepods.slice/kubepods-pod{id[0]}.slice/docker-{{}}.scope"
        tree.add(id)
    cgroups = Cgroups(str(tree.root), procfs=str(tmp_path / "none"))
    assert cgroups.locate(ID) is None
    assert all(cgroups.locate(id) is not None for id in ids)


def test_the_parents_of_pods_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    tree = CgroupTree(tmp_path / "cgroup", "v2", parent="kubepods/pod1/{}")
    tree.add(ID)
    cgroups, _ = found(tree, procfs=str(tmp_path / "none"))
    assert [parent for parent, _ in cgroups.parents()] == [
        f"{tree.root}/docker",
        f"{tree.root}/kubepods/pod1",
    ]
    tree.remove(ID)
    tree.folder("cpu", ID).parent.rmdir()
    assert [parent for parent, _ in cgroups.parents()] == [f"{tree.root}/docker"]


def test_an_empty_folder_is_no_controller(tmp_path: Path) -> None:
    """What a container with systemd inside may leave beside the mounts of a host."""
    tree = CgroupTree(tmp_path / "cgroup", "v1")
    tree.add(ID, cpu_seconds=2.0)
    for name in ("cpu", "cpuacct"):
        (tree.root / name).unlink()
    (tree.root / "cpu,cpuacct").rename(tree.root / "cpu")
    (tree.root / "cpuacct").symlink_to("cpu")
    (tree.root / "cpu,cpuacct").mkdir()
    cgroups, location = found(tree)
    assert cpu_seconds(cgroups, location) == 2.0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_only_the_cgroupfs_driver_has_parents_of_containers_alone(tmp_path: Path, layout: Layout) -> None:
    """system.slice holds services as well: what it gained says nothing of containers."""
    tree = CgroupTree(tmp_path / "cgroup", layout)
    parents = [os.path.relpath(path, tree.root) for path, _ in Cgroups(str(tree.root)).parents()]
    assert parents == ["docker" if layout == "v2" else "cpuacct/docker"]


def test_without_a_tree_nothing_is_found(tmp_path: Path) -> None:
    cgroups = Cgroups(str(tmp_path / "none"))
    assert not cgroups.readable
    assert cgroups.locate(ID) is None
    assert list(cgroups.parents()) == []


MONITORS = (
    # kata-containers 4128: the processors of the container's machine are elsewhere
    "kata_overhead/{}",
    "machine.slice/libpod-conmon-{}.scope",
    "system.slice/crio-conmon-{}.scope",
    "system.slice/var-lib-docker-containers-{}-shm.mount",
    "user.slice/podman-{}-healthcheck.service",
)


@pytest.mark.parametrize("monitor", MONITORS)
@pytest.mark.parametrize("monitor_first", [True, False])
def test_a_group_with_the_id_in_its_name_is_not_taken_for_the_container(
    tmp_path: Path, monitor: str, monitor_first: bool
) -> None:
    """Whichever the listing shows first: the container's 9 000 s, not its monitor's."""
    tree = CgroupTree(tmp_path / "cgroup", "v2", parent="machine.slice/libpod-{}.scope")

    def add(parent: str, cpu_seconds: float) -> None:
        tree.parent = parent
        tree.add(ID, cpu_seconds=cpu_seconds)

    places = [(monitor, 0.005), ("machine.slice/libpod-{}.scope", 9000.0)]
    for place in places if monitor_first else places[::-1]:
        add(*place)
    cgroups, location = found(tree)
    assert cpu_seconds(cgroups, location) == 9000.0


@pytest.mark.parametrize("monitor", MONITORS)
def test_a_container_whose_own_group_cannot_be_seen_has_none(tmp_path: Path, monitor: str) -> None:
    tree = CgroupTree(tmp_path / "cgroup", "v2", parent=monitor)
    tree.add(ID, cpu_seconds=1.0)
    assert Cgroups(str(tree.root)).locate(ID) is None


@pytest.mark.parametrize(
    ("parent", "below"),
    [
        ("machine.slice/libpod-{}.scope", "/container"),
        ("machine.slice/libpod-{}.scope", "/init.scope"),
        ("user.slice/user-1001.slice/user@1001.service/user.slice/libpod-{}.scope", "/container"),
        ("kubepods.slice/kubepods-burstable.slice/cri-containerd-{}.scope", ""),
        ("kubepods/besteffort/pod1/{}", ""),
        ("lxc.payload/engine-of-nobody-{}", ""),
    ],
)
def test_the_container_s_process_confirms_its_folder(tmp_path: Path, parent: str, below: str) -> None:
    """Whatever its name: what the process of the container is in is the container's."""
    tree = CgroupTree(tmp_path / "cgroup", "v2", parent=parent)
    tree.add(ID, cpu_seconds=7.0)
    process = tmp_path / "proc/77"
    process.mkdir(parents=True)
    (process / "cgroup").write_text(f"0::/{parent.format(ID)}{below}\n")
    cgroups = Cgroups(str(tree.root), procfs=str(tmp_path / "proc"))
    location = cgroups.locate(ID, pid=77)
    assert location is not None
    assert cpu_seconds(cgroups, location) == 7.0


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("parent", "other"),
    [
        # netdata 797: systemd in a container moved everything below init.scope
        ("init.scope/system.slice/docker-{}.scope", "system.slice/docker-{}.scope"),
        # netdata 13470: the engine's own cpuset groups bear the names of containers
        ("docker/{}", "system.slice/containerd.service/cpuset/{}"),
        ("system.slice/engine.service/docker/{}", "docker/{}"),
    ],
)
def test_of_two_folders_of_a_name_the_process_tells_the_one_that_counts(
    tmp_path: Path, layout: Layout, parent: str, other: str
) -> None:
    """36.76 s where the container is, 0.01 s in a folder of the same name elsewhere."""
    tree = CgroupTree(tmp_path / "cgroup", layout, parent=parent)
    tree.add(ID, cpu_seconds=36.76)
    tree.parent = other
    tree.add(ID, cpu_seconds=0.01)
    process = tmp_path / "proc/77"
    process.mkdir(parents=True)
    path = f"/{parent.format(ID)}"
    # moby 9365: kernels write the two controllers in either order
    (process / "cgroup").write_text(f"3:cpuacct,cpu:{path}\n1:name=systemd:{path}\n0::{path}\n")
    cgroups = Cgroups(str(tree.root), procfs=str(tmp_path / "proc"))
    location = cgroups.locate(ID, pid=77)
    assert location is not None
    assert cpu_seconds(cgroups, location) == 36.76
