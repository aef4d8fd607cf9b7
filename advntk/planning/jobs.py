"""All jobs of a suite, as the workflow would run them from nothing, each with what it needs."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from advntk.planning.resources import Need, Resources
from advntk.step import Step, Wildcards, steps
from advntk.suite import Suite


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job.

    Attributes:
        step: of the workflow.
        wildcards: what distinguishes it from others of its step.
        name: as in its log and benchmark.
        path: of the first file that it makes.
        after: keys of the jobs whose results it reads.
        need: its kind, work, memory, disk and threads.
        gpu: whether it asks a cluster for a GPU.
        method: whose predictor it trains or attacks, empty for others.
        dataset: empty for tables and figures.
        architecture: its label; empty for jobs of many.
    """

    step: Step
    wildcards: Wildcards
    name: str
    path: str
    after: tuple[str, ...] = ()
    need: Need
    gpu: bool = False
    dataset: str = ""
    architecture: str = ""
    method: str = ""

    @property
    def rule(self) -> str:
        """Name of the step."""
        return self.step.name

    @property
    def key(self) -> str:
        """Rule and name, unique in a suite."""
        return f"{self.rule}/{self.name}"


def jobs_of(suite: Suite) -> list[Job]:
    """All jobs of a suite; each comes after those that it reads."""
    resources, found, maker = Resources(suite), [], dict[str, str]()
    for step in steps().values():
        for cell in step.jobs(suite):
            given = step.inputs(suite, cell).values()
            read = itertools.chain(*([one] if isinstance(one, str) else one for one in given))
            job = Job(
                step=step,
                wildcards=cell,
                name=suite.place(step.job, **cell),
                path=step.path(suite, cell),
                after=tuple(dict.fromkeys(maker[path] for path in read if path in maker)),
                need=step.need(resources, cell),
                gpu=bool(step.gpu and step.gpu(suite, cell)),
                **{key: cell.get(key, "") for key in ("dataset", "architecture", "method")},
            )
            maker |= dict.fromkeys(step.paths(suite, cell).values(), job.key)
            found.append(job)
    return found
