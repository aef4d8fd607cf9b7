"""Attack one chunk of the test images; resumes a killed run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from advntk.step import Step, Wildcards, made
from advntk.verbs import _cells, _options

if TYPE_CHECKING:
    from advntk.suite import Suite


class Options(_options.AttackOptions):
    """Of the verb ``attack``."""

    chunk: int = Field(default=0, description="which chunk, from 0; how many there are is an option")
    chunks: Path = Field(description="folder of the chunks; this one is NUMBER.npz")


def run(options: Options) -> None:
    """Attack the chunk."""
    from advntk.measuring.chunks import ChunkedAttack

    chunked = ChunkedAttack(
        fit=options.fit,
        attack=options.named,
        threat=options.threat,
        chunks=options.chunks,
        compute=options.compute,
        threads=options.threads,
    )
    chunked.ensure(options.chunk)


def _jobs(suite: Suite) -> Iterator[dict[str, Any]]:
    """The chunks of every attack that is run in chunks."""
    for job in _cells.each(suite, "attack", suite.attacks):
        yield from ({**job, "chunk": chunk} for chunk in range(suite.attacks[job["attack"]].chunks))


def _given(suite: Suite, job: Wildcards) -> dict[str, Any]:
    folder = Path(made("attack", suite, job)["chunk"]).parent
    return {
        **_cells.attacked(suite, job),
        **{"fit": _cells.folder(suite, job), "chunk": int(job["chunk"]), "chunks": folder},
    }


STEPS = (
    Step(
        name="attack",
        options=Options,
        stack="attacks",
        job=f"{_cells.CELL}.{{attack}}.{{chunk}}",
        outputs={"chunk": f"{_cells.RECORD}.chunks/{{chunk}}.npz"},
        jobs=_jobs,
        inputs=_cells.attackable,
        given=_given,
        roots=_cells.attack_code("advntk.measuring.chunks"),
        need=_cells.need("attack", "dataset", "architecture", "method", "attack"),
        gpu=_cells.gpus,
        group=_cells.by_kind("attack"),
    ),
)
