"""``nerwin predict --cluster`` with a real scheduler and real workers, one of which is killed."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from nerwin.cli import main
from nerwin.pieces import Reading, cut
from nerwin.text.files import BLOCK

Client = pytest.importorskip(
    "distributed", reason="Dask is not installed: pip install '.[cluster]'"
).Client

Address = tuple[str, list[int]]
NERWIN = [sys.executable, "-m", "nerwin", "predict"]
LINES = [
    b"Last night, Paris Hilton met Kofi Annan.",
    b"caf\xe9",
    b"",
    b"New York is in New York.\r",
]


def dask(stack: ExitStack, folder: Path, *args: str) -> int:
    """Start a process of Dask's; its number."""
    common = ["--scheduler-file", str(folder / "scheduler.json"), "--no-dashboard"]
    command = [sys.executable, "-m", "dask", *args, *common, "--host", "127.0.0.1"]
    process = stack.enter_context(subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL))
    stack.callback(process.kill)
    return process.pid


def scheduler(stack: ExitStack, folder: Path) -> str:
    """Start a scheduler; its address."""
    dask(stack, folder, "scheduler", "--port", "0")
    place = folder / "scheduler.json"
    until = time.monotonic() + 20
    while not place.exists() and time.monotonic() < until:
        time.sleep(0.05)
    found: str = json.loads(place.read_text())["address"]
    return found


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """The address of a scheduler with two workers on this machine, and the workers' processes."""
    folder = tmp_path_factory.mktemp("dask")
    with ExitStack() as stack:
        found = scheduler(stack, folder)
        worker = ("worker", "--nthreads", "1", "--no-nanny")
        workers = [dask(stack, folder, *worker) for _ in range(2)]
        with Client(found) as client:
            client.wait_for_workers(2, timeout=20)
        yield found, workers


def predict(*args: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*NERWIN, *map(str, args)], capture_output=True, check=False)


def parts(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("part-*")))


def test_the_parts_are_what_one_machine_writes(
    rich: Path, tmp_path: Path, address: Address
) -> None:
    text = b"\n".join(LINES[i * i % 31 % 4] for i in range(60_000))
    inputs = [tmp_path / name for name in ("a.txt", "b.txt.gz", "c.csv", "d.jsonl", "e.txt")]
    inputs[0].write_bytes(b"\xef\xbb\xbf" + text + b"x" * 600_000)
    inputs[1].write_bytes(gzip.compress(text[:5000]))
    inputs[2].write_bytes(b'id,text\n1,"two\nlines"\n2\n3,"open')
    inputs[3].write_bytes(b'{"text": "Kofi Annan."}\n{"text"\n' * 12_000)
    inputs[4].touch()
    where, workers = address
    out = tmp_path / "out"
    command = [rich, *inputs, "-f", "jsonl", "--documents"]
    cluster = ["-o", out, "--cluster", where, "--block-size", 0.5]
    process = subprocess.Popen(
        [*NERWIN, *map(str, command), "file", *map(str, cluster)], stderr=subprocess.PIPE
    )
    with process:
        while process.poll() is None and not list(out.glob("part-*")):
            time.sleep(0.01)
        os.kill(workers[0], signal.SIGKILL)
        _, told = process.communicate()
    one = predict(*command, "file")
    assert (process.returncode, one.returncode) == (0, 0), told
    assert parts(out) == one.stdout
    assert told.decode() == one.stderr.decode()
    assert {path.name[0] for path in out.iterdir()} == {"p", "m"}  # nothing is left half-written
    manifest = json.loads((out / "manifest.json").read_text())
    assert len(manifest["parts"]) > 7
    for part in manifest["parts"]:
        content = (out / part["name"]).read_bytes()
        assert part["done"]["sha256"] == hashlib.sha256(content).hexdigest()

    # What is done is not done again; what is missing is.
    first, second = sorted(out.glob("part-*"))[:2]
    before = first.stat().st_mtime_ns
    second.unlink()
    assert predict(*command, "file", *cluster).returncode == 0
    assert parts(out) == one.stdout
    assert first.stat().st_mtime_ns == before

    # Parts of other inputs or options are not mixed with these.
    other = predict(*command, "record", *cluster)
    assert (other.returncode, other.stderr.count(b"\n")) == (2, 1)
    assert b"has parts of another run (readings differ): give another folder" in other.stderr
    inputs[4].write_text("New.")
    assert b"(inputs differ)" in predict(*command, "file", *cluster).stderr
    assert parts(out) == one.stdout
    again = predict(rich, inputs[4], "-o", out, "--cluster", where, "--overwrite")
    assert again.returncode == 0, again.stderr
    assert parts(out) == predict(rich, inputs[4]).stdout


