"""The demo corpus keeps its promises."""

from __future__ import annotations

import runpy
from collections import Counter

import pytest

from nerwin.resources import shipped
from nerwin.text.corpus import read_corpus
from nerwin.text.tags import detect_scheme, read_tags
from nerwin.text.vectors import load_vectors

SPLITS = ("train", "dev", "test")
MAKE = shipped("data/make_demo.py")


def lines(split: str) -> list[str]:
    text = shipped(f"data/demo/source/{split}.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line]


@pytest.mark.parametrize("split", SPLITS)
def test_the_conll_files_are_up_to_date(split: str) -> None:
    to_conll = runpy.run_path(str(MAKE))["to_conll"]
    source = shipped(f"data/demo/source/{split}.txt").read_text(encoding="utf-8")
    assert shipped(f"data/demo/{split}.conll").read_text(encoding="utf-8") == to_conll(source)


@pytest.mark.parametrize(("split", "sentences"), [("train", 500), ("dev", 120), ("test", 120)])
def test_the_splits_are_large_enough_and_well_formed(split: str, sentences: int) -> None:
    corpus = read_corpus(shipped(f"data/demo/{split}.conll"))
    assert len(corpus.starts) - 1 >= sentences
    assert detect_scheme(corpus.tags[0], corpus.starts) == ("IOB2", 0)
    spans = read_tags(corpus.tags[0], corpus.starts)
    assert spans.types == ("LOC", "MISC", "ORG", "PER")
    assert min(Counter(spans.type.tolist()).values()) >= 20


def test_no_sentence_stands_twice() -> None:
    counts = Counter(line for split in SPLITS for line in lines(split))
    assert [line for line, count in counts.items() if count > 1] == []


def names(split: str) -> set[str]:
    corpus = read_corpus(shipped(f"data/demo/{split}.conll"))
    spans = read_tags(corpus.tags[0], corpus.starts)
    ends = zip(spans.start, spans.end, strict=True)
    return {" ".join(corpus.words[start:end]) for start, end in ends}


def test_most_names_of_the_test_split_are_new() -> None:
    assert len(names("test") - names("train")) > 0.5 * len(names("test"))


def test_some_names_have_several_types() -> None:
    corpus = read_corpus(shipped("data/demo/train.conll"))
    spans = read_tags(corpus.tags[0], corpus.starts)
    types: dict[str, set[int]] = {}
    for start, end, kind in zip(spans.start, spans.end, spans.type, strict=True):
        types.setdefault(" ".join(corpus.words[start:end]), set()).add(int(kind))
    assert len([name for name, kinds in types.items() if len(kinds) > 1]) >= 15


def test_the_vectors_are_small_and_sound() -> None:
    path = shipped("data/demo/vectors.txt")
    assert path.stat().st_size < 3e6
    assert load_vectors(str(path)).matrix.shape[1] == 50
