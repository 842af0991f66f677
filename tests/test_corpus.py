from __future__ import annotations

import gzip
from itertools import pairwise
from pathlib import Path

import pytest

from nerwin.errors import DataError
from nerwin.text.corpus import Corpus, read_corpus, read_sentences, split_columns


@pytest.fixture
def corpus(tmp_path: Path):
    def read(content: str | bytes, name: str = "corpus.conll", **options: object) -> Corpus:
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return read_corpus(tmp_path / name, **options)

    return read


def sentences(corpus: Corpus) -> list[list[str]]:
    starts = corpus.starts.tolist()
    return [corpus.words[a:b] for a, b in pairwise(starts)]


TWO = [["Paris", "Hilton"], ["sings"]]


@pytest.mark.parametrize(
    "content",
    [
        "Paris B-PER\nHilton I-PER\n\nsings O\n",
        "Paris\tB-PER\nHilton\tI-PER\n\nsings\tO\n",
        "Paris   B-PER  \n Hilton I-PER\n\nsings O\n",
        "Paris NNP B-PER\nHilton NNP I-PER\n\nsings VBZ O\n",
        "Paris NNP I-NP B-PER\nHilton NNP I-NP I-PER\n\nsings VBZ I-VP O\n",
        "Paris\tNNP\tI-NP\tB-PER\nHilton\t\tI-NP\tI-PER\n\nsings\ta b\tI-VP\tO\n",
        "Paris B-PER\r\nHilton I-PER\r\n\r\nsings O\r\n",
        "\ufeffParis B-PER\nHilton I-PER\n\nsings O\n",
        "\ufeff\n\nParis B-PER\nHilton I-PER\n\nsings O\n",
        "Paris B-PER\nHilton I-PER\n\nsings O",
        "Paris B-PER\nHilton I-PER\n\nsings O\n\n\n\n",
        "\n\n\nParis B-PER\nHilton I-PER\n\n\n\n\nsings O\n",
        "Paris B-PER\nHilton I-PER\n \t \nsings O\n  \n",
        "# id = 1\n#\nParis B-PER\nHilton I-PER\n\n# id = 2\nsings O\n\n# end\n",
        "# B-PER is no tag of this line\nParis B-PER\nHilton I-PER\n\nsings O\n",
    ],
)
def test_layouts_of_one_corpus(corpus, content: str) -> None:
    read = corpus(content)
    assert sentences(read) == TWO
    assert read.tags == [["B-PER", "I-PER", "O"]]
    assert read.documents.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "words", "tags"),
    [
        ({"token_column": 1, "tag_columns": (2,)}, ["a"], [["O"]]),
        ({"token_column": -3, "tag_columns": (-2, -1)}, ["a"], [["O"], ["B-X"]]),
        ({"token_column": 0, "tag_columns": (3, 2)}, ["7"], [["B-X"], ["O"]]),
        ({"token_column": -1, "tag_columns": ()}, ["B-X"], []),
    ],
)
def test_columns_can_be_chosen(corpus, options, words, tags) -> None:
    read = corpus("7 a O B-X\n", **options)
    assert (read.words, read.tags) == (words, tags)


def test_docstart_opens_documents_and_ends_sentences(corpus) -> None:
    read = corpus(
        "-DOCSTART- -X- O O\n\na . . O\n\nb . . O\n-DOCSTART- -X- O O\nc . . O\n\n"
        "-DOCSTART-\n\n-DOCSTART- O\n\nd . . O\n\ne . . O\n\n-DOCSTART- -X- O O\n"
    )
    assert sentences(read) == [["a"], ["b"], ["c"], ["d"], ["e"]]
    assert read.documents.tolist() == [0, 2, 3, 5]


def test_sentences_before_the_first_docstart_are_a_document(corpus) -> None:
    assert corpus("a O\n\n-DOCSTART- O\n\nb O\n").documents.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("before", "documents"), [(999, [0, 999, 1001]), (1000, [*range(1001), 1002])]
)
def test_documents_are_marked_early_or_each_sentence_is_one(corpus, before, documents) -> None:
    content = "a O\n\n" * before + "-DOCSTART- O\n\nb O\n\nc O\n\n"
    assert corpus(content).documents.tolist() == documents


