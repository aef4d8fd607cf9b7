"""Options that several verbs have, as the objects that they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator

from advntk.arguments import Flag, Json, JsonObject, Options
from advntk.foundation import registry
from advntk.foundation.architecture import Architecture
from advntk.foundation.errors import ConfigError
from advntk.foundation.options import Compute, Device, Engine
from advntk.foundation.threads import available

if TYPE_CHECKING:
    from advntk.attacks.named import NamedAttack
    from advntk.foundation.threat import Norm, ThreatModel
    from advntk.foundation.training_images import TrainingImages
    from advntk.learning.method import Task

_COMPUTE = Compute()
MIXED = "take results of different code or data too; tables and figures then say so"


class EntryOptions(Options):
    """The options of a registry entry."""

    options: JsonObject = Field(
        default={}, description="options as JSON, keys as in config.yaml (what is left out: defaults of the code)"
    )

    def entry(self, package: str, name: str) -> tuple[Any, Any]:
        """A registry entry and its options, checked."""
        from advntk.foundation import registry
        from advntk.foundation.options import validated

        entry = registry.get(package, name)
        return entry, validated(entry.options, self.options, name)


class ComputeOptions(Options):
    """Where and how to compute."""

    threads: int = Field(default_factory=available, ge=1, description="threads (default: all cores)")
    device: Device = Field(default=_COMPUTE.device, description="where to compute")
    engine: Engine = Field(default=_COMPUTE.kernel_engine, description="how kernels are computed")
    memory_mb: int = Field(default=_COMPUTE.memory_mb, ge=1, description="bound of kernel temporaries, MiB")

    @property
    def compute(self) -> Compute:
        """The same as the libraries take it."""
        return Compute(device=self.device, kernel_engine=self.engine, memory_mb=self.memory_mb)


class ThreatOptions(Options):
    """The threat model."""

    norm: Literal["linf", "l2", "l1"] = Field(default="linf", description="norm of the threat model")
    eps255: float | None = Field(default=None, description="radius, in 1/255 of the pixel range")

    @property
    def threat(self) -> ThreatModel:
        """The threat model; radius 0 where none is given."""
        from advntk.foundation.options import validated
        from advntk.foundation.threat import ThreatModel

        require_unit(self.norm, self.eps255 or 0.0, "--eps255")
        return validated(ThreatModel, {"norm": self.norm, "eps255": self.eps255 or 0.0}, "threat")


class ProblemOptions(Options):
    """A split and a network."""

    split: Path = Field(description="split.json")
    architecture: Annotated[Architecture, Json] = Field(description="""JSON, like '{"family": "mlp", "depth": 3}'""")

    @field_validator("architecture")
    @classmethod
    def _known(cls, architecture: Architecture) -> Architecture:
        registry.get(registry.FAMILIES, architecture.family)
        return architecture


class AllImages(ProblemOptions):
    """A split, a network and the images that a Gram matrix is of."""

    images: Literal["opt", "all"] = Field(
        default="opt", description="training images: opt, or all (opt, then val); default: opt"
    )


class MethodOptions(ComputeOptions, ThreatOptions, EntryOptions, ProblemOptions):
    """A training method on a split."""

    images: Literal["opt", "all"] | None = Field(
        default=None, description="training images: opt, or all (opt, then val); default: those of the method"
    )
    method: str = Field(description="name of the method in tables")
    kind: str | None = Field(default=None, description="registry entry, where it is not the name")

    def method_entry(self, verb: str) -> tuple[str, Any, Any]:
        """The registry entry of the method, by name and itself, and its options, checked.

        Args:
            verb: that is run: ``fit`` trains kernels, the others networks.

        Returns:
            All three.

        Raises:
            ConfigError: the method is of the other kind, or needs a radius.
        """
        from advntk.foundation.registry import METHODS

        name = self.kind or self.method
        method, options = self.entry(METHODS, name)
        if (method.kind == "kernel") != (verb == "fit"):
            other = "fit" if method.kind == "kernel" else "train"
            raise ConfigError(f"'{name}' trains a {method.kind}", where=verb, remedy=f"use the verb '{other}'")
        if method.depends_on_radius and self.eps255 is None:
            raise ConfigError(f"'{name}' trains for a radius", where="--eps255", remedy="give it, in 1/255")
        return name, method, options

    def task(self, options: Any, images: TrainingImages, *, workdir: Path, **more: Any) -> Task:
        """The training, by options that were checked; ``more`` are a Gram matrix and a choice."""
        from advntk.ingredients.splits import read_split
        from advntk.learning.method import Task

        drawn = read_split(self.split)
        return Task(
            split=drawn,
            images=self.images or images,
            spec=self.architecture,
            threat=self.threat,
            options=options,
            seed=drawn.seed,
            compute=self.compute,
            workdir=workdir,
            **({"gram": None} | more),
        )


class AttackOptions(ComputeOptions, ThreatOptions, EntryOptions):
    """An attack on a fit."""

    fit: Path = Field(description="folder of the fit")
    attack: str = Field(description="name of the attack in tables")
    kind: str | None = Field(default=None, description="registry entry, where it is not the name")

    @property
    def named(self) -> NamedAttack:
        """The attack, its options checked.

        Raises:
            ConfigError: there is no radius.
        """
        from advntk.attacks.named import NamedAttack

        kind = self.kind or self.attack
        if self.eps255 is None:
            raise ConfigError("an attack needs a radius", where="--eps255", remedy="give it, in 1/255; 0 for none")
        return NamedAttack.of(self.attack, self.options, kind=kind, where=kind)


class SuiteOptions(Options):
    """A suite that was measured."""

    suite: Path = Field(description="suite.json, of results or published")
    allow_mixed: bool = Field(default=False, description=MIXED)


class ConfigurationOptions(Options):
    """A suite, named as Snakemake's options do."""

    configfile: list[Path] = Field(default=[], description="overlays on config.yaml, merged in their order")
    config: Annotated[list[str], Flag(metavar="KEY=VALUE")] = Field(default=[], description="single keys, merged last")


def require_unit(norm: Norm, eps255: float, where: str) -> None:
    """Refuse a radius that is surely given in another unit."""
    from advntk.foundation.threat import unit_problem

    if problem := unit_problem(norm, eps255):
        raise ConfigError(problem, where=where)
