"""An attack as a suite or a command line asks for it: a registry entry with options, under a name of the user's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from advntk.attacks.attack import Attack
from advntk.foundation.records import AttackRecord


@dataclass(frozen=True, kw_only=True)
class NamedAttack:
    """An attack with all its settings but threat model and seed.

    Attributes:
        name: in tables and paths.
        kind: the registry entry's name.
        options: of the entry, checked.
    """

    name: str
    kind: str
    entry: Attack
    options: Any

    @property
    def chunks(self) -> int:
        """Number of parts of the test images that are jobs of their own; 0: the evaluation attacks by itself."""
        return int(self.options.chunks) if self.entry.chunked else 0

    def record(self, seed: int) -> AttackRecord:
        """As it stands in records."""
        return AttackRecord(
            name=self.name,
            kind=self.kind,
            options=self.options.model_dump(mode="json"),
            inside_threat_model=self.entry.inside_threat_model,
            seed=seed,
        )
