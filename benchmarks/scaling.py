"""Whether the cost for each token stays the same, however many there are."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from material import Material
from measuring import Measure
from problem import lecture

from nerwin.batches import Batches
from nerwin.gold import Gold, read_gold
from nerwin.options import DataOptions

SIZES = (10_000, 50_000, 200_000, 1_000_000, 5_000_000)  # tokens
AT_LEAST = 1.0  # seconds: what takes less is done again, or the first milliseconds are measured


def measures(material: Material) -> list[Measure]:
    """Reading a column file of so many tokens, and an epoch on them: the training file over and
    over. One model is trained on and on: to make it costs the same for any amount of data.
    """
    descent = lecture(material.gold, material.words, (100,)).descent("sgd", 256)
    read: dict[int, Gold] = {}

    def read_once(path: Path, size: int) -> int:
        read.clear()
        read[size] = read_gold(str(path), DataOptions())
        return len(read[size].words)

    def train_once(size: int) -> int:
        descent.batches = Batches(descent.model, read[size], descent.options)
        descent.epoch(1, lambda windows: None)
        return len(descent.batches)

    def reading(path: Path, size: int) -> float:
        return _rate(partial(read_once, path, size))

    def training(path: Path, size: int) -> float:
        if size not in read:
            read_once(path, size)
        return _rate(partial(train_once, size))

    found = []
    for size in SIZES[:3] if material.quick else SIZES:
        path = _repeated(material, size)
        task = f"{size:,} tokens"
        found.append(
            Measure(task, "reading the file", "tokens/s", partial(reading, path, size), size)
        )
        found.append(
            Measure(
                task,
                "making windows, and one epoch",
                "windows/s",
                partial(training, path, size),
                size,
            )
        )
    return found


def _rate(work: Callable[[], int]) -> float:
    """How much it does a second."""
    began, done, took = time.perf_counter(), 0, 0.0
    while took < AT_LEAST:
        done += work()
        took = time.perf_counter() - began
    return done / took


def _repeated(material: Material, tokens: int) -> Path:
    """A file of the first so many tokens of the training data, said again and again; the last
    sentence is whole.
    """
    path = material.folder / f"train-{tokens}.conll"
    sentences = Path(material.train).read_text(encoding="utf-8").split("\n\n")
    lengths = [len(sentence.splitlines()) for sentence in sentences]
    left = tokens
    material.folder.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as file:
        while left > 0:
            for sentence, length in zip(sentences, lengths, strict=True):
                file.write(f"{sentence}\n\n")
                left -= length
                if left <= 0:
                    break
    return path
