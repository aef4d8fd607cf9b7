"""Base of all option models: closed, immutable, and told in one line when they are wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, ValidationError, model_validator

from advntk.foundation import registry
from advntk.foundation.errors import ConfigError, nearest

Model = TypeVar("Model", bound=BaseModel)

Engine = Literal["auto", "numba", "neural_tangents"]
Device = Literal["auto", "cpu", "gpu"]
Environments = Literal["cpu", "cuda12", "cuda13"]


UserPath = Annotated[str, AfterValidator(os.path.expanduser)]
"""A path that a user gives: ``~`` is the home folder."""


class Closed(BaseModel):
    """Base of all option models: immutable, unknown keys refused, values that do not convert refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _null(cls, content: Any) -> Any:
        """Within a mapping that is given on its command line Snakemake leaves ``null`` a text."""
        if not isinstance(content, Mapping):
            return content
        optional = {key for key, field in cls.model_fields.items() if type(None) in get_args(field.annotation)}
        return {key: None if value == "null" and key in optional else value for key, value in content.items()}


class Compute(Closed):
    """Where and how to compute; changes speed and memory, not what is computed."""

    device: Device = Field(default="auto", description="auto (a GPU if JAX or torch finds one), cpu or gpu")
    kernel_engine: Engine = Field(default="auto", description="auto (fastest that fits), numba or neural_tangents")
    gram_parts: int = Field(
        default=1, ge=1, description="jobs that compute one Gram matrix; more than 1 for cores or nodes side by side"
    )
    memory_mb: int = Field(default=2000, ge=1, description="bound of a job's kernel temporaries, MiB")
    environments: Environments = Field(
        default="cpu",
        description="conda environments of jobs, with --sdm conda: cpu, cuda12 or cuda13 (JAX and torch for that CUDA)",
    )
    container: UserPath = Field(default="", description="image that jobs run in, with --sdm apptainer: a path or a URL")

    def of_kind(self, kind: Literal["kernel", "network"]) -> Compute:
        """The same for predictors of one kind, in a job of both: numba computes kernels on a CPU only."""
        on_cpu = kind == "kernel" and self.kernel_engine == "numba"
        return self.model_copy(update={"device": "cpu"}) if on_cpu else self


@dataclass(frozen=True)
class EntryOf:
    """Annotation of an option that names an entry of a registry: NAME, or {name: NAME, and the entry's own options}.

    The option's value is the name of an entry without options, else a mapping of its name and all its options.

    Attributes:
        package: the registry.
    """

    package: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """How pydantic checks such an option."""
        return PlainValidator(self._checked).__get_pydantic_core_schema__(source, handler)

    def _checked(self, value: Any) -> str | dict[str, Any]:
        """The value with all options of the entry."""
        given = {"name": value} if isinstance(value, str) else value
        if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
            raise ValueError("give a name, or a mapping of 'name' and options")
        name = given["name"]
        try:
            model = getattr(registry.get(self.package, name), "options", Closed)
            options = validated(model, {key: one for key, one in given.items() if key != "name"}, name)
        except ConfigError as error:
            raise ValueError(error.line().removesuffix("; correct the value")) from error
        return {"name": name, **options.model_dump()} if model.model_fields else name


def chosen_entry(package: str, value: str | Mapping[str, Any]) -> tuple[Any, Closed]:
    """The registry entry that the checked value of an option names (see :class:`EntryOf`), and its options."""
    given = {"name": value} if isinstance(value, str) else dict(value)
    entry = registry.get(package, given.pop("name"))
    options: Closed = entry.options.model_validate(given)
    return entry, options


def named_entries(options: BaseModel) -> set[str]:
    """Modules of all registry entries that options name: a result of these options depends on their code too.

    Of options with a method ``teachers`` (:class:`advntk.foundation.at_options.AdversarialTrainingOptions`), also those
    that the recipes of the teachers name.

    Returns:
        Module names.
    """
    found: set[str] = set()
    if callable(teachers := getattr(options, "teachers", None)):
        found = found.union(*(named_entries(recipe) for recipe, _ in teachers().values()))
    for key, field in type(options).model_fields.items():
        inner = [mark for one in get_args(field.annotation) for mark in getattr(one, "__metadata__", ())]
        packages = [mark.package for mark in (*field.metadata, *inner) if isinstance(mark, EntryOf)]
        value = getattr(options, key)
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, BaseModel):
                found |= named_entries(one)
            elif packages and one is not None:
                name = one if isinstance(one, str) else one["name"]
                found |= {registry.module(package, name) for package in packages}
    return found


def validated(model: type[Model], content: Mapping[str, Any], where: str) -> Model:
    """Check a mapping against a model.

    Args:
        model: a closed pydantic model.
        content: the keys as given.
        where: name of the section, for the message.

    Returns:
        The model's instance.

    Raises:
        ConfigError: names the first wrong key, the allowed values, and the nearest right key.
    """
    try:
        return model.model_validate(dict(content))
    except ValidationError as error:
        # a misspelt key also makes the right one missing: tell the misspelling
        problems = error.errors(include_url=False)
        first = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
        explained: ConfigError = _explained(model, first, where, len(problems))
        raise explained from error


def _explained(model: type[BaseModel], problem: Any, where: str, count: int) -> ConfigError:
    """One pydantic complaint as one line: the key, what is wrong, what is allowed."""
    location = [str(part) for part in problem["loc"]]
    key = ".".join([where, *location]) if where else ".".join(location)
    others = f"; {count - 1} more problem(s) after this one" if count > 1 else ""
    if problem["type"] == "extra_forbidden":
        fields = _fields_at(model, location[:-1])
        hint = nearest(location[-1], fields)
        return ConfigError(f"unknown key{hint}", where=key, remedy=f"allowed: {', '.join(sorted(fields))}{others}")
    message = re.sub(r"^Value error, ", "", problem["msg"])
    if problem["type"] == "missing":
        return ConfigError("required key is missing", where=key, remedy=f"add it{others}")
    given = repr(problem["input"])
    hint = ""
    if problem["type"] == "literal_error" and isinstance(problem["input"], str):
        hint = nearest(problem["input"], re.findall(r"'([^']+)'", message))
    shown = f", not {given}" if len(given) < 80 and not isinstance(problem["input"], Mapping) else ""
    return ConfigError(f"{message}{shown}{hint}", where=key or "config", remedy=f"correct the value{others}")


def _fields_at(model: type[BaseModel], location: list[str]) -> list[str]:
    """Names of the fields of the nested model at a location."""
    current: Any = model
    for part in location:
        if part.isdigit() or not (isinstance(current, type) and issubclass(current, BaseModel)):
            continue
        annotation = current.model_fields[part].annotation if part in current.model_fields else None
        arguments = [a for a in (annotation, *getattr(annotation, "__args__", ())) if isinstance(a, type)]
        current = next((a for a in arguments if issubclass(a, BaseModel)), current)
    return list(current.model_fields) if isinstance(current, type) and issubclass(current, BaseModel) else []
