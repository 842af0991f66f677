"""What things cost, in counts that no machine changes: no clock is read here.

Every guard has a mutant beside it, which does what the guard is against, to show that it can fail.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from nerwin import cli, pieces, records
from nerwin.batches import Batch
from nerwin.classifier import Inputs
from nerwin.cli import main
from nerwin.decoding import Labels
from nerwin.descent import Descent
from nerwin.engine import graph, kernels, ops
from nerwin.engine.rowgrad import RowGrad
from nerwin.initial import new_parameters
from nerwin.model import Model
from nerwin.options import Config, TrainingOptions
from nerwin.resources import shipped
from nerwin.text import lexicon
from nerwin.text.corpus import read_corpus
from nerwin.text.files import byte_blocks
from nerwin.text.lexicon import Lexicon
from nerwin.text.tokens import Tokens
from nerwin.text.vocabulary import Vocabulary

D, TYPES = 20, ("A", "B", "C")


def descent(V: int = 1000, optimizer: str = "sgd", **options) -> Descent:
    """The lecture's model with a table of V rows, about to be trained."""
    model_options = replace(Config().model, **{"hidden": (30,), **options})
    rng = np.random.default_rng(0)
    E = rng.normal(0, 0.1, (V, D)).astype(np.float32)
    parameters = new_parameters(E, Labels(TYPES, model_options.tags), model_options, rng)
    none = np.zeros((0, D), np.float32)
    model = Model(model_options, TYPES, Lexicon(Vocabulary.of([])), parameters, none, none)
    return Descent(model, [], TrainingOptions(optimizer=optimizer), (0,))


def batch(size: int = 32, V: int = 1000) -> Batch:
    rng = np.random.default_rng(1)
    rows, windows = np.unique(rng.integers(V, size=(size, 5)), return_inverse=True)
    inputs = Inputs(rows[:, None], windows, np.zeros((size, 0), np.float32))
    return Batch(inputs, rng.integers(len(TYPES) + 1, size=size), None, None)


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of plain ops, without the compiled loops."""
    monkeypatch.setattr(kernels, "compiled", lambda: None)


# --- memory: nothing of the table's size ------------------------------------------------------


def peak(optimizer: str, V: int) -> int:
    """Bytes that a step allocates at most, beside what was there before."""
    trained = descent(V, optimizer)
    trained.step(batch(V=V), 0.1)  # makes the optimizer's state, which is of the table's size
    given = batch(V=V)
    tracemalloc.start()
    trained.step(given, 0.1)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "adam"])
def test_a_step_allocates_nothing_that_grows_with_the_table(optimizer: str) -> None:
    assert peak(optimizer, 200_000) < peak(optimizer, 20_000) + 20_000  # not even a bit a row


def test_a_dense_gradient_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    scatter = RowGrad.scatter
    monkeypatch.setattr(RowGrad, "scatter", lambda *given: scatter(*given).dense())
    assert peak("sgd", 200_000) > 200_000 * D * 4


# --- arithmetic: three products a layer -------------------------------------------------------


class Counted(np.ndarray):
    """An array that writes down the shapes of every product that it, or what is made of it, is
    in.
    """

    products: Counter[tuple[tuple[int, ...], ...]]

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **options):
        if ufunc is np.matmul:
            Counted.products[tuple(array.shape for array in inputs)] += 1
        if out:
            options["out"] = tuple(plain(array) for array in out)
        made = getattr(ufunc, method)(*map(plain, inputs), **options)
        return counted(out[0] if out else made)

    def __array_function__(self, func, types, given, options):
        if func in {np.dot, np.einsum, np.inner, np.outer, np.tensordot}:
            Counted.products[func.__name__] += 1
        return super().__array_function__(func, types, given, options)

    def dot(self, other):
        return np.dot(self, other)


def plain(array):
    return array.view(np.ndarray) if isinstance(array, Counted) else array


def counted(array):
    return array.view(Counted) if isinstance(array, np.ndarray) else array


def products(trained: Descent, size: int) -> Counter[tuple[tuple[int, ...], ...]]:
    """The products of one step."""
    parameters = {name: counted(value) for name, value in trained.model.parameters.items()}
    model = replace(trained.model, parameters=parameters)
    Counted.products = Counter()
    Descent(model, [], trained.options, (0,)).step(batch(size), 0.1)
    return Counted.products


def three(B: int, n: int, m: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """X W, Xᵀ dZ and dZ Wᵀ."""
    return [((B, n), (n, m)), ((n, B), (B, m)), ((B, m), (m, n))]


WORDS = len(batch(16).inputs.rows)  # different words in the windows of a batch of 16
# The same of the first layer, for words instead of windows, at each of five places.
FIRST = [((WORDS, D), (5, D, 30)), ((D, WORDS), (5, WORDS, 30)), ((5, WORDS, 30), (5, 30, D))]


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("hidden", [(30,), (30, 20), (30, 20, 10)], ids=len)
@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
def test_a_step_has_three_products_a_layer(hidden: tuple[int, ...], activation: str) -> None:
    widths = (*hidden, len(TYPES))
    wanted = FIRST + [product for n, m in pairwise(widths) for product in three(16, n, m)]
    assert products(descent(hidden=hidden, activation=activation), 16) == Counter(wanted)


@pytest.mark.usefixtures("uncompiled")
def test_fixed_vectors_spare_the_product_for_them() -> None:
    wanted = [*FIRST[:2], *three(16, 30, len(TYPES))]
    assert products(descent(update_vectors=False), 16) == Counter(wanted)


@pytest.mark.usefixtures("uncompiled")
def test_a_product_made_twice_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    op = ops.window_affine

    def again(V, D, W, b, *, words):
        Z, (dV, dD, dW, db) = op(V, D, W, b, words=words)
        return Z, (dV, dD, lambda dZ: dW(dZ + 0 * op(V, D, W, b, words=words)[0]), db)

    monkeypatch.setattr(ops, "window_affine", again)
    assert products(descent(), 16).total() == 7


# --- the graph: its size is the model's, not the data's ---------------------------------------


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all nodes that are made."""
    names: list[str] = []
    init = graph.Node.__init__

    def noted(self, value, name="", *rest, **options) -> None:
        names.append(name)
        init(self, value, name, *rest, **options)

    monkeypatch.setattr(graph.Node, "__init__", noted)
    return names


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("size", [1, 32, 1000])
def test_a_step_is_six_nodes(made: list[str], size: int) -> None:
    trained = descent()
    assert made == ["E", "W", "b", "U"]
    made.clear()
    for _ in range(2):
        trained.step(batch(size), 0.1)
    step = ["lookup", "", "window_affine", "sigmoid", "scores", "logistic_loss"]
    assert made == step * 2  # "": no dense numbers, a constant


