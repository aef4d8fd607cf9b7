"""Options of methods, datasets and attacks by the user's names, checked against the registry entries behind them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from advntk.attacks import ATTACKS
from advntk.attacks.named import NamedAttack
from advntk.foundation import registry
from advntk.foundation.architecture import Architecture
from advntk.foundation.config import SuiteConfig
from advntk.foundation.errors import ConfigError, nearest
from advntk.foundation.options import Closed, validated
from advntk.ingredients.images import Dataset, SplitSizes
from advntk.ingredients.kernels.relu_plan import relu_plan
from advntk.ingredients.networks.layers import layers_of
from advntk.learning.method import METHODS, Method, Setting
from advntk.theory.experiment import EXPERIMENTS, Experiment

__all__ = ["ATTACKS", "DATASETS", "METHODS", "merged", "resolve_attacks", "resolve_datasets"]
__all__ += ["EXPERIMENTS", "resolve_experiments", "resolve_methods", "resolve_options"]

DATASETS = registry.DATASETS


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """``over`` merged into ``base`` key by key, at any depth; lists and values are replaced."""
    result = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else value
    return result


def without_kind(options: Mapping[str, Any]) -> dict[str, Any]:
    """What a user's entry gives to the registry entry that it stands for."""
    return {key: value for key, value in options.items() if key != "kind"}


def _kind(name: str, options: Mapping[str, Mapping[str, Any]], package: str, what: str) -> str:
    """The registry entry that a name of the user's stands for: its ``kind``, by default the name itself.

    Returns:
        The entry's name.

    Raises:
        ConfigError: there is none; the message names the nearest one.
    """
    kind, known = str(options.get(name, {}).get("kind", name)), registry.names(package)
    if kind not in known:
        every = sorted({*known, *options} - {kind})
        raise ConfigError(
            f"unknown {what} '{kind}'{nearest(kind, every)}",
            where=_where(name, options, what),
            remedy=f"allowed: {', '.join(every)}",
        )
    return kind


def _where(name: str, options: Mapping[str, Mapping[str, Any]], what: str) -> str:
    """The key that a wrong entry's name stands in."""
    if "kind" in options.get(name, {}):
        return f"{what}_options.{name}.kind"
    return f"{what}_options" if name in options else f"{what}s"


def resolve_methods(config: SuiteConfig) -> dict[str, str]:
    """Registry entries of the methods that are run, by the user's names; options of all others are checked too."""
    given = config.method_options
    kinds = {name: _kind(name, given, METHODS, "method") for name in {**dict.fromkeys(config.methods), **given}}
    for name, kind in kinds.items():
        validated(registry.get(METHODS, kind).options, without_kind(given.get(name, {})), f"method_options.{name}")
    return {name: kinds[name] for name in config.methods}


def resolve_datasets(config: SuiteConfig) -> dict[str, tuple[str, Dataset, SplitSizes]]:
    """Registry entries, by name and themselves, and options by the user's names; those not run are checked too."""
    resolved, given = {}, config.dataset_options
    for name in {**dict.fromkeys(config.datasets), **given}:
        kind = _kind(name, given, DATASETS, "dataset")
        entry: Dataset = registry.get(DATASETS, kind)
        options = validated(entry.options, without_kind(given.get(name, {})), f"dataset_options.{name}")
        resolved[name] = (kind, entry, options)
    return {name: resolved[name] for name in config.datasets}


def resolve_attacks(config: SuiteConfig) -> dict[str, NamedAttack]:
    """Attacks by the user's names, those that are only listed with options too."""
    resolved, given = {}, config.attack_options
    used = [*config.attacks, *(entry.attack for entry in config.sweeps.values())]
    used += [config.certificates.attack] if config.certificates.radii else []
    for name in {**dict.fromkeys(used), **given}:
        kind = _kind(name, given, ATTACKS, "attack")
        resolved[name] = NamedAttack.of(name, given.get(name, {}), kind=kind, where=f"attack_options.{name}")
    return resolved


