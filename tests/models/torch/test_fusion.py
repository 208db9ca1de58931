from __future__ import annotations

import pytest
import torch

from spacy_vokens.models.torch.fusion import GatedFusion, NoFusion, TaggerHead, VisualAttention

WIDTH, IMAGE_WIDTH = 8, 5


def make(fusion: NoFusion) -> NoFusion:
    torch.manual_seed(0)
    fusion.initialize(WIDTH, IMAGE_WIDTH)
    return fusion.eval()


def batch(n_words: int = 4, n_sentences: int = 2) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(1)
    words = torch.randn(n_sentences, n_words, WIDTH)
    images = torch.randn(n_sentences * n_words, IMAGE_WIDTH)
    rows = torch.arange(len(images)).reshape(n_sentences, n_words)
    return words, images, rows, torch.ones_like(rows, dtype=torch.bool)


def test_no_fusion_leaves_words_alone() -> None:
    words, images, rows, mask = batch()
    fused, gates, attention = make(NoFusion())(words, images, rows, mask)
    assert fused is words
    assert gates is attention is None


def test_gated_fusion_is_equation_5() -> None:
    fusion = make(GatedFusion())
    words, images, rows, mask = batch()
    fused, gate, attention = fusion(words, images, rows, mask, True)
    assert attention is None
    g = images[rows] @ fusion.project.weight.T + fusion.project.bias
    z = torch.cat([words, g], dim=-1) @ fusion.gate.weight.T + fusion.gate.bias
    expected = 1 / (1 + torch.exp(-z))
    torch.testing.assert_close(gate, expected.squeeze(-1))
    torch.testing.assert_close(fused, (1 - expected) * words + expected * g)


def test_attention_is_equation_6_before_the_gate() -> None:
    fusion = make(VisualAttention(heads=1))
    words, images, rows, mask = batch()
    g = images[rows] @ fusion.project.weight.T + fusion.project.bias
    wq, wk, wv = fusion.attention.in_proj_weight.chunk(3)
    scores = (words @ wq.T) @ (g @ wk.T).transpose(1, 2) / WIDTH**0.5
    weights = torch.softmax(scores, dim=-1)
    seen = fusion.attention.out_proj(weights @ (g @ wv.T))
    gate = torch.sigmoid(fusion.gate(torch.cat([words, seen], dim=-1)))
    for asked in (False, True):
        fused, found, attention = fusion(words, images, rows, mask, asked)
        torch.testing.assert_close(found, gate.squeeze(-1), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(fused, (1 - gate) * words + gate * seen, atol=1e-5, rtol=1e-4)
        assert (attention is not None) is asked
    torch.testing.assert_close(attention, weights, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("fusion", [GatedFusion(), VisualAttention(heads=2)])
def test_word_without_image_ignores_its_features(fusion: NoFusion) -> None:
    fusion = make(fusion)
    words, images, rows, mask = batch()
    rows[:] = -1
    before = fusion(words, images, rows, mask)[0]
    after = fusion(words, images + 100, rows, mask)[0]
    torch.testing.assert_close(before, after)


@pytest.mark.parametrize("fusion", [GatedFusion(), VisualAttention(heads=2)])
def test_padding_changes_nothing(fusion: NoFusion) -> None:
    fusion = make(fusion)
    words, images, rows, mask = batch(n_words=6)
    mask[0, 4:] = False
    together = fusion(words, images, rows, mask)[0][0, :4]
    alone = fusion(words[:1, :4], images, rows[:1, :4], mask[:1, :4])[0][0]
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_gated_sees_its_own_image_attention_all_of_the_sentence() -> None:
    words, images, rows, mask = batch()
    changed = images.clone()
    changed[rows[0, 3]] += 5
    for fusion, reaches in ((make(GatedFusion()), False), (make(VisualAttention()), True)):
        before = fusion(words, images, rows, mask)[0][0, 0]
        after = fusion(words, changed, rows, mask)[0][0, 0]
        assert bool((before - after).abs().max() > 1e-6) is reaches


def test_fit_standardizes_images() -> None:
    words, images, rows, mask = batch()
    fusion = make(GatedFusion())
    plain = fusion(words, (images - images.mean(0)) / images.std(0, correction=0), rows, mask)[0]
    fusion.fit(images)
    torch.testing.assert_close(fusion(words, images, rows, mask)[0], plain)


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="heads = 3 does not divide 8"):
        VisualAttention(heads=3).initialize(WIDTH, IMAGE_WIDTH)


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_voken_dropout_hides_images_in_training_only(rate: float) -> None:
    seen: list[torch.Tensor] = []

    class Spy(GatedFusion):
        def forward(self, words, images, rows, mask, need_attention=False):
            seen.append(rows)
            return super().forward(words, images, rows, mask, need_attention)

    fusion = Spy()
    fusion.initialize(WIDTH, IMAGE_WIDTH)
    head = TaggerHead(fusion, WIDTH, 3, voken_dropout=rate)
    torch.manual_seed(0)
    words, images, rows, mask = batch(n_words=40, n_sentences=200)
    head.train()(words, images, rows, mask)
    head.eval()(words, images, rows, mask)
    trained, used = (rows >= 0 for rows in seen)
    assert used.all()
    assert trained.float().mean().item() == pytest.approx((1 - rate) ** 2, abs=0.05)
    whole_sentences = (~trained).all(dim=1).float().mean().item()
    assert whole_sentences == pytest.approx(rate, abs=0.1)
