"""Raw text -> tokens with character offsets, in sentences.

Tokens are cut as in the CoNLL corpora: punctuation apart, contractions and possessives in two
(do|n't, Hilton|'s), abbreviations and initials with their full stop (U.S., Mr., J.), numbers,
dates and scores whole (1,000.5, 1996-08-22, 6-3), hyphenated words whole.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

Token = tuple[int, int]  # text[start:end]

# Abbreviations that keep their full stop, and whose full stop ends no sentence.
_TITLES = "Mr|Mrs|Ms|Dr|Prof|St|Sen|Rep|Gov|Gen|Col|Lt|Sgt|Capt|Cmdr|Adm|Maj|Hon|Rev|Pres|Jr|Sr"
_FIRMS = "Inc|Corp|Ltd|Co|Cos|Bros"
_DATES = "Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec|Mon|Tue|Wed|Thu|Fri|Sat|Sun"
_OTHERS = r"No|Nos|Ave|Blvd|Rd|Mt|Ft|vs|a\.m|p\.m|e\.g|i\.e|etc|al|approx|dept|est"
_ABBREVIATION = f"(?:{_TITLES}|{_FIRMS}|{_DATES}|{_OTHERS})"

# A word's character is one of any script's letters, digits and marks: none of these.
_SPACE_AND_PUNCTUATION = (
    r"\s\x00-/:-@\[-^`{-\xa9\xab-\xb4\xb6-\xb9\xbb-\xbf\xd7\xf7\u2000-\u206f\u20a0-\u20cf"
    r"\u2190-\u2bff\u3000-\u303f\ufe00-\ufe0f\uff00-\uff0f\uff1a-\uff20\U0001f000-\U0001faff"
    r"\u037e\u0387\u055a-\u055f\u0589\u05be\u05c0\u05c3\u05f3\u05f4\u060c\u060d\u061b\u061d-\u061f"
    r"\u066a-\u066d\u06d4\u0964\u0965\u0970\u0e4f\u0e5a\u0e5b\u104a\u104b\u1361-\u1368\u17d4-\u17da"
)
_WORD = f"[^{_SPACE_AND_PUNCTUATION}]"
_CLITIC = r"(?:s|S|re|ve|ll|d|m|RE|VE|LL|D|M)\b"

# Repetitions are bounded where a failed match would be tried again from the next character: no
# input may take quadratic time.
_TOKEN = re.compile(
    rf"""
      (?:https?://|www\.)[^\s<>"]*[^\s<>".,;:!?'()\[\]]             # URL
    | [\w.+-]{{1,64}}@[\w-]{{1,64}}(?:\.[\w-]{{1,64}})+               # e-mail address
    | [@\#]\w+                                                      # @name, #tag
    | (?<!\w){_ABBREVIATION}\.                                      # Mr.
    | (?:[^\W\d_]\.){{2,}}                                          # U.S.
    | (?<![\w.])[^\W\d_]\.(?=\s+[^\W\d_])                         # J. before a name
    | [+-]?\d+(?:[.,:/-]\d+)*{_WORD}*(?:-{_WORD}+)*                  # 1,000.5  6-3  4th  3-year-old
    | (?:(?!n['’]t\b){_WORD})+(?=n['’]t\b)                          # do|n't
    | n['’]t\b
    | ['’]{_CLITIC}                                                 # Hilton|'s
    | {_WORD}+(?:(?:[-&./]|['’](?!{_CLITIC})){_WORD}+)*             # O'Brien, hard-won, AT&T
    | \.{{2,}} | -{{2,}} | `` | ''
    | [^\s\x00-\x1f\x7f-\x9f]
    """,
    re.VERBOSE,
)
_STOPS = ".!?…。！？।۔؟"
_STOP = re.compile(f"[{_STOPS}]+")
_CLOSING = re.compile(r"['\"’”»)\]]|''")


def tokenize(text: str) -> list[Token]:
    """The tokens of a text as (start, end), in order: ``text[start:end]`` is the token."""
    return [match.span() for match in _TOKEN.finditer(text)]


def split_words(text: str) -> list[str]:
    """The tokens of a text as strings, in order; half the work of ``tokenize``."""
    words: list[str] = _TOKEN.findall(text)
    return words


def offsets(text: str, words: Sequence[str]) -> list[Token]:
    """Where the words stand that a text was cut into, if nothing but space is between them."""
    tokens = []
    end = 0
    for word in words:
        start = text.index(word, end)
        end = start + len(word)
        tokens.append((start, end))
    return tokens


def sentence_starts(text: str, words: Sequence[str]) -> list[int]:
    """``split_sentences`` for words; quick where a text is one sentence, as most lines are."""
    if any(word[0] in _STOPS for word in words[:-1]):
        return split_sentences(text, offsets(text, words))
    return [0, len(words)] if words else [0]


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
