"""Robust accuracy over the strength of an attack: its radius, steps or restarts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from advntk.foundation.errors import ConfigError
from advntk.step import Step, Wildcards
from advntk.verbs import _cells, _options

if TYPE_CHECKING:
    from advntk.suite import Suite


class Options(_options.AttackOptions):
    """Of the verb ``sweep``."""

    sweep: Literal["radius", "steps", "restarts"] = Field(description="what is varied")
    values: list[float] = Field(description="rising; radius in 1/255")
    out: Path = Field(description="json to write; outcomes (npz) go beside it")


def run(options: Options) -> None:
    """Sweep over the strength.

    Raises:
        ConfigError: the attack takes too long for a sweep, or the values do not rise.
    """
    from advntk.foundation.config import SweepEntry
    from advntk.foundation.options import validated
    from advntk.measuring.sweep import sweep_fit

    chosen = options.named
    if chosen.entry.chunked:
        raise ConfigError(f"'{chosen.kind}' takes too long for a sweep", where="--attack", remedy="use pgd")
    values = validated(SweepEntry, {"attack": options.attack, "values": options.values}, "--values").values
    if options.sweep == "radius":
        _options.require_unit(options.norm, values[-1], "--values")
    sweep_fit(
        options.fit,
        kind=options.sweep,
        values=values,
        attack=chosen,
        threat=options.threat,
        out=options.out,
        compute=options.compute,
        threads=options.threads,
    )


def _given(suite: Suite, job: Wildcards) -> dict[str, Any]:
    values = suite.config.sweeps[job["sweep"]].values
    own = {"fit": _cells.folder(suite, job), "sweep": job["sweep"], "values": values}
    return {**_cells.attacked(suite, job), **own}


_PLACE = "{root}/sweeps/{dataset}/seed{seed}/{architecture}/{method}/eps{eps255}/{sweep}"
STEPS = (
    Step(
        name="sweep",
        options=Options,
        stack="attacks",
        job=f"{_cells.CELL}.{{sweep}}",
        outputs={"sweep": f"{_PLACE}.json", "outcomes": f"{_PLACE}.npz"},
        jobs=lambda suite: _cells.each(suite, "sweep", suite.sweep_attacks),
        inputs=_cells.attackable,
        given=_given,
        roots=_cells.attack_code("advntk.measuring.sweep"),
        need=_cells.need("sweep", "dataset", "architecture", "method", "sweep"),
        gpu=_cells.gpus,
        group=_cells.by_kind("sweep"),
        told=("sweep",),
        listed="sweeps",
        figures=("strength",),
    ),
)
