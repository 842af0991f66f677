"""How fast nerwin is, beside PyTorch, spaCy and CRFsuite in the same run, on your machine and data.

    python benchmarks/compare.py --train eng.train --dev eng.testa --vectors glove.6B.50d.txt

Everyone does the same in turn, in several rounds: told are the median, the lowest and the highest.
What a library that is not installed would do is left out (pip install 'nerwin[bench]' has them
all). A table, all figures and a picture are written under --output, with the time in their name;
so are models that are trained for it, which later calls use again. --quick takes a few minutes and
tells whether all works, not how fast.
"""

from __future__ import annotations

import argparse
import compileall
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import agreement
import floor
import report
import scaling
import shell
import training
from material import Material
from measuring import Measure, take_turns, tell

import nerwin


@dataclass(frozen=True)
class Subject:
    """What is measured in how many rounds, after one that does not count or not."""

    title: str
    measures: Callable[[Material], list[Measure]]
    rounds: int
    warm_up: bool = True


SUBJECTS = {
    "agreement": Subject("nerwin and PyTorch compute the same", agreement.measures, 1, False),
    "training": Subject("Training", training.measures, 7),
    "floor": Subject("The arithmetic of a step, and the step", floor.measures, 7),
    "prediction": Subject("Prediction, from file to file", shell.prediction, 9),
    "start": Subject("Start", shell.start, 7),
    "memory": Subject("The most memory held", shell.memory, 3, False),
    "vectors": Subject("Loading word vectors", shell.vectors, 5),
    "scaling": Subject("The same speed for any amount of data", scaling.measures, 5, False),
}


def main() -> None:
    """Measure what is asked for; write after each subject, so that it can be stopped."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", required=True, help="column file")
    parser.add_argument("--dev", required=True, help="column file, also the text for prediction")
    parser.add_argument("--vectors", required=True, help="text file of word vectors, no header")
    parser.add_argument("--only", metavar="A,B", help=f"some of {', '.join(SUBJECTS)}")
    parser.add_argument("--quick", action="store_true", help="2 rounds, little data and training")
    parser.add_argument("--lecture", type=Path, metavar="RUN", help="a run of the lecture's model")
    parser.add_argument("--rich", type=Path, metavar="RUN", help="a run of conll2003")
    parser.add_argument("--two-passes", type=Path, metavar="RUN", help="one with --folds 5")
    parser.add_argument("--spacy", type=Path, metavar="MODEL", help="a trained pipeline of spaCy")
    parser.add_argument("--train-spacy", action="store_true", help="train one: several minutes")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks"), metavar="DIR")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else list(SUBJECTS)
    for name in names:
        if name not in SUBJECTS:
            parser.error(f"--only: {name!r} is none of {', '.join(SUBJECTS)}")
    given = {name: getattr(options, name) for name in ("lecture", "rich", "two_passes", "spacy")}
    for path in (options.train, options.dev, options.vectors, *given.values()):
        if path and not Path(path).exists():
            parser.error(f"{path}: does not exist")
    material = Material(
        train=options.train,
        dev=options.dev,
        vectors=options.vectors,
        folder=options.output,
        quick=options.quick,
        train_spacy=options.train_spacy,
        given=given,
    )
    compileall.compile_dir(Path(nerwin.__file__).parent, quiet=1)  # as pip does, or starts are slow
    stem = options.output / time.strftime("compare-%Y%m%d-%H%M%S")
    about = {"machine": report.machine(), "command": sys.argv}
    titles = {name: SUBJECTS[name].title for name in names}
    found: dict[str, list[Measure]] = {}
    for name in names:
        subject = SUBJECTS[name]
        tell(f"{name}: {subject.title}")
        found[name] = subject.measures(material)
        rounds = min(2, subject.rounds) if options.quick else subject.rounds
        take_turns(found[name], rounds, warm_up=subject.warm_up)
        report.write(stem, found, about, titles)
    print("\n".join(report.markdown(found, about, titles)))
    tell(f"written: {stem}.*")


if __name__ == "__main__":
    main()
