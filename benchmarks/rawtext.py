"""What raw text costs: tokens, sentences and entities found in text, against a gold column file.

    python benchmarks/rawtext.py RUN GOLD

The gold file's sentences are turned back into running text, as a newspaper prints it:

- No space before , . ; : ! ? % ) ] and the clitics ('s, 're, n't …), none after ( [ and, before a
  number, $ (also of US$), none around a slash. Dashes, & and all else stand between spaces.
- The quotation mark " opens and closes in turn: one that opens clings to the next word, one that
  closes to the word before. A sentence that starts with " opens a quotation even if one is open,
  as newspapers begin each paragraph of a long one. `` and '' tell themselves.
- A ' does so too, except that after a word in s it is the possessive's, before digits stands for
  missing ones ('96), and after a single letter is part of the word (l'Abbaye).
- Three full stops cling to the word before if they end the sentence, else stand between spaces.
- A line is a paragraph. The first sentence of a document, its headline, is a line; so is each
  sentence without a stop at its end (datelines, tables, headings), and a sentence begins a line if
  it opens with dashes, a star or a number with a full stop. All others follow with a space.

Each line is then read as `nerwin predict` reads raw text, but a model with document features is
told which lines make a document, as it is with the gold tokens. A token counts if both its ends
are right, a sentence if its first and its last character are, an entity if these and its type are.
CoNLL-2003 often has the mark that opens a sentence's quotation at the end of the sentence before;
a second row for sentences moves it to where it belongs. The rest of what is wrong with tokens and
sentences is listed by kind: what stands at a place where only one of both cuts.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from nerwin.evaluation import Counts
from nerwin.gold import Gold, read_gold
from nerwin.modeldir import load_model
from nerwin.options import DataOptions
from nerwin.prediction import predict_block
from nerwin.records import Record
from nerwin.text.tags import Spans
from nerwin.text.tokenizer import offsets, split_words

_STOPS = ".!?"
_CLINGS_LEFT = re.compile(r"[,.;:!?%)\]]|''|n't|'(?:s|re|ve|ll|d|m)", re.IGNORECASE)
_CLINGS_RIGHT = re.compile(r"[(\[/]|``")
_OPENS_LINE = re.compile(r"--|\*|\d+\.$")
_ELLIPSIS = re.compile(r"\.{2,}|…")
Place = tuple[int, int, int]  # line, start, end


class Text:
    """Lines of running text that are made token by token."""

    def __init__(self) -> None:
        self.lines: list[str] = [""]
        self.places: list[Place] = []  # of each token
        self.opening: set[int] = set()  # the numbers of the tokens that are " and open
        self._open = {'"': False, "'": False}
        self._glue = True

    def end_line(self) -> None:
        """What follows stands on a line of its own."""
        if self.lines[-1]:
            self.lines.append("")
        self._open = {'"': False, "'": False}
        self._glue = True

    def add(self, sentence: list[str]) -> None:
        """Print a sentence after what there is."""
        for i, word in enumerate(sentence):
            before = sentence[i - 1] if i else ""
            after = sentence[i + 1] if i + 1 < len(sentence) else ""
            left, right = self._clings(word, before, after)
            space = "" if left or self._glue else " "
            start = len(self.lines[-1]) + len(space)
            self.lines[-1] += space + word
            self.places.append((len(self.lines) - 1, start, start + len(word)))
            self._glue = right
            if word == '"' and right:
                self.opening.add(len(self.places) - 1)

    def _clings(self, word: str, before: str, after: str) -> tuple[bool, bool]:
        if word == "'" and not self._open[word] and before:
            if before[-1] in "sS":
                return True, False
            if len(before) == 1 and before.isalpha() and after:
                return True, True
        if word == "'" and re.match(r"\d\d\b", after):
            return False, True
        if word in self._open:
            opens = not self._open[word] or (word == '"' and not before)
            self._open[word] = opens
            return not opens, opens
        if word == "/":
            return True, True
        if word.endswith("$"):
            return False, after[:1].isdigit()
        if _ELLIPSIS.fullmatch(word):
            return not after or after == '"', False
        return (
            _CLINGS_LEFT.fullmatch(word) is not None,
            _CLINGS_RIGHT.fullmatch(word) is not None,
        )


def detokenize(gold: Gold) -> tuple[Text, list[int]]:
    """The running text, and the number of each document's first line, then of all."""
    text = Text()
    first_lines = []
    for a, b in pairwise(gold.documents):
        text.end_line()
        first_lines.append(len(text.lines) - 1)
        for s in range(a, b):
            sentence = gold.words[gold.starts[s] : gold.starts[s + 1]]
            if _OPENS_LINE.match(sentence[0]):
                text.end_line()
            text.add(sentence)
            ends = sentence[:-1] if sentence[-1] in {'"', "'", ")", "''"} else sentence
            if s == a or not ends or ends[-1][-1] not in _STOPS:
                text.end_line()
    if not text.lines[-1]:
        text.lines.pop()
    return text, [*first_lines, len(text.lines)]


