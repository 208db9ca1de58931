"""The public names: what configs, commands and pipelines of others may rely on."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.language import Language
from spacy.util import registry
from thinc.api import Model, Optimizer
from torch import nn
from typer import Typer

from spacy_vokens.corpus.reader import Corpus
from spacy_vokens.images.encoders import image_encoders
from spacy_vokens.models.piece_spans import PieceSpans
from tests.conftest import LANG

if sys.version_info >= (3, 11):
    import tomllib
else:
    # pytest brings it where Python does not.
    import tomli as tomllib

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
# A name that has been released stays; what changes its signature gets a new version.
PUBLIC = {
    "spacy_architectures": {
        "spacy-vokens.CrossModalMatching.v1",
        "spacy-vokens.FrozenTok2Vec.v1",
        "spacy-vokens.PieceVectors.v1",
        "spacy-vokens.Tok2VecTransformer.v1",
        "spacy-vokens.TransformerModel.v1",
        "spacy-vokens.VisualTagger.v1",
        "spacy-vokens.VocabVectors.v1",
        "spacy-vokens.WordMatching.v1",
    },
    "spacy_callbacks": {"spacy-vokens.resolve_optimizer.v1"},
    "spacy_cli": {"vokens"},
    "spacy_displacy_colors": {"spacy_vokens"},
    "spacy_factories": {"given_image", "visual_ner", "voken_retriever"},
    "spacy_readers": {"spacy-vokens.Corpus.v1"},
    "spacy_scorers": {"spacy-vokens.visual_ner_scorer.v1", "spacy-vokens.voken_scorer.v1"},
    "spacy_span_getters": {"spacy-vokens.piece_spans.v1"},
    "spacy_tokenizers": {"spacy-vokens.language_tokenizer.v1"},
    "spacy_voken_fusions": {
        "spacy-vokens.GatedFusion.v1",
        "spacy-vokens.NoFusion.v1",
        "spacy-vokens.VisualAttention.v1",
    },
    "spacy_voken_losses": {
        "spacy-vokens.Hinge.v1",
        "spacy-vokens.InfoNCE.v1",
        "spacy-vokens.WordPositives.v1",
    },
    "thinc_optimizers": {"spacy-vokens.GroupedAdam.v1"},
}
NAMES = [(group, name) for group, names in PUBLIC.items() for name in sorted(names)]

TOK2VEC = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "width": 8,
    "depth": 1,
    "embed_size": 10,
    "window_size": 1,
    "maxout_pieces": 2,
    "subword_features": False,
    "pretrained_vectors": None,
}
SPANS = {"@span_getters": "spacy-vokens.piece_spans.v1"}
# What each name makes, from the arguments that have no default.
MAKES: dict[tuple[str, str], tuple[type, dict[str, Any]]] = {
    ("architectures", "spacy-vokens.CrossModalMatching.v1"): (
        Model,
        {"tok2vec": TOK2VEC, "loss": {"@voken_losses": "spacy-vokens.Hinge.v1"}},
    ),
    ("architectures", "spacy-vokens.FrozenTok2Vec.v1"): (Model, {"tok2vec": TOK2VEC}),
    ("architectures", "spacy-vokens.PieceVectors.v1"): (Model, {"name": "bert"}),
    ("architectures", "spacy-vokens.VocabVectors.v1"): (Model, {}),
    ("architectures", "spacy-vokens.WordMatching.v1"): (
        Model,
        {
            "words": {"@architectures": "spacy-vokens.VocabVectors.v1"},
            "loss": {"@voken_losses": "spacy-vokens.WordPositives.v1"},
        },
    ),
    ("architectures", "spacy-vokens.Tok2VecTransformer.v1"): (
        Model,
        {"name": "bert", "get_spans": SPANS, "pooling": {"@layers": "reduce_mean.v1"}},
    ),
    ("architectures", "spacy-vokens.TransformerModel.v1"): (
        Model,
        {"name": "bert", "get_spans": SPANS},
    ),
    ("architectures", "spacy-vokens.VisualTagger.v1"): (
        Model,
        {"tok2vec": TOK2VEC, "fusion": {"@voken_fusions": "spacy-vokens.GatedFusion.v1"}},
    ),
    ("callbacks", "spacy-vokens.resolve_optimizer.v1"): (object, {}),
    ("readers", "spacy-vokens.Corpus.v1"): (Corpus, {"path": "corpus/train.spacy"}),
    ("scorers", "spacy-vokens.visual_ner_scorer.v1"): (object, {}),
    ("scorers", "spacy-vokens.voken_scorer.v1"): (object, {}),
    ("span_getters", "spacy-vokens.piece_spans.v1"): (PieceSpans, {}),
    ("tokenizers", "spacy-vokens.language_tokenizer.v1"): (object, {}),
    ("voken_fusions", "spacy-vokens.GatedFusion.v1"): (nn.Module, {}),
    ("voken_fusions", "spacy-vokens.NoFusion.v1"): (nn.Module, {}),
    ("voken_fusions", "spacy-vokens.VisualAttention.v1"): (nn.Module, {}),
    ("voken_losses", "spacy-vokens.Hinge.v1"): (nn.Module, {}),
    ("voken_losses", "spacy-vokens.InfoNCE.v1"): (nn.Module, {}),
    ("voken_losses", "spacy-vokens.WordPositives.v1"): (nn.Module, {}),
    ("optimizers", "spacy-vokens.GroupedAdam.v1"): (
        Optimizer,
        {"learn_rate": 0.001, "lr_scales": {"encoder.": 0.1}, "no_decay": ["bias"]},
    ),
}


def declared() -> dict[str, dict[str, str]]:
    return tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]["entry-points"]


def test_public_names_are_locked() -> None:
    assert {group: set(names) for group, names in declared().items()} == PUBLIC
    assert set(image_encoders.get_all()) == {"efficientnet_lite0", "timm", "torchvision"}


@pytest.mark.parametrize(("group", "name"), NAMES)
def test_every_entry_point_is_installed_and_found_by_its_registry(group: str, name: str) -> None:
    (installed,) = entry_points(group=group, name=name)
    assert installed.value == declared()[group][name]
    if group == "spacy_factories":
        # Making a pipeline is what loads these.
        assert spacy.blank(LANG).has_factory(name)
    else:
        assert registry.get(group.partition("_")[2], name) is installed.load()


def test_everything_that_makes_something_is_tried() -> None:
    kinds = {kind for kind, _ in MAKES}
    public = {(group.partition("_")[2], name) for group, name in NAMES}
    assert {pair for pair in public if pair[0] in kinds} == set(MAKES)


@pytest.mark.parametrize(("kind", "name"), MAKES)
def test_a_config_can_make_it_with_its_defaults(kind: str, name: str) -> None:
    expected, arguments = MAKES[kind, name]
    made = registry.resolve({"made": {f"@{kind}": name, **arguments}})["made"]
    assert isinstance(made, expected)
    assert callable(made)


@pytest.mark.parametrize(("kind", "name"), MAKES)
def test_a_config_with_an_unknown_argument_is_refused(kind: str, name: str) -> None:
    _, arguments = MAKES[kind, name]
    config = {"made": {f"@{kind}": name, **arguments, "no_such_argument": 1}}
    with pytest.raises(ValueError, match="no_such_argument"):
        registry.resolve(config)


@pytest.mark.parametrize("name", sorted(PUBLIC["spacy_factories"]))
def test_component_is_found_and_made_from_its_defaults(name: str) -> None:
    nlp = spacy.blank(LANG)
    nlp.add_pipe(name)
    assert nlp.pipe_names == [name]
    # Else a weight would dilute the score of the pipeline that it is put into.
    weights = Language.get_factory_meta(name).default_score_weights
    assert {key for key, weight in weights.items() if weight} <= {"ents_f"}


def test_command_group_is_what_spacy_adds() -> None:
    assert registry.cli.get("vokens").app.__class__ is Typer
