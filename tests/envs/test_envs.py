"""The conda environments, without conda: files parse, versions are those of the locks, and nothing is missing."""

from __future__ import annotations

import ast
import functools
import importlib.util
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import get_args

import pytest
import yaml
from environments import DOCS, script_text
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from stacks import declared, locks, pins_in, pins_of, pip_part, variants

from advntk import suite, verbs
from advntk.foundation import registry
from advntk.foundation.options import Environments
from advntk.foundation.provenance import modules_behind
from advntk.step import steps
from advntk.workflow import CPU_ONLY

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "envs").glob("*.yaml"))
NAMES = [file.stem for file in FILES]
COMES_WITH_PYTHON = sys.stdlib_module_names
FOR_PANDAS = {"jinja2", "tabulate"}
"""Imported by pandas, which does not bring them, to write LaTeX and Markdown."""
DISTRIBUTIONS = {"sklearn": "scikit-learn"}
"""Where a package is installed under another name than it is imported by."""


LOCKS = locks()
VARIANTS = {variant.name: variant for variant in variants()}
ON_GPUS = [name for name, variant in VARIANTS.items() if variant.lock.compute != "cpu"]


def stack_of(name: str) -> str:
    return VARIANTS[name].stack.name


def script_of(name: str) -> str:
    return (ROOT / f"envs/{name}.post-deploy.sh").read_text(encoding="utf-8")


def bare_pins(name: str) -> dict[str, str]:
    """What the post-deploy script installs by version."""
    return pins_of(re.findall(r"[\w-]+==\S+", script_of(name)))


def test_there_is_one_file_a_stack_and_variant():
    assert set(NAMES) == set(VARIANTS)
    assert {stack_of(name) for name in NAMES} - {stack_of(name) for name in ON_GPUS} == set(CPU_ONLY)


def test_compute_environments_are_those_that_there_are():
    assert set(get_args(Environments)) == set(LOCKS)


@pytest.mark.parametrize("name", NAMES)
def test_spec_is_closed(name):
    """Only ``python`` and ``pip`` come from conda: what is under ``pip:`` is an exact version, each named once."""
    spec = yaml.safe_load((ROOT / f"envs/{name}.yaml").read_text(encoding="utf-8"))
    assert set(spec) == {"channels", "dependencies"}
    assert spec["channels"] == ["conda-forge", "nodefaults"]
    *from_conda, pip = spec["dependencies"]
    assert from_conda == [f"python={VARIANTS[name].lock.pythons[0]}", "pip"]
    assert set(pip) == {"pip"}
    assert len(pins_of(pip["pip"])) == len(pip["pip"])


def test_no_pin_file_hides_a_pip_part():
    """Beside an environment file, Snakemake takes a pin file in its place and drops what is under ``pip:``."""
    assert not list((ROOT / "envs").glob("*.pin.txt"))


@pytest.mark.parametrize("line", ["numpy", "numpy>=2", "numpy==2.*", "numpy==2,<3", "numpy==2; python_version < '3'"])
def test_versions_that_are_not_exact_are_refused(line):
    with pytest.raises(ValueError, match="not an exact version"):
        pins_of([line])


@pytest.mark.parametrize("name", NAMES)
def test_versions_are_those_of_the_lock(name):
    lock = VARIANTS[name].lock.pins
    pins = pins_of(pip_part(ROOT / f"envs/{name}.yaml"))
    for package, version in {**pins, **bare_pins(name)}.items():
        assert lock.get(package) == version, package


@pytest.mark.parametrize("compute", ["cuda12", "cuda13"])
def test_locks_differ_in_what_computes_only(compute):
    cpu, cuda = LOCKS["cpu"].pins, LOCKS[compute].pins
    differing = {name for name in cpu if cpu[name] != cuda.get(name)}
    assert differing
    assert all(LOCKS[compute].is_own(name) for name in differing), differing
    assert all(re.match("nvidia-|cuda-|jax-cuda", name) for name in cuda if name not in cpu)


def test_what_is_installed_fits_together():
    """Nothing is missing and no versions clash, apart from what neural-tangents declares and nothing here uses."""
    found = subprocess.run(
        [sys.executable, "-m", "uv", "pip", "check", "--python", sys.executable], capture_output=True, text=True
    ).stderr
    complaints = {line for line in found.splitlines() if line.startswith("The package")}
    allowed = re.compile(r"The package `neural-tangents` requires `(tensorflow|tf2jax)[^`]*`, but it's not installed")
    assert {line for line in complaints if not allowed.match(line)} == set(), found
    assert "Checked" in found


