"""A TOML file and flags -> options. Precedence: defaults < file < flags."""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nerwin.errors import ConfigError, did_you_mean
from nerwin.options import SECTIONS, Config
from nerwin.resources import shipped

Override = tuple[str, str, Any]  # section, key, value


def load_config(path: Path | None = None, overrides: Iterable[Override] = ()) -> Config:
    """The options of a TOML file (or none), with some of them overridden.

    Paths in the file count from the file's own folder. Raises ConfigError for a file that
    cannot be read and for a section, key or value that does not exist or cannot be.
    """
    values: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    if path is not None:
        for section, table in _read_toml(path).items():
            _known(section, SECTIONS, f"{path}: section [{section}]")
            if not isinstance(table, Mapping):
                raise ConfigError(f"{path}: {section} is a section: write [{section}]")
            for key, value in table.items():
                name = f"{path}: {section}.{key}"
                option = _find(section, key, name)
                if option.metadata.get("flag_only"):
                    raise ConfigError(f"{name}: not for files, only for the command line")
                values[section][key] = _from_folder(convert(option, value, name), option, path)
    for section, key, value in overrides:
        name = f"{section}.{key}"
        _known(section, SECTIONS, f"section {section}")
        values[section][key] = convert(_find(section, key, name), value, name)
    return Config(**{name: cls(**values[name]) for name, cls in SECTIONS.items()})


def from_dict(sections: Mapping[str, Mapping[str, Any]]) -> Config:
    """The inverse of ``Config.as_dict``, for options that were stored with a model."""
    flat = ((s, key, value) for s, table in sections.items() for key, value in table.items())
    return load_config(overrides=flat)


def find_config(name: str) -> Path:
    """A configuration file by its path, or a shipped one by its bare name (demo, lecture)."""
    if Path(name).is_file():
        return Path(name)
    inside = shipped(f"configs/{name}.toml")
    if name.isidentifier() and inside.is_file():
        return inside
    names = ", ".join(sorted(p.stem for p in shipped("configs").glob("*.toml")))
    raise ConfigError(f"{name}: no such file, nor a configuration that comes with nerwin ({names})")


def parse_setting(text: str) -> Override:
    """``section.key=value`` -> an override; the value is read as TOML where it is TOML."""
    import tomllib

    name, equals, value = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not equals or not dot:
        raise ConfigError(f"{text!r}: expected section.key=value")
    try:
        return section, key, tomllib.loads(f"value = {value}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return section, key, value.strip()


def convert(option: dataclasses.Field[Any], value: Any, name: str) -> Any:
    """A value from TOML or, as text, from the command line, as the option's own type.

    Raises ConfigError, opened by ``name``, if that cannot be.
    """
    limits = option.metadata
    kind = str(option.type)
    try:
        result: Any = _CONVERTERS[kind](value)
    except (TypeError, ValueError, KeyError, OverflowError):
        raise ConfigError(f"{name}: expected {_EXPECTED[kind]}, not {value!r}") from None
    choices = limits.get("choices")
    if choices and result not in choices:
        _known(str(result), choices, f"{name}: {result!r}")
    if limits.get("named") and not all(all(text.partition("=")) for text in result):
        raise ConfigError(f"{name}: expected NAME=FILE, not {value!r}")
    for number in result if isinstance(result, tuple) else (result,):
        if "at_least" in limits and number < limits["at_least"]:
            raise ConfigError(f"{name}: expected at least {limits['at_least']}, not {number}")
        if "at_most" in limits and number > limits["at_most"]:
            raise ConfigError(f"{name}: expected at most {limits['at_most']}, not {number}")
        if "above" in limits and not limits["above"] < number:
            raise ConfigError(f"{name}: expected more than {limits['above']}, not {number}")
        if "below" in limits and not number < limits["below"]:
            raise ConfigError(f"{name}: expected less than {limits['below']}, not {number}")
    return result


def _read_toml(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error


def _find(section: str, key: str, name: str) -> dataclasses.Field[Any]:
    options = {option.name: option for option in dataclasses.fields(SECTIONS[section])}
    _known(key, options, f"{name}: {key!r}")
    return options[key]


def _known(name: str, names: Iterable[str], what: str) -> None:
    """Raise ConfigError with a suggestion unless the name is one of the names."""
    names = list(names)
    if name not in names:
        hint = did_you_mean(name, names) or f"there are {', '.join(names)}"
        raise ConfigError(f"{what} is unknown; {hint}")


def _from_folder(value: Any, option: dataclasses.Field[Any], file: Path) -> Any:
    """A path in a configuration file, seen from the working folder."""
    if not option.metadata.get("path") or not value:
        return value
    if option.metadata.get("named"):
        pairs = (text.partition("=") for text in value)
        return tuple(f"{name}={os.path.normpath(file.parent / path)}" for name, _, path in pairs)
    if isinstance(value, tuple):
        return tuple(os.path.normpath(file.parent / path) for path in value)
    path = os.path.normpath(file.parent / value)
    could_be_name = option.name == "vectors" and not {".", "/", os.sep} & set(value)
    return value if could_be_name and not os.path.exists(path) else path


def _bool(value: Any) -> bool:
    return value if isinstance(value, bool) else {"true": True, "false": False}[value]


def _int(value: Any) -> int:
    if isinstance(value, bool | float):
        raise TypeError
    return int(value)


def _float(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _list(value: Any) -> list[Any]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return list(value) if isinstance(value, list | tuple) else [value]


def _ints(value: Any) -> tuple[int, ...]:
    numbers = tuple(_int(part) for part in _list(value))
    if not numbers:
        raise ValueError
    return numbers


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_text(part) for part in _list(value)))


_CONVERTERS = {
    "bool": _bool,
    "int": _int,
    "float": _float,
    "str": _text,
    "tuple[int, ...]": _ints,
    "tuple[str, ...]": _texts,
}
_EXPECTED = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a finite number",
    "str": "a text",
    "tuple[int, ...]": "a whole number or a list of them",
    "tuple[str, ...]": "a list of names",
}
