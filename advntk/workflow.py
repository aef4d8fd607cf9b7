"""What the rules take from the steps, as Snakemake asks for it; and the interpreter and the checks before any job."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from advntk import suite as suites
from advntk.foundation import files
from advntk.foundation.errors import ConfigError
from advntk.foundation.options import Device
from advntk.foundation.provenance import code_digest
from advntk.planning import resources
from advntk.planning.costs import Measurements, committed
from advntk.planning.datasets import facts_of
from advntk.planning.resources import Need, Resources
from advntk.step import Paths, Step, steps, suite_file
from advntk.verbs.prepare import prepared

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
    """The jobs of a suite.

    Attributes:
        suite: resolved.
        checkout: folder of the Snakefile.
    """

    suite: suites.Suite
    checkout: str | Path = "."

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

    @property
    def prepared(self) -> dict[str, str]:
        """Datasets by the name of their prepared file."""
        return prepared(self.suite)

    @property
    def content(self) -> str:
        """Digest of the suite file: it is written again where a list in it changes."""
        return files.sha256_of_json(suite_file(self.suite))

    def check_data(self) -> None:
        """Refuse, before any job, users' files that are not there or not of the documented form."""
        for dataset, (entry, sizes) in self.suite.datasets.items():
            facts_of(dataset, entry, sizes)

    @cached_property
    def resources(self) -> Resources:
        """What the jobs need."""
        return Resources(self.suite)

    @cached_property
    def measurements(self) -> Measurements:
        """What jobs took that the checkout keeps the costs of."""
        return Measurements(committed(Path(self.checkout)))

    def gathered(self, *, whole: bool) -> list[str]:
        """Datasets whose Gram matrices are computed by one job (``whole``) or gathered from parts."""
        return [dataset for dataset in self.suite.datasets if (resources.gram_parts(self.suite, dataset) == 1) == whole]

    @cached_property
    def rules(self) -> SimpleNamespace:
        """What each rule takes from its step, by the rule's name."""
        return SimpleNamespace(**{name: Rule(jobs=self, step=step) for name, step in steps().items()})


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A step as a rule of the Snakefile takes it; ``wildcards`` are Snakemake's."""

    jobs: Jobs
    step: Step

    @property
    def _suite(self) -> suites.Suite:
        return self.jobs.suite

    def _pattern(self, template: str) -> str:
        """A path pattern of this suite, its wildcards left open."""
        return template.replace("{root}", self._suite.root).replace("{data}", self._suite.config.data)

    @property
    def outputs(self) -> dict[str, str]:
        """Patterns of the files it makes."""
        return {name: self._pattern(template) for name, template in self.step.outputs.items()}

    @property
    def log(self) -> str:
        """Pattern of the log."""
        folder, job = self.step.logs or self.step.name, self.step.job
        return self._pattern(f"{{root}}/logs/{folder}/{job}.log" if "{" in job else f"{{root}}/logs/{folder}.log")

    @property
    def benchmark(self) -> str:
        """Pattern of the file that says what a job took."""
        return self._pattern(f"{{root}}/benchmarks/{self.step.logs or self.step.name}/{self.step.job}.jsonl")

    @property
    def environment(self) -> str:
        """File of the conda environment."""
        return self.jobs.environment(self.step.stack)

    def inputs(self, wildcards: Any) -> Paths:
        """The files that a job reads, by what they are."""
        return self.step.inputs(self._suite, _job(wildcards))

    def flags(self, wildcards: Any) -> str:
        """Options of a job's verb; those at their defaults are left out, so that a new one reruns nothing."""
        return shlex.join(self.step.words(self._suite, _job(wildcards)))

    def code(self, wildcards: Any) -> str:
        """Digest of the code that a job runs."""
        return code_digest(*self.step.roots(self._suite, _job(wildcards)))

    @property
    def command(self) -> str:
        """What a job runs."""
        words = ["python -m advntk", self.step.verb, "{params.flags}"]
        words += ["--threads {threads} --device {resources.device}"] if self.step.gpu else []
        words += ["--memory-mb {resources.kernel_mb}"] if self._kernels else []
        return " ".join([*words, "2> {log:q}"])

    @property
    def _kernels(self) -> bool:
        """Whether a job may compute kernels."""
        return self.step.gpu is not None and self.step.stack != "networks"

    def need(self, wildcards: Any) -> Need:
        """What a job needs."""
        return self.step.need(self.jobs.resources, _job(wildcards))

    def threads(self, wildcards: Any) -> int:
        """Threads of a job: small problems run side by side, large ones take more cores each."""
        return self.need(wildcards).threads

    @property
    def resources(self) -> dict[str, Any]:
        """What a job asks a scheduler for; memory and time grow with the attempt."""
        found: dict[str, Any] = {"gpu": self.gpu, "device": self.device}
        found |= {"kernel_mb": self._suite.config.compute.memory_mb} if self._kernels else {}
        found |= {"mem_mb": self.mem_mb, "runtime": self.runtime}
        return found | ({"disk_mb": self.disk_mb} if self.step.disk else {})

    def gpu(self, wildcards: Any) -> int:
        """GPUs that a job asks for."""
        return self.step.gpu(self._suite, _job(wildcards)) if self.step.gpu else 0

    def device(self, wildcards: Any) -> Device:
        """Where a job computes: on the CPU if it asks for no GPU, whatever its node has."""
        return self._suite.config.compute.device if self.gpu(wildcards) else "cpu"

    def mem_mb(self, wildcards: Any, attempt: int) -> int:
        """Memory of a job."""
        return resources.mem_mb(self.need(wildcards), attempt)

    def disk_mb(self, wildcards: Any) -> int:
        """Disk of a job."""
        return resources.disk_mb(self.need(wildcards))

    def runtime(self, wildcards: Any, attempt: int) -> int:
        """Minutes of a job, generous: they only bound it on a cluster. A group of small jobs asks for their sum."""
        gpu, need = bool(self.gpu(wildcards)), self.need(wildcards)
        estimate = self.jobs.measurements.estimate
        time = estimate(need, gpu=gpu) or estimate(need, gpu=gpu, any_method=True)
        return resources.runtime(time.lasts_s(need.threads) if time else None, attempt, gpu=gpu)

    def group(self, wildcards: Any) -> str | None:
        """Which jobs may share one job of a cluster: small ones of one rule and one device.

        How many of a group share a job says a profile (``group-components``).

        Args:
            wildcards: of the job.

        Returns:
            The group's name, or None where the job is not small.
        """
        job = _job(wildcards)
        small = self._suite.gram_size(job["dataset"]) <= resources.SMALL
        return self.step.group(self._suite, job) if self.step.group and small else None


def _job(wildcards: Any) -> dict[str, str]:
    return dict(wildcards.items())
