"""What a configuration can name: entries of all registries, in a line each, and the options of one of them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from advntk.foundation import registry
from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import ConfigError, nearest
from advntk.foundation.options import Closed

KINDS = {word: package for package, word in registry.FOLDERS.items()} | {"experiments": registry.EXPERIMENTS}
"""Registries, by the word for their entries."""


def overview(kinds: list[str]) -> Iterator[str]:
    """Lines: each kind, and its entries with what each is, and of those of plugins where they are."""
    for kind in kinds:
        names = registry.names(_package(kind))
        width = max(map(len, names))
        yield f"{kind} ({_package(kind).replace('.', '/')})"
        yield from (f"  {name:{width}}  {_about(kind, name)}{_place(kind, name)}" for name in names)
        for name in registry.misnamed(_package(kind)):
            yield f"  {name}.py  cannot be used: a name of letters, digits and _ is needed"


def details(kind: str, name: str) -> Iterator[str]:
    """Lines: what one entry is, and each of its options (of a family: keys of ``architectures``) with its default.

    Raises:
        ConfigError: there is no such kind, or no such entry.
    """
    entry = registry.get(_package(kind), name)
    yield f"{name}: {_about(kind, name)}"
    yield from _options(Architecture if kind == "families" else getattr(entry, "options", Closed), "  ")


def _package(kind: str) -> str:
    if kind not in KINDS:
        raise ConfigError(
            f"unknown kind '{kind}'{nearest(kind, KINDS)}", where="list", remedy=f"give {', '.join(KINDS)}"
        )
    return KINDS[kind]


def _about(kind: str, name: str) -> str:
    """An entry's own line; of one that has none, such as a family, the first of its module; what is wrong with it."""
    try:
        entry = registry.get(KINDS[kind], name)
    except ConfigError as error:
        return f"cannot be used: {error.line()}"
    own = getattr(entry, "description", "") or getattr(entry, "source", "")
    return own or (importlib.import_module(registry.module(KINDS[kind], name)).__doc__ or "").splitlines()[0]


def _place(kind: str, name: str) -> str:
    """The file of a plugin's entry; empty for an entry of the package."""
    module = registry.module(KINDS[kind], name)
    return "" if module == f"{KINDS[kind]}.{name}" else f" ({module.replace('.', '/')}.py)"


def _options(model: type[BaseModel], indent: str) -> Iterator[str]:
    """Each option with its default, what it is, and below it those of a group of options."""
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        group = isinstance(default, BaseModel)
        yield f"{indent}{name}{'' if group else f' = {_shown(field, default)}'}: {field.description or ''}".rstrip(": ")
        if group:
            yield from _options(type(default), f"{indent}  ")


def _shown(field: FieldInfo, default: Any) -> str:
    return "(to be given)" if default is PydanticUndefined or field.is_required() else repr(default)
