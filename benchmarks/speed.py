"""How fast nerwin starts, predicts and trains, beside simple yardsticks in the same run.

    python benchmarks/speed.py RUN TEXT

RUN is a trained model, TEXT a tokenized text, a sentence a line. Everything is measured in turn,
several rounds, one BLAS thread; shown are the median and the spread. The yardsticks are Python
itself, `import numpy`, and the same model trained one example at a time.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from nerwin.classifier import Inputs, parameter_nodes
from nerwin.engine.graph import backward
from nerwin.engine.optim import SGD
from nerwin.model import Model
from nerwin.modeldir import load_model

ROUNDS = 7
NERWIN = [sys.executable, "-m", "nerwin"]


def seconds(command: list[str], text: str = "") -> float:
    """Wall time of a whole process."""
    began = time.perf_counter()
    subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return time.perf_counter() - began


def first_entity(run: str) -> float:
    """From the start of the process to the first answer."""
    began = time.perf_counter()
    with subprocess.Popen(
        [*NERWIN, "predict", run, "-", "-f", "jsonl"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"Paris Hilton flew to Paris.\n")
        process.stdin.flush()
        process.stdout.readline()
        took = time.perf_counter() - began
        process.stdin.close()
    return took


def batches(model: Model, rng: np.random.Generator, size: int, steps: int) -> float:
    """Windows a second in training steps on random windows of the model's own table."""
    parameters = {name: value.copy() for name, value in model.parameters.items()}
    width = 2 * model.options.window + 1
    rows = rng.integers(len(parameters["E"]), size=(steps, size, width))
    labels = rng.integers(len(model.labels), size=size)
    dense = np.zeros((size, 0), np.float32)
    optimizer = SGD()
    began = time.perf_counter()
    for step in rows:
        nodes = parameter_nodes(parameters, model.options)
        gradients = backward(model.loss(nodes, Inputs(step[..., None], dense), labels))
        for name, node in nodes.items():
            optimizer.update(name, parameters[name], gradients[node], 1e-6)
    return steps * size / (time.perf_counter() - began)


def one_by_one(model: Model, rng: np.random.Generator, examples: int) -> float:
    """Windows a second of the same update, written out for one example at a time."""
    E, W, b, U = (model.parameters[name].copy() for name in ("E", "W", "b", "U"))
    width = 2 * model.options.window + 1
    rows = rng.integers(len(E), size=(examples, width))
    Y = np.eye(len(model.types), dtype=np.float32)[rng.integers(len(model.types), size=examples)]
    began = time.perf_counter()
    for window, y in zip(rows, Y, strict=True):
        x = E[window].ravel()
        h = 1 / (1 + np.exp(-(x @ W + b)))
        ds = 1 / (1 + np.exp(-(h @ U))) - y
        dz = (U @ ds) * h * (1 - h)
        dx = W @ dz
        U -= 1e-6 * np.outer(h, ds)
        W -= 1e-6 * np.outer(x, dz)
        b -= 1e-6 * dz
        np.subtract.at(E, window, 1e-6 * dx.reshape(width, -1))
    return examples / (time.perf_counter() - began)


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run")
    parser.add_argument("text")
    options = parser.parse_args()
    model = load_model(Path(options.run))
    tokens = sum(len(line.split()) for line in Path(options.text).open(encoding="utf-8"))
    rng = np.random.default_rng(0)

    def rate(*flags: str) -> float:
        return tokens / seconds([*NERWIN, "predict", options.run, options.text, *flags])

    def python(code: str) -> float:
        return seconds([sys.executable, "-c", code])

    measures: list[tuple[str, str, Callable[[], float]]] = [
        ("`python -c pass`", "s", lambda: python("pass")),
        ("`python -c 'import numpy'`", "s", lambda: python("import numpy")),
        ("`nerwin --help`", "s", lambda: seconds([*NERWIN, "--help"])),
        ("`nerwin predict`, start to first entity", "s", lambda: first_entity(options.run)),
        ("predict, tokenized to CoNLL", "tokens/s", lambda: rate("--input-format", "tokenized")),
        ("predict, raw to JSON lines", "tokens/s", lambda: rate("--format", "jsonl")),
        ("train, one example at a time", "windows/s", lambda: one_by_one(model, rng, 2000)),
        ("train, batches of 32", "windows/s", lambda: batches(model, rng, 32, 1500)),
        ("train, batches of 256", "windows/s", lambda: batches(model, rng, 256, 300)),
    ]
    found: dict[str, list[float]] = {name: [] for name, _, _ in measures}
    with threadpool_limits(1, "blas"):
        for _ in range(ROUNDS):
            for name, _, measure in measures:
                found[name].append(measure())
    print(
        f"{len(model.lexicon.vocabulary):,} vectors of {model.parameters['E'].shape[1]}, hidden "
        f"{model.options.hidden}; {tokens:,} tokens; {os.cpu_count()} cores, {platform.machine()}, "
        f"Python {platform.python_version()}, NumPy {np.__version__}; median of {ROUNDS}\n"
    )
    print("| | median | lowest to highest |\n|---|---|---|")
    for name, unit, _ in measures:
        form = "{:.3f}" if unit == "s" else "{:,.0f}"
        low, middle, high = min(found[name]), statistics.median(found[name]), max(found[name])
        spread = f"{form.format(low)} to {form.format(high)}"
        print(f"| {name} | {form.format(middle)} {unit} | {spread} |")


if __name__ == "__main__":
    main()
