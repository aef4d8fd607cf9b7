"""The house keeps its floors: imports go down only, walls stand, rooms stay small."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "advntk"
FLOORS = {
    "foundation": 0,
    "ingredients": 1,
    "attacks": 2,
    "certificates": 2,  # of a kernel and an attack alone; the attack ``exact`` needs them
    "learning": 3,
    "theory": 3,
    "measuring": 4,
    "telling": 5,
    "planning": 6,
    "estimators": 6,
    "leaderboard": 6,
    "verbs": 6,
    "testing": 6,
    "zoo": 6,
}
SURFACE = {
    "advntk",
    "advntk.__main__",
    "advntk.arguments",
    "advntk.cli",
    "advntk.step",
    "advntk.suite",
    "advntk.suite_options",
    "advntk.terminal",
    "advntk.workflow",
}
MODULE_LINES, RULE_LINES = 400, 150


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names of everything imported, at any depth of the code; a module of this package by its own name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else str(node.module)


def imports_of(module: str) -> set[str]:
    return set(imported(ast.parse(MODULES[module].read_text(encoding="utf-8"))))


def libraries_of(module: str) -> set[str]:
    return {name.partition(".")[0] for name in imports_of(module)}


def floor(module: str) -> int:
    return 6 if module in SURFACE else FLOORS[module.split(".")[1]]


def complaints(module: str, found: set[str]) -> list[str]:
    """Imports of a module that go up, or from telling to anything but the foundation."""
    own = floor(module)
    wrong = []
    for name in sorted(found):
        if name.partition(".")[0] != "advntk":
            continue
        other = floor(name)
        if other > own or (own == 5 and other not in (0, 5)):
            wrong.append(f"{module} (floor {own}) imports {name} (floor {other})")
    return wrong


def test_every_module_has_a_floor():
    unknown = [name for name in MODULES if name not in SURFACE and name.split(".")[1] not in FLOORS]
    assert not unknown


@pytest.mark.parametrize("package", [*FLOORS, "surface"])
def test_imports_go_down_only(package):
    mine = [name for name in MODULES if (name in SURFACE) == (package == "surface")]
    if package != "surface":
        mine = [name for name in mine if name.split(".")[1] == package]
    assert mine
    assert not [line for name in mine for line in complaints(name, imports_of(name))]


def test_the_check_sees_imports_that_go_up():
    lazily = ast.parse("def f():\n    from advntk.learning import fits\n")
    assert complaints("advntk.attacks.attack", set(imported(lazily)))
    assert complaints("advntk.telling.report", {"advntk.measuring.evaluate"})
    assert complaints("advntk.foundation.files", {"advntk"})
    assert not complaints("advntk.telling.report", {"advntk.foundation.files", "advntk.telling.listing", "pandas"})


def test_the_package_itself_imports_nothing_but_types():
    body = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8")).body
    assert not any(name.startswith("advntk") for node in body if not isinstance(node, ast.If | ast.FunctionDef)
                   for name in imported(node))  # fmt: skip
    guarded = [node for node in body if isinstance(node, ast.If)]
    assert all(isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING" for node in guarded)


def test_neural_tangents_has_one_wall():
    assert [name for name in MODULES if "neural_tangents" in libraries_of(name)] == [
        "advntk.ingredients.kernels.neural_tangents_wall"
    ]


def test_the_package_imports_nothing_that_is_not_installed_with_it():
    assert not [name for name in MODULES if libraries_of(name) & {"benchmarks", "tests"}]


def test_the_foundation_imports_no_torch():
    assert not [name for name in MODULES if floor(name) == 0 and libraries_of(name) & {"torch", "torchvision"}]


def test_jax_and_torch_never_meet():
    assert not [name for name in MODULES if {"jax", "torch"} <= libraries_of(name)]


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_rooms_are_small():
    long = {name: lines(path) for name, path in MODULES.items() if lines(path) > MODULE_LINES}
    rules = {path.name: lines(path) for path in (ROOT / "rules").glob("*.smk") if lines(path) > RULE_LINES}
    assert not long | rules
