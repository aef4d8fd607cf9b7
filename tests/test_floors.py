"""What import-linter (contracts in ``pyproject.toml``) cannot say of imports, the size of modules, and the picture."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from tests import imports_picture

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "advntk"
MODULE_LINES, RULE_LINES = 400, 150


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def imported(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Dotted names of what the nodes import; a module of this package by its own name."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else str(node.module)


def run_at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes outside functions and what only type checkers read."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from run_at_import(node)


def libraries_of(module: str) -> set[str]:
    return {name.partition(".")[0] for name in imported(ast.walk(TREES[module]))}


def test_no_module_imports_itself_through_others():
    graph = {name: {*imported(run_at_import(tree))} for name, tree in TREES.items()}
    assert "advntk.foundation.errors" in graph["advntk.foundation.threads"]
    TopologicalSorter(graph).prepare()  # raises a CycleError that names the modules


def test_the_package_itself_imports_nothing_but_types():
    assert not [name for name in imported(run_at_import(TREES["advntk"])) if name.startswith("advntk")]


def test_jax_and_torch_never_meet():
    assert [name for name in MODULES if "torch" in libraries_of(name)]
    assert not [name for name in MODULES if {"jax", "torch"} <= libraries_of(name)]


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_rooms_are_small():
    long = {name: lines(path) for name, path in MODULES.items() if lines(path) > MODULE_LINES}
    rules = {path.name: lines(path) for path in (ROOT / "rules").glob("*.smk") if lines(path) > RULE_LINES}
    assert not long | rules


def test_the_picture_of_imports_is_drawn_from_the_code():
    assert imports_picture.main(["--check"]) == 0
