"""The documentation is held to the code: verbs, keys, links, paths, checksums and examples exist and work."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import yaml
from pydantic import BaseModel

from advntk import cli, suite
from advntk import verbs as modules
from advntk.attacks.attack import Attack
from advntk.foundation import registry
from advntk.foundation.architecture import Architecture
from advntk.foundation.config import SuiteConfig
from advntk.ingredients.images import Dataset, checked
from advntk.learning.method import Method

ROOT = Path(__file__).parents[1]
SKIPPED = {"_build", "build", "gallery", "node_modules", "requirements"}


def is_page(path: Path) -> bool:
    """Written by hand: not hidden, not vendored, and of data and results only the README."""
    folders = path.relative_to(ROOT).parts[:-1]
    if any(part.startswith(".") or part in SKIPPED for part in folders):
        return False
    return path.name == "README.md" if folders[:1] in {("results",), ("data",)} else True


PAGES = sorted(path for path in ROOT.rglob("*.md") if is_page(path))
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
SECTIONS = ("network", "dataset_options", "method_options", "attack_options", "compute")
FOLDERS = (
    "advntk",
    "benchmarks",
    "tests",
    "rules",
    "suites",
    "envs",
    "profiles",
    "report",
    "docs",
    "requirements",
    "container",
    ".ci",
)


def blocks(page: Path, *languages: str) -> list[str]:
    """Fenced blocks of a page in one of the languages."""
    return [body for language, body in FENCE.findall(page.read_text(encoding="utf-8")) if language in languages]


def spans(page: Path) -> list[str]:
    """Inline code of a page."""
    return re.findall(r"`([^`\n]+)`", FENCE.sub("", page.read_text(encoding="utf-8")))


def choices(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Parsers of the words that may follow; none for most verbs."""
    subs = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    return {name: sub for action in subs for name, sub in action.choices.items()}


def verbs() -> dict[str, argparse.ArgumentParser]:
    return choices(cli.parser(*(name.replace("_", "-") for name in modules.names())))


def command_lines(page: Path) -> list[list[str]]:
    """Words of every ``advntk …`` command of a page, from the word after ``advntk``."""
    text = "\n".join([*blocks(page, "sh", "bash", "console", ""), *spans(page)]).replace("\\\n", " ")
    found = []
    for line in text.splitlines():
        if match := re.match(r"\s*(?:\$ )?(?:\S*python3? -m |\S*/)?advntk\s+(\S.*)$", line):
            found.append(shlex.split(match[1], comments=True))
    return found


def test_there_are_pages():
    assert {"docs/method.md", "docs/reproduce.md", "docs/extend.md", "docs/deviations.md"} <= set(IDS)


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_verbs_and_their_options_exist(page):
    known = verbs()
    for words in command_lines(page):
        if words[0] in ("VERB", "--help", "--version", "-h"):
            continue
        assert words[0] in known, f"advntk {words[0]}"
        parser = known[words[0]]
        if deeper := choices(parser):
            assert len(words) < 2 or words[1].startswith("-") or words[1] in deeper, " ".join(words[:2])
            parser = deeper.get(words[1], parser) if len(words) > 1 else parser
        options = parser._option_string_actions
        for word in words[1:]:
            assert not word.startswith("--") or word in options, f"advntk {words[0]} {word}"


def test_a_command_line_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("`advntk fly`\n\n```sh\n.venv/bin/python -m advntk fit --a b \\\n  --c d\n```\n")
    assert command_lines(page) == [["fit", "--a", "b", "--c", "d"], ["fly"]]


def test_documented_cell_is_the_one_of_the_help():
    examples = [line.split() for line in cli.EPILOG.replace("\\\n", " ").splitlines() if line.startswith("  advntk")]
    page = "\n".join(blocks(ROOT / "docs/reproduce.md", "sh")).replace("\\\n", " ")
    documented = [line.split() for line in page.splitlines()]
    assert examples
    assert all(line in documented for line in examples)


def fields(model: Any) -> dict[str, Any]:
    """Fields of the model in an annotation, with their annotations."""
    for candidate in (model, *get_args(model)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return {name: field.annotation for name, field in candidate.model_fields.items()}
    return {}


def resolves(key: str, config: dict[str, Any]) -> bool:
    """Whether a dotted key exists: in the schema, or in the option model of a registry entry."""
    section, *rest = key.split(".")
    registries = {"dataset_options": suite.DATASETS, "method_options": suite.METHODS, "attack_options": suite.ATTACKS}
    if section not in registries:
        model: Any = SuiteConfig.model_fields[section].annotation
    else:
        name, *rest = rest
        kind = config[section].get(name, {}).get("kind", name) if section == "attack_options" else name
        if kind not in registry.names(registries[section]):
            return False
        model = registry.get(registries[section], kind).options
    for part in rest:
        known = fields(model)
        if part not in known:
            return isinstance(model, type) is False and "dict" in str(model)
        model = known[part]
    return True


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_config_keys_exist(page, config):
    pattern = re.compile(rf"(?:{'|'.join(SECTIONS)})(?:\.[a-z0-9_]+)+")
    for span in spans(page):
        if pattern.fullmatch(span):
            assert resolves(span, config), span


def test_wrong_config_keys_are_seen(config):
    assert resolves("method_options.advntk.attack.steps", config)
    assert resolves("attack_options.pgd_margin.loss", config)
    assert resolves("compute.memory_mb", config)
    assert resolves("network.width.mlp", config)
    for wrong in ("method_options.advntk.step", "method_options.adv.steps", "compute.memory", "attack_options.x.loss"):
        assert not resolves(wrong, config)


def test_example_suites_resolve(config):
    """Every YAML block is an overlay with right keys; entries of the examples are not known to the registries."""
    for page in PAGES:
        for block in blocks(page, "yaml"):
            assert set(yaml.safe_load(block)) <= set(config), page.name


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ +(.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_relative_links_lead_somewhere(page):
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), target


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name != "plans"], ids=str)
def test_named_files_exist(page):
    """Pages in docs/plans may name files that do not exist yet."""
    for span in spans(page):
        if re.fullmatch(rf"(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./-]+", span) and not re.search(
            r"[A-Z]{3}", span
        ):
            assert (ROOT / span).exists(), span
    text = page.read_text(encoding="utf-8")
    for overlay in re.findall(r"--configfile (suites/[a-z0-9_-]+\.yaml)", text):
        assert (ROOT / overlay).exists(), overlay


