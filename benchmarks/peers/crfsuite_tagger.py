"""A conditional random field with the usual features of a word, its form and its neighbours.

python benchmarks/peers/crfsuite_tagger.py train COLUMNS MODEL ITERATIONS
python benchmarks/peers/crfsuite_tagger.py predict MODEL < TOKENIZED > COLUMNS
"""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from typing import Any

import pycrfsuite


def features(words: list[str]) -> list[list[str]]:
    """The features of each word of a sentence."""
    shared = [_shared(word) for word in words]
    found = []
    for i, word in enumerate(words):
        own = ["bias", f"word={word}", *shared[i]]
        for n in range(1, min(4, len(word)) + 1):
            own.append(f"prefix={word[:n]}")
            own.append(f"suffix={word[-n:]}")
        if "-" in word:
            own.append("hyphen")
        for k in (-2, -1, 1, 2):
            if 0 <= i + k < len(words):
                own += [f"{k}:{feature}" for feature in shared[i + k]]
            else:
                own.append(f"{k}:none")
        if i > 0:
            own.append(f"before={words[i - 1].lower()} {word.lower()}")
        if i + 1 < len(words):
            own.append(f"after={word.lower()} {words[i + 1].lower()}")
        found.append(own)
    return found


def _shared(word: str) -> list[str]:
    """What is told of a word to its neighbours too."""
    shape = re.sub(r"[^\W\d_]", lambda letter: "X" if letter[0].isupper() else "x", word)
    shape = re.sub(r"(.)\1+", r"\1", re.sub(r"\d", "d", shape))
    found = [f"lower={word.lower()}", f"shape={shape}"]
    if word.istitle():
        found.append("title")
    if word.isupper():
        found.append("upper")
    return found


def train(columns: str, model: str, iterations: str) -> None:
    """L-BFGS with both penalties."""
    from nerwin.gold import read_gold
    from nerwin.options import DataOptions
    from nerwin.text.tags import write_tags

    gold = read_gold(columns, DataOptions())
    tags = write_tags(gold.spans, gold.starts)
    trainer: Any = pycrfsuite.Trainer(verbose=False)
    trainer.set_params({"c1": 0.1, "c2": 0.01, "max_iterations": int(iterations)})
    for a, b in pairwise(gold.starts):
        trainer.append(features(gold.words[a:b]), tags[a:b])
    trainer.train(model)


def predict(model: str) -> None:
    """Tag each line as it comes."""
    tagger: Any = pycrfsuite.Tagger()
    tagger.open(model)
    for i, line in enumerate(sys.stdin):
        words = line.split()
        tags = tagger.tag(features(words))
        rows = [f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True)]
        print("".join(rows), flush=i == 0)


if __name__ == "__main__":
    if sys.argv[1] == "train":
        train(*sys.argv[2:])
    else:
        predict(*sys.argv[2:])