def resolve_options(
    config: SuiteConfig,
    specs: Mapping[str, Architecture],
    methods: Mapping[str, Method],
    sizes: Mapping[str, SplitSizes],
) -> dict[tuple[str, str, str], Closed]:
    """Options of every (dataset, architecture, method), the overrides that match merged in."""
    _check_engine(config, specs, methods)
    known = sorted({*registry.names(METHODS), *config.method_options})
    for index, override in enumerate(config.overrides):
        for method in override.method_options:
            if method not in known:
                raise ConfigError(
                    f"unknown method '{method}'{nearest(method, known)}",
                    where=f"overrides.{index}.method_options",
                    remedy=f"allowed: {', '.join(known)}",
                )
        if not any(override.when.matches(*cell) for cell in itertools.product(config.datasets, specs.values())):
            for method in override.method_options.keys() & methods.keys():  # no cell below would meet its errors
                options = merged(without_kind(config.method_options.get(method, {})), override.method_options[method])
                validated(methods[method].options, options, f"overrides.{index}.method_options.{method}")
    resolved = {}
    for dataset, label, method in itertools.product(config.datasets, specs, methods):
        options, where = without_kind(config.method_options.get(method, {})), f"method_options.{method}"
        for index, override in enumerate(config.overrides):
            if method in override.method_options and override.when.matches(dataset, specs[label]):
                options = merged(options, override.method_options[method])
                where = f"overrides.{index}.method_options.{method}"
        chosen = validated(methods[method].options, options, where)
        images = methods[method].images_under(config.protocol)
        setting = Setting(spec=specs[label], images=images, sizes=sizes[dataset])
        if (problem := methods[method].check(chosen, setting)) is not None:
            raise ConfigError(problem, where=where, remedy=f"change it for {label} on {dataset}, or leave that out")
        resolved[dataset, label, method] = chosen
    return resolved


def _check_engine(config: SuiteConfig, specs: Mapping[str, Architecture], methods: Mapping[str, Method]) -> None:
    """Refuse kernels that the numba engine is asked for and does not compute."""
    if config.compute.kernel_engine != "numba" or all(entry.kind != "kernel" for entry in methods.values()):
        return
    if other := [label for label, spec in specs.items() if relu_plan(layers_of(spec)) is None]:
        raise ConfigError(
            f"numba computes kernels of ReLU networks with zero padding and without pooling, not of {', '.join(other)}",
            where="compute.kernel_engine",
            remedy="use auto or neural_tangents",
        )


def resolve_experiments(config: SuiteConfig, sizes: Mapping[str, SplitSizes]) -> dict[str, tuple[Experiment, Closed]]:
    """Registry entries of the experiments with their options, by name; what a unit needs of the suite is there.

    Args:
        config: as validated.
        sizes: options of the suite's datasets, by name.

    Returns:
        Entry and options of each.

    Raises:
        ConfigError: an unknown experiment or option, or a unit whose dataset or seed the suite does not have.
    """
    known = registry.names(EXPERIMENTS)
    resolved = {}
    for name, given in config.experiments.items():
        if name not in known:
            raise ConfigError(
                f"unknown experiment '{name}'{nearest(name, known)}",
                where="experiments",
                remedy=f"allowed: {', '.join(known)}",
            )
        entry = registry.get(EXPERIMENTS, name)
        options = validated(entry.options, given, f"experiments.{name}")
        for unit in entry.units(options):
            if unit.dataset and (unit.dataset not in sizes or unit.seed >= config.seeds):
                raise ConfigError(
                    f"unit '{unit.name}' needs {unit.dataset} with seed {unit.seed}",
                    where=f"experiments.{name}",
                    remedy="add the dataset to 'datasets' and raise 'seeds', or change the experiment's options",
                )
        resolved[name] = (entry, options)
    return resolved
