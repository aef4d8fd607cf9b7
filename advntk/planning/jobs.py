"""All jobs of a suite, as the workflow would run them from nothing, each with what it needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from advntk.foundation import paths
from advntk.planning.datasets import prepared_name
from advntk.planning.resources import Need, Resources
from advntk.suite import Cell, Suite

RULES = (
    *("prepare", "split", "gram", "gram_part", "gram_gather", "fit", "search", "train", "check", "attack", "evaluate"),
    *("sweep", "transfer", "experiment", "expand", "tabulate", "plot"),
)
"""In the order of the workflow."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job.

    Attributes:
        rule: of the workflow.
        name: as in its log and benchmark.
        after: keys of the jobs whose results it reads, measured ones only where it reads all.
        need: its kind, work, memory, disk and threads.
        gpu: whether it asks a cluster for a GPU.
        method: whose predictor it trains or attacks, empty for others.
        dataset: empty for tables and figures.
        architecture: its label; empty for jobs of many.
    """

    rule: str
    name: str
    after: tuple[str, ...] = ()
    need: Need
    gpu: bool = False
    dataset: str = ""
    architecture: str = ""
    method: str = ""

    @property
    def key(self) -> str:
        """Rule and name, unique in a suite."""
        return f"{self.rule}/{self.name}"


def gpus(suite: Suite, *methods: str, fit: bool = False) -> int:
    """GPUs that a job asks a cluster for: one, unless all that it computes stays on the CPU.

    Args:
        suite: resolved.
        methods: whose predictors the job trains or attacks; none: the job computes kernels only.
        fit: it trains them.

    Returns:
        0 or 1.
    """
    if fit and all(suite.methods[name].fits_on_cpu for name in methods):
        return 0
    compute = suite.config.compute
    network = any(suite.methods[name].kind == "network" for name in methods)
    return int(compute.device != "cpu" and (network or compute.kernel_engine != "numba"))


def jobs_of(suite: Suite) -> list[Job]:
    """All jobs of a suite; each comes after those that it reads."""
    resources = Resources(suite)
    found = [*_data(resources), *_kernels(resources), *_learning(resources)]
    measured = [*_measuring(resources), *_experiments(resources)]
    every = tuple(job.key for job in measured)
    expand = Job(rule="expand", name="suite", need=resources.told())
    told = [
        Job(rule=rule, name=name, after=(expand.key, *every), need=resources.told())
        for rule, names in (("tabulate", suite.tables()), ("plot", suite.figures()))
        for name in names
    ]
    return [*found, *measured, expand, *told]


def _data(resources: Resources) -> Iterator[Job]:
    for dataset in resources.suite.datasets:
        name = prepared_name(dataset, resources.suite.datasets[dataset][1])
        prepare = Job(rule="prepare", name=name, need=resources.of("prepare", dataset), dataset=dataset)
        yield prepare
        for seed in range(resources.suite.config.seeds):
            split, name = resources.of("split", dataset), f"{dataset}.seed{seed}"
            yield Job(rule="split", name=name, after=(prepare.key,), need=split, dataset=dataset)


def _kernels(resources: Resources) -> Iterator[Job]:
    suite = resources.suite
    wanted = dict.fromkeys(
        (cell.dataset, cell.seed, cell.spec.label)
        for cell in suite.cells()
        if suite.methods[cell.method].kind == "kernel"
    )
    for dataset, seed, label in wanted:
        name, parts = f"{dataset}.seed{seed}.{label}", resources.gram_parts(dataset)
        where: dict[str, Any] = {"dataset": dataset, "architecture": label}
        computed: dict[str, Any] = {"after": (f"split/{dataset}.seed{seed}",), "gpu": bool(gpus(suite)), **where}
        if parts == 1:
            yield Job(rule="gram", name=name, need=resources.of("gram", dataset, label), **computed)
            continue
        cut = [
            Job(
                rule="gram_part",
                name=f"{name}.{part}of{parts}",
                need=resources.of("gram_part", dataset, label),
                **computed,
            )
            for part in range(parts)
        ]
        yield from cut
        gather = resources.of("gram_gather", dataset, label)
        yield Job(rule="gram_gather", name=name, after=tuple(job.key for job in cut), need=gather, **where)


def _learning(resources: Resources) -> Iterator[Job]:
    suite, seen = resources.suite, set()
    for cell in suite.cells():
        key = fit_key(suite, cell)
        if key in seen:
            continue
        seen.add(key)
        label, (rule, _, name) = cell.spec.label, key.partition("/")
        after = [f"split/{cell.dataset}.seed{cell.seed}"]
        recipe = name.replace(f".seed{cell.seed}.", ".", 1)
        if suite.recipe(cell.dataset, label, cell.method, "search"):
            if cell.seed == 0:
                yield _recipe(resources, cell, "search", recipe, f"split/{cell.dataset}.seed0")
            after.append(f"search/{recipe}")
        if rule == "fit":
            gathered = "gram" if resources.gram_parts(cell.dataset) == 1 else "gram_gather"
            after.append(f"{gathered}/{cell.dataset}.seed{cell.seed}.{label}")
        need = resources.of(rule, cell.dataset, label, cell.method)
        own = _of(suite, cell) | {"gpu": bool(gpus(suite, cell.method, fit=True))}
        yield Job(rule=rule, name=name, after=tuple(after), need=need, **own)
        if cell.seed == 0 and suite.recipe(cell.dataset, label, cell.method, "convergence_check"):
            yield _recipe(resources, cell, "check", recipe, key)


def _recipe(resources: Resources, cell: Cell, rule: str, name: str, after: str) -> Job:
    """The search or the convergence check of a recipe."""
    need = resources.of(rule, cell.dataset, cell.spec.label, cell.method)
    return Job(rule=rule, name=name, after=(after,), need=need, **_of(resources.suite, cell))


def fit_key(suite: Suite, cell: Cell) -> str:
    """The job that trains a cell's predictor."""
    method = suite.methods[cell.method]
    at = paths.trained_at(cell.eps255, depends_on_radius=method.depends_on_radius)
    rule = "fit" if method.kind == "kernel" else "train"
    return f"{rule}/{cell.dataset}.seed{cell.seed}.{cell.spec.label}.{cell.method}.{at}"


