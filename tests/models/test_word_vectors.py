from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import spacy
from spacy.lexeme import Lexeme
from spacy.vocab import Vocab
from thinc.api import Adam, Model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModel, AutoTokenizer, BertTokenizerFast

from spacy_vokens.files import VokensError
from spacy_vokens.models.word_vectors import build_piece_vectors_v1, build_vocab_vectors_v1
from tests.conftest import LANG, WORDS
from tests.fixtures import SPECIAL, save_bert

NLP = spacy.blank(LANG)


def lexemes(*words: str, vocab: Vocab = NLP.vocab) -> list[Lexeme]:
    return [vocab[word] for word in words]


def pieces(folder: str) -> Model:
    model = build_piece_vectors_v1(folder)
    model.initialize()
    return model


@pytest.fixture(scope="module")
def piece_vectors(text_encoder: str) -> Model:
    return pieces(text_encoder)


def test_a_word_is_the_mean_of_its_pieces(text_encoder: str, piece_vectors: Model) -> None:
    tokenizer = AutoTokenizer.from_pretrained(text_encoder)
    table = AutoModel.from_pretrained(text_encoder).get_input_embeddings().weight.detach().numpy()
    words = ["cats", "a", "dogss"]
    found = piece_vectors.predict(lexemes(*words))
    assert found.dtype == np.float32
    assert found.shape == (3, table.shape[1])
    assert piece_vectors.get_dim("nO") == table.shape[1]
    for vector, word in zip(found, words, strict=True):
        of_word = table[tokenizer(word, add_special_tokens=False)["input_ids"]]
        assert len(of_word) == 1 + word.count("s")
        # A value is rounded to the next of 127 steps up to the piece's largest one.
        error = (np.abs(of_word).max(axis=1) / 127 / 2).mean()
        np.testing.assert_allclose(vector, of_word.mean(axis=0), rtol=0, atol=error + 1e-7)


def test_a_value_takes_one_byte(piece_vectors: Model) -> None:
    assert piece_vectors.get_param("pieces").dtype == np.int8
    assert np.abs(piece_vectors.get_param("pieces").astype(int)).max() == 127


def test_a_word_with_an_unknown_piece_has_no_vector(piece_vectors: Model) -> None:
    # "!" before and "dog" behind keep their own vectors.
    words = lexemes("!", "zebra", " ", "dogz", "dog")
    found = piece_vectors.predict(words)
    assert np.isnan(found).all(axis=1).tolist() == [False, True, True, True, False]
    np.testing.assert_array_equal(found[[0, 4]], piece_vectors.predict([words[0], words[4]]))


@pytest.mark.parametrize("words", [["zebra"], [" ", "zebra"]])
def test_only_unknown_words(piece_vectors: Model, words: list[str]) -> None:
    found = piece_vectors.predict(lexemes(*words))
    assert found.shape == (len(words), piece_vectors.get_dim("nO"))
    assert np.isnan(found).all()


def test_no_words(piece_vectors: Model) -> None:
    assert piece_vectors.predict([]).shape == (0, piece_vectors.get_dim("nO"))


def test_case_counts_if_it_does_for_the_tokenizer(piece_vectors: Model, tmp_path: Path) -> None:
    small, large = piece_vectors.predict(lexemes("dog", "Dog"))
    np.testing.assert_array_equal(small, large)
    save_bert(tmp_path, [*WORDS, "Dog"])
    vocabulary = str(tmp_path / "vocab.txt")
    BertTokenizerFast(vocab_file=vocabulary, do_lower_case=False).save_pretrained(tmp_path)
    small, large, largest = pieces(str(tmp_path)).predict(lexemes("dog", "Dog", "DOG"))
    assert np.abs(small - large).max() > 0.01
    assert np.isnan(largest).all()


def test_long_words_are_not_cut_off(text_encoder: str, tmp_path: Path) -> None:
    shutil.copytree(text_encoder, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=8)
    tokenizer.save(str(path))
    found = pieces(str(tmp_path)).predict(lexemes("catss", "a"))
    np.testing.assert_array_equal(found, pieces(text_encoder).predict(lexemes("catss", "a")))


