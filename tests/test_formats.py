"""Ways out: whatever the text holds, each format can be read back, by rules of its own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import unicodedata
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nerwin.decoding import Decoded
from nerwin.formats import FORMATS
from nerwin.prediction import Block, Entity
from nerwin.records import Record
from nerwin.text.inline import parse
from nerwin.text.tags import Spans
from nerwin.text.tokens import Tokens

HOSTILE = [
    "<script>document.title='no'</script>", "<img/src=x/onerror=alert(1)>", "</p></mark><b>",
    "&lt;", "&#60;", "]]>", "<!--", "-->", '"\'', "\\", "\x00", "\x7f", "\ufffe", "\u202e",
    "\u2028", "é", "😀",
]  # fmt: skip
words = st.sampled_from(HOSTILE) | st.text(
    st.characters(codec="utf-8", exclude_categories=["Z"]), min_size=1, max_size=6
)
spaces = st.sampled_from([" ", " ", "  ", "\t", "\n", "\r", "\v", "\u2028", "\x85"])
TYPES = ("LOC", 'a"><b>', "ü&.x")
Found = list[tuple[int, int, int]]  # first token, last token + 1, type


@st.composite
def record(draw: st.DrawFn) -> tuple[Record, Found]:
    tokens = [w for w in draw(st.lists(words, max_size=6)) if not w.isspace() and w.strip() == w]
    text = "".join(token + draw(spaces) for token in tokens)
    found, at = [], 0
    while at < len(tokens) and draw(st.booleans()):
        first = draw(st.integers(at, len(tokens) - 1))
        at = draw(st.integers(first + 1, min(first + 3, len(tokens))))
        found.append((first, at, draw(st.integers(0, 2))))
    return Record(text, tokens, [0, len(tokens)] if tokens else [0]), found


def block_of(items: list[tuple[Record, Found]], source: str = "x.txt") -> Block:
    bounds = np.cumsum([0, *(len(r.words) for r, _ in items)])
    found = [
        (a + b, z + b, k) for b, (_, spans) in zip(bounds, items, strict=False) for a, z, k in spans
    ]
    columns = np.array(found, np.intp).reshape(-1, 3).T
    scores = np.linspace(0.5, 1, len(found), dtype=np.float32)
    flat = [word for r, _ in items for word in r.words]
    starts = np.unique(np.append(bounds, 0))
    decoded = Decoded(Spans(*columns, TYPES), scores)
    return Block([r for r, _ in items], Tokens.of(flat), starts, bounds, decoded, source)


blocks = st.lists(st.lists(record(), max_size=4).map(block_of), max_size=3)


def written(name: str, blocks: list[Block], **settings: str) -> list[str]:
    """What each of a format's files holds."""
    form = FORMATS[name]
    chunks = list(form.write(iter(blocks), **settings))
    assert all(len(chunk) == len(form.suffixes) for chunk in chunks)
    return ["".join(pieces) for pieces in zip(*chunks, strict=True)] or [""] * len(form.suffixes)


def all_found(blocks: list[Block]) -> list[tuple[Record, list[Entity]]]:
    return [pair for b in blocks for pair in zip(b.records, b.entities(), strict=True)]


@given(blocks)
def test_json_lines(blocks: list[Block]) -> None:
    (text,) = written("jsonl", blocks)
    for line, (record, entities) in zip(text.split("\n"), all_found(blocks), strict=False):
        expected = [
            {
                "start": e.start, "end": e.end, "text": e.text,
                "type": e.type, "score": round(e.score, 4),
            }
            for e in entities
        ]  # fmt: skip
        assert line == json.dumps({"text": record.text, "entities": expected}, ensure_ascii=False)
    assert text.count("\n") == len(all_found(blocks))


def test_json_lines_keep_what_they_came_with() -> None:
    kept = Record("Ay", ["Ay"], [0, 1], fields='{"n": 1.0, "text": "\\u0041y"')
    (text,) = written("jsonl", [block_of([(kept, [(0, 1, 0)])])], entities_field='en"ts')
    assert text == (
        '{"n": 1.0, "text": "\\u0041y", "en\\"ts": '
        '[{"start": 0, "end": 2, "text": "Ay", "type": "LOC", "score": 0.5}]}\n'
    )


@given(blocks)
def test_brat(blocks: list[Block]) -> None:
    annotations, text = written("brat", blocks)
    lines = annotations.split("\n")[:-1]
    entities = [e for _, found in all_found(blocks) for e in found]
    assert len(lines) == len(entities)
    assert text == "".join(f"{record.text}\n" for record, _ in all_found(blocks))
    for i, (line, entity) in enumerate(zip(lines, entities, strict=True), 1):
        number, about, covered = line.split("\t")
        kind, places = about.split(" ", 1)
        assert number == f"T{i}"
        assert kind == {"LOC": "LOC", 'a"><b>': "a___b_", "ü&.x": "ü__x"}[entity.type]
        pairs = [tuple(map(int, place.split(" "))) for place in places.split(";")]
        assert " ".join(text[a:z] for a, z in pairs) == covered
        assert (text[pairs[0][0] : pairs[-1][1]], len(covered.splitlines())) == (entity.text, 1)


