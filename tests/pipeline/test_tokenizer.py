from __future__ import annotations

import pytest
import spacy
from spacy.util import load_config, load_model_from_config

from tests.conftest import CONFIGS


@pytest.mark.parametrize("lang", ["en", "xx", "zh"])
def test_each_language_has_its_own_tokenizer(lang: str) -> None:
    """Also in the committed configs, which any language can be given to."""
    text = "我很喜欢you're."
    nlp = spacy.blank(lang)
    expected = [token.text for token in nlp(text)]
    config = load_config(CONFIGS / "vokenizer.cfg", overrides={"nlp.lang": lang})
    found = load_model_from_config(config, auto_fill=True)
    assert type(found.tokenizer) is type(nlp.tokenizer)
    assert [token.text for token in found.make_doc(text)] == expected
