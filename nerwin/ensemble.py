"""Several models as one: the mean of their probabilities (Breiman, 1996)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nerwin.decoding import Decoded, Labels, best_labels, to_entities
from nerwin.engine.types import Array, Indices
from nerwin.errors import ConfigError
from nerwin.model import Model
from nerwin.options import ModelOptions

_TINY = 1e-9


class Ensemble:
    """Models of the same types and tags; each is asked, so n of them take n times as long.

    Raises ConfigError if they differ in types or tags.
    """

    def __init__(self, models: Sequence[Model]) -> None:
        check_alike(models)
        self.models = models
        self.types = models[0].types
        self.options: ModelOptions = models[0].options
        self.labels: Labels = models[0].labels

    @property
    def sees_documents(self) -> bool:
        """Whether it matters to a model what one document is."""
        return any(model.sees_documents for model in self.models)

    def probabilities(
        self,
        tokens: Sequence[str],
        starts: Indices,
        documents: Indices,
        own: Indices | None = None,
    ) -> Array:
        """P (N, K) of each label of each token, see ``Model.probabilities``."""
        P = np.zeros((len(tokens), len(self.labels)), np.float32)
        for model in self.models:
            P += model.probabilities(tokens, starts, documents, own)
        P /= len(self.models)
        return P

    def scores(self, tokens: Sequence[str], starts: Indices, documents: Indices) -> Array:
        """S (N, K): the logarithms of the probabilities."""
        S: Array = np.log(self.probabilities(tokens, starts, documents) + _TINY)
        return S

    def predict(self, tokens: Sequence[str], starts: Indices, documents: Indices) -> Decoded:
        """The entities among the tokens, with their scores, which are not calibrated."""
        return self.decode(self.scores(tokens, starts, documents), starts)

    def decode(self, S: Array, starts: Indices) -> Decoded:
        """The entities that scores S (N, K) mean, with their scores."""
        best = best_labels(S, self.labels, starts)
        return to_entities(best, np.exp(S[best > 0]), self.labels, starts)


def check_alike(models: Sequence[Model]) -> None:
    """Raise ConfigError if models differ in types or tags."""
    first = models[0]
    for model in models[1:]:
        if model.labels != first.labels:
            told = (f"{', '.join(m.types)} as {m.options.tags}" for m in (first, model))
            raise ConfigError(f"models of different types or tags: {'; '.join(told)}")
