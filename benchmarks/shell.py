"""What users see of whole processes: prediction, start, memory, and the vectors' first loading."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from material import Material
from measuring import (
    NERWIN,
    PLAIN,
    Measure,
    first_answer,
    installed,
    ours,
    peak,
    run,
    seconds,
    tell,
)

LINE = "Paris Hilton flew to Paris ."
TOKENIZED = ("--input-format", "tokenized", "--format", "conll")
RAW = ("--input-format", "text", "--format", "jsonl")
Command = Sequence[str | Path]


def prediction(material: Material) -> list[Measure]:
    """From a file to a file, the start of the process included."""
    ways = {
        "tokenized text to CoNLL": (material.tokenized, TOKENIZED, "tokenized"),
        "raw text to JSON lines": (material.raw, RAW, "raw"),
    }
    found = []
    for task, (text, flags, kind) in ways.items():
        contestants: dict[str, Command] = {}
        for who, model in _models(material).items():
            predict = [*NERWIN, "predict", *model, text.path, *flags]
            contestants[f"nerwin, {who}"] = predict
            contestants[f"nerwin, {who}, two processes"] = [*predict, "--jobs", "2"]
        if material.crfsuite and kind == "tokenized":
            contestants["CRFsuite"] = material.peer(
                "crfsuite_tagger.py", "predict", str(material.crfsuite)
            )
        for who, command in contestants.items():
            rate = _rate(command, text.path, text.tokens)
            found.append(Measure(task, who, "tokens/s", rate))
        if material.spacy:
            spacy = material.peer("spacy_cnn.py", "predict", str(material.spacy), kind)
            rate = _rate(spacy, text.short, text.short_tokens)
            found.append(Measure(task, "spaCy, CNN, on a tenth of it", "tokens/s", rate))
    return found


def _models(material: Material) -> dict[str, Command]:
    """What is asked, and how, under a name."""
    found: dict[str, Command] = {"lecture": [material.lecture], "conll2003": [material.rich]}
    if two := material.given.get("two_passes"):
        found["conll2003 --folds 5"] = [two]
    return found


def _rate(command: Command, text: Path, tokens: int) -> Callable[[], float]:
    return lambda: tokens / seconds(command, text)


def start(material: Material) -> list[Measure]:
    """From the start of a process to its end, or to the first answer."""
    first = "to the first sentence's entities"
    found = [
        Measure("a whole process", who, "s", partial(seconds, command))
        for who, command in {
            "python -c pass": [sys.executable, "-c", "pass"],
            "nerwin --help": [*NERWIN, "--help"],
            "python -c 'import numpy'": [sys.executable, "-c", "import numpy"],
            **{
                f"python -c 'import {name}'": [sys.executable, "-c", f"import {name}"]
                for name in ("torch", "spacy")
                if installed(name)
            },
        }.items()
    ]
    for who, command in _predictors(material).items():
        found.append(Measure(first, who, "s", partial(first_answer, command, LINE)))
    return found


def memory(material: Material) -> list[Measure]:
    """The most memory that prediction and an epoch of training take."""
    if not Path("/proc/self/status").exists():
        tell("there is no /proc here, so memory is left out")
        return []
    found = [
        Measure("predict", who, "MiB", partial(peak, command, material.tokenized.short))
        for who, command in _predictors(material).items()
    ]
    for config in ("lecture", "conll2003"):
        command = material.command(config, "--epochs", "1")
        for who in ours():
            most = partial(_peak_of_train, command, compiled=who != PLAIN)
            found.append(Measure("train", f"{who}, {config}", "MiB", most))
    if material.crfsuite:
        command = [*material.peer("crfsuite_tagger.py", "train"), material.train]
        found.append(Measure("train", "CRFsuite", "MiB", partial(_peak_of_crfsuite, command)))
    return found


def _peak_of_train(command: list[str], *, compiled: bool) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return peak([*command, "--output", f"{folder}/run"], compiled=compiled)


def _peak_of_crfsuite(command: list[str]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return peak([*command, f"{folder}/model", "3"])


def _predictors(material: Material) -> dict[str, Command]:
    """Who predicts tokenized text that comes on standard input."""
    found: dict[str, Command] = {
        "nerwin, lecture": [*NERWIN, "predict", material.lecture, "-", *TOKENIZED],
        "nerwin, conll2003": [*NERWIN, "predict", material.rich, "-", *TOKENIZED],
    }
    if material.crfsuite:
        found["CRFsuite"] = material.peer("crfsuite_tagger.py", "predict", str(material.crfsuite))
    if material.spacy:
        found["spaCy, CNN"] = material.peer(
            "spacy_cnn.py", "predict", str(material.spacy), "tokenized"
        )
    return found


_GENSIM = "from gensim.models import KeyedVectors\nimport sys\n"
_GENSIM_TEXT = _GENSIM + "KeyedVectors.load_word2vec_format(sys.argv[1], no_header=True)"
_GENSIM_SAVE = _GENSIM_TEXT + ".save(sys.argv[2])"
_GENSIM_SAVED = _GENSIM + "KeyedVectors.load(sys.argv[1], mmap='r')"
_NERWIN = """
import sys
from pathlib import Path
from nerwin.text.vectors import load_vectors
load_vectors(sys.argv[1], cache=Path(sys.argv[2]))
"""


def vectors(material: Material) -> list[Measure]:
    """A file of vectors, without a header, read for the first time and again."""
    material.folder.mkdir(parents=True, exist_ok=True)
    kept = material.folder / "cache"
    nerwin = [sys.executable, "-c", _NERWIN, material.vectors]
    gensim = [sys.executable, "-c"]
    saved = material.folder / "vectors.kv"
    run([*gensim, _GENSIM_SAVE, material.vectors, saved])
    run([*nerwin, kept])

    def first() -> float:
        empty = Path(tempfile.mkdtemp(dir=material.folder))
        try:
            return seconds([*nerwin, empty])
        finally:
            shutil.rmtree(empty)

    text = [*gensim, _GENSIM_TEXT, material.vectors]
    again: Command = [*gensim, _GENSIM_SAVED, saved]
    return [
        Measure("the first time", "nerwin, checked and kept", "s", first),
        Measure("the first time", "gensim, load_word2vec_format", "s", partial(seconds, text)),
        Measure("again", "nerwin", "s", partial(seconds, [*nerwin, kept])),
        Measure("again", "gensim, its own format, mapped", "s", partial(seconds, again)),
    ]