def test_a_word_is_one_within_a_text(text_encoder: str, tmp_path: Path) -> None:
    """Some tokenizers have a piece for the blank in front of a word."""
    shutil.copytree(text_encoder, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "tokenizer.json"
    vocabulary = {"[UNK]": 0, "dog": 1, "Ġdog": 2} | {f"x{i}": i for i in range(3, 8)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(path))
    (tmp_path / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]"}'
    )
    model = pieces(str(tmp_path))
    expected = model.get_param("pieces")[2] * model.get_param("scales")[2]
    np.testing.assert_array_equal(model.predict(lexemes("dog"))[0], expected)


def test_stored_vectors_do_not_need_the_encoder(text_encoder: str, tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    shutil.copytree(text_encoder, folder)
    model = pieces(str(folder))
    data = model.to_bytes()
    shutil.move(folder, tmp_path / "away")
    other = build_piece_vectors_v1(str(folder)).from_bytes(data)
    words = lexemes("cats", "zebra", "a")
    np.testing.assert_array_equal(other.predict(words), model.predict(words))
    assert other.get_dim("nO") == model.get_dim("nO")


def test_initializing_again_takes_the_new_encoder(text_encoder: str, tmp_path: Path) -> None:
    model = pieces(text_encoder)
    model.attrs["name"] = str(save_bert(tmp_path, ["zebra"], hidden=8))
    model.initialize()
    found = model.predict(lexemes("zebra", "cat"))
    assert found.shape == (2, 8)
    assert np.isnan(found[:, 0]).tolist() == [False, True]


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_zeros_stay_zeros(text_encoder: str, tmp_path: Path) -> None:
    encoder = AutoModel.from_pretrained(text_encoder)
    encoder.get_input_embeddings().weight.data[len(SPECIAL) + WORDS.index("cat")] = 0
    shutil.copytree(text_encoder, tmp_path, dirs_exist_ok=True)
    encoder.save_pretrained(tmp_path)
    cat, dog = pieces(str(tmp_path)).predict(lexemes("cat", "dog"))
    assert (cat == 0).all()
    assert (dog != 0).any()


def test_a_slow_tokenizer_is_an_error(text_encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BertTokenizerFast, "is_fast", False)
    with pytest.raises(VokensError, match="no fast tokenizer"):
        pieces(text_encoder)


def test_pieces_are_not_trained(text_encoder: str) -> None:
    model = pieces(text_encoder)
    words = lexemes("cats", "dog")
    before, backprop = model.begin_update(words)
    assert backprop(np.ones_like(before)) == []
    assert not model.has_grad("pieces")
    assert not model.has_grad("scales")
    model.finish_update(Adam(0.1))
    np.testing.assert_array_equal(model.predict(words), before)


def vocab_with_vectors() -> Vocab:
    vocab = Vocab()
    vocab.reset_vectors(width=3)
    vocab.set_vector("dog", np.array([1, 2, 3], "f"))
    vocab.set_vector("cat", np.array([0, -1, 0.5], "f"))
    return vocab


def test_vocab_vectors() -> None:
    words = lexemes("cat", "zebra", "dog", vocab=vocab_with_vectors())
    model = build_vocab_vectors_v1()
    model.initialize(X=words)
    assert model.get_dim("nO") == 3
    found = model.predict(words)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[0, -1, 0.5], [np.nan] * 3, [1, 2, 3]])
    assert model.predict([]).shape == (0, 3)


def test_vocab_vectors_stay_in_the_vocabulary() -> None:
    words = lexemes("cat", vocab=vocab_with_vectors())
    model = build_vocab_vectors_v1()
    model.initialize(X=words)
    other = build_vocab_vectors_v1().from_bytes(model.to_bytes())
    np.testing.assert_array_equal(other.predict(words), [[0, -1, 0.5]])
    found, backprop = other.begin_update(words)
    assert backprop(found) == []


def test_a_vocabulary_without_vectors_is_an_error() -> None:
    for words in (lexemes("cat", vocab=Vocab()), []):
        with pytest.raises(VokensError, match="no word vectors"):
            build_vocab_vectors_v1().initialize(X=words)
