"""A suite resolved: every option checked against its registry entry, every cell expanded once.

What jobs there are and where their results lie say the steps (:mod:`advntk.step`); nothing walks a folder.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from advntk.attacks.named import NamedAttack
from advntk.foundation import paths, registry
from advntk.foundation.architecture import Architecture
from advntk.foundation.config import REFERENCE_PROTOCOL, SuiteConfig
from advntk.foundation.errors import ConfigError, nearest
from advntk.foundation.options import Closed, validated
from advntk.foundation.strength import SweepName
from advntk.foundation.threat import ThreatModel
from advntk.foundation.training_images import TrainingImages
from advntk.ingredients.images import Dataset, SplitSizes
from advntk.ingredients.kernels.relu_plan import DensePlan, relu_plan
from advntk.ingredients.networks.layers import FAMILIES, layers_of
from advntk.learning.method import Method
from advntk.suite_options import (
    ATTACKS,
    DATASETS,
    EXPERIMENTS,
    METHODS,
    merged,
    resolve_attacks,
    resolve_datasets,
    resolve_experiments,
    resolve_methods,
    resolve_options,
)
from advntk.theory.experiment import Experiment, Unit

__all__ = ["ATTACKS", "DATASETS", "EXPERIMENTS", "FAMILIES", "METHODS", "SCHEMA", "Cell", "Suite", "merged", "resolve"]

SCHEMA = "advntk-suite-3"
Recipe = Literal["search", "convergence_check"]
"""Options of a network method that ask for more trainings than the fits."""
Job = dict[str, Any]
"""The wildcards of a job."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One fit to evaluate at one radius.

    Attributes:
        trained_at: the part of the fit's path that names the radius it was trained for.
    """

    dataset: str
    seed: int
    spec: Architecture
    method: str
    eps255: float
    trained_at: str

    @property
    def job(self) -> Job:
        """Wildcards of the jobs that are about it."""
        return {**self.fit, "eps255": paths.radius_name(self.eps255)}

    @property
    def fit(self) -> Job:
        """Wildcards of the job that trains it."""
        gram = {"dataset": self.dataset, "seed": self.seed, "architecture": self.spec.label}
        return {**gram, "method": self.method, "trained_at": self.trained_at}


@dataclass(frozen=True, kw_only=True)
class Suite:
    """A resolved suite.

    Attributes:
        config: as validated.
        datasets: registry entry and options by the user's name.
        dataset_kinds: the entry's own name, by the user's name.
        specs: architecture by label.
        methods: registry entry by the user's name.
        method_kinds: the entry's own name, by the user's name.
        options: of each (dataset, architecture, method), overrides merged in.
        attacks: those that evaluate, by the user's name.
        sweep_attacks: those whose strength is varied, by the name of the sweep.
        certificate_attack: tried before certificates; None where nothing is certified.
        experiments: registry entry and options of each theory experiment, by name.
    """

    config: SuiteConfig
    datasets: dict[str, tuple[Dataset, SplitSizes]]
    dataset_kinds: dict[str, str]
    specs: dict[str, Architecture]
    methods: dict[str, Method]
    method_kinds: dict[str, str]
    options: dict[tuple[str, str, str], Closed]
    attacks: dict[str, NamedAttack]
    sweep_attacks: dict[SweepName, NamedAttack]
    certificate_attack: NamedAttack | None
    experiments: dict[str, tuple[Experiment, Closed]]

    @property
    def root(self) -> str:
        """Folder of this suite's results."""
        return f"{self.config.results}/{self.config.suite}"

    @property
    def seeds(self) -> range:
        """Of its splits."""
        return range(self.config.seeds)

    def place(self, pattern: str, **job: Any) -> str:
        """The path of a result by its pattern and the wildcards of its job."""
        return pattern.format(root=self.root, data=self.config.data, **job)

    def threat(self, eps255: float) -> ThreatModel:
        """The threat model at one radius."""
        return ThreatModel(norm=self.config.norm, eps255=eps255)

    def images_of(self, method: str) -> TrainingImages:
        """Which training images a method trains on, under the suite's protocol."""
        return self.methods[method].images_under(self.config.protocol)

    @property
    def gram_images(self) -> TrainingImages:
        """Which images a Gram matrix is of: those of the kernel method that needs most."""
        needed = {self.images_of(name) for name, entry in self.methods.items() if entry.kind == "kernel"}
        return "all" if "all" in needed else "opt"

    def gram_size(self, dataset: str) -> int:
        """Rows of a Gram matrix of a dataset."""
        return self.datasets[dataset][1].training(self.gram_images)

    def cells(self) -> list[Cell]:
        """All combinations of dataset, seed, architecture, method and radius that run, in the config's order."""
        cells, allowed = [], {label: self.config.methods_on(spec) for label, spec in self.specs.items()}
        for dataset in self.datasets:
            grid = itertools.product(
                self.config.specs_on(dataset), self.methods, self.config.eps255, range(self.config.seeds)
            )
            for spec, method, eps255, seed in grid:
                if method not in allowed[spec.label]:
                    continue
                at = self.trained_at(method, eps255)
                cells.append(Cell(dataset=dataset, seed=seed, spec=spec, method=method, eps255=eps255, trained_at=at))
        return cells

    def trained_at(self, method: str, eps255: float) -> str:
        """The part of a fit's path that names the radius it was trained for."""
        return paths.trained_at(eps255, depends_on_radius=self.methods[method].depends_on_radius)

    def fits(self) -> list[Job]:
        """Wildcards of all fits, each once."""
        return _once(cell.fit for cell in self.cells())

    def certified(self) -> list[Job]:
        """Wildcards of the fits that are certified: of kernel methods on ReLU MLPs, computed by the numba engine."""
        if self.config.compute.kernel_engine == "neural_tangents":
            return []
        dense = {label for label, spec in self.specs.items() if isinstance(relu_plan(layers_of(spec)), DensePlan)}
        return [
            fit
            for fit in self.fits()
            if fit["architecture"] in dense
            and self.methods[fit["method"]].kind == "kernel"
            and self.certified_radii(fit["trained_at"])
        ]

    def certified_radii(self, trained_at: str) -> list[float]:
        """Radii at which a fit is certified: not those that other fits of its method are trained for."""
        others = {paths.trained_at(eps255, depends_on_radius=True) for eps255 in self.config.eps255} - {trained_at}
        radii = {paths.trained_at(eps255, depends_on_radius=True): eps255 for eps255 in self.config.certificates.radii}
        return [eps255 for at, eps255 in radii.items() if trained_at == paths.ANY_RADIUS or at not in others]

    def recipe(self, dataset: str, architecture: str, method: str, of: Recipe) -> bool:
        """Whether a method's recipe is searched for, or checked for convergence."""
        return bool(getattr(self.options[dataset, architecture, method], of, False))

    def recipes(self, of: Recipe) -> list[Job]:
        """Wildcards of all recipes that are searched for, or checked: on seed 0."""
        return [
            {key: value for key, value in fit.items() if key != "seed"}
            for fit in self.fits()
            if fit["seed"] == 0 and self.recipe(fit["dataset"], fit["architecture"], fit["method"], of)
        ]

    def grams(self) -> list[Job]:
        """Wildcards of all Gram matrices that a kernel method needs, each once."""
        kernels = (fit for fit in self.fits() if self.methods[fit["method"]].kind == "kernel")
        return _once({key: fit[key] for key in ("dataset", "seed", "architecture")} for fit in kernels)

    def gpus(self, *methods: str, fit: bool = False) -> int:
        """GPUs that a job asks a cluster for: one, unless all that it computes stays on the CPU.

        Args:
            methods: whose predictors the job trains or attacks; none: the job computes kernels only.
            fit: it trains them.

        Returns:
            0 or 1.
        """
        if fit and all(self.methods[name].fits_on_cpu for name in methods):
            return 0
        compute = self.config.compute
        network = any(self.methods[name].kind == "network" for name in methods)
        return int(compute.device != "cpu" and (network or compute.kernel_engine != "numba"))

    def units(self) -> list[tuple[str, Unit]]:
        """All units of all experiments, with the experiment's name."""
        return [(name, unit) for name, (entry, options) in self.experiments.items() for unit in entry.units(options)]

    def shown(self, dataset: str, seed: int, eps255: float) -> list[Cell]:
        """The cells of one split and radius: their predictors are shown each other's perturbed images."""
        return [cell for cell in self.cells() if (cell.dataset, cell.seed, cell.eps255) == (dataset, seed, eps255)]


