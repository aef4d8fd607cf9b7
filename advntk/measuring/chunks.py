"""Attacks that take long, in chunks of test images: each a file, made by a job of its own or by the evaluation.

A chunk holds what the attack found for every checkpoint of a fit. Which images it is about, and all that it depends on,
is in its digest: a chunk of another fit or other options is made again.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from advntk.attacks.attack import Attacked
from advntk.attacks.named import NamedAttack
from advntk.foundation import files, provenance
from advntk.foundation.errors import ConfigError
from advntk.foundation.options import Compute
from advntk.foundation.threat import ThreatModel
from advntk.ingredients.splits import Part
from advntk.learning.fits import FitFile, read_fit
from advntk.learning.loading import load_checkpoint, split_of
from advntk.learning.randomness import stream_seed
from advntk.measuring.made_from import behind_attack


def evaluation_seed(content: FitFile) -> int:
    """Seed of the attacks that evaluate a fit; no training or selection uses it."""
    return stream_seed(content.seed, "evaluate")


def distinct_checkpoints(content: FitFile) -> dict[str, str]:
    """Each checkpoint with the first that is the same predictor: best on val is often the last step."""
    firsts: dict[str, str] = {}
    for name, facts in content.checkpoints.items():
        firsts[name] = next((first for first in firsts.values() if content.checkpoints[first] == facts), name)
    return firsts


@dataclass(frozen=True, kw_only=True)
class ChunkedAttack:
    """One attack on all checkpoints of one fit, chunk by chunk.

    Attributes:
        fit: folder of the fit.
        chunks: folder of the chunks.
        threads: for provenance.
    """

    fit: Path
    attack: NamedAttack
    threat: ThreatModel
    chunks: Path
    compute: Compute
    threads: int = 1

    @property
    def count(self) -> int:
        """Number of chunks."""
        return self.attack.chunks

    def ensure(self, index: int) -> Path:
        """Make one chunk, unless it is there.

        Args:
            index: from 0.

        Returns:
            Its path.

        Raises:
            ConfigError: the attack is not run in chunks, there is no such chunk, or there are more chunks than images.
        """
        run = self.attack.entry.resumable
        if run is None:
            raise ConfigError(
                f"'{self.attack.kind}' is not run in chunks", where="--attack", remedy="use the verb 'evaluate'"
            )
        if not 0 <= index < self.count:
            raise ConfigError(f"no chunk {index}", where="--chunk", remedy=f"give 0 to {self.count - 1}")
        content, arrays = read_fit(self.fit)
        test = split_of(self.fit, content).test
        if self.count > len(test):
            raise ConfigError(
                f"{self.count} chunks of {len(test)} test images", where="chunks", remedy="give fewer chunks"
            )
        place = self.chunks / f"{index}.npz"
        digest = self._digest(content, arrays, index)
        if place.exists() and str(files.read_npz(place).get("digest")) == digest:
            return place
        part = _part(test, index, self.count)
        kept: dict[str, np.ndarray] = {"digest": np.array(digest)}
        states = []
        for checkpoint, first in distinct_checkpoints(content).items():
            if checkpoint != first:
                continue
            state = self.chunks / f"{index}.{checkpoint}.state.npz"
            states.append(state)
            began = time.perf_counter()
            predictor = load_checkpoint(self.fit, checkpoint, self.compute)
            found = run(
                predictor,
                part.images,
                part.labels,
                options=self.attack.options,
                threat=self.threat,
                seed=evaluation_seed(content),
                state=state,
            )
            kept[f"{checkpoint}.images"] = found.images
            kept[f"{checkpoint}.flags"] = np.array(found.flags, dtype=np.str_)
            kept[f"{checkpoint}.seconds"] = np.array(time.perf_counter() - began)
            kept |= {f"{checkpoint}.stage.{name}": outcome for name, outcome in found.stages.items()}
        made = provenance.environment(self.compute.device, self.threads)
        files.write_npz(place, {**kept, "provenance": np.array(json.dumps(made))})
        for state in states:
            state.unlink(missing_ok=True)
        return place

    def gather(self, checkpoint: str) -> tuple[Attacked, float]:
        """What all chunks found for one checkpoint, missing chunks made now.

        Returns:
            The whole, and the seconds that the attack took in all chunks.
        """
        parts = [files.read_npz(self.ensure(index)) for index in range(self.count)]
        stage = f"{checkpoint}.stage."
        flags = dict.fromkeys(str(flag) for part in parts for flag in part[f"{checkpoint}.flags"])
        names = [name for name in parts[0] if name.startswith(stage)]
        whole = Attacked(
            images=np.concatenate([part[f"{checkpoint}.images"] for part in parts]),
            stages={name.removeprefix(stage): np.concatenate([part[name] for part in parts]) for name in names},
            flags=tuple(flags),
        )
        return whole, float(sum(part[f"{checkpoint}.seconds"] for part in parts))

    def ran(self) -> list[dict[str, Any]]:
        """Where and when each chunk was made, in their order; all must be there."""
        told = [files.read_npz(self.chunks / f"{index}.npz")["provenance"] for index in range(self.count)]
        return [provenance.place(json.loads(str(one))) for one in told]

    def _digest(self, content: FitFile, arrays: dict[str, np.ndarray], index: int) -> str:
        """Of all that a chunk depends on, the code of attack, method and family and the attack's libraries among it."""
        return files.sha256_of_json(
            {
                "code": provenance.code_digest(*behind_attack(__name__, content, self.attack)),
                "engine": self.compute.kernel_engine if content.kind == "kernel" else "",
                "fit": files.sha256_of_arrays(arrays),
                "split": content.split_hash,
                "options": self.attack.options.model_dump(mode="json"),
                "threat": self.threat.model_dump(mode="json"),
                "chunk": [index, self.count],
                "libraries": provenance.versions(*self.attack.entry.libraries),
            }
        )


def _part(test: Part, index: int, count: int) -> Part:
    """Chunk ``index`` of ``count`` nearly equal ones, in order."""
    chosen = np.array_split(np.arange(len(test)), count)[index]
    return Part(pixels=test.pixels[chosen], labels=test.labels[chosen], indices=test.indices[chosen])
