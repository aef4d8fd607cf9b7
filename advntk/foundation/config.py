"""The closed schema of a suite: every key described with its unit, wrong keys refused with the nearest right one.

Options of datasets, methods and attacks are checked against the models in their own registry entries (see
:func:`advntk.suite.resolve`); everything else is here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from advntk.foundation.architecture import Activation, Architecture
from advntk.foundation.errors import ConfigError, nearest
from advntk.foundation.threat import Norm

Model = TypeVar("Model", bound=BaseModel)

Engine = Literal["auto", "numba", "neural_tangents"]
Device = Literal["auto", "cpu", "gpu"]


class Closed(BaseModel):
    """Base of all option models: immutable, unknown keys refused, values of the wrong type refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ArchitectureEntry(Closed):
    """One network to run; what is left out comes from ``network``."""

    family: str = Field(description="mlp or cnn (a module of advntk/ingredients/networks/families)")
    depth: int = Field(ge=1, description="dense layers (mlp) or convolutional layers (cnn)")
    activation: Activation | None = Field(default=None, description="activation function")
    sigma_w: float | None = Field(default=None, gt=0, description="σ_w, standard deviation of weights")
    sigma_b: float | None = Field(default=None, ge=0, description="σ_b, standard deviation of biases")
    width: int | None = Field(default=None, ge=1, description="units or channels of the finite network")


class NetworkDefaults(Closed):
    """What all architectures share unless their entry says otherwise."""

    activation: Activation = Field(default="relu", description="activation function: relu, erf or gelu (exact)")
    sigma_w: float = Field(default=1.76, gt=0, description="σ_w, standard deviation of weights")
    sigma_b: float = Field(default=0.18, ge=0, description="σ_b, standard deviation of biases")
    width: dict[str, int] = Field(default_factory=dict, description="finite networks: units (mlp), channels (cnn)")


class Compute(Closed):
    """Where and how to compute; changes speed and memory, not what is computed."""

    device: Device = Field(default="auto", description="auto (a GPU if JAX or torch finds one), cpu or gpu")
    kernel_engine: Engine = Field(default="auto", description="auto (fastest that fits), numba or neural_tangents")
    memory_mb: int = Field(default=2000, ge=1, description="bound of a job's kernel temporaries, MiB")


class When(Closed):
    """Which cells an override is for; what is left out matches everything."""

    dataset: str | None = Field(default=None, description="dataset")
    family: str | None = Field(default=None, description="family of the architecture")
    depth: int | None = Field(default=None, description="its depth")
    activation: Activation | None = Field(default=None, description="its activation")

    def matches(self, dataset: str, spec: Architecture) -> bool:
        """Whether a cell is meant."""
        found = {"dataset": dataset, "family": spec.family, "depth": spec.depth, "activation": spec.activation}
        return all(found[key] == value for key, value in self.model_dump(exclude_none=True).items())


class Override(Closed):
    """Options for some cells only; a later override wins over an earlier one."""

    when: When = Field(description="the cells: dataset, family, depth, activation")
    method_options: dict[str, dict[str, Any]] = Field(description="options by method, merged over the shared ones")


class SuiteConfig(Closed):
    """A whole suite: what to run (lists) and how (options by name)."""

    suite: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="name; results go to results/<suite>")
    results: str = Field(default="results", min_length=1, description="folder of results")
    data: str = Field(default="data", min_length=1, description="folder of downloaded and prepared data")
    seeds: int = Field(ge=1, description="number of repetitions; seed 0, 1, … fixes split, initialisation and attack")
    datasets: list[str] = Field(min_length=1, description="datasets to run")
    architectures: list[ArchitectureEntry] = Field(min_length=1, description="networks to run")
    methods: list[str] = Field(min_length=1, description="training methods to run")
    norm: Norm = Field(default="linf", description="norm of the threat model: linf or l2")
    eps255: list[float] = Field(min_length=1, description="radii of the threat model, in 1/255 of the pixel range")
    attacks: list[str] = Field(min_length=1, description="attacks that evaluate, by their name in attack_options")
    network: NetworkDefaults = Field(default_factory=NetworkDefaults, description="defaults of all architectures")
    dataset_options: dict[str, dict[str, Any]] = Field(default_factory=dict, description="options by dataset")
    method_options: dict[str, dict[str, Any]] = Field(default_factory=dict, description="options by method")
    overrides: list[Override] = Field(default_factory=list, description="method options of some cells only")
    attack_options: dict[str, dict[str, Any]] = Field(default_factory=dict, description="options by attack name")
    compute: Compute = Field(default_factory=Compute, description="device, engine and memory")

    @model_validator(mode="after")
    def _no_repeats(self) -> SuiteConfig:
        labels = [architecture.label for architecture in self.specs()]
        for key, values in (
            ("datasets", self.datasets),
            ("methods", self.methods),
            ("attacks", self.attacks),
            ("eps255", self.eps255),
            ("architectures", labels),
        ):
            if len(set(values)) < len(values):
                raise ValueError(f"{key}: an entry is listed twice: {values}")
        if min(self.eps255) < 0:
            raise ValueError("eps255: radii must be >= 0")
        return self

    def specs(self) -> list[Architecture]:
        """All architectures with defaults filled in.

        Returns:
            One spec an entry, in order.

        Raises:
            ConfigError: a family has no width.
        """
        specs = []
        for entry in self.architectures:
            given = entry.model_dump(exclude_none=True)
            if "width" not in given and entry.family not in self.network.width:
                raise ConfigError(
                    f"no width for family '{entry.family}'",
                    where="network.width",
                    remedy=f"add 'network: {{width: {{{entry.family}: 256}}}}'",
                )
            shared = self.network.model_dump(exclude={"width"})
            specs.append(Architecture(**{**shared, "width": self.network.width.get(entry.family), **given}))
        return specs


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
    shown = f", not {given}" if len(given) < 80 else ""
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
