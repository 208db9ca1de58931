from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from spacy_vokens.models.torch.eight_bits import save_in_eight_bits, to_eight_bits


@given(
    st.lists(
        st.lists(st.floats(-1e4, 1e4, width=16), min_size=3, max_size=3), min_size=1, max_size=5
    )
)
def test_no_value_is_more_than_half_a_step_off(rows: list[list[float]]) -> None:
    vectors = torch.tensor(rows)
    steps, scales = to_eight_bits(vectors)
    assert steps.dtype == torch.int8
    assert ((steps * scales - vectors).abs() <= scales / 2 * 1.001).all()


def embedding_in_a_model() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 2))
    save_in_eight_bits(model[0])
    return model


def test_half_precision_is_saved_in_eight_bits() -> None:
    saved = embedding_in_a_model().half()
    state = saved.state_dict()
    assert state["0.weight"].dtype == torch.int8
    assert state["1.weight"].dtype == torch.float16

    loaded = embedding_in_a_model()
    with torch.no_grad():
        loaded[0].weight.zero_()
    loaded.load_state_dict(state)
    assert loaded[0].weight.dtype == torch.float32
    torch.testing.assert_close(loaded[0].weight, saved[0].weight.float(), atol=0.02, rtol=0)
    assert "0.scales" in state, "loading must not change what it reads"


def test_saved_twice_it_stays_the_same() -> None:
    first = embedding_in_a_model().half().state_dict()
    again = embedding_in_a_model()
    again.load_state_dict(first)
    second = again.half().state_dict()
    assert torch.equal(first["0.weight"], second["0.weight"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_other_states_are_as_ever(dtype: torch.dtype) -> None:
    model = embedding_in_a_model()
    assert model.state_dict()["0.weight"].dtype == torch.float32
    plain = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 2)).to(dtype)
    model.load_state_dict(plain.state_dict())
    assert torch.equal(model[0].weight, plain[0].weight.float())
