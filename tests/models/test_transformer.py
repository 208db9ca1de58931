from __future__ import annotations

import pytest
from transformers import AutoModel, BertConfig, CanineConfig

from spacy_vokens.models.transformer import Encoder

TINY = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 64,
}


@pytest.mark.parametrize(
    ("config", "has_table"),
    [(BertConfig(**TINY, vocab_size=20), True), (CanineConfig(**TINY, num_hash_buckets=8), False)],
)
def test_encoders_with_and_without_a_table_of_words(config, has_table):
    state = Encoder.from_config(config).half().state_dict()
    assert any(name.endswith("word_embeddings.scales") for name in state) == has_table
    # What is stored can be loaded, whatever it has.
    Encoder.from_config(config).load_state_dict(state)
    if not has_table:
        AutoModel.from_config(config).load_state_dict(state)
