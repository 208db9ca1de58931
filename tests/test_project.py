from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path

import pytest
import srsly
from spacy.util import load_config
from weasel.cli.document import MARKER_END, MARKER_START, project_document
from weasel.util import load_project_config, parse_config_overrides

ROOT = Path(__file__).parents[1]
PAGE = "docs/reference/project.md"
PROFILES = ("quickstart", "twitter2017", "twitter2015", "paper")


@pytest.fixture
def project() -> dict:
    return load_project_config(ROOT)


def options(script: str) -> dict[str, str]:
    words = shlex.split(script)
    follows = dict(itertools.pairwise(words))
    return {word: value for word, value in follows.items() if re.match(r"--[\w.@-]+$", word)}


def test_the_projects_page_is_up_to_date(tmp_path: Path) -> None:
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    copy = tmp_path / "project.md"
    copy.write_text(page, encoding="utf-8")
    project_document(ROOT, copy)
    assert MARKER_START.format(tag="WEASEL") in page
    assert MARKER_END.format(tag="WEASEL") in page
    assert copy.read_text(encoding="utf-8") == page, (
        f"run 'python -m spacy project document --output {PAGE}'"
    )


def test_readme_shows_its_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^pip install -e .*$", readme, re.MULTILINE)[:2]
    assert commands[0].endswith("&& python -m spacy project run all")
    assert commands[1].endswith("&& pytest")


def test_paths_are_whole(project: dict) -> None:
    """weasel joins an entry that is a variable alone with one that begins with a variable."""
    for command in project["commands"]:
        for path in (*(command.get("deps") or ()), *(command.get("outputs") or ())):
            assert "," not in path, f"{command['name']}: put the lone variable last"


def test_every_dependency_is_there_or_made_before(project: dict) -> None:
    commands = {command["name"]: command for command in project["commands"]}
    made: set[str] = set()
    done: set[str] = set()
    for name in project["workflows"]["all"]:
        for path in commands[name].get("deps") or ():
            known = (ROOT / path).exists() or any(path.startswith(output) for output in made)
            # `check-assets` writes the values of the steps, whatever else it depends on.
            known |= "check-assets" in done and path == f"corpus/quickstart/steps/{name}.json"
            assert known, f"{name} needs {path}"
        done.add(name)
        made |= {*(commands[name].get("outputs") or ())}
        made |= {*(commands[name].get("outputs_no_cache") or ())}


@pytest.mark.parametrize("profile", PROFILES[1:])
def test_profiles_set_variables_that_exist(project: dict, profile: str) -> None:
    (command,) = [c for c in project["commands"] if c["name"] == f"run-{profile}"]
    arguments = shlex.split(command["script"][0])
    # weasel's own reading: it takes a value that begins with a dash for an option.
    overrides = parse_config_overrides(arguments[arguments.index(".") + 1 :])
    given = {name.removeprefix("vars."): value for name, value in overrides.items()}
    assert given.keys() <= project["vars"].keys()
    assert given["profile"] == profile
    values = srsly.read_yaml(ROOT / "assets" / "profiles" / f"{profile}.yml")
    assert values["tagger_warmup"] == values["tagger_eval"]
    assert values["tagger_steps"] == 10 * values["tagger_eval"]


def test_the_values_of_a_step_are_written_before_it_runs(project: dict) -> None:
    commands = {command["name"]: command for command in project["commands"]}
    for workflow in ("all", "steps", "paper-steps", "paper-original-steps"):
        steps = project["workflows"][workflow]
        for place, name in enumerate(steps):
            script = " ".join(commands[name]["script"])
            if "--values" in script:
                file = f"corpus/quickstart/steps/{name}.json"
                assert f"--values {file} " in script
                assert file in commands[name]["deps"]
                assert "check-assets" in steps[:place]


