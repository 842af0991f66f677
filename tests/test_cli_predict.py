"""``nerwin predict`` as a user meets it: pipes, terminals, disks; more is in ``test_predict``."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from commandline import NERWIN, SMALL, TEST, fails, nerwin

from nerwin import pieces
from nerwin.resources import shipped
from nerwin.text import inline
from nerwin.text.files import byte_blocks


def test_predict_writes_token_and_tag(trained: Path) -> None:
    lines = nerwin("predict", trained, "-", input="Paris Hilton's. She left!\n").stdout.split("\n")
    assert [line.split("\t")[0] for line in lines] == [
        "Paris", "Hilton", "'s", ".", "", "She", "left", "!", "", "",
    ]  # fmt: skip
    assert all(re.fullmatch(r"O|[BI]-(LOC|MISC|ORG|PER)", x.split("\t")[1]) for x in lines if x)


def test_predict_json_lines_have_exact_offsets(trained: Path) -> None:
    text = "“Zoë 🎉 met  Kofi Annan\tin New York.”\n\nAnd Paris.\r\nno end"
    result = nerwin("predict", trained, "-", "--format", "jsonl", input=text)
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [r["text"] for r in records] == [
        "“Zoë 🎉 met  Kofi Annan\tin New York.”", "", "And Paris.", "no end",
    ]  # fmt: skip
    assert any(record["entities"] for record in records)
    for record in records:
        for entity in record["entities"]:
            assert list(entity) == ["start", "end", "text", "type", "score"]
            assert record["text"][entity["start"] : entity["end"]] == entity["text"]
            assert 0 <= entity["score"] <= 1


@pytest.mark.parametrize("kind", ["text", "tokenized"])
def test_a_line_too_long_for_one_record_comes_in_pieces(trained: Path, kind: str) -> None:
    long = f"Zoë met Kofi Annan in New York . {'x' * 2000} " * 400
    text = f"Berlin .\n{long}\nParis\n"
    in_json = nerwin("predict", trained, "-", "-i", kind, "--format", "jsonl", input=text).stdout
    records = [json.loads(line) for line in in_json.splitlines()]
    cut = [record.get("cut", False) for record in records]
    assert "".join(r["text"] + "\n" * (not r.get("cut", False)) for r in records) == text
    assert sum(cut) >= 1
    for record in records:
        for entity in record["entities"]:
            assert record["text"][entity["start"] : entity["end"]] == entity["text"]
    marked = nerwin("predict", trained, "-", "-i", kind, "--format", "inline", input=text).stdout
    assert [inline.parse(line)[0] for line in marked.splitlines()] == text.splitlines()
    columns = nerwin("predict", trained, "-", "-i", kind, input=text).stdout
    assert [line.split("\t")[0] for line in columns.split("\n") if line] == text.split()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_does_not_grow_with_the_length_of_a_line(trained: Path) -> None:
    def peak(megabytes: int) -> int:
        """MiB of a process that has read so much without a newline."""
        with subprocess.Popen(
            [*NERWIN, "predict", str(trained), "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        ) as process:
            assert process.stdin is not None
            for _ in range(megabytes):
                process.stdin.write((b"x" * 999 + b" ") * 1000)
            status = Path(f"/proc/{process.pid}/status").read_text()
            process.stdin.close()
        assert process.returncode == 0
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) // 1024

    assert peak(60) < peak(4) + 25


def test_all_formats_tell_of_the_same_entities(trained: Path) -> None:
    text = shipped("data/README.md").read_text(encoding="utf-8") + "\n[x] \\ Berlin [y](z)\n"
    outputs = {
        f: nerwin("predict", trained, "-", "--format", f, input=text).stdout
        for f in ("conll", "jsonl", "inline")
    }
    from nerwin.text.inline import parse

    records = [json.loads(line) for line in outputs["jsonl"].splitlines()]
    marked = [parse(line) for line in outputs["inline"].split("\n")[:-1]]
    assert [
        (r["text"], [(e["start"], e["end"], e["type"]) for e in r["entities"]]) for r in records
    ] == marked
    begins = sum(
        line.split("\t")[1].startswith("B-") for line in outputs["conll"].split("\n") if line
    )
    assert begins == sum(len(record["entities"]) for record in records)


def test_tokenized_and_conll_input_keep_their_tokens(trained: Path, tmp_path: Path) -> None:
    tokenized = nerwin(
        "predict", trained, "-", "-i", "tokenized", input="can't stop . \n\nU.S.\ta-b\n"
    )
    assert [x.split("\t")[0] for x in tokenized.stdout.split("\n")] == [
        "can't", "stop", ".", "", "U.S.", "a-b", "", "",
    ]  # fmt: skip
    from nerwin.text.corpus import read_corpus

    predicted = tmp_path / "predicted.conll"
    assert nerwin("predict", trained, TEST, "-o", predicted).exit_code == 0
    gold, again = read_corpus(TEST), read_corpus(predicted)
    assert gold.words == again.words
    assert gold.starts.tolist() == again.starts.tolist()


@pytest.mark.parametrize("kind", ["trained", "rich"])
def test_predict_and_evaluate_agree(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that documents come in several pieces.
    monkeypatch.setattr(pieces, "byte_blocks", partial(byte_blocks, size=300))
    run = request.getfixturevalue(kind)
    predicted = nerwin("predict", run, TEST).stdout.split("\n")
    both = tmp_path / "both.conll"
    gold = [line for line in Path(TEST).read_text().split("\n") if not line.startswith("-DOC")]
    tokens = iter(line for line in predicted if line)
    merged = [f"{line}\t{next(tokens).split(chr(9))[1]}" if line else "" for line in gold]
    both.write_text("\n".join(merged))
    columns = json.loads(nerwin("evaluate", both, "--json").stdout)
    model = json.loads(nerwin("evaluate", run, TEST, "--json").stdout)
    assert columns.pop("calibration_error") is None  # tags have no scores
    assert 0 < model.pop("calibration_error") < 0.5
    assert columns == model
    assert model["f1"] > 0


def test_several_files_come_one_after_the_other(trained: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one.txt", tmp_path / "two.txt"
    one.write_text("One.")
    two.write_text("Two.\n")
    assert nerwin("predict", trained, one, two, one).stdout.count("One") == 2
    fails(nerwin("predict", trained, one, tmp_path / "none.txt"), 2, "none.txt: no such file")


def test_an_output_file_appears_whole_or_not_at_all(trained: Path, tmp_path: Path) -> None:
    good, bad, out = tmp_path / "good.txt", tmp_path / "bad.txt", tmp_path / "out.conll"
    good.write_text("Fine.\n")
    bad.write_bytes(b"fine\nnot \xff utf-8\n")
    fails(
        nerwin("predict", trained, good, bad, "-o", out, "--strict"), 1, f"{bad}:2: ", "--encoding"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"good.txt", "bad.txt"}
    assert nerwin("predict", trained, good, "-o", out).exit_code == 0
    before = out.read_text()
    fails(nerwin("predict", trained, good, "-o", out), 2, "--overwrite")
    assert out.read_text() == before
    assert (
        nerwin("predict", trained, bad, "--encoding", "latin-1", "-o", out, "--overwrite").exit_code
        == 0
    )
    assert "ÿ" in out.read_text(encoding="utf-8")


def test_predict_ends_quietly_when_its_reader_has_had_enough(trained: Path, tmp_path: Path) -> None:
    text = tmp_path / "long.txt"
    text.write_text("Paris Hilton flew to Paris.\n" * 50_000)
    command = f"({sys.executable} -m nerwin predict {trained} {text}; echo $? >&2) | head -n 2"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == "141\n"


def test_predict_answers_each_line_of_a_pipe_that_waits(trained: Path) -> None:
    with subprocess.Popen(
        [*NERWIN, "predict", str(trained), "-", "-f", "jsonl"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        for text in ("First line.", "Second line."):
            process.stdin.write(text + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["text"] == text
        process.stdin.close()


def test_ctrl_c_ends_predict_with_the_code_of_the_shells(trained: Path, tmp_path: Path) -> None:
    with subprocess.Popen(
        [*NERWIN, "predict", str(trained), "-", "-o", "out.conll"], cwd=tmp_path,
        stdin=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        while not list(tmp_path.iterdir()):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, told = process.communicate()
    assert (process.returncode, told) == (130, b"\nstopped\n")
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_told_in_one_line(trained: Path, tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    text = tmp_path / "text.txt"
    text.write_text("Paris.\n")
    done = subprocess.run(
        [*NERWIN, "predict", str(trained), str(text), "-o", "/dev/full"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "Error: /dev/full: No space left on device\n"


def test_an_output_that_cannot_be_written_is_named(trained: Path, tmp_path: Path) -> None:
    closed = f"echo Paris. | {sys.executable} -m nerwin predict {trained} >&-"
    done = subprocess.run(closed, shell=True, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "Error: standard output is closed; name a file with --output\n"
    long = tmp_path / ("x" * 250)  # what is not complete has a longer name
    result = nerwin("predict", trained, "-", "-o", long, input="Paris.")
    fails(result, 1, f"{long}: File name too long")


@pytest.mark.parametrize("loss", ["logistic", "softmax", "crf"])
def test_every_kind_of_model_bears_empty_lines_and_no_lines(tmp_path: Path, loss: str) -> None:
    run = tmp_path / "run"
    options = ["--loss", loss, "--tags", "BIOES", "--documents", "--epochs", "1"]
    assert nerwin("train", *SMALL, *options, "-o", run).exit_code == 0
    for text in ("", "\n", "\n\nParis.\n\n"):
        result = nerwin("predict", run, "-", "--format", "jsonl", input=text)
        assert result.exit_code == 0, result.output
        assert len(result.stdout.splitlines()) == text.count("\n")
    alone = nerwin("predict", run, "-", "--format", "jsonl", input="Paris.\n").stdout
    assert result.stdout.splitlines()[2] == alone.strip()


def test_empty_input_gives_empty_output(trained: Path) -> None:
    for form in ("conll", "jsonl", "inline"):
        result = nerwin("predict", trained, "-", "--format", form, input="")
        assert (result.exit_code, result.stdout) == (0, "")


def test_memory_does_not_grow_with_the_input(trained: Path) -> None:
    line = "Last night, Paris Hilton wowed in the sequin gown in New York.\n"
    peaks = []
    for lines in (20_000, 100_000):
        code = (
            "import sys, nerwin.cli as c\n"
            f"sys.argv = ['nerwin', 'predict', {str(trained)!r}, '-', '-f', 'jsonl']\n"
            "try: c.main()\n"
            "finally:\n"
            "    status = open('/proc/self/status').read()\n"
            "    print(status.split('VmHWM:')[1].split()[0], file=sys.stderr)\n"
        )
        if not Path("/proc/self/status").exists():
            pytest.skip("this system does not tell a process's peak memory in /proc")
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=line * lines, capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks.append(int(done.stderr))
    # How much is in flight depends on what each read of a pipe gives: several MB either way. With
    # every record kept on purpose, 80,000 lines more took 97 MB more.
    assert peaks[1] < peaks[0] + 20_000


def test_tokens_with_spaces_in_them_stay_whole(trained: Path, tmp_path: Path) -> None:
    columns = tmp_path / "columns.conll"
    columns.write_text("New York\tNNP\nis\tVBZ\n#1\tCD\n")
    for form in ("conll", "jsonl"):
        result = nerwin("predict", trained, columns, "--format", form)
        assert result.exit_code == 0
    tokens = nerwin("predict", trained, columns).stdout.split("\n")
    assert [line.split("\t")[0] for line in tokens if line] == ["New York", "is", "#1"]


def test_standard_input_may_be_named_twice(trained: Path) -> None:
    result = nerwin("predict", trained, "-", "-", input="Paris.\n")
    assert result.exit_code == 0
    assert result.stdout.startswith("Paris\t")


def test_a_column_file_is_read_as_in_training(tmp_path: Path) -> None:
    data = tmp_path / "second.conll"
    data.write_bytes("x Zürich B-LOC\nx shines O\nx Zürich B-LOC\nx shines O\n".encode("latin-1"))
    options = (
        f"--train {data} --vectors none --token-column 1 --encoding latin-1 --epochs 1".split()
    )
    run = tmp_path / "run"
    assert nerwin("train", *options, "-o", run).exit_code == 0
    assert nerwin("predict", run, data).stdout.startswith("Zürich\t")
    assert nerwin("evaluate", run, data).exit_code == 0
