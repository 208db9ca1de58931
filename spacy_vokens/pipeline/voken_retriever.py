"""The component that grounds every token in a picture."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spacy.attrs import IDS
from spacy.errors import Errors
from spacy.language import Language
from spacy.tokens import Doc, Token
from spacy.training import Example, validate_examples
from spacy.util import ensure_path, minibatch
from spacy.vocab import Vocab
from thinc.api import Config, Model, Optimizer, set_dropout_rate

from ..images.pool import ImagePool
from ..layers.frozen_tok2vec import enable_cache
from ..layers.matching import build_towers, fit_image_statistics, matching_loss
from ..metrics.retrieval import matching_scores
from ..retrieval.index import VokenIndex
from ..retrieval.picture import Picture
from .batches import batches_by_length
from .file_pipe import FilePipe
from .retrieved import Retrieved

logger = logging.getLogger(__name__)

KEY_BATCH = 4096

DEFAULT_CONFIG = """
[model]
@architectures = "spacy-vokens.CrossModalMatching.v1"
hidden_width = 256
width = 64

[model.tok2vec]
@architectures = "spacy-vokens.FrozenTok2Vec.v1"

[model.tok2vec.tok2vec]
@architectures = "spacy-transformers.Tok2VecTransformer.v3"
name = "bert-base-cased"
tokenizer_config = {"use_fast": true}

[model.tok2vec.tok2vec.get_spans]
@span_getters = "spacy-transformers.strided_spans.v1"
window = 128
stride = 96

[model.tok2vec.tok2vec.pooling]
@layers = "reduce_mean.v1"

