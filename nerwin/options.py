"""Every option of training, as frozen dataclasses, by section.

They are the one place where an option is defined: its name, default, help and limits. The keys of a
configuration file, the flags of ``nerwin train`` and the documentation all come from them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from nerwin.errors import ConfigError

_MANY = 10**6  # of what an array has in one dimension; two of them are still a number of bytes


def _option(default: Any, help: str, **limits: Any) -> Any:
    """A field with its help.

    Limits: choices, at_least, at_most, above, below, path, named, flag_only.
    """
    return field(default=default, metadata={"help": help, **limits})


@dataclass(frozen=True)
class DataOptions:
    """What to learn from, and what to measure on."""

    train: str = _option("", "column file to train on", path=True)
    dev: str = _option("", "column file for early stopping and the choice of epoch", path=True)
    test: str = _option("", "column file that the finished model is measured on", path=True)
    vectors: str = _option(
        "", "word vectors: a file, a name gensim can download, or none for random ones", path=True
    )
    dimensions: int = _option(
        50, "size of the vectors where vectors = none", at_least=1, at_most=_MANY
    )
    gazetteer: tuple[str, ...] = _option(
        (),
        "list of entities, one a line, under a name: NAME=FILE; any number",
        path=True,
        named=True,
    )
    unpickle: bool = _option(
        False, "read vectors in gensim's own format, which can run code", flag_only=True
    )
    token_column: int = _option(0, "column of the token; the first is 0, the last −1")
    tag_column: int = _option(-1, "column of the tag; the first is 0, the last −1")
    scheme: str = _option(
        "auto",
        "tag scheme that the files are written in",
        choices=("auto", "IOB2", "BIOES", "IOB1", "IO"),
    )
    encoding: str = _option("utf-8", "encoding of the column files and the lists of entities")

    def gazetteers(self) -> list[tuple[str, str]]:
        """Name and path of each list of entities."""
        return [(name, path) for name, _, path in (text.partition("=") for text in self.gazetteer)]


@dataclass(frozen=True)
class ModelOptions:
    """The window classifier: x → W x + b → f → uᵀh → logistic, one u per entity type."""

    window: int = _option(
        2, "words on each side of the word in question", at_least=0, at_most=_MANY
    )
    hidden: tuple[int, ...] = _option(
        (100,), "hidden units, or a list: one layer each", at_least=1, at_most=_MANY
    )
    share_hidden: bool = _option(True, "one hidden layer for all types, or a network per type")
    activation: str = _option("sigmoid", "nonlinearity", choices=("sigmoid", "tanh", "relu"))
    tags: str = _option(
        "IO",
        "a scorer for each type (IO), or for each type's beginning, inside, end and single word",
        choices=("IO", "BIOES"),
    )
    loss: str = _option(
        "logistic",
        "each scorer's own loss, or one for all: softmax, or the sentence's likelihood",
        choices=("logistic", "squared", "softmax", "crf"),
    )
    padding: str = _option(
        "learned", "vector of the places past a sentence's ends", choices=("learned", "zero")
    )
    types: tuple[str, ...] = _option((), "entity types to learn; none given: all in the data")
    update_vectors: bool = _option(True, "train the word vectors too")
    tune: bool = _option(
        False, "tune a threshold for each type, and the weight of transitions, on dev"
    )


@dataclass(frozen=True)
class FeatureOptions:
    """What x holds beside word vectors: a small trained vector for each of these, and more."""

    feature_size: int = _option(
        4, "size of the vector of each, from capitals to train_lists", at_least=1, at_most=_MANY
    )
    capitals: bool = _option(False, "the class of capitalisation")
    shape: bool = _option(False, "the shape, Xx-dd")
    prefixes: bool = _option(False, "the prefixes of 2, 3 and 4 characters")
    suffixes: bool = _option(False, "the suffixes of 2, 3 and 4 characters")
    cased: bool = _option(False, "the word as it is written")
    clusters: bool = _option(
        False, "the word's cluster among 100, and among 1000, of the pretrained vectors"
    )
    lists: bool = _option(True, "a match in each list of data.gazetteer")
    train_lists: bool = _option(
        False, "a match with an entity of other training documents, by type"
    )
    ngrams: int = _option(
        0,
        "size of the mean vector of the word's runs of 3 and 4 characters, hashed; 0: none",
        at_least=0,
        at_most=_MANY,
    )
    documents: bool = _option(False, "what the rest of the document tells of the word")
    folds: int = _option(
        0,
        "folds of the documents; a second pass sees what a first one says elsewhere in the "
        "document, which in training is said by models that were trained without its fold; "
        "0: one pass",
        at_least=0,
    )

    @property
    def first_models(self) -> int:
        """How many models are trained before the model itself: one without each fold, and one of
        all documents.
        """
        return self.folds + 1 if self.folds else 0

    def __post_init__(self) -> None:
        if self.folds == 1:
            raise ConfigError("features.folds: 2 folds at least, or 0")

    def of_tokens(self) -> list[str]:
        """Which features of a token's string are wanted."""
        wanted = {
            "capitals": self.capitals,
            "shape": self.shape,
            **{f"prefix{n}": self.prefixes for n in (2, 3, 4)},
            **{f"suffix{n}": self.suffixes for n in (2, 3, 4)},
            "cased": self.cased,
        }
        return [name for name, on in wanted.items() if on]


