"""Attack all checkpoints of a fit; write a record and each example's outcome."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from advntk.step import Step, Wildcards, made
from advntk.verbs import _cells, _options

if TYPE_CHECKING:
    from advntk.suite import Suite


class Options(_options.AttackOptions):
    """Of the verb ``evaluate``."""

    keep_images: bool = Field(default=False, description="keep the perturbed images, for the verb transfer")
    out: Path = Field(description="record (json) to write; outcomes (npz) go beside it")


def run(options: Options) -> None:
    """Evaluate the fit."""
    from advntk.measuring.evaluate import evaluate_fit

    evaluate_fit(
        options.fit,
        threat=options.threat,
        attack=options.named,
        out=options.out,
        keep_images=options.keep_images,
        compute=options.compute,
        threads=options.threads,
    )


def _inputs(suite: Suite, job: Wildcards) -> dict[str, Any]:
    """The fit, and the chunks that are gathered; none of attacks that the evaluation runs itself."""
    chunks = range(suite.attacks[job["attack"]].chunks)
    found = [made("attack", suite, {**job, "chunk": chunk})["chunk"] for chunk in chunks]
    return {**_cells.attackable(suite, job), "chunks": found}


def _given(suite: Suite, job: Wildcards) -> dict[str, Any]:
    own = {"fit": _cells.folder(suite, job), "keep_images": job["attack"] in suite.config.transfer}
    return {**_cells.attacked(suite, job), **own}


STEPS = (
    Step(
        name="evaluate",
        options=Options,
        stack="attacks",
        job=f"{_cells.CELL}.{{attack}}",
        outputs={"record": f"{_cells.RECORD}.json", "outcomes": f"{_cells.RECORD}.npz"},
        jobs=lambda suite: _cells.each(suite, "attack", suite.attacks),
        inputs=_inputs,
        given=_given,
        roots=_cells.attack_code("advntk.measuring.evaluate"),
        need=_cells.need("evaluate", "dataset", "architecture", "method", "attack"),
        gpu=_cells.gpus,
        group=_cells.by_kind("evaluate"),
        told=("record", "outcomes"),
        listed="records",
    ),
)
