"""What comes with the images: named, under the licence that it says itself, in label, notices and bill."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import imageio_ffmpeg
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.support.script_module import script_module

ROOT = Path(__file__).resolve().parents[1]
GPL = re.compile(r"libx264|libx265|libxvid|libpostproc")

pytestmark = pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the images' Python is 3.11")


@pytest.fixture(scope="module")
def notices() -> ModuleType:
    return script_module("notices")


def test_notices_and_bills_are_what_the_locks_say(notices: ModuleType) -> None:
    for path, text in notices.documents().items():
        assert path.read_text() == text, f"{path.name}: python scripts/notices.py"


@pytest.mark.parametrize("path", sorted((ROOT / "docker" / "sbom").iterdir()), ids=lambda path: path.name)
def test_a_bill_is_what_its_standard_says(path: Path) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(path.read_text()) is None


def test_a_wheel_that_carries_x264_or_x265_is_named(notices: ModuleType) -> None:
    carrying = {
        package.name
        for lock in notices.IMAGES
        for package in notices.locked(lock)
        if any(GPL.search(file.name) for file in importlib.metadata.files(package.name) or [])
    }
    assert carrying == {"av"}
    named = {name for name, parts in notices.CARRIED.items() if "GPL-3.0-or-later" in dict(parts).values()}
    assert named == carrying | {"imageio-ffmpeg"}


def test_ffmpeg_says_itself_that_it_is_under_the_gpl_version_3() -> None:
    said = subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-L"], capture_output=True, text=True, check=True)
    assert "GNU General Public License" in said.stdout
    assert "either version 3 of the License" in said.stdout


def test_the_label_of_an_image_is_what_its_lock_holds(notices: ModuleType) -> None:
    label = re.compile(r'title="wattframe-([\w-]+)".*?image\.licenses="([^"]+)"', re.DOTALL)
    labels = dict(match for path in ROOT.glob("Dockerfile.*") for match in label.findall(path.read_text()))
    # the GPU exporter is the power exporter under a name of its own
    wanted = {i: notices.expression(lock) for lock, images in notices.IMAGES.items() for i in images}
    assert labels == {image: licences for image, licences in wanted.items() if image != "gpu-exporter"}
