from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Before any library reads them: no test may reach a hub, and forked workers must not deadlock.
os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

# No example of a property test has to be fast: machines are loaded.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")

# Real tweets and photos, if they are there: they are not part of the repository.
DATA = Path(
    os.environ.get("SPACY_VOKENS_DATA", Path(__file__).parents[2] / "shared" / "data")
).absolute()
DIMENSION = 6
# English has so many exceptions that making its tokenizer would take half of loading a pipeline.
LANG = "xx"
CONFIGS = Path(__file__).parents[1] / "configs"
LEARN_RATE = "training.optimizer.learn_rate"
# Each image is named after what it shows, so that a sentence with that word is its caption.
IMAGES = ("apple", "ball", "cat", "dog", "egg", "fish")
WORDS = (*IMAGES, "a", "the", "red", "big", "in", "paris", "anna", "##s", ".", "!", "we", "see")
# Files that take longest, and so start first: a file stays in one of the two processes.
SLOWEST = (
    "tests/app/test_app.py",
    "tests/research/test_run_grid.py",
    "tests/pipeline/test_visual_ner.py",
    "tests/pipeline/test_other_pipelines.py",
    "tests/test_environment.py",
)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Use two processes for folders and the whole run, none for files and tests by name."""
    named = [argument.split("::")[0] for argument in config.args]
    return 0 if any(Path(name).is_file() for name in named) else 2


def pytest_configure(config: pytest.Config) -> None:
    """Load the fixtures, except in a process that only hands out tests to others."""
    is_worker = hasattr(config, "workerinput")
    if is_worker or not getattr(config.option, "numprocesses", None):
        config.pluginmanager.import_plugin("tests.fixtures")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first."""
    order = {name: place for place, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: order.get(item.nodeid.split("::")[0], len(order)))
