"""Text in, entities out, block by block: the memory does not grow with the input."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
from threadpoolctl import threadpool_limits

from nerwin.decoding import Decoded
from nerwin.model import Model
from nerwin.text import inline
from nerwin.text.corpus import read_sentences
from nerwin.text.files import read_blocks, read_lines
from nerwin.text.tags import write_tags
from nerwin.text.tokenizer import offsets, split_words

_SENTENCES = 1000  # of a CoNLL file, in a block at least
_LONG = 10_000  # at most, even if their document goes on
_LONGEST = 1 << 18  # bytes of a line; a longer one makes several records
_FIELD = re.compile(r"[^ \t]+")


@dataclass(frozen=True, slots=True)
class Record:
    """A piece of text with one result: a line, or a sentence of a CoNLL file.

    words      its tokens, between which there is nothing but space
    sentences  where the sentences start: numbers of tokens, and their number at the end
    goes_on    whether its document goes on with the next record
    cut        whether its line does, too: a line too long for one record
    """

    text: str
    words: list[str]
    sentences: list[int]
    goes_on: bool = False
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Entity:
    """``text[start:end]`` of its record, in Unicode code points; score from 0 to 1."""

    start: int
    end: int
    text: str
    type: str
    score: float


@dataclass(frozen=True, slots=True)
class Block:
    """Records and what was found in them; their tokens are numbered through the block.

    words   (N) tokens of all records
    starts  (S+1,) the number of each sentence's first token, then N
    bounds  (R+1,) the number of each record's first token, then N
    """

    records: list[Record]
    words: list[str]
    starts: np.ndarray
    bounds: np.ndarray
    decoded: Decoded

    def entities(self) -> Iterator[list[Entity]]:
        """The entities of each record."""
        spans = self.decoded.spans
        cuts = np.searchsorted(spans.start, self.bounds).tolist()
        firsts, lasts, kinds = spans.start.tolist(), (spans.end - 1).tolist(), spans.type.tolist()
        scores = self.decoded.scores.tolist()
        before = self.bounds.tolist()
        for r, record in enumerate(self.records):
            found = []
            tokens = offsets(record.text, record.words) if cuts[r] < cuts[r + 1] else []
            for i in range(cuts[r], cuts[r + 1]):
                start = tokens[firsts[i] - before[r]][0]
                end = tokens[lasts[i] - before[r]][1]
                kind = spans.types[kinds[i]]
                found.append(Entity(start, end, record.text[start:end], kind, scores[i]))
            yield found


def predict(model: Model, batches: Iterable[list[Record]]) -> Iterator[Block]:
    """Find the entities of many records, one batch at a time."""
    for records in batches:
        with threadpool_limits(1, "blas"):
            block = predict_block(model, records)
        yield block


def predict_block(model: Model, records: list[Record]) -> Block:
    """Find the entities of one batch of records."""
    words: list[str] = []
    starts, bounds, documents = [0], [0], [0]
    for record in records:
        before = len(words)
        words += record.words
        starts += [before + start for start in record.sentences[1:]]
        bounds.append(len(words))
        if not record.goes_on and len(starts) - 1 > documents[-1]:  # not of an empty line
            documents.append(len(starts) - 1)
    if documents[-1] < len(starts) - 1:
        documents.append(len(starts) - 1)
    sentence_starts = np.array(starts)
    decoded = model.predict(words, sentence_starts, np.array(documents))
    return Block(records, words, sentence_starts, np.array(bounds), decoded)


# --- ways in --------------------------------------------------------------------------------


def read_text(file: BinaryIO, path: str, encoding: str = "utf-8") -> Iterator[list[Record]]:
    """Raw text: a record a line, tokenized and split into sentences."""
    return _read_lines(file, path, encoding, split_words)


def read_tokenized(file: BinaryIO, path: str, encoding: str = "utf-8") -> Iterator[list[Record]]:
    """Pre-tokenized text: a sentence a line, spaces or tabs between tokens."""
    return _read_lines(file, path, encoding, _split_tokens)


def read_conll(
    file: BinaryIO, path: str, encoding: str = "utf-8", token_column: int = 0
) -> Iterator[list[Record]]:
    """A column file: a record a sentence, its text the tokens with spaces between them.

    A batch ends with a document, if documents are marked and not too long.
    """
    sentences = read_sentences(read_lines(file, path, encoding), path, token_column)
    batch: list[Record] = []
    words: list[str] = []
    for sentence in sentences:
        if words:
            batch.append(_conll_record(words, goes_on=not sentence.opens_document))
            opens = sentence.opens_document or len(batch) >= _LONG
            if opens and len(batch) >= _SENTENCES:
                yield batch
                batch = []
        words = sentence.words
    if words:
        yield [*batch, _conll_record(words)]


def _read_lines(
    file: BinaryIO, path: str, encoding: str, split: Callable[[str], tuple[list[str], list[int]]]
) -> Iterator[list[Record]]:
    for lines, cut in read_blocks(file, path, encoding, _LONGEST):
        records = [Record(line, *split(line)) for line in lines]
        if cut:
            records[-1] = replace(records[-1], goes_on=True, cut=True)
        yield records


def _split_tokens(line: str) -> tuple[list[str], list[int]]:
    words = line.split(" ")
    if "" in words or "\t" in line:
        words = _FIELD.findall(line)
    return words, [0, len(words)] if words else [0]


def _conll_record(words: list[str], *, goes_on: bool = False) -> Record:
    return Record(" ".join(words), words, [0, len(words)], goes_on)


# --- ways out -------------------------------------------------------------------------------


def format_conll(block: Block) -> str:
    """token TAB tag (IOB2) lines, an empty line after each sentence."""
    tags = write_tags(block.decoded.spans, block.starts)
    lines = [f"{word}\t{tag}\n" for word, tag in zip(block.words, tags, strict=True)]
    for last in block.starts[1:]:
        lines[last - 1] += "\n"
    return "".join(lines)


def format_jsonl(block: Block) -> str:
    """One JSON object a record: its text, and its entities with offsets, type and score."""
    lines = []
    for record, entities in zip(block.records, block.entities(), strict=True):
        found = [
            {
                "start": e.start,
                "end": e.end,
                "text": e.text,
                "type": e.type,
                "score": round(e.score, 4),
            }
            for e in entities
        ]
        line: dict[str, object] = {"text": record.text, "entities": found}
        if record.cut:
            line["cut"] = True
        lines.append(json.dumps(line, ensure_ascii=False))
    return "".join(f"{line}\n" for line in lines)


def format_inline(block: Block) -> str:
    """One line a record: its text with [entities](TYPE) marked in it, see ``text.inline``."""
    lines = []
    for record, entities in zip(block.records, block.entities(), strict=True):
        marked = inline.mark(record.text, [(e.start, e.end, e.type) for e in entities])
        lines.append(marked if record.cut else f"{marked}\n")
    return "".join(lines)


FORMATS: dict[str, Callable[[Block], str]] = {
    "conll": format_conll,
    "jsonl": format_jsonl,
    "inline": format_inline,
}