def _of(suite: Suite, cell: Cell) -> dict[str, Any]:
    return {
        "dataset": cell.dataset,
        "architecture": cell.spec.label,
        "method": cell.method,
        "gpu": bool(gpus(suite, cell.method)),
    }


def _measuring(resources: Resources) -> Iterator[Job]:
    suite = resources.suite
    for cell in suite.cells():
        label, radius = cell.spec.label, paths.radius_name(cell.eps255)
        stem = f"{cell.dataset}.seed{cell.seed}.{label}.{cell.method}.eps{radius}"
        where, own, fit = (cell.dataset, label, cell.method), _of(suite, cell), fit_key(suite, cell)
        for attack, named in suite.attacks.items():
            chunks = [
                Job(
                    rule="attack",
                    name=f"{stem}.{attack}.{index}",
                    after=(fit,),
                    need=resources.of("attack", *where, attack),
                    **own,
                )
                for index in range(named.chunks)
            ]
            yield from chunks
            after = (fit, *(job.key for job in chunks))
            yield Job(
                rule="evaluate",
                name=f"{stem}.{attack}",
                after=after,
                need=resources.of("evaluate", *where, attack),
                **own,
            )
        for sweep in suite.config.sweeps:
            need = resources.of("sweep", *where, sweep)
            yield Job(rule="sweep", name=f"{stem}.{sweep}", after=(fit,), need=need, **own)
    yield from _transfers(resources)


def _experiments(resources: Resources) -> Iterator[Job]:
    for name, unit in resources.suite.units():
        yield Job(
            rule="experiment",
            name=f"{name}.{unit.name}",
            after=(f"split/{unit.dataset}.seed{unit.seed}",) if unit.dataset else (),
            need=resources.of("experiment", name),
            gpu=bool(gpus(resources.suite)),
            dataset=unit.dataset,
        )


def _transfers(resources: Resources) -> Iterator[Job]:
    suite = resources.suite
    for dataset in suite.datasets:
        for eps255 in suite.config.eps255:
            for attack in suite.config.transfer:
                for seed in range(suite.config.seeds):
                    radius = paths.radius_name(eps255)
                    after = tuple(
                        f"evaluate/{dataset}.seed{seed}.{cell.spec.label}.{cell.method}.eps{radius}.{attack}"
                        for cell in suite.shown(dataset, seed, eps255)
                    )
                    yield Job(
                        rule="transfer",
                        name=f"{dataset}.seed{seed}.eps{radius}.{attack}",
                        after=after,
                        need=resources.of("transfer", dataset),
                        gpu=bool(gpus(suite, *suite.methods)),
                        dataset=dataset,
                    )
