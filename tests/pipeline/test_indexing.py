from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import spacy

from spacy_vokens.files import VokensError
from spacy_vokens.images.pool import ImagePool
from spacy_vokens.pipeline.indexing import IndexReport, index, search
from tests.conftest import IMAGES, LANG


def test_index_reports_the_pool_and_the_components(
    vokenizer_path: Path, make_pool: Callable[..., ImagePool], tmp_path: Path
) -> None:
    pool = make_pool(("cow", "hen"), seed=5)
    assert index(vokenizer_path, pool.path, tmp_path / "out") == IndexReport(
        2, ("voken_retriever",)
    )
    (word,) = search(tmp_path / "out", "cat", top_k=3)
    assert sorted(image_id for image_id, _ in word.images) == ["cow", "hen"]


def test_index_needs_a_component_that_takes_images(pool: ImagePool, tmp_path: Path) -> None:
    spacy.blank(LANG).to_disk(tmp_path / "blank")
    with pytest.raises(VokensError, match="no component that takes images"):
        index(tmp_path / "blank", pool.path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_search_ranks_images_and_skips_punctuation(vokenizer_path: Path) -> None:
    words = search(vokenizer_path, "a cat !", top_k=2)
    assert [word.word for word in words] == ["a", "cat", "!"]
    (best, best_score), (second, second_score) = words[1].images
    assert best == "cat"
    assert second in set(IMAGES) - {"cat"}
    assert best_score >= second_score
    assert words[2].images == ()
