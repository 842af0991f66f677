"""What a first pass says of the same words elsewhere in the document, for a second pass to see.

One sentence may leave open what a name is, and another may not: in "Hilton resigned", Hilton is a
person if the document's other sentences have it so (one sense per discourse: Gale, Church and
Yarowsky, 1992; as features of a second model: Krishnan and Manning, 2006).
"""

from __future__ import annotations

import numpy as np

from nerwin.decoding import Labels, best_labels
from nerwin.engine.types import Array, Indices
from nerwin.text.tags import Spans

_BESIDE = 2  # words on each side whose types are told too
_LONGEST = 6  # words of an entity that is looked for elsewhere
_TINY = 1e-6


def evidence(P: Array, labels: Labels, same: Indices, starts: Indices) -> Array:
    """(N, K) float32: what P (N, labels), the answers of a first pass, say of each word.

    same, starts  as in ``DocumentFeatures``

    In this order: P itself; the probabilities of the types ("outside" is the first) of the words
    beside; and of three kinds of places elsewhere in the document, each time whether there is
    one, and the mean and the maximum over them of the types' probabilities:

        the word itself;
        entities that hold the word;
        entities whose words are those that stand here, the word being one of them: its place
        there, as beginning, inside, end or single, comes before.
    """
    spans = labels.decode(best_labels(np.log(P + _TINY), labels, starts), starts)
    types = labels.of_types(P)
    sentence = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    each = np.arange(len(same))

    entity = np.repeat(np.arange(len(spans)), spans.end - spans.start)
    inside = _inside(spans)
    of_entity = np.zeros((len(spans), types.shape[1]), np.float32)
    if len(spans):
        of_entity = np.add.reduceat(types[inside], np.unique(entity, return_index=True)[1])
        of_entity /= (spans.end - spans.start)[:, None]
    record = np.full(len(same), -1)
    record[inside] = np.arange(len(inside))
    T = types.shape[1]
    widths = P.shape[1], 2 * _BESIDE * T, 1 + 2 * T, 1 + 2 * T, 4 + 1 + 2 * T
    told = np.zeros((len(P), sum(widths)), np.float32)
    itself, beside, word, holding, alike = np.split(told, np.cumsum(widths[:-1]), axis=1)
    itself[:] = P
    steps = [step for step in range(-_BESIDE, _BESIDE + 1) if step]
    for step, columns in zip(steps, np.split(beside, len(steps), axis=1), strict=True):
        _tell_shifted(columns, types, sentence, step)
    _tell_elsewhere(word, types, same, same, each)
    _tell_elsewhere(holding, of_entity[entity], same[inside], same, record)
    _tell_same_entities(alike, spans, of_entity, same, sentence)
    return told


def _tell_shifted(told: Array, types: Array, sentence: Indices, step: int) -> None:
    """The row of the word so many steps away, zero past the sentence's ends: (N, T)."""
    N = len(types)
    here = slice(max(-step, 0), max(N - step, 0))
    there = slice(max(step, 0), max(N + step, 0))
    told[here] = types[there]
    told[here][sentence[here] != sentence[there]] = 0


def _inside(spans: Spans) -> Indices:
    """The numbers of all words in entities, entity after entity."""
    lengths = spans.end - spans.start
    before = np.cumsum(lengths) - lengths
    inside: Indices = np.repeat(spans.start - before, lengths) + np.arange(lengths.sum())
    return inside


def _tell_elsewhere(
    told: Array, values: Array, group: Indices, asked: Indices, own: Indices
) -> None:
    """(N, 1 + 2T): of the records in the group that each of N asks for, its own record left out,
    whether there is one, and the mean and the maximum of their values; zero if there is none.

    values, group  (M, T) and (M,) of the records
    asked          (N,) groups, which may have no record
    own            (N,) a record of that group, or −1 for none
    """
    T = values.shape[1]
    counts = np.bincount(group, minlength=asked.max(initial=-1) + 1)
    others = counts[asked] - (own >= 0)
    some = np.flatnonzero(others > 0)
    if not len(some):
        return
    wanted = np.zeros(len(counts), bool)
    wanted[asked[some]] = True
    number = np.cumsum(wanted) - 1  # of a group that is wanted
    records = np.flatnonzero(wanted[group])
    records = records[np.argsort(number[group[records]], kind="stable")]
    counts = counts[wanted]
    begins = np.cumsum(counts) - counts
    in_order = values[records]
    sums = np.add.reduceat(in_order, begins)
    highest = np.maximum.reduceat(in_order, begins)
    # Whoever holds the maximum alone is told the second highest.
    is_highest = in_order == np.repeat(highest, counts, axis=0)
    holders = np.add.reduceat(is_highest.astype(np.int32), begins)
    second = np.maximum.reduceat(np.where(is_highest, 0, in_order), begins)

    place, mine = number[asked[some]], own[some]
    has_own = mine[:, None] >= 0
    of_own = np.where(has_own, values[mine], 0)
    told[some, 0] = 1
    told[some, 1 : 1 + T] = (sums[place] - of_own) / others[some, None]
    alone = has_own & (of_own == highest[place]) & (holders[place] == 1)
    told[some, 1 + T :] = np.where(alone, second[place], highest[place])


def _tell_same_entities(
    told: Array, spans: Spans, of_entity: Array, same: Indices, sentence: Indices
) -> None:
    """(N, 4 + 1 + 2T): of entities elsewhere that are, word for word, what stands here; the
    longest counts.
    """
    N = len(same)
    lengths = spans.end - spans.start
    free = np.ones(N, bool)
    longest = int(min(_LONGEST, lengths.max(initial=0)))
    runs = _runs(same, sentence, longest, same[spans.start[lengths > 1]])
    for length in range(longest, 0, -1):
        run = runs[length - 1]
        these = np.flatnonzero(lengths == length)
        own = np.full(N, -1)
        own[spans.start[these]] = np.arange(len(these))
        at = np.flatnonzero(run >= 0)
        found = np.zeros((len(at), told.shape[1] - 4), np.float32)
        _tell_elsewhere(found, of_entity[these], run[spans.start[these]], run[at], own[at])
        kept = (found[:, 0] > 0) & free[at] & free[at + length - 1]
        first, found = at[kept], found[kept]
        if len(first):  # of those that overlap, the first
            apart = np.append(True, np.diff(first) >= length)
            first, found = first[apart], found[apart]
        for i in range(length):
            place = 3 if length == 1 else 0 if i == 0 else 2 if i == length - 1 else 1
            told[first + i, place] = 1
            told[first + i, 4:] = found
            free[first + i] = False


def _runs(same: Indices, sentence: Indices, longest: int, begin: Indices) -> list[Indices]:
    """For each length, equal numbers for equal runs of words in one document, by their first
    word; −1 where the sentence ends before. Runs of several words begin with some words only.
    """
    runs = [same] if longest else []
    begins = np.zeros(same.max(initial=-1) + 1, bool)
    begins[begin] = True
    first = np.flatnonzero(begins[same])
    for length in range(2, longest + 1):
        first = first[first + length <= len(same)]
        first = first[sentence[first] == sentence[first + length - 1]]
        pairs = runs[-1][first] * (len(same) + 1) + same[first + length - 1]
        run = np.full(len(same), -1)
        run[first] = np.unique(pairs, return_inverse=True)[1]
        runs.append(run)
    return runs
