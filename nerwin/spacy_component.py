"""A trained model as a component of a spaCy pipeline.

nlp = spacy.blank("en")
nlp.add_pipe("nerwin", config={"model": "runs/demo"})
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc

from nerwin.prediction import Entity
from nerwin.records import Record
from nerwin.tagger import load
from nerwin.text.tokenizer import split_sentences


@Language.factory(
    "nerwin",
    default_config={"min_score": 0.0},
    assigns=["doc.ents", "token.ent_iob", "token.ent_type"],
)
def make(nlp: Language, name: str, model: str, min_score: float) -> Component:
    """The component, with the model of a run's folder."""
    return Component(model, min_score)


class Component:
    """Sets ``doc.ents`` of spaCy's own tokens. Entities that are there already stay."""

    def __init__(self, model: str | Path, min_score: float = 0.0) -> None:
        self.tagger = load(model)
        self.min_score = min_score

    @property
    def labels(self) -> tuple[str, ...]:
        """The types of entity that it knows."""
        return self.tagger.types

    def __call__(self, doc: Doc) -> Doc:
        """Set the entities of one document."""
        return next(self.pipe([doc]))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Set the entities of many documents, some at a time."""
        stream = iter(stream)
        while docs := list(islice(stream, batch_size)):
            blocks = self.tagger.blocks(_record(doc) for doc in docs)
            found = chain.from_iterable(
                block.only(self.min_score, self.labels).entities() for block in blocks
            )
            for doc, entities in zip(docs, found, strict=True):
                _add(doc, entities)
                yield doc


def _record(doc: Doc) -> Record:
    """spaCy's tokens, without those that are only space, in spaCy's sentences if it has any."""
    tokens = [token for token in doc if not token.is_space]
    words = [token.text for token in tokens]
    if not doc.has_annotation("SENT_START"):
        places = [token.idx for token in tokens]
        ends = {bisect_left(places, end) for _, end in split_sentences(doc.text)}
        return Record(doc.text, words, sorted({0, *ends, len(words)}))
    starts = [0]
    for sentence in doc.sents:
        length = sum(not token.is_space for token in sentence)
        if length:
            starts.append(starts[-1] + length)
    return Record(doc.text, words, starts)


def _add(doc: Doc, entities: list[Entity]) -> None:
    before = list(doc.ents)
    taken = {token.i for span in before for token in span}
    found = [doc.char_span(e.start, e.end, label=e.type) for e in entities]
    doc.ents = [*before, *(span for span in found if taken.isdisjoint(t.i for t in span))]
