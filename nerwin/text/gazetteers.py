"""Lists of entities, a user's or those of the training data: where do they occur among tokens?

An entry matches a run of tokens of one sentence, ignoring case. Of the matches of a list that
overlap, the leftmost counts, and of those that start at one token the longest. All entries of all
lists are one trie; all tokens walk down it side by side, a step for each word of an entry.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from nerwin.errors import DataError
from nerwin.text.files import open_binary, read_lines
from nerwin.text.tags import BEGIN, END, INSIDE, SINGLE, Indices, Spans
from nerwin.text.tokenizer import split_words
from nerwin.text.vocabulary import SPECIAL

Entry = tuple[str, ...]

ANY = -1  # instead of an entry's only document
ROWS = 1 + SINGLE  # of a list: for no match, and for B, I, E, S
_NO_ENTRY = -2


@dataclass(frozen=True, slots=True)
class EntityList:
    """Entities of one kind.

    entries  words in lower case -> the only document of the training data in which they are such
             an entity, or ``ANY``
    """

    name: str
    entries: dict[Entry, int]

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        documents = list(self.entries.values())
        return {"name": self.name, "entries": list(self.entries), "documents": documents}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> EntityList:
        """The inverse of ``as_dict``."""
        entries = map(tuple, fields["entries"])
        return cls(fields["name"], dict(zip(entries, fields["documents"], strict=True)))


def read_list(path: str | Path, encoding: str = "utf-8") -> list[Entry]:
    """The entities in a file, one a line, but for empty lines and those that start with #.

    Raises DataError, with path:line, for bytes that are not in the encoding, and for a file
    without an entity.
    """
    with open_binary(path) as file:
        lines = [line for line in read_lines(file, path, encoding) if not line.startswith("#")]
    # As in the middle of a sentence, where the full stop of "Acme Inc." ends none.
    entries = [entry for line in lines if (entry := _lower(split_words(f"{line} is")[0][:-1]))]
    if not entries:
        raise DataError("holds no entity", path)
    return entries


def read_lists(files: Sequence[tuple[str, str]], encoding: str = "utf-8") -> list[EntityList]:
    """A user's lists, from (name, path); files of one name are one list."""
    lists: dict[str, EntityList] = {}
    for name, path in files:
        entries = lists.setdefault(name, EntityList(name, {})).entries
        entries |= dict.fromkeys(read_list(path, encoding), ANY)
    return list(lists.values())


def training_lists(
    words: Sequence[str], spans: Spans, starts: Indices, own: Indices
) -> list[EntityList]:
    """The entities of training data, a list for each type.

    own  (S,) the number of each sentence's document
    """
    lists = [EntityList(name, {}) for name in spans.types]
    documents = own[np.searchsorted(starts, spans.start, side="right") - 1]
    bounds = zip(spans.start.tolist(), spans.end.tolist(), strict=True)
    for (start, end), kind, document in zip(
        bounds, spans.type.tolist(), documents.tolist(), strict=True
    ):
        entries = lists[kind].entries
        entry = _lower(words[start:end])
        if entries.setdefault(entry, document) != document:
            entries[entry] = ANY
    return lists


def _lower(words: Sequence[str]) -> Entry:
    return tuple(word.lower() for word in words)