@dataclass(frozen=True)
class TrainingOptions:
    """How to descend."""

    epochs: int = _option(20, "times to go through the training data at most", at_least=1)
    batch_size: int = _option(32, "windows in a batch", at_least=1, at_most=10**9)
    optimizer: str = _option("sgd", "update rule", choices=("sgd", "adagrad", "adam"))
    learning_rate: float = _option(1.0, "step size α", above=0)
    vectors_rate: float = _option(
        1.0, "learning rate of the word vectors, as a multiple of α", at_least=0
    )
    momentum: float = _option(0.0, "share of the last step kept (sgd only)", at_least=0, below=1)
    schedule: str = _option("constant", "learning rate over time", choices=("constant", "linear"))
    teachers: tuple[str, ...] = _option(
        (), "runs of trained models, whose mean answer is learned", path=True
    )
    teaching: float = _option(
        0.5, "share of the teachers in what is learned; the rest is gold", above=0, at_most=1
    )
    dropout: float = _option(
        0.0, "share of the vectors in x set to zero in training", at_least=0, below=1
    )
    dropout_dense: float = _option(
        0.0, "share of what documents tell set to zero in training", at_least=0, below=1
    )
    dropout_hidden: float = _option(
        0.0, "share of the hidden units set to zero in training", at_least=0, below=1
    )
    word_dropout: float = _option(
        0.0, "share of a batch's words made unknown in training", at_least=0, below=1
    )
    document_dropout: float = _option(
        0.0, "share of the words that see only their sentence in training", at_least=0, below=1
    )
    clip: float = _option(
        0.0, "longest gradient of a batch, all parameters together; 0: any length", at_least=0
    )
    l2: float = _option(0.0, "weight decay λ: adds λ·θ to each gradient", at_least=0)
    patience: int = _option(
        5, "stop after this many epochs without a better dev F1; 0: never", at_least=0
    )
    seed: int = _option(0, "seed of everything random", at_least=0)

    def __post_init__(self) -> None:
        if self.momentum and self.optimizer != "sgd":
            raise ConfigError(f"training.momentum is for sgd, not for {self.optimizer}")


@dataclass(frozen=True)
class Config:
    """All options, by section."""

    data: DataOptions = DataOptions()
    features: FeatureOptions = FeatureOptions()
    model: ModelOptions = ModelOptions()
    training: TrainingOptions = TrainingOptions()

    def __post_init__(self) -> None:
        if self.training.teachers and self.model.loss == "crf":
            raise ConfigError("training.teachers: a CRF learns labels, not their probabilities")

    def as_dict(self) -> dict[str, Any]:
        """Sections of plain values, as JSON and TOML have them."""
        return dataclasses.asdict(self)


SECTIONS: dict[str, type[Any]] = {f.name: type(f.default) for f in dataclasses.fields(Config)}
