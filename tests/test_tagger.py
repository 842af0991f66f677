"""nerwin from Python."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import nerwin
from nerwin import tagger as tagger_module
from nerwin.errors import ConfigError
from nerwin.modeldir import load_model
from nerwin.prediction import predict
from nerwin.records import text_record
from nerwin.resources import shipped
from nerwin.text.corpus import read_corpus

DEV = str(shipped("data/demo/dev.conll"))
SMALL = {"train": DEV, "dev": DEV, "vectors": "none", "dimensions": 8, "hidden": 10}


@pytest.fixture(scope="module")
def texts() -> list[str]:
    corpus = read_corpus(DEV)
    pairs = zip(corpus.starts, corpus.starts[1:], strict=False)
    return ["", *(" ".join(corpus.words[a:z]) for a, z in pairs), "\n é😀 Paris\n\nLondon. \n"]


@pytest.mark.parametrize("kind", ["trained", "rich"])
def test_one_by_one_and_in_a_pipe_it_finds_the_same(
    kind: str, texts: list[str], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    tagger = nerwin.load(request.getfixturevalue(kind))
    monkeypatch.setattr(tagger_module, "_TEXTS", 7)
    piped = list(tagger.pipe(texts))
    assert [doc.text for doc in piped] == texts
    assert sum(len(doc.entities) for doc in piped) > 20
    for text, doc in zip(texts, piped, strict=True):
        alone = tagger(text)
        assert alone.tokens == doc.tokens
        for a, b in zip(alone.entities, doc.entities, strict=True):
            assert (a.start, a.end, a.type) == (b.start, b.end, b.type)
            assert a.score == pytest.approx(b.score, abs=1e-5)
            assert a.text == text[a.start : a.end]
            assert a.type in tagger.types


@pytest.mark.parametrize("kind", ["trained", "rich"])
def test_threads_that_share_a_tagger_find_the_same(
    kind: str, texts: list[str], request: pytest.FixtureRequest
) -> None:
    """A tagger remembers words from text to text, so threads must not be in there at once."""
    texts = [f"{text} Word{i} Paris" for i, text in enumerate(texts * 2)]
    folder = request.getfixturevalue(kind)
    expected = list(map(nerwin.load(folder), texts))
    shared = nerwin.load(folder)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as threads:
            found = list(threads.map(shared, texts))
    finally:
        sys.setswitchinterval(before)
    assert found == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_process_that_is_forked_while_a_thread_predicts_predicts(
    trained: Path, texts: list[str]
) -> None:
    tagger = nerwin.load(trained)
    expected = tagger(texts[1])
    enough = threading.Event()

    def predict_on_and_on() -> None:
        while not enough.is_set():
            tagger(" ".join(texts))

    def predict_once() -> None:
        os._exit(0 if tagger(texts[1]) == expected else 1)

    with ThreadPoolExecutor(1) as threads, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*multi-threaded", DeprecationWarning)
        threads.submit(predict_on_and_on)
        fork = multiprocessing.get_context("fork")
        children = [fork.Process(target=predict_once) for _ in range(5)]
        try:
            for child in children:
                child.start()
                child.join(20)
                child.kill()
        finally:
            enough.set()
    assert [child.exitcode for child in children] == [0] * 5


def test_it_finds_what_predict_finds(trained: Path, texts: list[str]) -> None:
    blocks = predict(load_model(trained), [[text_record(text) for text in texts]])
    expected = [entities for block in blocks for entities in block.entities()]
    found = [doc.entities for doc in nerwin.load(trained).pipe(texts)]
    assert [[(e.start, e.end, e.type) for e in x] for x in found] == [
        [(e.start, e.end, e.type) for e in x] for x in expected
    ]


def test_a_pipe_reads_no_further_ahead_than_a_batch(trained: Path) -> None:
    read = 0

    def endless(text: str) -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield text

    tagger = nerwin.load(trained)
    for text in ("Paris.", "Paris is not London. " * 3000):
        docs = tagger.pipe(endless(text))
        read = 0
        next(docs)
        assert read * len(tagger(text).tokens) <= tagger_module._TOKENS + 15_000
        assert read <= tagger_module._TEXTS
    assert list(tagger.pipe([])) == []


def test_the_vectors_are_those_after_training(trained: Path, tmp_path: Path) -> None:
    tagger = nerwin.load(trained)
    model = tagger.model
    words = model.lexicon.vocabulary.words
    assert tagger.vectors.index_to_key == list(words)
    both = np.concatenate((model.parameters["E"], model.untouched))
    for word in (words[0], words[len(words) // 2], words[-1]):
        row = model.lexicon.vocabulary.rows([word])[0]
        assert np.array_equal(tagger.vectors[word], both[row])
    (best, score), *_ = tagger.vectors.most_similar(words[0], topn=1)
    cosines = both[2:] @ both[2] / np.linalg.norm(both[2:], axis=1) / np.linalg.norm(both[2])
    assert words[int(np.argsort(cosines)[-2])] == best
    assert score == pytest.approx(np.sort(cosines)[-2], abs=1e-5)
    tagger.vectors.save(str(tmp_path / "v.kv"))
    again = type(tagger.vectors).load(str(tmp_path / "v.kv"))
    assert again.most_similar(words[0], topn=1)[0][0] == best


def test_training_leaves_a_run_and_gives_its_tagger(tmp_path: Path) -> None:
    seen: list[int] = []
    run = tmp_path / "run"
    tagger = nerwin.train(
        output=run, epochs=2, on_epoch=lambda epoch: seen.append(epoch.number), **SMALL
    )
    assert seen == [1, 2]
    assert (run / "metrics.json").exists()
    again = nerwin.load(run)
    assert np.array_equal(again.model.parameters["E"], tagger.model.parameters["E"])
    assert tagger.model.options.hidden == (10,)
    with pytest.raises(ConfigError, match="exists already"):
        nerwin.train(output=run, **SMALL)
    assert nerwin.train(output=str(run), overwrite=True, epochs=1, **SMALL).types == tagger.types


def test_an_interrupted_training_leaves_what_it_finished(tmp_path: Path) -> None:
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nerwin.train(output=tmp_path / "run", on_epoch=stop, **SMALL)
    assert nerwin.load(tmp_path / "run").types


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        (None, {"epoch": 3}, "'epoch' is no option; did you mean 'epochs'?"),
        ("demo", {"epochs": 0}, "training.epochs: expected at least 1"),
        ("no-such", {}, "no-such: no such file, nor a configuration"),
    ],
)
def test_options_that_cannot_be(
    config: str | None, options: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        nerwin.train(config, output=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_only_what_there_is_can_be_imported() -> None:
    assert nerwin.Tagger is tagger_module.Tagger
    with pytest.raises(AttributeError, match="no attribute 'taggre'"):
        _ = nerwin.taggre


def test_the_examples_of_the_page_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    nerwin.train("demo", output="runs/demo", epochs=1)
    Path("news.txt").write_text("Paris.\n" * 3)
    page = shipped("docs/python.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(examples) == 5
    names: dict[str, object] = {}
    for example in examples:
        if "spacy" in example and not importlib.util.find_spec("spacy"):
            continue
        with warnings.catch_warnings(action="ignore"):  # of the file left open, and spaCy's own
            exec(compile(example, "docs/python.md", "exec"), names)
    assert (tmp_path / "runs/small/metrics.json").exists()
