"""The component that recognizes named entities with the help of images."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np
from spacy.errors import Errors
from spacy.language import Language
from spacy.pipeline.tok2vec import Tok2VecListener
from spacy.tokens import Doc, Span
from spacy.training import Example, validate_examples
from spacy.util import ensure_path
from spacy.vocab import Vocab
from spacy_transformers.layers.listener import TransformerListener
from thinc.api import Config, Model, Optimizer, set_dropout_rate

from ..attributes import clear_values, get_token_values, set_token_values
from ..files import VokensError
from ..images.pool import ImagePool
from ..models.crf import crf_loss, find_entities, span_probabilities
from ..models.frozen_tok2vec import enable_cache
from ..models.image_features import ImageFeatures
from ..models.scenes import get_transformer_data
from ..models.tagger import Tagged, build_head, fit_fusion
from ..models.torch.crf import MISSING
from ..scoring.ner import Span as SpanTuple
from .scorer import score_ner
from .serialize import FilePipe
from .util import batches_by_length
from .voken_retriever import VokenRetriever
from .words import LostWords, spans_of_tokens, tags_of_words

logger = logging.getLogger(__name__)

# The CRF scores every pair of tags, and each label has two tags.
MAX_LABELS = 1000
# How many images `Token._.visual_attention` names for each token.
MAX_ATTENDED = 5

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
@voken_fusions = "spacy-vokens.GatedFusion.v1"
"""


@Language.factory(
    "visual_ner",
    assigns=[
        "doc.ents",
        "token.ent_iob",
        "token.ent_type",
        "token._.visual_gate",
        "token._.visual_attention",
        "span._.visual_confidence",
    ],
    requires=["token._.voken"],
    default_config={
        "model": Config().from_str(DEFAULT_CONFIG)["model"],
        "overwrite_entities": True,
        "set_confidence": True,
        "set_attention": False,
        "temperature": 1.0,
        "scorer": {"@scorers": "spacy-vokens.visual_ner_scorer.v1"},
    },
    default_score_weights={
        "ents_f": 1.0,
        "ents_p": 0.0,
        "ents_r": 0.0,
        "ents_lenient_f": None,
        "ents_per_type": None,
        # Shown during training, but without weight.
        "voken_coverage": 0.0,
        "visual_gate": 0.0,
        "visual_gate_ents": 0.0,
    },
)
def make_visual_ner(
    nlp: Language,
    name: str,
    model: Model[list[Doc], list[Tagged]],
    overwrite_entities: bool,
    set_confidence: bool,
    set_attention: bool,
    temperature: float,
    scorer: Callable | None,
) -> VisualNer:
    """Make the component `visual_ner`.

    Args:
        nlp: The pipeline.
        name: Name of the component.
        model: The tagger, for instance `spacy-vokens.VisualTagger.v1`.
        overwrite_entities: Whether to replace the entities that a document has. If False, they
            stay, blocked tokens stay blocked, and only entities that overlap neither are added.
        set_confidence: Whether to set `Span._.visual_confidence` of the entities.
        set_attention: Whether to set `Token._.visual_attention`, if the fusion attends
            (`VisualAttention`). The memory that this needs grows with the square of the number of
            tokens in a document.
        temperature: Divides the scores of tag sequences before confidences are computed. Fitted by
            `spacy vokens calibrate`.
        scorer: The scoring method.

    Returns:
        The component, without labels and weights.

    Raises:
        VokensError: If the temperature is not above 0 and finite.
    """
    return VisualNer(
        nlp.vocab,
        model,
        name,
        overwrite_entities=overwrite_entities,
        set_confidence=set_confidence,
        set_attention=set_attention,
        temperature=temperature,
        scorer=scorer,
    )


