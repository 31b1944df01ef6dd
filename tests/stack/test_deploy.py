"""Deployment without compose: units by systemd's own tools, manifests by Kubernetes' published schemas."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import kubernetes_validate
import pytest
import yaml

from exporters.catalogue import EXPORTERS
from tests.support.compose import SERVICES, image_name
from tests.support.promql import DASHBOARDS, ROOT, rule_queries
from tests.support.script_module import script_module

UNITS = ROOT / "deploy" / "systemd"
MANIFESTS = ROOT / "deploy" / "kubernetes"
# exposure by `systemd-analyze security`, from 0 (confined) to 10, as the page says it
EXPOSURE = dict(
    re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", (ROOT / "docs" / "deployment.md").read_text(), re.MULTILINE)
)


def tool(*command: object) -> str:
    if shutil.which(str(command[0])) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A root with the units, an environment and systemd's own units in it."""
    units = tmp_path / "etc" / "systemd" / "system"
    units.mkdir(parents=True)
    for path in UNITS.glob("wattframe@*"):
        (shutil.copytree if path.is_dir() else shutil.copy)(path, units / path.name)
    python = tmp_path / "opt" / "wattframe" / "bin" / "python"
    python.parent.mkdir(parents=True)
    shutil.copy("/bin/true", python)
    if not Path("/lib/systemd/system").is_dir():
        pytest.skip("systemd is not installed")
    shutil.copytree("/lib/systemd/system", tmp_path / "usr" / "lib" / "systemd" / "system", symlinks=True)
    return tmp_path


@pytest.mark.parametrize("name", EXPORTERS)
def test_a_unit_is_what_systemd_takes(host: Path, name: str) -> None:
    assert tool("systemd-analyze", "verify", f"--root={host}", "--man=no", f"wattframe@{name}.service") == ""


@pytest.mark.parametrize("name", EXPORTERS)
def test_a_unit_is_as_confined_as_the_docs_say(host: Path, name: str) -> None:
    unit = f"wattframe@{name}.service"
    verdict = tool("systemd-analyze", "security", "--offline=true", f"--root={host}", "--no-pager", unit)
    level = re.search(r"exposure level for \S+: ([\d.]+)", verdict)
    assert level is not None
    assert float(level[1]) <= float(EXPOSURE[name])


def test_the_counters_are_given_to_the_group(tmp_path: Path) -> None:
    zone = tmp_path / "sys" / "devices" / "virtual" / "powercap" / "intel-rapl" / "intel-rapl:0"
    zone.mkdir(parents=True)
    (zone / "energy_uj").write_text("1\n")
    (zone / "energy_uj").chmod(0o400)
    linked = tmp_path / "sys" / "class" / "powercap"
    linked.mkdir(parents=True)
    (linked / "intel-rapl:0").symlink_to("../../devices/virtual/powercap/intel-rapl/intel-rapl:0")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "group").write_text("root:x:0:\nwattframe:x:9500:\n")
    (tmp_path / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    if os.geteuid() != 0:
        pytest.skip("giving a file to a group needs root")
    tool("systemd-tmpfiles", "--create", f"--root={tmp_path}", UNITS / "tmpfiles.d" / "wattframe.conf")
    info = (zone / "energy_uj").stat()
    assert (info.st_gid, info.st_mode & 0o777) == (9500, 0o440)


def documents(overlay: str) -> list[dict[str, Any]]:
    """Everything that an overlay renders to."""
    return list(yaml.safe_load_all(tool("kubectl", "kustomize", MANIFESTS / overlay)))


def test_an_overlay_leaves_out_what_only_the_prometheus_operator_knows(tmp_path: Path) -> None:
    """As the page has it, for clusters without one."""
    text = (ROOT / "docs" / "deployment.md").read_text()
    (patches,) = re.findall(r"```yaml\n(patches:\n.*?)```", text, re.DOTALL)
    shutil.copytree(MANIFESTS / "base", tmp_path / "base")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "kustomization.yaml").write_text(f"resources: [../base]\n{patches}")
    rendered = list(yaml.safe_load_all(tool("kubectl", "kustomize", tmp_path / "own")))
    kinds = {document["kind"] for document in documents("base")}
    assert kinds - {document["kind"] for document in rendered} == {"ServiceMonitor", "PrometheusRule"}


def test_an_overlay_gives_the_label_that_a_helm_release_selects_by(tmp_path: Path) -> None:
    (labels,) = re.findall(r"`(labels: .+)`", (ROOT / "docs" / "deployment.md").read_text())
    shutil.copytree(MANIFESTS / "base", tmp_path / "base")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "kustomization.yaml").write_text(f"resources: [../base]\n{labels}\n")
    rendered = list(yaml.safe_load_all(tool("kubectl", "kustomize", tmp_path / "own")))
    assert all(document["metadata"]["labels"]["release"] == "NAME" for document in rendered)


@pytest.mark.parametrize("overlay", ["base", "capability"])
def test_the_manifests_are_what_kubernetes_takes(overlay: str) -> None:
    kinds = set()
    for document in documents(overlay):
        kinds.add(document["kind"])
        if not document["apiVersion"].startswith("monitoring.coreos.com/"):
            kubernetes_validate.validate(document, "1.33", strict=True)
    assert kinds >= {"DaemonSet", "Deployment", "ServiceMonitor", "PrometheusRule", "ConfigMap", "Service"}


