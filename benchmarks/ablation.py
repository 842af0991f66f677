"""What each part of the richer x, and of its training, brings: dev F1 over several seeds.

    python benchmarks/ablation.py --train eng.train --dev eng.testa --vectors glove.6B.50d.txt

Trains each part alone on top of a plain model, then all together, in one pass and in two, for
each seed, with ``nerwin train conll2003`` and flags. Finished runs are kept in --output and not
trained again, so the script can be stopped, and asked for more seeds or rows. The table goes into
--document, between two comments, or to standard output.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

OFF: dict[str, dict[str, Any]] = {
    "token features": {
        "features": dict.fromkeys(("capitals", "shape", "prefixes", "suffixes", "cased"), False)
    },
    "clusters": {"features": {"clusters": False}},
    "document features": {"features": {"documents": False}, "training": {"document_dropout": 0}},
    "lists of training entities": {"features": {"train_lists": False}},
    "dropout of every kind": {
        "training": dict.fromkeys(("dropout", "dropout_dense", "dropout_hidden", "word_dropout"), 0)
    },
}
OTHERWISE: dict[str, dict[str, Any]] = {
    "character n-grams": {"features": {"ngrams": 16}},
    "IO instead of BIOES": {"model": {"tags": "IO"}},
    "a logistic scorer for each tag": {"model": {"loss": "logistic"}},
    "a CRF": {"model": {"loss": "crf"}},
}
TWO_PASSES = {"features": {"folds": 5}}
MARK = "<!-- benchmarks/ablation.py -->"


def settings(changes: Sequence[dict[str, dict[str, Any]]]) -> list[str]:
    """Options of the command line for some changes of the configuration."""
    return [
        part
        for change in changes
        for section, values in change.items()
        for key, value in values.items()
        for part in ("--set", f"{section}.{key}={json.dumps(value)}")
    ]


def rows() -> dict[str, list[str]]:
    """What is trained: a row of the table -> options."""

    def all_off_but(kept: str = "") -> list[dict[str, dict[str, Any]]]:
        return [off for name, off in OFF.items() if name != kept]

    plain = all_off_but()
    return {
        "word vectors alone": settings(plain),
        **{f"… and {name}": settings(all_off_but(name)) for name in OFF},
        **{f"… with {name}": settings([*plain, change]) for name, change in OTHERWISE.items()},
        "**all together, one pass**": [],
        **{f"… but without {name}": settings([off]) for name, off in OFF.items()},
        **{f"… but with {name}": settings([change]) for name, change in OTHERWISE.items()},
        "**all together, two passes**": settings([TWO_PASSES]),
    }


def train(folder: Path, data: list[str], options: list[str], seed: int) -> None:
    """Train a run, unless it is there."""
    if (folder / "metrics.json").exists():
        return
    command = [sys.executable, "-m", "nerwin", "train", "conll2003", *data, *options]
    command += ["--seed", str(seed), "--output", str(folder), "--overwrite"]
    alike = os.environ | {"NERWIN_COMPILED": "0"}  # so that seconds are alike everywhere
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=alike)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr}")


def figures(folder: Path) -> dict[str, float]:
    """Dev F1 in percent, with documents and with every sentence alone; the seconds of the fastest
    epoch; parameters.
    """
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[1:]
    held = [manifest["checkpoints"][manifest["best"]], *manifest["folds"]]
    shapes = [array["shape"] for one in held for array in one["parameters"].values()]
    alone = metrics.get("dev_sentences_alone") or metrics["dev"]
    return {
        "f1": 100 * metrics["dev"]["f1"],
        "alone": 100 * alone["f1"],
        "epoch": min(json.loads(line)["seconds"] for line in lines),
        "parameters": sum(map(math.prod, shapes)),
    }


def table(runs: dict[str, list[dict[str, float]]]) -> str:
    """The runs of each row as a line of Markdown."""
    lines = [
        "| | dev F1 | lowest to highest | every sentence alone | s, fastest epoch | parameters |",
        "|---|---|---|---|---|---|",
    ]
    for name, seeds in runs.items():
        f1 = [one["f1"] for one in seeds]
        mean = {key: statistics.mean(one[key] for one in seeds) for key in seeds[0]}
        fastest = min(one["epoch"] for one in seeds)  # what else the machine does only adds
        lines.append(
            f"| {name} | {mean['f1']:.2f} | {min(f1):.2f} to {max(f1):.2f} | {mean['alone']:.2f} "
            f"| {fastest:.1f} | {mean['parameters'] / 1e6:.2f} M |"
        )
    return "\n".join(lines)


def main() -> None:
    """Train what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--train", required=True)
    parser.add_argument("--dev", required=True)
    parser.add_argument("--vectors", required=True)
    parser.add_argument("--seeds", default="0,1,2", help="[default: 0,1,2]")
    parser.add_argument(
        "--jobs",
        type=int,
        default=2,
        help="runs at a time; 0: only those that are finished  [default: 2]",
    )
    parser.add_argument("--rows", default="", help="only rows in which this occurs")
    parser.add_argument("--output", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--document", type=Path, help="file that the table is written into")
    asked = parser.parse_args()
    data = ["--train", asked.train, "--dev", asked.dev, "--vectors", asked.vectors]
    seeds = [int(seed) for seed in asked.seeds.split(",")]
    wanted = {name: options for name, options in rows().items() if asked.rows in name}

    def folder(name: str, seed: int) -> Path:
        words = "".join(c if c.isalnum() else " " for c in name).split()
        return Path(asked.output, f"{'-'.join(words)}-{seed}")

    if not asked.jobs:
        finished = {name: [folder(name, s) / "metrics.json" for s in seeds] for name in wanted}
        wanted = {name: wanted[name] for name in wanted if all(f.exists() for f in finished[name])}
    with ThreadPoolExecutor(asked.jobs or 1) as pool:
        jobs = [
            pool.submit(train, folder(name, seed), data, options, seed)
            for name, options in wanted.items()
            for seed in seeds
        ]
        for job in jobs:
            job.result()
    made = table({name: [figures(folder(name, s)) for s in seeds] for name in wanted})
    if not asked.document:
        print(made)
        return
    before, _, after = asked.document.read_text(encoding="utf-8").split(MARK)
    text = f"{before}{MARK}\n{made}\n{MARK}{after}"
    asked.document.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
