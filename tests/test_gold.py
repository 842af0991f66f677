from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest

from nerwin.errors import ConfigError, DataError
from nerwin.gold import Gold, read_gold
from nerwin.options import DataOptions

TAGS = ["O", "B-PER", "I-PER", "E-PER", "S-LOC", "B-LOC", "I-ORG"]


@pytest.fixture
def gold(tmp_path: Path):
    def read(content: str, name: str = "gold.conll", **options: object) -> Gold:
        data = content.encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return read_gold(str(tmp_path / name), DataOptions(**options))

    return read


def test_a_file_with_its_entities(gold, tmp_path: Path) -> None:
    read = gold("Paris B-PER\nHilton I-PER\n\nin O\nParis B-LOC\n")
    assert read.words == ["Paris", "Hilton", "in", "Paris"]
    assert read.starts.tolist() == [0, 2, 4]
    assert read.spans.types == ("LOC", "PER")
    assert read.scheme == "IOB2"
    assert read.provenance() == {
        "path": str(tmp_path / "gold.conll"),
        "sha256": hashlib.sha256((tmp_path / "gold.conll").read_bytes()).hexdigest(),
        "sentences": 2,
        "tokens": 4,
        "entities": 2,
    }


def test_the_check_sum_is_that_of_the_file_as_it_lies_there(gold, tmp_path: Path) -> None:
    read = gold("Paris B-LOC\n", "gold.gz")
    assert read.sha256 == hashlib.sha256((tmp_path / "gold.gz").read_bytes()).hexdigest()


def test_columns_and_encoding_are_chosen(gold) -> None:
    read = gold("1 Paris B-LOC NNP\n", token_column=1, tag_column=2, encoding="latin-1")
    assert (read.words, read.tags) == (["Paris"], ["B-LOC"])


def test_a_clean_file_gives_no_warning(gold, caplog) -> None:
    gold("a B-X\nb I-X\n")
    gold("a I-X\nb I-X\n", scheme="IO")
    assert not caplog.records


def test_ill_formed_tags_give_one_warning_with_their_number(gold, caplog) -> None:
    read = gold("a B-X\nb O\nc I-X\nd O\ne I-Y\nf O\ng B-Y\nh B-Y\ni I-Y\nj O\nk B-X\nl I-X\n")
    assert len(read.spans) == 6
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "gold.conll: 2 tags are ill-formed in IOB2" in record.getMessage()


def test_a_scheme_that_was_said_is_not_guessed(gold, caplog) -> None:
    assert gold("a B-X\nb I-X\n", scheme="IOB1").scheme == "IOB1"
    assert "gold.conll: 1 tags are ill-formed in IOB1" in caplog.text


def test_a_missing_file_is_the_options_fault_and_a_bad_one_the_files(gold, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"none.conll: no such file"):
        read_gold(str(tmp_path / "none.conll"), DataOptions())
    with pytest.raises(DataError, match="folder"):
        read_gold(str(tmp_path), DataOptions())
    with pytest.raises(DataError, match=r"gold.conll: holds no token"):
        gold("")
    with pytest.raises(DataError, match=r"gold.conll:2: 'X' in column -1 is not a tag"):
        gold("a O\nb X\n")
