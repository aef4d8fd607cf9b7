"""The closed schema of a suite: every key described with its unit, wrong keys refused with the nearest right one.

Options of datasets, methods and attacks are checked against the models in their own registry entries (see
:func:`advntk.suite.resolve`); everything else is here.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, PositiveInt, model_validator

from advntk.foundation.architecture import Activation, Architecture, Padding, Pooling
from advntk.foundation.certified import CertificateOptions
from advntk.foundation.errors import ConfigError
from advntk.foundation.options import Closed, Compute, UserPath, validated
from advntk.foundation.strength import SweepName
from advntk.foundation.threat import Norm, unit_problem

REFERENCE_PROTOCOL = ("pgd_paper", "reference_fixed_gradient")
"""Attacks that a table of the reference protocol compares, by the names they have in config.yaml."""


class ArchitectureEntry(Closed):
    """One network to run; what is left out comes from ``network``."""

    family: str = Field(description="mlp, cnn or resnet (a module of advntk/ingredients/networks/families)")
    depth: int = Field(ge=1, description="dense layers (mlp), convolutional layers (cnn), or 18 or 34 (resnet)")
    activation: Activation | None = Field(default=None, description="activation function")
    pooling: Pooling = Field(
        default="none", description="before the last layer (cnn): none, or average over all pixels"
    )
    padding: Padding = Field(default="zero", description="of convolutions (cnn): zero or circular")
    sigma_w: float | None = Field(default=None, gt=0, description="σ_w, standard deviation of weights")
    sigma_b: float | None = Field(default=None, ge=0, description="σ_b, standard deviation of biases")
    width: int | None = Field(default=None, ge=1, description="units or channels of the finite network")
    datasets: list[str] | None = Field(
        default=None, min_length=1, description="some of the suite's datasets, on which alone it runs; default: all"
    )
    methods: list[str] | None = Field(
        default=None, min_length=1, description="some of the suite's methods, which alone run on it; default: all"
    )


class NetworkDefaults(Closed):
    """What all architectures share unless their entry says otherwise."""

    activation: Activation = Field(default="relu", description="relu, erf, gelu (exact) or sigmoid_like")
    sigma_w: float = Field(default=1.76, gt=0, description="σ_w, standard deviation of weights")
    sigma_b: float = Field(default=0.18, ge=0, description="σ_b, standard deviation of biases")
    width: dict[str, PositiveInt] = Field(
        default_factory=dict, description="finite networks: units (mlp), channels (cnn, first stage of resnet)"
    )


class When(Closed):
    """Which cells an override is for; what is left out matches everything."""

    dataset: str | None = Field(default=None, description="dataset")
    family: str | None = Field(default=None, description="family of the architecture")
    depth: int | None = Field(default=None, description="its depth")
    activation: Activation | None = Field(default=None, description="its activation")
    pooling: Pooling | None = Field(default=None, description="its pooling")
    padding: Padding | None = Field(default=None, description="its padding")

    def matches(self, dataset: str, spec: Architecture) -> bool:
        """Whether a cell is meant."""
        found = {"dataset": dataset, **spec.model_dump()}
        return all(found[key] == value for key, value in self.model_dump(exclude_none=True).items())


class Override(Closed):
    """Options for some cells only; a later override wins over an earlier one."""

    when: When = Field(description="the cells: dataset, family, depth, activation, pooling, padding")
    method_options: dict[str, dict[str, Any]] = Field(description="options by method, merged over the shared ones")


class SweepEntry(Closed):
    """Robust accuracy over one strength of an attack."""

    attack: str = Field(description="attack, by its name in attack_options")
    values: list[float] = Field(
        min_length=1,
        description="radius: in 1/255; steps, restarts: numbers. A radius at which none is robust is the last",
    )

    @model_validator(mode="after")
    def _rises(self) -> SweepEntry:
        if any(after <= before for before, after in itertools.pairwise(self.values)) or self.values[0] < 0:
            raise ValueError("values must rise, from 0 or more")
        return self


class SuiteConfig(Closed):
    """A whole suite: what to run (lists) and how (options by name)."""

    suite: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$", description="name; results go to results/<suite>")
    results: UserPath = Field(default="results", min_length=1, description="folder of results")
    data: UserPath = Field(default="data", min_length=1, description="folder of downloaded and prepared data")
    seeds: int = Field(ge=1, description="number of repetitions; seed 0, 1, … fixes split, initialisation and attack")
    datasets: list[str] = Field(min_length=1, description="datasets to run, by their name in dataset_options")
    architectures: list[ArchitectureEntry] = Field(min_length=1, description="networks to run")
    methods: list[str] = Field(min_length=1, description="training methods to run, by their name in method_options")
    plugins: list[UserPath] = Field(
        default_factory=list, description="folders of entries outside the package (docs/extend.md)"
    )
    norm: Norm = Field(default="linf", description="norm of the threat model: linf, l2 or l1")
    eps255: list[float] = Field(min_length=1, description="radii of the threat model, in 1/255 of the pixel range")
    attacks: list[str] = Field(min_length=1, description="attacks that evaluate, by their name in attack_options")
    network: NetworkDefaults = Field(default_factory=NetworkDefaults, description="defaults of all architectures")
    dataset_options: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="options by dataset name; kind: the dataset"
    )
    method_options: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="options by method name; kind: the method"
    )
    overrides: list[Override] = Field(default_factory=list, description="method options of some cells only")
    attack_options: dict[str, dict[str, Any]] = Field(default_factory=dict, description="options by attack name")
    protocol: Literal["paired", "reference"] = Field(
        default="paired",
        description="paired: all methods train on opt, early_stopped_refit on val too; reference: NTK and AT train on "
        "both, as in the paper's reference code, and its attack is evaluated beside the right one",
    )
    sweeps: dict[SweepName, SweepEntry] = Field(
        default_factory=dict, description="robust accuracy over radius, steps and restarts of an attack"
    )
    transfer: list[str] = Field(
        default_factory=list, description="attacks whose images are shown to all other predictors of the same split"
    )
    certificates: CertificateOptions = Field(
        default_factory=CertificateOptions, description="radii at which ReLU MLPs of infinite width are certified"
    )
    experiments: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="theory experiments to run, by name, with their options"
    )
    allow_mixed: bool = Field(
        default=False, description="tables and figures of results of different code or data, which then say so"
    )
    compute: Compute = Field(default_factory=Compute, description="device, engine and memory")

    @model_validator(mode="before")
    @classmethod
    def _protocol_attacks(cls, content: Any) -> Any:
        """The reference protocol adds its attack, and the right one, to the attacks."""
        if not (isinstance(content, Mapping) and content.get("protocol") == "reference"):
            return content
        listed = content.get("attacks")
        if not isinstance(listed, list) or REFERENCE_PROTOCOL[1] in listed:
            return content  # whoever names the attack chooses what it is compared with
        return {**content, "attacks": [*listed, *(name for name in REFERENCE_PROTOCOL if name not in listed)]}

    @model_validator(mode="after")
    def _no_repeats(self) -> SuiteConfig:
        labels = [
            (entry.family, entry.depth, entry.pooling, entry.padding, entry.activation or self.network.activation)
            for entry in self.architectures
        ]
        for key, values in (
            ("datasets", self.datasets),
            ("methods", self.methods),
            ("attacks", self.attacks),
            ("transfer", self.transfer),
            ("eps255", self.eps255),
            ("architectures", labels),
        ):
            if len(set(values)) < len(values):
                raise ValueError(f"{key}: an entry is listed twice: {values}")
        for index, entry in enumerate(self.architectures):
            for key, some, every in (
                ("datasets", entry.datasets, self.datasets),
                ("methods", entry.methods, self.methods),
            ):
                for name in some or ():
                    if name not in every:
                        raise ValueError(
                            f"architectures.{index}.{key}: '{name}' is not among the {key} of this suite: {every}"
                        )
        for eps255 in self.eps255:
            if eps255 < 0 or not re.fullmatch(r"[\d.]+", f"{eps255:g}") or float(f"{eps255:g}") != eps255:
                raise ValueError(f"eps255: radii must be >= 0, 0.001 or more unless 0, at most 6 digits, not {eps255}")
            if problem := unit_problem(self.norm, eps255):
                raise ValueError(f"eps255: {problem}")
        for eps255 in self.certificates.radii:
            if problem := unit_problem(self.norm, eps255):
                raise ValueError(f"certificates.radii: {problem}")
        # a sweep may begin with tiny radii
        if "radius" in self.sweeps and (problem := unit_problem(self.norm, self.sweeps["radius"].values[-1])):
            raise ValueError(f"sweeps.radius.values: {problem}")
        for key, names, more in (
            ("attacks", {*self.attacks, *self.attack_options}, ""),
            ("methods", {*self.methods, *self.method_options}, ""),
            ("datasets", {*self.datasets, *self.dataset_options}, "-"),
        ):
            for name in sorted(names):
                if not re.fullmatch(rf"[A-Za-z0-9_][A-Za-z0-9_{more}]*", name):
                    allowed = ", ".join(["letters", "digits", *more])
                    raise ValueError(f"{key}: a name has {allowed} and _ only, not '{name}'")
        for name in self.transfer:
            if name not in self.attacks:
                raise ValueError(f"transfer: '{name}' is not among the attacks of this suite: {self.attacks}")
        return self

    def specs(self) -> list[Architecture]:
        """All architectures with defaults filled in.

        Returns:
            One spec an entry, in order.

        Raises:
            ConfigError: a family has no width.
        """
        specs = []
        for index, entry in enumerate(self.architectures):
            given = entry.model_dump(exclude_none=True, exclude={"datasets", "methods"})
            if "width" not in given and entry.family not in self.network.width:
                raise ConfigError(
                    f"no width for family '{entry.family}'",
                    where="network.width",
                    remedy=f"add 'network: {{width: {{{entry.family}: 256}}}}'",
                )
            shared = self.network.model_dump(exclude={"width"})
            whole = {**shared, "width": self.network.width.get(entry.family), **given}
            specs.append(validated(Architecture, whole, f"architectures.{index}"))
        return specs

    def specs_on(self, dataset: str) -> list[Architecture]:
        """Those of :meth:`specs` that run on a dataset, in order."""
        pairs = zip(self.architectures, self.specs(), strict=True)
        return [spec for entry, spec in pairs if entry.datasets is None or dataset in entry.datasets]

    def methods_on(self, spec: Architecture) -> list[str]:
        """Those of the suite's methods that run on one of its architectures, in order."""
        entry = next(entry for entry, own in zip(self.architectures, self.specs(), strict=True) if own == spec)
        return [method for method in self.methods if entry.methods is None or method in entry.methods]
