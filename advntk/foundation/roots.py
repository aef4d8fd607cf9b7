"""The modules whose code a result depends on: a rule reruns by their digest, and the result carries it."""

from __future__ import annotations

from collections.abc import Iterable

from advntk.foundation import registry

_REGISTRIES = {
    "dataset": registry.DATASETS,
    "family": registry.FAMILIES,
    "method": registry.METHODS,
    "attack": registry.ATTACKS,
    "experiment": registry.EXPERIMENTS,
}


def behind(module: str, *others: str, **entries: str | Iterable[str]) -> tuple[str, ...]:
    """What computes a result, and the registry entries that it runs: no import statement leads to these.

    Args:
        module: that computes it.
        others: modules that options name, such as a loss.
        entries: names of the entries by ``dataset``, ``family``, ``method``, ``attack`` and ``experiment``.

    Returns:
        The modules; with all that they import they are the code of the result.
    """
    named = {_REGISTRIES[kind]: [given] if isinstance(given, str) else given for kind, given in entries.items()}
    return (module, *others, *(registry.module(package, name) for package, names in named.items() for name in names))
