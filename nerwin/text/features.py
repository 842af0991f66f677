"""What a token looks like: capitals, shape, prefixes and suffixes, its exact spelling.

Each feature is a function of the token's string alone, so it is computed once for each distinct
string. Its values are numbered like words are: each has a row in the features' table.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nerwin.text.tags import Indices

Feature = Callable[[str], str]
_KEPT = 1 << 12  # signs of words, and of characters: many words have the same ones


class _Signs(dict[int, str]):
    """The sign of each character by its number: X for capitals, x for letters in lower case, c for
    other letters, d for digits; all else is its own.
    """

    def __missing__(self, number: int) -> str:
        c = chr(number)
        letter = "X" if c.isupper() else "x" if c.islower() else "c"
        sign = letter if c.isalpha() else "d" if c.isdigit() else c
        if number < _KEPT:
            self[number] = sign
        return sign


_SIGNS = _Signs()
_REPEATED = re.compile(r"(.)\1\1+", re.DOTALL)


def capitals(token: str) -> str:
    """How a token is capitalised: one of a handful of classes."""
    return _capitals(token.translate(_SIGNS))


def shape(token: str) -> str:
    """The token with X for capitals, x for other letters, d for digits; runs cut to two.

    ``Xx`` for Paris, ``X.X.`` for U.S., ``dd-dd`` for 1996-08.
    """
    return _shape(token.translate(_SIGNS))


@lru_cache(_KEPT)
def _capitals(signs: str) -> str:
    letters = [sign for sign in signs if sign in "Xxc"]
    if not letters:
        return "number" if set(signs) == {"d"} else "digits" if "d" in signs else "sign"
    if "d" in signs:
        return "letters and digits"
    if set(letters) == {"x"}:
        return "lower"
    if set(letters) == {"X"}:
        return "one capital" if len(letters) == 1 else "upper"
    if signs[0] != "X":
        return "inner"
    return "title" if set(letters[1:]) == {"x"} else "mixed"


@lru_cache(_KEPT)
def _shape(signs: str) -> str:
    return _REPEATED.sub(r"\1\1", signs.replace("c", "x"))


def _prefix(length: int) -> Feature:
    return lambda token: token[:length]


def _suffix(length: int) -> Feature:
    return lambda token: token[-length:]


FEATURES: dict[str, Feature] = {
    "capitals": capitals,
    "shape": shape,
    **{f"prefix{n}": _prefix(n) for n in (2, 3, 4)},
    **{f"suffix{n}": _suffix(n) for n in (2, 3, 4)},
    "cased": lambda token: token,
}


@dataclass(frozen=True, slots=True)
class Case:
    """How W different tokens are written.

    folded   (W,) equal numbers for tokens that are equal in lower case
    lower    (W,) whether a token is in lower case
    capital  (W,) whether it begins with a capital
    """

    folded: Indices
    lower: NDArray[np.bool_]
    capital: NDArray[np.bool_]


def frequent_values(name: str, tokens: Iterable[str], at_least: int = 2) -> list[str]:
    """The values of a feature that occur often enough among the tokens, in order.

    What occurs only once is left to the unknown value, whose vector is learned from it.
    """
    feature = FEATURES[name]
    counts: Counter[str] = Counter()
    for token, count in Counter(tokens).items():
        counts[feature(token)] += count
    return sorted(value for value, count in counts.items() if count >= at_least)
