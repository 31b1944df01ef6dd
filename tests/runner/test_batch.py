"""Batch files: lists, matrices, excludes, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.errors import InputError
from runner.batch import read_batch
from runner.cli import main
from runner.spec import Spec


def _file(tmp_path: Path, text: str, name: str = "batch.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_url_as_input_stays_one_without_its_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    batch = tmp_path / "b.yaml"
    batch.write_text("[{preset: ultrafast, crf: 30, input: 'http:/u:secret@h/a.mp4'}]")
    assert main(["batch", str(batch), "--output-dir", str(tmp_path / "o"), "--dry-run"]) == 2
    assert "http:/...: expected a file, found a URL" in capsys.readouterr().err


def test_a_list_is_a_list_of_scenarios(tmp_path: Path) -> None:
    specs = read_batch(_file(tmp_path, "- {encoder: libx264, preset: fast, bitrate: 2500k}\n- {crf: 28}\n"))
    assert [(s.encoder, s.preset, s.bitrate, s.crf) for s in specs] == [
        ("libx264", "fast", "2500k", None),
        ("libx264", None, None, 28),
    ]


def test_json_is_read_by_its_suffix(tmp_path: Path) -> None:
    path = _file(tmp_path, '{"scenarios": [{"bitrate": 900}]}', "batch.json")
    assert [s.bitrate for s in read_batch(path)] == [900]


MATRIX = """
defaults: {resolution: 640x360}
matrix:
  encoder: [libx264, libsvtav1]
  preset: {libx264: [veryfast, medium], libsvtav1: [8, 10]}
  bitrate: [500k, 1M]
exclude:
  - {encoder: libsvtav1, bitrate: 1M}
  - {preset: [medium], bitrate: 500k}
"""


def test_a_matrix_is_every_combination_less_the_excludes(tmp_path: Path) -> None:
    """2 x 2 x 2 = 8, less SVT-AV1's two at 1M, less medium at 500k."""
    specs = read_batch(_file(tmp_path, MATRIX))
    assert [(s.encoder, s.preset, s.bitrate) for s in specs] == [
        ("libx264", "veryfast", "500k"),
        ("libx264", "veryfast", "1M"),
        ("libx264", "medium", "1M"),
        ("libsvtav1", 8, "500k"),
        ("libsvtav1", 10, "500k"),
    ]
    assert {s.resolution for s in specs} == {"640x360"}