[model.loss]
@losses = "spacy-vokens.InfoNCE.v1"
"""


@Language.factory(
    "voken_retriever",
    assigns=["token._.voken"],
    default_config={
        "model": Config().from_str(DEFAULT_CONFIG)["model"],
        "top_k": 1,
        "threshold": None,
        "skip": ["is_space", "is_punct"],
        "overwrite": False,
        "exclude_own": False,
    },
)
def make_voken_retriever(
    nlp: Language,
    name: str,
    model: Model,
    top_k: int,
    threshold: float | None,
    skip: list[str],
    overwrite: bool,
    exclude_own: bool,
) -> VokenRetriever:
    """Make the component `voken_retriever`; the settings are those of `VokenRetriever`."""
    return VokenRetriever(
        nlp.vocab,
        model,
        name,
        top_k=top_k,
        threshold=threshold,
        skip=skip,
        overwrite=overwrite,
        exclude_own=exclude_own,
    )


class VokenRetriever(FilePipe):
    """Sets `Token._.voken`, the image of the highest relevance score for each word.

    It is trained on (sentence, image id) pairs with the features of an `ImagePool`, and retrieves
    once `set_pool` has given it an index.

    top_k: how many images to find; more than one are kept in `Token._.vokens`.
    threshold: a token whose best score is below it has no voken; None keeps all.
    skip: token flags, such as "is_punct"; tokens with one of them have no voken.
    overwrite: retrieve again for documents that carry vokens of this very index.
    exclude_own: a document never gets the picture that came with it (`Doc._.image_id`) as a voken.
    """

    OPTIONAL_FILES = VokenIndex.FILES

    def __init__(
        self,
        vocab: Vocab,
        model: Model,
        name: str = "voken_retriever",
        *,
        top_k: int = 1,
        threshold: float | None = None,
        skip: Iterable[str] = (),
        overwrite: bool = False,
        exclude_own: bool = False,
    ) -> None:
        super().__init__(vocab, model, name)
        if top_k < 1:
            raise ValueError(f"{name}: top_k must be at least 1, found {top_k}.")
        flags = {flag: IDS.get(flag.upper()) for flag in skip}
        for flag, attribute in flags.items():
            if attribute is None or not flag.startswith("is_"):
                raise ValueError(f"{name}: skip takes token flags like 'is_punct', found {flag!r}.")
        self.top_k = top_k
        self.threshold = threshold
        self.overwrite = overwrite
        self.exclude_own = exclude_own
        self.index: VokenIndex | None = None
        self._skip = [attribute for attribute in flags.values() if attribute is not None]
        # The pool of training; never stored.
        self._pool: ImagePool | None = None

    # Training

    def initialize(
        self,
        get_examples: Callable[[], Iterable[Example]],
        *,
        nlp: Language | None = None,
        pool: str | None = None,
    ) -> None:
        """Make the towers for the widths of the text encoder and of a pool's features.

        get_examples: gives the training pairs: the image's id is `_.image_id` of the reference.
        pool: folder of the `ImagePool` that the pairs' images are in.
        raises ValueError: without a pool, or when none of the pairs' images is in it.
        """
        if pool is None:
            raise ValueError(
                f"{self.name}: set 'pool' in [initialize.components.{self.name}] to a folder made "
                "by 'spacy vokens embed-images'."
            )
        self._pool = ImagePool.open(ensure_path(pool))
        # Its keys are of the towers that were.
        self.index = None
        examples = list(get_examples())
        validate_examples(examples, "VokenRetriever.initialize")
        known = self._pairs(examples)
        if not known:
            raise ValueError(
                f"{self.name}: no training example names an image of pool {pool}. The id is read "
                "from 'Doc._.image_id' of the reference."
            )
        if len(known) < len(examples):
            logger.warning(
                "%s: %d of %d training pairs are left out, since their image is not in pool %s.",
                self.name,
                len(examples) - len(known),
                len(examples),
                pool,
            )
        sample = [eg.predicted for eg in known[:10]]
        self.model.initialize(X=sample)
        widths = [v.shape[1] for v in self.model.get_ref("tok2vec").predict(sample) if len(v)]
        self.cfg.update(
            text_width=widths[0],
            image_width=self._pool.meta["dimension"],
            encoder=self._pool.meta["encoder"],
            weights_sha256=self._pool.meta["weights_sha256"],
        )
        self.build_layers()
        enable_cache(self.model)
        used = sorted({eg.reference._.image_id for eg in known})
        fit_image_statistics(self.model, self._pool.features[self._pool.rows(used)])

    def update(
        self,
        examples: Iterable[Example],
        *,
        drop: float = 0.0,
        sgd: Optimizer | None = None,
        losses: dict[str, float] | None = None,
    ) -> dict[str, float]:
        """Learn from a batch of pairs; those whose image is not in the pool are passed over."""
        losses = {} if losses is None else losses
        losses.setdefault(self.name, 0.0)
        examples = list(examples)
        validate_examples(examples, "VokenRetriever.update")
        if self._pool is None:
            raise ValueError(
                f"{self.name} has no pool to learn from: call nlp.initialize first, or freeze it "
                f"(frozen_components in [training], or nlp.update(…, exclude=['{self.name}']))."
            )
        pairs = [eg for eg in self._pairs(examples) if len(eg.predicted)]
        if not pairs:
            return losses
        set_dropout_rate(self.model, drop)
        ids, image_of_pair = np.unique(
            [eg.reference._.image_id for eg in pairs], return_inverse=True
        )
        features = self._pool.features[self._pool.rows(ids.tolist())]
        ops = self.model.ops
        queries, backprop_queries = self.model.begin_update([eg.predicted for eg in pairs])
        keys, backprop_keys = self.model.get_ref("image_tower").begin_update(
            ops.asarray2f(features.astype(np.float32))
        )
        lengths = [len(query) for query in queries]
        loss, d_queries, d_keys = matching_loss(
            self.model, ops.flatten(queries), keys, np.repeat(image_of_pair, lengths)
        )
        backprop_queries(ops.unflatten(d_queries, ops.asarray1i(lengths)))
        backprop_keys(d_keys)
        if sgd not in (None, False):
            self.finish_update(sgd)
        losses[self.name] += loss
        return losses

    def score(self, examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
        """The `matching_scores` of the examples, over every token whatever `skip` and `threshold`.

        The candidates are the distinct images of the examples. Nothing is returned when no example
        names a known image.
        """
        pairs = [eg for eg in self._pairs(examples) if len(eg.predicted)]
        if not pairs:
            return {}
        ids, image_of_pair = np.unique(
            [eg.reference._.image_id for eg in pairs], return_inverse=True
        )
        queries = self.queries([eg.predicted for eg in pairs])
        return matching_scores(queries, self._keys_of(ids.tolist()), image_of_pair)

    # Retrieval

    def set_pool(self, pool: ImagePool) -> None:
        """Index a pool's images: the keys are what the image tower makes of their features.

        raises ValueError: when another image encoder made the features than those of training.
        """
        self._require_towers()
        pool.require_encoder(
            self.cfg["encoder"], self.cfg["weights_sha256"], self.get_width("image_width")
        )
        self.index = VokenIndex.from_pool(pool, self._image_keys(pool.features))

    def queries(self, docs: list[Doc]) -> list[NDArray[np.float32]]:
        """The query vector of every token: (n_tokens, width) a document, of unit length."""
        self._require_towers()
        width = self.model.get_dim("nO")
        found: list[NDArray[np.float32]] = [np.zeros((0, width), np.float32) for _ in docs]
        for batch in batches_by_length(docs):
            computed = self.model.predict([docs[i] for i in batch])
            for i, query in zip(batch, computed, strict=True):
                found[i] = self.model.ops.to_numpy(query)
        return found

    def __call__(self, doc: Doc) -> Doc:
        """Set the vokens of one document."""
        return super().__call__(doc) if self._is_wanted(doc) else doc

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 128) -> Iterator[Doc]:
        """Set the vokens of a stream of documents.

        A document that carries vokens of this index is left as it is, unless `overwrite` is set.
        While the component is being trained and has no index, all documents are.
        """
        handle_error = self.get_error_handler()
        for docs in minibatch(stream, batch_size):
            try:
                todo = [doc for doc in docs if self._is_wanted(doc)]
                self.set_annotations(todo, self.predict(todo))
                yield from docs
            except Exception as error:
                handle_error(self.name, self, docs, error)

    def predict(self, docs: Iterable[Doc]) -> list[Retrieved]:
        """Find the images of every token, with one search for all documents.

        raises ValueError: when the component has no index.
        """
        docs = list(docs)
        if not docs:
            return []
        if self.index is None:
            raise ValueError(
                f"{self.name} has no index of pictures: run 'spacy vokens index MODEL POOL OUT'."
            )
        per_doc = self.queries(docs)
        ids, scores = self.index.search(np.concatenate(per_doc), self.top_k + self.exclude_own)
        bounds = np.cumsum([len(query) for query in per_doc])[:-1]
        found = []
        for doc, doc_ids, doc_scores in zip(
            docs, np.split(ids, bounds), np.split(scores, bounds), strict=True
        ):
            retrieved = Retrieved(doc_ids, doc_scores)
            if self.exclude_own:
                retrieved = retrieved.without_image(doc._.image_id)
            if self.threshold is not None:
                retrieved = retrieved.without(retrieved.scores < self.threshold)
            if self._skip and len(doc):
                flags = doc.to_array(self._skip).reshape(len(doc), -1)
                retrieved = retrieved.without(flags.any(axis=1, keepdims=True))
            found.append(retrieved)
        return found

    def set_annotations(self, docs: Iterable[Doc], scores: list[Retrieved]) -> None:
        """Write the vokens to the documents, and mark them as this index's."""
        for doc, found in zip(docs, scores, strict=True):
            found.write_to(doc)
            doc._.voken_index = self._mark()

    def picture(self, token: Token | str) -> Picture | None:
        """The picture of a token, or of an image id; None for a token without a voken.

        raises KeyError: when the index has no such image.
        """
        image_id = token if isinstance(token, str) else token._.voken
        if image_id is None:
            return None
        if self.index is None or image_id not in self.index:
            raise KeyError(f"{self.name}: no image {image_id!r} in the index.")
        return self.index.picture(image_id)

    # Serialisation

    def to_files(self) -> dict[str, bytes]:
        """Settings, text encoder, towers and index."""
        return super().to_files() | (self.index.to_files() if self.index else {})

    def from_files(self, files: dict[str, bytes], exclude: Collection[str] = ()) -> None:
        """Restore what `to_files` gave."""
        super().from_files(files, exclude)
        if not {Path(name).stem for name in VokenIndex.FILES} & set(exclude):
            self.index = VokenIndex.from_files(files) if "meta.json" in files else None

    def build_layers(self) -> None:
        """Make the towers."""
        if self.cfg:
            build_towers(self.model, self.get_width("text_width"), self.get_width("image_width"))

    # Helpers

    def _pairs(self, examples: Iterable[Example]) -> list[Example]:
        """The examples whose image is known."""
        known = self.index if self._pool is None else self._pool
        if known is None:
            return []
        return [eg for eg in examples if eg.reference._.image_id in known]

    def _keys_of(self, ids: list[str]) -> NDArray[np.float32]:
        """The keys of known images, by the pool of training or by the index."""
        if self._pool is not None:
            return self._image_keys(self._pool.features[self._pool.rows(ids)])
        assert self.index is not None
        return self.index.keys[[self.index.rows[i] for i in ids]]

    def _image_keys(self, features: NDArray[np.floating]) -> NDArray[np.float32]:
        """What the image tower makes of features (n, image_width): (n, width)."""
        tower, ops = self.model.get_ref("image_tower"), self.model.ops
        keys = [
            ops.to_numpy(tower.predict(ops.asarray2f(features[i : i + KEY_BATCH], dtype="f")))
            for i in range(0, len(features), KEY_BATCH)
        ]
        return np.concatenate(keys) if keys else np.zeros((0, self.model.get_dim("nO")), "f")

    def _is_wanted(self, doc: Doc) -> bool:
        if self.index is None:
            # In training there is nothing to retrieve yet; else `predict` says what is missing.
            return self._pool is None
        return self.overwrite or doc._.voken_index != self._mark()

    def _mark(self) -> str:
        """What `Doc._.voken_index` says of documents that were grounded with these settings."""
        assert self.index is not None
        # A mark of its own, so that nobody takes the vokens of one setting for the other's.
        return f"{self.index.id}-not-own" if self.exclude_own else self.index.id

    def _require_towers(self) -> None:
        if not self.cfg:
            raise ValueError(Errors.E109.format(name=self.name))
