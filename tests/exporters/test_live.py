"""Live streams on the quality exporter's page: windows by a stand-in, the share of CPU, lists that change."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from advisor.errors import InputError
from advisor.quality.live_checks import Checks
from advisor.quality.live_process import OUTCOMES, Answer, Request, Seen, Window
from advisor.results import Psnr, Quality, Ssim, Vmaf
from exporters.live import CpuBudget, LiveCollector
from tests.support.exporter_client import page_of, samples
from tests.support.waiting import wait_until

LIST = """
streams:
- name: news
  reference: rtmp://user:s3cret@host/live/news
  container: encoder
  renditions:
  - {name: low, url: "rtmp://user:s3cret@host/live/low"}
every_seconds: 1
window_seconds: 1
"""
CHECKS = Checks(frozen_ratio=0.25, black_ratio=0.0, blockiness=1.1, silence_ratio=None, width=640, height=360)
SCORED = Seen(
    outcome="scored",
    up=True,
    quality=Quality(vmaf=Vmaf(mean=80.5), psnr_decibels=Psnr(average=38.0), ssim_ratio=Ssim(all=0.97)),
    lag_seconds=2.5,
    checks=CHECKS,
    bitrate_kbps=812.5,
    frame_rate=25.0,
    missing_frames=1,
    keyframe_age_seconds=1.2,
)
REFERENCE = Seen(outcome="checked", up=True, checks=CHECKS, bitrate_kbps=5000.0)
GONE = Seen(outcome="unreachable", reason="nothing came", reconnects=3)


class Windows:
    """Stands for the processes: gives these answers in turn, and the last for ever."""

    def __init__(self, *seen: Seen | None, cpu_seconds: float = 0.01) -> None:
        self._seen, self._cpu_seconds = list(seen), cpu_seconds
        self.requests: list[Request] = []

    def __call__(self, request: Request, folder: Path, stopped: Callable[[], bool]) -> Window:
        self.requests.append(request)
        low = self._seen[min(len(self.requests), len(self._seen)) - 1]
        if low is None:
            return Window(None, self._cpu_seconds, "its process ended with code -11")
        answer = Answer(seen={"reference": REFERENCE, "low": low}, keyframe_seconds=2.0)
        return Window(answer, self._cpu_seconds)


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Callable[[Windows], LiveCollector]]:
    """Collectors that run, on ``streams.yaml`` in the test's folder; closed at the end."""
    running: list[LiveCollector] = []

    def begin(windows: Windows) -> LiveCollector:
        (tmp_path / "streams.yaml").write_text(LIST)
        running.append(LiveCollector(tmp_path / "streams.yaml", "ffmpeg", 100.0, windows))
        return running[-1]

    yield begin
    for collector in running:
        collector.close()


def live(collector: LiveCollector, rendition: str = "low", **labels: str) -> dict[str, float]:
    """Values of one rendition by the name's end; those that are counted by outcome by the outcome."""
    found = {}
    for key, value in samples(page_of(collector).decode()).items():
        if f'"rendition": "{rendition}"' in key:
            name = key.partition("{")[0].removeprefix("qoe_live_")
            outcome = next((o for o in OUTCOMES if f'"outcome": "{o}"' in key), None)
            found[f"{name} {outcome}" if outcome else name] = value
    return found


def test_a_window_is_published(watch: Callable[[Windows], LiveCollector]) -> None:
    collector = watch(Windows(SCORED))
    wait_until(lambda: "up" in live(collector))
    page = live(collector)
    assert page.pop("window_age_seconds") < 60
    assert page.pop("windows_total scored") >= 1
    assert page == {
        **{f"windows_total {outcome}": 0 for outcome in OUTCOMES if outcome != "scored"},
        "reconnects_total": 0,
        "up": 1,
        "vmaf_score": 80.5,
        "psnr_score": 38.0,
        "ssim_ratio": 0.97,
        "offset_seconds": 2.5,
        "aligned": 1,
        "frozen_ratio": 0.25,
        "black_ratio": 0.0,
        "blockiness_score": 1.1,
        "width_pixels": 640,
        "height_pixels": 360,
        "bitrate_kbps": 812.5,
        "frame_rate": 25.0,
        "missing_frames": 1,
        "keyframe_age_seconds": 1.2,
    }
    text = page_of(collector).decode()
    assert 'qoe_live_stream_info{container="encoder",group="",stream="news"} 1.0' in text
    assert "s3cret" not in text


def test_a_rendition_that_is_gone_costs_only_its_own_series(
    watch: Callable[[Windows], LiveCollector], capsys: pytest.CaptureFixture[str]
) -> None:
    collector = watch(Windows(GONE))
    wait_until(lambda: "up" in live(collector))
    page = live(collector)
    assert (page["up"], page["windows_total unreachable"] >= 1, page["reconnects_total"] >= 3) == (
        0,
        True,
        True,
    )
    assert not {"vmaf_score", "aligned", "bitrate_kbps", "frozen_ratio"} & page.keys()
    assert live(collector, "reference")["bitrate_kbps"] == 5000.0
    collector.close()
    said = capsys.readouterr()
    assert "s3cret" not in said.out + said.err


