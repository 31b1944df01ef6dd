"""Third-party notices: what each image holds beside Wattframe, and under which licence.

``python scripts/notices.py`` writes THIRD_PARTY_NOTICES.md and, for each lock, a bill of materials,
from what is installed in this environment; ``--check`` says whether they are up to date.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from packaging.markers import Marker
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
NOTICES = ROOT / "THIRD_PARTY_NOTICES.md"
BILLS = ROOT / "docker" / "sbom"
IMAGES = {
    "exporter": ("exporter", "docker-stats-exporter", "gpu-exporter"),
    "results": ("results-exporter",),
    "qoe": ("qoe-exporter",),
    "cost": ("cost-exporter",),
    "tools": ("retrain", "runner", "worker"),
}
"""The images of each lock in requirements/, without the prefix."""
INSIDE = {
    "python_full_version": "3.11.0",
    "python_version": "3.11",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
    "platform_system": "Linux",
    "sys_platform": "linux",
    "os_name": "posix",
}
"""What the markers of a lock are asked for: the images' Python."""

# what a package says in words or by its classifier alone, read in its licence file
READ = {
    "bcrypt": "Apache-2.0",
    "contourpy": "BSD-3-Clause",
    "cycler": "BSD-3-Clause",
    "jinja2": "BSD-3-Clause",
    "kiwisolver": "BSD-3-Clause",
    "markdown-it-py": "MIT",
    "matplotlib": "PSF-2.0",
    "mdurl": "MIT",
    "nvidia-ml-py": "BSD-3-Clause",
    "partd": "BSD-3-Clause",
    "scipy": "BSD-3-Clause",
    "shellingham": "ISC",
    "skops": "MIT",
    "sortedcontainers": "Apache-2.0",
    "uvloop": "MIT OR Apache-2.0",
    "wcwidth": "MIT",
    "zict": "BSD-3-Clause",
}
# what a wheel carries that is not under the wheel's own licence
CARRIED = {
    "av": (
        ("FFmpeg libraries with x264 and x265", "GPL-3.0-or-later"),
        ("GnuTLS, Nettle, GMP, libunistring", "LGPL-3.0-or-later OR GPL-2.0-or-later"),
        ("LAME, ALSA", "LGPL-2.1-or-later"),
    ),
    "imageio-ffmpeg": (("ffmpeg, a program with x264, x265 and more linked in", "GPL-3.0-or-later"),),
    "numpy": (("OpenBLAS", "BSD-3-Clause"), ("GCC's runtime", "GPL-3.0-or-later WITH GCC-exception-3.1")),
    "scipy": (("OpenBLAS", "BSD-3-Clause"), ("GCC's runtime", "GPL-3.0-or-later WITH GCC-exception-3.1")),
    "scikit-learn": (("GCC's OpenMP runtime", "GPL-3.0-or-later WITH GCC-exception-3.1"),),
}

_HEAD = """# Third-party notices

Wattframe itself is under the MIT licence ([LICENSE](LICENSE)). Its images hold the packages below.
Made by `python scripts/notices.py` from the locks in `requirements/`, as is `docker/sbom/` (CycloneDX 1.6).
What this means for who passes an image on: [docs/licences.md](docs/licences.md).

| package | version | licence | in the images |
| --- | --- | --- | --- |
"""


class Package(NamedTuple):
    """A locked package and its licence as an SPDX expression."""

    name: str
    version: str
    licence: str


def locked(lock: str) -> list[Package]:
    """The packages that an image installs.

    Raises
    ------
    SystemExit
        One is not installed here at that version, or nobody knows its licence.
    """
    lines = (ROOT / "requirements" / f"{lock}.lock").read_text().splitlines()
    pinned = [m for line in lines if (m := re.match(r"([\w.-]+)==([^\s;]+)(?: ; (.+?))?(?: \\)?$", line))]
    return [_package(m[1], m[2]) for m in pinned if m[3] is None or Marker(m[3]).evaluate(INSIDE)]


def _package(name: str, version: str) -> Package:
    try:
        metadata = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        raise SystemExit(f"{name} {version} is not installed here") from None
    if metadata["Version"] != version:
        raise SystemExit(f"{name}: {metadata['Version']} is installed, {version} is locked")
    read = READ.get(canonicalize_name(name))
    said = metadata.get("License-Expression") or read or metadata.get("License") or ""
    if not re.fullmatch(r"[\w.+()-]+( (AND|OR|WITH) [\w.+()-]+)*", said):
        raise SystemExit(f"{name}: read its licence and add it to READ in scripts/notices.py")
    return Package(name, version, said)


def expression(lock: str) -> str:
    """The licences of what an image of this lock adds to its base, as its label says them."""
    packages = locked(lock)
    parts = {"MIT", *(p.licence for p in packages)}
    parts |= {licence for p in packages for _, licence in CARRIED.get(p.name, ())}
    single = {
        part for licence in parts for part in ([licence] if " OR " in licence else licence.split(" AND "))
    }
    return " AND ".join(f"({part})" if " OR " in part else part for part in sorted(single))


def _notices() -> str:
    holders: dict[Package, list[str]] = {}
    for lock, images in IMAGES.items():
        for package in locked(lock):
            holders.setdefault(package, []).extend(images)
    rows = []
    for package in sorted(holders):
        images = holders[package]
        where = "all" if len(images) == sum(map(len, IMAGES.values())) else ", ".join(images)
        link = f"[{package.name}](https://pypi.org/project/{package.name}/)"
        rows.append(f"| {link} | {package.version} | {package.licence} | {where} |")
        rows += [
            f"| - in it: {what} | | {licence} | {where} |" for what, licence in CARRIED.get(package.name, ())
        ]
    return _HEAD + "\n".join(rows) + "\n"


def _bill(lock: str) -> dict[str, Any]:
    def component(name: str, licence: str, **more: Any) -> dict[str, Any]:
        return {"type": "library", "name": name, "licenses": [{"expression": licence}], **more}

    components = []
    for package in locked(lock):
        purl = f"pkg:pypi/{canonicalize_name(package.name)}@{package.version}"
        inner = [component(what, licence) for what, licence in CARRIED.get(package.name, ())]
        known = {"version": package.version, "purl": purl, "bom-ref": purl}
        components.append(
            component(package.name, package.licence, **known, **({"components": inner} if inner else {}))
        )
    own = component("wattframe", "MIT", **{"bom-ref": "wattframe"})
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**own, "type": "application"}},
        "components": components,
    }


def documents() -> dict[Path, str]:
    """The text of every file that this script writes."""
    bills = {BILLS / f"{lock}.cdx.json": json.dumps(_bill(lock), indent=1) + "\n" for lock in IMAGES}
    return {NOTICES: _notices(), **bills}


def main() -> int:
    made = documents()
    stale = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            sys.stderr.write(f"{path.relative_to(ROOT)} is not up to date: python scripts/notices.py\n")
        return 1 if stale else 0
    BILLS.mkdir(exist_ok=True)
    for path in stale:
        path.write_text(made[path])
    return 0


if __name__ == "__main__":
    sys.exit(main())
