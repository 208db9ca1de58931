from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import snowballstemmer
import spacy
from hypothesis import given
from hypothesis import strategies as st

from spacy_vokens.stems import ALGORITHMS, stemmer_of


@pytest.mark.parametrize(
    ("lang", "words"),
    [
        ("en", ["Dogs", "dog", "DOG"]),
        ("de", ["Häuser", "Häusern", "Ha\u0308user"]),
        ("ru", ["собака", "собаки"]),
    ],
)
def test_forms_of_a_word_have_one_stem(lang, words):
    assert len({stemmer_of(lang)(word) for word in words}) == 1


@pytest.mark.parametrize("lang", ["zh", "ja", "xx"])
def test_other_languages_are_lower_cased(lang):
    assert stemmer_of(lang)("Hunde") == "hunde"
    assert stemmer_of(lang)("图书馆") == "图书馆"


@pytest.mark.parametrize("lang", ALGORITHMS)
def test_codes_are_those_of_spacy_and_snowball(lang):
    assert spacy.util.get_lang_class(lang).lang == lang
    assert ALGORITHMS[lang] in snowballstemmer.algorithms()


@given(st.text())
def test_any_text_has_a_stem_whatever_its_case(word):
    assert stemmer_of("en")(word) == stemmer_of("en")(word.lower())


def test_threads_do_not_mix_their_words():
    words = [
        f"{word}{end}" for word in ("walk", "jump", "paint") for end in ("ing", "ed", "s")
    ] * 500
    fresh = stemmer_of.__wrapped__("en")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(fresh, words))
    assert found == [stemmer_of("en")(word) for word in words]
