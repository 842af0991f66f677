"""Ways in: whatever shape the text has, the records are the same, and what is wrong is named."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nerwin import pieces, prediction
from nerwin.errors import ConfigError, DataError
from nerwin.modeldir import load_model
from nerwin.pieces import Reading, documents_of
from nerwin.records import Record, read_records, text_record
from nerwin.text import corpus
from nerwin.text.files import byte_blocks, decode

texts = st.text(st.sampled_from('ab .\n\t"\\,é字😀\u2028\x0c\x85') | st.characters(codec="utf-8"))


def read(data: bytes, **how: Any) -> tuple[list[Record], list[str]]:
    """The records of a file, and what was reported."""
    reports: list[str] = []
    reading = Reading(**how, report=lambda error: reports.append(str(error)))
    return list(chain(*read_records(io.BytesIO(data), "x", reading))), reports


# --- every kind -----------------------------------------------------------------------------


@given(st.lists(texts, max_size=4))
def test_a_text_is_the_same_in_json_lines_and_in_tables(values: list[str]) -> None:
    lines = "".join(json.dumps({"id": i, "text": x}) + "\n" for i, x in enumerate(values))
    expected = [
        text_record(x, line[:-1]) for x, line in zip(values, lines.split("\n"), strict=False)
    ]
    assert read(lines.encode(), kind="jsonl") == (expected, [])
    for kind, delimiter in (("csv", ","), ("tsv", "\t")):
        sink = io.StringIO(newline="")
        writer = csv.writer(sink, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerows([["id", "text"], *([str(i), x] for i, x in enumerate(values))])
        got, reports = read(sink.getvalue().encode(), kind=kind)
        # A line's end in a cell is \n, whatever it was.
        assert [r.text for r in got] == [x.replace("\r\n", "\n") for x in values]
        assert [json.loads(r.fields + "}")["id"] for r in got] == [
            str(i) for i in range(len(values))
        ]
        assert not reports


@given(st.text(st.sampled_from("a\xe9\xff字 \n"), max_size=40), st.integers(4, 9))
def test_long_lines_come_in_pieces_and_bad_ones_are_left_out(text: str, longest: int) -> None:
    lines = [line.encode().replace(b"\xc3\xbf", b"\xff") for line in text.split("\n")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "_LONGEST", longest)
        got, reports = read(b"\n".join(lines))
    told = {int(report.split(":")[1]) for report in reports}
    bad = {i for i, line in enumerate(lines, 1) if b"\xff" in line}
    assert told == bad
    if not bad:
        whole = "".join(r.text + "\n" * (not r.cut) for r in got)
        assert whole.removesuffix("\n") == text.removesuffix("\n")
    assert not any(r.goes_on for r in got)


def test_a_json_object_is_kept_character_by_character() -> None:
    line = '{"n": 1.00,"e":1E5, "text" : "A \\u0042\\/c", "n": [{"x":null}], "z": "\\ud800"}'
    (record,), reports = read(f"  {line} \r\n\n".encode(), kind="jsonl")
    assert record.fields + "}" == line
    assert record.text == "A B/c"
    assert not reports


def test_a_text_field_may_be_inside_others() -> None:
    line = b'{"a": {"b": {"c": "deep"}}, "a.b": {"c": "not here"}, "x.y": "flat", "x": {"y": "no"}}'
    assert read(line, kind="jsonl", text_field="x.y")[0][0].text == "flat"
    assert (
        read(b'{"a": {"b": {"c": "deep"}}}', kind="jsonl", text_field="a.b.c")[0][0].text == "deep"
    )


@pytest.mark.parametrize(
    ("kind", "data", "message"),
    [
        ("jsonl", b"{bad}", "not JSON: Expecting property name"),
        ("jsonl", b'{"text": "a"', "not JSON"),
        ("jsonl", b'["text"]', "a list, not a JSON object"),
        ("jsonl", b"7", "a number, not a JSON object"),
        ("jsonl", b'{"txt": "a", "id": 1}', "no field 'text': there are txt, id; name one"),
        ("jsonl", b"{}", "no field 'text': there is none"),
        ("jsonl", b'{"text": null}', "field 'text' is null, not text"),
        ("jsonl", b'{"text": 3.5}', "field 'text' is a number, not text"),
        ("jsonl", b'{"text": {"a": 1}}', "field 'text' is an object, not text"),
        ("jsonl", b'{"text": "a \\udc9f"}', "half a surrogate pair"),
        ("jsonl", b'{"text": "a", "entities": []}', "has a field 'entities' already; name"),
        ("jsonl", b'{"text": "\xff"}', "byte 0xff is not utf-8"),
        ("jsonl", b"[" * 100_000, "not JSON that can be read"),
        ("jsonl", b'{"text": "a", "n": ' + b"9" * 5000 + b"}", "not JSON that can be read"),
        ("text", b"caf\xe9", "byte 0xe9 is not utf-8; if the file is in another encoding"),
        ("tokenized", b"caf\xe9 .", "byte 0xe9 is not utf-8"),
        ("conll", b"a\xff O", "byte 0xff is not utf-8"),
        ("conll", b"a O X", "3 columns where the lines before have 2"),
        ("csv", b"a", "1 columns where the header has 2"),
        ("csv", b"a,b,c", "3 columns where the header has 2"),
        ("csv", b'a,"b"c', "cannot be read: ',' expected after '\"'"),
        ("csv", b"a,caf\xe9", "byte 0xe9 is not utf-8"),
        ("tsv", b"a,b", "1 columns where the header has 2"),
    ],
)  # fmt: skip
def test_a_malformed_record_is_named_and_the_rest_goes_on(
    kind: str, data: bytes, message: str
) -> None:
    good = {
        "jsonl": b'{"text": "fine"}\n',
        "csv": b"1,fine\n",
        "tsv": b"1\tfine\n",
        "conll": b"fine O\n\n",
    }.get(kind, b"fine\n")
    header = {"csv": b"id,text\n", "tsv": b"id\ttext\n"}.get(kind, b"")
    end = b"\n\n" if kind == "conll" else b"\n"
    whole = header + good + data + end + good
    line = (header + good).count(b"\n") + 1
    got, reports = read(whole, kind=kind)
    assert [record.text for record in got] == ["fine", "fine"]
    assert len(reports) == 1
    assert reports[0].startswith(f"x:{line}: ")
    assert message in reports[0]
    with pytest.raises(DataError, match=f"^x:{line}: "):
        list(read_records(io.BytesIO(whole), "x", Reading(kind=kind)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            b"id,body\n1,a\n",
            "x:1: no column 'text': there are id, body; name one with --text-field",
        ),
        (b"\n\nid;text\n", "x:3: no column 'text': there are id;text"),
        (b"text,entities\na,b\n", "x:1: has a column 'entities' already"),
        (b"text,a,a\n1,2,3\n", "x:1: two columns are called 'a'"),
        (b"text,\xff\n", "x:1: byte 0xff is not utf-8"),
        (b'"text', "x:1: the header cannot be read: unexpected end"),
    ],
)
def test_a_table_without_a_usable_header_cannot_be_read(data: bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(data, kind="csv")
    assert str(caught.value).startswith(message)


def test_cells_with_lines_in_them_and_the_lines_after() -> None:
    data = '\ufeffid,"text"\r\n1,"two\r\nlines, ""quoted"""\r\n\r\n2\r\n3,"last'
    got, reports = read(data.encode(), kind="csv")
    assert [record.text for record in got] == ['two\nlines, "quoted"']
    assert reports == [
        "x:5: 1 columns where the header has 2",
        "x:6: cannot be read: unexpected end of data",
    ]


