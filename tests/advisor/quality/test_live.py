"""The list of live streams: what is taken, what is refused, and that no message repeats an address."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.errors import InputError
from advisor.quality.live import Live, Rendition, Stream, read_live

SECRET = "rtmp://user:s3cret@host/live/key?token=s3cret"


def listed(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "streams.yaml"
    path.write_text(text)
    return path


def test_a_list_is_read_with_its_defaults(tmp_path: Path) -> None:
    path = listed(
        tmp_path,
        "streams:\n- name: news\n  reference: clip.ts\n  container: encoder\n"
        "  renditions: [{name: low, url: 'SRT://host:9000'}]\ncpu: 2\n",
    )
    low = Rendition("low", "SRT://host:9000")
    news = Stream("news", (low,), f"file:{tmp_path / 'clip.ts'}", "encoder")
    assert read_live(path) == Live((news,), window_seconds=4.0, every_seconds=30.0, cpu=2.0)
    assert news.addresses == {"reference": f"file:{tmp_path / 'clip.ts'}", "low": "SRT://host:9000"}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"streams:\n- name: a\n  url: {SECRET}\n", "line 2: streams[0]: object contains unknown field url"),
        (
            f"streams:\n- name: a\n  renditions:\n  - name: b\n    url: ['{SECRET}']\n",
            "line 5: streams[0].renditions[0].url: expected str, got array",
        ),
        (
            "streams:\n- name: a\n  renditions:\n  - {name: b, url: 'rtsp://user:s3cret@host/1'}\n",
            "line 4: streams[0].renditions[0].url: "
            "expected one of rtmp, rtmps, srt, udp, rtp, http, https, file before the colon of an address",
        ),
        (
            'streams:\n- name: a\n  renditions:\n  - {name: b, url: "udp://s3cret\\nfile /etc/passwd"}\n',
            "line 4: streams[0].renditions[0].url: expected an address without control characters",
        ),
        (
            f"streams:\n- name: a\n  renditions:\n  - {{name: b, url: '{SECRET}'}}\n"
            f"  - {{name: b, url: '{SECRET}'}}\n",
            "line 5: streams[0].renditions[1].name: expected names that differ, found 'b' twice",
        ),
        (
            f"streams:\n- name: a\n  renditions: [{{name: reference, url: '{SECRET}'}}]\n",
            "line 3: streams[0].renditions: expected another name than reference",
        ),
        (
            f"streams:\n- name: a\n  renditions: [{{name: b, url: '{SECRET}'}}]\n"
            "  container: x\n  group: y\n",
            "line 5: streams[0].group: expected a container or a group, found both",
        ),
        ("streams: []\nwindow_seconds: 0\n", "line 2: window_seconds: expected float >= 1.0"),
        ("streams: []\nevery_seconds: 2\n", "line 2: every_seconds: expected no less than window_seconds"),
        (f"streams: '{SECRET}'\n", "line 1: streams: expected array, got str"),
        (f"streams: ['{SECRET}'\n", "expected a YAML file of streams: line 2: expected ',' or ']', but got"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_line_and_without_addresses(
    tmp_path: Path, text: str, problem: str
) -> None:
    with pytest.raises(InputError) as refused:
        read_live(listed(tmp_path, text))
    assert f"{tmp_path / 'streams.yaml'}: {problem}" in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.yaml: expected a YAML file of streams: No such file"):
        read_live(tmp_path / "gone.yaml")
