"""The component that recognises named entities with the help of the words' pictures."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from spacy.errors import Errors
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example, validate_examples
from spacy.util import ensure_path
from spacy.vocab import Vocab
from thinc.api import Config, Model, Optimizer, set_dropout_rate

from ..images.pool import ImagePool
from ..layers.crf import crf_loss, decode, span_probabilities
from ..layers.frozen_tok2vec import enable_cache
from ..layers.image_features import ImageFeatures
from ..layers.visual_tagger import TaggerOutput, attention_weights, build_head, fit_fusion
from ..tagger.crf import tag_set
from .batches import batches_by_length
from .entities import tag_numbers, tagged_spans
from .file_pipe import FilePipe
from .surroundings import check_retriever, require_upstream
from .tag_scorer import score_ner
from .tag_scores import TagScores
from .tagged import Tagged

logger = logging.getLogger(__name__)
# The CRF scores every pair of tags, of which there are two a label.
MAX_LABELS = 1000

DEFAULT_CONFIG = """
[model]
@architectures = "spacy-vokens.VisualTagger.v1"
voken_dropout = 0.1
mixed_precision = false

[model.tok2vec]
@architectures = "spacy-transformers.TransformerListener.v1"
grad_factor = 1.0
upstream = "*"

[model.tok2vec.pooling]
@layers = "reduce_mean.v1"