def test_a_quote_that_is_not_closed_does_not_take_all_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pieces, "_LONGEST_CELL", 100)
    data = b'text\n"open\n' + b"a line\n" * 20 + b'"a long cell"\nlast\n'
    got, reports = read(data, kind="csv")
    assert reports[0].startswith("x:2: cannot be read: field larger than field limit")
    assert got[-1].text == "last"


def test_a_bad_sentence_of_a_column_file_takes_no_document_with_it() -> None:
    data = b"a\n\n-DOCSTART-\n\nb c\nd\n\ne\n\nf\n\n-DOCSTART-\n\ng\n"
    got, reports = read(data, kind="conll", documents="docstart")
    assert reports == ["x:5: 2 columns where the lines before have 1"]
    assert [(r.text, r.goes_on) for r in got] == [
        ("a", False), ("e", True), ("f", False), ("g", False),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("text", ["One.\n", "Two.\n"]),
        ("paragraphs", ["One\nline.\n\n", "Two\nlines.\n\n"]),
        ("tokenized", ["One\n", "Two\n"]),
        ("jsonl", ['{"text": "One"}\n', '{"text": "Two"}\n']),
        ("csv", ["text\nOne\n", "Two\n"]),
        ("conll", ["One\n\n", "Two\n\n"]),
    ],
)
def test_a_pipe_that_waits_is_answered_record_by_record(kind: str, lines: list[str]) -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as file, os.fdopen(writer, "wb", buffering=0) as sink:
        batches = read_records(file, "-", Reading(kind=kind))
        for line, word in zip(lines, ("One", "Two"), strict=True):
            sink.write(line.encode())
            assert [r.words[0] for r in next(batches) if r.words] == [word]


