"""A column file with its gold entities, as training and evaluation want it."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nerwin.engine.types import Indices
from nerwin.errors import ConfigError
from nerwin.options import DataOptions
from nerwin.text.corpus import read_corpus
from nerwin.text.tags import Spans, detect_scheme, ill_formed, read_tags, without_bilou

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gold:
    """Tokens, sentences and documents (see ``Corpus``), tags, their scheme, and what they mean."""

    path: str
    sha256: str
    words: list[str]
    starts: Indices
    documents: Indices
    tags: list[str]
    scheme: str
    spans: Spans

    @property
    def own(self) -> Indices:
        """The number of each sentence's document, (S,)."""
        return np.repeat(np.arange(len(self.documents) - 1), np.diff(self.documents))

    def alone(self) -> Gold:
        """The same, every sentence a document of its own."""
        return replace(self, documents=np.arange(len(self.starts)))

    def provenance(self) -> dict[str, Any]:
        """What a model's manifest tells of the file."""
        return {
            "path": self.path,
            "sha256": self.sha256,
            "sentences": len(self.starts) - 1,
            "tokens": len(self.words),
            "entities": len(self.spans),
        }


def read_gold(path: str, options: DataOptions) -> Gold:
    """Read a column file with one tag column; warn of tags that their scheme would not write.

    Raises ConfigError if there is no such file, DataError if it cannot be used.
    """
    if not Path(path).exists():
        raise ConfigError(f"{path}: no such file")
    corpus = read_corpus(
        path,
        token_column=options.token_column,
        tag_columns=(options.tag_column,),
        encoding=options.encoding,
    )
    tags = without_bilou(corpus.tags[0])
    if options.scheme == "auto":
        scheme, wrong = detect_scheme(tags, corpus.starts)
    else:
        scheme, wrong = options.scheme, ill_formed(tags, corpus.starts, options.scheme)
    if wrong:
        log.warning("%s: %d tags are ill-formed in %s; read as conlleval does", path, wrong, scheme)
    with open(path, "rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    spans = read_tags(tags, corpus.starts)
    return Gold(path, sha256, corpus.words, corpus.starts, corpus.documents, tags, scheme, spans)
