"""What is measured on: a corpus, vectors, texts made of the corpus, and trained models."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from measuring import HERE, NERWIN, installed, run, tell
from rawtext import detokenize

from nerwin.gold import Gold, read_gold
from nerwin.options import DataOptions
from nerwin.text.vectors import WordVectors, load_vectors

PEERS = HERE / "peers"


@dataclass(frozen=True, slots=True)
class Text:
    """A text and its number of tokens, and a tenth of it, for who is slow."""

    path: Path
    tokens: int
    short: Path
    short_tokens: int


@dataclass
class Material:
    """Files that are given, and those that are made of them, once each, when first asked for.

    train, dev, vectors  as for ``nerwin train``
    folder               for what is made; models that are there are used again
    quick                measure less, only to see that all works
    train_spacy          train a model of spaCy, which takes minutes
    given                folders of trained models, under lecture, rich, two_passes and spacy
    """

    train: str
    dev: str
    vectors: str
    folder: Path
    quick: bool
    train_spacy: bool
    given: dict[str, Path | None]

    @cached_property
    def gold(self) -> Gold:
        """The training data."""
        return read_gold(self.train, DataOptions())

    @cached_property
    def words(self) -> WordVectors:
        """The vectors."""
        return load_vectors(self.vectors)

    @cached_property
    def lecture(self) -> Path:
        """A run of the lecture's model."""
        return self._run("lecture")

    @cached_property
    def rich(self) -> Path:
        """A run of the model for real data."""
        return self._run("rich", "conll2003")

    def command(self, config: str, *options: str) -> list[str]:
        """To train by nerwin."""
        data = ["--train", self.train, "--dev", self.dev, "--vectors", self.vectors]
        return [*NERWIN, "train", config, *data, *options]

    def _run(self, name: str, config: str = "") -> Path:
        epochs = ("--epochs", "1") if self.quick else ()
        place = self._place(name)
        if not self.given.get(name) and not (place / "metrics.json").exists():
            tell(f"training {place}")
            resumed = place.exists()
            command = self.command(config or name, "--output", str(place), *epochs)
            run([*NERWIN, "train", "--resume", str(place)] if resumed else command)
        return place

    @cached_property
    def crfsuite(self) -> Path | None:
        """A model of CRFsuite; none if it is not installed."""
        if not installed("pycrfsuite"):
            return None
        place = self._place("crfsuite")
        if not place.exists():
            tell(f"training {place}")
            place.parent.mkdir(parents=True, exist_ok=True)  # CRFsuite would not say
            iterations = "5" if self.quick else "100"
            run([*self.peer("crfsuite_tagger.py", "train"), self.train, place, iterations])
        return place

    @cached_property
    def spacy(self) -> Path | None:
        """A model of spaCy; none if it is not installed, or there is none."""
        if not installed("spacy"):
            return None
        place = self._place("spacy")
        if not place.exists():
            if not self.train_spacy:
                tell("spaCy is left out: give --spacy MODEL, or say --train-spacy")
                return None
            tell(f"training {place}")
            steps = "20" if self.quick else "20000"
            files = self.train, self.dev, self.vectors, place
            run([*self.peer("spacy_cnn.py", "train"), *files, steps])
        return place

    def peer(self, script: str, *arguments: str) -> list[str]:
        """A command that runs one of the peers."""
        return [sys.executable, str(PEERS / script), *arguments]

    def _place(self, name: str) -> Path:
        """The folder that is given, or one for a model of our own."""
        return self.given.get(name) or self.folder / f"{name}{'-quick' if self.quick else ''}"

    @cached_property
    def _dev(self) -> Gold:
        return read_gold(self.dev, DataOptions())

    @cached_property
    def tokenized(self) -> Text:
        """The dev data as tokenized text, many times over."""
        bounds = zip(self._dev.starts, self._dev.starts[1:], strict=False)
        return self._text("tokenized", [" ".join(self._dev.words[a:b]) for a, b in bounds])

    @cached_property
    def raw(self) -> Text:
        """The same as a newspaper prints it."""
        return self._text("raw", detokenize(self._dev)[0].lines)

    def _text(self, name: str, lines: list[str]) -> Text:
        os.makedirs(self.folder, exist_ok=True)
        once = "".join(f"{line}\n" for line in lines)
        long, short = (1, 1) if self.quick else (100, 10)
        for path, times in ((f"{name}.txt", long), (f"{name}-short.txt", short)):
            (self.folder / path).write_text(once * times, encoding="utf-8")
        tokens = len(self._dev.words)
        return Text(
            self.folder / f"{name}.txt",
            long * tokens,
            self.folder / f"{name}-short.txt",
            short * tokens,
        )
