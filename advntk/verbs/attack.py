"""Attack one chunk of the test images; resumes a killed run."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from advntk.verbs import _options


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