def test_a_stopped_run_goes_on(trained: Path, tmp_path: Path, address: Address) -> None:
    text = tmp_path / "a.txt"
    text.write_bytes(b"Paris Hilton flew to Paris.\n" * 120_000)
    out = tmp_path / "out"
    command = [*NERWIN, str(trained), str(text), "-f", "inline", "-o", str(out)]
    command += ["--cluster", address[0], "--block-size", "0.5"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        while len(list(out.glob("part-*"))) < 3:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate()
    assert process.returncode == 130
    assert told.split(b"\n")[1] == b"stopped; the same command goes on where it was"
    assert b"Traceback" not in told
    stopped_at = len(list(out.glob("part-*")))
    assert any(part["done"] for part in json.loads((out / "manifest.json").read_text())["parts"])
    assert subprocess.run(command, check=False).returncode == 0
    assert len(list(out.glob("part-*"))) > stopped_at
    assert parts(out) == predict(trained, text, "-f", "inline").stdout


def test_it_says_what_it_waits_for(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Paris.\n")
    command = [*NERWIN, str(trained), "a.txt", "-o", "out", "--cluster"]
    with ExitStack() as stack:
        command.append(scheduler(stack, tmp_path))
        process = stack.enter_context(
            subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE)
        )
        assert process.stderr is not None
        line = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert line == b"Warning: the scheduler has no worker yet; waiting for one\n"
    assert process.returncode == 130


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["-f", "html"], 2, "--cluster writes conll, jsonl or inline, not html"),
        (["-o", "-"], 2, "--cluster writes a folder of parts"),
        (["-"], 2, "--cluster reads files, not standard input"),
        (["--block-size", "0.7"], 2, "--block-size: 0.7 is not a multiple of 0.5 MiB"),
        (["--jobs", "2"], 2, "--jobs is for this machine"),
        (["-o", "full"], 2, "full: not empty, and not made by --cluster"),
        (["bad.jsonl"], 1, "bad.jsonl: no record could be read"),
        (["bad.jsonl", "--strict"], 1, "bad.jsonl:1: not JSON"),
        (["bad.txt.gz"], 1, "bad.txt.gz:1: cannot be read"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    trained: Path, tmp_path: Path, address: Address, args: list[str], code: int,
    message: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("Paris.\n")
    Path("bad.jsonl").write_text("{\n")
    Path("bad.txt.gz").write_bytes(gzip.compress(os.urandom(99))[:-20])
    Path("full").mkdir()
    Path("full/mine").touch()
    files = [] if args[0].startswith("bad") else ["a.txt"]
    command = [trained, *files, "-o", "out", "--cluster", address[0], *args]
    if code == 2:  # told before any worker is asked
        told = CliRunner().invoke(main, ["predict", *map(str, command)]).stderr
    else:
        done = predict(*command)
        assert done.returncode == code
        told = done.stderr.decode()
    last = told.splitlines()[-1]
    assert last.startswith("Error: ")
    assert message in last
    assert "Traceback" not in told


@given(
    st.lists(st.sampled_from([b"a" * 9, b"", b"\r", b" ", b"b\r", b"c" * 50]), max_size=60),
    st.sampled_from([*product(["text", "paragraphs"], ["record", "file", "paragraph"])]),
    st.integers(1, 4),
)
def test_blocks_end_where_one_machine_ends_a_piece(
    lines: list[bytes], how: tuple[str, str], times: int
) -> None:
    from nerwin import parts, pieces
    from nerwin.text.files import byte_blocks

    data = b"\n".join(lines)
    reading = Reading(*how)
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((pieces, "_LONGEST"), (parts, "BLOCK")):
            patch.setattr(module, name, 40)
        patch.setattr(
            pieces, "byte_blocks", lambda *args, **how: byte_blocks(*args, size=40, **how)
        )
        whole = [p.data for p in cut(io.BytesIO(data), "x", reading)]
        ends = parts._ends(io.BytesIO(data), len(data), reading, 40 * times)
        found = []
        for start, end in zip([0, *ends], ends, strict=False):
            block = io.BytesIO(data[start : end or None])
            found += [p.data for p in cut(block, "x", reading, start)]
    assert found == whole
    assert BLOCK == 1 << 19


def test_urls_are_read_and_written(trained: Path, tmp_path: Path, address: Address) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text('{"text": "Paris."}\n')
    (tmp_path / "in" / "no.png").touch()
    url = f"file://{tmp_path}"
    alone = predict(trained, f"{url}/in")
    assert b"only --cluster reads URLs" in alone.stderr
    for name, *where in (("in", address[0]), ("in/*.jsonl", "local", "-j", 1)):
        out = f"out{len(name)}"
        done = predict(trained, f"{url}/{name}", "-o", f"{url}/{out}", "--cluster", *where)
        assert done.returncode == 0, done.stderr
        assert parts(tmp_path / out).startswith(b"Paris\t")


def test_a_full_disk_is_told_in_one_line(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Paris Hilton flew to Paris.\n" * 60_000)
    run = f"{' '.join(NERWIN)} {trained} a.txt -o out --cluster local -j 1"
    done = subprocess.run(  # no file may have more than some MB
        f"ulimit -f 3000; {run}", shell=True, cwd=tmp_path, stderr=subprocess.PIPE, check=False
    )
    assert done.returncode == 1
    assert done.stderr.decode() == f"Error: {tmp_path}/out/part-00000.conll: File too large\n"
    assert os.listdir(tmp_path / "out") == ["manifest.json"]


def test_what_a_store_raises_is_told_in_one_line(trained: Path) -> None:
    import fsspec

    class Store(fsspec.AbstractFileSystem):
        def info(self, path: str, **how: object) -> dict[str, object]:
            raise RuntimeError("no credentials\nat all")

    fsspec.register_implementation("mine", Store, clobber=True)
    command = ["predict", str(trained), "mine://news/a.txt", "-o", "out", "--cluster", "local"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    assert result.stderr == "Error: mine://news/a.txt: RuntimeError: no credentials\n"
