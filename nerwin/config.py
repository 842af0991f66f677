"""Every option of training: a TOML file -> frozen dataclasses.

The dataclasses below are the one place where an option is defined: its name, default, help and
limits. The keys of a configuration file, the flags of ``nerwin train`` and the documentation all
come from them. Precedence: defaults < file < flags.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nerwin.errors import ConfigError, did_you_mean
from nerwin.resources import shipped

Override = tuple[str, str, Any]  # section, key, value


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
    dimensions: int = _option(50, "size of the vectors where vectors = none", at_least=1)
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

    window: int = _option(2, "words on each side of the word in question", at_least=0)
    hidden: tuple[int, ...] = _option((100,), "hidden units, or a list: one layer each", at_least=1)
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
        4, "size of the vector of each, from capitals to train_lists", at_least=1
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
    batch_size: int = _option(32, "windows in a batch", at_least=1)
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


def load_config(path: Path | None = None, overrides: Iterable[Override] = ()) -> Config:
    """The options of a TOML file (or none), with some of them overridden.

    Paths in the file count from the file's own folder. Raises ConfigError for a file that
    cannot be read and for a section, key or value that does not exist or cannot be.
    """
    values: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    if path is not None:
        for section, table in _read_toml(path).items():
            _known(section, SECTIONS, f"{path}: section [{section}]")
            if not isinstance(table, Mapping):
                raise ConfigError(f"{path}: {section} is a section: write [{section}]")
            for key, value in table.items():
                name = f"{path}: {section}.{key}"
                option = _find(section, key, name)
                if option.metadata.get("flag_only"):
                    raise ConfigError(f"{name}: not for files, only for the command line")
                values[section][key] = _from_folder(convert(option, value, name), option, path)
    for section, key, value in overrides:
        name = f"{section}.{key}"
        _known(section, SECTIONS, f"section {section}")
        values[section][key] = convert(_find(section, key, name), value, name)
    return Config(**{name: cls(**values[name]) for name, cls in SECTIONS.items()})


def from_dict(sections: Mapping[str, Mapping[str, Any]]) -> Config:
    """The inverse of ``Config.as_dict``, for options that were stored with a model."""
    flat = ((s, key, value) for s, table in sections.items() for key, value in table.items())
    return load_config(overrides=flat)


def find_config(name: str) -> Path:
    """A configuration file by its path, or a shipped one by its bare name (demo, lecture)."""
    if Path(name).is_file():
        return Path(name)
    inside = shipped(f"configs/{name}.toml")
    if name.isidentifier() and inside.is_file():
        return inside
    names = ", ".join(sorted(p.stem for p in shipped("configs").glob("*.toml")))
    raise ConfigError(f"{name}: no such file, nor a configuration that comes with nerwin ({names})")


def parse_setting(text: str) -> Override:
    """``section.key=value`` -> an override; the value is read as TOML where it is TOML."""
    import tomllib

    name, equals, value = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not equals or not dot:
        raise ConfigError(f"{text!r}: expected section.key=value")
    try:
        return section, key, tomllib.loads(f"value = {value}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return section, key, value.strip()


def convert(option: dataclasses.Field[Any], value: Any, name: str) -> Any:
    """A value from TOML or, as text, from the command line, as the option's own type.

    Raises ConfigError, opened by ``name``, if that cannot be.
    """
    limits = option.metadata
    kind = str(option.type)
    try:
        result: Any = _CONVERTERS[kind](value)
    except (TypeError, ValueError, KeyError, OverflowError):
        raise ConfigError(f"{name}: expected {_EXPECTED[kind]}, not {value!r}") from None
    choices = limits.get("choices")
    if choices and result not in choices:
        _known(str(result), choices, f"{name}: {result!r}")
    if limits.get("named") and not all(all(text.partition("=")) for text in result):
        raise ConfigError(f"{name}: expected NAME=FILE, not {value!r}")
    for number in result if isinstance(result, tuple) else (result,):
        if "at_least" in limits and number < limits["at_least"]:
            raise ConfigError(f"{name}: expected at least {limits['at_least']}, not {number}")
        if "at_most" in limits and number > limits["at_most"]:
            raise ConfigError(f"{name}: expected at most {limits['at_most']}, not {number}")
        if "above" in limits and not limits["above"] < number:
            raise ConfigError(f"{name}: expected more than {limits['above']}, not {number}")
        if "below" in limits and not number < limits["below"]:
            raise ConfigError(f"{name}: expected less than {limits['below']}, not {number}")
    return result


def _read_toml(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error


def _find(section: str, key: str, name: str) -> dataclasses.Field[Any]:
    options = {option.name: option for option in dataclasses.fields(SECTIONS[section])}
    _known(key, options, f"{name}: {key!r}")
    return options[key]


def _known(name: str, names: Iterable[str], what: str) -> None:
    """Raise ConfigError with a suggestion unless the name is one of the names."""
    names = list(names)
    if name not in names:
        hint = did_you_mean(name, names) or f"there are {', '.join(names)}"
        raise ConfigError(f"{what} is unknown; {hint}")


def _from_folder(value: Any, option: dataclasses.Field[Any], file: Path) -> Any:
    """A path in a configuration file, seen from the working folder."""
    if not option.metadata.get("path") or not value:
        return value
    if option.metadata.get("named"):
        pairs = (text.partition("=") for text in value)
        return tuple(f"{name}={os.path.normpath(file.parent / path)}" for name, _, path in pairs)
    if isinstance(value, tuple):
        return tuple(os.path.normpath(file.parent / path) for path in value)
    path = os.path.normpath(file.parent / value)
    could_be_name = option.name == "vectors" and not {".", "/", os.sep} & set(value)
    return value if could_be_name and not os.path.exists(path) else path


def _bool(value: Any) -> bool:
    return value if isinstance(value, bool) else {"true": True, "false": False}[value]


def _int(value: Any) -> int:
    if isinstance(value, bool | float):
        raise TypeError
    return int(value)


def _float(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _list(value: Any) -> list[Any]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return list(value) if isinstance(value, list | tuple) else [value]


def _ints(value: Any) -> tuple[int, ...]:
    numbers = tuple(_int(part) for part in _list(value))
    if not numbers:
        raise ValueError
    return numbers


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_text(part) for part in _list(value)))


_CONVERTERS = {
    "bool": _bool,
    "int": _int,
    "float": _float,
    "str": _text,
    "tuple[int, ...]": _ints,
    "tuple[str, ...]": _texts,
}
_EXPECTED = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a finite number",
    "str": "a text",
    "tuple[int, ...]": "a whole number or a list of them",
    "tuple[str, ...]": "a list of names",
}
