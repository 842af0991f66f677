"""``nerwin predict --jobs``: what several processes find is what one finds, and none is left."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from commandline import NERWIN

from nerwin import pieces
from nerwin.cli import main
from nerwin.errors import DataError
from nerwin.formats import FORMATS
from nerwin.modeldir import load_model
from nerwin.resources import shipped
from nerwin.text.corpus import read_corpus
from nerwin.text.files import byte_blocks

LINE = "Last night, Paris Hilton met Kofi Annan in New York."


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read in so small blocks that there are many pieces, of unlike size."""
    monkeypatch.setattr(pieces, "byte_blocks", partial(byte_blocks, size=1500))
    monkeypatch.setattr(pieces, "_LONGEST", 1500)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of every kind, each with malformed records, and an empty one."""
    folder = tmp_path_factory.mktemp("inputs")
    corpus = read_corpus(shipped("data/demo/dev.conll"))
    words, starts = corpus.words, corpus.starts.tolist()
    sentences = [" ".join(words[a:b]) for a, b in pairwise(starts)][:50]
    draw = random.Random(0)
    texts = [" ".join(draw.choices(sentences, k=draw.choice([1, 1, 2, 9]))) for _ in range(30)]
    bad = [b"caf\xe9", b"", b"  ", b""]
    lines = [
        x for text in texts for x in (text.encode(), *draw.choices(bad, k=draw.choice([0, 2])))
    ]
    (folder / "a.txt").write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(lines) + b"\n" + b"x " * 900)
    objects = [
        json.dumps({"text": t}) if draw.random() < 0.8 else "{" for t in texts for _ in range(2)
    ]
    (folder / "b.jsonl.gz").write_bytes(gzip.compress("\n".join(objects).encode()))
    rows = [draw.choice([f'{i},"{t}\n""x"""', f"{i},", '"', "1"]) for i, t in enumerate(texts)]
    (folder / "c.csv").write_text("\n".join(["id,text", *rows]))
    (folder / "d.conll").write_bytes(
        b"".join(
            draw.choice([b"", b"", b"-DOCSTART- O\n\n", b"a\n", b"caf\xe9 O\n"])
            + "".join(f"{word} O\n" for word in sentence.split(" ")).encode()
            + draw.choice([b"\n", b"\r\n", b" \n\n"])
            for sentence in sentences
        )
    )
    (folder / "e.txt").touch()
    return folder


def predict(run: Path, *args: object, input: bytes | None = None) -> Result:
    return CliRunner().invoke(
        main, ["predict", str(run), *map(str, args)], input=input, prog_name="nerwin"
    )


def outcome(result: Result) -> tuple[int, bytes, str]:
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout_bytes, result.stderr


