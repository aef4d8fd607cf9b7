"""Attack all checkpoints of a fit; write a record and each example's outcome."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from advntk.verbs import _options


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
