"""What the documentation says is so."""

from __future__ import annotations

import doctest
import json
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

import nerwin
from nerwin.cli import _COMMANDS
from nerwin.resources import shipped

DOCS = shipped("docs")
README = shipped("README.md").read_text(encoding="utf-8")


def test_the_page_of_options_is_up_to_date() -> None:
    page = runpy.run_path(str(DOCS / "make_options.py"))["options_page"]()
    assert (DOCS / "options.md").read_text(encoding="utf-8") == page


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.md")), ids=lambda p: p.name)
def test_examples_in_python_work(path: Path) -> None:
    failures, _ = doctest.testfile(str(path), module_relative=False, encoding="utf-8")
    assert failures == 0


@pytest.mark.parametrize("name", _COMMANDS)
def test_the_readme_shows_every_command(name: str) -> None:
    assert f"nerwin {name}" in README


def test_the_functions_for_spark_and_ray_work(trained: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    cloudpickle = pytest.importorskip("cloudpickle", reason="cloudpickle is not installed")
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "scaling.md").read_text("utf-8"), re.S)
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks:  # without what needs Spark or Ray
        exec(block.rpartition("\n\n\n")[0] if "bucket" in block else block, names)
    names["RUN"] = str(trained)
    find, Find = cloudpickle.loads(cloudpickle.dumps((names["find"], names["Find"])))
    text = "Last night, Paris Hilton met Kofi Annan in New York."
    frames = [
        pandas.DataFrame({"id": [1, 2], "text": [text, None]}),
        pandas.DataFrame({"id": [], "text": []}),
    ]
    found = list(find(iter(frames)))
    assert [len(frame) for frame in found] == [2, 0]
    expected = [
        {"start": e.start, "end": e.end, "text": e.text, "type": e.type, "score": e.score}
        for e in nerwin.load(trained)(text).entities
    ]
    assert expected
    assert found[0]["entities"].tolist() == [expected, []]
    assert Find()(frames[0]).equals(found[0])
    arrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    entity = {"start": "int32", "end": "int32", "text": "string", "type": "string"}
    struct = arrow.struct([*entity.items(), ("score", "float64")])
    schema = arrow.schema({"id": "int64", "text": "string", "entities": arrow.list_(struct)})
    table = arrow.Table.from_pandas(found[0], schema=schema)
    assert table["entities"].to_pylist() == [expected, []]
    (again,) = find([table.to_pandas()])
    assert again["id"].tolist() == [1, 2]


def test_links_lead_somewhere() -> None:
    for page in [shipped("README.md"), shipped("CONTRIBUTING.md"), *DOCS.glob("*.md")]:
        for link in re.findall(
            r"\]\((?!https?:)([\w./-]+\.\w+)(?:#[\w-]+)?\)", page.read_text("utf-8")
        ):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_fields_of_metrics_are_documented(trained: Path) -> None:
    page = (DOCS / "files.md").read_text(encoding="utf-8")
    lines = (trained / "metrics.jsonl").read_text().splitlines()
    documents = [json.loads(lines[0]), json.loads(lines[1]), json.loads(lines[1])["dev"]]
    documents.append(json.loads((trained / "metrics.json").read_text()))
    for document in documents:
        for field in document:
            assert f"`{field}`" in page or f'"{field}"' in page, field


def test_every_file_of_a_run_is_documented(trained: Path) -> None:
    page = (DOCS / "files.md").read_text(encoding="utf-8")
    for path in trained.rglob("*"):
        if path.is_file() and path.parent.name != "optimizer":
            assert f"`{path.name}`" in page, path.name
