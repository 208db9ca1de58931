#!/usr/bin/env bash
# Thinc's PyTorch layers leave their network in training mode after every prediction.
#
# Libraries: thinc 8.3.14, torch 2.14.1.
# Expected: `model.predict` of a PyTorchWrapper gives one result for one input, whoever else predicts.
# Seen: `PyTorchShim.predict` calls `eval()` before and `train()` after the network. A thread whose
#   prediction ends puts the network into training mode under a thread that is in the middle of its
#   own, and that one goes on with dropout. Nothing is raised. Of 400 predictions by four threads, on
#   two cores,
#     316 differed from what one thread computes
#   and after any prediction, `network.training` is True. The shim of spacy-transformers inherits
#   this, so a web server whose threads share a pipeline with a transformer gets such results.
# Here: models/torch_layer.py and models/transformer.py use shims that stay in evaluation mode.
#
# Status 0 as long as the behavior is there.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check thinc==8.3.14 torch==2.14.1 numpy==2.2.6
venv/bin/python - <<'PYTHON'
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from thinc.api import PyTorchWrapper
from torch import nn

torch.set_num_threads(1)
blocks = [nn.Sequential(nn.Linear(256, 256), nn.Dropout(0.5)) for _ in range(20)]
network = nn.Sequential(*blocks)
model = PyTorchWrapper(network)
X = np.ones((64, 256), dtype="f")
expected = model.predict(X)
assert network.training, "the network is in evaluation mode after a prediction"
assert (model.predict(X) == expected).all(), "one thread alone gets the same result again"
with ThreadPoolExecutor(4) as threads:
    found = list(threads.map(lambda _: model.predict(X), range(400)))
n_others = sum(not np.array_equal(Y, expected) for Y in found)
print(f"{n_others} of {len(found)} predictions differ from those of one thread")
assert n_others, "all threads got the result of one"
PYTHON
echo "As described: threads that predict at once get other results."
