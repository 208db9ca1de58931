from __future__ import annotations

import numpy as np
import spacy
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc

from spacy_vokens.extensions import get_token_values
from spacy_vokens.pipeline.retrieved import Retrieved

NLP = spacy.blank("en")
rankings = st.lists(st.permutations(["a", "b", "c", "d"]), min_size=1, max_size=4)


def retrieved(rows: list[list[str]]) -> Retrieved:
    scores = np.linspace(1, 0, len(rows[0]), dtype=np.float32)
    return Retrieved(np.array(rows, dtype=object), np.tile(scores, (len(rows), 1)))


@given(rankings, st.sampled_from(["a", "e", None]))
def test_one_image_is_left_out_and_the_order_kept(rows: list[list[str]], image_id: str) -> None:
    found = retrieved(rows).without_image(image_id)
    for row, kept, scores in zip(rows, found.ids.tolist(), found.scores, strict=True):
        expected = [i for i in row if i != image_id][:3]
        assert kept == expected
        assert (np.diff(scores) < 0).all()


@given(rankings, st.data())
def test_dropped_images_are_written_to_no_token(rows: list[list[str]], data: st.DataObject) -> None:
    mask = data.draw(st.lists(st.booleans(), min_size=4, max_size=4))
    before = retrieved(rows)
    doc = Doc(NLP.vocab, words=["w"] * len(rows))
    before.without(np.array(mask)).write_to(doc)
    for token, row in zip(doc, rows, strict=True):
        kept = [i for i, is_dropped in zip(row, mask, strict=True) if not is_dropped]
        assert token._.voken == (None if mask[0] else row[0])
        assert (token._.voken_score is None) is mask[0]
        assert [i for i, _ in token._.vokens or ()] == kept
    assert before.ids.tolist() == rows, "what was found is left as it was"


def test_one_image_a_token_is_no_ranking() -> None:
    doc = Doc(NLP.vocab, words=["w", "w"])
    retrieved([["a"], ["b"]]).write_to(doc)
    assert get_token_values(doc, "voken") == ["a", "b"]
    assert get_token_values(doc, "vokens") == [None, None]
