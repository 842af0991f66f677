"""Make the demo's CoNLL files and word vectors.

python data/make_demo.py corpus     source/*.txt -> *.conll
python data/make_demo.py vectors    train.conll and gensim's own news sample -> vectors.txt
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from nerwin.text.corpus import read_corpus
from nerwin.text.inline import parse
from nerwin.text.tags import Spans, write_tags
from nerwin.text.tokenizer import tokenize

DEMO = Path(__file__).parent / "demo"
SPLITS = ("train", "dev", "test")
DIMENSIONS = 50
MIN_COUNT = 3


def to_conll(source: str) -> str:
    """The marked sentences of a source file as token TAB tag lines.

    Raises ValueError, with the line's number, for marks that do not fit the tokens.
    """
    lines = ["-DOCSTART-\tO", ""]
    for number, line in enumerate(source.splitlines(), 1):
        if line:
            lines += [*_sentence(line, number), ""]
        else:
            lines += ["-DOCSTART-\tO", ""]
    return "\n".join(lines)


def _sentence(line: str, number: int) -> list[str]:
    try:
        text, entities = parse(line)
    except ValueError as error:
        raise ValueError(f"line {number}: {error}") from None
    tokens = tokenize(text)
    starts = {start: i for i, (start, _) in enumerate(tokens)}
    ends = {end: i + 1 for i, (_, end) in enumerate(tokens)}
    types = tuple(sorted({kind for _, _, kind in entities}))
    for start, end, _ in entities:
        if start not in starts or end not in ends:
            raise ValueError(f"line {number}: {text[start:end]!r} is not made of whole tokens")
    spans = Spans(
        np.array([starts[start] for start, _, _ in entities], np.intp),
        np.array([ends[end] for _, end, _ in entities], np.intp),
        np.array([types.index(kind) for _, _, kind in entities], np.intp),
        types,
    )
    tags = write_tags(spans, np.array([0, len(tokens)]))
    words = (text[start:end] for start, end in tokens)
    return [f"{word}\t{tag}" for word, tag in zip(words, tags, strict=True)]


def make_corpus() -> None:
    """Write the CoNLL files."""
    for split in SPLITS:
        source = (DEMO / "source" / f"{split}.txt").read_text(encoding="utf-8")
        path = DEMO / f"{split}.conll"
        path.write_text(to_conll(source), encoding="utf-8", newline="\n")
        corpus = read_corpus(path)
        print(f"{path}: {len(corpus.starts) - 1} sentences, {len(corpus.words)} tokens")


def make_vectors() -> None:
    """Write the word vectors: skip-gram, seeded, one worker, so that a rerun gives the same."""
    from gensim.models import Word2Vec
    from gensim.test.utils import datapath

    corpus = read_corpus(DEMO / "train.conll")
    pairs = zip(corpus.starts, corpus.starts[1:], strict=False)
    sentences = [[w.lower() for w in corpus.words[a:b]] for a, b in pairs]
    with open(datapath("lee_background.cor"), encoding="utf-8") as file:
        for line in file:
            text = line.strip().lower()
            sentences.append([text[start:end] for start, end in tokenize(text)])
    model = Word2Vec(
        sentences,
        vector_size=DIMENSIONS,
        window=2,
        min_count=MIN_COUNT,
        sg=1,
        negative=10,
        epochs=30,
        seed=1,
        workers=1,
    )
    path = DEMO / "vectors.txt"
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for word, vector in zip(model.wv.index_to_key, model.wv.vectors, strict=True):
            file.write(f"{word} {' '.join(f'{x:.4f}' for x in vector)}\n")
    print(f"{path}: {len(model.wv)} words, {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    tasks = {"corpus": make_corpus, "vectors": make_vectors}
    if len(sys.argv) != 2 or sys.argv[1] not in tasks:
        sys.exit(__doc__)
    tasks[sys.argv[1]]()
