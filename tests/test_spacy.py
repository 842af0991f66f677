"""The component of a spaCy pipeline, against the real spaCy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import nerwin
from nerwin.records import Record
from nerwin.resources import shipped
from nerwin.text.corpus import read_corpus

pytestmark = pytest.mark.filterwarnings("ignore")  # spaCy's own


@pytest.fixture(scope="module")
def spacy() -> Any:
    return pytest.importorskip("spacy", reason="spaCy is not installed")


def pipeline(spacy: Any, run: Path, *before: str, **config: Any) -> Any:
    from nerwin import spacy_component  # registers it where nerwin is not installed  # noqa: F401

    nlp = spacy.blank("en")
    for name in before:
        nlp.add_pipe(name)
    nlp.add_pipe("nerwin", config={"model": str(run), **config})
    return nlp


@pytest.fixture(scope="module")
def text() -> str:
    words = read_corpus(shipped("data/demo/dev.conll")).words[:400]
    return "  \n" + " ".join(words).replace(" .", ".\n\n") + "\t (the end)"


def found(doc: Any) -> list[tuple[int, int, str]]:
    return [(span.start_char, span.end_char, span.label_) for span in doc.ents]


@pytest.mark.parametrize("before", [(), ("sentencizer",)])
def test_the_model_sees_spacys_own_tokens_and_sentences(
    spacy: Any, trained: Path, text: str, before: tuple[str, ...]
) -> None:
    doc = pipeline(spacy, trained, *before)(text)
    plain = spacy.blank("en")
    for name in before:
        plain.add_pipe(name)
    expected = plain(text)
    assert [t.text for t in doc] == [t.text for t in expected]
    tokens = [t for t in expected if not t.is_space]
    words = [t.text for t in tokens]
    if before:
        starts = [i for i, t in enumerate(tokens) if not i or t.sent != tokens[i - 1].sent]
    else:
        from nerwin.text.tokenizer import split_sentences

        ends = [end for _, end in split_sentences(text)]
        sentence = [sum(t.idx >= end for end in ends) for t in tokens]
        starts = [i for i, s in enumerate(sentence) if not i or s != sentence[i - 1]]
    tagger = nerwin.load(trained)
    (block,) = tagger.blocks([Record(text, words, [*starts, len(words)])])
    (entities,) = block.entities()
    assert len(entities) > 5
    assert found(doc) == [(e.start, e.end, e.type) for e in entities]


def test_a_pipe_finds_what_single_documents_hold(spacy: Any, trained: Path, text: str) -> None:
    nlp = pipeline(spacy, trained, "sentencizer")
    texts = ["", " ", *text.split("\n"), text] * 3
    docs = list(nlp.pipe(texts, batch_size=7))
    assert [doc.text for doc in docs] == texts
    assert [found(doc) for doc in docs] == [found(nlp(x)) for x in texts]
    with_context = list(nlp.pipe([(x, i) for i, x in enumerate(texts)], as_tuples=True))
    assert [i for _, i in with_context] == list(range(len(texts)))


def test_entities_that_are_there_already_stay(spacy: Any, trained: Path, text: str) -> None:
    alone = pipeline(spacy, trained)(text)
    first, second = alone.ents[:2]
    nlp = pipeline(spacy, trained)
    ruler = nlp.add_pipe("entity_ruler", before="nerwin")
    end = alone[first.end].text
    pattern = [{"TEXT": t.text} for t in first] + [{"TEXT": end}]
    ruler.add_patterns([{"label": "MINE", "pattern": pattern}])
    doc = nlp(text)
    assert doc.ents[0].label_ == "MINE"
    assert doc.ents[0].text == alone[first.start : first.end + 1].text
    assert found(doc)[1] == (second.start_char, second.end_char, second.label_)


def test_low_scores_are_left_out_and_labels_are_told(spacy: Any, trained: Path, text: str) -> None:
    every = pipeline(spacy, trained)(text).ents
    scores = sorted(entity.score for entity in nerwin.load(trained)(text).entities)
    sure = pipeline(spacy, trained, min_score=scores[len(scores) // 2])(text).ents
    assert 0 < len(sure) < len(every)
    assert pipeline(spacy, trained).pipe_labels["nerwin"] == ["LOC", "MISC", "ORG", "PER"]


def test_a_saved_pipeline_comes_back(spacy: Any, trained: Path, text: str, tmp_path: Path) -> None:
    nlp = pipeline(spacy, trained)
    nlp.to_disk(tmp_path / "nlp")
    assert found(spacy.load(tmp_path / "nlp")(text)) == found(nlp(text))


def test_tokens_with_spaces_in_them(spacy: Any, trained: Path, text: str) -> None:
    nlp = pipeline(spacy, trained)
    doc = spacy.blank("en")(text)
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[3:6])
        retokenizer.merge(doc[9:11])
    (component,) = (pipe for name, pipe in nlp.pipeline if name == "nerwin")
    for span in component(doc).ents:
        assert span.text == text[span.start_char : span.end_char]
