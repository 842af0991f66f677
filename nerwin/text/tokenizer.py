"""Raw text -> tokens with character offsets, in sentences.

Tokens are cut as in the CoNLL corpora: punctuation apart, contractions and possessives in two
(do|n't, Hilton|'s), abbreviations and initials with their full stop (U.S., Mr., J.), numbers,
dates and scores whole (1,000.5, 1996-08-22, 6-3), hyphenated words whole.
"""

from __future__ import annotations

import re

Token = tuple[int, int]  # text[start:end]

_ABBREVIATIONS = ["Mr", "Mrs", "Ms", "Dr", "Prof", "St", "Sen", "Rep", "Gov", "Gen", "Col", "Lt", "Sgt", "Capt", "Cmdr", "Adm", "Maj", "Hon", "Rev", "Pres", "Jr", "Sr", "Inc", "Corp", "Ltd", "Co", "Cos", "Bros", "vs", "Jan", "Feb", "Mar", "Apr", "Jun", "Jul", "Aug", "Sep", "Sept", "Oct", "Nov", "Dec", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "No", "Nos", "Ave", "Blvd", "Rd", "Mt", "Ft", "a.m", "p.m", "e.g", "i.e", "etc", "al", "approx", "dept", "est"]

# Everything that is neither space nor punctuation nor a control character: any script's letters,
# its digits and combining marks.
_CHAR = r"[^\W_]|[^\s\x00-\xbf\u2000-\u206f\u2190-\u2bff\u3000-\u303f\ufe00-\ufe0f\uff00-\uff0f\U0001f000-\U0001faff]"
_WORD = rf"(?:{_CHAR}|_)"

_TOKEN = re.compile(
    rf"""
      (?:https?://|www\.)[^\s<>"]*[^\s<>".,;:!?'()\[\]]           # URL
    | [\w.+-]{1, 64}@[\w-]{1, 64}(?:\.[\w-]{1, 64})+                           # e-mail address (64: no input may take quadratic time)
    | [@\#]\w+                                                    # @name, #tag
    | (?:(?<!\w)(?:{"|".join(map(re.escape, _ABBREVIATIONS))})\.) # Mr.
    | (?:[^\W\d_]\.){{2,}}                                        # U.S.
    | (?<![\w.])[^\W\d_]\.(?=\s+[^\W\d_])                         # J. before a name
    | [+-]?\d+(?:[.,:/-]\d+)*(?:st|nd|rd|th|s)?(?!\w)             # 1,000.5  6-3  1996-08-22  4th
    | (?:(?!n['’]t\b){_WORD})+(?=n['’]t\b)                        # do|n't
    | n['’]t\b
    | ['’](?:s|S|re|ve|ll|d|m|RE|VE|LL|D|M)\b                     # Hilton|'s
    | {_WORD}+(?:(?:[-&./]|['’](?!(?:s|S|re|ve|ll|d|m|RE|VE|LL|D|M)\b)){_WORD}+)*
    | \.{{2,}} | -{{2,}} | `` | ''
    | [^\s\x00-\x1f\x7f-\x9f]
    """,
    re.VERBOSE,
)
_STOP = re.compile(r"[.!?…。！？]+|\.{2,}")
_CLOSING = re.compile(r"['\"’”»)\]]|''")


def tokenize(text: str) -> list[Token]:
    """The tokens of a text as (start, end), in order: ``text[start:end]`` is the token."""
    return [match.span() for match in _TOKEN.finditer(text)]


def split_sentences(text: str, tokens: list[Token]) -> list[int]:
    """Where the text's sentences start: numbers of tokens, the first 0, and their number.

    A sentence ends after a full stop, ! or ? and what closes on it, unless the next word is
    in lower case. (A full stop that belongs to an abbreviation is not a token of its own.)
    """
    starts = [0]
    stopped = False
    for i, (start, end) in enumerate(tokens):
        token = text[start:end]
        if stopped:
            glued = start == tokens[i - 1][1]
            if glued and (_CLOSING.fullmatch(token) or _STOP.fullmatch(token)):
                continue
            if not token[0].islower():
                starts.append(i)
        stopped = _STOP.fullmatch(token) is not None
    if tokens:
        starts.append(len(tokens))
    return starts
