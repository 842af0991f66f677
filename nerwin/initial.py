"""How a model begins: its vocabulary, its tables and its random parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nerwin.classifier import Parameters, layer_names, one_against_rest
from nerwin.decoding import Labels
from nerwin.engine.types import Array, Indices
from nerwin.model import Model
from nerwin.options import Config, FeatureOptions, ModelOptions
from nerwin.storage import Picked
from nerwin.text.clusters import cluster
from nerwin.text.documents import width
from nerwin.text.features import frequent_values
from nerwin.text.gazetteers import EntityList
from nerwin.text.lexicon import Lexicon
from nerwin.text.ngrams import BUCKETS
from nerwin.text.vocabulary import PADDING, SPECIAL, UNKNOWN, Vocabulary

CLUSTERS = (100, 1000)


def new_model(
    config: Config,
    types: tuple[str, ...],
    tokens: Sequence[str],
    words: Sequence[str],
    vectors: Array,
    rng: np.random.Generator,
    lists: Mapping[str, Sequence[EntityList]] | None = None,
) -> Model:
    """An untrained model for the tokens of training data, from words and their vectors (V, D).

    lists  see ``Gazetteers``
    """
    options, features = config.model, config.features
    vocabulary, E, order = new_table(words, vectors, tokens, options, rng)
    values = {name: frequent_values(name, tokens) for name in features.of_tokens()}
    clusters = {}
    for k in CLUSTERS if features.clusters else ():
        rows = len(SPECIAL) + cluster(vectors, k, rng)[order]
        clusters[f"cluster{k}"] = np.concatenate(([UNKNOWN, PADDING], rows))
    buckets = BUCKETS if features.ngrams else 0
    lexicon = Lexicon(vocabulary, values, clusters, lists, buckets)
    coding = Labels(types, options.tags)
    tables = feature_tables(features, lexicon)
    dense = width(E.shape[1]) if features.documents else 0
    parameters = new_parameters(E, coding, options, rng, tables, dense)
    pretrained = E.copy() if features.documents or features.folds else E[:0]
    untouched = Picked(vectors, order[len(E) - len(SPECIAL) :])
    return Model(options, types, lexicon, parameters, untouched, pretrained)


def fresh_parameters(
    model: Model, features: FeatureOptions, dense: int, rng: np.random.Generator
) -> Parameters:
    """Parameters for another model like this one, which has E as it was before training.

    dense  how many dense numbers it reads
    """
    tables = feature_tables(features, model.lexicon)
    E = model.pretrained.copy()
    return new_parameters(E, model.labels, model.options, rng, tables, dense)


def new_table(
    words: Sequence[str],
    vectors: Array,
    tokens: Sequence[str],
    options: ModelOptions,
    rng: np.random.Generator,
) -> tuple[Vocabulary, Array, Indices]:
    """A vocabulary, E for the words that ``tokens`` use, which come first in it, and for each word
    of the vocabulary its number among ``words``.

    vectors  (V, D), row i for words[i]
    The unknown word starts as the mean of all vectors, a learned padding at random with their
    spread.
    """
    used = np.unique(Vocabulary.of(words).rows(list(set(tokens)))).astype(np.intp)
    used = used[used >= len(SPECIAL)] - len(SPECIAL)
    others = np.delete(np.arange(len(words)), used)
    E = np.zeros((len(SPECIAL) + len(used), vectors.shape[1]), np.float32)
    E[UNKNOWN] = vectors.mean(axis=0)
    if options.padding == "learned":
        E[PADDING] = rng.normal(0, vectors[:1000].std(), vectors.shape[1])
    E[len(SPECIAL) :] = vectors[used]
    order = np.concatenate((used, others))
    return Vocabulary.of([words[i] for i in order.tolist()]), E, order


def new_parameters(
    E: Array,
    coding: Labels,
    options: ModelOptions,
    rng: np.random.Generator,
    tables: Mapping[str, tuple[int, int, int]] | None = None,
    dense: int = 0,
) -> Parameters:
    """Fresh parameters around a table of word vectors E.

    tables  the other tables: name -> rows, size, and how many of its vectors a word has; normal
            with spread 0.1
    dense   how many dense numbers there are
    W and U uniform within ±√(6/(fan in + fan out)) (Glorot and Bengio, 2010), b zero.
    """
    scorers = len(coding) - one_against_rest(options)
    groups = 1 if options.share_hidden else scorers

    def uniform(*shape: int) -> Array:
        limit = np.sqrt(6 / (shape[-2] + shape[-1]))
        return rng.uniform(-limit, limit, shape).astype(E.dtype)

    parameters, width = {"E": E}, E.shape[1]
    for name, (rows, size, columns) in (tables or {}).items():
        parameters[name] = rng.normal(0, 0.1, (rows, size)).astype(E.dtype)
        width += size * columns
    n = (2 * options.window + 1) * width + dense
    for i, ((W, b), m) in enumerate(
        zip(layer_names(len(options.hidden)), options.hidden, strict=True)
    ):
        separate = uniform(groups, n, m)
        if i == 0:
            parameters[W] = separate.transpose(1, 0, 2).reshape(n, groups * m)
        else:
            parameters[W] = separate[0] if options.share_hidden else separate
        parameters[b] = np.zeros(groups * m, E.dtype)
        n = m
    parameters["U"] = uniform(n, scorers)
    if options.loss == "crf":
        K = len(coding)
        parameters |= {"A": np.zeros((K, K), E.dtype)}
        parameters |= {name: np.zeros(K, E.dtype) for name in ("a", "z")}
    return parameters


def feature_tables(options: FeatureOptions, lexicon: Lexicon) -> dict[str, tuple[int, int, int]]:
    """Rows, size and columns of every table beside the word vectors'."""
    tables = {}
    if "E_ngrams" in lexicon.tables:
        tables["E_ngrams"] = len(SPECIAL) + lexicon.buckets, options.ngrams, 1
    if "E_features" in lexicon.tables:
        columns = lexicon.tables["E_features"]
        count = columns.stop - columns.start
        tables["E_features"] = lexicon.feature_rows, options.feature_size, count
    return tables
