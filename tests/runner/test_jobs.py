"""From what a user writes to jobs."""

from __future__ import annotations

from typing import Any

import pytest

from advisor.errors import InputError
from runner.jobs import Job, arrange, resolve
from runner.spec import RungSpec, Spec, refuse, spec_problems


def _job(**fields: Any) -> Job:
    fields = {"bitrate": "1M"} | fields
    return resolve(Spec(**fields), input_path="in.mp4", duration_seconds=60, media_seconds=None)


def test_a_job_is_named_by_its_settings() -> None:
    job = _job(encoder="libsvtav1", preset=8, bitrate="2.5M", resolution="1280x720", fps=30, threads=4)
    assert job.name == "libsvtav1 8 1280x720 2500k 30 fps 4 threads"


def test_a_bare_number_is_kilobits() -> None:
    assert _job(bitrate=800).streams[0][0].bitrate == "800k"


def test_equal_streams_are_one_process_each() -> None:
    job = _job(streams=3)
    assert job.type == "multi"
    assert [rungs[0].bitrate for rungs in job.streams] == ["1000k"] * 3


def test_a_list_of_bitrates_is_a_stream_each() -> None:
    job = _job(bitrate=None, bitrates=["1M", "500k"])
    assert [rungs[0].bitrate for rungs in job.streams] == ["1000k", "500k"]
    assert job.name == "libx264 medium 1000k+500k 2 streams"


def test_streams_of_a_ladder_have_all_its_rungs() -> None:
    ladder = [RungSpec(resolution="1280x720", bitrate="2M"), RungSpec(resolution="640x360", bitrate="800k")]
    job = _job(bitrate=None, ladder=ladder, streams=2)
    assert [[r.resolution for r in rungs] for rungs in job.streams] == [["1280x720", "640x360"]] * 2


def test_rtmp_is_live() -> None:
    job = _job(rtmp="rtmp://localhost/live/a")
    assert (job.sink, job.realtime) == ("rtmp", True)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"encoder": "libx246"}, "encoder: no encoder 'libx246', did you mean"),
        ({"encoder": "libsvtav1", "preset": "medium"}, "preset: expected one of libsvtav1's 13, 12,"),
        ({"preset": "8"}, "preset: expected one of libx264's ultrafast"),
        ({"bitrate": None}, "bitrate: expected either a bitrate or a crf, found neither"),
        ({"crf": 23}, "bitrate: expected either a bitrate or a crf, found both"),
        ({"resolution": "640x361"}, "resolution: expected even sides for libx264, found '640x361'"),
        ({"bitrate": None, "crf": 52}, "crf: expected 0 to 51 for libx264, found 52"),
        ({"bitrate": None, "crf": float("nan")}, "crf: expected 0 to 51 for libx264, found nan"),
        ({"bitrate": "fast"}, "bitrate: expected kbit/s or text such as 2500k or 5M, found 'fast'"),
        ({"bitrate": 2_500_000}, "bitrate: 2500000 kbit/s is more than any video needs: is it in bit/s"),
        ({"bitrate": 0}, "bitrate: expected kbit/s or text such as 2500k or 5M, found 0"),
        ({"bitrate": -5}, "bitrate: expected kbit/s or text such as 2500k or 5M, found -5"),
        ({"resolution": "720p"}, "resolution: expected WIDTHxHEIGHT such as 1280x720, found '720p'"),
        ({"resolution": "0x720"}, "resolution: expected WIDTHxHEIGHT such as 1280x720, found '0x720'"),
        ({"resolution": "x"}, "resolution: expected WIDTHxHEIGHT"),
        ({"fps": 0}, "fps: expected 1 to 480 frames a second, such as 25 or 30000/1001, found 0"),
        ({"streams": 0}, "streams: expected 1 to 256, found 0"),
        ({"threads": 0}, "threads: expected 1 to 512, found 0"),
        ({"duration": -1}, "duration: expected 0.1 to 86400, found -1"),
        ({"name": "  "}, "name: expected one line of text"),
        ({"name": "a\nrm b"}, "name: expected one line of text"),
        ({"rtmp": "http://x"}, "rtmp: expected rtmp://HOST/APP/STREAM"),
        ({"bitrates": ["1M"]}, "bitrates: expected no bitrate, crf, streams or ladder beside it"),
        ({"bitrate": None, "bitrates": []}, "bitrates: expected at least one"),
        ({"bitrate": None, "bitrates": ["x"]}, "bitrates[0]: expected kbit/s"),
        ({"bitrate": None, "ladder": []}, "ladder: expected at least 2 rungs, found 0"),
        ({"type": "single", "streams": 2}, "type: expected multi for several streams, found single"),
    ],
)  # fmt: skip
def test_each_mistake_names_its_field(fields: dict[str, Any], problem: str) -> None:
    found = spec_problems(Spec(**({"bitrate": "1M"} | fields)))
    assert len(found) == 1
    assert found[0].startswith(problem)


def test_a_rung_is_named_by_its_place() -> None:
    rungs = [RungSpec(resolution="1280x720", bitrate="2M"), RungSpec(resolution="360p", crf=60)]
    assert spec_problems(Spec(ladder=rungs)) == [
        "ladder[1].crf: expected 0 to 51 for libx264, found 60",
        "ladder[1].resolution: expected WIDTHxHEIGHT such as 1280x720, found '360p'",
    ]


def test_a_ladder_has_no_rate_beside_it() -> None:
    rungs = [RungSpec(bitrate="2M"), RungSpec(bitrate="1M")]
    assert spec_problems(Spec(ladder=rungs, bitrate="1M")) == [
        "ladder: expected resolution, bitrate and crf inside the rungs only"
    ]


def test_all_mistakes_come_in_one_line() -> None:
    with pytest.raises(InputError, match=r"^f\.yaml: a: x; b: x; c: x; d: x; e: x \(and 1 more\)$"):
        refuse("f.yaml", ["a: x", "b: x", "c: x", "d: x", "e: x", "f: x"])


def _order(jobs: list[Job]) -> list[tuple[str, int]]:
    return [(job.name, job.repeat) for job in jobs]


def test_repeats_go_round_by_round() -> None:
    jobs = [_job(name="a"), _job(name="b")]
    assert _order(arrange(jobs, repeats=2)) == [("a", 1), ("b", 1), ("a", 2), ("b", 2)]


def test_a_seed_gives_the_same_order_again_and_another_seed_another() -> None:
    jobs = [_job(name=name) for name in "abcdefgh"]
    first = _order(arrange(jobs, repeats=2, shuffle_seed=1))
    assert first == _order(arrange(jobs, repeats=2, shuffle_seed=1))
    assert first != _order(arrange(jobs, repeats=2, shuffle_seed=2))
    assert sorted(first[:8]) == [(name, 1) for name in "abcdefgh"]


def test_a_baseline_stays_first_when_shuffled() -> None:
    jobs = [_job(name=name) for name in "abc"]
    ordered = arrange(jobs, shuffle_seed=3, baseline_seconds=10)
    assert (ordered[0].name, ordered[0].type, ordered[0].duration_seconds) == ("baseline", "baseline", 10)


def test_a_baseline_of_the_users_own_is_enough() -> None:
    idle = resolve(
        Spec(type="baseline", name="idle"), input_path=None, duration_seconds=5, media_seconds=None
    )
    assert _order(arrange([idle, _job(name="a")], baseline_seconds=10)) == [("idle", 1), ("a", 1)]