def test_nothing_brings_tensorflow():
    assert not [name for lock in LOCKS.values() for name in lock.pins if name.startswith(("tensorflow", "tf2jax"))]


def test_locks_meet_what_the_project_declares():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    for lock in LOCKS.values():
        for line in declared:
            requirement = Requirement(line)
            assert requirement.specifier.contains(lock.pins[canonicalize_name(requirement.name)]), (lock.path, line)
        for python in lock.pythons:
            assert SpecifierSet(project["requires-python"]).contains(python), lock.path


def test_the_lock_of_the_site_adds_to_the_other():
    lock, docs = LOCKS["cpu"].pins, pins_in(DOCS)
    assert not lock.keys() & docs.keys()
    for line in declared()["docs"]:
        requirement = Requirement(line)
        assert requirement.specifier.contains(docs[canonicalize_name(requirement.name)]), line


@pytest.mark.parametrize("name", ON_GPUS)
def test_jax_and_torch_share_one_cuda(name):
    pins = pins_of(pip_part(ROOT / f"envs/{name}.yaml"))
    assert not VARIANTS[name].lock.complaints(pins)


TWELVE = {"nvidia-cublas-cu12": "12.8.4.1", "nvidia-cuda-runtime-cu12": "12.8.90", "nvidia-cudnn-cu12": "9.10.2.21"}
THIRTEEN = {"nvidia-cublas": "13.1.1.3", "nvidia-cuda-runtime": "13.0.96", "nvidia-cudnn-cu13": "9.24.0.43"}


@pytest.mark.parametrize(
    ("compute", "good", "wrong"),
    [
        ("cuda12", TWELVE, [*({name: pin} for name, pin in THIRTEEN.items()), {"cuda-toolkit": "13.0"}]),
        ("cuda13", THIRTEEN, [{name: pin} for name, pin in TWELVE.items()]),
    ],
)
def test_a_second_cuda_is_seen(compute, good, wrong):
    complaints = LOCKS[compute].complaints
    assert not complaints(good)
    assert all(complaints(good | more) for more in wrong)
    assert all(complaints(good | {name: "8.0"}) for name in good)
    assert complaints({})


@pytest.mark.parametrize("name", NAMES)
def test_script_installs_the_project(name):
    assert "python -I -m pip install --quiet --no-deps --no-build-isolation" in script_of(name)
    builds = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    pins = pins_of(pip_part(ROOT / f"envs/{name}.yaml"))
    for line in builds:
        assert Requirement(line).specifier.contains(pins[Requirement(line).name]), line


RULES = {name: (step.stack, step.verb) for name, step in steps().items()}
"""Stack and verb by rule."""


def test_every_rule_is_a_step():
    texts = [file.read_text(encoding="utf-8") for file in (ROOT / "rules").glob("*.smk")]
    rules = [block for text in texts for block in re.split(r"^rule ", text, flags=re.MULTILINE)[1:]]
    assert {block.partition(":")[0] for block in rules} == set(RULES)
    for block in rules:
        used = set(re.findall(r"STEP\.(\w+)\.(\w+)", block))
        assert {name for name, _ in used} == {block.partition(":")[0]}
        step, taken = steps()[block.partition(":")[0]], {what for _, what in used}
        assert {"outputs", "log", "environment", "flags", "code", "command"} <= taken
        assert ("group" in taken) == (step.group is not None)


def test_every_rule_has_a_stack_and_every_stack_a_rule():
    assert {stack for stack, _ in RULES.values()} == {stack_of(name) for name in NAMES}


def imported(body: Iterable[ast.AST], *, lazily: bool) -> Iterator[str]:
    """Dotted names that statements import; without ``lazily`` only those that run when the module is imported."""
    for statement in body:
        if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.dump(statement.test):
            continue
        if not lazily and isinstance(statement, ast.FunctionDef | ast.ClassDef):
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield str(node.module)
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


@functools.cache
def source(module: str) -> ast.Module:
    spec = importlib.util.find_spec(module)
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def own_modules(names: Iterable[str]) -> set[str]:
    """The modules of this package among dotted names."""
    return {name for name in names if name.startswith("advntk.") and importable(name)}


