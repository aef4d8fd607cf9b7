"""Certify test images of a fit: prove that no perturbation within a radius is misclassified."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from advntk.foundation.certified import CertificateOptions
from advntk.foundation.threat import Norm
from advntk.step import Step, Wildcards, made
from advntk.verbs import _cells, _options

if TYPE_CHECKING:
    from advntk.planning.resources import Need, Resources
    from advntk.suite import Suite


class Options(_options.ComputeOptions, _options.EntryOptions, CertificateOptions):
    """Of the verb ``certify``."""

    fit: Path = Field(description="folder of the fit")
    radii: list[float] = Field(min_length=1, description="rising, in 1/255")
    norm: Norm = Field(default="linf", description="norm of the threat model: linf or l2")
    attack: str = Field(default="pgd", description="attack that is tried first, by its name in tables: a kind of pgd")
    kind: str | None = Field(default=None, description="registry entry of the attack, where it is not the name")
    out: Path = Field(description="json to write; what is found of each image (npz) goes beside it")


def run(options: Options) -> None:
    """Certify the images."""
    from advntk.attacks.named import NamedAttack
    from advntk.foundation.certified import BoundOptions
    from advntk.measuring.certify import certify_fit

    for eps255 in options.radii:
        _options.require_unit(options.norm, eps255, "--radii")
    kind = options.kind or options.attack
    certify_fit(
        options.fit,
        norm=options.norm,
        radii=options.radii,
        images=options.images,
        options=BoundOptions(bounds=options.bounds, budget_s=options.budget_s),
        attack=NamedAttack.of(options.attack, options.options, kind=kind, where=kind),
        out=options.out,
        compute=options.compute,
        threads=options.threads,
    )


def _inputs(suite: Suite, job: Wildcards) -> dict[str, str]:
    return {**made("fit", suite, job, "fit", "arrays"), **made("split", suite, job)}


def _given(suite: Suite, job: Wildcards) -> dict[str, Any]:
    asked, named = suite.config.certificates, _cells.attack_of(suite, job)
    return {
        **asked.model_dump(),
        "fit": Path(_inputs(suite, job)["fit"]).parent,
        "radii": suite.certified_radii(job["trained_at"]),
        "norm": suite.config.norm,
        "attack": named.name,
        "kind": named.kind,
        "options": named.options,
        "engine": suite.config.compute.kernel_engine,
    }


def _need(resources: Resources, job: Wildcards) -> Need:
    """The attack, then of each image and radius enclosures of n kernels, products with (n, d) and tiles of (n, n)."""
    from advntk.planning.resources import MIB, Cell, gradients_of

    suite, named = resources.suite, _cells.attack_of(resources.suite, job)
    cell = Cell(suite, job["dataset"], job["architecture"], job["method"])
    n, d, tile, tests = cell.n, cell.facts.numbers, min(cell.n, 2048), cell.facts.n_test
    count = min(suite.config.certificates.images or tests, tests) * len(suite.certified_radii(job["trained_at"]))
    attacked = resources.attacked(cell, named, count * gradients_of(named.options))
    return replace(
        attacked,
        kind=("certify", suite.method_kinds[cell.method]),
        memory_mb=attacked.memory_mb + (24_000 * n + 8 * (4 * tile * (tile + d) + 8 * d**2)) / MIB,
        work=attacked.work + count * (5000 * n + 2 * n * d**2 + 10 * d**3 + n**2 * d),
    )


_PLACE = "{root}/certificates/{dataset}/seed{seed}/{architecture}/{method}/{trained_at}"
STEPS = (
    Step(
        name="certify",
        options=Options,
        stack="attacks",
        job=_cells.FIT,
        outputs={"certificates": f"{_PLACE}.json", "outcomes": f"{_PLACE}.npz"},
        jobs=lambda suite: suite.certified(),
        inputs=_inputs,
        given=_given,
        roots=_cells.attack_code("advntk.measuring.certify"),
        need=_need,
        gpu=lambda suite, job: 0,  # the numba engine's predictors alone have a certificate
        told=("certificates",),
        listed="certificates",
        tables=("certified",),
        figures=("certified",),
    ),
)