class Gazetteers:
    """Lists, and what matches in them.

    groups  where lists come from -> lists. Each list has ``ROWS`` rows, after the special ones: for
            no match, and for B, I, E and S

    ``no_match`` (L,) is the row of each list where nothing matches.
    """

    def __init__(self, groups: Mapping[str, Sequence[EntityList]] | None = None) -> None:
        self.groups = {name: list(lists) for name, lists in (groups or {}).items()}
        lists = [one for several in self.groups.values() for one in several]
        self.no_match = np.full(len(lists), len(SPECIAL), np.int32)
        entries = [entry for one in lists for entry in one.entries]
        distinct = dict.fromkeys(chain.from_iterable(entries))
        self._number = {word: i for i, word in enumerate(distinct, 1)}  # 0 is for all other words
        self._words = 1 + len(self._number)

        # Level by level: the child of `node` by `word` has the key node · words + word, and is
        # node i + 1 if that is key i. Nodes are numbered by level, so all keys are in order.
        lengths = np.fromiter(map(len, entries), np.intp, len(entries))
        first = np.cumsum(lengths) - lengths
        words = np.fromiter(map(self._number.__getitem__, chain.from_iterable(entries)), np.int64)
        node = np.zeros(len(entries), np.int64)
        going = np.flatnonzero(lengths)
        levels, nodes, depth = [np.empty(0, np.int64)], 1, 0
        while len(going):
            keys = node[going] * self._words + words[first[going] + depth]
            keys, child = np.unique(keys, return_inverse=True)
            node[going] = nodes + child
            nodes += len(keys)
            levels.append(keys)
            depth += 1
            going = going[lengths[going] > depth]
        self._keys = np.concatenate(levels)
        self._child = np.zeros(self._words, np.int64)  # of the root, by word
        if len(levels) > 1:
            self._child[levels[1]] = np.arange(1, 1 + len(levels[1]))
        self._goes_on = np.zeros(nodes, bool)
        self._goes_on[self._keys // self._words] = True
        # What ends at a node: for each list the entry's only document, ANY, or none.
        self._only = np.full((len(lists), nodes), _NO_ENTRY)
        which = np.repeat(np.arange(len(lists)), [len(one.entries) for one in lists])
        self._only[which, node] = [only for one in lists for only in one.entries.values()]
        self._ends = (self._only != _NO_ENTRY).any(axis=0)

    def numbers(self, tokens: Collection[str]) -> Indices:
        """A number for each word of the lists, and 0 for all others; lower case or not."""
        lower = map(str.lower, tokens)
        return np.fromiter((self._number.get(word, 0) for word in lower), np.int64, len(tokens))

    def rows(self, words: Indices, starts: Indices, own: Indices | None = None) -> Indices:
        """Where each token stands in a match of each list, (N, L) int32: one of its rows, of which
        ``no_match`` has those of tokens in none.

        words   (N,) ``numbers`` of the tokens
        starts  (S+1,) the number of each sentence's first token, then N
        own     (S,) the number of each sentence's document, if these are training data: entities
                that only the sentence's own document has are then not in the lists
        """
        longest = self._longest(words, starts, own)
        rows = np.zeros_like(longest)
        for row, length in zip(rows, longest, strict=True):
            start = np.flatnonzero(length)
            end = start + length[start]
            kept = _leftmost(start, end)
            start, end = start[kept], end[kept]
            size = end - start
            row[np.arange(size.sum()) + np.repeat(start - (np.cumsum(size) - size), size)] = INSIDE
            row[start] = BEGIN
            row[end - 1] = END
            row[start[size == 1]] = SINGLE
        return rows.T + self.no_match

    def _longest(self, words: Indices, starts: Indices, own: Indices | None) -> Indices:
        """The length of the longest entry of each list that starts at each token, (L, N)."""
        longest = np.zeros((len(self._only), len(words)), np.int32)
        lengths = np.diff(starts)
        stop = np.repeat(starts[1:], lengths)
        document = None if own is None else np.repeat(own, lengths)
        node = self._child[words]
        at = np.flatnonzero(node)
        node = node[at]
        depth = 1
        while len(at):
            ends = self._ends[node]
            where = at[ends]
            for only, length in zip(self._only[:, node[ends]], longest, strict=True):
                counts = only != _NO_ENTRY
                if document is not None:
                    counts &= only != document[where]
                length[where[counts]] = depth
            on = self._goes_on[node]
            on &= at + depth < stop[at]
            at, node = at[on], node[on]
            keys = node * self._words + words[at + depth]
            child = self._keys.searchsorted(keys)
            found = self._keys.take(child, mode="clip") == keys
            at, node = at[found], child[found] + 1
            depth += 1
        return longest


def _leftmost(start: Indices, end: Indices) -> Indices:
    """Which matches to keep, so that none overlaps one kept before; starts ascend: (n,) bool."""
    kept = np.ones(len(start), bool)
    kept[1:] = start[1:] >= np.maximum.accumulate(end)[:-1]
    # All others reach into some match before; whether that one is kept is seen in their order.
    reach, before = 0, -2
    clashing = np.flatnonzero(~kept)
    rest = zip(
        clashing.tolist(),
        start[clashing].tolist(),
        end[clashing].tolist(),
        end[clashing - 1].tolist(),
        strict=True,
    )
    for i, first, last, last_before in rest:
        if before != i - 1:
            reach = last_before  # it reaches into nothing, and is kept
        if first >= reach:
            kept[i] = True
            reach = last
        before = i
    return kept
