"""Matching of single words: pictures that show the word, by a look-up; and of scenes, if wanted.

The relevance of an image v for a word w in the scene s has two parts,

    r(w, v; s) = f_word(w) . g_word(v) + scene_weight f_scene(s) . g_scene(v).

In the word part, a word's query is made of its static vector, whatever its context, and a word's
positives are all images whose texts have it. So the query of a form is computed once. The scene
part is added to a trained model, for the transformer of one pipeline (see `corpus.align`). A
key joins both parts of an image, so that one search finds the most relevant ones.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from spacy.attrs import ORTH
from spacy.lexeme import Lexeme
from spacy.strings import get_string_id
from spacy.tokens import Doc
from spacy.util import get_lang_class
from thinc.api import Model, Optimizer, set_dropout_rate
from thinc.types import Floats2d
from torch import nn

from ..files import VokensError
from ..stems import stemmer_of
from .matching import Matching, apply_tower, as_floats, set_towers, standardize
from .torch.losses import InfoNCE
from .torch.towers import SkipTower, Visualness
from .torch_layer import get_module, loss_and_gradients, torch_layer
from .training_words import TrainingWords
from .visualness import fit_visualness, visual_distances

# Width of the scene part of a key.
SCENE_KEY_WIDTH = 64
# Of the inverse document frequency, as a weight of the words in texts. With less, frequent words
# take too much of a key (tried on the test tweets of Twitter-2017 over captioned Flickr8k photos).
IDF_POWER = 2.5
# A stop word counts as much as a word that so many images have.
STOP_WORD_WEIGHT = 100
# Differences in visualness that mean nothing.
ROUNDING = 1e-4
# The share of content words that may lose their vokens for the stop words to have none.
LOST_SHARE = 0.01


def build_word_matching_v1(
    words: Model[list[Lexeme], Floats2d],
    loss: nn.Module,
    hidden_width: int = 512,
    width: int = 128,
    text_weight: float = 5.0,
) -> Model[list[Doc], list[Floats2d]]:
    """Build `spacy-vokens.WordMatching.v1`, a matching model of single words.

    It gives every token its query vector: an array (n_tokens, width) per document, with NaN for
    tokens that have no word vector. The towers are added once the encoders' widths are known.

    Args:
        words: The source of word vectors, such as `spacy-vokens.PieceVectors.v1`.
        loss: A registered matching loss over words, such as `spacy-vokens.WordPositives.v1`.
        hidden_width: Width of the towers' hidden layer.
        width: Width of the shared space.
        text_weight: How much the texts of a pool's image count in its key, beside the image.

    Returns:
        The model, without towers.
    """
    loss_node = torch_layer(loss)
    return Model(
        "word_matching",
        _forward,
        layers=[words, loss_node],
        dims={"nO": width},
        # Of the training texts: hashes of the stems, in order, and how many images have each.
        params={"stems": None, "n_images": None},
        attrs={
            "hidden_width": hidden_width,
            "text_weight": text_weight,
            "matching": WordMatching(),
        },
        refs={
            "words": words,
            "loss": loss_node,
            "text_tower": None,
            "image_tower": None,
            "visualness": None,
            "scene_tower": None,
            "scene_image_tower": None,
        },
    )


class WordMatching(Matching):
    """Queries from the forms of words, and all images whose texts have the word as positives."""

    takes_texts = True

    def __init__(self) -> None:
        # Of a training run: it is never stored.
        self._texts: TrainingWords | None = None

    def __reduce__(self) -> tuple[type[WordMatching], tuple[()]]:
        return WordMatching, ()

    def text_width(self, model: Model, docs: list[Doc]) -> int:
        """Initialize the source of word vectors, and return their width."""
        words = model.get_ref("words")
        words.initialize(X=[doc.vocab[token.orth] for doc in docs for token in doc])
        return words.get_dim("nO")

    def build(self, model: Model, widths: Mapping[str, Any]) -> None:
        """Add the towers, and the estimate of the words' visualness.

        Args:
            model: The model.
            widths: The widths by name. With a `scene_width`, the model has a scene part.
        """
        hidden, width = model.attrs["hidden_width"], model.get_dim("nO")
        set_towers(
            model,
            text_tower=SkipTower(widths["text_width"], hidden, width),
            image_tower=SkipTower(widths["image_width"], hidden, width),
            visualness=Visualness(widths["text_width"]),
            scene_tower=None,
            scene_image_tower=None,
        )
        if widths.get("scene_width"):
            self.add_scene_part(model, widths["scene_width"], widths["image_width"])

    def add_scene_part(self, model: Model, scene_width: int, image_width: int) -> None:
        """Add the towers of scenes, in place of earlier ones.

        Args:
            model: The model.
            scene_width: Width of the transformer's vectors.
            image_width: Width of the image features.
        """
        hidden = model.attrs["hidden_width"]
        set_towers(
            model,
            scene_tower=SkipTower(scene_width, hidden, SCENE_KEY_WIDTH),
            scene_image_tower=SkipTower(image_width, hidden, SCENE_KEY_WIDTH),
        )

    def scene_width(self, model: Model) -> int | None:
        """Return the width of the scenes that a model's scene part is for; None if it has none."""
        if not model.has_ref("scene_tower"):
            return None
        return int(get_module(model.get_ref("scene_tower")).linear.in_features)

    def keys(
        self,
        model: Model,
        features: NDArray,
        texts: Sequence[Sequence[Lexeme]] = (),
        lang: str = "xx",
    ) -> NDArray[np.float32]:
        """Compute the keys of images: the word part, then the scene part if there is one.

        The word part of an image with texts is made of both the image and the texts' words, which
        count more the fewer images and the more of the image's texts have them (TF-IDF).
        """
        parts = [apply_tower(model.get_ref("image_tower"), features)]
        if any(texts):
            by_texts = self._text_keys(model, texts, stemmer_of(lang))
            parts[0] += model.attrs["text_weight"] * by_texts
            parts[0] /= np.linalg.norm(parts[0], axis=1, keepdims=True)
        if model.has_ref("scene_tower"):
            parts.append(apply_tower(model.get_ref("scene_image_tower"), features))
        return np.hstack(parts)

    def _text_keys(
        self, model: Model, texts: Sequence[Sequence[Lexeme]], stem_of: Callable[[str], str]
    ) -> NDArray[np.float32]:
        """Return unit vectors of images' texts, (n_images, width); 0 for images without a word."""
        stems = [{stem_of(word.text) for word in words} for words in texts]
        n_images = Counter(stem for of_image in stems for stem in of_image)
        n_texts = sum(map(bool, stems))
        words = list({word.text: word for of_image in texts for word in of_image}.values())
        vectors = model.get_ref("words").predict(words)
        queries = model.ops.to_numpy(model.get_ref("text_tower").predict(vectors))
        idf = [math.log(n_texts / n_images[stem_of(word.text)]) ** IDF_POWER for word in words]
        weighted = np.nan_to_num(queries) * np.array(idf, np.float32)[:, None]
        rows = {word.text: row for row, word in enumerate(words)}
        sums = np.zeros((len(texts), queries.shape[1]), np.float32)
        for row, of_image in enumerate(texts):
            # The square root of how often a form is in the image's texts, as some kinds of TF-IDF
            # have it: what all of them name counts more than what one of them mentions.
            forms, n_times = np.unique([rows[word.text] for word in of_image], return_counts=True)
            if len(forms):
                sums[row] = np.sqrt(n_times, dtype=np.float32) @ weighted[forms]
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        return np.divide(sums, lengths, out=np.zeros_like(sums), where=lengths > 0)

    def fit_scenes(
        self,
        model: Model,
        scenes: NDArray[np.float32],
        rows: NDArray[np.integer],
        features: NDArray,
        *,
        steps: int,
        batch_size: int = 256,
        learn_rate: float = 1e-3,
        dropout: float = 0.3,
        seed: int = 0,
    ) -> Iterator[float]:
        """Train the scene part: the image of a text is the positive of its scene.

        Args:
            model: The model, with a scene part.
            scenes: Scenes of texts about images, (n_texts, scene_width).
            rows: Row in `features` of each text's image, (n_texts,).
            features: Features of the training images, (n_images, image_width).
            steps: Number of updates.
            batch_size: Texts per update.
            learn_rate: Learning rate at the beginning. It decreases to 0.
            dropout: Dropout rate.
            seed: Decides which texts come when.

        Yields:
            The loss of each update.
        """
        scene_tower, image_tower = map(model.get_ref, ("scene_tower", "scene_image_tower"))
        standardize(scene_tower, scenes)
        standardize(image_tower, features[np.unique(rows)])
        loss_layer = torch_layer(InfoNCE())
        device = next(get_module(scene_tower).parameters()).device
        get_module(loss_layer).to(device)
        optimizer = Optimizer(learn_rate, L2=0.01, L2_is_weight_decay=True, grad_clip=1.0)
        random, ops = np.random.default_rng(seed), model.ops
        for layer in (scene_tower, image_tower):
            set_dropout_rate(layer, dropout)
        for step in range(steps):
            batch = random.choice(len(scenes), min(batch_size, len(scenes)), replace=False)
            images, targets = np.unique(rows[batch], return_inverse=True)
            queries, backprop_queries = scene_tower.begin_update(as_floats(ops, scenes[batch]))
            keys, backprop_keys = image_tower.begin_update(as_floats(ops, features[images]))
            loss, (d_queries, d_keys) = loss_and_gradients(
                loss_layer, [queries, keys], torch.as_tensor(targets, device=device)
            )
            backprop_queries(d_queries)
            backprop_keys(d_keys)
            optimizer.learn_rate = learn_rate * (1 - step / steps)
            for layer in (scene_tower, image_tower, loss_layer):
                layer.finish_update(optimizer)
            yield loss

    def fit(
        self, model: Model, docs: Sequence[Doc], rows: NDArray[np.integer], features: NDArray
    ) -> dict[str, Any]:
        """Fit the statistics of words and images, and the visualness of words.

        Returns:
            `min_visualness`, below which a word has nothing to show: such that few of the content
            words of the texts are below it. None if the language has no list of stop words.

        Raises:
            VokensError: If no word of the texts has a vector.
        """
        texts = self._texts = self._read(model, docs, rows)
        n_images = texts.n_images()[texts.stems]
        hashes = hash_stems((word.text for word in texts.words), stemmer_of(docs[0].lang_))
        stems, firsts = np.unique(hashes, return_index=True)
        for param, values in (("stems", stems), ("n_images", n_images[firsts])):
            model.set_param(param, cast(Any, model.ops).asarray(values))
        vectors, has_vector = texts.vectors, texts.has_vector
        if not has_vector.any():
            raise VokensError(
                "No word of the training texts has a word vector, so there is nothing to learn "
                "from. Choose word vectors for the language of the texts."
            )
        standardize(model.get_ref("text_tower"), vectors[has_vector])
        standardize(model.get_ref("image_tower"), features[texts.images])
        distances = visual_distances(texts.stem_images(), features[texts.images])[texts.stems]
        stop_words = _stop_words(docs[0])
        stop_vectors = model.ops.to_numpy(model.get_ref("words").predict(stop_words))
        stop_vectors = stop_vectors[~np.isnan(stop_vectors[:, 0])]
        # Stop words have nothing to show, whatever images their texts happen to be about.
        shows = has_vector & ~np.array([word.is_stop for word in texts.words], bool)
        weight, bias = fit_visualness(
            np.concatenate([vectors[shows], stop_vectors]),
            np.concatenate([distances[shows], np.zeros(len(stop_vectors))]),
            np.concatenate([n_images[shows], np.full(len(stop_vectors), STOP_WORD_WEIGHT)]),
        )
        module = get_module(model.get_ref("visualness"))
        module.weight.copy_(torch.from_numpy(weight))
        module.bias.fill_(bias)
        is_content = texts.is_content() & has_vector
        if not stop_words or not is_content.any():
            return {"min_visualness": None}
        _, visualness = self.form_queries(model, texts.words)
        least = _weighted_quantile(visualness[is_content], texts.counts[is_content], LOST_SHARE)
        # Just below that of a word, since rounding depends on the words that are computed with it.
        return {"min_visualness": least - ROUNDING}

    def _read(self, model: Model, docs: Sequence[Doc], rows: NDArray[np.integer]) -> TrainingWords:
        """Read the words of texts about images, with their vectors."""
        texts = TrainingWords.from_docs(docs, rows)
        texts.set_vectors(model.ops.to_numpy(model.get_ref("words").predict(texts.words)))
        return texts

    def begin_update(
        self, model: Model, docs: list[Doc], rows: NDArray[np.integer], features: NDArray
    ) -> tuple[float, Callable[[], None]] | None:
        """Compute the loss of the words in all texts of a batch's images.

        If an image of the batch had no text when the model was initialized, the texts are those of
        the batch alone.
        """
        texts = self._texts
        if texts is None or not texts.has_all(rows):
            # Texts that were not there at initialization: of a stream, or to train further.
            texts = self._read(model, docs, rows)
        batch = texts.batch(rows)
        if batch is None:
            return None
        images, vectors, positives, counts = batch
        ops = model.ops
        text_tower, image_tower = (model.get_ref(name) for name in ("text_tower", "image_tower"))
        queries, backprop_queries = text_tower.begin_update(as_floats(ops, vectors))
        keys, backprop_keys = image_tower.begin_update(as_floats(ops, features[images]))
        device = next(get_module(model.get_ref("text_tower")).parameters()).device
        loss, (d_queries, d_keys) = loss_and_gradients(
            model.get_ref("loss"),
            [queries, keys],
            torch.as_tensor(positives, device=device),
            torch.as_tensor(counts, device=device),
        )

        def backprop() -> None:
            backprop_queries(d_queries)
            backprop_keys(d_keys)

        return loss, backprop

    def n_images(self, model: Model, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return how many training images have a text with each word, in any form.

        Args:
            model: The model.
            hashes: Hashes of the words' stems, (n_words,).

        Returns:
            The numbers, (n_words,). Of a model that does not know them, the largest there is.
        """
        if not model.has_param("stems"):
            return np.full(len(hashes), np.iinfo(np.int64).max)
        stems, n_images = (model.ops.to_numpy(model.get_param(p)) for p in ("stems", "n_images"))
        places = np.minimum(np.searchsorted(stems, hashes), len(stems) - 1)
        return np.where(stems[places] == hashes, n_images[places], 0)

    def form_queries(
        self, model: Model, words: list[Lexeme]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Compute what words ask for.

        Args:
            model: The model, with its layers.
            words: The words.

        Returns:
            Their queries, (n_words, width), and their visualness, (n_words,); NaN for words without
            a vector.
        """
        if not words:
            return np.zeros((0, model.get_dim("nO")), np.float32), np.zeros(0, np.float32)
        vectors = model.get_ref("words").predict(words)
        queries = model.get_ref("text_tower").predict(vectors)
        visualness = model.get_ref("visualness").predict(vectors)
        return model.ops.to_numpy(queries), model.ops.to_numpy(visualness)[:, 0]


def hash_stems(words: Iterable[str], stem_of: Callable[[str], str]) -> NDArray[np.uint64]:
    """Return hashes of words' stems, (n_words,), as they are stored.

    Args:
        words: The words.
        stem_of: Returns the stem of a word.
    """
    return np.array([get_string_id(stem_of(word)) for word in words], np.uint64)


def _stop_words(doc: Doc) -> list[Lexeme]:
    """Return the stop words of a document's language."""
    words = get_lang_class(doc.lang_).Defaults.stop_words
    return [doc.vocab[word] for word in sorted(words)]


def _weighted_quantile(values: NDArray, weights: NDArray, share: float) -> float:
    order = np.argsort(values)
    below = np.cumsum(weights[order]) - weights[order]
    return float(values[order][np.searchsorted(below, share * weights.sum(), "right") - 1])


def _forward(
    model: Model, docs: list[Doc], is_train: bool
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], list[Doc]]]:
    ops, vocab = model.ops, docs[0].vocab
    orths = np.concatenate([doc.to_array(ORTH) for doc in docs])
    forms, form_of_token = np.unique(orths, return_inverse=True)
    vectors = model.get_ref("words").predict([vocab[orth] for orth in forms.tolist()])
    # NaN in the tower's input would be in the gradient of every weight.
    known: Any = ~ops.xp.isnan(vectors[:, :1])
    filled = ops.xp.where(known, vectors, ops.xp.float32(0))
    queries, backprop_queries = model.get_ref("text_tower")(filled, is_train)
    queries = ops.xp.where(known, queries, ops.xp.float32(np.nan))
    inverse: Any = ops.xp.asarray(form_of_token)
    lengths = ops.asarray1i([len(doc) for doc in docs])

    def backprop(d_queries: list[Floats2d]) -> list[Doc]:
        d_forms: Any = ops.alloc2f(*queries.shape)
        ops.scatter_add(d_forms, inverse, ops.flatten(d_queries))
        backprop_queries(ops.xp.where(known, d_forms, ops.xp.float32(0)))
        return []

    return ops.unflatten(queries[inverse], lengths), backprop
