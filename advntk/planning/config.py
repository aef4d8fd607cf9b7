"""The configuration of a suite as Snakemake reads it: config.yaml, overlays in their order, single keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from advntk.foundation import registry
from advntk.foundation.config import SuiteConfig
from advntk.foundation.errors import ConfigError, InputError
from advntk.foundation.options import validated
from advntk.suite import METHODS, Suite, merged, resolve
from advntk.suite_options import without_kind
from advntk.telling.publish import overlay_of

BASE = Path("config.yaml")


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
    remedy = "give --command 'snakemake …', the command that made it"
    if overlay and not overlay.is_file():
        raise InputError(f"no {overlay} makes this suite", where=where, remedy=remedy)
    ours, plain = (what_counts(config) for config in (found, read_suite([overlay] if overlay else [], []).config))
    keys = []
    for key, value in ours.items():
        if value != plain[key]:
            both = {**value, **plain[key]} if isinstance(value, dict) and isinstance(plain[key], dict) else {}
            keys += [f"{key}.{name}" for name in both if value.get(name) != plain[key].get(name)] or [key]
    if keys:
        raise InputError(f"differs from {overlay or BASE} in {', '.join(keys)}", where=where, remedy=remedy)


def what_counts(config: SuiteConfig) -> dict[str, Any]:
    """A configuration as JSON, without what changes no result; options of its own methods and attacks alone."""
    content = config.model_dump(mode="json", exclude={"compute", "allow_mixed"})
    given = config.method_options
    content["method_options"] = {name: _whole(name, given.get(name, {})) for name in config.methods}
    used = {*config.attacks, *(entry.attack for entry in config.sweeps.values())}
    content["attack_options"] = {name: one for name, one in content["attack_options"].items() if name in used}
    for override in content["overrides"]:
        options = override["method_options"]
        override["method_options"] = {name: options[name] for name in config.methods if name in options}
    content["overrides"] = [one for one in content["overrides"] if one["method_options"]]
    for options in content["dataset_options"].values():
        options.pop("mirror", None)
        options.setdefault("allow_overlap", False)  # in suites that ran before the option came
    return content


def _whole(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """A method's options with all defaults: one that came later was at its default before."""
    kind = str(options.get("kind", name))
    given = validated(registry.get(METHODS, kind).options, without_kind(options), f"method_options.{name}")
    return {"kind": kind, **given.model_dump(mode="json")}


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
