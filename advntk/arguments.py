"""The command line from option models: one field is one flag, with its type, default, choices and help."""

from __future__ import annotations

import argparse
import json
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic.fields import FieldInfo

from advntk.foundation.errors import ConfigError


class Options(BaseModel):
    """Base of the options of a verb."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Flag:
    """How a field is given, where that does not follow from its type.

    Attributes:
        positional: a word without a flag.
        group: of two flags of one group only one may be given.
        metavar: what the help calls the value.
    """

    positional: bool = False
    group: str = ""
    metavar: str | None = None


def mapping(text: Any) -> Any:
    """The object of a text in JSON; anything but a text is left as it is.

    Returns:
        Its content.

    Raises:
        ConfigError: not a JSON object.
    """
    if not isinstance(text, str):
        return text
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"not JSON ({error})", where=text, remedy="""quote it, like '{"depth": 3}'""") from error
    if not isinstance(content, dict):
        raise ConfigError("not a JSON object", where=text, remedy="""give an object, like '{"depth": 3}'""")
    return content


Json = BeforeValidator(mapping)
"""Marks a field that is given as a JSON object."""
JsonObject = Annotated[dict[str, Any], Json]


def at_least(least: int) -> Callable[[str], int]:
    """A whole number from ``least`` on, for argparse."""

    def parsed(text: str) -> int:
        if (number := int(text)) < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, not {text}")
        return number

    parsed.__name__ = "whole number"  # what argparse calls it where it is none
    return parsed


def add_options(parser: argparse.ArgumentParser, model: type[Options]) -> None:
    """One argument for each field of a model; what is not given is left to the model's defaults."""
    groups: dict[str, Any] = {"": parser}
    for field_name, field in model.model_fields.items():
        name = field.alias or field_name
        flag = next((one for one in field.metadata if isinstance(one, Flag)), Flag())
        settings: dict[str, Any] = {"help": field.description, "default": argparse.SUPPRESS, **_type(field)}
        if flag.metavar:
            settings["metavar"] = flag.metavar
        if flag.positional:
            several = "nargs" in settings
            settings["nargs"] = "*" if several else None if field.is_required() else "?"
            parser.add_argument(name, **settings)
            continue
        if flag.group not in groups:
            groups[flag.group] = parser.add_mutually_exclusive_group()
        groups[flag.group].add_argument(flag_of(name), **settings, required=field.is_required())


def flag_of(name: str) -> str:
    """The flag of a field."""
    return f"--{name.replace('_', '-')}"


def words(model: type[Options], values: Mapping[str, Any]) -> list[str]:
    """The words of a command line that give these values; those that are a field's default are left out.

    Args:
        model: of the verb.
        values: by field.

    Returns:
        The words, in the order of the fields.
    """
    found: list[str] = []
    for name, field in model.model_fields.items():
        value = values.get(name, field.default)
        if value == field.default:
            continue
        found.append(flag_of(name))
        if isinstance(value, BaseModel):
            value = value.model_dump(mode="json")
        if isinstance(value, Mapping):
            found.append(json.dumps(value))
        elif isinstance(value, list | tuple):
            found += map(str, value)
        elif value is not True:
            found.append(str(value))
    return found


def _type(field: FieldInfo) -> dict[str, Any]:
    """What argparse needs to know of a field's type."""
    kind: Any = field.annotation
    if get_origin(kind) in (Union, types.UnionType):
        (kind,) = (one for one in get_args(kind) if one is not type(None))
    if kind is bool:
        return {"action": "store_true"}
    if get_origin(kind) is Literal:
        return {"choices": list(get_args(kind))}
    if get_origin(kind) is list:
        (kind,) = get_args(kind)
        return {"nargs": "+", "type": kind}
    if Json in field.metadata:
        return {}
    bound = next((one.ge for one in field.metadata if hasattr(one, "ge")), None)
    return {"type": kind if bound is None else at_least(bound)}