# --- documents ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "wanted", "stream", "unit"),
    [
        ("text", "auto", False, "file"),
        ("text", "auto", True, "record"),
        ("paragraphs", "auto", False, "file"),
        ("paragraphs", "auto", True, "record"),
        ("tokenized", "auto", False, "record"),
        ("jsonl", "auto", False, "record"),
        ("csv", "auto", True, "record"),
        ("conll", "auto", True, "docstart"),
        ("tsv", "file", False, "file"),
        ("tokenized", "paragraph", False, "paragraph"),
    ],
)
def test_what_one_document_is(kind: str, wanted: str, stream: bool, unit: str) -> None:
    assert documents_of(kind, wanted, stream=stream) == unit


@given(
    st.lists(st.sampled_from(["a", "b c", "d. E f", "", "", " ", "\r", "b\r"]), max_size=30),
    st.sampled_from(["record", "paragraph", "file"]),
    st.integers(1, 9),
)
def test_a_paragraph_is_what_stands_between_empty_lines(
    lines: list[str], documents: str, size: int
) -> None:
    data = "".join(f"{line}\n" for line in lines)
    text = data.replace("\r\n", "\n")
    expected = [x.removesuffix("\n") for x in re.findall(r"\n|(?:[^\n]+\n)+", text)]
    reading = Reading("paragraphs", documents)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "_LONGEST", 1000)
        got = list(chain(*small_pieces(data.encode(), size, reading)))
    assert [record.text for record in got] == expected
    if documents == "record":
        assert not any(record.goes_on for record in got)


def test_an_entity_may_go_over_the_end_of_a_line() -> None:
    data = b"He lives in New\nYork. She\nleft.\n\nBye."
    first, empty, last = read(data, kind="paragraphs")[0]
    assert first.words == ["He", "lives", "in", "New", "York", ".", "She", "left", "."]
    assert first.sentences == [0, 6, 9]
    assert (empty.text, last.text) == ("", "Bye.")


@pytest.mark.parametrize(("kind", "wanted"), [("text", "docstart"), ("jsonl", "paragraph")])
def test_what_no_document_can_be(kind: str, wanted: str) -> None:
    with pytest.raises(ConfigError, match=f"--documents {wanted} is not for {kind}"):
        documents_of(kind, wanted)


def in_documents(batches: Iterable[list[Record]]) -> list[list[str]]:
    """The texts of each document."""
    found: list[list[str]] = [[]]
    for batch in batches:
        for record in batch:
            found[-1].append(record.text)
            if not record.goes_on:
                found.append([])
        assert found[-1] == []  # a batch ends with a document
    return found[:-1]


