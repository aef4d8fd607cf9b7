"""Registries with one entry per file: to add an entry is to add one module to its folder.

A registry folder is a package; each module in it that does not start with ``_`` is one entry, known by its
file name, and defines ``ENTRY``.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from typing import Any

from advntk.foundation.errors import ConfigError, nearest

DATASETS = "advntk.ingredients.datasets"
FAMILIES = "advntk.ingredients.networks.families"
METHODS = "advntk.learning.methods"
ATTACKS = "advntk.attacks.entries"
EXPERIMENTS = "advntk.theory.experiments"


def names(package: str) -> list[str]:
    """Names of all entries of a registry package, sorted, without importing them."""
    return [name for name in _modules(package) if name.isidentifier()]


def misnamed(package: str) -> list[str]:
    """Names of files of a registry package that no import statement can reach, such as ``digits copy``."""
    return [name for name in _modules(package) if not name.isidentifier()]


def _modules(package: str) -> list[str]:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(package)
    modules = pkgutil.iter_modules(spec.submodule_search_locations)
    return sorted(module.name for module in modules if not module.name.startswith("_"))


def get(package: str, name: str) -> Any:
    """The ``ENTRY`` of one module of a registry package.

    Returns:
        The entry.

    Raises:
        ConfigError: there is no such entry, and the message names the nearest one; or its module fails or defines none.
    """
    known = names(package)
    if name not in known:
        kind = package.removesuffix(".entries").rsplit(".", 1)[-1]
        raise ConfigError(
            f"unknown entry '{name}'{nearest(name, known)}", where=kind, remedy=f"allowed: {', '.join(known)}"
        )
    where = f"{package.replace('.', '/')}/{name}.py"
    try:
        module = importlib.import_module(f"{package}.{name}")
    except Exception as error:
        what = f"the entry cannot be imported ({type(error).__name__}: {error})"
        raise ConfigError(what, where=where, remedy="correct the file, or move it out of the folder") from error
    if not hasattr(module, "ENTRY"):
        raise ConfigError("defines no ENTRY", where=where, remedy="define it, or start the file's name with _")
    return module.ENTRY
