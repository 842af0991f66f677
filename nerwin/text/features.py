"""What a token looks like: capitals, shape, prefixes and suffixes, its exact spelling.

Each feature is a function of the token's string alone, so it is computed once for each distinct
string. Its values are numbered like words are: each has a row in the features' table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nerwin.text.tags import Indices

Feature = Callable[[str], str]


def capitals(token: str) -> str:
    """How a token is capitalised: one of a handful of classes."""
    letters = [c for c in token if c.isalpha()]
    if not letters:
        return "number" if token.isdigit() else "digits" if any(map(str.isdigit, token)) else "sign"
    if any(map(str.isdigit, token)):
        return "letters and digits"
    if all(map(str.islower, letters)):
        return "lower"
    if all(map(str.isupper, letters)):
        return "one capital" if len(letters) == 1 else "upper"
    if not token[0].isupper():
        return "inner"
    return "title" if all(map(str.islower, letters[1:])) else "mixed"


def shape(token: str) -> str:
    """The token with X for capitals, x for other letters, d for digits; runs cut to two.

    ``Xx`` for Paris, ``X.X.`` for U.S., ``dd-dd`` for 1996-08.
    """
    signs: list[str] = []
    for c in token:
        sign = "X" if c.isupper() else "x" if c.isalpha() else "d" if c.isdigit() else c
        if signs[-2:] != [sign, sign]:
            signs.append(sign)
    return "".join(signs)


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
