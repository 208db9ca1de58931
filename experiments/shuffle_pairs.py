"""Shuffle the pictures of a corpus of pairs over its captions: what a matching model can learn then
is no match of text and picture. python experiments/shuffle_pairs.py IN.spacy OUT.spacy"""

import sys

import numpy as np
from spacy.vocab import Vocab

from spacy_vokens.corpus.docbin import load_docs, save_docs

docs = load_docs(sys.argv[1], Vocab())
ids = [doc._.image_id for doc in docs]
for doc, row in zip(docs, np.random.default_rng(0).permutation(len(ids)), strict=True):
    doc._.image_id = ids[row]
save_docs(docs, sys.argv[2])
