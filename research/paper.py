"""The figures of the paper's tables, as printed.

Yao and Yoshinaga, "Visually-Guided Named Entity Recognition by Grounding Words with Images via
Dense Retrieval". Its F1 is the support-weighted F1 of the lenient reading (seqeval's default), from
one run per cell.
"""

from __future__ import annotations

# What its models use (section 5).
SETTING = "BERT, ResNet-152 and the tweets' own images"
# Table 1: sentences by dataset and split.
TABLE_1 = {
    "twitter2015": {"train": 4000, "dev": 1000, "test": 3257},
    "twitter2017": {"train": 3373, "dev": 723, "test": 723},
}
TABLE_2_COLUMNS = ("LOC", "ORG", "MISC", "PER", "P", "R", "F1")
# Table 2, by dataset and our names for the arms: F1 of each type, and weighted P, R and F1.
TABLE_2 = {
    "twitter2015": {
        "text-only-none": (79.28, 58.25, 35.51, 85.27, 69.57, 73.85, 71.62),
        "gated-retrieved": (79.69, 59.03, 36.00, 85.19, 69.60, 74.50, 71.93),
        "attention-retrieved": (79.10, 58.11, 34.60, 84.41, 68.90, 73.55, 71.10),
    },
    "twitter2017": {
        "text-only-none": (83.36, 82.60, 65.54, 91.42, 83.34, 86.30, 84.70),
        "gated-retrieved": (84.15, 83.90, 65.77, 91.76, 83.95, 87.02, 85.45),
        "attention-retrieved": (83.26, 83.45, 65.40, 92.51, 84.67, 86.40, 85.37),
    },
}
# Table 3: F1 by dataset and arm. Those with retrieved images are the same as in Table 2.
TABLE_3 = {
    "twitter2015": {"gated-given": 70.98, "attention-given": 71.28},
    "twitter2017": {"gated-given": 84.93, "attention-given": 85.22},
}
# F1 of every arm in Tables 2 and 3, as printed.
F1 = {
    dataset: {arm: f"{f1:.2f}" for arm, f1 in given.items()}
    | {arm: f"{row[-1]:.2f}" for arm, row in TABLE_2[dataset].items()}
    for dataset, given in TABLE_3.items()
}
# Table 4: F1 of its own model and another one, both with the given images.
TABLE_4_DATASET = "twitter2015"
TABLE_4 = {"Fuse Model": 70.98, "RpBERT": 74.4}