class VisualNer(FilePipe):
    """Recognize named entities, with the help of images.

    It sets `Doc.ents`, `Span._.visual_confidence` of each entity, and `Token._.visual_gate` if the
    fusion uses images. The images come as `Token._.voken`, set by `voken_retriever` or
    `given_image`, and their features from the component's own table. Without vokens it tags from
    the text alone, and warns once.

    It learns from `Doc.ents` only, not from overlapping spans in `Doc.spans`.

    It tags words: tokens that the text encoder has a vector for, without white space. No entity
    begins or ends with another token, but an entity may span one.

    Args:
        vocab: The vocabulary.
        model: The tagger, for instance `spacy-vokens.VisualTagger.v1`.
        name: Name of the component.
        overwrite_entities: Whether to replace the entities that a document has. If False, they
            stay, blocked tokens stay blocked, and only entities that overlap neither are added.
        set_confidence: Whether to set `Span._.visual_confidence` of the entities.
        set_attention: Whether to set `Token._.visual_attention`, if the fusion attends
            (`VisualAttention`). The memory that this needs grows with the square of the number of
            tokens in a document.
        temperature: Divides the scores of tag sequences before confidences are computed. Fitted by
            `spacy vokens calibrate`.
        scorer: The scoring method.

    Raises:
        VokensError: If the temperature is not above 0 and finite.
    """

    OPTIONAL_FILES = ("images",)
    WIDTHS = ("width", "image_width")

    def __init__(
        self,
        vocab: Vocab,
        model: Model[list[Doc], list[Tagged]],
        name: str = "visual_ner",
        *,
        overwrite_entities: bool = True,
        set_confidence: bool = True,
        set_attention: bool = False,
        temperature: float = 1.0,
        scorer: Callable[..., dict[str, Any]] | None = score_ner,
    ) -> None:
        super().__init__(vocab, model, name)
        self.overwrite_entities = overwrite_entities
        self.set_confidence = set_confidence
        self.set_attention = set_attention
        self.temperature = temperature
        self.scorer = scorer
        self._lost_words = LostWords(name)
        self._has_warned_about_vokens = False
        self._has_warned_about_temperature = False

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
        """What divides the scores of tag sequences before confidences are computed."""
        return self._temperature

    @temperature.setter
    def temperature(self, value: float) -> None:
        if not isinstance(value, float | int) or not 0 < value < math.inf:
            raise VokensError(
                f"{self.name}: temperature must be above 0 and finite, not {value!r}."
            )
        self._temperature = float(value)

    @property
    def images(self) -> ImageFeatures | None:
        """The table of image features."""
        return self.model.attrs["images"]

    # Training

    def add_label(self, label: str) -> int:
        """Add an entity type, before `initialize` makes the head for all of them.

        Args:
            label: The entity type.

        Returns:
            0 if the component has the label already, otherwise 1.

        Raises:
            VokensError: If the label is not a string, or is new and the component is already
                initialized.
        """
        if not isinstance(label, str):
            raise VokensError(Errors.E187)
        if label in self.labels:
            return 0
        if self.model.has_ref("crf"):
            raise VokensError(Errors.E922.format(name=self.name, nO=self.model.get_dim("nO")))
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
        """Make the head: the labels and the widths of words and image features are known now.

        Args:
            get_examples: Function that returns the training examples.
            nlp: The pipeline.
            labels: Entity types; read from the examples if None. Labels that were added before are
                kept.
            pool: Folder of the `ImagePool` that the vokens come from. Needed unless the fusion is
                `NoFusion`.

        Raises:
            VokensError: If there are no labels, if there is no pool or it cannot be used, or if the
                retriever of the pipeline has indexed another pool.
        """
        examples = list(get_examples())
        validate_examples(examples, "VisualNer.initialize")
        found = {ent.label_ for eg in examples for ent in eg.reference.ents}
        labels = sorted({*self.labels, *(found if labels is None else labels)})
        if not labels:
            raise VokensError(Errors.E143.format(name=self.name))
        image_width = 0
        if self.model.attrs["fusion"].uses_images:
            if pool is None:
                raise VokensError(
                    f"{self.name}: set 'pool' in [initialize.components.{self.name}] to the folder "
                    "of the image pool that the vokens come from, or use NoFusion."
                )
            images = ImageFeatures.from_pool(ImagePool.open(ensure_path(pool)))
            self._check_retriever(images, nlp)
            self.model.attrs["images"] = images
            image_width = images.width
        sample = [eg.predicted for eg in examples if len(eg.predicted)][:10]
        if not sample:
            raise VokensError(f"{self.name}: the training examples have no tokens.")
        self.model.initialize(X=sample)
        enable_cache(self.model)
        words = self.model.get_ref("tok2vec").predict(sample)
        self.cfg.update(labels=labels, width=words[0].shape[1], image_width=image_width)
        self.build_layers()
        fit_fusion(self.model)

    def _check_retriever(self, images: ImageFeatures, nlp: Language | None) -> None:
        """Raise VokensError if the last retriever before the tagger has indexed another pool.

        A frozen component is disabled while the pipeline is initialized, but counts too.
        """
        retriever: VokenRetriever | None = None
        for _, pipe in nlp.components if nlp is not None else ():
            if pipe is self:
                break
            if isinstance(pipe, VokenRetriever):
                retriever = pipe
        index = None if retriever is None else retriever.index
        if retriever is not None and index is not None and index.pool != images.pool:
            raise VokensError(
                f"{self.name} was given image features of pool {images.pool.short}, but "
                f"{retriever.name} has indexed pool {index.pool.short}. Give both the same pool."
            )

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch. A token without an entity annotation may have any tag.

        Args:
            examples: The batch.
            drop: Dropout rate.
            sgd: The optimizer; None to keep the gradients for `finish_update`.
            losses: Losses by component, to which the loss is added.

        Returns:
            The losses.

        Raises:
            VokensError: If the component is not initialized, a label is not one of the component's,
                or a voken is not in its table of images.
        """
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "VisualNer.update")
        self._require_ready()
        docs = [eg.predicted for eg in examples]
        if not any(len(doc) for doc in docs):
            return losses
        if self.temperature != 1.0 and not self._has_warned_about_temperature:
            self._has_warned_about_temperature = True
            logger.warning(
                "%s is trained further, but its temperature %.2f was fitted to the weights that it "
                "had before. Run 'spacy vokens calibrate' again after training.",
                self.name,
                self.temperature,
            )
        self._check_vokens(docs)
        set_dropout_rate(self.model, drop)
        tagged, backprop = self.model.begin_update(docs)
        self._lost_words.check(docs, [one.words for one in tagged])
        loss, d_emissions = self.get_loss(examples, tagged)
        backprop(d_emissions)
        if sgd not in (None, False):
            self.finish_update(sgd)
        losses[self.name] += loss
        return losses

    def get_loss(self, examples: Iterable[Example], scores: list[Tagged]) -> tuple[float, Any]:
        """Compute the CRF's negative log-likelihood, averaged over the documents with tokens.

        Args:
            examples: The batch.
            scores: What the model says about each document.

        Returns:
            The loss, and its gradient with respect to the emissions of each document.

        Raises:
            VokensError: If an entity has a label that the component does not have.
        """
        gradients = [tagged.emissions for tagged in scores]
        filled = [row for row, emissions in enumerate(gradients) if len(emissions)]
        if not filled:
            return 0.0, gradients
        gold = [example.get_aligned_ner() for example in examples]
        tag_ids = _map_tags(self.labels)
        try:
            tags = [[tag_ids[tag] for tag in gold[row]] for row in filled]
        except KeyError as error:
            raise VokensError(
                f"{self.name} does not know the entity tag {error}: its labels are "
                f"{', '.join(self.labels)}. Initialize it with all labels of the corpus."
            ) from None
        tags = [tags_of_words(t, scores[row].words) for t, row in zip(tags, filled, strict=True)]
        crf = self.model.get_ref("crf")
        loss, computed = crf_loss(crf, [gradients[row] for row in filled], tags)
        for row, gradient in zip(filled, computed, strict=True):
            gradients[row] = gradient
        return loss, gradients

    # Recognition

    def predict(self, docs: Iterable[Doc]) -> list[Tagged]:
        """Tag documents, without changing them.

        Args:
            docs: Documents on which the transformer or tok2vec that the component listens to has
                run.

        Returns:
            What was found for each document.

        Raises:
            VokensError: If the component is not initialized, or what it listens to has not run.
        """
        docs = list(docs)
        self._require_ready(docs)
        self.model.attrs["need_attention"] = self.set_attention
        crf = self.model.get_ref("crf")
        empty = self.model.ops.alloc2f(0, self.model.get_dim("nO"))
        found = [Tagged(empty, np.zeros(0, dtype=np.int64)) for _ in docs]
        for batch in batches_by_length(docs):
            tagged = self.model.predict([docs[i] for i in batch])
            for i, one in zip(batch, tagged, strict=True):
                found[i] = one
        for batch in batches_by_length([one.words for one in found]):
            spans, confidences = find_entities(
                crf,
                [found[i].emissions for i in batch],
                self.temperature if self.set_confidence else None,
            )
            for place, i in enumerate(batch):
                found[i].spans = spans_of_tokens(spans[place], found[i].words)
                found[i].confidences = None if confidences is None else confidences[place]
        self._lost_words.check(docs, [one.words for one in found])
        return found

    def set_annotations(self, docs: Iterable[Doc], scores: list[Tagged]) -> None:
        """Write entities, confidences, gates and attention to documents.

        Args:
            docs: The documents.
            scores: What `predict` found for each of them.
        """
        docs = list(docs)
        self._check_vokens(docs)
        for doc, tagged in zip(docs, scores, strict=True):
            ents = [Span(doc, *span) for span in self.spans_of(tagged)]
            confidences: dict[int, float | None] = {}
            if tagged.confidences is not None:
                starts = tagged.spans[:, 0].tolist()
                confidences.update(zip(starts, tagged.confidences.tolist(), strict=True))
            if not self.overwrite_entities:
                confidences.update((ent.start, ent._.visual_confidence) for ent in doc.ents)
            set_entities(doc, ents, overwrite=self.overwrite_entities)
            # Values of an earlier run must not stay beside those of this one.
            clear_values(doc, "visual_confidence", "visual_gate", "visual_attention")
            for ent in doc.ents:
                if (confidence := confidences.get(ent.start)) is not None:
                    ent._.visual_confidence = confidence
            if tagged.gates is not None:
                set_token_values(doc, "visual_gate", tagged.gates.tolist(), tagged.words)
            if tagged.attention is not None:
                images = _rank_images(doc, tagged.words, tagged.attention)
                set_token_values(doc, "visual_attention", images, tagged.words)

    def spans_of(self, tagged: Tagged) -> list[SpanTuple]:
        """Return the entities of one document with their labels.

        Args:
            tagged: What `predict` found for the document.

        Returns:
            The entities as (start, end, label), in order.
        """
        labels = self.labels
        return [(start, end, labels[label_id]) for start, end, label_id in tagged.spans.tolist()]

    def span_probabilities(
        self,
        tagged: Sequence[Tagged],
        spans: Sequence[Sequence[SpanTuple]],
        temperature: float | None = None,
    ) -> list[np.ndarray]:
        """Compute the probability that spans are entities, whether or not they were predicted.

        Args:
            tagged: What `predict` found for each document.
            spans: Per document, spans as (start, end, label).
            temperature: Divides the scores of tag sequences; that of the component if None.

        Returns:
            Per document, probabilities (n_spans,).

        Raises:
            VokensError: If the component does not have a label, or a span does not begin and end
                with words of its document.
        """
        label_ids = {label: label_id for label_id, label in enumerate(self.labels)}
        wanted: list[np.ndarray] = []
        for one, doc_spans in zip(tagged, spans, strict=True):
            places = {token: place for place, token in enumerate(one.words.tolist())}
            rows = []
            for start, end, label in doc_spans:
                if label not in label_ids:
                    raise VokensError(
                        f"({start}, {end}, {label!r}) is not a span with one of the labels "
                        f"{', '.join(self.labels)}."
                    )
                if not {start, end - 1} <= places.keys() or start >= end:
                    raise VokensError(
                        f"({start}, {end}, {label!r}) is not a span that begins and ends with one "
                        f"of the {len(places)} words of its document. White space and tokens "
                        "without a vector are no words."
                    )
                rows.append((places[start], places[end - 1] + 1, label_ids[label]))
            wanted.append(np.array(rows))
        emissions = [one.emissions for one in tagged]
        found: list[np.ndarray] = [np.zeros(0) for _ in tagged]
        for batch in batches_by_length(emissions):
            values = span_probabilities(
                self.model.get_ref("crf"),
                [emissions[i] for i in batch],
                [wanted[i] for i in batch],
                self.temperature if temperature is None else temperature,
            )
            for i, probabilities in zip(batch, values, strict=True):
                found[i] = probabilities
        return found

    # Images

    def set_pool(self, pool: ImagePool) -> None:
        """Replace the table of image features by that of another pool. `NoFusion` needs none.

        Args:
            pool: The pool.

        Raises:
            VokensError: If another image encoder made its features.
        """
        if self.images is None:
            return
        pool.require_encoder(self.images.encoder, self.images.width)
        self.model.attrs["images"] = ImageFeatures.from_pool(pool)

    # Serialization

    def to_files(self) -> dict[str, bytes]:
        """Return the image features as a file.

        Returns:
            The content of the file by its name; empty if the component has no image features.
        """
        return {} if self.images is None else {"images": self.images.to_bytes()}

    def from_files(self, files: dict[str, bytes], exclude: Collection[str] = ()) -> None:
        """Restore the image features.

        Args:
            files: All files of the component, by name.
            exclude: Names of files to ignore, without extensions.

        Raises:
            VokensError: If the image features cannot be used.
        """
        if "images" not in exclude:
            stored = files.get("images")
            self.model.attrs["images"] = (
                None if stored is None else ImageFeatures.from_bytes(stored)
            )

    def build_layers(self) -> None:
        """Make the head and the CRF for the labels and widths in `cfg`, if they are there.

        Raises:
            VokensError: If `cfg` holds anything other than labels and widths.
        """
        if not self.cfg:
            return
        labels = self.cfg.get("labels")
        if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
            raise VokensError("cfg.json: labels must be a list of strings.")
        if "width" not in self.cfg:
            return
        if len(labels) > MAX_LABELS:
            raise VokensError(f"cfg.json: {len(labels)} labels are more than {MAX_LABELS}.")
        build_head(self.model, self.cfg["width"], self.cfg["image_width"], len(labels))

    # Helpers

    def _require_ready(self, docs: Sequence[Doc] = ()) -> None:
        """Raise VokensError if the tagger is not complete, or cannot tag documents.

        If a transformer or tok2vec left nothing with a document, a listener returns zeros and does
        not complain.
        """
        if not self.model.has_ref("crf"):
            raise VokensError(Errors.E109.format(name=self.name))
        if self.model.attrs["fusion"].uses_images and self.images is None:
            raise VokensError(
                f"{self.name} was loaded without its image features ('images' excluded). Load it "
                "with them, or use NoFusion if you want no images."
            )
        # Asked for each time: `nlp.replace_listeners` puts a model in a listener's place.
        nodes = list(self.model.walk())
        needs_trf = any(isinstance(node, TransformerListener) for node in nodes)
        needs_tensor = any(isinstance(node, Tok2VecListener) for node in nodes)
        if any(
            (needs_trf and get_transformer_data(doc) is None)
            or (needs_tensor and not doc.tensor.size)
            for doc in docs
            if len(doc)
        ):
            raise VokensError(
                f"{self.name} listens to a transformer or tok2vec, but the documents have no "
                "output of one. Put the one that it was trained with before it, and between "
                "them no component that removes its output, as 'doc_cleaner' does."
            )

    def _check_vokens(self, docs: Sequence[Doc]) -> None:
        """Warn, once, if documents have no vokens although the fusion uses images."""
        if (
            self._has_warned_about_vokens
            or not self.model.attrs["fusion"].uses_images
            or not any(len(doc) for doc in docs)
            or any(doc._.voken_index is not None for doc in docs)
        ):
            return
        self._has_warned_about_vokens = True
        logger.warning(
            "%s: the documents have no vokens, so it sees the text alone. To use images, put "
            "'voken_retriever' or 'given_image' before it; in training, also name that component "
            "in nlp.update(…, annotates=[…]) or in annotating_components in [training].",
            self.name,
        )


def set_entities(doc: Doc, entities: list[Span], *, overwrite: bool) -> None:
    """Set the entities of a document.

    Args:
        doc: The document.
        entities: The entities.
        overwrite: Whether to replace those that the document has. If False, they stay, blocked
            tokens stay blocked, and only entities that overlap neither are added.
    """
    kept: list[Span] = []
    blocked: list[Span] = []
    if not overwrite:
        kept = list(doc.ents)
        # 1 is I, 3 is B. A blocked token begins an entity without a type.
        is_taken = np.isin(doc.to_array("ENT_IOB"), (1, 3))
        rows = np.flatnonzero(is_taken & (doc.to_array("ENT_TYPE") == 0)).tolist()
        blocked = [doc[row : row + 1] for row in rows]
        entities = [ent for ent in entities if not is_taken[ent.start : ent.end].any()]
    for entity in entities:
        for token in entity:
            # `set_ents` would keep the id of an entity that was there before.
            token.ent_id = 0
    doc.set_ents([*kept, *entities], blocked=blocked)


def _map_tags(labels: Sequence[str]) -> dict[str | None, int]:
    """Map spaCy's BILUO tags to ids in the `tag_set` of labels; None is a missing tag."""
    tag_ids: dict[str | None, int] = {None: MISSING, "O": 0}
    for label_id, label in enumerate(labels):
        begin, inside = 2 * label_id + 1, 2 * label_id + 2
        tag_ids |= {f"B-{label}": begin, f"U-{label}": begin}
        tag_ids |= {f"I-{label}": inside, f"L-{label}": inside}
    return tag_ids


def _rank_images(
    doc: Doc, words: np.ndarray, weights: np.ndarray
) -> list[list[list[str | float | None]]]:
    """Return the images that each word attends to most; weights are summed over their words."""
    of_token = get_token_values(doc, "voken")
    vokens = [of_token[token] for token in words.tolist()]
    distinct = list(dict.fromkeys(vokens))
    columns = {image_id: column for column, image_id in enumerate(distinct)}
    is_of = np.zeros((len(vokens), len(distinct)), dtype=weights.dtype)
    is_of[np.arange(len(vokens)), [columns[image_id] for image_id in vokens]] = 1.0
    by_image = weights @ is_of
    best = np.argsort(-by_image, axis=1, kind="stable")[:, :MAX_ATTENDED]
    best_weights = np.take_along_axis(by_image, best, axis=1)
    return [
        [[distinct[column], weight] for column, weight in zip(row, row_weights, strict=True)]
        for row, row_weights in zip(best.tolist(), best_weights.tolist(), strict=True)
    ]
