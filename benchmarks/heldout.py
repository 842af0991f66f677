"""What is fitted on dev, on text that it was not fitted on: one half of dev for the other.

    python benchmarks/heldout.py RUN DEV

Fits thresholds, the weight of transitions and calibration (``nerwin train --tune``) on one half of
a column file's documents, and measures F1 and the calibration error on the other half, as trained
and after; then the other way round; and on the whole file, where the fit itself was made.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from nerwin.evaluation import measure, scores_of
from nerwin.gold import Gold, read_gold
from nerwin.model import Model
from nerwin.modeldir import load_model
from nerwin.options import DataOptions
from nerwin.text.tags import read_tags
from nerwin.tuning import fit


def half(gold: Gold, first: int, last: int) -> Gold:
    """The documents ``first`` … ``last`` − 1 of a gold file."""
    documents = gold.documents[first : last + 1]
    starts = gold.starts[documents[0] : documents[-1] + 1]
    words = slice(starts[0], starts[-1])
    tags = gold.tags[words]
    starts = starts - starts[0]
    return replace(
        gold,
        words=gold.words[words],
        starts=starts,
        documents=documents - documents[0],
        tags=tags,
        spans=read_tags(tags, starts),
    )


def rows(model: Model, gold: Gold) -> Iterator[str]:
    """A line for each half, and for the whole."""
    middle = (len(gold.documents) - 1) // 2
    first, second = half(gold, 0, middle), half(gold, middle, len(gold.documents) - 1)
    pairs = {
        "first, measured on second": (first, second),
        "second, measured on first": (second, first),
        "dev, measured on dev": (gold, gold),
    }
    for name, (known, other) in pairs.items():
        fitted = fit(model, known, scores_of(model, known))
        S = scores_of(model, other)
        before, after = measure(model, other, S), measure(fitted, other, S)
        errors = [100 * (scores.calibration_error or 0) for scores in (before, after)]
        f1 = [100 * scores.overall.f1 for scores in (before, after)]
        decision = fitted.decision
        yield (
            f"| {name} | {f1[0]:.2f} → {f1[1]:.2f} | {errors[0]:.2f} → {errors[1]:.2f} "
            f"| {', '.join(f'{value:g}' for value in decision.thresholds.values()) or '0'}; "
            f"{decision.transitions:g} |"
        )


def main() -> None:
    """Print the lines of a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="a run; with --tune, also thresholds are fitted")
    parser.add_argument("dev", help="column file")
    asked = parser.parse_args()
    gold = read_gold(asked.dev, DataOptions())
    if len(gold.documents) < 3:
        parser.error(f"{asked.dev}: one document cannot be halved")
    print("| fitted on | F1 | calibration error, % | thresholds by type; weight of transitions |")
    print("|---|---|---|---|")
    for row in rows(load_model(asked.run).as_trained(), gold):
        print(row)


if __name__ == "__main__":
    main()