@pytest.mark.skipif(kernels.compiled() is None, reason="built without a C compiler")
def test_compiled_it_is_two_nodes_and_far_fewer_calls(
    made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = descent()
    trained.step(batch(), 0.1)  # imports what it needs
    made.clear()
    compiled = calls(partial(trained.step, batch(), 0.1))
    assert made == ["lookup", "window_network"]
    monkeypatch.setattr(kernels, "compiled", lambda: None)
    trained.step(batch(), 0.1)  # as above
    assert compiled < 2 / 3 * calls(partial(trained.step, batch(), 0.1))


@pytest.mark.parametrize("depth", [2, 3, 20])
def test_a_layer_more_is_four_nodes_more(made: list[str], depth: int) -> None:
    descent(hidden=(30,) * depth).step(batch(), 0.1)
    assert len(made) == 10 + 4 * (depth - 1)


# --- Python's own work: calls of functions ----------------------------------------------------


def calls(work: Callable[[], object]) -> int:
    """How many functions are called, Python's and C's."""
    count = 0

    def note(frame, event: str, argument) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_calls_of_a_step_do_not_grow_with_the_batch(optimizer: str) -> None:
    trained = descent(optimizer=optimizer)
    few, many = (calls(partial(trained.step, batch(n), 0.1)) for n in (100, 2000))
    assert many < few + 50


def test_a_loop_over_the_batch_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    lookup = ops.lookup

    def one_by_one(E, *, rows):
        V = np.concatenate([lookup(E, rows=row[None])[0] for row in rows])
        return V, lookup(E, rows=rows)[1]

    monkeypatch.setattr(ops, "lookup", one_by_one)
    trained = descent()
    assert calls(partial(trained.step, batch(2000), 0.1)) > 2000


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, int]:
    """A text, another that has it twice, and how many tokens the one has more."""
    corpus = read_corpus(shipped("data/demo/train.conll"))
    lines = [" ".join(corpus.words[a:b]) + "\n" for a, b in pairwise(corpus.starts)]
    folder = tmp_path_factory.mktemp("texts")
    once, twice = folder / "once.txt", folder / "twice.txt"
    text = "".join(lines) * 2
    once.write_text(text)
    twice.write_text(text * 2)
    return once, twice, 2 * len(corpus.words)