def test_a_process_that_crashed_is_counted_and_the_next_is_begun(
    watch: Callable[[Windows], LiveCollector],
) -> None:
    windows = Windows(None, SCORED)
    collector = watch(windows)
    wait_until(lambda: "vmaf_score" in live(collector))
    page = live(collector)
    assert (page["windows_total failed"], page["up"]) == (1, 1)


def test_what_was_found_helps_the_next_window(watch: Callable[[Windows], LiveCollector]) -> None:
    """The offset and the key frames; a rendition that was gone is looked for alone, and then anew."""
    windows = Windows(SCORED, GONE, SCORED)
    collector = watch(windows)
    wait_until(lambda: collector.parts() and len(windows.requests) >= 4)
    first, second, third, fourth = windows.requests[:4]
    assert (first.lags, first.absent, first.keyframe_seconds) == ({}, frozenset(), 3.0)
    assert (second.lags, second.absent, second.keyframe_seconds) == ({"low": 2.5}, frozenset(), 2.0)
    assert (third.lags, third.absent) == ({}, {"low"})
    assert (fourth.lags, fourth.absent) == ({"low": 2.5}, frozenset())


def test_a_lag_that_was_not_found_is_looked_for_elsewhere(watch: Callable[[Windows], LiveCollector]) -> None:
    windows = Windows(Seen(outcome="unaligned", reason="another video", up=True))
    collector = watch(windows)
    wait_until(lambda: collector.parts() and len(windows.requests) >= 3)
    assert [request.search for request in windows.requests[:3]] == [0, 1, 2]


def test_a_list_that_changes_is_read_again(watch: Callable[[Windows], LiveCollector], tmp_path: Path) -> None:
    """A broken one leaves the streams as they were and is told; a good one takes their place."""
    collector = watch(Windows(SCORED))
    wait_until(lambda: "up" in live(collector))
    path = tmp_path / "streams.yaml"

    def write(text: str) -> None:
        # at once, as editors do: half a file is a broken list too
        (tmp_path / "new").write_text(text)
        (tmp_path / "new").replace(path)

    write(LIST.replace("container", "contains"))
    wait_until(lambda: "qoe_live_file_error_info" in page_of(collector).decode())
    page = page_of(collector).decode()
    assert "streams.yaml: line 3: streams[0]: object contains unknown field contains" in page
    assert "up" in live(collector)
    assert "s3cret" not in page
    write(LIST.replace("name: news", "name: sport"))
    wait_until(lambda: 'stream="sport"' in page_of(collector).decode())
    page = page_of(collector).decode()
    assert 'stream="news"' not in page
    assert "qoe_live_file_error_info" not in page


def test_a_list_that_cannot_be_used_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / "streams.yaml").write_text("streams: 1\n")
    with pytest.raises(InputError, match="expected array, got int"):
        LiveCollector(tmp_path / "streams.yaml", "ffmpeg")


def test_closing_ends_windows_that_are_under_way(tmp_path: Path) -> None:
    (tmp_path / "streams.yaml").write_text(LIST)
    began, ended = threading.Event(), threading.Event()

    def run(request: Request, folder: Path, stopped: Callable[[], bool]) -> Window:
        began.set()
        wait_until(stopped)
        ended.set()
        return Window(None, 0.0, "it was stopped")

    collector = LiveCollector(tmp_path / "streams.yaml", "ffmpeg", 1.0, run)
    collector.parts()
    assert began.wait(60)
    collector.close()
    assert ended.is_set()


def test_no_more_than_the_share_is_spent() -> None:
    """Half a core: windows that are reckoned with 3 s and take 6 s begin every 12 s, whatever is due."""
    now = 0.0
    budget = CpuBudget(0.5, clock=lambda: now)
    begun = []
    for second in range(121):
        now = float(second)
        if budget.begin(3.0):
            budget.end(3.0, 6.0)
            begun.append(second)
    assert begun == list(range(0, 121, 12))


def test_what_is_being_spent_is_reckoned_in() -> None:
    """A second window waits until the share has earned what the first is expected to take."""
    now = 0.0
    budget = CpuBudget(0.5, clock=lambda: now)
    assert budget.begin(5.0)
    now = 9.9
    assert not budget.begin(5.0)
    now = 10.0
    assert budget.begin(5.0)


def test_what_was_not_used_is_kept_for_half_a_minute() -> None:
    now = 0.0
    budget = CpuBudget(0.5, clock=lambda: now)
    now = 3600.0
    assert [budget.begin(10.0) for _ in range(4)] == [True, True, False, False]