@given(record())
def test_inline(item: tuple[Record, Found]) -> None:
    block = block_of([item])
    (text,) = written("inline", [block])
    ((record, entities),) = all_found([block])
    assert parse(text[:-1]) == (record.text, [(e.start, e.end, e.type) for e in entities])


class Page(HTMLParser):
    """A page as an HTML parser sees it: balanced tags, paragraphs, entities."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.data: dict[str, list[str]] = {}
        self.marks: list[dict[str, str | None]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        if tag != "meta":
            self.open.append(tag)
            self.data.setdefault(tag, []).append("")
        if tag == "mark":
            self.marks.append(dict(attrs))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.data[tag][-1] += data


def in_html(text: str) -> str:
    """The text with U+FFFD for what the HTML standard calls controls and noncharacters."""

    def wrong(c: str) -> bool:
        control = unicodedata.category(c) == "Cc" and c not in "\t\n\f\r"
        return control or 0xFDD0 <= ord(c) <= 0xFDEF or ord(c) & 0xFFFE == 0xFFFE

    return "".join("\ufffd" if wrong(c) else c for c in text)


def check_page(page: Page, blocks: list[Block]) -> None:
    found = all_found(blocks)
    assert page.data.get("p", []) == [in_html(record.text) for record, _ in found]
    entities = [e for _, listed in found for e in listed]
    assert page.data.get("mark", []) == [in_html(e.text) for e in entities]
    for mark, e in zip(page.marks, entities, strict=True):
        assert mark["data-type"] == e.type
        assert mark["title"] == f"{e.type}, score {e.score:.4f}"
    counts = Counter(e.type for e in entities)
    if blocks:
        assert page.data["li"] == [f"{kind}{counts[kind]}" for kind in TYPES]
    assert page.data["h1"][0].startswith(f"{len(entities)} entit")
    allowed = {"html", "head", "meta", "title", "style", "body", "header", "div", "main", "section"}
    assert set(page.tags) <= allowed | {"h1", "h2", "ul", "li", "b", "p", "mark"}


@given(blocks)
@example([])
def test_html(blocks: list[Block]) -> None:
    (text,) = written("html", blocks)
    check_page(Page(text), blocks)


def test_the_page_needs_nothing_from_elsewhere() -> None:
    (text,) = written("html", [block_of([(Record("a", ["a"], [0, 1]), [(0, 1, 0)])])])
    assert not re.search(r"https?:|//|url\(|@import|<script|<link|src=", text)
    assert text.startswith("<!DOCTYPE html>\n")
    assert '<meta charset="utf-8">' in text


def test_a_page_of_several_sources_has_a_heading_for_each() -> None:
    line = (Record("a", ["a"], [0, 1]), [(0, 1, 0)])
    sources = ["a<b>.txt", "a<b>.txt", "sub/\udcff.txt", "a<b>.txt"]
    (text,) = written("html", [block_of([line], source) for source in sources])
    page = Page(text)
    assert page.data["h2"] == ["a<b>.txt", "sub/\ufffd.txt", "a<b>.txt"]
    assert page.data["h1"] == ["4 entities in 3 files"]
    text.encode()


def test_a_page_is_written_as_it_comes() -> None:
    line = (Record("a", ["a"], [0, 1]), [(0, 1, 0)])
    given_so_far = 0

    def endless() -> Iterator[Block]:
        nonlocal given_so_far
        while True:
            given_so_far += 1
            yield block_of([line])

    chunks = FORMATS["html"].write(endless())
    sizes = [len(next(chunks)[0]) for _ in range(50)]
    assert given_so_far == 50
    assert len(set(sizes[1:])) == 1


def test_a_browser_shows_hostile_text_as_it_is(tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no Chromium on this system")
    items = [(Record(f"{x} is {x}.", [x, "is", x, "."], [0, 4]), [(0, 1, i % 3), (2, 3, 1)])
             for i, x in enumerate(HOSTILE)]  # fmt: skip
    block = block_of(items, "</title><script>x")
    path = tmp_path / "page.html"
    path.write_text(written("html", [block])[0], encoding="utf-8", newline="")
    done = subprocess.run(
        [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-sync",
            f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri(),
        ],
        capture_output=True, text=True, encoding="utf-8", check=True, timeout=60,
    )  # fmt: skip
    page = Page(done.stdout)
    check_page(page, [block])
    assert page.data["title"] == ["Entities in </title><script>x"]
