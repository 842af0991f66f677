"""Raw text -> sentences -> tokens, with character offsets.

Tokens are cut as in the CoNLL corpora: punctuation apart, contractions and possessives in two
(do|n't, Hilton|'s), abbreviations and initials with their full stop (U.S., Mr., J.), numbers,
dates and scores whole (1,000.5, 1996-08-22, 6-3), hyphenated words whole, words about a slash
apart. Addresses, @names, #tags and emoji are one token each.

Scripts that put no space between words: a Chinese character is a token, as in the Chinese corpora;
a run of hiragana is one, and a run of katakana; Thai, Lao, Khmer and Burmese are cut at spaces and
punctuation only. Cut such text into words first (``predict -i tokenized``) if a model wants words.

Between tokens stands nothing but space, control characters, and characters without width that part
words or turn the direction of writing (U+200B, U+200E, U+FEFF, …).

Everything here takes linear time on any input: what may be repeated is either possessive (++, *+)
or bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from nerwin.text.tags import Indices
from nerwin.text.tokens import Tokens

Token = tuple[int, int]  # text[start:end]

# --- abbreviations: they keep their full stop, unless it ends the sentence -----------------------

# A name follows: no sentence ends here.
_TITLES = "Mr Mrs Ms Mx Dr Prof Sen Sens Rep Reps Gov Gen Gens Col Lt Sgt Capt Cmdr Adm Maj Pvt"
_TITLES += " Hon Rev Pres Supt Fr Messrs"
# Common ones that may also end a sentence, and the states in the spelling of the news agencies.
_COMMON = "Inc Corp Ltd Co Cos Bros Jr Sr St Ste Mt Ft Ave Blvd Rd vs Esq Univ Assn Dept"
_COMMON += " v etc al approx est dept cf viz m.p.h Ph.D"
_STATES = "Ala Ariz Ark Calif Colo Conn Del Fla Ga Ill Ind Kan Ky La Mass Md Mich Minn Miss Mo Mont"
_STATES += " Neb Nev Okla Ore Pa Penn Tenn Tex Va Vt Wash Wis Wyo"
# These are abbreviations before a number only: No. 5, Oct. 12.
_COUNTED = "No Nos no nos Nr Vol vol p pp c Fig Figs fig figs Art Sec Ch"
_COUNTED += " Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec"

# Words that have a capital only where a sentence starts, and so tell that one ended before them.
_OPENERS = (
    "The A An This That These Those There Here He She It We They You I His Her Its Our Their My"
    " Your In On At By For From With Under As If When While After Before Since Until And But Or So"
    " Then However Although Though Because Meanwhile What Who How Why Where Both Some Many Several"
    " Most All No Not Another Other Others One"
)

# --- characters ----------------------------------------------------------------------------------

_ZERO_WIDTH = r"\u200b\u200e\u200f\u202a-\u202e\u2061-\u206f\ufeff"
_INSIDE = r"\xad\u200c\u200d\u2060"  # of words: soft hyphen, joiners
_HAN = r"\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_HIRAGANA = r"\u3041-\u309f"
_KATAKANA = r"\u30a0-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
# A word's character is one of any script's letters, digits and marks: none of these.
_PUNCTUATION = (
    r"\s\x00-/:-@\[-^`{-\xa9\xab\xac\xae-\xb1\xb4\xb6-\xb8\xbb\xbf\xd7\xf7\u2000-\u200b"
    r"\u200e-\u205f\u2061-\u206f\u20a0-\u20cf\u2122\u2190-\u2bff\u2e00-\u2e2e\u2e30-\u2e7f"
    r"\u3000-\u302d\u3030-\u303b\u303d-\u303f\u30fb\ufe10-\ufe1f\ufe30-\ufe6f\ufeff"
    r"\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65\uffe0-\uffef"
    r"\U0001f000-\U0001faff\u037e\u0387\u055a-\u055f\u0589\u05be\u05c0\u05c3\u05f3\u05f4\u060c\u060d"
    r"\u061b\u061d-\u061f\u066a-\u066d\u06d4\u0964\u0965\u0970\u0e4f\u0e5a\u0e5b\u104a\u104b"
    r"\u1361-\u1368\u17d4-\u17d6\u17d8-\u17da" + _HAN + _HIRAGANA + _KATAKANA
)
_WORD = f"[^{_PUNCTUATION}]"
_BETWEEN = r"\s\x00-\x1f\x7f-\x9f" + _ZERO_WIDTH + _INSIDE
_LETTER = r"[^\W\d_]"
_SYMBOL = r"[\xa9\xae\u203c\u2049\u2122\u2190-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
_EMOJI = _SYMBOL + r"[\ufe0e\ufe0f\u20e3\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]*+"
_CLOSING = "\"'”’“»«›‹)\\]}」』）］》〉"
_INITIALS = rf"(?:{_LETTER}\.(?:-?{_LETTER}\.)++(?!\w))"
_CLITIC = r"(?:[sS]|re|ve|ll|[dDmM]|RE|VE|LL)(?![\w'’])"
_URL = rf"[^\s<>\"“”«».,;:!?'’…()\[\]{{}}\u3000-\u303f\uff00-\uff65{_HAN}{_HIRAGANA}{_KATAKANA}]"


def _any(names: str) -> str:
    return "(?:" + "|".join(names.replace(".", r"\.").split()) + ")"


# The plain words stand first, for speed: they are most of any English text. \Z is the end of the
# sentence, whose full stop is no abbreviation's.
_TOKEN = rf"""
    (?=\S)(?:
      [A-Za-z]++(?=[\s,;?!)"]|\.?\Z)
    | [,()"“”] | \.\Z
    | [{_HAN}][\ufe00-\ufe0f\U000e0100-\U000e01ef]? | [{_HIRAGANA}]++ | [{_KATAKANA}]++
    | \w[\w.+-]{{0,63}}+@[\w-]{{1,64}}(?:\.[\w-]{{1,64}}){{1,9}}              # e-mail address
    | (?:(?:https?|ftp)://|www\.|(?:[A-Za-z0-9][A-Za-z0-9-]*+\.)++[a-z]{{2,4}}/)
      (?:{_URL}++|(?!['’]{_CLITIC})[.,;:!?'’]++(?={_URL})|\({_URL}++\))*+
    | (?<![^\n])\d{{1,3}}\.(?=\s)                                        # 1. at the start of a line
    | (?:[+\u2212-]|(?<![^\s(])\.)?\d++(?:[.,:/-]\d++)*+{_WORD}*+(?:-{_WORD}++)*+  # 6-3  3-year-old
    | (?=[A-Za-z]{{2,6}}+\.(?!\w)|Ph\.D)
      (?:{_any(_TITLES + " " + _COMMON)}\.(?![{_CLOSING}]*+\Z)          # Mr.
      | {_any(_COUNTED)}\.(?=\s*+\d)                                  # No. 5
      | [A-Za-z]++\.(?=,|-\w)                                         # etc., Ill.-based
      | (?<=,\s){_any(_STATES)}\.(?![{_CLOSING}]*+\Z)                 # , Calif. (
      )(?:-{_WORD}++)*+
    | {_INITIALS}(?:-{_WORD}++)*+                                     # U.S.-led  J.-P.
    | {_LETTER}\.(?=\s|,)                                             # J. before a name
    | (?=[A-Za-z]++['’][tT]\b)[A-Za-z]+(?=[nN]['’])                   # do|n't
    | [nN]['’][tT]\b
    | ['’]{_CLITIC}                                                   # Hilton|'s
    | ['’](?i:em|tis|twas|til|cause|n)\b
    | [A-Z]{{1,3}}\$(?![A-Za-z_])                                        # US$
    | (?![{_INSIDE}]){_WORD}++                                        # O'Brien, hard-won, AT&T
      (?:-{_INITIALS}{_WORD}*+|(?:\.?-|[&.]|['’](?!{_CLITIC})){_WORD}++)*+
      (?:(?<=[A-Z])[+\#]{{1,2}}(?!\w))?                               # C++, AA+
    | \.{{2,}}+ | [!?]{{2,}}+ | -{{2,}}+ | \*{{2,}}+ | ={{2,}}+ | `` | ''
    | [@\#](?:\w|{_WORD})++                                           # @name, #tag
    | (?<!\S)(?:[:;=]['’-]?[()DOPp/|*\\]|<3)(?!\S)                      # :-)
    | [\U0001f1e6-\U0001f1ff]{{2}} | {_EMOJI}(?:\u200d{_EMOJI})*+ | \*\ufe0f?\u20e3
    | [^{_BETWEEN}])
"""

# --- sentences -----------------------------------------------------------------------------------

_WIDE_STOPS = "。｡！？．"  # no space follows them
_STOPS = ".!?…‼⁇⁈⁉।॥۔؟։።။។" + _WIDE_STOPS
# A stop, more of them, what closes on them, and space; or the end of a line, and space.
_END = re.compile(
    rf"([{_STOPS}\n\u2029])"
    rf"(?:(?<![\n\u2029])([{_STOPS}]*+)((?:[{_CLOSING}]|\[\d{{1,3}}\])*+))?+(\s*+)"
)
_OPENING = re.compile(r"[\s\"'“‘«»„‚¿¡(\[`*–—-]*+")
_BEFORE_WORD = "\"'“‘«„(["
_NEVER_FIRST = frozenset(".,;:!?)]}”’»")
_NAME_FOLLOWS = frozenset(_TITLES.split())
_MAY_END = frozenset((_COMMON + " " + _STATES).split())
_NUMBER_FOLLOWS = frozenset(_COUNTED.split())
_OPENER = re.compile(_any(_OPENERS) + r"(?=[\s,'’])")
_INITIAL = re.compile(rf"(?:^(?![a-z])|[.-]){_LETTER}\Z")
_SAYS_NOTHING = re.compile(r"I\b")  # always has its capital


def tokenize(text: str) -> list[Token]:
    """The tokens of a text as (start, end), in order: ``text[start:end]`` is the token."""
    return _one_by_one(text, split_words(text)[0])


def split_words(text: str) -> tuple[list[str], list[int]]:
    """The tokens of a text as strings, and where its sentences start.

    That is the numbers of their first tokens, the first 0, and the number of all tokens.
    """
    words: list[str] = []
    starts = [0]
    find = _token().findall
    for start, end in split_sentences(text):
        words += find(text, start, end)
        if len(words) > starts[-1]:
            starts.append(len(words))
    return words, starts


@cache
def _token() -> re.Pattern[str]:
    """What a token is, compiled when the first text is cut: that takes 0.02 s."""
    return re.compile(_TOKEN, re.VERBOSE)


def offsets(texts: Sequence[str], tokens: Tokens, bounds: Indices) -> tuple[Indices, Indices]:
    """Where tokens stand that texts were cut into: text[start:end], (N,) each. Outside of them is
    nothing but what may stand between tokens.

    bounds  (R+1,) the number of each text's first token, then N
    """
    lengths = tokens.each(len, np.intp)
    ends = np.cumsum(lengths)  # as if nothing stood between the tokens
    begins = np.cumsum([0, *map(len, texts)])
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), "<u4")
    visible = np.append(np.flatnonzero(~_is_between().take(codes, mode="clip")), len(codes))
    # If a text shows as many characters as its tokens have, they are the same.
    shown, held = visible.searchsorted(begins), np.append(0, ends)[bounds]
    text = np.repeat(np.arange(len(texts)), np.diff(bounds))
    before = (shown - held)[text]
    start = visible.take(ends - lengths + before, mode="clip") - begins[text]
    end = visible.take(ends - 1 + before, mode="clip") + 1 - begins[text]
    for i in np.flatnonzero(np.diff(shown) != np.diff(held)).tolist():
        own = slice(bounds[i], bounds[i + 1])
        start[own], end[own] = np.transpose(_one_by_one(texts[i], tokens[own]))
    return start, end


@cache
def _is_between() -> NDArray[np.bool_]:
    """Of each character of the basic plane, whether it may stand between tokens."""
    found = np.zeros(1 << 16, bool)
    every = "".join(map(chr, range(len(found))))
    found[[ord(character) for character in re.findall(f"[{_BETWEEN}]", every)]] = True
    return found


def _one_by_one(text: str, words: Iterable[str]) -> list[Token]:
    tokens = []
    end = 0
    for word in words:
        start = text.index(word, end)
        end = start + len(word)
        tokens.append((start, end))
    return tokens


def split_sentences(text: str) -> list[Token]:
    """The sentences of a text as (start, end), in order; only space lies between them.

    A sentence ends at an empty line, and after a full stop, ! or ? and what closes on it, if space
    and no word in lower case follows. A full stop of an abbreviation ends it only if the next word
    would have no capital otherwise (in the U.S. He left).
    """
    sentences = []
    start = len(text) - len(text.lstrip())
    for match in _END.finditer(text, start):
        if _ends(text, match, start):
            sentences.append((start, start + len(text[start : match.start(4)].rstrip())))
            start = match.end()
    end = len(text.rstrip())
    if start < end:
        sentences.append((start, end))
    return sentences


def _ends(text: str, match: re.Match[str], begin: int) -> bool:
    """Whether a sentence that begins at ``begin`` ends with what may be its end."""
    first, more, _, space = match.groups()
    if more is None:
        return first == "\u2029" or "\n" in space
    if not space:
        return (more or first)[-1] in _WIDE_STOPS
    if "\n" in space and ("\u2029" in space or space.count("\n") > 1):
        return True
    stop = first + more
    if text[match.end() : match.end() + 1] in _NEVER_FIRST:
        return False
    after = _OPENING.match(text, match.end()).end()  # type: ignore[union-attr]  # may be empty
    if text[after : after + 1].islower() and not text[after + 1 : after + 2].isupper():
        return False  # but iPhones may open one
    if stop in {"...", "…"}:
        return not _SAYS_NOTHING.match(text, after)
    if stop != ".":
        return True
    words = text[max(begin, match.start() - 24) : match.start()].split()
    word = words[-1].lstrip(_BEFORE_WORD) if words else ""
    place = match.start() - len(word)
    opens = place == begin or text[place - 1] == "\n"
    if opens and ((word.isdigit() and len(word) <= 3) or (word.isalpha() and len(word) == 1)):
        return False  # 1. of a list
    if word in _NAME_FOLLOWS:
        return False
    if word in _NUMBER_FOLLOWS:
        return not text[after : after + 1].isdigit()
    if word in _MAY_END or _INITIAL.search(word):
        return _OPENER.match(text, after) is not None
    return True
