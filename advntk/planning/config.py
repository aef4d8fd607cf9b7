"""The configuration of a suite as Snakemake reads it: config.yaml, overlays in their order, single keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from advntk.foundation import registry
from advntk.foundation.architecture import Architecture
from advntk.foundation.config import SuiteConfig
from advntk.foundation.errors import ConfigError, InputError
from advntk.foundation.options import validated
from advntk.ingredients.images import load
from advntk.planning.datasets import OF_NO_CONTENT
from advntk.suite import ATTACKS, METHODS, Suite, merged, resolve
from advntk.suite_options import without_kind
from advntk.telling.contents import Suite as Published
from advntk.telling.kinds.fits import FitFacts
from advntk.telling.kinds.splits import SplitFacts
from advntk.telling.publishing.packed import LOCAL
from advntk.telling.publishing.publish import overlay_of

BASE = Path("config.yaml")
_LISTS = ("seeds", "datasets", "architectures", "methods", "eps255", "attacks", "transfer")
"""Keys that say what a suite runs, not how: they may grow."""


def read_suite(configfiles: Sequence[Path], settings: Sequence[str]) -> Suite:
    """The suite that ``snakemake --configfile … --config …`` would run.

    Args:
        configfiles: overlays, merged in their order over ``config.yaml`` of the working directory.
        settings: ``KEY=VALUE``, the value in YAML; merged last.

    Returns:
        The suite. (A wrong key raises ``ConfigError``.)
    """
    content: dict[str, Any] = {}
    for path in (BASE, *configfiles):
        content = merged(content, _mapping(path))
    for setting in settings:
        content = merged(content, _setting(setting))
    return resolve(content)


def require_of_files(found: SuiteConfig, *, where: Path) -> None:
    """Refuse a suite that ``config.yaml`` and the overlay of its name would not make: one that ran with ``--config``.

    Args:
        found: of the suite; where and how it computed, and where files came from, does not count.
        where: the suite's file, for the message.

    Raises:
        InputError: the overlay is not there, or gives another suite; the keys are named.
    """
    overlay = overlay_of(found.suite)
    remedy = "give --command 'snakemake …', the command that computed it"
    if overlay and not overlay.is_file():
        raise InputError(f"no {overlay} makes this suite", where=where, remedy=remedy)
    if keys := _differing(what_counts(found), what_counts(read_suite([overlay] if overlay else [], []).config)):
        raise InputError(f"differs from {overlay or BASE} in {', '.join(keys)}", where=where, remedy=remedy)


def require_same_settings(published: Published, found: SuiteConfig, *, where: Path) -> None:
    """Refuse to resume a published suite under other settings; its lists may grow, and so may overrides of other cells.

    Args:
        published: what is published.
        found: the present one.
        where: the published suite's file, for the message.

    Raises:
        InputError: an option, a network or the norm of the threat model differs, or a list is shorter; names the keys.
    """
    config, cells = published.config, {(fit.dataset, fit.architecture, fit.method) for fit in published.of(FitFacts)}
    before, now = _settings(config), _settings(found)
    if not config.certificates.radii:
        del before["certificates"]
    before["overrides"], now["overrides"] = _overrides(config, cells), _overrides(found, cells)
    for key, value in before.items():
        if isinstance(value, dict):
            before[key] = {name: value[name] for name in value if name in now[key]}
            now[key] = {name: now[key][name] for name in before[key]}
    remedy = "restore these settings, or give the suite another name"
    if keys := _differing(before, now):
        raise InputError(f"was published with other settings of {', '.join(keys)}", where=where, remedy=remedy)
    if keys := [key for key in _LISTS if set(_entries(config, key)) - set(_entries(found, key))]:
        raise InputError(f"was published with more {', '.join(keys)}", where=where, remedy=remedy)


def require_same_data(published: Iterable[SplitFacts], suite: Suite) -> None:
    """Refuse to resume a published suite with a user's file of other arrays; a file that is not here is not read.

    Args:
        published: its splits.
        suite: the present one.

    Raises:
        InputError: the arrays have another SHA-256; names the file.
    """
    known = {split.dataset: split.sha256 for split in published if split.sha256}
    for name, (entry, sizes) in suite.datasets.items():
        path = getattr(sizes, "path", "")
        if name in known and path and Path(path).exists():
            found = load(entry, sizes, Path()).sha256
            if found != known[name]:
                what = f"its arrays have SHA-256 {found}, those of '{name}' in the published part {known[name]}"
                remedy = "give the file that these were computed from, or the suite another name"
                raise InputError(what, where=path, remedy=remedy)


def _entries(config: SuiteConfig, key: str) -> list[Any]:
    """What one of the keys asks for that may grow."""
    if key == "architectures":
        return [spec.label for spec in config.specs()]
    return list(range(config.seeds)) if key == "seeds" else list(getattr(config, key))


def _settings(config: SuiteConfig) -> dict[str, Any]:
    """What results of a suite depend on, whatever else the suite runs: all but its lists and its data."""
    content = what_counts(config)
    for key in (*LOCAL, *_LISTS):
        content.pop(key, None)
    given = config.attack_options
    content["attack_options"] = {name: _whole(ATTACKS, "attack_options", name, given) for name in config.attacks}
    return {**content, "network": {spec.label: spec.model_dump(mode="json") for spec in config.specs()}}


def _differing(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    """Keys of two configurations whose values differ, of mappings the keys within."""
    keys = []
    for key, value in ours.items():
        if value != theirs[key]:
            both = {**value, **theirs[key]} if isinstance(value, dict) and isinstance(theirs[key], dict) else {}
            keys += [f"{key}.{name}" for name in both if value.get(name) != theirs[key].get(name)] or [key]
    return keys


def what_counts(config: SuiteConfig) -> dict[str, Any]:
    """A configuration as JSON, without what changes no result; options of its own methods and attacks alone."""
    content = config.model_dump(mode="json", exclude={"compute", "allow_mixed", "plugins"})
    given = config.method_options
    content["method_options"] = {name: _whole(METHODS, "method_options", name, given) for name in config.methods}
    used = {*config.attacks, *(entry.attack for entry in config.sweeps.values())}
    used |= {config.certificates.attack} if config.certificates.radii else set()
    content["attack_options"] = {name: one for name, one in content["attack_options"].items() if name in used}
    cells = [
        (name, spec, method) for name in config.datasets for spec in config.specs_on(name) for method in config.methods
    ]
    content["overrides"] = _overrides(config, cells)
    for options in content["dataset_options"].values():
        for name in OF_NO_CONTENT:
            options.pop(name, None)
        options.setdefault("allow_overlap", False)  # in suites that ran before the option came
    return content


def _overrides(config: SuiteConfig, cells: Iterable[tuple[str, Architecture, str]]) -> list[dict[str, Any]]:
    """Overrides of a configuration as JSON, of what they change for some cells: dataset, network and method of each."""
    found = []
    for override in config.overrides:
        met = {method for dataset, spec, method in cells if override.when.matches(dataset, spec)}
        options = {name: given for name, given in override.method_options.items() if name in met}
        if options:
            found.append({**override.model_dump(mode="json"), "method_options": options})
    return found


def _whole(package: str, section: str, name: str, given: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Options of a method or an attack with all defaults: one that came later was at its default before."""
    options = given.get(name, {})
    kind = str(options.get("kind", name))
    whole = validated(registry.get(package, kind).options, without_kind(options), f"{section}.{name}")
    return {"kind": kind, **whole.model_dump(mode="json")}


def _mapping(path: Path) -> dict[str, Any]:
    """A YAML or JSON file.

    Returns:
        Its content.

    Raises:
        InputError: it is not there, or does not hold keys and values.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        remedy = "run in a checkout of the project" if path == BASE else "check the path; suites are in suites/"
        raise InputError("file not found", where=path, remedy=remedy) from error
    except yaml.YAMLError as error:
        raise InputError(f"not YAML ({' '.join(str(error).split())})", where=path, remedy="correct it") from error
    if not isinstance(content, dict):
        raise InputError("has no keys", where=path, remedy="give a suite, like suites/smoke.yaml")
    return content


def _setting(text: str) -> dict[str, Any]:
    """One ``KEY=VALUE``.

    Returns:
        The key with its value.

    Raises:
        ConfigError: it is not of that form.
    """
    key, equals, value = text.partition("=")
    if not (equals and key.isidentifier()):
        raise ConfigError("is not KEY=VALUE", where=text, remedy="write it like seeds=5")
    try:
        return {key: yaml.safe_load(value)}
    except yaml.YAMLError as error:
        raise ConfigError("its value is not YAML", where=text, remedy="quote it, like 'eps255=[4, 8]'") from error
