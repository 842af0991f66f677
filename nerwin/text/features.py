"""What a token looks like: capitals, shape, prefixes and suffixes, its exact spelling.

Each feature is a function of the token's string alone, so it is computed once for each distinct
string. Its values are numbered like words are: each has a row in the features' table.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache, wraps

import numpy as np
from numpy.typing import NDArray

from nerwin.text.tags import Indices

Feature = Callable[[str], str]
_KEPT = 1 << 12  # of what is remembered of characters, and of tokens' signs
_SHORT = 64  # characters of a token, of which more is not remembered


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


def _of_signs(f: Feature) -> Feature:
    """A feature that f tells from a token's signs; many tokens have the same ones."""
    known = lru_cache(_KEPT)(f)

    @wraps(f)
    def feature(token: str) -> str:
        signs = token.translate(_SIGNS)
        return known(signs) if len(signs) <= _SHORT else f(signs)

    return feature


@_of_signs
def capitals(signs: str) -> str:
    """How a token is capitalised: one of a handful of classes."""
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


@_of_signs
def shape(signs: str) -> str:
    """The token with X for capitals, x for other letters, d for digits; runs cut to two.

    ``Xxx`` for Paris, ``X.X.`` for U.S., ``dd-dd`` for 1996-08.
    """
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
