"""A trained model from Python: text in, entities out; and training one.

import nerwin

tagger = nerwin.load("runs/demo")
for entity in tagger("Paris Hilton flew to Paris.").entities:
    print(entity.text, entity.type, entity.score)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nerwin.config import find_config, load_config
from nerwin.errors import ConfigError, did_you_mean
from nerwin.model import Model
from nerwin.modeldir import load_model
from nerwin.options import SECTIONS
from nerwin.prediction import Block, Entity, predict
from nerwin.records import Record, text_record
from nerwin.text.vocabulary import SPECIAL

if TYPE_CHECKING:
    from nerwin.metrics import Epoch

_TEXTS, _TOKENS = 256, 20_000  # in a batch, at most; the last document may go beyond them


@dataclass(frozen=True, slots=True)
class Doc:
    """A text and what was found in it.

    tokens    as the model saw them
    entities  in order, not overlapping; ``text[e.start:e.end]`` is ``e.text``
    """

    text: str
    tokens: list[str]
    entities: list[Entity]


class Tagger:
    """A trained model. Each text that it gets is a document, for a model that sees documents."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def __call__(self, text: str) -> Doc:
        """The entities of one text."""
        return next(self.pipe([text]))

    def pipe(self, texts: Iterable[str]) -> Iterator[Doc]:
        """The entities of many texts, one by one and in order; much faster than to call for each.

        Reads a few hundred texts ahead and no more, so there may be any number of them.
        """
        for block in self.blocks(text_record(text) for text in texts):
            for record, entities in zip(block.records, block.entities(), strict=True):
                yield Doc(record.text, record.words, entities)

    def blocks(self, records: Iterable[Record]) -> Iterator[Block]:
        """What is found in many records, in batches of a good size."""
        return predict(self.model, _batches(records))

    @property
    def types(self) -> tuple[str, ...]:
        """The types of entity that it knows."""
        return self.model.types

    @cached_property
    def vectors(self) -> Any:
        """The word vectors, as training has left them: a gensim KeyedVectors."""
        from nerwin.text.vectorfiles import import_gensim

        model = self.model
        E, words = model.parameters["E"], model.lexicon.vocabulary.words
        keyed = import_gensim()(E.shape[1])
        # As its readers do; add_vectors would take seconds.
        keyed.index_to_key, keyed.key_to_index = words, {w: i for i, w in enumerate(words)}
        keyed.vectors = np.concatenate((E[len(SPECIAL) :], model.untouched[:]))
        return keyed


def load(run: str | Path) -> Tagger:
    """The best model of a run, by its folder.

    Raises ConfigError if the folder is not a run's, DataError if a file in it is damaged.
    """
    return Tagger(load_model(Path(run)))


def train(
    config: str | Path | None = None,
    *,
    output: str | Path,
    overwrite: bool = False,
    on_epoch: Callable[[Epoch], None] | None = None,
    jobs: int = 1,
    **options: Any,
) -> Tagger:
    """Train a model and keep it in a folder, as ``nerwin train`` does.

    config    a TOML file, or the name of a configuration that comes with nerwin; demo, if neither
              it nor ``train`` is given
    output    the run's folder, which must not exist, or be a run's that may be overwritten
    on_epoch  called after each epoch
    jobs      how many models of a first pass are trained at once, and how many threads train one
    options   of any section, by name: ``epochs=5, hidden=(200, 100)``

    Raises ConfigError for options that cannot be, DataError for files that cannot be used. If it
    is interrupted, the folder keeps the last finished epoch.
    """
    from nerwin.training import Run

    path = find_config(str(config or "demo")) if config or "train" not in options else None
    sections = {option.name: s for s, cls in SECTIONS.items() for option in dataclasses.fields(cls)}
    for name in options:
        if name not in sections:
            hint = did_you_mean(name, sections) or f"there are {', '.join(sections)}"
            raise ConfigError(f"{name!r} is no option; {hint}")
    overrides = [(sections[name], name, value) for name, value in options.items()]
    run = Run.start(load_config(path, overrides), Path(output), overwrite=overwrite)
    try:
        for epoch in run.epochs(jobs=jobs):
            if on_epoch:
                on_epoch(epoch)
        run.finish()
    except BaseException:
        run.discard()
        raise
    return load(output)


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    tokens = 0
    for record in records:
        batch.append(record)
        tokens += len(record.words)
        if not record.goes_on and (len(batch) >= _TEXTS or tokens >= _TOKENS):
            yield batch
            batch = []
            tokens = 0
    if batch:
        yield batch
