from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import SMALL
from hypothesis import given
from hypothesis import strategies as st

from nerwin.batches import Batches
from nerwin.cli import main
from nerwin.config import load_config
from nerwin.errors import ConfigError, DataError
from nerwin.manifest import read_manifest
from nerwin.modeldir import load_model
from nerwin.text.gazetteers import ANY, EntityList, Gazetteers, read_list, training_lists
from nerwin.text.tags import read_tags
from nerwin.training import Run

MARKS = ".BIES"  # rows 2 to 6 for the first list of a table, and so on


def lists_of(*entries):
    """One list for each argument, of entries that may always match."""
    return [EntityList("", dict.fromkeys((tuple(e.split()) for e in one), ANY)) for one in entries]


def marks(lists, *sentences, own=None):
    """What each list makes of the sentences, a text for each list."""
    tokens = [token for sentence in sentences for token in sentence.split()]
    starts = np.cumsum([0] + [len(sentence.split()) for sentence in sentences])
    known = Gazetteers({"some": lists[:1], "others": lists[1:]})
    rows = known.rows(known.numbers(tokens), starts, None if own is None else np.array(own))
    assert rows.shape == (len(tokens), len(lists))
    assert rows.dtype == np.int32
    return ["".join(MARKS[row] for row in column) for column in (rows - 2).T]


@pytest.mark.parametrize(
    ("entries", "sentence", "expected"),
    [
        (["new york"], "in NEW York now", ".BE."),
        (["paris"], "Paris in paris", "S.S"),
        (["a b c d"], "a b c d a b c", "BIIE..."),
        (["a", "a b", "a b c d"], "a b c a b c d a", "BE.BIIES"),
        (["a b", "b c", "c"], "a b c b c", "BESBE"),
        (["a b", "b c d"], "a b c d", "BE.."),
        (["a b c", "b"], "a b d", ".S."),
        (["a a"], "a a a a a", "BEBE."),
        (["b"], "", ""),
        ([], "a b", ".."),
    ],
)
def test_the_leftmost_and_of_those_the_longest_match_is_marked(entries, sentence, expected):
    assert marks(lists_of(entries), sentence) == [expected]


def test_no_match_goes_past_a_sentences_end():
    assert marks(lists_of(["a b"]), "a", "b a b", "b", "", "a") == ["..BE.."]


def test_lists_do_not_see_each_other():
    assert marks(lists_of(["a b"], [], ["b c", "c"]), "a b c") == ["BE.", "...", ".BE"]


def test_without_lists_there_is_no_column():
    known = Gazetteers()
    assert known.rows(known.numbers(["a"]), np.array([0, 1])).shape == (1, 0)


def test_an_entry_of_its_own_document_alone_is_as_if_it_were_not_there():
    entries = {("a",): 0, ("a", "b"): 1, ("c",): ANY}
    lists = [EntityList("X", entries)]
    sentences = ["a b c", "a b c", "a b c"]
    assert marks(lists, *sentences) == ["BES" * 3]
    assert marks(lists, *sentences, own=[0, 1, 2]) == ["BES" + "S.S" + "BES"]


# --- against a plain matcher ---------------------------------------------------------------------


def plain_marks(entries, words, document=None):
    """One list, one sentence, one place after the other."""
    known = {e for e, only in entries.items() if document is None or only != document}
    marked = ""
    while len(marked) < len(words):
        i = len(marked)
        lower = [word.lower() for word in words[i:]]
        n = max((n for n in range(1, len(lower) + 1) if tuple(lower[:n]) in known), default=0)
        marked += "." if n == 0 else "S" if n == 1 else "B" + "I" * (n - 2) + "E"
    return marked


words = st.sampled_from(["a", "b", "c"])
entry_lists = st.lists(
    st.dictionaries(
        st.lists(words, min_size=1, max_size=5).map(tuple), st.integers(-1, 3), max_size=12
    ),
    max_size=3,
)
sentences_of_documents = st.lists(
    st.tuples(st.lists(st.sampled_from(["a", "b", "c", "A", "x"]), max_size=12), st.integers(0, 3)),
    max_size=6,
)