def read(text: Text, first_lines: list[int]) -> list[Record]:
    """The lines as ``nerwin predict`` reads them; documents are told."""
    last_lines = {line - 1 for line in first_lines}
    return [
        Record(line, *split_words(line), goes_on=i not in last_lines)
        for i, line in enumerate(text.lines)
    ]


def sentences(places: list[Place], starts: Iterable[int]) -> set[Place]:
    """Where sentences stand whose first tokens have these numbers."""
    return {(*places[a][:2], places[b - 1][2]) for a, b in pairwise(starts)}


def entities(places: list[Place], spans: Spans) -> set[tuple[int, int, int, str]]:
    """Where entities stand, and their types."""
    return {
        (*places[a][:2], places[b - 1][2], spans.types[kind])
        for a, b, kind in zip(spans.start, spans.end, spans.type, strict=True)
    }


def row(name: str, gold: set[Any], found: set[Any]) -> str:
    """A row of the table."""
    c = Counts(len(gold), len(found), len(gold & found))
    return f"| {name} | {100 * c.precision:.2f} | {100 * c.recall:.2f} | {100 * c.f1:.2f} |"


def kinds(lines: list[str], cuts: set[tuple[int, int]]) -> str:
    """How often which character stands at cuts: the first of both sides that is no letter."""
    beside = Counter[str]()
    for line, place in cuts:
        around = lines[line][max(place - 1, 0) : place + 1]
        beside[next((c for c in around if not c.isalnum() and c != " "), "none")] += 1
    return ", ".join(f"{n} {c}" for c, n in beside.most_common())


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("run")
    parser.add_argument("gold")
    parser.add_argument("--text", help="write the running text to this file, too")
    options = parser.parse_args()
    gold = read_gold(options.gold, DataOptions())
    model = load_model(Path(options.run))
    text, first_lines = detokenize(gold)
    if options.text:
        Path(options.text).write_text("\n".join(text.lines) + "\n", encoding="utf-8")
    records = read(text, first_lines)
    block = predict_block(model, records)
    where = offsets([record.text for record in records], block.tokens, block.bounds)
    record = np.repeat(np.arange(len(records)), np.diff(block.bounds))
    found = list(zip(*(column.tolist() for column in (record, *where)), strict=True))

    starts = gold.starts.tolist()
    moved = [start - (start - 1 in text.opening) for start in starts]
    gold_sentences, found_sentences = sentences(text.places, moved), sentences(found, block.starts)
    gold_entities = entities(text.places, gold.spans)
    on_gold = model.predict(gold.words, gold.starts, gold.documents).spans
    print(
        f"{len(gold.words):,} tokens, {len(starts) - 1:,} sentences, {len(text.lines):,} lines\n\n"
        "| | precision | recall | F1 |\n|---|---|---|---|"
    )
    print(row("tokens", set(text.places), set(found)))
    print(row("sentences", sentences(text.places, starts), found_sentences))
    print(row("sentences, opening marks moved", gold_sentences, found_sentences))
    print(row("entities, gold tokens", gold_entities, entities(text.places, on_gold)))
    print(row("entities, running text", gold_entities, entities(found, block.decoded.spans)))
    print("\ncuts, and the characters beside them")
    for name, a, b in (
        ("tokens", set(text.places), set(found)),
        ("sentences", gold_sentences, found_sentences),
    ):
        gold_cuts, found_cuts = ({(p[0], x) for p in s for x in p[1:]} for s in (a, b))
        print(f"{name}, in the gold only: {kinds(text.lines, gold_cuts - found_cuts)}")
        print(f"{name}, in the text only: {kinds(text.lines, found_cuts - gold_cuts)}")


if __name__ == "__main__":
    main()
