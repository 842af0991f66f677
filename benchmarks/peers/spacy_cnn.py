"""spaCy's convolutional network, as ``spacy init config`` proposes it for a CPU, with vectors.

python benchmarks/peers/spacy_cnn.py train COLUMNS DEV VECTORS MODEL STEPS
python benchmarks/peers/spacy_cnn.py predict MODEL tokenized < TOKENIZED > COLUMNS
python benchmarks/peers/spacy_cnn.py predict MODEL raw < TEXT > JSONL
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import spacy
from spacy.attrs import LOWER
from spacy.tokens import Doc, DocBin, Span
from spacy.vectors import Vectors


def train(columns: str, dev: str, source: str, model: str, steps: str) -> None:
    """Train until the score on dev does not rise any more, or for so many steps."""
    from spacy.cli.init_config import init_config
    from spacy.cli.train import train as run

    from nerwin.text.vectors import load_vectors

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        loaded = load_vectors(source)
        nlp = spacy.blank("en")
        nlp.vocab.vectors = Vectors(
            strings=nlp.vocab.strings, data=loaded.matrix.copy(), keys=loaded.words
        )
        nlp.to_disk(work / "vectors")
        _look_up_lower(work / "vectors")
        _convert(columns, work / "train.spacy")
        _convert(dev, work / "dev.spacy")
        config = init_config(lang="en", pipeline=["ner"], optimize="efficiency")
        config["components"]["tok2vec"]["model"]["embed"]["include_static_vectors"] = True
        config["training"]["max_steps"] = int(steps)
        config["training"]["eval_frequency"] = min(200, int(steps))
        config.to_disk(work / "config.cfg")
        run(
            work / "config.cfg",
            work / "model",
            overrides={
                "paths.train": str(work / "train.spacy"),
                "paths.dev": str(work / "dev.spacy"),
                "paths.vectors": str(work / "vectors"),
            },
        )
        _look_up_lower(work / "model" / "model-best")
        shutil.copytree(work / "model" / "model-best", model)


def _look_up_lower(folder: Path) -> None:
    """Have vectors looked up by the word in lower case: spaCy reads the attribute, but does not
    write it.
    """
    path = folder / "vocab" / "vectors.cfg"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "attr": LOWER}), encoding="utf-8")


def _convert(columns: str, path: Path) -> None:
    from nerwin.gold import read_gold
    from nerwin.options import DataOptions

    gold = read_gold(columns, DataOptions())
    spans = gold.spans
    nlp, docs = spacy.blank("en"), DocBin()
    for a, b in pairwise(gold.starts):
        doc = Doc(nlp.vocab, words=gold.words[a:b])
        first, last = spans.start.searchsorted((a, b))
        doc.ents = [
            Span(doc, spans.start[i] - a, spans.end[i] - a, spans.types[spans.type[i]])
            for i in range(first, last)
        ]
        docs.add(doc)
    docs.to_disk(path)


def predict(model: str, kind: str) -> None:
    """Columns for tokenized text, JSON lines for raw text."""
    nlp = spacy.load(Path(model))
    lines = (line.rstrip("\n") for line in sys.stdin)
    if kind == "raw":
        for i, doc in enumerate(nlp.pipe(lines, batch_size=256)):
            found = [
                {"start": e.start_char, "end": e.end_char, "text": e.text, "type": e.label_}
                for e in doc.ents
            ]
            print(json.dumps({"text": doc.text, "entities": found}), flush=i == 0)
        return
    docs = (Doc(nlp.vocab, words=line.split()) for line in lines)
    for i, doc in enumerate(nlp.pipe(docs, batch_size=256)):
        tags = [token.ent_iob_ + (token.ent_type_ and f"-{token.ent_type_}") for token in doc]
        rows = [f"{word.text}\t{tag}\n" for word, tag in zip(doc, tags, strict=True)]
        print("".join(rows), flush=i == 0)


if __name__ == "__main__":
    if sys.argv[1] == "train":
        train(*sys.argv[2:])
    else:
        predict(*sys.argv[2:])