def children() -> set[str]:
    """Processes whose parent this one is."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, fields = stat.read_text().rpartition(")")
        except OSError:
            continue
        if int(fields.split()[1]) == os.getpid():
            found.add(name)
    return found


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", ["trained", "rich"])
def test_several_processes_find_what_one_finds(
    inputs: Path, tmp_path: Path, form: str, kind: str, request: pytest.FixtureRequest
) -> None:
    run = request.getfixturevalue(kind)
    before = children()
    outcomes = []
    for jobs in (1, 3):
        out = tmp_path / f"{jobs}/"
        found = outcome(predict(run, inputs, "-f", form, "-o", f"{out}/", "-j", jobs))
        files = {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()}
        assert len(files) == 5 * len(FORMATS[form].suffixes)
        outcomes.append((found, files))
    assert outcomes[0] == outcomes[1]
    assert "skipped: more" in outcomes[0][0][2]
    assert children() == before


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("kind", ["text", "paragraphs", "tokenized", "jsonl", "csv", "conll"])
@pytest.mark.parametrize("documents", ["auto", "file", "paragraph"])
def test_so_they_do_of_standard_input_and_in_one_file(
    rich: Path, inputs: Path, kind: str, documents: str
) -> None:
    if documents == "paragraph" and kind not in pieces.LINES:
        return
    name = {"jsonl": "b.jsonl.gz", "csv": "c.csv", "conll": "d.conll"}.get(kind, "a.txt")
    data = (inputs / name).read_bytes()
    ways = ("-", "-i", kind, "--documents", documents, "-f", "jsonl")
    one = outcome(predict(rich, *ways, input=data))
    assert one == outcome(predict(rich, *ways, "-j", 2, input=data))
    assert len(one[1].splitlines()) > 5
    assert predict(rich, inputs, "-j", 2).stdout_bytes == predict(rich, inputs).stdout_bytes


@pytest.mark.usefixtures("small")
def test_what_goes_wrong_is_told_as_by_one(trained: Path, inputs: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "d.txt.gz"
    damaged.write_bytes(gzip.compress(os.urandom(9999) + b"\nfine\n" * 999)[:-99])
    (tmp_path / "none.jsonl").write_text("{\n" * 700)
    (tmp_path / "z.txt").write_text(f"{LINE}\n" * 99)
    for args in (
        (inputs / "a.txt", "--strict"),
        (damaged, "-f", "jsonl"),
        (tmp_path / "none.jsonl",),
        (tmp_path / "none.jsonl", tmp_path / "z.txt", "-f", "html"),
        (inputs, "--min-score", 0.5, "--types", "PER,LOC", "-f", "inline"),
    ):
        assert outcome(predict(trained, *args)) == outcome(predict(trained, *args, "-j", 2))
    outcomes = []
    for jobs in (1, 2):
        out = tmp_path / f"out{jobs}"
        out.mkdir()
        code, _, told = outcome(predict(trained, tmp_path / "*.*", "-o", out, "-j", jobs))
        files = {p.name: p.read_bytes() for p in out.iterdir()}
        outcomes.append((code, told.replace(out.name, ""), files))
    assert outcomes[0] == outcomes[1]
    assert (code, set(files)) == (1, {"z.conll"})
    assert "2 of 3 inputs failed" in told


def start(run: Path, *args: object, **streams: Any) -> subprocess.Popen[bytes]:
    command = [*NERWIN, "predict", str(run), *map(str, args), "-j", "2"]
    process: subprocess.Popen[bytes] = subprocess.Popen(command, **streams)
    return process


def workers_of(process: subprocess.Popen[bytes]) -> list[int]:
    """The workers of a process, once they are there."""
    task = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not task.exists():
        pytest.skip("this system does not tell a process's children in /proc")
    until = time.monotonic() + 20
    while len(found := task.read_text().split()) < 2 and time.monotonic() < until:
        assert process.poll() is None
    return [int(pid) for pid in found]


def gone(pids: list[int]) -> bool:
    """Whether processes end, if they are given a moment."""
    until = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        if time.monotonic() > until:
            return False
    return True


def endless(sink: IO[bytes]) -> None:
    """Fill a pipe, so that there is something to work on."""
    sink.write(f"{LINE}\n".encode() * 1000)
    sink.flush()


def test_each_line_of_a_pipe_that_waits_is_answered(trained: Path) -> None:
    pipe = subprocess.PIPE
    with start(trained, "-f", "jsonl", stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for text in ("First line.", "Second line.", "Third line."):
            process.stdin.write(f"{text}\n".encode())
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["text"] == text
        process.stdin.close()
    assert process.returncode == 0


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_its_parent(trained: Path, tmp_path: Path, end: signal.Signals) -> None:
    out = tmp_path / "out.conll"
    pipe = subprocess.PIPE
    with start(trained, "-o", out, stdin=pipe, stderr=pipe, start_new_session=True) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        endless(process.stdin)
        workers = workers_of(process)
        if end == signal.SIGINT:
            os.killpg(process.pid, end)  # as a terminal does
        else:
            process.send_signal(end)
        assert gone(workers)
        told = process.stderr.read()
        process.stdin.close()
    assert told.split() == ([] if end == signal.SIGKILL else [b"stopped"])
    assert not out.exists()
    if end != signal.SIGKILL:
        assert not list(tmp_path.iterdir())


def test_a_killed_worker_is_told_in_one_line(trained: Path, tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    out = tmp_path / "out"
    out.mkdir()
    with start(trained, "-", "-", "-o", out / "x", stdin=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        endless(process.stdin)
        workers = workers_of(process)
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        _, told = process.communicate(b"more\n" * 20)
    assert process.returncode == 1
    assert told.decode().startswith("Error: a worker process was killed; ")
    assert told.count(b"\n") == 1
    assert not list(out.iterdir())
    assert gone(workers)


def test_it_ends_quietly_when_its_reader_has_had_enough(trained: Path, tmp_path: Path) -> None:
    text = tmp_path / "long.txt"
    text.write_text(f"{LINE}\n" * 30_000)
    command = f"{sys.executable} -m nerwin predict {trained} {text} -j 2 | head -n 2"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert (len(done.stdout.splitlines()), done.stderr) == (2, "")


def test_what_was_read_before_does_not_show_in_the_scores(rich: Path) -> None:
    corpus = read_corpus(shipped("data/demo/train.conll"))
    texts = [corpus.words[i : i + 700] for i in range(0, 7000, 700)]

    def scores(order: Iterable[int]) -> dict[int, bytes]:
        model = load_model(rich)
        ends = np.array([0, 700]), np.array([0, 1])
        return {i: model.scores(texts[i], *ends).tobytes() for i in order}

    assert scores(range(10)) == scores(reversed(range(10)))


def test_no_more_is_held_than_a_few_pieces() -> None:
    from nerwin.parallel import _shared_out

    class Counted:
        read = 0

        def __iter__(self) -> Iterator[tuple[int, None]]:
            for self.read in range(1, 1000):
                yield self.read, None  # nothing to be done

        def waits(self) -> bool:
            return False

    counted = Counted()
    for number, _ in _shared_out([], counted):
        assert counted.read - number <= 1


def test_errors_go_from_process_to_process() -> None:
    error = DataError("wrong", "a.txt", 7)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.line) == ("a.txt:7: wrong", 7)