def written() -> list[dict[str, Any]]:
    """The manifests as they are written: what needs no tool."""
    paths = sorted((MANIFESTS / "base").glob("[!k]*.yaml"))
    return [document for path in paths for document in yaml.safe_load_all(path.read_text())]


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for document in written():
        if document["kind"] in ("Deployment", "DaemonSet"):
            yield document["metadata"]["name"], document["spec"]["template"]["spec"]


@pytest.mark.parametrize(("name", "pod"), list(pods()), ids=[name for name, _ in pods()])
def test_a_pod_is_within_the_restricted_profile(name: str, pod: dict[str, Any]) -> None:
    """kubernetes.io/docs/concepts/security/pod-security-standards; one pod has folders of the node."""
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] != 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
        assert all(mounts[name]["readOnly"] for name in ("sys", "proc") if name in mounts)
    kinds = {kind for volume in pod["volumes"] for kind in volume.keys() - {"name"}}
    exceptions = {"hostPath"} if name == "wattframe-hosts" else set()
    assert kinds - exceptions <= {"configMap", "emptyDir", "persistentVolumeClaim"}


def test_every_exporter_is_deployed_with_its_image_its_port_and_its_memory() -> None:
    containers = {c["name"].replace("-", "_"): c for _, pod in pods() for c in pod["containers"]}
    assert containers.keys() == EXPORTERS.keys()
    jobs = {
        d["metadata"]["labels"]["wattframe-job"]: d["spec"]["ports"][0]["port"]
        for d in written()
        if d["kind"] == "Service"
    }
    for name, exporter in EXPORTERS.items():
        container = containers[name]
        image = image_name(SERVICES[name]["image"]).removesuffix(":latest")
        assert re.fullmatch(rf"ghcr\.io/wattframe/{image}:\d+\.\d+\.\d+", container["image"])
        assert container["ports"][0]["containerPort"] == jobs[name] == exporter.port
        # a cluster has IPv4, IPv6 or both
        assert {"name": "EXPORTER_HOST", "value": "::"} in container["env"]
        limit = SERVICES[name]["mem_limit"]
        assert container["resources"]["limits"]["memory"] == limit.replace("m", "Mi").replace("g", "Gi")


@pytest.fixture(scope="module")
def kubernetes() -> ModuleType:
    return script_module("kubernetes")


def test_rules_and_dashboards_are_those_of_the_stack(kubernetes: ModuleType) -> None:
    for path, text in kubernetes.documents().items():
        assert path.read_text() == text, f"{path.name}: python scripts/kubernetes.py"
    folder = MANIFESTS / "base" / "monitoring"
    rules = yaml.safe_load((folder / "rules.yaml").read_text())
    # all but TargetDown
    assert sum(len(group["rules"]) for group in rules["spec"]["groups"]) == len(rule_queries()) - 1
    boards = list(yaml.safe_load_all((folder / "dashboards.yaml").read_text()))
    assert {name for board in boards for name in board["data"]} == {p.name for p in DASHBOARDS.glob("*.json")}


def test_alerts_about_targets_are_about_our_own(kubernetes: ModuleType) -> None:
    """A cluster's Prometheus scrapes all of the cluster, and its pods come and go."""
    rules = yaml.safe_load((MANIFESTS / "base" / "monitoring" / "rules.yaml").read_text())
    alerts = [rule for group in rules["spec"]["groups"] for rule in group["rules"] if "alert" in rule]
    about_targets = [rule["expr"] for rule in alerts if re.search(r"\bup\b", rule["expr"])]
    assert len(about_targets) == 3
    for expr in about_targets:
        job = re.search(r'up\{job=~?"([^"]+)"', expr)
        assert job is not None
        assert set(job[1].split("|")) <= EXPORTERS.keys()


def test_the_operators_labels_take_the_place_of_none_of_a_page() -> None:
    """`container`, `namespace` and `pod` of a page stay what they are, and a new pod makes no new series."""
    monitors = [document for document in written_monitoring() if document["kind"] == "ServiceMonitor"]
    assert len(monitors) == 2
    for monitor in monitors:
        (endpoint,) = monitor["spec"]["endpoints"]
        instance, dropped = endpoint["relabelings"]
        assert instance["targetLabel"] == "instance"
        assert "__meta_kubernetes_pod_name" not in instance["sourceLabels"]
        assert dropped["action"] == "labeldrop"
        for label in ("namespace", "service", "pod", "container", "endpoint", "node"):
            assert re.fullmatch(dropped["regex"], label)


def written_monitoring() -> list[dict[str, Any]]:
    path = MANIFESTS / "base" / "monitoring" / "servicemonitors.yaml"
    return list(yaml.safe_load_all(path.read_text()))


def test_a_release_builds_what_the_stack_builds() -> None:
    path = ROOT / ".github" / "workflows" / "release.yml"
    tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows", path)
    matrix = yaml.safe_load(path.read_text())["jobs"]["images"]["strategy"]["matrix"]["include"]
    built = {
        image_name(service["image"]).removeprefix("wattframe-").removesuffix(":latest"): service["build"]
        for service in SERVICES.values()
        if "build" in service
    }
    # the GPU exporter is the power exporter, and nginx is Debian's
    others = {"gpu-exporter", "nginx-rtmp"}
    assert {row["image"] for row in matrix} == built.keys() - others
    for row in matrix:
        how = built[row["image"]]
        assert (row["file"], row["target"]) == (how["dockerfile"], how.get("target", "image"))
        file = (ROOT / row["file"]).read_text()
        assert row["lock"] == how["args"].get("LOCK", re.findall(r"^ARG LOCK=(\w+)", file, re.MULTILINE)[0])
