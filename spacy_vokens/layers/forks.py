"""Let forked processes, such as those of `nlp.pipe(…, n_process=2)`, compute.

The threads of OpenMP do not live on in a forked process, and torch and FAISS would wait for them
for ever, once the parent has used them. Importing this module sets both to one thread in every
process that is forked from then on.
"""

from __future__ import annotations

import os
import sys

import torch


def _use_one_thread() -> None:
    torch.set_num_threads(1)
    # Not imported where nothing was searched yet, nor does it have threads then.
    if (faiss := sys.modules.get("faiss")) is not None:
        faiss.omp_set_num_threads(1)


# Windows has no fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_use_one_thread)