@given(entry_lists, sentences_of_documents, st.booleans())
def test_matches_are_those_of_a_plain_matcher(entries, sentences, training):
    lists = [EntityList("", one) for one in entries]
    texts = [" ".join(sentence) for sentence, _ in sentences]
    own = [document for _, document in sentences] if training else None
    expected = [
        "".join(
            plain_marks(one, words, document if training else None) for words, document in sentences
        )
        for one in entries
    ]
    assert marks(lists, *texts, own=own) == expected


tagged = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.lists(
            st.tuples(
                st.sampled_from(["a", "A", "b"]), st.sampled_from(["O", "B-X", "I-X", "B-Y"])
            ),
            min_size=1,
            max_size=6,
        ),
    ),
    min_size=1,
    max_size=6,
)


@given(tagged)
def test_leaving_one_document_out_is_making_the_lists_without_it(data):
    data = sorted(data, key=lambda one: one[0])
    tokens = [word for _, sentence in data for word, _ in sentence]
    tags = [tag for _, sentence in data for _, tag in sentence]
    starts = np.cumsum([0] + [len(sentence) for _, sentence in data])
    sentences = [" ".join(word for word, _ in sentence) for _, sentence in data]
    own = np.array([document for document, _ in data])
    spans = read_tags(tags, starts)
    lists = training_lists(tokens, spans, starts, own)
    found = marks(lists, *sentences, own=own)
    assert [one.name for one in lists] == list(spans.types)
    for s, document in enumerate(own):
        for kind, name in enumerate(spans.types):
            others = {
                tuple(word.lower() for word in tokens[a:b]): ANY
                for a, b, k in zip(spans.start, spans.end, spans.type, strict=True)
                if k == kind and own[np.searchsorted(starts, a, "right") - 1] != document
            }
            place = slice(starts[s], starts[s + 1])
            expected = plain_marks(others, tokens[place])
            assert found[kind][place] == expected, name


# --- files ---------------------------------------------------------------------------------------


def test_entities_are_cut_into_tokens_as_text_is(tmp_path):
    path = tmp_path / "names.txt"
    content = (
        "\ufeffPARIS Hilton\r\n\r\n# a remark\r\nJ. Smith\r\n  AT&T, Inc.  \n\nHilton's\n \t \nx"
    )
    path.write_bytes(content.encode())
    assert read_list(path) == [
        ("paris", "hilton"),
        ("j.", "smith"),
        ("at&t", ",", "inc."),
        ("hilton", "'s"),
        ("x",),
    ]
    (tmp_path / "names.gz").write_bytes(gzip.compress(content.encode()))
    assert read_list(tmp_path / "names.gz") == read_list(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a\nb\nZ\xfcrich\n", ":3: byte 0xfc is not utf-8"), (b"\n# a\n", ": holds no entity")],
)
def test_what_is_wrong_in_a_list_is_named(tmp_path, content, message):
    (tmp_path / "names.txt").write_bytes(content)
    with pytest.raises(DataError) as error:
        read_list(tmp_path / "names.txt")
    assert f"names.txt{message}" in str(error.value)


def test_a_very_long_entry_matches_too():
    long = [f"w{i}" for i in range(10_000)]
    entries = [" ".join(long), "w0 w1", " ".join(long[:5000])]
    text = " ".join([*long, *long[:6000]])
    expected = "B" + "I" * 9998 + "E" + "B" + "I" * 4998 + "E" + "." * 1000
    assert marks(lists_of(entries), text) == [expected]


# --- in a model ----------------------------------------------------------------------------------


@pytest.fixture
def options(tmp_path):
    (tmp_path / "first.txt").write_text("Paris Hilton\nBoris Becker\n")
    (tmp_path / "second.txt").write_text("boris becker\nNELSON MANDELA\n")
    (tmp_path / "towns.txt").write_text("Paris\n")
    (tmp_path / "my.toml").write_text(
        '[data]\ngazetteer = ["PER=first.txt", "a/b:\\u00e4=towns.txt", "PER=second.txt"]\n'
        "[features]\ntrain_lists = true\nfeature_size = 3\n"
    )
    return load_config(tmp_path / "my.toml", [*SMALL, ("training", "epochs", 2)])


