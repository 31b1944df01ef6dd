"""The generated documents are current."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from exporters.docs import all_exporters, documents

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.parametrize("name", ["metrics.md", "result-file.schema.json"])
def test_the_document_is_what_the_code_says(name: str) -> None:
    """``python -m exporters.docs docs`` renews it."""
    assert (DOCS / name).read_text() == documents()[name]


def test_every_exporter_of_the_contract_is_documented() -> None:
    found = {(e.name, e.port) for e in all_exporters()}
    assert {("rapl", 9500), ("docker_stats", 9501), ("results", 9502), ("qoe", 9503), ("cost", 9504)} <= found


def test_every_declared_family_is_one_line_of_the_page() -> None:
    page = documents()["metrics.md"]
    for exporter in all_exporters():
        for name in {family.name for family in exporter.families}:
            assert page.count(f"| `{name}` |") == 1


def test_the_schema_is_a_valid_one_and_takes_the_least_file() -> None:
    import jsonschema  # seconds, which every worker would wait for

    schema = msgspec.json.decode(documents()["result-file.schema.json"])
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid({"schema_version": 1, "scenarios": [{"name": "a"}]})
    assert not validator.is_valid({"schema_version": 1, "scenarios": [{"name": "a", "fps": "30"}]})
    assert not validator.is_valid({"schema_version": 2, "scenarios": []})


def test_the_command_writes_them(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "exporters.docs"]
    subprocess.run([*command, str(tmp_path)], check=True)
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == documents()
    refused = subprocess.run([*command, str(tmp_path / "no")], capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr) == (
        2,
        "exporters.docs: expected one folder to write into\n",
    )