def small_pieces(data: bytes, size: int, reading: Reading) -> list[list[Record]]:
    """The records of a file of which ``size`` bytes are read at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "byte_blocks", partial(byte_blocks, size=size))
        return list(read_records(io.BytesIO(data), "x", reading))


@given(
    st.lists(st.sampled_from(["a", "b c", "d e f", "", "", " ", "\r"]), max_size=30),
    st.integers(1, 9),
)
def test_documents_do_not_depend_on_the_size_of_a_read(lines: list[str], size: int) -> None:
    data = "".join(f"{line}\n" for line in lines).encode()
    lines = [line.rstrip("\r") for line in lines]
    paragraphs: list[list[str]] = [[]]
    for line in lines:
        paragraphs[-1].append(line)
        if not line.strip():
            paragraphs.append([])
    expected = {"record": [[line] for line in lines], "paragraph": [p for p in paragraphs if p]}
    for unit, documents in expected.items():
        assert in_documents(small_pieces(data, size, Reading(documents=unit))) == documents
    assert in_documents(small_pieces(data, 1 << 18, Reading(documents="file"))) == [lines] * bool(
        lines
    )


CONLL = [
    "a\n",
    "b c\n",
    "a\n",
    "\n",
    " \n",
    "\r\n",
    "-DOCSTART-\n",
    "# c\n",
    "x-DOCSTART-\n",
    "é\xff\n",
]


@given(st.lists(st.sampled_from(CONLL), max_size=30), st.integers(1, 30), st.integers(1, 4))
def test_a_column_file_is_the_same_in_pieces_of_any_size(
    lines: list[str], size: int, looked_at: int
) -> None:
    data = "".join(lines).encode().replace(b"\xc3\xbf", b"\xff")
    told: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "LOOKED_AT", looked_at)
        whole = corpus.read_sentences(
            decode(data, "utf-8").replace("\r", "").split("\n"), "x",
            report=lambda e: told.append(str(e)), encoding="utf-8",
        )  # fmt: skip
        expected: list[list[str]] = []
        for sentence in whole:
            if sentence.opens_document:
                expected.append([])
            expected[-1].append(" ".join(sentence.words))
        reports: list[str] = []
        reading = Reading("conll", "docstart", report=lambda e: reports.append(str(e)))
        assert in_documents(small_pieces(data, size, reading)) == expected
    if expected or size > len(data):  # else the first pieces may not tell how many columns
        assert reports == told


@given(
    st.lists(
        st.sampled_from(['a,"b', 'c"', "d,e", "", '"', '""', 'x,"y"', "f", "\r"]), max_size=20
    ),
    st.integers(1, 20),
)
def test_a_table_is_the_same_in_pieces_of_any_size(lines: list[str], size: int) -> None:
    data = "\n".join(["id,text", *lines]).encode()

    def told(size: int) -> tuple[list[str], list[str]]:
        reports: list[str] = []
        reading = Reading("csv", report=lambda e: reports.append(str(e)))
        return [r.fields for r in chain(*small_pieces(data, size, reading))], reports

    assert told(size) == told(1 << 18)


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(8, 20))
@example([0, 0, 0, 3, 5, 5, 3], 8)
def test_a_very_long_document_is_cut_and_nothing_is_lost(lengths: list[int], size: int) -> None:
    lines = ["a" * n + "." for n in lengths]
    data = "".join(f"{line}\n" for line in lines).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "_LONGEST", size)
        for unit in ("paragraph", "file"):
            got = in_documents(small_pieces(data, size, Reading("text", unit)))
            assert list(chain(*got)) == lines
            # What was held, the line that had begun, and one read.
            assert all(len("".join(part)) < 3 * size for part in got)


@pytest.mark.parametrize("unit", ["record", "paragraph", "file"])
def test_a_document_is_seen_whole_and_nothing_else(
    rich: Path, unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[int]] = []
    model = load_model(rich)

    def spy(words: list[str], starts: np.ndarray, documents: np.ndarray) -> object:
        seen.append(starts[documents].tolist())
        return predict(words, starts, documents)

    predict: Callable[..., object] = model.predict
    monkeypatch.setattr(model, "predict", spy)
    file = io.BytesIO(b"One two.\nThree. Four.\n\nFive.\n\n")
    list(prediction.predict(model, read_records(file, "x", Reading(documents=unit))))
    assert seen == [{"record": [0, 3, 7, 9], "paragraph": [0, 7, 9], "file": [0, 9]}[unit]]
