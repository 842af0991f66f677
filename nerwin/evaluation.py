"""Gold and predicted entities -> precision, recall and F1, as conlleval counts them.

An entity is right if its first token, its last token and its type are those of a gold one
(Tjong Kim Sang and De Meulder, 2003). And are the scores of entities what they say, probabilities?
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from nerwin.engine.blas import one_thread
from nerwin.engine.types import Array
from nerwin.ensemble import Ensemble
from nerwin.gold import Gold
from nerwin.model import Model
from nerwin.text.tags import Spans, write_tags

_TOKENS = 1 << 12  # of documents that are scored at once


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
    """Counts per type and over all (micro average), and the share of tokens with the right tag.

    calibration_error  of the entities' scores, see ``expected_calibration_error``; None without
    """

    overall: Counts
    types: dict[str, Counts]
    accuracy: float
    calibration_error: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """As in metrics.json and ``evaluate --json``."""
        return {
            **self.overall.as_dict(),
            "accuracy": self.accuracy,
            "calibration_error": self.calibration_error,
            "types": {name: counts.as_dict() for name, counts in self.types.items()},
        }


def evaluate(model: Model | Ensemble, gold: Gold) -> Scores:
    """Find the entities of a gold file's tokens with a model, and compare.

    If the model was made for chosen types, gold entities of others do not count.
    """
    return measure(model, gold, scores_of(model, gold))


def scores_of(model: Model | Ensemble, gold: Gold) -> Array:
    """S (N, K): the score of each label for the tokens of a gold file, some documents at a time."""
    S = np.empty((len(gold.words), len(model.labels)), np.float32)
    opens = gold.starts[gold.documents]
    _, first = np.unique(opens[:-1] // _TOKENS, return_index=True)
    with one_thread():
        for i, j in pairwise([*first.tolist(), len(opens) - 1]):
            documents = gold.documents[i : j + 1]
            starts = gold.starts[documents[0] : documents[-1] + 1]
            words = slice(opens[i], opens[j])
            S[words] = model.scores(gold.words[words], starts - opens[i], documents - documents[0])
    return S


def measure(model: Model | Ensemble, gold: Gold, S: Array) -> Scores:
    """``evaluate`` where S, the scores of labels, is known already."""
    found = model.decode(S, gold.starts)
    spans, tags = wanted(model, gold), gold.tags
    if spans is not gold.spans:
        tags = write_tags(spans, gold.starts, gold.scheme)
    scores = score(spans, found.spans, tags, write_tags(found.spans, gold.starts, gold.scheme))
    right = are_right(spans, found.spans)
    return replace(scores, calibration_error=expected_calibration_error(found.scores, right))


def wanted(model: Model | Ensemble, gold: Gold) -> Spans:
    """The gold entities that count: if the model was made for chosen types, those alone."""
    return keep_types(gold.spans, model.types) if model.options.types else gold.spans


def score(gold: Spans, predicted: Spans, gold_tags: list[str], predicted_tags: list[str]) -> Scores:
    """Compare two analyses of the same tokens."""
    same = sum(a == b for a, b in zip(gold_tags, predicted_tags, strict=True))
    accuracy = same / len(gold_tags) if gold_tags else 0.0
    right = predicted.type[are_right(gold, predicted)]
    types = {}
    for name in sorted({*gold.types, *predicted.types}):
        types[name] = Counts(
            gold=_count(gold.type, gold.types, name),
            predicted=_count(predicted.type, predicted.types, name),
            correct=_count(right, predicted.types, name),
        )
    overall = Counts(len(gold), len(predicted), len(right))
    return Scores(overall, types, accuracy)


def are_right(gold: Spans, predicted: Spans) -> np.ndarray:
    """Whether each predicted entity is one of the gold ones: (n,) of bool."""
    # No two entities of one analysis start at the same token, so starts pair them up.
    _, i, j = np.intersect1d(gold.start, predicted.start, assume_unique=True, return_indices=True)
    gold_types, predicted_types = np.array(gold.types, object), np.array(predicted.types, object)
    right = np.zeros(len(predicted), bool)
    right[j] = (gold.end[i] == predicted.end[j]) & (
        gold_types[gold.type[i]] == predicted_types[predicted.type[j]]
    )
    return right


def expected_calibration_error(p: Array, right: np.ndarray, bins: int = 10) -> float:
    """How far p (n,) is from the share that is right (n,): Σ_b n_b/n |share right − mean p|.

    The sum is over bins of equal width, (0, 0.1], …, (0.9, 1] (Guo et al., 2017, equation 3).
    0 if there is no entity.
    """
    if not len(p):
        return 0.0
    bin_of = np.clip(np.ceil(p.astype(np.float64) * bins).astype(np.intp) - 1, 0, bins - 1)
    gaps = np.bincount(bin_of, right - p.astype(np.float64), minlength=bins)
    return float(np.abs(gaps).sum() / len(p))


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