def calls_per_token(run: Path, texts: tuple[Path, Path, int], flags: Sequence[str]) -> float:
    """Calls in ``nerwin predict`` for each further token: loading and the like are left out."""
    once, twice, tokens = texts

    def predict(path: Path) -> int:
        command = ["predict", str(run), str(path), *flags]
        return calls(partial(CliRunner().invoke, main, command, catch_exceptions=False))

    predict(once)  # imports what it needs
    return (predict(twice) - predict(once)) / tokens


TOKENIZED = ("-i", "tokenized", "-f", "conll")
RAW = ("-i", "text", "-f", "jsonl")


def test_tokenized_text_costs_few_calls(trained: Path, texts) -> None:
    """There are some for each sentence, of which these have 15 tokens, but none for each token."""
    assert calls_per_token(trained, texts, TOKENIZED) < 1.5  # 1.1 in Python 3.11


def test_raw_text_costs_few_calls(trained: Path, texts) -> None:
    """For each token there are some of C's, to append where it begins and the like."""
    assert calls_per_token(trained, texts, RAW) < 8  # 6.4 in Python 3.11


def test_a_call_for_each_token_would_be_noticed(
    trained: Path, texts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_by_one(tokens):
        number = {}
        numbers = [number.setdefault(token, len(number)) for token in tokens]
        return tokens if isinstance(tokens, Tokens) else Tokens(list(number), np.array(numbers))

    monkeypatch.setattr(Tokens, "of", one_by_one)
    assert calls_per_token(trained, texts, TOKENIZED) > 1.5
    assert calls_per_token(trained, texts, RAW) > 8


# --- the garbage collector: it has nothing to do ------------------------------------------------


def collected(run: Path, path: Path, flags: Sequence[str] = TOKENIZED) -> tuple[int, int]:
    """How often ``nerwin predict`` makes Python look for cycles of garbage, and how many objects
    are then in some.
    """
    command = ["predict", str(run), str(path), *flags]
    begun: list[str] = []
    CliRunner().invoke(main, command, catch_exceptions=False)  # imports what it needs
    gc.collect()
    before = gc.get_threshold()
    gc.callbacks.append(lambda phase, _: begun.append(phase))
    try:
        CliRunner().invoke(main, command, catch_exceptions=False)
    finally:
        gc.callbacks.pop()
        gc.set_threshold(*before)
    return begun.count("start"), gc.collect()


@pytest.mark.parametrize("remembered", [1 << 16, 10])
def test_sentences_leave_no_garbage_to_be_looked_for(
    trained: Path, texts, remembered: int, monkeypatch
) -> None:
    """Words that are forgotten leave none either, piece after piece."""
    monkeypatch.setattr(lexicon, "_CACHED", remembered)
    monkeypatch.setattr(pieces, "byte_blocks", partial(byte_blocks, size=1 << 14))
    once, twice, _ = texts
    assert collected(trained, once) == collected(trained, twice)
    assert collected(trained, twice)[0] == 0


MALFORMED = {
    "jsonl": ('{"text": "Paris"}\n', '{"text": 5}\n{"text\n'),
    "csv": ("text,n\n", "Paris,1\nRome\n"),
    "conll": ("-DOCSTART- -X-\n\nParis B-LOC\n\n", "Rome B-LOC\nRome\n\n"),
    "tokenized": ("Paris\n", "Rome \ud800\n"),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_records_leave_no_garbage_to_be_looked_for(
    trained: Path, kind: str, tmp_path, monkeypatch
) -> None:
    """An error keeps what was at hand where it was raised: a piece of the file, and all of it."""
    monkeypatch.setattr(pieces, "byte_blocks", partial(byte_blocks, size=1 << 10))
    head, wrong = MALFORMED[kind]
    once, twice = tmp_path / "once", tmp_path / "twice"
    for path, times in ((once, 500), (twice, 1000)):
        path.write_text(head + wrong * times, errors="surrogatepass")
    flags = ("-i", kind, "-f", "jsonl")
    assert (
        "skipped" in CliRunner().invoke(main, ["predict", str(trained), str(once), *flags]).stderr
    )
    assert collected(trained, once, flags) == collected(trained, twice, flags)


def test_a_collection_would_be_noticed(trained: Path, texts, monkeypatch) -> None:
    monkeypatch.setattr(cli, "_UNCOLLECTED", 700)
    assert collected(trained, texts[1])[0] > 1


def test_a_cycle_in_each_sentence_would_be_noticed(trained: Path, texts, monkeypatch) -> None:
    plain = records._tokenized_record

    def in_a_cycle(line):
        cycle = []
        cycle.append(cycle)
        return plain(line)

    monkeypatch.setattr(records, "_tokenized_record", in_a_cycle)
    once, twice, _ = texts
    assert collected(trained, once)[1] + 100 < collected(trained, twice)[1]
