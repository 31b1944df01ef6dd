"""Parts of a video together beside one pass over it."""

from __future__ import annotations

import pickle
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from advisor.quality import parts as parts_module
from advisor.quality.measure import Measurement, measure
from advisor.quality.parts import combine, measure_part, parts, prepare
from advisor.quality.settings import QualitySettings
from advisor.video.ffmpeg import find_ffmpeg

pytestmark = pytest.mark.ffmpeg

FFMPEG = str(find_ffmpeg())
X264 = ("-c:v", "libx264", "-preset", "veryfast", "-g", "20", "-crf")
OPEN = (*X264, "14", "-x264-params", "open-gop=1")
GAPS = ("-vf", "select='mod(n\\,7)*mod(n\\,11)'", "-fps_mode", "vfr")
QUIET = ("-x265-params", "keyint=20:log-level=none")


@pytest.fixture(autouse=True)
def _short_ones_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts_module, "LEAST_SECONDS", 2.0)


def video(folder: Path, name: str, *options: str, source: Path | None = None, rate: str = "25") -> Path:
    drawn = ("-f", "lavfi", "-i", f"testsrc2=s=160x120:r={rate}:d=5,noise=alls=8:allf=t,format=yuv420p")
    read = drawn if source is None else ("-i", str(source))
    command = [FFMPEG, "-v", "quiet", "-nostdin", "-y", *read, *options, str(folder / name)]
    subprocess.run(command, check=True)
    return folder / name


def in_parts(
    reference: Path, output: Path, settings: QualitySettings, count: int = 4
) -> tuple[Measurement | None, int]:
    """What the parts give, and how many they were; all values take the way that they would over a network."""
    prepared = prepare(reference, output, settings)
    cut = parts(prepared, count)
    prepared, cut = pickle.loads(pickle.dumps((prepared, cut)))  # noqa: S301 -- our own
    results = [measure_part(prepared, part, ffmpeg=FFMPEG, threads=1) for part in cut]
    return combine(prepared, cut, results) if cut else None, len(cut)


def assert_equal(reference: Path, output: Path, settings: QualitySettings) -> None:
    together, count = in_parts(reference, output, settings)
    one = measure(reference, output, settings)
    assert count > 1
    assert together is not None
    assert together.frames == one.frames
    assert together.quality == replace(one.quality, computation_seconds=None)


@pytest.mark.parametrize(
    "settings",
    [
        QualitySettings(xpsnr=True, model="neg", extra_models=("hd", "phone")),
        QualitySettings(subsample=3, metrics=("vif",)),
    ],
    ids=["models", "subsampled"],
)
def test_parts_give_every_value_of_one_pass_to_the_bit(settings: QualitySettings, tmp_path: Path) -> None:
    reference = video(tmp_path, "r.mkv", *X264, "14")
    assert_equal(reference, video(tmp_path, "o.mp4", *X264, "34", source=reference), settings)


def test_where_key_frames_are_not_whole_the_shared_frames_tell(tmp_path: Path) -> None:
    """Intra refresh marks frames from which only a decoder with a memory can go on."""
    reference = video(tmp_path, "r.mkv", *X264, "14")
    refreshed = ("-c:v", "libx264", "-crf", "30", "-x264-params", "intra-refresh=1:keyint=20")
    output = video(tmp_path, "o.mp4", *refreshed, source=reference)
    assert in_parts(reference, output, QualitySettings())[0] is None


@pytest.mark.parametrize(
    "changed", [{"reference_loops": 1}, {"reference_start": 0.5}, {"reference_filter": "yadif"}]
)
def test_what_has_a_memory_is_not_cut(changed: dict[str, object], tmp_path: Path) -> None:
    reference = video(tmp_path, "r.mkv", *X264, "14")
    prepared = prepare(reference, reference, replace(QualitySettings(), **changed))
    assert parts(prepared, 4) == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "rate", "options", "output"),
    [
        ("open.mp4", "25", OPEN, "o.mp4"),
        ("open.mkv", "25", OPEN, "o.mkv"),
        ("hevc.mkv", "25", ("-c:v", "libx265", "-preset", "ultrafast", *QUIET), "o.mp4"),
        ("ntsc.mp4", "30000/1001", (*X264, "14"), "o.mp4"),
        ("ntsc.mkv", "30000/1001", (*X264, "14"), "o.mkv"),
        (
            "vfr.mkv",
            "25",
            ("-vf", "select='mod(n\\,7)*mod(n\\,11)'", "-fps_mode", "vfr", *X264, "14"),
            "o.mkv",
        ),
        ("late.ts", "25", ("-output_ts_offset", "7.3", *X264, "14"), "o.mkv"),
        ("av1.mkv", "25", ("-c:v", "libsvtav1", "-preset", "12", "-g", "20"), "o.mp4"),
        ("vp9.webm", "25", ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-g", "20"), "o.mkv"),
        ("mpeg2.ts", "25", ("-c:v", "mpeg2video", "-q:v", "3", "-g", "15", "-bf", "2"), "o.mp4"),
        ("ffv1.mkv", "25", ("-c:v", "ffv1"), "o.mp4"),
        ("fast.mkv", "50", (*X264, "14"), "o.mp4"),
    ],
    ids=lambda value: value if isinstance(value, str) and "." in value else "",
)
def test_parts_of_every_container(
    name: str, rate: str, options: Sequence[str], output: str, tmp_path: Path
) -> None:
    reference = video(tmp_path, name, *options, rate=rate)
    encode = video(tmp_path, output, "-fps_mode", "passthrough", *X264, "34", source=reference)
    assert_equal(reference, encode, QualitySettings(xpsnr=True))
