from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from spacy_vokens.checks import pieces
from spacy_vokens.checks.pieces import check_pieces
from spacy_vokens.checks.splits import Split
from tests.checks.made import find, make_doc, texts

# 63 pieces; the encoder takes 64, [CLS] and [SEP] included.
GIANT = "apple" + 62 * "s"


def test_words_without_a_piece_and_with_too_many(text_encoder):
    splits = [
        Split("train", [make_doc("a cat"), make_doc("apples \ufe0f \ufe0f in", "O B-PER O B-LOC")]),
        Split("test", [make_doc(f"a {GIANT} \u200b", "O B-PER I-PER")]),
    ]
    section = check_pieces(splits, text_encoder)
    assert section.tables[0].header[-1] == "Too many"
    assert texts(section.tables[0]) == [
        ["train", "6", "2", "33.3%", "2", "0"],
        ["test", "3", "1", "33.3%", "63", "1"],
    ]
    assert [message.text for message in section.messages if message.level != "info"] == [
        "train: 1 entity without a word piece",
        "test: 1 word with more than 62 word pieces",
    ]
    first, second = find(section, "info")
    assert first.startswith("train: 2 tokens without a word piece | The encoder does not see them")
    assert second.startswith("test: 1 token without a word piece")


def test_ordinary_words(text_encoder):
    section = check_pieces(
        [Split("train", [make_doc("a cat in paris", "O O O B-LOC")])], text_encoder
    )
    assert find(section, "good") == ["Every entity has word pieces, and none has more than 62 | "]
    assert len(section.messages) == 1


def test_a_tokenizer_without_a_limit(text_encoder, monkeypatch):
    tokenizer = AutoTokenizer.from_pretrained(text_encoder, model_max_length=10**30)
    monkeypatch.setattr(pieces, "load_tokenizer", lambda name: tokenizer)
    section = check_pieces([Split("train", [make_doc(f"a {GIANT}")])], "any")
    assert find(section, "good") == ["Every entity has word pieces | "]


def test_an_encoder_that_cannot_be_used_is_named(text_encoder, tmp_path):
    (tmp_path / "tokenizer.json").write_text("{", encoding="utf-8")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    for name, why in ((str(tmp_path), ""), ("no-such-model", "there is no such folder")):
        with pytest.raises(OSError, match=f"text encoder {name} cannot be read: {why}"):
            check_pieces([], name)


class Slow:
    is_fast = False


def test_a_slow_tokenizer_is_refused_and_none_downloaded(text_encoder, monkeypatch):
    asked = {}

    def load(name, **settings):
        asked.update(settings)
        return Slow()

    monkeypatch.setattr(pieces.AutoTokenizer, "from_pretrained", load)
    with pytest.raises(ValueError, match="no fast tokenizer"):
        check_pieces([], text_encoder)
    # Nothing is downloaded, whatever the environment says.
    assert asked == {"use_fast": True, "local_files_only": True}