def test_a_models_folder_holds_its_lists(options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = Run.start(options, Path("run"))
    epochs = run.epochs()
    next(epochs)
    for name in ("first.txt", "second.txt", "towns.txt"):
        (tmp_path / name).unlink()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").rename(tmp_path / "elsewhere" / "run")
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = Run.resume(Path("run"))
    assert [epoch.number for epoch in again.epochs()] == [2]
    lists = load_model(Path("run")).lexicon.gazetteers.groups
    assert {group: [one.name for one in several] for group, several in lists.items()} == {
        "lists": ["PER", "a/b:ä"],
        "train_lists": ["LOC", "MISC", "ORG", "PER"],
    }
    assert len(lists["lists"][0].entries) == 3
    assert lists == run.model.lexicon.gazetteers.groups
    assert again.model.parameters["E_features"].shape == ((2 + 4) * (2 + 5), 3)


def rows_of(windows):
    return windows.rows[windows[:]]


def test_training_sees_what_other_documents_know_and_prediction_all(options, tmp_path):
    run = Run.start(options, tmp_path / "run")
    train, model = run.splits["train"], run.model
    whole = rows_of(model.windows(train.words, train.starts))
    own = rows_of(model.windows(train.words, train.starts, train.own))
    made = rows_of(Batches(model, train, run.config.training).windows)
    np.testing.assert_array_equal(made, own)
    np.testing.assert_array_equal(whole[..., :-4], own[..., :-4])
    inside = model.labels.encode(train.spans, train.starts) > 0
    middle = model.options.window
    seen = [(rows[inside, middle, -4:] % 7 != 2).any(axis=1).mean() for rows in (whole, own)]
    assert seen[0] == 1
    assert 0.1 < seen[1] < 0.9
    S, S_own = (
        model.scores(train.words, train.starts, train.documents, o) for o in (None, train.own)
    )
    assert (S_own != S).any(axis=1)[(whole != own).any(axis=(1, 2))].all()


def test_damaged_lists_are_told(options, tmp_path):
    run = Run.start(options, tmp_path / "run")
    next(run.epochs())
    path = tmp_path / "run" / "gazetteers.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"lists": [{}]}))
    with pytest.raises(DataError, match=r"gazetteers\.json: damaged"):
        load_model(tmp_path / "run")


def test_a_flag_can_be_given_several_times(tmp_path):
    (tmp_path / "a,b.txt").write_text("x\ny z\n")
    files = [f"PER={tmp_path / 'a,b.txt'}", f"city={tmp_path / 'a,b.txt'}"]
    settings = [f"--set={section}.{key}={value}" for section, key, value in SMALL]
    flags = [*(f"--gazetteer={file}" for file in files), f"--output={tmp_path / 'run'}"]
    result = CliRunner().invoke(main, ["train", *settings, *flags, "--epochs=1"])
    assert result.exit_code == 0, result.output
    assert "lists    PER: 2 entities, city: 2 entities\n" in result.output
    assert read_manifest(tmp_path / "run").config.data.gazetteer == tuple(files)


@pytest.mark.parametrize("value", ["names.txt", "=names.txt", "PER="])
def test_a_list_needs_a_name_and_a_file(value):
    with pytest.raises(ConfigError, match="expected NAME=FILE"):
        load_config(overrides=[("data", "gazetteer", (value,))])


def test_a_list_that_is_not_there_is_told(tmp_path):
    options = [*SMALL, ("data", "gazetteer", f"PER={tmp_path / 'none.txt'}")]
    with pytest.raises(ConfigError, match=r"none\.txt: no such file"):
        Run.start(load_config(overrides=options), tmp_path / "run")
    assert not (tmp_path / "run").exists()
