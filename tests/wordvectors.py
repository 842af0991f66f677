"""A file of word vectors in its formats, for tests of what reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gensim.models import KeyedVectors

from nerwin.text.vectors import WordVectors

WORDS = ["the", "Zürich", "a\u00a0b", "c\u2028", "字", "."]
MATRIX = np.arange(18, dtype=np.float32).reshape(6, 3) / 4 - 1
TEXT = "".join(f"{w} {' '.join(map(str, row))}\n" for w, row in zip(WORDS, MATRIX, strict=True))


def binary(words: list[str] = WORDS, matrix: np.ndarray = MATRIX) -> bytes:
    rows = zip(words, matrix, strict=True)
    header = f"{len(words)} {matrix.shape[1]}\n".encode()
    return header + b"".join(f"{w} ".encode() + row.tobytes() + b"\n" for w, row in rows)


def saved_by_gensim(path: Path) -> Path:
    keyed = KeyedVectors(3)
    keyed.add_vectors(WORDS, MATRIX)
    if path.name.removesuffix(".gz").endswith(".kv"):
        keyed.save(str(path))
    else:
        keyed.save_word2vec_format(str(path), binary=True)
    return path


def check(vectors: WordVectors) -> None:
    assert vectors.words == WORDS
    assert vectors.matrix.dtype == np.float32
    np.testing.assert_array_equal(vectors.matrix, MATRIX)
