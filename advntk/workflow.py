"""What the rules need beside the suite: the interpreter, what each job reads, and what it asks a scheduler for."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from advntk import suite as suites
from advntk.foundation import paths
from advntk.foundation.errors import ConfigError
from advntk.foundation.findings import STORIES
from advntk.foundation.options import Device, named_entries
from advntk.foundation.provenance import code_digest
from advntk.planning import jobs as planned
from advntk.planning import resources
from advntk.planning.costs import Measurements, committed
from advntk.planning.datasets import facts_of, prepared_name
from advntk.planning.resources import Need, Resources
from advntk.theory.experiment import unit_of

CPU_ONLY = ("telling",)
"""Stacks that need no GPU: one environment serves all variants."""


def put_first(checkout: str | Path, methods: Iterable[Any]) -> None:
    """Say where jobs find Python and packages.

    ``python`` in jobs without an environment of their own is the one that runs Snakemake, activated or not. What a user
    has installed under their home stays out of conda environments.

    Args:
        checkout: folder of the Snakefile.
        methods: how software is deployed, Snakemake's members of ``DeploymentMethod``.
    """
    if "CONDA" in {method.name for method in methods}:
        os.environ["PYTHONNOUSERSITE"] = "1"
    os.environ["ADVNTK_CHECKOUT"] = str(checkout)  # for the scripts of envs/, which install the package from there
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


@dataclass(frozen=True)
class Jobs:
    """What the jobs of a suite read, and the digest of the code that each runs; ``wildcards`` are Snakemake's.

    Attributes:
        suite: resolved.
        checkout: folder of the Snakefile.
    """

    suite: suites.Suite
    checkout: str | Path = "."

    @property
    def mixed(self) -> str:
        """The ``--allow-mixed`` flag, if enabled."""
        return "--allow-mixed" if self.suite.config.allow_mixed else ""

    def environment(self, stack: str) -> str:
        """File of a stack's conda environment, of the variant that was asked for; relative to the rules' folder."""
        variant = self.suite.config.compute.environments
        return f"../envs/{stack}.yaml" if variant == "cpu" or stack in CPU_ONLY else f"../envs/{stack}-{variant}.yaml"

    def check_deployment(self, methods: Iterable[Any]) -> None:
        """Refuse, before any job, what a job would fail at or Snakemake ignore.

        Args:
            methods: how software is deployed, Snakemake's members of ``DeploymentMethod``.

        Raises:
            ConfigError: a GPU is demanded of environments for the CPU, or containers are asked for and none is named.
        """
        compute, names = self.suite.config.compute, {method.name for method in methods}
        if "CONDA" in names and compute.device == "gpu" and compute.environments == "cpu":
            raise ConfigError(
                "'gpu' with --sdm conda, but the environments' JAX is for the CPU",
                where="compute.device",
                remedy="set compute.environments: cuda12 or cuda13, or device: auto or cpu",
            )
        if "APPTAINER" in names and not compute.container:
            raise ConfigError(
                "--sdm apptainer, but no image is named",
                where="compute.container",
                remedy="set it to an image built from container/",
            )

    @cached_property
    def prepared(self) -> dict[str, str]:
        """Datasets by the name of their prepared file."""
        return {prepared_name(dataset, sizes): dataset for dataset, (_, sizes) in self.suite.datasets.items()}

    def check_data(self) -> None:
        """Refuse, before any job, users' files that are not there or not of the documented form."""
        for dataset in self.prepared.values():
            facts_of(dataset, *self.suite.datasets[dataset])

    def prepared_file(self, wildcards: Any) -> str:
        """The prepared file that a split is drawn from."""
        name = prepared_name(wildcards.dataset, self.suite.datasets[wildcards.dataset][1])
        return self.pattern(paths.PREPARED).format(prepared=name)

    def pattern(self, template: str) -> str:
        """A path pattern of this suite, its wildcards left open."""
        return template.replace("{root}", self.suite.root).replace("{data}", self.suite.config.data)

    def method_module(self, name: str) -> str:
        """The registry module of a method, by the user's name of it."""
        return f"{suites.METHODS}.{self.suite.method_kinds[name]}"

    def _method_modules(self, wildcards: Any) -> set[str]:
        """The registry modules of a cell's method, and of what its options name."""
        options = self.suite.options[wildcards.dataset, wildcards.architecture, wildcards.method]
        return {self.method_module(wildcards.method)} | named_entries(options)

    def fit_code(self, wildcards: Any, module: str = "advntk.learning.fits") -> str:
        """Digest of what a fit, or another training (``module``), depends on: its method and the family."""
        family = self.suite.specs[wildcards.architecture].family
        return code_digest(module, f"{suites.FAMILIES}.{family}", *self._method_modules(wildcards))

    @cached_property
    def resources(self) -> Resources:
        """What the jobs need."""
        return Resources(self.suite)

    @cached_property
    def measurements(self) -> Measurements:
        """What jobs took that the checkout keeps the costs of."""
        return Measurements(committed(Path(self.checkout)))

    def gram_parts(self, dataset: str) -> int:
        """How many jobs compute one Gram matrix of a dataset: what the config asks for, if it is large enough."""
        return self.resources.gram_parts(dataset)

    def gathered(self, *, whole: bool) -> list[str]:
        """Datasets whose Gram matrices are computed by one job (``whole``) or gathered from parts."""
        return [dataset for dataset in self.suite.datasets if (self.gram_parts(dataset) == 1) == whole]

    def part_files(self, wildcards: Any) -> list[str]:
        """The parts that a Gram matrix is gathered from."""
        pattern, parts = self.pattern(paths.GRAM_PART), self.gram_parts(wildcards.dataset)
        return [pattern.format(**dict(wildcards.items()), part=part, parts=parts) for part in range(parts)]

    def part_facts(self, wildcards: Any) -> list[str]:
        """Their sidecars."""
        return [f"{path.removesuffix('.npy')}.json" for path in self.part_files(wildcards)]

    def need(self, rule: str, wildcards: Any) -> Need:
        """What a job of a rule needs, by its wildcards."""
        given = dict(wildcards.items())
        names = [given[key] for key in ("dataset", "architecture", "method", "sweep", "experiment") if key in given]
        if rule in ("attack", "evaluate"):
            names.append(given["attack"])
        return self.resources.of(rule, *names)

    def threads(self, rule: str) -> Callable[[Any], int]:
        """Threads of a rule's jobs: small problems run side by side, large ones take more cores each."""
        return lambda wildcards: self.need(rule, wildcards).threads

    def mem_mb(self, rule: str) -> Callable[[Any, int], int]:
        """Memory of a rule's jobs, growing with the attempt."""
        return lambda wildcards, attempt: resources.mem_mb(self.need(rule, wildcards), attempt)

    def runtime(self, rule: str) -> Callable[[Any, int], int]:
        """Minutes of a rule's jobs, growing with the attempt; generous, as they only bound a job on a cluster."""

        def minutes(wildcards: Any, attempt: int) -> int:
            method = wildcards.get("method")
            methods = [method] if method else self.suite.methods if rule == "transfer" else []
            gpu, need = bool(self.gpus(*methods, fit=rule == "fit")), self.need(rule, wildcards)
            estimate = self.measurements.estimate  # a group of small jobs asks for the sum: any bound beats the default
            time = estimate(need, gpu=gpu) or estimate(need, gpu=gpu, any_method=True)
            return resources.runtime(time.lasts_s(need.threads) if time else None, attempt, gpu=gpu)

        return minutes

    def disk_mb(self, rule: str) -> Callable[[Any], int]:
        """Disk of a rule's jobs."""
        return lambda wildcards: resources.disk_mb(self.need(rule, wildcards))

    def gram_code(self, wildcards: Any, module: str) -> str:
        """Digest of what a Gram matrix depends on: this module and the family."""
        return code_digest(module, f"{suites.FAMILIES}.{self.suite.specs[wildcards.architecture].family}")

    def gpus(self, *methods: str, fit: bool = False) -> int:
        """GPUs that a job asks a cluster for: one, unless all that it computes stays on the CPU.

        Args:
            methods: whose predictors the job trains or attacks; none: the job computes kernels only.
            fit: it trains them.

        Returns:
            0 or 1.
        """
        return planned.gpus(self.suite, *methods, fit=fit)

    def device(self, *methods: str, fit: bool = False) -> Device:
        """Where such a job computes: on the CPU if it asks for no GPU, whatever its node has."""
        return self.suite.config.compute.device if self.gpus(*methods, fit=fit) else "cpu"

    def group(self, rule: str) -> Callable[[Any], str | None]:
        """Which jobs may share one job of a cluster: small ones of one rule and one kind of method.

        They ask for the same device. How many of a group share a job says a profile (``group-components``).

        Args:
            rule: that the jobs are of; all but ``fit`` serve both kinds of methods.

        Returns:
            A function of a job's wildcards: the name of its group, or None where the job is not small.
        """

        def named(wildcards: Any) -> str | None:
            if self.suite.gram_size(wildcards.dataset) > resources.SMALL:
                return None
            method = wildcards.method
            if rule == "fit":
                return "fit_cpu" if self.gpus(method) > self.gpus(method, fit=True) else "fit"
            return f"{rule}_{self.suite.methods[method].kind}"

        return named

    def choice_input(self, wildcards: Any) -> list[str]:
        """The search's result that a training reads; none where there is nothing to choose."""
        searched = self.suite.recipe(wildcards.dataset, wildcards.architecture, wildcards.method, "search")
        return [self.pattern(paths.CHOICE).format(**dict(wildcards.items()))] if searched else []

    def fit_folder(self, wildcards: Any) -> str:
        """Folder of the fit that is attacked; methods that ignore the radius have one for all radii."""
        method = self.suite.methods[wildcards.method]
        at = paths.trained_at(float(wildcards.eps255), depends_on_radius=method.depends_on_radius)
        fit = self.pattern(paths.FIT).format(**dict(wildcards.items()), trained_at=at)
        return os.path.dirname(fit)

    def fit_inputs(self, wildcards: Any) -> dict[str, str]:
        """What an attack on a fit reads."""
        folder = self.fit_folder(wildcards)
        split = self.pattern(paths.SPLIT).format(**dict(wildcards.items()))
        return {
            "fit": f"{folder}/fit.json",
            "arrays": f"{folder}/fit.npz",
            "split": split,
            "images": split.replace("split.json", "split.npz"),
        }

    def telling_code(self, module: str) -> str:
        """Digest of a reporting module, and of the stories of the suite's experiments."""
        return code_digest(module, *(f"{STORIES}.{name}" for name in self.suite.experiments))

    def experiment_inputs(self, wildcards: Any) -> dict[str, str]:
        """What a unit of an experiment reads: a split, if it needs one."""
        entry, options = self.suite.experiments[wildcards.experiment]
        unit = unit_of(entry, options, wildcards.unit)
        if not unit.dataset:
            return {}
        split = self.pattern(paths.SPLIT).format(dataset=unit.dataset, seed=unit.seed)
        return {"split": split, "images": split.replace("split.json", "split.npz")}

    def chunk_files(self, wildcards: Any) -> list[str]:
        """The chunks that an evaluation gathers; none for attacks that it runs itself."""
        chunk = self.pattern(paths.CHUNK)
        count = self.suite.attacks[wildcards.attack].chunks
        return [chunk.format(**dict(wildcards.items()), chunk=index) for index in range(count)]

    def shown_fits(self, wildcards: Any) -> list[str]:
        """Fit folders of all predictors that a transfer shows each other's images."""
        return [os.path.dirname(cell.fit) for cell in self._shown(wildcards)]

    def shown_records(self, wildcards: Any) -> list[str]:
        """Their records, in the same order."""
        return [self.suite.record_of(cell, wildcards.attack) for cell in self._shown(wildcards)]

    def _shown(self, wildcards: Any) -> list[suites.Cell]:
        return self.suite.shown(wildcards.dataset, int(wildcards.seed), float(wildcards.eps255))

    def attack_code(self, wildcards: Any, *modules: str) -> str:
        """Digest of what an attack on a fit depends on: these modules, method, family, attack, and what they name."""
        named = wildcards.get("attack")
        attack = self.suite.attacks[named] if named else self.suite.sweep_attacks[wildcards.sweep]
        family = self.suite.specs[wildcards.architecture].family
        entries = (
            *self._method_modules(wildcards),
            f"{suites.FAMILIES}.{family}",
            f"{suites.ATTACKS}.{attack.kind}",
            *named_entries(attack.options),
        )
        return code_digest(*modules, *entries)

    def predictors_code(self, *modules: str) -> str:
        """Digest of these modules and of all methods and families of the suite."""
        families = sorted({spec.family for spec in self.suite.specs.values()})
        methods = {self.method_module(method) for method in self.suite.methods}
        methods = methods.union(*map(named_entries, self.suite.options.values()))
        return code_digest(*modules, *methods, *(f"{suites.FAMILIES}.{family}" for family in families))
