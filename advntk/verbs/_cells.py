"""What several steps take of a suite and of the wildcards of a job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advntk.foundation.options import named_entries
from advntk.foundation.paths import ANY_RADIUS
from advntk.foundation.roots import behind
from advntk.step import Wildcards, made

if TYPE_CHECKING:
    from advntk.attacks.named import NamedAttack
    from advntk.planning.resources import Need, Resources
    from advntk.suite import Suite

FIT = "{dataset}.seed{seed}.{architecture}.{method}.{trained_at}"
CELL = "{dataset}.seed{seed}.{architecture}.{method}.eps{eps255}"
"""Names of jobs that train a predictor, and that measure it."""
RECORD = "{root}/records/{dataset}/seed{seed}/{architecture}/{method}/eps{eps255}/{attack}"
"""Of a record, without its suffix."""
_KINDS = "advntk.telling.kinds"  # by name: an import here would be one of every verb


def need(rule: str, *keys: str) -> Callable[[Resources, Wildcards], Need]:
    """The need of a rule's jobs by some of their wildcards."""
    return lambda resources, job: resources.of(rule, *(job[key] for key in keys))


def trained(suite: Suite, job: Wildcards) -> dict[str, Any]:
    """Options of verbs that train a method."""
    method, radius = job["method"], job["trained_at"].removeprefix("eps")
    threat = {} if job["trained_at"] == ANY_RADIUS else {"norm": suite.config.norm, "eps255": radius}
    return {
        "method": method,
        "kind": suite.method_kinds[method],
        "options": suite.options[job["dataset"], job["architecture"], method],
        **threat,
    }


def training_code(module: str) -> Callable[[Suite, Wildcards], tuple[str, ...]]:
    """Code of a step that trains a method, run by ``module``."""

    def roots(suite: Suite, job: Wildcards) -> tuple[str, ...]:
        named = named_entries(suite.options[job["dataset"], job["architecture"], job["method"]])
        return behind(module, *sorted(named), **_of_fit(suite, job))

    return roots


def _of_fit(suite: Suite, job: Wildcards) -> dict[str, str]:
    """Registry entries that a fit runs."""
    return {"method": suite.method_kinds[job["method"]], "family": suite.specs[job["architecture"]].family}


def attackable(suite: Suite, job: Wildcards) -> dict[str, str]:
    """What an attack on a fit reads; methods that ignore the radius have one fit for all radii."""
    at = suite.trained_at(job["method"], float(job["eps255"]))
    return {**made("fit", suite, {**job, "trained_at": at}, "fit", "arrays"), **made("split", suite, job)}


def folder(suite: Suite, job: Wildcards) -> Path:
    """Folder of the fit that is attacked."""
    return Path(attackable(suite, job)["fit"]).parent


def attack_of(suite: Suite, job: Wildcards) -> NamedAttack:
    """The attack of a job, that of its sweep, or the one before its certificates."""
    if "attack" in job or "sweep" in job:
        return suite.attacks[job["attack"]] if "attack" in job else suite.sweep_attacks[job["sweep"]]
    assert suite.certificate_attack is not None  # nothing else is attacked
    return suite.certificate_attack


def attacked(suite: Suite, job: Wildcards) -> dict[str, Any]:
    """Options of verbs that attack a fit; finite networks use no kernel, whose engine must not evaluate them again."""
    named = attack_of(suite, job)
    kernel = suite.methods[job["method"]].kind == "kernel"
    return {
        "attack": named.name,
        "kind": named.kind,
        "options": named.options,
        "norm": suite.config.norm,
        "eps255": job["eps255"],
        "engine": suite.config.compute.kernel_engine if kernel else "auto",
    }


def attack_code(module: str) -> Callable[[Suite, Wildcards], tuple[str, ...]]:
    """Code of a step that attacks a fit, run by ``module``."""

    def roots(suite: Suite, job: Wildcards) -> tuple[str, ...]:
        named, options = attack_of(suite, job), suite.options[job["dataset"], job["architecture"], job["method"]]
        others = named_entries(options) | named_entries(named.options)
        return behind(module, *sorted(others), **_of_fit(suite, job), attack=named.kind)

    return roots


def each(suite: Suite, key: str, names: Iterable[str]) -> Iterator[dict[str, Any]]:
    """All cells with each of some names, such as attacks."""
    for cell in suite.cells():
        yield from ({**cell.job, key: name} for name in names)


def by_kind(rule: str) -> Callable[[Suite, Wildcards], str]:
    """The group of a step's jobs: those on one kind of method ask for the same device."""
    return lambda suite, job: f"{rule}_{suite.methods[job['method']].kind}"


def gpus(suite: Suite, job: Wildcards) -> int:
    """GPUs of a job that trains or attacks a method."""
    return suite.gpus(job["method"])


def reporting_code(module: str) -> Callable[[Suite, Wildcards], tuple[str, ...]]:
    """Code of a step that reports, run by ``module``: what reads a suite, all kinds of results and its stories."""

    def roots(suite: Suite, job: Wildcards) -> tuple[str, ...]:
        from advntk.foundation import registry
        from advntk.foundation.findings import STORIES

        known = (f"{_KINDS}.{name}" for name in registry.names(_KINDS))
        return (module, "advntk.telling.suite_file", *known, *(f"{STORIES}.{name}" for name in suite.experiments))

    return roots
