from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nerwin.config import find_config, from_dict, load_config, parse_setting
from nerwin.errors import ConfigError
from nerwin.options import SECTIONS, Config, DataOptions
from nerwin.resources import shipped


@pytest.fixture
def file(tmp_path: Path):
    def write(content: str | bytes) -> Path:
        path = tmp_path / "my.toml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def option(section: str, key: str, value: object) -> object:
    return getattr(getattr(load_config(overrides=[(section, key, value)]), section), key)


# --- precedence


def test_defaults_then_file_then_flags(file) -> None:
    path = file('[model]\nwindow = 3\nactivation = "tanh"\n[training]\nseed = 4\n')
    config = load_config(path, [("model", "window", "5"), ("training", "epochs", 7)])
    assert (config.model.window, config.model.activation, config.model.loss) == (
        5,
        "tanh",
        "logistic",
    )
    assert (config.training.seed, config.training.epochs) == (4, 7)
    assert config.data == DataOptions()
    assert load_config() == load_config(file("")) == Config()


def test_the_last_of_several_overrides_counts() -> None:
    overrides = [("training", "seed", 1), ("training", "seed", 2)]
    assert load_config(overrides=overrides).training.seed == 2


def test_every_default_is_within_its_own_limits() -> None:
    assert from_dict(Config().as_dict()) == Config()


# --- what is refused


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[modell]\nwindow = 1\n", r"section \[modell\] is unknown; did you mean 'model'\?"),
        ("[model]\nwindows = 1\n", r"model.windows: 'windows' is unknown; did you mean 'window'\?"),
        ("[model]\nxyzzy = 1\n", r"'xyzzy' is unknown; there are window, hidden"),
        ('[model]\nactivation = "sigmoidal"\n', r"did you mean 'sigmoid'\?"),
        ('[data]\nscheme = "BILOU"\n', r"data.scheme: 'BILOU' is unknown; "),
        ("window = 1\n", r"section \[window\] is unknown"),
        ("model = 1\n", r"model is a section: write \[model\]"),
        ("[[model]]\nwindow = 1\n", r"model is a section"),
        ("[model]\nwindow = 1.5\n", "model.window: expected a whole number, not 1.5"),
        ("[model]\nwindow = -1\n", "model.window: expected at least 0, not -1"),
        ("[model\n", "not TOML"),
        ("[model]\nwindow = 1\nwindow = 2\n", "not TOML"),
        (b"[data]\ntrain = '\xff'\n", "not UTF-8"),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(file, content, message: str) -> None:
    with pytest.raises(ConfigError, match=f"my.toml: .*{message}"):
        load_config(file(content))


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.toml"):
        with pytest.raises(ConfigError, match=f"{path.name}: cannot be read"):
            load_config(path)


