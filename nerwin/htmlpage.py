"""Found entities as one self-contained page: no script, no font, nothing from elsewhere.

The text is written as it comes, so the legend, whose counts are known at the end, stands at the
end of the page's source; its style moves it to the top.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from html import escape

from nerwin.prediction import Block, Entity

# Hues that are told apart easily come first; the thirteenth type has the first type's again.
_HUES = (212, 28, 145, 282, 350, 180, 52, 320, 245, 95, 8, 200)
_NOT_IN_HTML = re.compile(
    "[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef"
    + "".join(
        chr(plane + last) for plane in range(0, 0x110000, 0x10000) for last in (0xFFFE, 0xFFFF)
    )
    + "]"
)

_STYLE = """
:root { color-scheme: light dark;
  --paper: #fcfcfa; --ink: #1d2129; --soft: #6a7180; --line: #e4e4de;
  --light: 89%; --edge: 70%; --name: 34%; --vivid: 78%; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #15181d; --ink: #e3e6eb; --soft: #98a1af; --line: #2b3038;
    --light: 22%; --edge: 38%; --name: 78%; --vivid: 46%; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  display: flex; flex-direction: column;
  font: 1.0625rem/1.75 "Iowan Old Style", Charter, "Source Serif 4", Georgia, serif; }
header { order: -1; position: sticky; top: 0; background: var(--paper);
  border-bottom: 1px solid var(--line); }
header div, main { width: 100%; max-width: 46rem; margin: 0 auto; padding: 0 1.5rem; }
header div { padding-top: .9rem; padding-bottom: .9rem; }
h1, h2, ul, mark::after { font-family: system-ui, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.05rem; font-weight: 650; line-height: 1.4; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: .9rem; font-weight: 600; color: var(--soft); margin: 2.5rem 0 .75rem;
  padding-bottom: .3rem; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
section:first-of-type h2 { margin-top: .25rem; }
section:only-of-type h2 { display: none; }
ul { list-style: none; display: flex; flex-wrap: wrap; gap: .4rem; margin: .55rem 0 0; padding: 0; }
li { font-size: .8rem; line-height: 1.6; padding: 0 .65rem; border-radius: 1rem; }
li b { font-weight: 650; margin-right: .35rem; }
main { padding-top: 1.4rem; padding-bottom: 4rem; }
p { margin: 0 0 .55rem; white-space: pre-wrap; overflow-wrap: anywhere; }
p:empty { height: .7rem; }
mark, li { color: inherit; background: hsl(var(--hue) var(--vivid) var(--light));
  box-shadow: inset 0 0 0 1px hsl(var(--hue) 45% var(--edge)); }
mark { padding: .1em .3em; border-radius: .3em; box-decoration-break: clone;
  -webkit-box-decoration-break: clone; }
mark::after { content: attr(data-type); margin-inline-start: .45em; unicode-bidi: isolate;
  font-size: .62em; font-weight: 700; letter-spacing: .05em; vertical-align: .1em;
  color: hsl(var(--hue) 60% var(--name)); }
li b { color: hsl(var(--hue) 60% var(--name)); }
@media print {
  :root { --paper: #fff; --ink: #000; --soft: #555; --line: #ccc;
    --light: 89%; --edge: 70%; --name: 34%; --vivid: 78%; }
  body { font-size: 10.5pt; line-height: 1.6; }
  header { position: static; }
  header div, main { max-width: none; padding-left: 0; padding-right: 0; }
  mark, li { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  p { orphans: 2; widows: 2; }
  h2 { break-after: avoid; }
}
"""


def write_html(blocks: Iterable[Block]) -> Iterator[tuple[str]]:
    """A page with the records as paragraphs, the entities coloured, and a legend with counts.

    A heading opens each source of several. Characters that HTML cannot hold become U+FFFD.
    """
    counts: Counter[str] = Counter()
    numbers: dict[str, int] = {}
    sources: list[str] = []
    for block in blocks:
        pieces = [] if sources else [_head(block.source)]
        if not sources or block.source != sources[-1]:
            pieces.append("</section>\n" if sources else "")
            pieces.append(f"<section>\n<h2>{_text(block.source)}</h2>\n")
            sources.append(block.source)
        numbers = {kind: i for i, kind in enumerate(block.decoded.spans.types)}
        for record, entities in zip(block.records, block.entities(), strict=True):
            pieces.append(f'<p dir="auto">{_marked(record.text, entities, numbers)}</p>\n')
            counts.update(e.type for e in entities)
        yield ("".join(pieces),)
    head = "" if sources else _head("")
    end = "</section>\n" if sources else ""
    title = sources[0] if len(sources) == 1 else f"{len(sources)} files"
    yield (f"{head}{end}</main>\n{_legend(title, counts, numbers)}</body>\n</html>\n",)


def _head(title: str) -> str:
    hues = "\n".join(f".t{i} {{ --hue: {hue}; }}" for i, hue in enumerate(_HUES))
    return (
        '<!DOCTYPE html>\n<html lang="">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(f'Entities in {title}' if title else 'Entities')}</title>\n"
        f"<style>{_STYLE}{hues}\n</style>\n</head>\n<body>\n<main>\n"
    )


def _marked(text: str, entities: list[Entity], numbers: dict[str, int]) -> str:
    pieces = []
    last = 0
    for e in entities:
        kind = _text(e.type)
        pieces.append(
            f'{_text(text[last : e.start])}<mark class="t{numbers[e.type] % len(_HUES)}" '
            f'data-type="{kind}" title="{kind}, score {e.score:.4f}">{_text(e.text)}</mark>'
        )
        last = e.end
    return "".join([*pieces, _text(text[last:])])


def _legend(title: str, counts: Counter[str], numbers: dict[str, int]) -> str:
    items = "".join(
        f'<li class="t{i % len(_HUES)}"><b>{_text(kind)}</b>{counts[kind]:,}</li>\n'
        for kind, i in numbers.items()
    )
    total = counts.total()
    found = f"{total:,} {'entity' if total == 1 else 'entities'}"
    listed = f"<ul>\n{items}</ul>\n" if items else ""
    return f"<header><div>\n<h1>{found} in {_text(title)}</h1>\n{listed}</div></header>\n"


def _text(text: str) -> str:
    return escape(_NOT_IN_HTML.sub("\ufffd", text))
