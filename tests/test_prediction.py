from itertools import pairwise
from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nerwin.prediction import predict_block
from nerwin.records import Record

SENTENCES = st.lists(st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=3), max_size=3)


@given(st.lists(st.tuples(SENTENCES, st.booleans()), max_size=6))
def test_a_model_is_asked_for_all_tokens_with_their_sentences_and_documents(given_records):
    """Documents end with records that do not go on; one of no sentence is none."""
    records, documents, open_document = [], [], []
    for sentences, goes_on in given_records:
        words = [word for sentence in sentences for word in sentence]
        ends = np.cumsum([0, *map(len, sentences)]).tolist()
        records.append(Record(" ".join(words), words, ends, goes_on=goes_on))
        open_document += sentences
        if not goes_on:
            documents.append(open_document)
            open_document = []
    asked = []
    model = SimpleNamespace(predict=lambda *given: asked.append(given))
    block = predict_block(model, records)
    [(tokens, starts, bounds)] = asked
    found = [list(tokens[a:b]) for a, b in pairwise(starts)]
    of_documents = [found[a:b] for a, b in pairwise(bounds)]
    assert of_documents == [x for x in [*documents, open_document] if x]
    assert np.diff(block.bounds).tolist() == [len(record.words) for record in records]