def _once(jobs: Iterable[Job]) -> list[Job]:
    """Each of them once, in their order."""
    return [dict(items) for items in dict.fromkeys(tuple(job.items()) for job in jobs)]


def resolve(content: Mapping[str, Any]) -> Suite:
    """Check a configuration whole, before any job.

    Args:
        content: the merged configuration.

    Returns:
        The suite.

    Raises:
        ConfigError: a key or value is wrong; the message names it, what is allowed, and the nearest right one.
    """
    config = validated(SuiteConfig, content, "")
    registry.use(config.plugins)
    _check_families(config)
    specs = {spec.label: spec for spec in config.specs()}
    method_kinds = resolve_methods(config)
    methods: dict[str, Method] = {name: registry.get(METHODS, kind) for name, kind in method_kinds.items()}
    datasets = resolve_datasets(config)
    sizes = {name: options for name, (_, _, options) in datasets.items()}
    named = resolve_attacks(config)
    _check_chunks(named, sizes)
    _check_transfer(config, named)
    _check_protocol(config, named)
    suite = Suite(
        config=config,
        datasets={name: (entry, options) for name, (_, entry, options) in datasets.items()},
        dataset_kinds={name: kind for name, (kind, _, _) in datasets.items()},
        specs=specs,
        methods=methods,
        method_kinds=method_kinds,
        options=resolve_options(config, specs, methods, sizes),
        attacks={name: named[name] for name in config.attacks},
        sweep_attacks=_resolve_sweeps(config, named),
        certificate_attack=named[config.certificates.attack] if config.certificates.radii else None,
        experiments=resolve_experiments(config, sizes),
    )
    _check_certificates(suite)
    return suite


