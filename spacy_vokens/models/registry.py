"""Custom spaCy registries for fusions and matching losses.

Both hold functions that return a PyTorch module, which is why they are not among Thinc's `layers`
and `losses`. Importing this module adds them, as every component of this package does. Add one
with an entry point in the group `spacy_voken_fusions` or `spacy_voken_losses`, or in your code:

    from spacy_vokens.models.registry import voken_fusions

    @voken_fusions("my-package.MyFusion.v1")
    class MyFusion(NoFusion): ...
"""

from __future__ import annotations

from typing import Any

import catalogue
import spacy.util

# In configs: @voken_fusions = "spacy-vokens.GatedFusion.v1"
voken_fusions: Any = catalogue.create("spacy", "voken_fusions", entry_points=True)
# In configs: @voken_losses = "spacy-vokens.InfoNCE.v1"
voken_losses: Any = catalogue.create("spacy", "voken_losses", entry_points=True)

# Configs look for a registry among the attributes of spaCy's.
registry: Any = spacy.util.registry
registry.voken_fusions = voken_fusions
registry.voken_losses = voken_losses
