"""Jobs as ffmpeg's argument lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runner.command import commands, slug
from runner.jobs import resolve
from runner.spec import RungSpec, Spec

FFMPEG = Path("/opt/ffmpeg")


def _arguments(folder: Path, **fields: Any) -> list[list[str]]:
    media = fields.pop("media", None)
    fields = {"name": "x", "bitrate": "1M", "input": "/clips/in.mp4"} | fields
    job = resolve(Spec(**fields), input_path=None, duration_seconds=10, media_seconds=media)
    return [list(command.arguments) for command in commands(job, ffmpeg=FFMPEG, folder=folder)]


def _between(arguments: list[str], first: str, last: str) -> list[str]:
    return arguments[arguments.index(first) : arguments.index(last)]


def test_a_file_is_looped_without_end_and_only_its_video_is_encoded(tmp_path: Path) -> None:
    (arguments,) = _arguments(tmp_path)
    assert _between(arguments, "-stream_loop", "-c:v") == [
        *("-stream_loop", "-1", "-i", "file:/clips/in.mp4"),
        *("-filter_complex", "[0:V:0]setpts=PTS-STARTPTS,settb=1/90000[o0]", "-map", "[o0]"),
    ]
    assert arguments[-3:] == ["-f", "mp4", f"file:{tmp_path}/x_1.mp4"]


def test_a_fixed_amount_of_video_bounds_every_output(tmp_path: Path) -> None:
    ladder = [RungSpec(resolution="64x36", bitrate="1M"), RungSpec(resolution="32x18", bitrate="1M")]
    (arguments,) = _arguments(tmp_path, bitrate=None, ladder=ladder, media=12.5)
    assert [arguments[i + 1] for i, word in enumerate(arguments) if word == "-t"] == ["12.5", "12.5"]


def test_a_ladder_is_one_decode_and_a_split(tmp_path: Path) -> None:
    ladder = [RungSpec(resolution="1280x720", bitrate="2M"), RungSpec(resolution="640x360", crf=30)]
    (arguments,) = _arguments(tmp_path, bitrate=None, ladder=ladder, fps=30)
    assert arguments[arguments.index("-filter_complex") + 1] == (
        "[0:V:0]setpts=PTS-STARTPTS,fps=30,settb=1/90000,split=2[s0][s1];"
        "[s0]scale=w=1280:h=720:flags=bicubic[o0];[s1]scale=w=640:h=360:flags=bicubic[o1]"
    )
    assert arguments.count("-i") == 1
    assert [a for a in arguments if a.endswith(".mp4")][1:] == [
        f"file:{tmp_path}/x_1_r1.mp4",
        f"file:{tmp_path}/x_1_r2.mp4",
    ]


def test_streams_are_processes_with_files_of_their_own(tmp_path: Path) -> None:
    two = _arguments(tmp_path, bitrate=None, bitrates=["1M", "500k"])
    assert [arguments[-1] for arguments in two] == [f"file:{tmp_path}/x_1_s{n}.mp4" for n in (1, 2)]
    assert [arguments[arguments.index("-b:v") + 1] for arguments in two] == ["1000k", "500k"]


def test_a_live_stream_is_read_in_real_time_and_sent_as_flv(tmp_path: Path) -> None:
    (arguments,) = _arguments(tmp_path, rtmp="rtmp://host/live/key")
    assert arguments[arguments.index("-stream_loop") - 1] == "-re"
    assert arguments[-3:] == ["-f", "flv", "rtmp://host/live/key"]


def test_concurrent_live_streams_have_keys_of_their_own(tmp_path: Path) -> None:
    found = _arguments(tmp_path, rtmp="rtmp://host/live/key", streams=2)
    assert [arguments[-1] for arguments in found] == ["rtmp://host/live/key_s1", "rtmp://host/live/key_s2"]


def test_a_name_that_looks_like_an_option_or_a_protocol_stays_a_file(tmp_path: Path) -> None:
    (arguments,) = _arguments(tmp_path, input="-y http:a|b.mp4")
    assert arguments[arguments.index("-i") + 1] == f"file:{Path.cwd()}/-y http:a|b.mp4"


def test_a_lavfi_source_is_not_looped(tmp_path: Path) -> None:
    (arguments,) = _arguments(tmp_path, input="lavfi:testsrc2=s=64x36")
    assert "-stream_loop" not in arguments
    assert _between(arguments, "-i", "-filter_complex") == ["-i", "testsrc2=s=64x36"]


def test_a_device_encoder_gets_its_device_and_its_upload(tmp_path: Path) -> None:
    (arguments,) = _arguments(tmp_path, encoder="h264_vaapi", resolution="640x360")
    assert _between(arguments, "-vaapi_device", "-reinit_filter") == ["-vaapi_device", "/dev/dri/renderD128"]
    graph = arguments[arguments.index("-filter_complex") + 1]
    assert (
        graph
        == "[0:V:0]setpts=PTS-STARTPTS,settb=1/90000,scale=w=640:h=360:flags=bicubic,format=nv12,hwupload[o0]"
    )
    assert _between(arguments, "-c:v", "-fps_mode:v") == [
        *("-c:v", "h264_vaapi", "-compression_level", "4", "-rc_mode", "VBR", "-b:v", "1000k"),
    ]


def test_nvenc_quality_is_cq_without_a_rate(tmp_path: Path) -> None:
    (arguments,) = _arguments(tmp_path, encoder="hevc_nvenc", preset="p2", bitrate=None, crf=28)
    assert _between(arguments, "-c:v", "-fps_mode:v") == [
        *("-c:v", "hevc_nvenc", "-preset", "p2", "-rc", "vbr", "-cq", "28", "-b:v", "0"),
    ]


def test_names_that_differ_only_in_signs_get_different_files() -> None:
    assert slug("a b") != slug("a:b")
    assert slug("../../etc/passwd").startswith("..-..-etc-passwd-")
    assert "/" not in slug("../../etc/passwd")