def paper_steps(*, expected: str = "paper-steps", **variables: object) -> dict[str, str]:
    """The first script of each command that the profile paper runs, with its values filled in."""
    overrides = {f"vars.{name}": value for name, value in variables.items()}
    project = load_project_config(ROOT, overrides=overrides)
    (script,) = (c["script"][0] for c in project["commands"] if c["name"] == "run-paper")
    _, _, _, _, _, workflow, folder, *arguments = shlex.split(script)
    assert (workflow, folder) == (expected, ".")
    project = load_project_config(ROOT, overrides=parse_config_overrides(arguments))
    scripts = {c["name"]: c["script"][0] for c in project["commands"]}
    return {name: scripts[name] for name in project["workflows"][workflow]}


def test_paper_indexes_the_training_images_only() -> None:
    steps = paper_steps()
    names = list(steps)
    assert names.index("embed") < names.index("select-training-images") < names.index("index")
    *_, pool, corpus, selected, _ = shlex.split(steps["select-training-images"])
    assert corpus.endswith("pairs/train.spacy")
    assert selected != pool
    *_, indexed_pool, indexed = shlex.split(steps["index"])
    assert indexed_pool == selected
    assert shlex.split(steps["vokenize"])[5] == indexed
    for step in ("train-text-only", "train"):
        assert options(steps[step])["--paths.vokenizer"] == indexed
    assert options(steps["train"])["--paths.pool"] == selected
    # Retrieval is scored on images outside the index, so from the pool of all images.
    assert options(steps["train-vokenizer"])["--paths.pool"] == pool


def test_paper_takes_all_images_where_each_text_has_its_own() -> None:
    steps = paper_steps(
        expected="paper-original-steps",
        paper_steps="paper-original-steps",
        paper_index_pool="paper",
        paper_vokenizer="model-best",
    )
    assert not {"select-training-images", "index"} & steps.keys()
    assert options(steps["train"])["--paths.pool"] == "pool/paper"
    assert " {images} pool/paper " in steps["embed"]


@pytest.mark.parametrize("workflow", ["all", "steps", "paper-original-steps"])
def test_the_vokenizer_is_used_as_trained(project: dict, workflow: str) -> None:
    """Without the step `index`, the pool that was trained on is the pool that is searched."""
    steps = project["workflows"][workflow]
    assert "index" not in steps
    scripts = {c["name"]: c["script"][0] for c in project["commands"]}
    vokenizer = options(scripts["train-vokenizer"])
    trained = f"{vokenizer['--output']}/model-best"
    assert shlex.split(scripts["vokenize"])[5] == trained
    assert options(scripts["train"])["--paths.vokenizer"] == trained
    assert options(scripts["train"])["--paths.pool"] == vokenizer["--paths.pool"]


@pytest.mark.parametrize("exclude", [False, True])
def test_paper_passes_its_variables_on(exclude: bool) -> None:
    vokenizer = options(paper_steps(exclude_own=exclude)["train-vokenizer"])
    assert vokenizer["--components.voken_retriever.exclude_own"] == str(exclude).lower()


def test_readmes_own_data_command_keeps_to_its_own_folders() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^python -m spacy project run steps (.*?)\n```", readme, re.S | re.M)
    overrides = parse_config_overrides(shlex.split(command.replace("\\\n", " "))[1:])
    config = load_project_config(ROOT, overrides=overrides)
    commands = {command["name"]: command for command in config["commands"]}
    for name in config["workflows"]["steps"]:
        assert "quickstart" not in " ".join(commands[name]["script"]), name


@pytest.mark.parametrize("profile", PROFILES)
def test_packages_say_what_they_are(profile: str) -> None:
    meta = srsly.read_json(ROOT / "assets" / "meta" / f"{profile}.json")
    assert meta["license"]
    assert all({"name", "url", "license", "author"} == source.keys() for source in meta["sources"])
    assert ("demonstration" in meta["description"]) is (profile == "quickstart")


def test_steps_override_settings_that_the_configs_have(project: dict) -> None:
    for command in project["commands"]:
        for script in command["script"]:
            words = shlex.split(script)
            if "train" in words:
                # The word form stands for both; the paper's takes the same paths and settings.
                file = words[words.index("train") + 1].format(vokenizer_config="vokenizer")
                config = load_config(ROOT / file)
                for name in options(script):
                    if "." in name:
                        section = config
                        for key in name.removeprefix("--").split("."):
                            assert key in section, f"{command['name']}: {name}"
                            section = section[key]