@pytest.mark.parametrize(
    ("section", "key", "message"),
    [
        ("modle", "window", "section modle is unknown; did you mean 'model'"),
        ("model", "windo", "model.windo: 'windo' is unknown; did you mean 'window'"),
    ],
)
def test_an_unknown_override_is_refused_with_a_suggestion(section, key, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(overrides=[(section, key, 1)])


@pytest.mark.parametrize(
    ("section", "key", "value", "expected"),
    [
        ("model", "window", "two", "a whole number"),
        ("model", "window", True, "a whole number"),
        ("model", "window", 2.0, "a whole number"),
        ("model", "window", [2], "a whole number"),
        ("model", "window", "", "a whole number"),
        ("model", "share_hidden", 1, "true or false"),
        ("model", "share_hidden", "yes", "true or false"),
        ("model", "share_hidden", [], "true or false"),
        ("training", "learning_rate", "fast", "a finite number"),
        ("training", "learning_rate", True, "a finite number"),
        ("training", "learning_rate", "nan", "a finite number"),
        pytest.param("training", "learning_rate", 10**400, "a finite number", id="beyond floats"),
        ("training", "learning_rate", {}, "a finite number"),
        ("data", "train", 5, "a text"),
        ("data", "train", {"a": 1}, "a text"),
        ("model", "activation", 5, "a text"),
        ("model", "hidden", "a,b", "a whole number or a list of them"),
        ("model", "hidden", [], "a whole number or a list of them"),
        ("model", "hidden", "", "a whole number or a list of them"),
        ("model", "hidden", [[1]], "a whole number or a list of them"),
        ("model", "hidden", [100, 2.5], "a whole number or a list of them"),
        ("model", "types", [1], "a list of names"),
        ("model", "types", {"a": 1}, "a list of names"),
        ("model", "window", -1, "at least 0"),
        ("model", "hidden", [100, 0], "at least 1"),
        ("training", "batch_size", 0, "at least 1"),
        ("training", "learning_rate", 0, "more than 0"),
        ("training", "learning_rate", -1, "more than 0"),
        ("training", "learning_rate", "inf", "a finite number"),
        ("training", "momentum", 1, "less than 1"),
        ("training", "momentum", -0.1, "at least 0"),
        ("training", "l2", -1e-9, "at least 0"),
        ("training", "l2", "inf", ""),
        ("training", "seed", -1, "at least 0"),
    ],
)
def test_a_value_that_cannot_be_is_refused(section: str, key: str, value, expected: str) -> None:
    with pytest.raises(ConfigError, match=f"^{section}.{key}: expected ({expected})"):
        load_config(overrides=[(section, key, value)])


def test_momentum_is_refused_where_it_would_do_nothing() -> None:
    settings = [("training", "optimizer", "adam"), ("training", "momentum", 0.9)]
    with pytest.raises(ConfigError, match=r"training.momentum is for sgd, not for adam"):
        load_config(overrides=settings)


# --- what is understood


@pytest.mark.parametrize(
    ("section", "key", "value", "meant"),
    [
        ("model", "hidden", "100,50", (100, 50)),
        ("model", "hidden", " 100 , 50 ", (100, 50)),
        ("model", "hidden", 100, (100,)),
        ("model", "hidden", "100", (100,)),
        ("model", "hidden", [100, 50], (100, 50)),
        ("model", "types", "PER,LOC", ("PER", "LOC")),
        ("model", "types", ["PER"], ("PER",)),
        ("model", "types", "", ()),
        ("model", "types", [], ()),
        ("model", "share_hidden", False, False),
        ("model", "share_hidden", "false", False),
        ("model", "share_hidden", "true", True),
        ("data", "tag_column", "-2", -2),
        ("training", "learning_rate", 1, 1.0),
        ("training", "learning_rate", "1e-3", 0.001),
        ("training", "momentum", 0, 0.0),
        ("data", "train", "", ""),
    ],
)
def test_a_value_becomes_what_its_option_is(section: str, key: str, value, meant) -> None:
    read = option(section, key, value)
    assert read == meant
    assert type(read) is type(meant)


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("model.window=3", ("model", "window", 3)),
        (" model.window = 3 ", ("model", "window", 3)),
        ("model.hidden=[100, 50]", ("model", "hidden", [100, 50])),
        ("model.hidden=100,50", ("model", "hidden", "100,50")),
        ("model.share_hidden=false", ("model", "share_hidden", False)),
        ("data.train=a b/c=d.conll", ("data", "train", "a b/c=d.conll")),
        ('data.train="a.conll"', ("data", "train", "a.conll")),
        ("data.train=C:\\data\\new", ("data", "train", "C:\\data\\new")),
        ("data.train=", ("data", "train", "")),
        ("a.b.c=x", ("a", "b.c", "x")),
    ],
)
def test_settings_of_the_command_line(text: str, setting: tuple[str, str, object]) -> None:
    assert parse_setting(text) == setting


@pytest.mark.parametrize("text", ["", "window=3", "model.window", "=", "model=a.b"])
def test_a_setting_without_its_parts_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected section.key=value"):
        parse_setting(text)


# --- paths


def test_paths_count_from_the_files_folder(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "work").mkdir()
    path = tmp_path / "configs" / "my.toml"
    path.write_text('[data]\ntrain = "../a.conll"\ndev = "/abs/b.conll"\ntest = "c.conll"\n')
    data = load_config(path).data
    assert Path(data.train) == tmp_path / "a.conll"
    assert Path(data.dev) == Path("/abs/b.conll")
    assert Path(data.test) == tmp_path / "configs" / "c.conll"
    monkeypatch.chdir(tmp_path / "work")
    there = load_config(Path("../configs/my.toml")).data
    assert Path(there.train).resolve() == tmp_path / "a.conll"


