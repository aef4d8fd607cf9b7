"""Registries with one entry per file: to add an entry is to add one module to its folder.

A registry folder is a package; each module in it that does not start with ``_`` is one entry, known by its
file name, and defines ``ENTRY``. Folders outside the package (plugins) add entries: ``datasets/NAME.py``,
``methods/NAME.py`` and so on (``FOLDERS``).
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from advntk.foundation.errors import ConfigError, nearest

DATASETS = "advntk.ingredients.datasets"
FAMILIES = "advntk.ingredients.networks.families"
METHODS = "advntk.learning.methods"
ATTACKS = "advntk.attacks.entries"
EXPERIMENTS = "advntk.theory.experiments"
ATTACK_LOSSES = "advntk.foundation.losses"
TRAINING_LOSSES = "advntk.learning.losses"
TECHNIQUES = "advntk.learning.techniques"
FOLDERS = {
    DATASETS: "datasets",
    FAMILIES: "families",
    METHODS: "methods",
    ATTACKS: "attacks",
    ATTACK_LOSSES: "attack_losses",
    TRAINING_LOSSES: "training_losses",
    TECHNIQUES: "techniques",
}
"""Folders of a plugin, by the registry that they add entries to."""
PLUGINS = "ADVNTK_PLUGINS"
"""Environment variable that names the plugins' folders; jobs inherit it from Snakemake."""


def use(folders: Iterable[str | Path]) -> None:
    """Take entries of these folders outside the package too, in this process and in those that it starts.

    Args:
        folders: plugins, beside those of earlier calls.

    Raises:
        ConfigError: no folder, a name that cannot be imported, or an entry of a name that there is already; the plugins
            are then those of before.
    """
    known, before = plugins(), os.environ.get(PLUGINS, "")
    try:
        _add(folder for folder in dict.fromkeys(Path(folder).resolve() for folder in folders) if folder not in known)
    except ConfigError:
        os.environ[PLUGINS] = before
        raise


def _add(folders: Iterable[Path]) -> None:
    """Check new plugins and name them in the environment, one by one, then check the names of their entries."""
    new = list(folders)
    for folder in new:
        if not folder.is_dir():
            raise ConfigError("no such folder", where=f"plugins: {folder}", remedy="give a folder with entries")
        if not folder.name.isidentifier():
            what = f"Python cannot import '{folder.name}'"
            raise ConfigError(what, where=f"plugins: {folder}", remedy="name it with letters, digits and _")
        if os.pathsep in str(folder):
            what = f"its path holds '{os.pathsep}'"
            raise ConfigError(what, where=f"plugins: {folder}", remedy="give a folder of another path")
        spec = importlib.util.find_spec(folder.name)
        if spec is not None and str(folder) not in map(os.path.realpath, spec.submodule_search_locations or ()):
            other = spec.origin or ", ".join(spec.submodule_search_locations or ())
            what = f"there is another module '{folder.name}' ({other})"
            raise ConfigError(what, where=f"plugins: {folder}", remedy="rename the folder")
        os.environ[PLUGINS] = os.pathsep.join(map(str, [*plugins(), folder]))
    for package in FOLDERS if new else ():
        _entries(package)


def plugins() -> list[Path]:
    """Folders outside the package that entries are taken from; what lies beside them can be imported."""
    found = [Path(folder) for folder in os.environ.get(PLUGINS, "").split(os.pathsep) if folder]
    for folder in found:
        if str(folder.parent) not in sys.path:
            sys.path.append(str(folder.parent))
    return found


def names(package: str) -> list[str]:
    """Names of all entries of a registry package and of plugins, sorted, without importing them."""
    return sorted(name for name in _entries(package) if name.isidentifier())


def misnamed(package: str) -> list[str]:
    """Names of files of a registry package that no import statement can reach, such as ``digits copy``."""
    return sorted(name for name in _entries(package) if not name.isidentifier())


def module(package: str, name: str) -> str:
    """The module of an entry: in the registry package, or in a plugin."""
    own = f"{package}.{name}"
    return _entries(package).get(name, own) if plugins() else own  # the digest of every job asks for several


def _entries(package: str) -> dict[str, str]:
    """Modules of all entries, by name.

    Returns:
        Of the package first, then of each plugin.

    Raises:
        ModuleNotFoundError: no such package.
        ConfigError: two entries of one name.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(package)
    found = {name: f"{package}.{name}" for name in _files(spec.submodule_search_locations)}
    for folder in plugins() if package in FOLDERS else ():
        mine = folder / FOLDERS[package]
        for name in _files([str(mine)]):
            if name in found:
                what = f"there is another entry '{name}' ({found[name]})"
                raise ConfigError(what, where=f"plugins: {mine / name}.py", remedy="rename the file")
            found[name] = f"{folder.name}.{mine.name}.{name}"
    return found


def _files(folders: Iterable[str]) -> list[str]:
    return [found.name for found in pkgutil.iter_modules(folders) if not found.name.startswith("_")]


def get(package: str, name: str) -> Any:
    """The ``ENTRY`` of one module of a registry package, or of a plugin.

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
    path = module(package, name)
    where = f"{path.replace('.', '/')}.py"
    try:
        found = importlib.import_module(path)
    except Exception as error:
        what = f"the entry cannot be imported ({type(error).__name__}: {error})"
        raise ConfigError(what, where=where, remedy="correct the file, or move it out of the folder") from error
    if not hasattr(found, "ENTRY"):
        raise ConfigError("defines no ENTRY", where=where, remedy="define it, or start the file's name with _")
    return found.ENTRY