def _check_families(config: SuiteConfig) -> None:
    known = registry.names(FAMILIES)
    given = [(f"architectures.{index}.family", entry.family) for index, entry in enumerate(config.architectures)]
    given += [("network.width", family) for family in config.network.width]
    # an override may be for a family that an overlay of the suite does not run
    given += [
        (f"overrides.{index}.when.family", override.when.family)
        for index, override in enumerate(config.overrides)
        if override.when.family is not None
    ]
    for where, family in given:
        _require(family, known, "family", where)
    for index, override in enumerate(config.overrides):
        where, when = f"overrides.{index}.when", override.when
        if when.dataset is not None:
            datasets = sorted({*registry.names(DATASETS), *config.datasets, *config.dataset_options})
            _require(when.dataset, datasets, "dataset", f"{where}.dataset")
        if when.family is not None and when.depth is not None:
            try:
                layers_of(Architecture(family=when.family, depth=when.depth))
            except ConfigError as error:
                raise ConfigError(error.what, where=f"{where}.depth", remedy=error.remedy) from error


def _require(name: str, known: Sequence[str], what: str, where: str) -> None:
    """Refuse a name that no registry has, with the nearest that it has."""
    if name not in known:
        raise ConfigError(
            f"unknown {what} '{name}'{nearest(name, known)}", where=where, remedy=f"allowed: {', '.join(known)}"
        )


def _check_chunks(named: Mapping[str, NamedAttack], sizes: Mapping[str, SplitSizes]) -> None:
    for attack in named.values():
        for dataset, options in sizes.items():
            if 0 < options.n_test < attack.chunks:
                raise ConfigError(
                    f"{attack.chunks} chunks of the {options.n_test} test images of {dataset}",
                    where=f"attack_options.{attack.name}.chunks",
                    remedy="give fewer chunks",
                )


def _check_transfer(config: SuiteConfig, named: Mapping[str, NamedAttack]) -> None:
    """An attack made of stages gives clean images where it broke nothing: a robust source would look harmless."""
    for name in config.transfer:
        if named[name].entry.chunked:
            raise ConfigError(
                f"'{name}' gives clean images where it breaks nothing", where="transfer", remedy="show those of a pgd"
            )


def _check_protocol(config: SuiteConfig, named: Mapping[str, NamedAttack]) -> None:
    """The reference protocol compares its attack with plain PGD of the same options."""
    if config.protocol != "reference":
        return
    if not set(REFERENCE_PROTOCOL) <= named.keys():
        return
    right, reference = (named[name].options for name in REFERENCE_PROTOCOL)
    alike = type(right).model_validate(reference.model_dump()) if named["pgd_paper"].kind == "pgd" else None
    if right != alike:
        raise ConfigError(
            "the reference protocol needs 'pgd_paper' to be plain PGD with the options of 'reference_fixed_gradient'",
            where="attack_options.pgd_paper",
            remedy="give both the same loss, steps, step_ratio and random_start, or name another attack for other ones",
        )


def _check_certificates(suite: Suite) -> None:
    """Something must have a certificate, and what is tried before must be an attack in the threat model."""
    attack, where = suite.certificate_attack, "certificates"
    if attack is None:
        return
    if attack.entry.chunked or not attack.entry.inside_threat_model:
        raise ConfigError(f"'{attack.kind}' cannot be tried first", where=f"{where}.attack", remedy="use kind pgd")
    if suite.config.norm == "l1":
        raise ConfigError("there are none in l1", where=where, remedy="use linf or l2, or leave certificates out")
    if not suite.certified():
        raise ConfigError(
            "no cell has one: they are of kernel methods on ReLU MLPs, with the numba engine",
            where=where,
            remedy="add such a cell, or leave certificates out",
        )


def _resolve_sweeps(config: SuiteConfig, named: Mapping[str, NamedAttack]) -> dict[SweepName, NamedAttack]:
    """The attack of each sweep; it must have the option that is varied, and each value must be allowed."""
    resolved: dict[SweepName, NamedAttack] = {}
    for sweep, entry in config.sweeps.items():
        attack, where = named[entry.attack], f"sweeps.{sweep}"
        if attack.entry.chunked or (sweep != "radius" and not hasattr(attack.options, sweep)):
            raise ConfigError(
                f"'{attack.kind}' cannot be varied in its {sweep}", where=f"{where}.attack", remedy="use kind pgd"
            )
        for value in entry.values:
            if sweep != "radius":
                validated(type(attack.options), attack.options.model_dump() | {sweep: value}, where)
        resolved[sweep] = attack
    return resolved