def test_an_entrys_own_rate_replaces_the_defaults(tmp_path: Path) -> None:
    text = """
defaults: {bitrate: 1M, resolution: 640x360}
scenarios:
  - {crf: 30}
  - {ladder: [{bitrate: 1M, resolution: 320x180}, {bitrate: 2M}]}
  - {type: baseline}
"""
    specs = read_batch(_file(tmp_path, text))
    assert (specs[0].bitrate, specs[0].crf, specs[0].resolution) == (None, 30, "640x360")
    assert (specs[1].bitrate, specs[1].resolution) == (None, None)
    assert specs[2].type == "baseline"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a list of scenarios or an object with defaults or"),
        ("[]", "expected at least one scenario"),
        ("hello", "expected a list of scenarios or an object"),
        ("a: [b", "expected YAML: line 1: "),
        ("!!python/object/apply:os.system ['x']", "expected YAML: line 1: could not determine a construct"),
        ("scenario: []", "scenario: expected one of defaults, scenarios, matrix, exclude"),
        ("scenarios: {a: 1}", "scenarios: expected a list, found dict"),
        ("- 3", "scenarios[0]: expected an object, found int"),
        ("- {bitrate: 1M, fps: fast}", "scenarios[0].fps: expected 1 to 480 frames a second, such as 25 or"),
        ("- {bitrate: 1M, speed: 3}", "scenarios[0].speed: expected one of name, type, encoder, preset"),
        ("- {bitrate: 1M, streams: true}", "scenarios[0].streams: expected a whole number, found True"),
        ("- {ladder: [{bitrat: 1}]}", "scenarios[0].ladder[0].bitrat: did you mean"),
        ("- {bitrate: 1M}\n- {crf: 99}", "scenarios[1].crf: expected 0 to 51 for libx264, found 99"),
        ("matrix: {codec: [a]}", "matrix.codec: no such field"),
        ("matrix: {encoder: libx264}", "matrix.encoder: expected a list with at least one value"),
        ("matrix: {crf: []}", "matrix.crf: expected a list with at least one value"),
        ("matrix: {encoder: [libx265], preset: {libx264: [fast]}}", "matrix.preset: expected an entry for"),
        ("matrix: {crf: [30], preset: {libx264: fast}}", "matrix.preset: expected lists by encoder"),
        ("matrix: {crf: [30]}\nexclude: [{bitrate: 1M}]", "exclude[0].bitrate: no such field in the matrix"),
        ("matrix: {crf: [30]}\nexclude: [5]", "exclude[0]: expected an object of fields and values"),
        ("matrix: {crf: [30], encoder: [nope]}", "matrix.encoder: no encoder 'nope'"),
        ("- {bitrate: 1M, rtmp: [rtmp://h/a/k]}", "scenarios[0].rtmp: expected a text, found ['rtmp://...']"),
        ("- {bitrate: 1M, encoder: 'rtmp://u:p,w@h/a'}", "scenarios[0].encoder: no encoder 'rtmp://...', "),
        ("- {crf: 30, rtmp: 'http://u:p@h/a'}", "scenarios[0].rtmp: expected rtmp://HOST/APP/STREAM"),
        (f"matrix: {{crf: {[30] * 200}, threads: {[1] * 200}}}", "matrix: expected at most 10000 "),
    ],
)  # fmt: skip
def test_each_mistake_names_file_and_field(tmp_path: Path, text: str, message: str) -> None:
    path = _file(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_batch(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_all_mistakes_of_a_file_are_named_at_once(tmp_path: Path) -> None:
    path = _file(tmp_path, "- {crf: 99}\n- {bitrate: x}\n- {crf: 3, fps: y}\n")
    with pytest.raises(InputError) as caught:
        read_batch(path)
    assert str(caught.value) == (
        f"{path}: scenarios[0].crf: expected 0 to 51 for libx264, found 99; "
        "scenarios[1].bitrate: expected kbit/s or text such as 2500k or 5M, found 'x'; "
        "scenarios[2].fps: expected 1 to 480 frames a second, such as 25 or 30000/1001, found 'y'"
    )


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nope\.yaml: cannot be read: No such file"):
        read_batch(tmp_path / "nope.yaml")


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "b.yaml"
    path.write_bytes(b"- {name: caf\xe9}")
    with pytest.raises(InputError, match="expected UTF-8 text, found byte 0xe9"):
        read_batch(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ["b.json", "b.yaml"])
def test_a_file_as_editors_write_it(tmp_path: Path, encoding: str, name: str) -> None:
    """With a mark of its encoding or without, indented by tabs."""
    path = tmp_path / name
    path.write_text('[\n\t{"name": "caf\u00e9", "crf": 2.3e1}\n]\n', encoding=encoding)
    (spec,) = read_batch(path)
    assert (spec.name, spec.crf) == ("caf\u00e9", 23)


def test_a_name_that_is_there_twice(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"b\.json: expected each name once, found 'crf' twice"):
        read_batch(_file(tmp_path, '[{"crf": 23, "crf": 32}]', "b.json"))


def test_a_file_that_is_no_json(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"b\.json: expected JSON: "):
        read_batch(_file(tmp_path, "{", "b.json"))


def test_the_documentations_example_can_be_read(tmp_path: Path) -> None:
    """Its matrix is 2 x 2 x 2 less SVT-AV1's two at 1500k."""
    page = (Path(__file__).resolve().parents[2] / "docs/runner.md").read_text()
    example = page.partition("```yaml\n")[2].partition("```")[0]
    specs = read_batch(_file(tmp_path, example))
    assert len(specs) == 2 + 6
    listed = page.partition("Fields of a scenario: ")[2].partition(".\n")[0]
    assert [field for field in Spec.__struct_fields__ if f"`{field}`" not in listed] == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[{bitrate: 1M, sink: s3}]", "scenarios[0].sink: expected one of file, null, found 's3'"),
        (
            "[{bitrate: 1M, type: many}]",
            "scenarios[0].type: expected one of baseline, single, multi, found 'many'",
        ),
    ],
)
def test_a_word_that_is_none_of_the_field_s_names_those(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "b.yaml"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        read_batch(file)
    assert str(caught.value) == f"{file}: {problem}"
