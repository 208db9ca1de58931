from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import DOCUMENTED, TARGETS, reproducers

ROOT = Path(__file__).parents[2]
edits = st.lists(
    st.tuples(st.integers(0, 2**12), st.integers(0, 8), st.binary(max_size=8)),
    min_size=1,
    max_size=4,
)
fuzzed = pytest.mark.parametrize("name", TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_readers_take_their_seeds(name):
    seeds = TARGETS[name].seeds()
    assert seeds
    for seed in seeds:
        TARGETS[name].read(seed)


@pytest.mark.parametrize(
    ("name", "path"),
    [
        pytest.param(name, path, id=f"{name}-{path.name}")
        for name in TARGETS
        for path in reproducers(name)
        if not path.name.startswith("valid")
    ],
)
def test_readers_refuse_what_is_kept_for_it(name, path):
    with pytest.raises(DOCUMENTED):
        TARGETS[name].read(path.read_bytes())


@fuzzed
@settings(
    max_examples=100,
    # Inputs are small anyway. Shrinking them would take longer than finding them.
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_readers_take_or_refuse_damaged_seeds(name, data):
    seeds = TARGETS[name].seeds()
    seed = seeds[data.draw(st.integers(0, len(seeds) - 1))]
    for position, n_removed, inserted in data.draw(edits):
        at = position % (len(seed) + 1)
        seed = seed[:at] + inserted + seed[at + n_removed :]
    with contextlib.suppress(*DOCUMENTED):
        TARGETS[name].read(seed)


def test_the_long_run_has_a_million_inputs():
    assert sum(target.runs for target in TARGETS.values()) >= 1_000_000


@pytest.mark.slow
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed")
@fuzzed
def test_the_long_run_finds_nothing(name, tmp_path):
    for folder in ("found", "seeds", "artifacts"):
        (tmp_path / folder).mkdir()
    seeds = [*TARGETS[name].seeds(), *(path.read_bytes() for path in reproducers(name))]
    for number, seed in enumerate(seeds):
        (tmp_path / "seeds" / str(number)).write_bytes(seed)
    # SPACY_VOKENS_FUZZ_SHARE=0.01 runs only a hundredth of the inputs, to try it out.
    runs = int(TARGETS[name].runs * float(os.environ.get("SPACY_VOKENS_FUZZ_SHARE", "1")))
    options = [f"-runs={runs}", "-rss_limit_mb=3072", "-timeout=30", "-max_len=8192"]
    result = subprocess.run(
        [
            *(sys.executable, "-m", "tests.fuzz.run_atheris", name, *options),
            *("-print_final_stats=1", "-artifact_prefix=artifacts/", "found", "seeds"),
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=3600,
    )
    output = result.stdout + result.stderr
    assert result.returncode == 0, output[-6000:]
    executed = re.search(r"number_of_executed_units: (\d+)", output)
    assert executed
    assert int(executed[1]) >= runs
    print(*re.findall(r"stat::.*", output), sep="\n")
