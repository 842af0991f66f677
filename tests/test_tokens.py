import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nerwin.text.tokens import Tokens


@given(st.lists(st.sampled_from(["Paris", "paris", "in", "", "\ud800"])))
def test_tokens_are_what_they_were_made_of(words):
    tokens = Tokens.of(words)
    assert list(tokens) == words
    assert len(tokens) == len(words)
    assert tokens.words == list(dict.fromkeys(words))
    assert [tokens[i] for i in range(len(words))] == words
    assert list(tokens[1:3]) == words[1:3]
    assert tokens.each(len, np.intp).tolist() == [len(word) for word in words]
    assert Tokens.of(tokens) is tokens


def test_what_is_made_of_a_word_is_made_once():
    seen = []
    Tokens.of(["a", "b", "a"]).each(lambda word: seen.append(word) or 0, int)
    assert seen == ["a", "b"]
