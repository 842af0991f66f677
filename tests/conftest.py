"""What several test files share."""

from __future__ import annotations

import gzip
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from nerwin.config import load_config
from nerwin.resources import shipped
from nerwin.text.vectors import WordVectors, load_vectors
from nerwin.training import Run

settings.register_profile("nerwin", deadline=None)  # machines are busy at times
settings.load_profile("nerwin")

SMALL = [
    ("data", "train", str(shipped("data/demo/dev.conll"))),
    ("data", "dev", str(shipped("data/demo/test.conll"))),
    ("data", "vectors", "none"),
    ("data", "dimensions", 8),
    ("model", "hidden", 10),
    ("training", "epochs", 3),
]

LONGER = [  # after SMALL: enough to find some entities
    ("data", "train", str(shipped("data/demo/train.conll"))),
    ("training", "epochs", 20),
    ("training", "patience", 0),
]

RICH = [
    *(("features", name, True) for name in ("capitals", "shape", "prefixes", "suffixes", "cased")),
    ("features", "clusters", True),
    ("features", "ngrams", 5),
    ("features", "train_lists", True),
    ("features", "documents", True),
    ("model", "tags", "BIOES"),
    ("model", "loss", "softmax"),
    ("model", "activation", "relu"),
    ("training", "optimizer", "adam"),
    ("training", "learning_rate", 0.01),
    ("training", "dropout", 0.3),
    ("training", "dropout_dense", 0.2),
    ("training", "dropout_hidden", 0.3),
    ("training", "word_dropout", 0.05),
    ("training", "document_dropout", 0.1),
]


@pytest.fixture
def by_numpy(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shape of the left matrix of each product that NumPy is asked for from here on."""
    shapes: list[tuple[int, ...]] = []
    multiply = np.matmul

    def matmul(A: np.ndarray, B: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        shapes.append(A.shape)
        return multiply(A, B, out=out)

    monkeypatch.setattr(np, "matmul", matmul)
    return shapes


@pytest.fixture
def load(tmp_path: Path):
    """Word vectors from a file with this data."""

    def load(data: bytes | str, name: str = "vectors.txt") -> WordVectors:
        data = data.encode() if isinstance(data, str) else data
        path = tmp_path / name
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return load_vectors(str(path), cache=tmp_path / "cache")

    return load


@pytest.fixture(autouse=True)
def strict_numbers() -> Iterator[None]:
    """No overflow, division by zero or invalid value goes unnoticed."""
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        yield


@pytest.fixture(scope="session", autouse=True)
def ctrl_c_is_heard() -> None:
    """A job in a shell's background ignores Ctrl-C, and so would each process that it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither use nor fill the cache of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NERWIN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small finished run with every feature. Not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "rich"
    run = Run.start(load_config(overrides=[*SMALL, *RICH, ("training", "epochs", 15)]), folder)
    for _ in run.epochs():
        pass
    run.finish()
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small finished run that finds some entities. Not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    run = Run.start(load_config(overrides=[*SMALL, *LONGER]), folder)
    for _ in run.epochs():
        pass
    run.finish()
    return folder
