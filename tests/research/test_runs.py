from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from research.hashes import hash_json
from research.runs import Gold, Run, gold_path, load_gold, load_run, run_path, save_json

GOLD = Gold(
    dataset="tweets",
    split="test",
    sha256="0" * 64,
    ids=["17_06_1", None],
    lengths=[3, 0],
    strict=[[(0, 2, "PER")], []],
    lenient=[[(0, 2, "PER"), (2, 3, "LOC")], []],
    seen=[[True], []],
    pos=[["NNP", "NNP", "."], []],
    voken_scores=[[500, None, -20], []],
    vokens={"cat": 1, "flags/türkiye": 1},
    pool_size=7,
)
RUN = Run(
    dataset="tweets",
    tagger="gated",
    images="retrieved",
    seed=1,
    split="test",
    config_sha256="1" * 64,
    data_sha256="2" * 64,
    gold_sha256="0" * 64,
    commit="abc-dirty",
    versions={"spacy": "3.8"},
    machine="a processor, 2 cores",
    seconds=12.5,
    dev=[(0, 0.0), (20, 0.75)],
    scores={"strict": {"f": 1.0, "per_type": {"PER": {"f": 1.0}}}, "lenient": {"f": 0.5}},
    spans=[[(0, 2, "PER")], []],
    gates=[[100, 200, None], []],
)
numbers = st.integers(0, 1000)
spans = st.lists(st.lists(st.tuples(numbers, numbers, st.text(max_size=9))))
runs = st.builds(
    Run,
    dataset=st.text(),
    tagger=st.text(),
    images=st.text(),
    seed=numbers,
    split=st.text(),
    config_sha256=st.text(),
    data_sha256=st.text(),
    gold_sha256=st.text(),
    commit=st.text(),
    versions=st.dictionaries(st.text(), st.text()),
    machine=st.text(),
    seconds=st.floats(0, 1e6),
    dev=st.lists(st.tuples(numbers, st.floats(0, 1))),
    scores=st.dictionaries(st.text(), st.dictionaries(st.text(), st.floats(0, 1))),
    spans=spans,
    gates=st.none() | st.lists(st.lists(st.none() | numbers)),
)
golds = st.builds(
    Gold,
    dataset=st.text(),
    split=st.text(),
    sha256=st.text(),
    ids=st.lists(st.none() | st.text()),
    lengths=st.lists(numbers),
    strict=spans,
    lenient=spans,
    seen=st.lists(st.lists(st.booleans())),
    pos=st.lists(st.lists(st.text())),
    voken_scores=st.lists(st.lists(st.none() | st.integers(-1000, 1000))),
    vokens=st.dictionaries(st.text(), numbers),
    pool_size=numbers,
)


def as_json(record: Run | Gold) -> Any:
    """The record as JSON knows it, which has lists only."""
    return json.loads(json.dumps(asdict(record)))


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(runs, golds))
def test_round_trip(record: Run | Gold) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "record.json"
        save_json(record, path)
        read = load_run(path) if isinstance(record, Run) else load_gold(path)
        assert as_json(read) == as_json(record)
        content = path.read_bytes()
        save_json(read, path)
        assert path.read_bytes() == content


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(runs, golds))
def test_there_is_a_line_for_each_field(record: Run | Gold) -> None:
    """So that a difference of two runs can be read."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "record.json"
        save_json(record, path)
        first, *lines, last, end = path.read_text(encoding="utf-8").split("\n")
    assert (first, last, end) == ("{", "}", "")
    found = [json.loads("{" + line.rstrip(",") + "}") for line in lines]
    names = [field.name for field in fields(record)]
    assert found == [{name: as_json(record)[name]} for name in names]


def test_a_known_file(tmp_path: Path) -> None:
    save_json(GOLD, tmp_path / "new" / "gold.json")
    lines = (tmp_path / "new" / "gold.json").read_text(encoding="utf-8").split("\n")
    assert lines[:3] == ["{", '"dataset": "tweets",', '"split": "test",']
    assert '"strict": [[[0,2,"PER"]],[]],' in lines
    assert '"vokens": {"cat":1,"flags/türkiye":1},' in lines
    assert '"pool_size": 7' in lines
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["gold.json"]


def test_a_record_takes_the_place_of_an_older_one(tmp_path: Path) -> None:
    save_json(RUN, tmp_path / "run.json")
    save_json(replace(RUN, seed=5), tmp_path / "run.json")
    assert load_run(tmp_path / "run.json").seed == 5


@pytest.mark.parametrize(("load", "kind"), [(load_run, "run"), (load_gold, "gold")])
@pytest.mark.parametrize("text", ["", "{", "text", "\ufeff{}"])
def test_a_file_that_is_no_json_is_named(load: Any, kind: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"record\.json is (no|not a) JSON file"):
        load(path)
    path.write_bytes(b'{"dataset": "\xff"}')
    with pytest.raises(ValueError, match=r"record\.json is (no|not a) JSON file"):
        load(path)


@pytest.mark.parametrize(
    "value",
    [None, [], {}, [1], "text", {"dataset": "tweets"}, asdict(RUN) | {"more": 1}],
    ids=str,
)
def test_json_of_something_else_is_named(value: Any, tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    for load, kind in ((load_run, "run"), (load_gold, "gold")):
        why = f"is not a {kind} file of" if isinstance(value, dict) else "must hold a JSON"
        with pytest.raises(ValueError, match=rf"record\.json {why}"):
            load(path)


def test_a_run_is_no_gold_and_a_gold_no_run(tmp_path: Path) -> None:
    save_json(RUN, tmp_path / "run.json")
    save_json(GOLD, tmp_path / "gold.json")
    with pytest.raises(
        ValueError, match=r"run\.json is not a gold file .* must hold dataset, ids,"
    ):
        load_gold(tmp_path / "run.json")
    with pytest.raises(
        ValueError, match=r"gold\.json is not a run file .* must hold commit, config_sha"
    ):
        load_run(tmp_path / "gold.json")


def test_places() -> None:
    assert run_path(Path("runs"), "tweets/gated-zero-0") == Path("runs/tweets/gated-zero-0.json")
    assert gold_path(Path("runs"), "tweets", "dev") == Path("runs/tweets/gold-dev.json")


def test_hashes_do_not_depend_on_the_order_of_keys() -> None:
    assert hash_json({"a": 1, "b": [1, 2]}) == hash_json({"b": [1, 2], "a": 1})
    values = [{"a": 1, "b": [2, 1]}, {"a": "1", "b": [1, 2]}, {"a": 1}, {"a": None}, {}, [], None]
    assert len({hash_json(value) for value in values}) == len(values)
