from __future__ import annotations

import numpy as np
import pytest
from spacy.tokens import Doc
from spacy_transformers.align import get_alignment_via_offset_mapping
from spacy_transformers.data_classes import WordpieceBatch
from spacy_transformers.layers.transformer_model import huggingface_tokenize
from spacy_transformers.span_getters import get_strided_spans
from spacy_transformers.truncate import truncate_oversize_splits
from transformers import AutoTokenizer

from spacy_vokens.checks import pieces as truncation
from spacy_vokens.checks.pieces import TextEncoder, check_pieces, count_pieces
from spacy_vokens.checks.splits import Split
from tests.checks.made import VOCAB, find, make_doc, texts


@pytest.fixture
def tokenizer(text_encoder):
    """Takes 8 pieces, [CLS] and [SEP] included; "apples" and such are two pieces."""
    return AutoTokenizer.from_pretrained(text_encoder, model_max_length=8)


def test_pieces_beyond_the_bound_are_counted(tokenizer):
    docs = [
        Doc(VOCAB),
        make_doc("a cat in paris ."),
        # Six pieces and two special ones just fit.
        make_doc("apples balls cats"),
        # The first loses its [SEP] alone, the other one "##s" too.
        make_doc("apples balls cats a"),
        make_doc("apples balls cats eggs"),
    ]
    assert count_pieces(docs[:3], tokenizer, 128, 96).oversize == 0
    found = count_pieces(docs, tokenizer, 128, 96)
    assert (found.spans, found.longest, found.oversize, found.docs) == (4, 10, 2, [4, 5])
    assert (found.tokens, found.lost) == (1, 0)
    found = count_pieces([make_doc("apples balls cats eggs in paris")], tokenizer, 128, 96)
    assert (found.tokens, found.lost) == (3, 2)


def test_a_word_is_cut_once_though_two_spans_have_it(tokenizer):
    doc = make_doc("apples balls cats dogs eggs")
    found = count_pieces([doc], tokenizer, 4, 2)
    assert (found.spans, found.longest, found.oversize, found.docs) == (2, 10, 1, [1])
    # "dogs" loses a piece in the first span and keeps it in the second.
    assert (found.tokens, found.lost) == (1, 0)


@pytest.mark.parametrize("n_batch", [1, 256])
def test_counts_are_those_of_spacy_transformers(tokenizer, monkeypatch, n_batch):
    monkeypatch.setattr(truncation, "BATCH_DOCS", n_batch)
    rng = np.random.default_rng(0)
    # The last one has no piece at all, so that it has none to lose.
    words = ["apples", "a", "cat", "balls", "eggs", "paris", "\ufe0f"]
    docs = [make_doc(" ".join(rng.choice(words, size=n))) for n in rng.integers(1, 30, size=40)]
    cut = lost = 0
    for doc in docs:
        spans = get_strided_spans([doc], 6, 4)[0]
        encoded = huggingface_tokenize(tokenizer, [span.text for span in spans])
        align = get_alignment_via_offset_mapping(spans, encoded["offset_mapping"])
        before = align.lengths.copy()
        pieces = WordpieceBatch.from_batch_encoding(encoded)
        _, kept = truncate_oversize_splits(pieces, align, 8)
        cut += int((kept.lengths < before).sum())
        lost += int(((kept.lengths == 0) & (before > 0)).sum())
    found = count_pieces(docs, tokenizer, 6, 4)
    assert 0 < lost < cut
    assert (found.tokens, found.lost) == (cut, lost)


def test_what_is_cut_off_is_a_warning(text_encoder):
    # The encoder takes 64 pieces.
    long, short = make_doc(" ".join(["apples"] * 32)), make_doc("a cat")
    splits = [Split("train", [short]), Split("test", [short, long])]
    section = check_pieces(splits, TextEncoder(text_encoder))
    assert section.tables[0].header[3] == "Over 64"
    assert texts(section.tables[0]) == [
        ["train", "1", "4", "0", "0", "0", "0", "0.0%"],
        ["test", "2", "66", "1", "1", "1", "0", "2.9%"],
    ]
    (warning,) = find(section, "warn")
    assert warning.startswith(
        "test: 1 span with more than 64 word pieces | document 2. The encoder"
    )
    assert not find(section, "good")
    section = check_pieces(splits, TextEncoder(text_encoder, window=16, stride=12))
    assert find(section, "good") == ["No span has more than 64 word pieces | "]
    assert not find(section, "warn")


def test_a_tokenizer_without_a_bound_is_said(text_encoder, monkeypatch):
    tokenizer = AutoTokenizer.from_pretrained(text_encoder, model_max_length=10**30)
    monkeypatch.setattr(truncation, "load_tokenizer", lambda name: tokenizer)
    section = check_pieces([Split("train", [make_doc("a " * 100)])], TextEncoder("any"))
    assert [message.level for message in section.messages] == ["info"]
    assert section.tables[0].header[3] == "Too long"


def test_an_encoder_that_cannot_be_used_is_named(text_encoder, tmp_path):
    (tmp_path / "tokenizer.json").write_text("{", encoding="utf-8")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    for name, why in ((str(tmp_path), ""), ("no-such-model", "there is no such folder")):
        with pytest.raises(OSError, match=f"text encoder {name} cannot be read: {why}"):
            check_pieces([], TextEncoder(name))
    with pytest.raises(ValueError, match="stride of 17 words"):
        check_pieces([], TextEncoder(text_encoder, window=16, stride=17))


class Slow:
    is_fast = False


def test_a_slow_tokenizer_is_refused_and_none_downloaded(text_encoder, monkeypatch):
    asked = {}

    def load(name, **settings):
        asked.update(settings)
        return Slow()

    monkeypatch.setattr(truncation.AutoTokenizer, "from_pretrained", load)
    with pytest.raises(ValueError, match="no fast tokenizer"):
        check_pieces([], TextEncoder(text_encoder))
    # Nothing is downloaded, whatever the environment says.
    assert asked == {"use_fast": True, "local_files_only": True}