[model.fusion]
@layers = "spacy-vokens.GatedFusion.v1"
"""


@Language.factory(
    "visual_ner",
    assigns=["doc.ents", "token.ent_iob", "token.ent_type", "token._.visual_gate"],
    requires=["token._.voken"],
    default_config={
        "model": Config().from_str(DEFAULT_CONFIG)["model"],
        "overwrite_entities": True,
        "confidence": True,
        "attention": False,
        "scorer": {"@scorers": "spacy-vokens.TagScorer.v1"},
    },
    default_score_weights={
        "ents_f": 1.0,
        "ents_p": 0.0,
        "ents_r": 0.0,
        "ents_lenient_f": None,
        "ents_per_type": None,
        # Of no weight, and shown in training.
        "vokens": 0.0,
        "gate": 0.0,
        "gate_ents": 0.0,
    },
)
def make_visual_ner(
    nlp: Language,
    name: str,
    model: Model,
    overwrite_entities: bool,
    confidence: bool,
    attention: bool,
    scorer: Callable,
) -> VisualNer:
    """Make the component `visual_ner`; the settings are those of `VisualNer`."""
    return VisualNer(
        nlp.vocab,
        model,
        name,
        overwrite_entities=overwrite_entities,
        confidence=confidence,
        attention=attention,
        scorer=scorer,
    )


class VisualNer(FilePipe):
    """Sets `Doc.ents`, `Span._.confidence` of each, and `Token._.visual_gate` with pictures.

    Images reach it as `Token._.voken`, set by `voken_retriever` or `given_image`, and are looked up
    in its own table of features. Without vokens it tags from the text, and says so once.

    It learns from `Doc.ents` alone: spans that overlap (`Doc.spans`) are not for it.

    overwrite_entities: whether `Doc.ents` become this component's. If False, the entities that are
        there stay, blocked tokens stay blocked, and found entities that touch neither are added.
    confidence: whether to set `Span._.confidence` of the entities.
    attention: whether to set `Token._.visual_attention`, where the fusion attends
        (`VisualAttention`). It takes memory by the square of a document's length.
    """

    OPTIONAL_FILES = ("images",)

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "visual_ner",
        *,
        overwrite_entities: bool = True,
        confidence: bool = True,
        attention: bool = False,
        scorer: Callable[..., dict[str, Any]] | None = score_ner,
    ) -> None:
        super().__init__(vocab, model, name)
        self.overwrite_entities = overwrite_entities
        self.confidence = confidence
        self.attention = attention
        self.scorer = scorer
        self._said_no_vokens = False

    @property
    def labels(self) -> tuple[str, ...]:
        """The entity types, sorted."""
        return tuple(self.cfg.get("labels", ()))

    @property
    def label_data(self) -> list[str]:
        """What `spacy init labels` writes, and `initialize` takes as `labels`."""
        return list(self.labels)

    @property
    def temperature(self) -> float:
        """What divides the scores of tag sequences before confidences are computed, 1 at first.

        `spacy vokens calibrate` fits it.
        """
        return self.cfg.get("temperature", 1.0)

    @property
    def images(self) -> ImageFeatures | None:
        """The table of image features."""
        return self.model.attrs["images"]

    # Training

    def add_label(self, label: str) -> int:
        """Add an entity type, before `initialize` makes the head for all of them.

        returns: 0 if the label is known already, otherwise 1.
        raises ValueError: for a new label once the component is initialised.
        """
        if not isinstance(label, str):
            raise ValueError(Errors.E187)
        if label in self.labels:
            return 0
        if self.model.has_ref("crf"):
            n_tags = len(tag_set(self.labels))
            raise ValueError(Errors.E922.format(name=self.name, nO=n_tags))
        self.cfg["labels"] = sorted([*self.labels, label])
        return 1

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        labels: list[str] | None = None,
        pool: str | None = None,
    ) -> None:
        """Make the head for the labels, the width of the words and that of the image features.

        get_examples: gives the training examples.
        labels: entity types; read from the examples if None. Those that the component has
            already, as by `add_label`, stay.
        pool: folder of the `ImagePool` whose features the vokens name. Needed unless the fusion is
            `NoFusion`.
        raises ValueError: without labels, without a pool, or when the pipeline's retriever has
            indexed another pool.
        """
        examples = list(get_examples())
        validate_examples(examples, "VisualNer.initialize")
        found = {ent.label_ for eg in examples for ent in eg.reference.ents}
        labels = sorted({*self.labels, *(found if labels is None else labels)})
        if not labels:
            raise ValueError(Errors.E143.format(name=self.name))
        image_width = 0
        if self.model.attrs["fusion"].uses_images:
            if pool is None:
                raise ValueError(
                    f"{self.name}: set 'pool' in [initialize.components.{self.name}] to the folder "
                    "of the image pool that the vokens come from, or use NoFusion."
                )
            self.model.attrs["images"] = ImageFeatures.from_pool(ImagePool.open(ensure_path(pool)))
            check_retriever(self, self.model.attrs["images"].meta["pool_hash"], nlp)
            image_width = self.model.attrs["images"].width
        sample = [eg.predicted for eg in examples if len(eg.predicted)][:10]
        self.model.initialize(X=sample)
        enable_cache(self.model)
        words = self.model.get_ref("tok2vec").predict(sample)
        self.cfg.pop("temperature", None)
        self.cfg.update(labels=labels, width=words[0].shape[1], image_width=image_width)
        self.build_layers()
        fit_fusion(self.model)

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch; a token without an entity annotation may take any tag."""
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "VisualNer.update")
        self._require_head()
        # A temperature was fitted to the weights that were.
        self.cfg.pop("temperature", None)
        docs = [eg.predicted for eg in examples]
        if not any(len(doc) for doc in docs):
            return losses
        set_dropout_rate(self.model, drop)
        output, backprop = self.model.begin_update(docs)
        loss, d_emissions = self.get_loss(examples, output)
        backprop(d_emissions)
        if sgd not in (None, False):
            self.finish_update(sgd)
        losses[self.name] += loss
        return losses

    def get_loss(self, examples: list[Example], scores: TaggerOutput) -> tuple[float, Any]:
        """The CRF's negative log-likelihood averaged over documents, and its gradient."""
        try:
            gold = [tag_numbers(examples[row], self.labels) for row in scores.rows]
        except KeyError as error:
            raise ValueError(
                f"{self.name} does not know the entity tag {error}: its labels are "
                f"{', '.join(self.labels)}. Initialise it with all labels of the corpus."
            ) from None
        return crf_loss(self.model.get_ref("crf"), scores.emissions, gold)

    # Recognition

    def predict(self, docs: Iterable[Doc]) -> list[Tagged]:
        """The best valid tag sequence of every document.

        raises ValueError: when the component is not initialised, or what it listens to has not
            run.
        """
        docs = list(docs)
        uses_images = self.model.attrs["fusion"].uses_images
        attends = self.attention and hasattr(self.model.attrs["fusion"], "attention_weights")
        found = [Tagged(np.zeros(0, dtype=np.int64)) for _ in docs]
        if uses_images:
            self._tell_of_missing_vokens(docs)
        for batch, output in self._outputs(docs):
            scores = self.model.get_ref("crf"), output.emissions, output.lengths
            tags = decode(*scores)
            gates: list[Any] = [None] * len(batch)
            confidences = attention = gates
            if uses_images:
                padded = self.model.ops.to_numpy(output.gates)
                gates = [row[:n] for row, n in zip(padded, output.lengths, strict=True)]
            if self.confidence:
                spans = [tagged_spans(row) for row in tags]
                confidences = span_probabilities(*scores, spans, self.temperature)
            if attends:
                attention = attention_weights(self.model, [docs[i] for i in batch])
            for i, *parts in zip(batch, tags, gates, confidences, attention, strict=True):
                found[i] = Tagged(*parts)
        return found

    def set_annotations(self, docs: Iterable[Doc], scores: list[Tagged]) -> None:
        """Write entities, confidences, gates and attention to the documents."""
        for doc, found in zip(docs, scores, strict=True):
            found.write_to(doc, self.labels, overwrite=self.overwrite_entities)

    def tag_scores(self, docs: Sequence[Doc]) -> TagScores:
        """The scores of the documents' tags; nothing is written to them.

        docs: documents that what the component listens to has run on.
        raises ValueError: as `predict` does.
        """
        return TagScores(
            self.labels, self.model.get_ref("crf"), [*map(len, docs)], [*self._outputs(docs)]
        )

    def _outputs(self, docs: Sequence[Doc]) -> Iterator[tuple[list[int], TaggerOutput]]:
        """What the model says of the documents that have tokens, with their positions."""
        self._require_head()
        require_upstream(self, docs)
        for batch in batches_by_length(docs):
            yield batch, self.model.predict([docs[i] for i in batch])

    # Images

    def set_pool(self, pool: ImagePool) -> None:
        """Take another pool's features in place of those of training; `NoFusion` needs none.

        raises ValueError: when another image encoder made the features.
        """
        if self.images is None:
            return
        known = self.images.meta
        pool.require_encoder(known["encoder"], known["weights_sha256"], self.images.width)
        self.model.attrs["images"] = ImageFeatures.from_pool(pool)

    def _tell_of_missing_vokens(self, docs: list[Doc]) -> None:
        if not docs or self._said_no_vokens or any(doc._.voken_index is not None for doc in docs):
            return
        self._said_no_vokens = True
        logger.warning(
            "%s: the documents carry no vokens, so entities are recognised from the text alone. "
            "Put 'voken_retriever' or 'given_image' before it to use pictures.",
            self.name,
        )

    # Serialisation

    def to_files(self) -> dict[str, bytes]:
        """Settings, weights and image features."""
        images = self.images
        return super().to_files() | ({"images": images.to_bytes()} if images is not None else {})

    def from_files(self, files: dict[str, bytes], exclude: Collection[str] = ()) -> None:
        """Restore what `to_files` gave."""
        super().from_files(files, exclude)
        if "images" not in exclude:
            stored = files.get("images")
            self.model.attrs["images"] = (
                None if stored is None else ImageFeatures.from_bytes(stored)
            )

    def build_layers(self) -> None:
        """Make the head and the CRF."""
        if not self.cfg:
            return
        labels = self.cfg.get("labels")
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise ValueError("cfg.json: labels must be a list of texts.")
        if "width" not in self.cfg:
            return
        if len(labels) > MAX_LABELS:
            raise ValueError(f"cfg.json: {len(labels)} labels are more than {MAX_LABELS}.")
        if not isinstance(self.temperature, float | int) or not 0 < self.temperature < math.inf:
            raise ValueError(f"cfg.json: temperature must be above 0, found {self.temperature!r}.")
        width, image_width = self.get_width("width"), self.get_width("image_width")
        build_head(self.model, width, image_width, len(labels))

    # Helpers

    def _require_head(self) -> None:
        if not self.model.has_ref("crf"):
            raise ValueError(Errors.E109.format(name=self.name))
        if self.model.attrs["fusion"].uses_images and self.images is None:
            raise ValueError(
                f"{self.name} was loaded without its image features ('images' excluded): load it "
                "whole. Where they are not wanted, use NoFusion."
            )
