"""A step of the workflow as one object: what the rule, the plan, the suite file and the digests of code take from it.

A step stands in the module of its verb. No job imports it, so that another memory formula reruns nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from advntk import verbs
from advntk.arguments import Options, words
from advntk.foundation.config import REFERENCE_PROTOCOL
from advntk.foundation.findings import FIGURE

if TYPE_CHECKING:
    from advntk.planning.resources import Need, Resources
    from advntk.suite import Suite

Wildcards = Mapping[str, Any]
"""What distinguishes a job from others of its step."""
Paths = Mapping[str, str | list[str]]
"""Files by what they are."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step.

    Attributes:
        name: of the rule.
        options: of its verb, whose module defines it.
        stack: of libraries, a file in ``envs/``.
        job: name of a job in logs, benchmarks and plans, by its wildcards.
        outputs: patterns of the files it makes, by what they are; the first is the verb's ``--out``.
        jobs: all of its jobs; keys beside the wildcards say what a job is about.
        inputs: the files a job reads; those named as a field of the options are given to the verb.
        given: values of the other options.
        roots: modules whose code a job runs, with all that these import.
        need: memory, threads and work.
        gpu: GPUs that a job asks a cluster for; None: it is too short to go to a cluster.
        group: which small jobs may share one job of a cluster.
        told: outputs that tables and figures read.
        tables: those that show nothing but its results.
        figures: the same.
        listed: name of the list in the suite file that holds the first of these.
        all_told: jobs of these, where another step makes some of them; None: its own.
        disk: whether it asks a cluster for disk.
        logs: folder of logs and benchmarks, where it is not the name.
    """

    name: str
    options: type[Options]
    stack: Literal["kernels", "attacks", "networks", "telling"]
    job: str
    outputs: Mapping[str, str]
    jobs: Callable[[Suite], Iterable[Wildcards]]
    inputs: Callable[[Suite, Wildcards], Paths] = lambda suite, job: {}
    given: Callable[[Suite, Wildcards], Mapping[str, Any]] = lambda suite, job: {}
    roots: Callable[[Suite, Wildcards], Sequence[str]]
    need: Callable[[Resources, Wildcards], Need]
    gpu: Callable[[Suite, Wildcards], int] | None = None
    group: Callable[[Suite, Wildcards], str] | None = None
    told: Sequence[str] = ()
    tables: Sequence[str] = ()
    figures: Sequence[str] = ()
    listed: str = ""
    all_told: Callable[[Suite], Iterable[Wildcards]] | None = None
    disk: bool = False
    logs: str = ""

    @property
    def verb(self) -> str:
        """That its jobs run."""
        return self.options.__module__.rpartition(".")[2]

    def paths(self, suite: Suite, job: Wildcards, *names: str) -> dict[str, str]:
        """The outputs of a job, or those named."""
        return {name: suite.place(self.outputs[name], **job) for name in names or self.outputs}

    def path(self, suite: Suite, job: Wildcards) -> str:
        """The first output of a job."""
        return suite.place(next(iter(self.outputs.values())), **job)

    def words(self, suite: Suite, job: Wildcards) -> list[str]:
        """The words after the verb, without those that say where a job computes."""
        out, given, read = self.path(suite, job), self.given(suite, job), self.inputs(suite, job)
        return words(self.options, {"out": out, **read, **given})


@cache
def steps() -> dict[str, Step]:
    """All steps by name, in the order of the workflow."""
    modules = [importlib.import_module(f"{verbs.__name__}.{name}") for name in verbs.names()]
    return {step.name: step for module in modules for step in getattr(module, "STEPS", ())}


def made(step: str, suite: Suite, job: Wildcards, *names: str) -> dict[str, str]:
    """The outputs of a job of another step, or those named."""
    return steps()[step].paths(suite, job, *names)


def listed(suite: Suite) -> dict[str, list[str]]:
    """Paths of all that tables and figures read as JSON, by the name of its list."""
    kinds = {step.listed: step for step in steps().values() if step.listed}
    return {
        name: [suite.place(step.outputs[step.told[0]], **job) for job in _told(step, suite)]
        for name, step in kinds.items()
    }


def collected(suite: Suite, job: Wildcards) -> dict[str, str | list[str]]:
    """What a table or a figure reads: the suite file and all that is measured."""
    told = ((step, job) for step in steps().values() for job in _told(step, suite))
    measured = [path for step, job in told for path in step.paths(suite, job, *step.told).values()]
    curves = [curve["path"] for curve in _curves(suite)]
    return {**made("expand", suite, {}), "measured": list(dict.fromkeys([*measured, *curves]))}


def suite_file(suite: Suite) -> dict[str, Any]:
    """What collectors need: config, and paths of all that was measured."""
    from advntk.suite import SCHEMA

    without = {"compute", "allow_mixed"} | (set() if suite.config.plugins else {"plugins"})
    config = suite.config.model_dump(mode="json", exclude=without)
    lists: dict[str, list[Any]] = {key: [] for key in ("splits", "records", "fits", "grams", "checks")}  # come first
    lists |= {"curves": _curves(suite)} | listed(suite)
    return {"schema": SCHEMA, "root": suite.root, "config": config, **lists}


def tables(suite: Suite) -> list[str]:
    """Names of the tables that a suite gives."""
    reference = any(attack.kind == REFERENCE_PROTOCOL[1] for attack in suite.attacks.values())
    asked = {"reference_protocol": reference, "overfitting": _overfits(suite)}
    asked |= {name: any(_told(step, suite)) for step in steps().values() for name in step.tables}
    always = ["methods", "robust_accuracy", "comparisons", "cost"]
    return [*always, *(name for name, wanted in asked.items() if wanted)]


def figures(suite: Suite) -> list[str]:
    """Names of the figures that a suite gives."""
    asked = {name: any(_told(step, suite)) for step in steps().values() for name in step.figures}
    asked["overfitting"] = _overfits(suite)
    of_experiments = [f"{FIGURE}{name}" for name in suite.experiments]
    return ["curves", "depth", "radius", *(name for name, wanted in asked.items() if wanted), *of_experiments]


def _overfits(suite: Suite) -> bool:
    """Whether networks are trained with val held out, so that their best checkpoint can be set against the last."""
    return suite.config.protocol == "paired" and any(entry.kind == "network" for entry in suite.methods.values())


def _told(step: Step, suite: Suite) -> Iterable[Wildcards]:
    """Jobs whose results are read, those that another step makes among them."""
    if not step.told:
        return ()
    return (step.all_told or step.jobs)(suite)


def _curves(suite: Suite) -> list[dict[str, Any]]:
    """Paths of the curves of methods that train in steps, with what they belong to."""
    return [
        {
            "dataset": cell.dataset,
            "architecture": cell.spec.label,
            "method": cell.method,
            "seed": cell.seed,
            "eps255": cell.eps255,
            "path": made("fit", suite, cell.fit)["curves"],
        }
        for cell in suite.cells()
        if suite.methods[cell.method].trains_in_steps
    ]
