"""Train a kernel method on a split; resumes where a killed run stopped."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from advntk.step import Step, Wildcards, made
from advntk.verbs import _cells, _options

if TYPE_CHECKING:
    from advntk.suite import Suite


class Options(_options.MethodOptions):
    """Of the verb ``fit``."""

    gram: Path = Field(description="Gram matrix of the same split and architecture")
    out: Path = Field(description="fit.json to write; fit.npz and curves.csv beside it")


def run(options: Options) -> None:
    """Train the kernel method."""
    train("fit", options, options.out, gram=options.gram)


def train(
    verb: str, options: _options.MethodOptions, out: Path, *, gram: Path | None = None, choice: Path | None = None
) -> None:
    """Train a method and write the fit.

    Args:
        verb: ``fit`` or ``train``.
        options: of the verb.
        out: ``fit.json``.
        gram: of a kernel method.
        choice: of a network method, where its options list candidates.
    """
    from advntk.foundation import provenance
    from advntk.foundation.recipes import chosen_options, read_choice
    from advntk.learning.fits import made_from, write_fit

    start = time.perf_counter()
    entry, method, given = options.method_entry(verb)
    chosen = read_choice(choice) if choice else None
    used = chosen_options(given, chosen) if chosen else given
    task = options.task(used, method.images, workdir=out.parent, gram=gram, choice=chosen)
    task.workdir.mkdir(parents=True, exist_ok=True)
    origin = made_from(task, entry, options.split)
    result = method.fit(task)
    write_fit(
        out.parent,
        result,
        name=options.method,
        entry=entry,
        method=method,
        task=task,
        split_path=options.split,
        provenance=provenance.environment(options.device, options.threads, **origin),
        timing={"wall_s": time.perf_counter() - start, "peak_mb": provenance.peak_mb()},
    )


FIT = {
    "fit": "{root}/fits/{dataset}/seed{seed}/{architecture}/{method}/{trained_at}/fit.json",
    "arrays": "{root}/fits/{dataset}/seed{seed}/{architecture}/{method}/{trained_at}/fit.npz",
    "curves": "{root}/fits/{dataset}/seed{seed}/{architecture}/{method}/{trained_at}/curves.csv",
}


def _given(suite: Suite, job: Wildcards) -> dict[str, Any]:
    spec, images = suite.specs[job["architecture"]].kernel_identity, suite.images_of(job["method"])
    engine = suite.config.compute.kernel_engine
    return {**_cells.trained(suite, job), "architecture": spec, "images": images, "engine": engine}


def _group(suite: Suite, job: Wildcards) -> str:
    """Fits that hold a GPU for their attacks share no job of a cluster with those that ask for none."""
    return "fit_cpu" if suite.gpus(job["method"]) > suite.gpus(job["method"], fit=True) else "fit"


STEPS = (
    Step(
        name="fit",
        options=Options,
        stack="kernels",
        job=_cells.FIT,
        outputs=FIT,
        jobs=lambda suite: (job for job in suite.fits() if suite.methods[job["method"]].kind == "kernel"),
        inputs=lambda suite, job: {**made("split", suite, job), **made("gram", suite, job)},
        given=_given,
        roots=_cells.training_code("advntk.learning.fits"),
        need=_cells.need("fit", "dataset", "architecture", "method"),
        gpu=lambda suite, job: suite.gpus(job["method"], fit=True),
        group=_group,
        told=("fit",),
        listed="fits",
        all_told=lambda suite: suite.fits(),
    ),
)