def test_data_readme_names_every_dataset_and_checksum():
    text = (ROOT / "data/README.md").read_text(encoding="utf-8")
    for dataset in registry.names(suite.DATASETS):
        assert f"| `{dataset}` |" in text
        module = importlib.import_module(f"{suite.DATASETS}.{dataset}")
        for name, digest in getattr(module, "CHECKSUMS", {}).items():
            assert f"| `{name}` | `{digest}` |" in text, (dataset, name)


def test_deviations_are_numbered_and_listed():
    text = (ROOT / "docs/deviations.md").read_text(encoding="utf-8")
    ids = [int(number) for number in re.findall(r"^## D(\d+) ", text, re.MULTILINE)]
    assert ids == list(range(1, len(ids) + 1))
    assert [int(number) for number in re.findall(r"^\| \[D(\d+)\]", text, re.MULTILINE)] == ids


PYTHON = {block.splitlines()[0].removeprefix("# "): block for block in blocks(ROOT / "docs/extend.md", "python")}
EXAMPLES = {place: block for place, block in PYTHON.items() if place.startswith("advntk/")}
CONTRACTS = PYTHON["test_mine.py"]


@pytest.fixture
def example(tmp_path, monkeypatch):
    """A function: the ``ENTRY`` of the example that belongs into a registry folder."""

    def load(folder: str) -> Any:
        (place,) = [place for place in EXAMPLES if place.startswith(folder)]
        name = f"example_{Path(place).stem}"
        (tmp_path / f"{name}.py").write_text(EXAMPLES[place], encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        return importlib.import_module(name).ENTRY

    return load


def test_the_example_dataset_is_one(example):
    found = example("advntk/ingredients/datasets/")
    assert isinstance(found, Dataset)
    images = checked(found.load(found.options(), Path()), where="example")
    assert set(np.unique(images.y_train)) == set(range(images.classes))


def test_the_example_family_is_one(example):
    from advntk.ingredients.networks.layers import Dense

    assert example("advntk/ingredients/networks/families/")(Architecture(family="x", depth=2))[-1] == Dense(width=None)


def test_the_example_method_is_one(example):
    found = example("advntk/learning/methods/")
    assert isinstance(found, Method)
    assert found.options()


def test_the_example_attack_is_one(example):
    found = example("advntk/attacks/entries/")
    assert isinstance(found, Attack)
    assert found.options()


def test_what_is_said_of_a_gpu_against_a_cpu_is_in_their_tables():
    folder = ROOT / "results/reference/gpu_check"
    cpu, gpu = (pd.read_csv(folder / f"{device}.csv") for device in ("cpu", "gpu"))
    cell = ["architecture", "method", "checkpoint", "attack"]
    pd.testing.assert_frame_equal(cpu[cell], gpu[cell])
    accuracies = ["clean_mean", "robust_mean"]
    cpu["images"] = ((cpu[accuracies] - gpu[accuracies]).abs() * cpu["n_test"].iloc[0]).round().max(axis=1)
    most = cpu.groupby("method")["images"].max()
    assert most["ntk"] == most["early_stopped_ntk"] == 0
    said = " ".join((ROOT / "docs/performance.md").read_text(encoding="utf-8").split())
    assert f"Of the {len(cpu)} rows of its table {(cpu['images'] == 0).sum()} are the same to the image" in said
    assert f"Adv-NTK differs by at most {most['advntk']:.0f} of 300 images, and AT by up to {most['at']:.0f}" in said


def test_expected_values_of_the_artifact_are_those_of_the_results():
    artifact, readme, results = (
        (ROOT / page).read_text(encoding="utf-8") for page in ("docs/artifact.md", "README.md", "docs/results.md")
    )
    published = re.findall(r"\| ([+-][\d.]+ \[[^]]+\]) \|", artifact)
    by_default = re.findall(r"[\d.]+ ± [\d.]+", artifact)
    assert (len(published), len(by_default)) == (12, 4)
    assert all(value in results for value in published)
    assert all(value in readme for value in by_default)
