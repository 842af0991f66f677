"""Gold and predicted entities -> precision, recall and F1, as conlleval counts them.

An entity is right if its first token, its last token and its type are those of a gold one
(Tjong Kim Sang and De Meulder, 2003).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from nerwin.gold import Gold
from nerwin.model import Model
from nerwin.text.tags import Spans, write_tags


@dataclass(frozen=True, slots=True)
class Counts:
    """Entities that are in the gold, that were predicted, and that are in both."""

    gold: int
    predicted: int
    correct: int

    @property
    def precision(self) -> float:
        """Share of the predicted entities that are right; 0 if there are none."""
        return self.correct / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """Share of the gold entities that were found; 0 if there are none."""
        return self.correct / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 if both are."""
        both = self.gold + self.predicted
        return 2 * self.correct / both if both else 0.0

    def as_dict(self) -> dict[str, float]:
        """Fractions, and the number of gold entities as ``support``."""
        return {
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "support": self.gold,
        }


@dataclass(frozen=True, slots=True)
class Scores:
    """Counts per type and over all (micro average), and the share of tokens with the right tag."""

    overall: Counts
    types: dict[str, Counts]
    accuracy: float

    def as_dict(self) -> dict[str, Any]:
        """As in metrics.json and ``evaluate --json``."""
        return {
            **self.overall.as_dict(),
            "accuracy": self.accuracy,
            "types": {name: counts.as_dict() for name, counts in self.types.items()},
        }


def evaluate(model: Model, gold: Gold) -> Scores:
    """Find the entities of a gold file's tokens with a model, and compare.

    If the model was made for chosen types, gold entities of others do not count.
    """
    with threadpool_limits(1, "blas"):
        predicted = model.predict(gold.words, gold.starts, gold.documents).spans
    spans, tags = gold.spans, gold.tags
    if model.options.types:
        spans = keep_types(spans, model.types)
        tags = write_tags(spans, gold.starts, gold.scheme)
    return score(spans, predicted, tags, write_tags(predicted, gold.starts, gold.scheme))


def score(gold: Spans, predicted: Spans, gold_tags: list[str], predicted_tags: list[str]) -> Scores:
    """Compare two analyses of the same tokens."""
    same = sum(a == b for a, b in zip(gold_tags, predicted_tags, strict=True))
    accuracy = same / len(gold_tags) if gold_tags else 0.0
    # No two entities of one analysis start at the same token, so starts pair them up.
    _, i, j = np.intersect1d(gold.start, predicted.start, assume_unique=True, return_indices=True)
    gold_types, predicted_types = np.array(gold.types, object), np.array(predicted.types, object)
    alike = (gold.end[i] == predicted.end[j]) & (
        gold_types[gold.type[i]] == predicted_types[predicted.type[j]]
    )
    right = gold.type[i[alike]]
    types = {}
    for name in sorted({*gold.types, *predicted.types}):
        types[name] = Counts(
            gold=_count(gold.type, gold.types, name),
            predicted=_count(predicted.type, predicted.types, name),
            correct=_count(right, gold.types, name),
        )
    overall = Counts(len(gold), len(predicted), len(right))
    return Scores(overall, types, accuracy)


def keep_types(spans: Spans, types: Iterable[str]) -> Spans:
    """Only the entities of some types."""
    names = set(types)
    wanted = [i for i, name in enumerate(spans.types) if name in names]
    kept = np.isin(spans.type, wanted)
    renumber = np.full(len(spans.types) + 1, -1)
    renumber[wanted] = np.arange(len(wanted))
    return Spans(
        spans.start[kept],
        spans.end[kept],
        renumber[spans.type[kept]],
        tuple(spans.types[i] for i in wanted),
    )


def _count(numbers: np.ndarray, names: tuple[str, ...], name: str) -> int:
    return int((numbers == names.index(name)).sum()) if name in names else 0
