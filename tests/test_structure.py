"""Imports point down the ladder only, and the engine and the text wing do not know each other."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import nerwin

PACKAGE = Path(nerwin.__file__).parent
# From the top to the bottom: a module may import from rungs below its own.
LADDER = [
    ["__main__"],
    ["cli", "spacy_component"],
    ["tagger"],
    ["cluster"],
    ["parts"],
    ["parallel"],
    ["training", "formats", "verification"],
    ["htmlpage", "firstpass"],
    ["prediction"],
    ["descent", "folds", "tuning", "sources", "metrics"],
    ["evaluation", "batches", "modeldir"],
    ["initial", "gold", "ensemble", "runfiles"],
    ["model", "manifest"],
    ["classifier", "consistency"],
    ["decoding", "records", "scoring"],
    ["storage"],
    ["pieces"],
    ["engine", "text"],
    ["config"],
    ["options"],
    ["processes"],
    ["errors", "resources"],
]
RUNG = {name: i for i, names in enumerate(LADDER) for name in names}
FILES = sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports(path: Path) -> set[str]:
    """The rooms that a file imports from, inside functions and for types alone included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    parts = [name.split(".") for name in names if name.startswith("nerwin.")]
    return {p[1] for p in parts if len(p) > 1 and p[1] in RUNG} - {room(path)}


def test_every_room_has_a_place_on_the_ladder() -> None:
    assert {room(path) for path in FILES} - {"__init__"} == set(RUNG)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    if room(path) == "__init__":
        assert imports(path) <= {"tagger"}  # which is imported when it is asked for
        return
    for other in imports(path):
        assert RUNG[other] > RUNG[room(path)], f"{room(path)} imports {other}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_the_two_wings_know_only_themselves(path: Path) -> None:
    allowed = {"engine": set(), "text": {"errors"}}
    if room(path) in allowed:
        assert imports(path) <= allowed[room(path)]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_command_line_prints(path: Path) -> None:
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert room(path) == "cli" or not calls & {"print", "input"}
    assert not calls & {"eval", "exec"}


def modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_help_needs_no_numpy() -> None:
    loaded = modules_after("import nerwin.cli, nerwin.cli.train, nerwin.cli.predict")
    assert not loaded & {"numpy", "scipy", "gensim", "threadpoolctl", "difflib", "tomllib"}


def test_the_package_alone_imports_nothing_heavy() -> None:
    assert not modules_after("import nerwin; dir(nerwin)") & {"numpy", "click", "nerwin.options"}


def test_prediction_needs_neither_gensim_nor_scipy() -> None:
    loaded = modules_after("import nerwin.tagger, nerwin.formats, nerwin.verification")
    assert "numpy" in loaded
    assert not loaded & {"scipy", "gensim", "difflib", "tomllib"}


@pytest.mark.parametrize("model", ["trained", "rich"])
def test_prediction_needs_no_part_of_numpy_that_comes_late(
    model: str, request: pytest.FixtureRequest
) -> None:
    run = request.getfixturevalue(model)
    found = f"list(nerwin.load({str(run)!r}).pipe(['Paris Hilton flew to Paris.']))"
    assert not modules_after(f"import nerwin; {found}") & {"scipy", "numpy.ma", "numpy.random"}
