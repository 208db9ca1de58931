#!/usr/bin/env bash
# DocBin asks all installed packages for msgpack codecs once per document.
#
# Libraries: spaCy 3.8.18, srsly 2.5.3, catalogue 2.0.10.
# Expected: `DocBin(store_user_data=True)` packs and unpacks each document's user data with codecs
#   that were looked up once.
# Seen: every `srsly.msgpack_dumps` and `msgpack_loads` makes a new packer, which asks catalogue for
#   all registered codecs, and catalogue then filters the entry points of all installed packages. So
#   it happens once per document when a DocBin is written, and again when it is read, and the time
#   grows with the number of packages in the environment. In one with spaCy alone, 2,000 documents
#   of six tokens gave:
#     user data False: lookups writing 1 in 0.07 s, reading 1 in 0.06 s
#     user data True : lookups writing 2,001 in 1.10 s, reading 2,001 in 1.13 s
# Here: corpus/docbin.py packs and unpacks the user data of a whole corpus with one lookup.
#
# Status 0 as long as the behavior is there.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check spacy==3.8.18 srsly==2.5.3 catalogue==2.0.10
venv/bin/python - <<'PYTHON'
import time

import catalogue
import spacy
from spacy.tokens import Doc, DocBin

N = 2000
Doc.set_extension("source", default=None)
nlp = spacy.blank("en")
calls = 0
original = catalogue.Registry.get_entry_points


def counted(self):
    global calls
    calls += 1
    return original(self)


catalogue.Registry.get_entry_points = counted


def run(with_user_data):
    global calls
    docs = [nlp.make_doc("Ada met Bob in Oslo .") for _ in range(N)]
    if with_user_data:
        for doc in docs:
            doc._.source = "a"
    calls, start = 0, time.perf_counter()
    data = DocBin(docs=docs, store_user_data=with_user_data).to_bytes()
    written, seconds = calls, time.perf_counter() - start
    calls, start = 0, time.perf_counter()
    assert len(list(DocBin().from_bytes(data).get_docs(nlp.vocab))) == N
    print(
        f"user data {with_user_data!s:5}: lookups writing {written:,} in {seconds:.2f} s, "
        f"reading {calls:,} in {time.perf_counter() - start:.2f} s"
    )
    return written, calls


plain, user = run(False), run(True)
assert max(plain) < 10, plain
assert min(user) >= N, user
PYTHON
echo "As described: one lookup in all entry points per document, for writing and for reading."
