"""What the documentation says is so."""

from __future__ import annotations

import doctest
import json
import re
import runpy
from pathlib import Path

import pytest

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