def test_paths_of_flags_count_from_the_working_folder(file) -> None:
    config = load_config(file('[data]\ntrain = "a"\n'), [("data", "train", "b.conll")])
    assert config.data.train == "b.conll"


def test_an_empty_path_stays_empty(file) -> None:
    assert load_config(file('[data]\ntest = ""\n')).data.test == ""


@pytest.mark.parametrize("name", ["none", "glove-wiki-gigaword-50"])
def test_names_of_vectors_stay_names(file, name: str) -> None:
    assert load_config(file(f'[data]\nvectors = "{name}"\n')).data.vectors == name


def test_vectors_beside_the_file_are_found_there(file, tmp_path: Path) -> None:
    (tmp_path / "v.txt").touch()
    read = load_config(file('[data]\nvectors = "v.txt"\n')).data.vectors
    assert Path(read) == tmp_path / "v.txt"


def test_missing_vectors_are_looked_for_beside_the_file_too(file, tmp_path: Path) -> None:
    read = load_config(file('[data]\nvectors = "vectors/v.txt"\n')).data.vectors
    assert Path(read) == tmp_path / "vectors" / "v.txt"


SHIPPED = sorted(path.stem for path in shipped("configs").glob("*.toml"))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configurations_are_found_by_name_from_anywhere(
    name: str, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(find_config(name))
    assert config.data.train == "" or Path(config.data.train).is_absolute()
    (tmp_path / name).mkdir()
    assert find_config(name) == shipped(f"configs/{name}.toml")


def test_the_demo_is_complete_from_anywhere(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = load_config(find_config("demo")).data
    assert all(Path(p).is_file() for p in (data.train, data.dev, data.test, data.vectors))


def test_a_file_of_ones_own_goes_before_a_shipped_one(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("demo").write_text("[training]\nseed = 9\n")
    assert load_config(find_config("demo")).training.seed == 9


@pytest.mark.parametrize("name", ["", "nothing", "nothing.toml", "../configs/demo", "."])
def test_an_unknown_configuration_is_told_which_there_are(name: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"nor a configuration that comes with nerwin .*demo"):
        find_config(name)


# --- to plain values and back


def values_of(option: dataclasses.Field) -> st.SearchStrategy:
    limits = option.metadata
    if limits.get("named"):
        return st.lists(st.just("a/b=c,=d"), max_size=1).map(tuple)
    if "choices" in limits:
        return st.sampled_from(limits["choices"])
    whole = st.integers(limits.get("at_least", -5), 10**6)
    return {
        "bool": st.booleans(),
        "int": whole,
        "float": st.floats(
            0.001, limits.get("at_most", limits.get("below", 1e6)), exclude_max=True
        ),
        "str": st.text(max_size=8),
        "tuple[int, ...]": st.lists(whole, min_size=1, max_size=3).map(tuple),
        "tuple[str, ...]": st.lists(st.text(max_size=3), max_size=3, unique=True).map(tuple),
    }[option.type]


def section_of(cls: type) -> st.SearchStrategy:
    values = st.fixed_dictionaries({f.name: values_of(f) for f in dataclasses.fields(cls)})
    with_sgd = values.map(lambda v: v | {"optimizer": "sgd"} if v.get("momentum") else v)
    allowed = with_sgd.map(lambda v: v | {"folds": 2} if v.get("folds") == 1 else v)
    return allowed.map(lambda v: cls(**v))


configs = st.fixed_dictionaries({name: section_of(cls) for name, cls in SECTIONS.items()}).map(
    lambda s: (
        Config(**s)
        if s["model"].loss != "crf"
        else Config(**s | {"training": dataclasses.replace(s["training"], teachers=())})
    )
)


@given(configs)
def test_plain_values_and_back(config: Config) -> None:
    assert from_dict(config.as_dict()) == config
    assert from_dict(json.loads(json.dumps(config.as_dict()))) == config