@pytest.mark.parametrize("end", ["", "-DOCSTART- O\n"])
def test_without_marked_documents_each_sentence_is_one(corpus, end) -> None:
    assert corpus("a O\n\nb O\nc O\n\nd O\n\n" + end).documents.tolist() == [0, 1, 2, 3]


def test_a_hash_with_a_tag_is_a_token(corpus) -> None:
    read = corpus("# O\n#tag B-X\n\nno O\n# O\n#1 O\n\n#2 O\n")
    assert sentences(read) == [["#", "#tag"], ["no", "#", "#1"], ["#2"]]


def test_without_tag_columns_a_lone_hash_is_a_token_and_a_remark_a_comment() -> None:
    lines = ["#", "#tag", "", "# a remark", "word"]
    assert [s.words for s in read_sentences(lines, "x")] == [["#", "#tag"], ["word"]]


@pytest.mark.parametrize("token", ["1\u00a0000", "a\u2028b", "a\x0cb", "\x0b", "\x85", "\u3000"])
@pytest.mark.parametrize("gap", [" ", "\t"])
def test_only_spaces_and_tabs_part_columns_and_only_newlines_end_lines(
    corpus, token: str, gap: str
) -> None:
    assert corpus(f"{token}{gap}O\nb{gap}O\n").words == [token, "b"]


def test_columns_may_be_empty_between_tabs_but_not_between_spaces() -> None:
    assert split_columns("a\t\tb c\tO\n".strip("\n")) == ["a", "", "b c", "O"]
    assert split_columns("a   b") == ["a", "b"]
    assert split_columns(" \t ") == []


@pytest.mark.parametrize("name", ["c.conll.gz", "c.gz"])
def test_compressed_files(corpus, name: str) -> None:
    assert corpus("a O\n", name).words == ["a"]


def test_other_encodings(corpus) -> None:
    assert corpus("Zürich B-LOC\n".encode("latin-1"), encoding="latin-1").words == ["Zürich"]


@pytest.mark.parametrize(
    ("content", "place", "message"),
    [
        (b"a O\n\nZ\xfcrich O\n", ":3: ", "byte 0xfc is not utf-8"),
        ("a NN O\nb NN O\nc O\n", ":3: ", "2 columns where the lines before have 3"),
        ("a O\nb NN O\n", ":2: ", "3 columns"),
        ("a\tO\nb\t\n", ":2: ", "1 columns where"),
        ("a O\n\n\nb X-LOC\n", ":4: ", "'X-LOC' in column -1 is not a tag"),
        ("a O\n# a remark\nb O\n", ":2: ", "columns"),
        ("\nword\n", ":2: ", "1 column where a word and a tag are needed"),
        ("a\tx\tO\n\tx\tO\n", ":2: ", ""),
        ("", ": ", "holds no token"),
        ("\n \n\n-DOCSTART- O\n# x y\n", ": ", "holds no token"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(corpus, content, place: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        corpus(content)
    assert f"corpus.conll{place}" in str(caught.value)
    assert message in str(caught.value)


def test_a_column_that_is_not_there_is_named(corpus) -> None:
    with pytest.raises(DataError, match=r"corpus.conll:1: has no column 5: the line has 2"):
        corpus("a O\n", tag_columns=(5,))
    with pytest.raises(DataError, match=r"has no column -3"):
        corpus("a O\n", token_column=-3)


def test_one_column_cannot_be_word_and_tag(corpus) -> None:
    with pytest.raises(DataError, match="2 columns where a word and two tags are needed"):
        corpus("a O\n", tag_columns=(-2, -1))


def test_a_file_of_many_sentences_keeps_them_all(corpus) -> None:
    content = "".join(f"w{i} O\n\n" if i % 3 else f"w{i} B-X\n" for i in range(30_000))
    read = corpus(content)
    assert read.words == [f"w{i}" for i in range(30_000)]
    assert read.starts[-1] == 30_000
    assert len(read.starts) - 1 == content.count("\n\n")
