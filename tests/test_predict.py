"""``nerwin predict``: files in, files out, and what is told of what went wrong."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from commandline import fails

from nerwin.cli import main
from nerwin.cli import predict as predict_command
from nerwin.cli.inputs import KIND_OF
from nerwin.formats import FORMATS
from nerwin.records import KINDS
from nerwin.resources import shipped
from nerwin.text.corpus import read_corpus

LINE = "Last night, Paris Hilton met Kofi Annan in New York."


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


def predict(run: Path, *args: object, input: str | bytes | None = None) -> Result:
    words = ["predict", str(run), *map(str, args)]
    return CliRunner().invoke(main, words, input=input, prog_name="nerwin")


def put(**files: str | bytes) -> None:
    for name, content in files.items():
        path = Path(name.replace("__", "/").replace("_", "."))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def files() -> set[str]:
    return {str(path) for path in Path().rglob("*") if path.is_file()}


def texts(output: str) -> list[str]:
    return [json.loads(line)["text"] for line in output.splitlines()]


def test_the_command_offers_every_format() -> None:
    options = {option.name: option.type for option in predict_command.command.params}
    assert isinstance(options["output_format"], click.Choice)
    assert isinstance(options["kind"], click.Choice)
    assert list(options["output_format"].choices) == list(FORMATS)
    assert list(options["kind"].choices) == list(KINDS)
    assert set(KIND_OF.values()) <= set(KINDS)


# --- what is read ---------------------------------------------------------------------------


def test_every_kind_of_file_is_known_by_its_name(trained: Path) -> None:
    put(
        a_txt=LINE, b_jsonl=json.dumps({"text": LINE, "id": 7}), c_csv=f'text,id\n"{LINE}",7\n',
        d_tsv=f"id\ttext\n7\t{LINE}\n", e_CoNLL="Last O\nnight O\n",
 f_bio_gz=gzip.compress(b"a O\n"),
        g_ndjson_xz=lzma.compress(json.dumps({"text": LINE}).encode()),
        h_csv_bz2=bz2.compress(f'text\n"{LINE}"\n'.encode()), odd_name=LINE,
    )  # fmt: skip
    names = sorted(files())
    result = predict(trained, *names, "-f", "jsonl")
    assert result.exit_code == 0, result.output
    assert texts(result.stdout) == [*[LINE] * 4, "Last night", "a", *[LINE] * 3]
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert records[0]["entities"]
    assert all(r["entities"] == records[0]["entities"] for r in records if r["text"] == LINE)
    assert [list(r) for r in records[1:4]] == [
        ["text", "id", "entities"], ["text", "id", "entities"], ["id", "text", "entities"],
    ]  # fmt: skip
    assert [r["id"] for r in records[1:4]] == [7, "7", "7"]
    said = predict(trained, "b.jsonl", "-i", "text", "-f", "jsonl").stdout
    assert texts(said)[0].startswith("{")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, bytes])
def test_standard_input_may_be_compressed(trained: Path, pack: Callable[[bytes], bytes]) -> None:
    result = predict(trained, "-f", "jsonl", input=pack(b"One.\nTwo.\n"))
    assert texts(result.stdout) == ["One.", "Two."]


def test_folders_and_patterns(trained: Path) -> None:
    put(
        n__b_txt="b", n__a_md="a", n__sub__c_txt_gz=gzip.compress(b"c"), n__z_jsonl='{"text": "z"}',
        n__pic_png=b"\xff", n__makefile="no",
    )  # fmt: skip
    Path("n/.hidden.txt").write_text("no")
    Path("n/.git").mkdir()
    Path("n/.git/x.txt").write_text("no")
    Path("n/[odd].txt").write_text("odd")

    def found(*names: str) -> list[str]:
        result = predict(trained, *names, "-f", "jsonl")
        assert result.exit_code == 0, result.output
        return texts(result.stdout)

    assert found("n") == found("n/") == ["odd", "a", "b", "c", "z"]
    assert found("n/*.txt") == ["odd", "b"]
    assert found("n/**/*.txt*") == ["odd", "b", "c"]
    assert found("n/[odd].txt") == ["odd"]
    assert found("n/[ab].*", "n/sub") == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["none.txt"], "none.txt: no such file"),
        (["*.none"], "*.none: no file has such a name"),
        (["empty"], "empty: no file to read in this folder (they end in .txt"),
        (["a.txt", "--text-field", "body"], "--text-field is for JSON lines, CSV and TSV"),
        (["a.txt", "--entities-field", "x"], "--entities-field is for --format jsonl"),
        (["a.txt", "--documents", "docstart"], "--documents docstart is not for text input"),
        (["a.txt", "--types", "PERS"], "'PERS' is unknown; did you mean 'PER'? the model's are"),
        (["a.txt", "--types", " ,"], "--types: name some of LOC, MISC, ORG, PER"),
        (["a.txt", "--min-score", "2"], "--min-score"),
        (["a.txt", "b.txt", "-f", "brat"], "give a folder/ to --output"),
        (["a.txt", "-o", "b.txt/"], "b.txt: a file, not a folder"),
        (["a.txt", "-o", "none/out.txt"], "none: no such folder"),
    ],
)  # fmt: skip
def test_wrong_usage(trained: Path, args: list[str], message: str) -> None:
    put(a_txt=LINE, b_txt=LINE)
    Path("empty").mkdir()
    before = files()
    fails(predict(trained, *args), 2, message)
    assert files() == before


# --- what is written ------------------------------------------------------------------------


def test_a_folder_gets_a_file_for_each_input(trained: Path) -> None:
    put(
        n__a_txt=LINE,
        n__sub__a_txt_gz=gzip.compress(LINE.encode()),
        n__v1_2=LINE,
        b_csv="text\nx\n",
    )
    result = predict(
        trained, "n", "n/v1.2", "b.csv", "-", "-f", "jsonl", "-o", "out/x/", input="in"
    )
    assert (result.exit_code, result.output) == (0, "")
    written = {"out/x/a.jsonl", "out/x/sub/a.jsonl", "out/x/v1.2.jsonl", "out/x/b.jsonl"}
    assert {name for name in files() if name.startswith("out")} == {*written, "out/x/stdin.jsonl"}
    assert texts(Path("out/x/sub/a.jsonl").read_text()) == [LINE]
    one = predict(trained, "n/a.txt", "-f", "jsonl").stdout
    assert Path("out/x/a.jsonl").read_text() == one
    Path("flat").mkdir()
    assert predict(trained, "n/**/*.gz", "-o", "flat").exit_code == 0
    assert "flat/sub/a.conll" in files()


def test_brat_gets_the_text_beside(trained: Path) -> None:
    put(a_txt=f"{LINE}\r\n\r\n{LINE}", b_jsonl=json.dumps({"text": f"é😀\n{LINE}"}))
    assert predict(trained, "a.txt", "b.jsonl", "-f", "brat", "-o", "out/").exit_code == 0
    for name in ("a", "b"):
        text = Path(f"out/{name}.txt").read_bytes().decode()
        lines = Path(f"out/{name}.ann").read_text().splitlines()
        assert lines
        for line in lines:
            _, about, covered = line.split("\t")
            start, end = map(int, about.split(" ")[1:])
            assert text[start:end] == covered
    alone = predict(trained, "a.txt", "-f", "brat").stdout
    assert alone == Path("out/a.ann").read_text()


def test_nothing_is_overwritten_or_written_twice(trained: Path) -> None:
    put(a_txt=LINE, sub__a_txt=LINE, out__b_conll="mine", b_txt=LINE)
    before = files()
    both = ("a.txt", "sub/a.txt", "-o", "out")
    fails(predict(trained, *both), 2, "out/a.conll would be written for a.txt and for sub/a.txt")
    fails(predict(trained, *both), 2, "; give their folder as input, or each an output of its own")
    fails(predict(trained, "a.txt", "a.txt", "-o", "out"), 2, "a.txt; give each an output of its")
    fails(predict(trained, "a.txt", "b.txt", "-o", "out"), 2, "out/b.conll: exists already")
    fails(predict(trained, "a.txt", "-f", "brat", "-o", "."), 2, "a.txt is an input too")
    fails(predict(trained, "a.txt", "-f", "brat", "-o", ".", "--overwrite"), 2, "is an input too")
    assert files() == before
    assert Path("out/b.conll").read_text() == "mine"
    assert predict(trained, "a.txt", "b.txt", "-o", "out", "--overwrite").exit_code == 0
    assert Path("out/b.conll").read_text().startswith("Last\t")


def test_a_failing_input_costs_only_its_own_output(trained: Path) -> None:
    put(a_txt=LINE, b_txt_gz=gzip.compress(os.urandom(999))[:-99], c_csv="id\n1\n", d_txt=LINE)
    result = predict(trained, "a.txt", "b.txt.gz", "c.csv", "d.txt", "-o", "out/")
    fails(result, 1, "2 of 4 inputs failed; out/ has what was found in the others")
    assert "failed: b.txt.gz:" in result.stderr
    assert "failed: c.csv:1: no column 'text'" in result.stderr
    assert {name for name in files() if name.startswith("out")} == {"out/a.conll", "out/d.conll"}


def test_filters(trained: Path) -> None:
    text = " ".join(read_corpus(shipped("data/demo/dev.conll")).words[:500])

    def entities(*args: str) -> list[tuple[str, float]]:
        lines = predict(trained, "-f", "jsonl", *args, input=f"{text}\n" * 2).stdout.splitlines()
        found = [[(e["type"], e["score"]) for e in json.loads(line)["entities"]] for line in lines]
        assert found[0] == found[1]
        return found[0]

    everything = entities()
    kinds = sorted({kind for kind, _ in everything})
    assert len(kinds) > 1
    score = sorted(score for _, score in everything)[1]
    for kind in kinds:
        assert entities("--types", kind) == [e for e in everything if e[0] == kind]
    above = entities("--min-score", str(score - 0.00005))
    assert above == [e for e in everything if e[1] >= score]
    assert 0 < len(above) < len(everything)
    assert entities("--types", ",".join(kinds)) == everything
    assert entities("--types", kinds[0], "--types", ", ".join(kinds[1:])) == everything
    assert entities("--min-score", "1") == []


# --- malformed records ----------------------------------------------------------------------


def test_malformed_records_are_told_counted_and_left_out(trained: Path) -> None:
    lines = ["{bad}", '{"text": "fine", "x": 1}'] * 12
    result = predict(trained, "-i", "jsonl", "-f", "jsonl", input="\n".join(lines))
    assert result.exit_code == 0
    assert result.stdout == '{"text": "fine", "x": 1, "entities": []}\n' * 12
    told = result.stderr.splitlines()
    assert len(told) == 12
    assert told[0].startswith("skipped: standard input:1: not JSON")
    assert told[9].startswith("skipped: standard input:19: ")
    assert told[10:] == ["skipped: more, which are only counted", "12 records were skipped"]


def test_strict_stops_at_the_first_malformed_record(trained: Path) -> None:
    put(a_txt=b"fine\n\xff\nfine\n", b_txt=LINE)
    fails(predict(trained, "a.txt", "--strict", "-o", "out.txt"), 1, "a.txt:2: byte 0xff")
    fails(predict(trained, "b.txt", "a.txt", "--strict", "-o", "out/"), 1, "a.txt:2: byte 0xff")
    assert files() == {"a.txt", "b.txt", "out/b.conll"}


def test_no_readable_record_at_all_is_a_failure(trained: Path) -> None:
    put(a_jsonl='{"body": "Paris"}\n' * 3)
    result = predict(trained, "a.jsonl", "-f", "jsonl", "-o", "out.jsonl")
    fails(result, 1, "a.jsonl: no record could be read")
    assert "a.jsonl:1: no field 'text': there are body; name one with --text-field" in result.stderr
    assert files() == {"a.jsonl"}
    assert predict(trained, "a.jsonl", "--text-field", "body").exit_code == 0


def test_entities_of_the_input_are_not_lost(trained: Path) -> None:
    put(a_jsonl='{"text": "Paris.", "entities": ["gold"]}\n')
    lost = predict(trained, "a.jsonl", "-f", "jsonl")
    assert "a.jsonl:1: has a field 'entities' already; name the output's with" in lost.stderr
    assert lost.exit_code == 1
    kept = predict(trained, "a.jsonl", "-f", "jsonl", "--entities-field", "found")
    assert kept.stdout.startswith('{"text": "Paris.", "entities": ["gold"], "found": [')
    assert predict(trained, "a.jsonl", "-f", "inline").exit_code == 0  # there it is in nobody's way


def test_documents_change_what_a_model_that_sees_them_finds(rich: Path) -> None:
    text = "\n".join([LINE, "hilton and annan.", "", "New York is in new york."] * 5)
    put(a_txt=text)
    found = {
        unit: predict(rich, "a.txt", "-f", "jsonl", "--documents", unit).stdout
        for unit in ("auto", "file", "paragraph", "record")
    }
    stream = predict(rich, "-f", "jsonl", input=text).stdout
    assert found["auto"] == found["file"]
    assert found["record"] == stream
    assert len({found["file"], found["paragraph"], found["record"]}) == 3
    assert all(texts(output) == text.split("\n") for output in found.values())