def importable(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def of_verb(verb: str) -> list[str]:
    """The modules of a verb itself."""
    return [name for name in modules_behind(f"{verbs.__name__}.{verb}") if name.startswith(f"{verbs.__name__}.")]


def behind_verb(verb: str) -> set[str]:
    """Modules that the functions of a verb import."""
    functions = [
        node
        for module in of_verb(verb)
        for node in source(module).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]
    return own_modules(imported(functions, lazily=True))


def entries(package: str, kind: str | None = None) -> list[str]:
    """Modules of a registry; of methods, those of one kind."""
    names = registry.names(package)
    chosen = [name for name in names if kind is None or registry.get(package, name).kind == kind]
    return [f"{package}.{name}" for name in chosen]


FAMILIES, ATTACKS, METHODS = entries(suite.FAMILIES), entries(suite.ATTACKS), entries(suite.METHODS)
RUNS = {
    "prepare": entries(suite.DATASETS),
    "gram": FAMILIES,
    "gather": FAMILIES,
    "fit": [*FAMILIES, *entries(suite.METHODS, "kernel")],
    "train": [*FAMILIES, *entries(suite.METHODS, "network")],
    "attack": [*FAMILIES, *METHODS, *ATTACKS],
    "evaluate": [*FAMILIES, *METHODS, *ATTACKS],
    "sweep": [*FAMILIES, *METHODS, *ATTACKS],
    "transfer": [*FAMILIES, *METHODS],
    "certify": [*FAMILIES, *METHODS, *ATTACKS],
    "experiment": entries(suite.EXPERIMENTS),
}
"""Registry entries that a verb runs. They are imported by name, so that no import statement leads to them."""
READS = {"split": entries(suite.DATASETS), "expand": [*entries(suite.DATASETS), *METHODS, *ATTACKS]}
"""Registry entries that a verb only reads options of: what their functions import is not needed."""


def loaded_by(modules: Iterable[str]) -> set[str]:
    """Dotted names that are imported when modules are, without what their functions import when they are called."""
    waiting, seen, found = list(modules), set(), set()
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen.add(module)
            names = set(imported(source(module).body, lazily=False))
            found |= names
            waiting.extend(own_modules(names))
    return found


@functools.cache
def libraries(verb: str) -> set[str]:
    """Third-party packages that a verb can import."""
    found = loaded_by(["advntk.cli", "advntk.__main__", *of_verb(verb), *READS.get(verb, ())])
    for module in modules_behind(*behind_verb(verb), *RUNS.get(verb, ())):
        found.update(imported(source(module).body, lazily=True))
    tops = {name.partition(".")[0] for name in found}
    return {name for name in tops if name not in COMES_WITH_PYTHON and name not in ("advntk", "__future__")}


@pytest.mark.parametrize("name", NAMES)
def test_environment_holds_all_that_its_verbs_import(name):
    """And names it itself: what another package happens to bring can be gone with its next release."""
    listed = [canonicalize_name(Requirement(line).name) for line in pip_part(ROOT / f"envs/{name}.yaml")]
    named = {canonicalize_name(Requirement(line).name) for line in VARIANTS[name].requirements}
    assert named <= set(listed)
    held = named | set(bare_pins(name))
    needed = {}
    for rule, (stack, verb) in RULES.items():
        if stack == stack_of(name):
            for library in libraries(verb):
                needed.setdefault(DISTRIBUTIONS.get(library, canonicalize_name(library)), []).append(rule)
    needed |= dict.fromkeys(FOR_PANDAS, needed["pandas"]) if "pandas" in needed else {}
    missing = {library: rules for library, rules in needed.items() if library not in held}
    assert not missing
    without_use = held - set(needed) - {"frozendict", "setuptools"}
    assert not without_use, f"nothing imports {without_use}"


def test_what_verbs_import_is_seen():
    assert {"jax", "neural_tangents", "numba"} <= libraries("gram")
    assert {"torch", "torchvision"} <= libraries("train")
    assert "jax" not in libraries("train")
    assert {"pyautoattack", "torch", "jax"} <= libraries("evaluate")
    assert "sklearn" in libraries("prepare")
    assert not libraries("expand") & {"jax", "torch", "numba"}


@pytest.mark.parametrize("name", NAMES)
def test_scripts_are_as_written(name):
    """Apart from the resolver, the program writes what is there."""
    assert script_text(VARIANTS[name]) == script_of(name)
